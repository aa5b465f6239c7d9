DROP INDEX webhook_events_by_integration;

ALTER TABLE integrations
    DROP COLUMN state_as_of,
    DROP COLUMN last_kombo_sync_at,
    DROP COLUMN last_kombo_sync_state,
    DROP COLUMN data_expired_at,
    DROP COLUMN unavailable_models,
    DROP COLUMN purged_at;
