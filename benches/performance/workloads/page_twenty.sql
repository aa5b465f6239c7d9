\set number random(19, 38) * 20
SELECT json_build_object('courseProgressions', json_build_object(
    'nodes', coalesce(json_agg(json_build_object('komboId', p.id, 'status', p.status, 'completedAt', p.completed_at,
        'changedAt', p.changed_at)) FILTER (WHERE p.place <= 20), '[]'),
    'pageInfo', json_build_object('hasNextPage', count(*) > 20, 'endCursor', translate(encode(convert_to(
        (json_agg(json_build_array('CHANGED_AT DESC', p.changed_at, p.id, 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA'))
            FILTER (WHERE p.place = 20) -> 0)::text, 'UTF8'), 'base64'), E'+/=\n', '-_'))))
FROM (
    SELECT p.id, p.status, p.completed_at, p.changed_at, row_number() OVER (ORDER BY
        (CASE WHEN p.changed_at IS NULL THEN '-infinity' ELSE p.changed_at END) DESC, p.id DESC) AS place
    FROM course_progressions p
    WHERE p.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA'
        AND ((CASE WHEN p.changed_at IS NULL THEN '-infinity' ELSE p.changed_at END), p.id)
            < ('2026-06-01Z'::timestamptz - :number * interval '7.5 s', substr(md5('progression' || :number), 1, 24))
        AND NOT p.incomplete AND p.missing_since IS NULL AND p.remote_deleted_at IS NULL
    ORDER BY (CASE WHEN p.changed_at IS NULL THEN '-infinity' ELSE p.changed_at END) DESC, p.id DESC LIMIT 21) p;
