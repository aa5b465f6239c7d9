ALTER TABLE endpoint_states
    DROP COLUMN drift_inserted,
    DROP COLUMN drift_updated,
    DROP COLUMN drift_removed,
    DROP COLUMN missed_announcements;
ALTER TABLE sync_runs
    DROP COLUMN drift_inserted,
    DROP COLUMN drift_updated,
    DROP COLUMN drift_removed,
    DROP COLUMN missed_announcements,
    DROP COLUMN records_unlisted,
    ADD COLUMN drifted_records bigint NOT NULL DEFAULT 0;
DROP TABLE schema_drift;
DROP TABLE held_back_removals;
DROP TABLE record_changes;
