\set number random(1, 500000)
SELECT json_build_object('courseProgressions', json_build_object(
    'nodes', coalesce(json_agg(json_build_object('komboId', p.id, 'status', p.status,
        'enrolledAt', p.enrolled_at, 'completedAt', p.completed_at,
        'user', (SELECT json_build_object('komboId', u.id, 'firstName', u.first_name, 'lastName', u.last_name)
            FROM users u WHERE u.integration_id = p.integration_id AND u.id = p.user_id),
        'courseRevision', (SELECT json_build_object('komboId', r.id, 'title', r.title, 'status', r.status,
                'course', (SELECT json_build_object('komboId', c.id, 'title', c.current_title)
                    FROM courses c WHERE c.integration_id = r.integration_id AND c.id = r.course_id))
            FROM course_revisions r WHERE r.integration_id = p.integration_id AND r.id = p.course_revision_id)
        )) FILTER (WHERE p.place <= 50), '[]'),
    'pageInfo', json_build_object('hasNextPage', count(*) > 50, 'endCursor', translate(encode(convert_to(
        json_build_array('KOMBO_ID', max(p.id) FILTER (WHERE p.place <= 50), 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA')::text,
        'UTF8'), 'base64'), E'+/=\n', '-_'))))
FROM (
    SELECT p.*, row_number() OVER (ORDER BY p.id) AS place
    FROM course_progressions p
    WHERE p.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA' AND p.id > substr(md5('progression' || :number), 1, 24)
        AND NOT p.incomplete AND p.missing_since IS NULL AND p.remote_deleted_at IS NULL
    ORDER BY p.id LIMIT 51) p;
