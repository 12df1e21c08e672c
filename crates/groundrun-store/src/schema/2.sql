-- Attempts of several containers: which of them an ending is of, and ends by a startup probe. A check cannot be changed in
-- place.
CREATE TABLE attempts_of_containers (
    execution   BLOB    NOT NULL,
    task        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    boot        BLOB    NOT NULL,
    intended    INTEGER NOT NULL,
    started     INTEGER,
    ended       INTEGER,
    ending      TEXT    CHECK (ending IN ('exited', 'start-failed', 'probe-failed', 'lost')),
    container   TEXT,
    exit_code   INTEGER,
    exit_signal INTEGER,
    cause       TEXT    CHECK (cause IN ('on-its-own', 'deadline', 'asked', 'out-of-memory')),
    memory_peak INTEGER,
    fault       TEXT    CHECK (fault IN ('theirs', 'ours')),
    message     TEXT,
    PRIMARY KEY (execution, task, attempt),
    CHECK ((ended IS NULL) = (ending IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_of_containers
    SELECT execution, task, attempt, boot, intended, started, ended, ending, NULL, exit_code, exit_signal, cause, memory_peak,
        fault, message
    FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_of_containers RENAME TO attempts;
