-- Times are milliseconds since 1970 in UTC. JSON columns hold what kiln_wire::worker describes.

CREATE TABLE builds (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    submitted_at BIGINT  NOT NULL,
    -- What a person calls it: a file's name, a spec's name.
    title        TEXT    NOT NULL,
    -- kiln_wire::worker::Source as JSON.
    source       TEXT    NOT NULL
);

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    build        BIGINT  NOT NULL REFERENCES builds (id),
    -- kiln_wire::worker::Settings and kiln_model::Limits as JSON.
    settings     TEXT    NOT NULL,
    limits       TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    -- The attempt that the present or last lease is for; 0 before the first.
    epoch        BIGINT  NOT NULL DEFAULT 0,
    worker       TEXT,
    lease_until  BIGINT,
    queued_at    BIGINT  NOT NULL,
    ended_at     BIGINT,
    -- kiln_model::Report as JSON, of a job that failed.
    report       TEXT,
    -- The digest of the lock that a job was built with: what it names is kept.
    lock         TEXT
);

CREATE INDEX jobs_by_state ON jobs (state, queued_at);
CREATE INDEX jobs_by_build ON jobs (build);

CREATE TABLE stages (
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    epoch        BIGINT  NOT NULL,
    -- The order in which the stages of an attempt ended.
    position     BIGINT  NOT NULL,
    stage        TEXT    NOT NULL,
    wall_ms      BIGINT  NOT NULL,
    cpu_ms       BIGINT  NOT NULL,
    note         TEXT    NOT NULL,
    PRIMARY KEY (job, epoch, position)
);

-- The locks that were given out for an attempt: a claim has to name one of them.
CREATE TABLE locks (
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    epoch        BIGINT  NOT NULL,
    digest       TEXT    NOT NULL,
    PRIMARY KEY (job, epoch, digest)
);

CREATE TABLE artifacts (
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    name         TEXT    NOT NULL,
    nevra        TEXT    NOT NULL,
    digest       TEXT    NOT NULL,
    size         BIGINT  NOT NULL,
    PRIMARY KEY (job, name)
);
