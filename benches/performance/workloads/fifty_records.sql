\set number random(1, 100000)
SELECT json_build_object('users', json_build_object(
    'nodes', coalesce(json_agg(json_build_object('komboId', u.id, 'firstName', u.first_name, 'lastName', u.last_name,
        'workEmail', u.work_email, 'status', u.status)) FILTER (WHERE u.place <= 50), '[]'),
    'pageInfo', json_build_object('hasNextPage', count(*) > 50, 'endCursor', translate(encode(convert_to(
        json_build_array('KOMBO_ID', max(u.id) FILTER (WHERE u.place <= 50), 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA')::text,
        'UTF8'), 'base64'), E'+/=\n', '-_'))))
FROM (
    SELECT u.id, u.first_name, u.last_name, u.work_email, u.status, row_number() OVER (ORDER BY u.id) AS place
    FROM users u
    WHERE u.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA' AND u.id > substr(md5('user' || :number), 1, 24)
        AND NOT u.incomplete AND u.missing_since IS NULL AND u.remote_deleted_at IS NULL
    ORDER BY u.id LIMIT 51) u;
