-- Whether a worker offers machines that its processor runs, as it says when it asks for work.
ALTER TABLE workers ADD COLUMN has_kvm BIGINT NOT NULL DEFAULT 0;

-- Whether a project has packages of others in its own repository.
CREATE INDEX builds_promoted ON builds (project) WHERE promoted IS NOT NULL;
