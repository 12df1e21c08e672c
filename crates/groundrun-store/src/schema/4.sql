-- Revision of the last write of a job by a client: what its executions do raises only the other one.
ALTER TABLE jobs ADD COLUMN written INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET written = revision;
