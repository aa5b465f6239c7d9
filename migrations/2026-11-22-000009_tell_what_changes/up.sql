-- Whoever follows runs and changes live is told by whichever process made them. The tables tell it themselves, in
-- the transaction that changes them: a write that forgot to tell would be a follower that waits for ever, and an
-- older version that works beside this one tells as well. What is told is tiny, and equal words of one transaction
-- are one. An id too long for a notification is left out, which means "any integration".

CREATE FUNCTION tell_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kombo_mirror_progress',
        NEW.id || ' ' || CASE WHEN length(NEW.integration_id) <= 500 THEN NEW.integration_id ELSE '' END);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_new_run AFTER INSERT ON sync_runs
    FOR EACH ROW EXECUTE FUNCTION tell_progress();

-- not a lease that is kept alive, nor one more reason of a waiting run: nobody sees those
CREATE TRIGGER tell_progress AFTER UPDATE ON sync_runs
    FOR EACH ROW WHEN (
        (OLD.status, OLD.mode, OLD.requested_by, OLD.attempts, OLD.pages_fetched, OLD.restarts, OLD.records_deleted,
            OLD.removals_held_back, OLD.error_code, OLD.error_at)
        IS DISTINCT FROM
        (NEW.status, NEW.mode, NEW.requested_by, NEW.attempts, NEW.pages_fetched, NEW.restarts, NEW.records_deleted,
            NEW.removals_held_back, NEW.error_code, NEW.error_at)
    )
    EXECUTE FUNCTION tell_progress();

CREATE FUNCTION tell_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kombo_mirror_changes',
        max(sequence) || ' ' || CASE WHEN length(integration_id) <= 500 THEN integration_id ELSE '' END)
    FROM added GROUP BY integration_id ORDER BY max(sequence);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_changes AFTER INSERT ON record_changes
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION tell_changes();
