-- What lists can be filtered and ordered by, each with an index behind it, so that no question reads a whole
-- table. Every index leads with integration_id: tenants stay apart, and the tables can be distributed by it.
--
-- Keys, as the descriptions of the models (src/models/filters.rs) write them; an index serves only the same text:
--   a time   CASE WHEN column IS NULL THEN '-infinity' ELSE column END: null is the smallest, so that one index serves
--            both directions and a cursor names one place. No coalesce, which would say the same: behind row-level
--            security an index is entered only by what is known to tell nothing of a row, and coalesce is not
--   a text   left(coalesce(column, ''), 200) COLLATE "C": by code point, the same on every machine and for ever (a
--            system's collation changes with its libraries and corrupts indexes), and bounded, since an index
--            entry has at most 2,704 bytes and Kombo does not limit its texts

-- The title of a course is that of its current revision. Kept with the course, or no index could order courses by
-- it; kept by the database, so that no writer can forget it, and wrong ones are put right by any write.
ALTER TABLE courses ADD COLUMN current_title text;

CREATE FUNCTION title_of_course(of_integration text, of_course text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT r.title FROM course_revisions r
    WHERE r.integration_id = of_integration AND r.course_id = of_course
      AND r.remote_deleted_at IS NULL AND r.missing_since IS NULL
    ORDER BY (r.status IS NOT DISTINCT FROM 'ACTIVE') DESC, r.remote_created_at DESC NULLS LAST,
      r.changed_at DESC NULLS LAST, r.id DESC
    LIMIT 1
$$;

CREATE FUNCTION entitle_course() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.current_title := title_of_course(NEW.integration_id, NEW.id);
    RETURN NEW;
END
$$;
CREATE TRIGGER entitle_course BEFORE INSERT OR UPDATE ON courses
    FOR EACH ROW EXECUTE FUNCTION entitle_course();

-- one statement for all revisions that a statement wrote, and no row version for a title that stays; sorted, so
-- that two writers take their locks in one order
CREATE FUNCTION entitle_courses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses c SET current_title = wrong.title
    FROM (
        SELECT o.integration_id, o.id, o.title FROM (
            SELECT DISTINCT w.integration_id, w.course_id FROM written w WHERE w.course_id IS NOT NULL
        ) k
        CROSS JOIN LATERAL (
            SELECT t.integration_id, t.id, t.current_title AS old_title, title_of_course(t.integration_id, t.id) AS title
            FROM courses t WHERE t.integration_id = k.integration_id AND t.id = k.course_id OFFSET 0
        ) o
        WHERE o.old_title IS DISTINCT FROM o.title
        ORDER BY o.integration_id, o.id
    ) wrong
    WHERE c.integration_id = wrong.integration_id AND c.id = wrong.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER entitle_courses_inserted AFTER INSERT ON course_revisions
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION entitle_courses();
CREATE TRIGGER entitle_courses_updated AFTER UPDATE ON course_revisions
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION entitle_courses();
-- a revision that moves to another course leaves a course behind
CREATE TRIGGER entitle_courses_left AFTER UPDATE ON course_revisions
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION entitle_courses();
CREATE TRIGGER entitle_courses_deleted AFTER DELETE ON course_revisions
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION entitle_courses();

UPDATE courses SET current_title = NULL;

-- what lists show: counted without a look at the rows, and not kept waiting by tombstones
CREATE INDEX users_live ON users (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL AND remote_deleted_at IS NULL;
CREATE INDEX courses_live ON courses (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL AND remote_deleted_at IS NULL;
CREATE INDEX course_revisions_live ON course_revisions (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL AND remote_deleted_at IS NULL;
CREATE INDEX course_providers_live ON course_providers (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL;
CREATE INDEX skills_live ON skills (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL AND remote_deleted_at IS NULL;
CREATE INDEX course_progressions_live ON course_progressions (integration_id, id)
    WHERE NOT incomplete AND missing_since IS NULL AND remote_deleted_at IS NULL;

CREATE INDEX users_by_changed_at ON users (integration_id, (CASE WHEN changed_at IS NULL THEN '-infinity' ELSE changed_at END), id);
CREATE INDEX users_by_remote_created_at ON users (integration_id, (CASE WHEN remote_created_at IS NULL THEN '-infinity' ELSE remote_created_at END), id);
CREATE INDEX users_by_first_name ON users (integration_id, (left(coalesce(first_name, ''), 200) COLLATE "C"), id);
CREATE INDEX users_by_last_name ON users (integration_id, (left(coalesce(last_name, ''), 200) COLLATE "C"), id);
CREATE INDEX users_by_work_email ON users (integration_id, (left(lower(coalesce(work_email, '')), 200) COLLATE "C"), id);
CREATE INDEX users_by_remote_id ON users (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);
CREATE INDEX users_by_status ON users (integration_id, status, id);

CREATE INDEX courses_by_changed_at ON courses (integration_id, (CASE WHEN changed_at IS NULL THEN '-infinity' ELSE changed_at END), id);
CREATE INDEX courses_by_title ON courses (integration_id, (left(coalesce(current_title, ''), 200) COLLATE "C"), id);
CREATE INDEX courses_by_remote_id ON courses (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);
CREATE INDEX courses_by_origin_id ON courses (integration_id, (left(coalesce(origin_id, ''), 200) COLLATE "C"), id);

CREATE INDEX course_revisions_by_changed_at ON course_revisions (integration_id, (CASE WHEN changed_at IS NULL THEN '-infinity' ELSE changed_at END), id);
CREATE INDEX course_revisions_by_title ON course_revisions (integration_id, (left(coalesce(title, ''), 200) COLLATE "C"), id);
CREATE INDEX course_revisions_by_remote_id ON course_revisions (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);
CREATE INDEX course_revisions_by_status ON course_revisions (integration_id, status, id);

CREATE INDEX course_providers_by_name ON course_providers (integration_id, (left(coalesce(name, ''), 200) COLLATE "C"), id);
CREATE INDEX course_providers_by_remote_id ON course_providers (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);

CREATE INDEX skills_by_name ON skills (integration_id, (left(coalesce(name, ''), 200) COLLATE "C"), id);
CREATE INDEX skills_by_remote_id ON skills (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);

CREATE INDEX course_progressions_by_changed_at ON course_progressions (integration_id, (CASE WHEN changed_at IS NULL THEN '-infinity' ELSE changed_at END), id);
CREATE INDEX course_progressions_by_enrolled_at ON course_progressions (integration_id, (CASE WHEN enrolled_at IS NULL THEN '-infinity' ELSE enrolled_at END), id);
CREATE INDEX course_progressions_by_completed_at ON course_progressions (integration_id, (CASE WHEN completed_at IS NULL THEN '-infinity' ELSE completed_at END), id);
CREATE INDEX course_progressions_by_remote_id ON course_progressions (integration_id, (left(coalesce(remote_id, ''), 200) COLLATE "C"), id);
CREATE INDEX course_progressions_by_status ON course_progressions (integration_id, status, id);

-- the lists beside the mirror
CREATE INDEX sync_runs_by_integration ON sync_runs (integration_id, id);
CREATE INDEX record_changes_by_record ON record_changes (integration_id, id, sequence);

-- Substrings of the texts that lists can be filtered by. Both extensions come with Postgres and may be created by
-- whoever owns the database; where an installation lacks them, substrings are looked for among the integration's
-- rows.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE EXTENSION IF NOT EXISTS btree_gin;
    CREATE INDEX users_by_substring ON users USING gin (integration_id, first_name gin_trgm_ops,
        last_name gin_trgm_ops, work_email gin_trgm_ops, remote_id gin_trgm_ops);
    CREATE INDEX courses_by_substring ON courses
        USING gin (integration_id, remote_id gin_trgm_ops, origin_id gin_trgm_ops);
    CREATE INDEX course_revisions_by_substring ON course_revisions
        USING gin (integration_id, title gin_trgm_ops, remote_id gin_trgm_ops);
    CREATE INDEX course_providers_by_substring ON course_providers
        USING gin (integration_id, name gin_trgm_ops, remote_id gin_trgm_ops);
    CREATE INDEX skills_by_substring ON skills USING gin (integration_id, name gin_trgm_ops, remote_id gin_trgm_ops);
    CREATE INDEX course_progressions_by_substring ON course_progressions
        USING gin (integration_id, remote_id gin_trgm_ops);
EXCEPTION WHEN undefined_file OR feature_not_supported OR insufficient_privilege THEN
    RAISE NOTICE 'pg_trgm or btree_gin is not available: substring filters are slower';
END
$$;

-- An answer that must not be given (too old, too large) is found out in the statement that makes it, in the same
-- snapshot; raising is the only way to stop there.
CREATE FUNCTION refuse(reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'KM001', MESSAGE = reason;
END
$$;
