DROP TABLE parked_records;
DROP TABLE webhook_events;
DROP TABLE seen_records;
DROP TABLE sync_runs;
DROP TABLE endpoint_states;
DROP TABLE integrations;
