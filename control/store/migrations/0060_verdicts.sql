-- A job that is built again, to be held against what came out first.
CREATE TABLE verdicts (
    -- The job that builds it again.
    rebuild      BIGINT  NOT NULL PRIMARY KEY REFERENCES jobs (id),
    -- The job that built it first.
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    asked_at     BIGINT  NOT NULL,
    ended_at     BIGINT,
    -- A word of kiln_model::Verdict, once there is one.
    verdict      TEXT,
    -- The digest of the kiln_model::Proof, as JSON.
    proof        TEXT,
    -- Whether that is signed, and stands in the log.
    attested     BIGINT  NOT NULL DEFAULT 0
);

CREATE INDEX verdicts_unattested ON verdicts (rebuild) WHERE attested = 0;

CREATE INDEX verdicts_by_job ON verdicts (job);

-- The worker that gets this job only when another one has let it lie until a moment.
ALTER TABLE jobs ADD COLUMN spared TEXT;
ALTER TABLE jobs ADD COLUMN spared_until BIGINT NOT NULL DEFAULT 0;
