-- What a service knows besides builds: people, projects, workers, repositories. Times are
-- milliseconds since 1970 in UTC; yes and no are 1 and 0, since not every database that we speak
-- to has a word for them that all drivers read.

CREATE TABLE users (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    -- argon2, as a PHC string; none for who signs in elsewhere or not at all.
    password     TEXT,
    is_operator  BIGINT  NOT NULL DEFAULT 0,
    made_at      BIGINT  NOT NULL,
    disabled_at  BIGINT,
    -- Issuer and subject of an OpenID provider.
    subject      TEXT    UNIQUE
);

-- What a request is let in by. Only hashes: who reads this table can impersonate nobody.
CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner        BIGINT  NOT NULL REFERENCES users (id),
    -- 'session' of a browser, or 'token' of a program.
    kind         TEXT    NOT NULL,
    label        TEXT    NOT NULL,
    hash         TEXT    NOT NULL UNIQUE,
    scope        TEXT    NOT NULL,
    made_at      BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    used_at      BIGINT,
    revoked_at   BIGINT
);

CREATE INDEX tokens_by_owner ON tokens (owner);

-- One-time rights: to become the first operator, to enrol a worker, to set a password.
CREATE TABLE tickets (
    hash         TEXT    PRIMARY KEY,
    kind         TEXT    NOT NULL,
    -- For whom or what.
    subject      TEXT    NOT NULL,
    expires_at   BIGINT  NOT NULL,
    used_at      BIGINT
);

CREATE TABLE projects (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    summary      TEXT    NOT NULL,
    is_public    BIGINT  NOT NULL,
    -- kiln_model::ProjectSettings as JSON.
    settings     TEXT    NOT NULL,
    made_at      BIGINT  NOT NULL,
    removed_at   BIGINT,
    -- Fair share: how much it has been served, in a unit of its own, and its weight in it.
    served       BIGINT  NOT NULL DEFAULT 0,
    weight       BIGINT  NOT NULL DEFAULT 100
);

CREATE TABLE members (
    project      BIGINT  NOT NULL REFERENCES projects (id),
    member       BIGINT  NOT NULL REFERENCES users (id),
    role         TEXT    NOT NULL,
    PRIMARY KEY (project, member)
);

-- A target of a project is a repository: its newest snapshot, 0 before the first.
CREATE TABLE repos (
    project      BIGINT  NOT NULL REFERENCES projects (id),
    target       TEXT    NOT NULL,
    snapshot     BIGINT  NOT NULL DEFAULT 0,
    made_at      BIGINT  NOT NULL,
    disabled_at  BIGINT,
    PRIMARY KEY (project, target)
);

CREATE TABLE snapshots (
    project      BIGINT  NOT NULL,
    target       TEXT    NOT NULL,
    number       BIGINT  NOT NULL,
    made_at      BIGINT  NOT NULL,
    -- Who or what made it: 'job 12', or 'rollback to 3 by ann'.
    cause        TEXT    NOT NULL,
    -- The digest of repomd.xml; of the list of its files, and of the list of its packages.
    repomd       TEXT    NOT NULL,
    files        TEXT    NOT NULL,
    packages     TEXT    NOT NULL,
    count        BIGINT  NOT NULL,
    PRIMARY KEY (project, target, number),
    FOREIGN KEY (project, target) REFERENCES repos (project, target)
);

-- What a repository has ever held: one name, one content.
CREATE TABLE published (
    project      BIGINT  NOT NULL,
    target       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    -- As it was built, and as it was signed.
    digest       TEXT    NOT NULL,
    signed       TEXT    NOT NULL,
    size         BIGINT  NOT NULL,
    job          BIGINT  NOT NULL,
    PRIMARY KEY (project, target, name)
);

CREATE TABLE workers (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    hash         TEXT    NOT NULL UNIQUE,
    arch         TEXT    NOT NULL,
    slots        BIGINT  NOT NULL,
    version      TEXT    NOT NULL,
    -- 'active', 'draining', or 'aside' after a breach.
    state        TEXT    NOT NULL,
    why          TEXT    NOT NULL DEFAULT '',
    made_at      BIGINT  NOT NULL,
    seen_at      BIGINT
);

CREATE TABLE audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at           BIGINT  NOT NULL,
    actor        TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    detail       TEXT    NOT NULL
);

-- Fair share's floor: a project that was idle begins here, so that nobody saves up turns.
CREATE TABLE queue (floor BIGINT NOT NULL);
INSERT INTO queue (floor) VALUES (0);

-- Requests that were made already: asked again, they get the same answer.
CREATE TABLE answered (
    owner        BIGINT  NOT NULL,
    idempotency  TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    answer       TEXT    NOT NULL,
    PRIMARY KEY (owner, idempotency)
);

ALTER TABLE builds ADD COLUMN project BIGINT REFERENCES projects (id);
ALTER TABLE builds ADD COLUMN submitter BIGINT REFERENCES users (id);
ALTER TABLE builds ADD COLUMN is_scratch BIGINT NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN project BIGINT REFERENCES projects (id);
ALTER TABLE jobs ADD COLUMN submitter BIGINT;
ALTER TABLE jobs ADD COLUMN target TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN arch TEXT NOT NULL DEFAULT '';
-- 0 ordinary, 1 background: nothing of it is begun while something ordinary can be.
ALTER TABLE jobs ADD COLUMN background BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
-- How many jobs it still waits for.
ALTER TABLE jobs ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN leased_at BIGINT;
-- How often its host failed it.
ALTER TABLE jobs ADD COLUMN setbacks BIGINT NOT NULL DEFAULT 0;
-- Whether what it makes is to be published, and the snapshot in which it was.
ALTER TABLE jobs ADD COLUMN publishes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN snapshot BIGINT;

CREATE INDEX jobs_waiting ON jobs (state, waits, background, project, priority, id);
CREATE INDEX builds_by_project ON builds (project, id);

CREATE TABLE waits (
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    waits_for    BIGINT  NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (job, waits_for)
);

CREATE INDEX waits_by_cause ON waits (waits_for);
