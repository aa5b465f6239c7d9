DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN SELECT polrelid::regclass FROM pg_policy WHERE polname = 'named_integrations' LOOP
        EXECUTE format('DROP POLICY named_integrations ON %s', guarded);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', guarded);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kombo_mirror_reader') THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM kombo_mirror_reader', current_schema());
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM kombo_mirror_reader', current_schema());
    BEGIN
        DROP ROLE kombo_mirror_reader;
    EXCEPTION
        WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use THEN
            RAISE NOTICE 'the role kombo_mirror_reader stays: %', SQLERRM;
    END;
END
$$;
