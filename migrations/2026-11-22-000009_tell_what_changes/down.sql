DROP TRIGGER tell_changes ON record_changes;
DROP FUNCTION tell_changes;
DROP TRIGGER tell_progress ON sync_runs;
DROP TRIGGER tell_new_run ON sync_runs;
DROP FUNCTION tell_progress;
