-- What is said of jobs, signed: which envelope, and where it stands in the log. It goes with what
-- the job left; the log's entry of it stays.
CREATE TABLE attestations (
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    position     BIGINT  NOT NULL,
    -- 'provenance', or 'verdict' of a rebuild.
    kind         TEXT    NOT NULL,
    -- The digest of the envelope.
    envelope     TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    PRIMARY KEY (job, position)
);

-- The log of everything that was ever attested, in order: digests of envelopes. Rows are only ever
-- added.
CREATE TABLE log_entries (
    position     BIGINT  NOT NULL PRIMARY KEY,
    entry        TEXT    NOT NULL UNIQUE
);

-- Hashes of the subtrees over them that are complete (RFC 6962), level 0 the leaves.
CREATE TABLE log_nodes (
    level        BIGINT  NOT NULL,
    place        BIGINT  NOT NULL,
    hash         TEXT    NOT NULL,
    PRIMARY KEY (level, place)
);

-- Signed heads of the log, each an envelope as text, by how many entries it had.
CREATE TABLE log_heads (
    size         BIGINT  NOT NULL PRIMARY KEY,
    head         TEXT    NOT NULL
);

-- What is only tried is looked through for what nobody has attested yet.
CREATE INDEX jobs_tried ON jobs (id) WHERE state = 'built' AND publishes = 0 AND faded_at IS NULL;
