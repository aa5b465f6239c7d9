-- runs that wait are worked on all the same, each in a trace of its own
ALTER TABLE sync_runs DROP COLUMN trace_contexts;
