-- What stands between a build and its host (kiln_model::Isolation): only a worker that offers it is
-- given the job.
ALTER TABLE jobs ADD COLUMN isolation TEXT NOT NULL DEFAULT 'namespaces';
