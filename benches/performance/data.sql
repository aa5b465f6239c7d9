-- Half a million progressions of one integration, as the mirror would hold them: ids without any order in time, rows
-- that lie in the order in which Kombo lists them (by id), a few tombstones. Everything follows from a row's number, so that
-- pgbench can name rows by numbers.

CREATE FUNCTION pg_temp.id(kind text, number int) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT substr(md5(kind || number), 1, 24) $$;

INSERT INTO integrations (id, tool, category, organization_name, state, setup_status, registered_at, details_due_at)
VALUES ('moodle:7C9M5sVtQx2LbNfKpWdYhRzA', 'moodle', 'LMS', 'Northwind Academy', 'ACTIVE', 'COMPLETED',
    '2026-01-01Z', '2100-01-01Z');

INSERT INTO endpoint_states (integration_id, endpoint, watermark, last_success_at, last_full_fetch_at,
    next_full_fetch_at, next_catch_up_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', endpoint, '2026-06-01Z', '2026-06-01Z', '2026-06-01Z', '2100-01-01Z', '2100-01-01Z'
FROM unnest(ARRAY['users', 'skills', 'courses', 'course_progressions']) AS endpoint
ON CONFLICT DO NOTHING;

INSERT INTO users (integration_id, id, remote_id, first_name, last_name, work_email, status, remote_created_at,
    remote_deleted_at, changed_at, custom_fields, integration_fields, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('user', n), n::text,
    (ARRAY['Ada', 'Björn', 'Chinwe', 'Dolores', 'Émile', 'Farah', 'Giulia', 'Hiro'])[n % 8 + 1],
    (ARRAY['Okafor', 'Lindqvist', 'Nakamura', 'Svensson', 'Müller', 'García', 'Novák', 'Ivanova', 'Smith'])[n % 9 + 1],
    'person.' || n || '@northwind.example', CASE WHEN n % 20 = 0 THEN 'INACTIVE' ELSE 'ACTIVE' END,
    '2024-01-01Z'::timestamptz + n * interval '11 min',
    CASE WHEN n % 200 = 0 THEN '2026-05-01Z'::timestamptz END,
    '2026-06-01Z'::timestamptz - n * interval '37.123 s',
    jsonb_build_object('cost_center', (4000 + n % 100)::text),
    jsonb_build_array(jsonb_build_object('id', pg_temp.id('field', 1), 'key', 'region', 'type', 'CUSTOM',
        'label', 'Region', 'value', 'EMEA')),
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 100000) n ORDER BY 2;

INSERT INTO course_providers (integration_id, id, remote_id, name, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('provider', n), 'provider-' || n, 'Provider ' || n,
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 50) n ORDER BY 2;

INSERT INTO skills (integration_id, id, remote_id, name, changed_at, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('skill', n), 'skill-' || n, 'Skill ' || n, '2026-05-01Z',
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 300) n ORDER BY 2;

INSERT INTO courses (integration_id, id, remote_id, provider_id, remote_created_at, changed_at, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('course', n), 'course-' || n, pg_temp.id('provider', n % 50 + 1),
    '2024-01-01Z'::timestamptz + n * interval '7 h', '2026-06-01Z'::timestamptz - n * interval '41 min',
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 1000) n ORDER BY 2;

-- three of each course
INSERT INTO course_revisions (integration_id, id, remote_id, course_id, title, description, remote_url, status,
    remote_created_at, changed_at, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('revision', n), 'revision-' || n,
    pg_temp.id('course', (n - 1) / 3 + 1), 'Fire safety, part ' || (n - 1) / 3 + 1 || ', edition ' || (n - 1) % 3 + 1,
    '<p>What to do, whom to call and where to go, with the exercises of edition ' || n || '.</p>',
    'https://learn.northwind.example/courses/' || n,
    CASE WHEN n % 3 = 0 THEN 'ACTIVE' ELSE 'INACTIVE' END,
    '2024-01-01Z'::timestamptz + n * interval '3 h', '2026-06-01Z'::timestamptz - n * interval '13 min',
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 3000) n ORDER BY 2;

-- four of each revision
INSERT INTO course_revision_skills (integration_id, course_revision_id, skill_id, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('revision', n), pg_temp.id('skill', (n * 4 + k) % 300 + 1),
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 3000) n CROSS JOIN generate_series(0, 3) k ORDER BY 2, 3;

-- the smaller the number, the later it changed; the newest have no tombstones among them
INSERT INTO course_progressions (integration_id, id, remote_id, user_id, course_revision_id, status, enrolled_at,
    completed_at, remote_deleted_at, changed_at, observed_at, mirrored_at)
SELECT 'moodle:7C9M5sVtQx2LbNfKpWdYhRzA', pg_temp.id('progression', n), 'enrolment-' || n,
    pg_temp.id('user', (n::bigint * 7919 % 100000)::int + 1), pg_temp.id('revision', n % 3000 + 1), s.status,
    '2025-01-01Z'::timestamptz + n * interval '41 s',
    CASE WHEN s.status = 'COMPLETED' THEN '2025-09-01Z'::timestamptz + n * interval '23.5 s' END,
    CASE WHEN n > 10000 AND n % 100 = 0 THEN '2026-05-01Z'::timestamptz END,
    '2026-06-01Z'::timestamptz - n * interval '7.5 s',
    '2026-06-01Z', '2026-06-01Z'
FROM generate_series(1, 500000) n
CROSS JOIN LATERAL (SELECT
    (ARRAY['COMPLETED', 'COMPLETED', 'IN_PROGRESS', 'ENROLLED', 'DROPPED'])[abs(hashint4(n) % 5) + 1] AS status) s
ORDER BY 2;
