-- Secrets. The location of a global one is empty.
CREATE TABLE secrets (
    uid         BLOB    NOT NULL UNIQUE,
    project     TEXT    NOT NULL,
    location    TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    labels      TEXT    NOT NULL,
    annotations TEXT    NOT NULL,
    aliases     TEXT    NOT NULL,
    replication TEXT    NOT NULL,
    newest      INTEGER NOT NULL,
    policy      TEXT,
    policy_etag TEXT,
    CHECK ((policy IS NULL) = (policy_etag IS NULL))
) STRICT;
CREATE UNIQUE INDEX secret_names ON secrets (project, location, name);
CREATE INDEX secrets_by_age ON secrets (project, location, created, uid);

CREATE TABLE secret_versions (
    secret         BLOB    NOT NULL,
    number         INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled', 'destroyed')),
    created        INTEGER NOT NULL,
    destroyed      INTEGER,
    revision       INTEGER NOT NULL,
    checksum_given INTEGER NOT NULL CHECK (checksum_given IN (0, 1)),
    PRIMARY KEY (secret, number),
    CHECK ((destroyed IS NULL) = (state <> 'destroyed'))
) STRICT, WITHOUT ROWID;

-- Apart from the rows that are listed: up to 64 KiB each, sealed. A destroyed version has none.
CREATE TABLE secret_values (
    secret BLOB    NOT NULL,
    number INTEGER NOT NULL,
    sealed BLOB    NOT NULL,
    PRIMARY KEY (secret, number)
) STRICT;

-- What tells the key that all of them are sealed with from another. The key itself is never here.
CREATE TABLE secret_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fingerprint BLOB    NOT NULL
) STRICT;
