-- Times are microseconds since the epoch. Uids are 16 bytes. Maps and specs are JSON texts.

CREATE TABLE counter (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO counter (id, revision) VALUES (1, 0);

CREATE TABLE jobs (
    uid             BLOB    NOT NULL UNIQUE,
    project         TEXT    NOT NULL,
    region          TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    generation      INTEGER NOT NULL,
    created         INTEGER NOT NULL,
    updated         INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    labels          TEXT    NOT NULL,
    annotations     TEXT    NOT NULL,
    creator         TEXT    NOT NULL,
    last_modifier   TEXT    NOT NULL,
    operation_id    TEXT    NOT NULL,
    execution_count INTEGER NOT NULL,
    latest_uid      BLOB,
    latest_name     TEXT,
    latest_created  INTEGER,
    ready           TEXT    NOT NULL CHECK (ready IN ('checking', 'ready', 'failed')),
    ready_generation INTEGER NOT NULL,
    ready_since     INTEGER NOT NULL,
    ready_reason    TEXT,
    ready_message   TEXT
) STRICT;
CREATE UNIQUE INDEX job_names ON jobs (project, region, name);
CREATE INDEX jobs_by_age ON jobs (project, created, uid);
CREATE INDEX jobs_to_check ON jobs (created) WHERE ready = 'checking' OR ready_generation <> generation;

CREATE TABLE executions (
    uid                 BLOB    NOT NULL UNIQUE,
    project             TEXT    NOT NULL,
    region              TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    job_uid             BLOB    NOT NULL,
    job_name            TEXT    NOT NULL,
    job_generation      INTEGER NOT NULL,
    job_revision        INTEGER NOT NULL,
    generation          INTEGER NOT NULL,
    created             INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    labels              TEXT    NOT NULL,
    annotations         TEXT    NOT NULL,
    creator             TEXT    NOT NULL,
    last_modifier       TEXT    NOT NULL,
    operation_id        TEXT    NOT NULL,
    cancel_wish         INTEGER,
    delete_wish         INTEGER,
    accepted            INTEGER,
    observed_generation INTEGER NOT NULL,
    images              TEXT    NOT NULL,
    waiting_for         TEXT,
    provisioned         INTEGER,
    start_time          INTEGER,
    started             INTEGER,
    completed           INTEGER,
    outcome             TEXT    CHECK (outcome IN ('succeeded', 'failed', 'cancelled')),
    failure_reason      TEXT,
    failure_message     TEXT,
    running             INTEGER NOT NULL,
    succeeded           INTEGER NOT NULL,
    failed              INTEGER NOT NULL,
    cancelled           INTEGER NOT NULL,
    retried             INTEGER NOT NULL,
    CHECK ((completed IS NULL) = (outcome IS NULL))
) STRICT;
-- A deleted execution is out of every index but the last: its name is free at once. The columns at the end of some
-- let SQLite count without a look at the rows.
CREATE UNIQUE INDEX execution_names ON executions (project, region, name) WHERE delete_wish IS NULL;
CREATE INDEX executions_by_age ON executions (project, created, uid) WHERE delete_wish IS NULL;
CREATE INDEX executions_by_region ON executions (project, region, created, uid) WHERE delete_wish IS NULL;
CREATE INDEX executions_of_job ON executions (job_uid, created, uid, completed, delete_wish) WHERE delete_wish IS NULL;
CREATE INDEX executions_unfinished ON executions (project, region, created, uid, completed, delete_wish) WHERE completed IS NULL AND delete_wish IS NULL;
CREATE INDEX executions_to_delete ON executions (delete_wish, uid) WHERE delete_wish IS NOT NULL;

-- Apart from the rows that change, which stay small: the spec of a job or of an execution.
CREATE TABLE specs (
    owner BLOB NOT NULL UNIQUE,
    spec  TEXT NOT NULL
) STRICT;

CREATE TABLE attempts (
    execution   BLOB    NOT NULL,
    task        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    boot        BLOB    NOT NULL,
    intended    INTEGER NOT NULL,
    started     INTEGER,
    ended       INTEGER,
    ending      TEXT    CHECK (ending IN ('exited', 'start-failed', 'lost')),
    exit_code   INTEGER,
    exit_signal INTEGER,
    cause       TEXT    CHECK (cause IN ('on-its-own', 'deadline', 'asked', 'out-of-memory')),
    memory_peak INTEGER,
    fault       TEXT    CHECK (fault IN ('theirs', 'ours')),
    message     TEXT,
    PRIMARY KEY (execution, task, attempt),
    CHECK ((ended IS NULL) = (ending IS NULL))
) STRICT, WITHOUT ROWID;

-- The labels that selectors see, the server's own among them. created is the owner's: a list by label comes in order.
CREATE TABLE labels (
    owner   BLOB    NOT NULL,
    key     TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('job', 'execution')),
    project TEXT    NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_value ON labels (kind, project, key, value, created, owner);

CREATE TABLE policies (
    job    BLOB NOT NULL UNIQUE,
    policy TEXT NOT NULL,
    etag   TEXT NOT NULL
) STRICT;

CREATE TABLE invocations (
    key       TEXT    NOT NULL PRIMARY KEY,
    execution BLOB    NOT NULL,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invocations_by_age ON invocations (at);
