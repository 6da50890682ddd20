-- What came of builds elsewhere: promotion.

-- The build whose results these are, where nothing was built anew.
ALTER TABLE builds ADD COLUMN promoted BIGINT REFERENCES builds (id);

-- Where a build's source was fetched from, as JSON of kiln_store::Origin; it is pinned there once
-- it has been.
ALTER TABLE builds ADD COLUMN origin TEXT;

-- Forges that may have something built: a push or a tag there becomes a build. The secret is kept
-- as it is, since a signature can be checked by nothing less.
CREATE TABLE hooks (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What stands in its address: random, and known to the forge alone.
    name         TEXT    NOT NULL UNIQUE,
    project      BIGINT  NOT NULL REFERENCES projects (id),
    maker        BIGINT  NOT NULL REFERENCES users (id),
    -- 'github', 'gitlab' or 'forgejo'.
    forge        TEXT    NOT NULL,
    secret       TEXT    NOT NULL,
    url          TEXT    NOT NULL,
    folder       TEXT,
    -- Which branches and tags, '*' allowed; none for an empty text.
    branches     TEXT    NOT NULL,
    tags         TEXT    NOT NULL,
    -- By what the state of a build is told to the forge.
    token        TEXT,
    made_at      BIGINT  NOT NULL,
    removed_at   BIGINT
);

-- What a hook was told already: told again, nothing is built again.
CREATE TABLE heard (
    hook         BIGINT  NOT NULL REFERENCES hooks (id),
    digest       TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    PRIMARY KEY (hook, digest)
);

-- Who is told what becomes of the jobs of a project.
CREATE TABLE listeners (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project      BIGINT  NOT NULL REFERENCES projects (id),
    url          TEXT    NOT NULL,
    secret       TEXT    NOT NULL,
    made_at      BIGINT  NOT NULL,
    -- Since when nothing that was told arrived.
    failing_at   BIGINT,
    disabled_at  BIGINT
);

-- What is to be told, written with the change that it tells of. Either to a listener, or to the
-- forge of a hook.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    listener     BIGINT  REFERENCES listeners (id),
    hook         BIGINT  REFERENCES hooks (id),
    job          BIGINT  NOT NULL REFERENCES jobs (id),
    -- 'queued', 'began', 'built', 'published', 'failed' or 'cancelled'.
    what         TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    tries        BIGINT  NOT NULL DEFAULT 0,
    next_at      BIGINT  NOT NULL
);

CREATE INDEX outbox_by_time ON outbox (next_at);

-- The hook by which a build came.
ALTER TABLE builds ADD COLUMN hook BIGINT REFERENCES hooks (id);
