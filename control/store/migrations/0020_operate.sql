-- What the queue is asked all the time, each answered by a look at an index of what is asked for.

-- Who is next in a project: higher priority first, then the older job.
DROP INDEX jobs_waiting;
CREATE INDEX jobs_next ON jobs (background, project, arch, priority DESC, id)
    WHERE state = 'queued' AND waits = 0;

-- What is built and not published yet.
CREATE INDEX jobs_unpublished ON jobs (id)
    WHERE state = 'built' AND publishes = 1 AND snapshot IS NULL;

-- What ended lately.
CREATE INDEX jobs_by_end ON jobs (ended_at) WHERE ended_at IS NOT NULL;
