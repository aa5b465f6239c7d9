\set number random(1, 1000)
SELECT json_build_object('courseProgressions', json_build_object(
    'totalCount', coalesce(max(p.total), 0),
    'nodes', coalesce(json_agg(json_build_object('komboId', p.id, 'status', p.status, 'enrolledAt', p.enrolled_at,
        'completedAt', p.completed_at, 'changedAt', p.changed_at)), '[]'),
    'pageInfo', json_build_object('hasNextPage', coalesce(max(p.total), 0) > 100)))
FROM (
    SELECT p.id, p.status, p.enrolled_at, p.completed_at, p.changed_at, count(*) OVER () AS total
    FROM course_revisions r
    JOIN course_progressions p ON p.integration_id = r.integration_id AND p.course_revision_id = r.id
    WHERE r.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA' AND r.course_id = substr(md5('course' || :number), 1, 24)
        AND p.status = 'COMPLETED'
        AND NOT p.incomplete AND p.missing_since IS NULL AND p.remote_deleted_at IS NULL
    ORDER BY p.changed_at DESC NULLS LAST, p.id DESC LIMIT 100) p;
