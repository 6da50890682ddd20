-- What somebody sends and no build has named yet: there is a bound to it, for each account.
CREATE TABLE uploads (
    owner        BIGINT  NOT NULL REFERENCES users (id),
    -- Its digest; or, of a form whose files are not known yet, a word of its own.
    name         TEXT    NOT NULL,
    size         BIGINT  NOT NULL,
    -- When somebody last went on with it.
    at           BIGINT  NOT NULL,
    PRIMARY KEY (owner, name)
);
