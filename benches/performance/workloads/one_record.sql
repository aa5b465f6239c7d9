\set number random(1, 100000)
SELECT json_build_object('user', (
    SELECT json_build_object('komboId', u.id, 'firstName', u.first_name, 'lastName', u.last_name,
        'workEmail', u.work_email, 'status', u.status, 'changedAt', u.changed_at)
    FROM users u
    WHERE u.integration_id = 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA' AND u.id = substr(md5('user' || :number), 1, 24)));
