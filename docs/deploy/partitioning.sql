-- Splits the seven mirror tables by integration_id into hash partitions, in one transaction.
--
-- For mirrors of very many integrations on one Postgres: vacuum, index builds and backups then work on tables of a
-- bearable size, and a question about one integration touches one partition. Nothing else changes: names, keys,
-- indexes, triggers, policies and rights stay what they are, and so does every statement of the server.
--
--   psql "$DATABASE_URL" --single-transaction --set ON_ERROR_STOP=1 --file docs/deploy/partitioning.sql
--
-- As the owner of the tables. Everybody waits until it is done, and the rows need their room twice meanwhile: stop the
-- workers and take the time of a pg_dump and restore. Tables that are partitioned already are left alone.

DO $$
DECLARE
    -- a power of two can be doubled later, partition by partition
    partitions constant int := 16;
    mirrored text;
    aside text;
    old regclass;
    statement text;
    later text[];
BEGIN
    FOREACH mirrored IN ARRAY ARRAY[
        'users', 'courses', 'course_revisions', 'course_providers', 'skills', 'course_revision_skills',
        'course_progressions'
    ] LOOP
        old := mirrored::regclass;
        CONTINUE WHEN (SELECT relkind = 'p' FROM pg_class WHERE oid = old);
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', old);

        -- what the new table is to have, told as of the old one, in this order
        SELECT array_agg(told ORDER BY place, told) INTO later FROM (
            SELECT 1 AS place, format('ALTER TABLE %I ADD CONSTRAINT %I %s', mirrored, conname, pg_get_constraintdef(oid)) AS told
            FROM pg_constraint WHERE conrelid = old
            UNION ALL
            SELECT 2, pg_get_indexdef(i.indexrelid) FROM pg_index i
            WHERE i.indrelid = old AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
            UNION ALL
            SELECT 3, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = old AND NOT tgisinternal
            UNION ALL
            SELECT 4, format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', mirrored) FROM pg_class
            WHERE oid = old AND relrowsecurity
            UNION ALL
            SELECT 5, format('CREATE POLICY %I ON %I FOR SELECT USING (%s)', polname, mirrored, pg_get_expr(polqual, polrelid))
            FROM pg_policy WHERE polrelid = old AND polcmd = 'r'
            UNION ALL
            SELECT 6, format('GRANT %s ON %I TO %s', privilege_type, mirrored,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
            FROM pg_class, aclexplode(relacl) WHERE oid = old AND grantee <> relowner
        ) told;

        -- names are taken until the old one is gone
        aside := mirrored || '_whole';
        EXECUTE format('ALTER TABLE %I RENAME TO %I', mirrored, aside);
        FOR statement IN
            SELECT format('ALTER INDEX %s RENAME TO %I', indexrelid::regclass, relname || '_whole')
            FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = old
        LOOP
            EXECUTE statement;
        END LOOP;

        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES) PARTITION BY HASH (integration_id)',
            mirrored, aside);
        FOR number IN 0 .. partitions - 1 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
                mirrored || '_p' || number, mirrored, partitions, number);
        END LOOP;
        -- before triggers and indexes: rows move as they are, and sorting once is cheaper
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', mirrored, aside);
        FOREACH statement IN ARRAY later LOOP
            EXECUTE statement;
        END LOOP;
        EXECUTE format('DROP TABLE %I', aside);
        EXECUTE format('ANALYZE %I', mirrored);
    END LOOP;
END
$$;
