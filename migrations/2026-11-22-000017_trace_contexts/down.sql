-- runs that wait are worked on all the same, each in a trace of its own
DELETE FROM schema_overlaps WHERE migration = '20261122000017';
ALTER TABLE sync_runs DROP COLUMN trace_contexts;
