-- When everything that a job left was let go of but the record of it: its results, its lock, its
-- logs, and the sources of a build all of whose jobs are so.
ALTER TABLE jobs ADD COLUMN faded_at BIGINT;
