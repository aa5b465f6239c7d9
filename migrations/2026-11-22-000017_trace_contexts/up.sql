-- A run is worked on by whichever process comes first, so what it belongs to has to be written down beside it: without
-- this a slow or failed change could be followed from the webhook to the queue, and no further.
ALTER TABLE sync_runs ADD COLUMN trace_contexts text[] COLLATE "C" NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sync_runs.trace_contexts IS
    'W3C traceparents: first of what queued the run, whose trace it continues, then of what was merged into it';
INSERT INTO schema_overlaps (migration, oldest_code) VALUES ('20261122000017', '20261122000010');
