\set number random(1, 1000)
SELECT json_build_object('course', (
    SELECT json_build_object('komboId', c.id, 'title', c.current_title,
        'provider', (
            SELECT json_build_object('komboId', v.id, 'name', v.name)
            FROM course_providers v WHERE v.integration_id = c.integration_id AND v.id = c.provider_id),
        'revisions', json_build_object('nodes', coalesce((
            SELECT json_agg(json_build_object('komboId', r.id, 'title', r.title, 'status', r.status,
                'skills', coalesce((
                    SELECT json_agg(json_build_object('komboId', s.id, 'name', s.name) ORDER BY s.id)
                    FROM course_revision_skills l
                    JOIN skills s ON s.integration_id = l.integration_id AND s.id = l.skill_id
                    WHERE l.integration_id = r.integration_id AND l.course_revision_id = r.id
                        AND s.missing_since IS NULL AND s.remote_deleted_at IS NULL), '[]')))
            FROM (
                SELECT r.* FROM course_revisions r
                WHERE r.integration_id = c.integration_id AND r.course_id = c.id
                    AND NOT r.incomplete AND r.missing_since IS NULL AND r.remote_deleted_at IS NULL
                ORDER BY r.id LIMIT 50) r), '[]')))
    FROM courses c
    WHERE c.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA' AND c.id = substr(md5('course' || :number), 1, 24)));
