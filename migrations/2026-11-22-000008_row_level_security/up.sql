-- The second wall between tenants. The first is the condition that the read path writes into every query; one
-- forgotten condition would show a customer another customer's learners. Here the database itself gives a reader
-- no other rows than those of the integrations that its transaction names in mirror.integrations, one a line.
--
-- Only who does not own the tables is behind the wall: sync, retention and viewers of everything pay nothing. The
-- role that reads from behind it, kombo_mirror_reader, belongs to the cluster and not to this database, and so does
-- not belong here: src/db/wall.rs makes it and lets it read every table that has row-level security. For the same
-- reason the policies name no role: a dump of this database can be restored where the role is not there yet.
--
-- A table that comes later and names integrations needs the same two statements; a test finds the one without.

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'users', 'courses', 'course_revisions', 'course_providers', 'skills', 'course_revision_skills',
        'course_progressions', 'endpoint_states', 'sync_runs', 'webhook_events', 'parked_records',
        'record_changes', 'held_back_removals', 'schema_drift'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        -- the subquery is evaluated once for a statement, not once for a row; nothing is set: nothing is seen
        EXECUTE format(
            'CREATE POLICY named_integrations ON %I FOR SELECT USING (integration_id = ANY ('
            '(SELECT string_to_array(current_setting(''mirror.integrations'', true), E''\n''))::text[]))',
            guarded
        );
    END LOOP;
END
$$;

ALTER TABLE integrations ENABLE ROW LEVEL SECURITY;
CREATE POLICY named_integrations ON integrations FOR SELECT USING (
    id = ANY ((SELECT string_to_array(current_setting('mirror.integrations', true), E'\n'))::text[])
);
