DROP FUNCTION refuse(text);
DROP INDEX IF EXISTS users_by_substring, courses_by_substring, course_progressions_by_substring,
    course_revisions_by_substring, course_providers_by_substring, skills_by_substring;
DROP INDEX users_live, courses_live, course_revisions_live, course_providers_live, skills_live, course_progressions_live;
DROP INDEX record_changes_by_record, sync_runs_by_integration;
DROP INDEX course_progressions_by_status, course_progressions_by_remote_id, course_progressions_by_completed_at,
    course_progressions_by_enrolled_at, course_progressions_by_changed_at;
DROP INDEX skills_by_remote_id, skills_by_name, course_providers_by_remote_id, course_providers_by_name;
DROP INDEX course_revisions_by_status, course_revisions_by_remote_id, course_revisions_by_title, course_revisions_by_changed_at;
DROP INDEX courses_by_origin_id, courses_by_remote_id, courses_by_title, courses_by_changed_at;
DROP INDEX users_by_status, users_by_remote_id, users_by_work_email, users_by_last_name, users_by_first_name,
    users_by_remote_created_at, users_by_changed_at;
DROP TRIGGER entitle_courses_deleted ON course_revisions;
DROP TRIGGER entitle_courses_left ON course_revisions;
DROP TRIGGER entitle_courses_updated ON course_revisions;
DROP TRIGGER entitle_courses_inserted ON course_revisions;
DROP FUNCTION entitle_courses();
DROP TRIGGER entitle_course ON courses;
DROP FUNCTION entitle_course();
DROP FUNCTION title_of_course(text, text);
ALTER TABLE courses DROP COLUMN current_title;
-- unless others use them
DO $$ BEGIN DROP EXTENSION IF EXISTS btree_gin; EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END $$;
DO $$ BEGIN DROP EXTENSION IF EXISTS pg_trgm; EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END $$;
