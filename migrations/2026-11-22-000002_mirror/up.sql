-- The mirror itself: Kombo's columns under Kombo's names, one table a model. All but the key may be null,
-- because a tombstone is blanked by Kombo after 14 days and connectors leave out what they do not have.
-- The columns after unknown_fields are the mirror's own:
--   unknown_fields     members that Kombo sent and this version does not know, so that nothing is lost
--   remote_deleted_at  Kombo's tombstone, reversible
--   missing_since      a complete full fetch no longer contained the row
--   observed_at        start of the fetch that last wrote the row; an older fetch may not overwrite it
--   mirrored_at        when the row was last written
--   incomplete         a stub: only known from a partial nested object, its own endpoint will fill it

CREATE TABLE users (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    first_name text,
    last_name text,
    work_email text,
    status text,
    remote_created_at timestamptz,
    remote_deleted_at timestamptz,
    changed_at timestamptz,
    remote_data jsonb,
    custom_fields jsonb,
    integration_fields jsonb,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

CREATE TABLE course_providers (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    name text,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

CREATE TABLE courses (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    provider_id text COLLATE "C",
    origin_id text,
    remote_created_at timestamptz,
    remote_deleted_at timestamptz,
    changed_at timestamptz,
    remote_data jsonb,
    custom_fields jsonb,
    integration_fields jsonb,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

CREATE TABLE course_revisions (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    course_id text COLLATE "C",
    title text,
    description text,
    remote_url text,
    status text,
    remote_created_at timestamptz,
    remote_deleted_at timestamptz,
    changed_at timestamptz,
    remote_data jsonb,
    custom_fields jsonb,
    integration_fields jsonb,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

CREATE TABLE skills (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    name text,
    remote_created_at timestamptz,
    remote_deleted_at timestamptz,
    changed_at timestamptz,
    remote_data jsonb,
    custom_fields jsonb,
    integration_fields jsonb,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

CREATE TABLE course_progressions (
    integration_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    remote_id text,
    user_id text COLLATE "C",
    course_revision_id text COLLATE "C",
    status text,
    enrolled_at timestamptz,
    completed_at timestamptz,
    remote_deleted_at timestamptz,
    changed_at timestamptz,
    remote_data jsonb,
    unknown_fields jsonb,
    missing_since timestamptz,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (integration_id, id)
);

-- Which skills a revision teaches. Kombo gives the assignment no id, time or deletion mark: it exists as long as
-- the revision lists it, so a row is removed as soon as a fetched revision does not.
CREATE TABLE course_revision_skills (
    integration_id text COLLATE "C" NOT NULL,
    course_revision_id text COLLATE "C" NOT NULL,
    skill_id text COLLATE "C" NOT NULL,
    observed_at timestamptz NOT NULL,
    mirrored_at timestamptz NOT NULL,
    PRIMARY KEY (integration_id, course_revision_id, skill_id)
);

-- the ways from a row to its related rows
CREATE INDEX course_revision_skills_by_skill ON course_revision_skills (integration_id, skill_id, course_revision_id);
CREATE INDEX courses_by_provider ON courses (integration_id, provider_id, id);
CREATE INDEX course_revisions_by_course ON course_revisions (integration_id, course_id, id);
CREATE INDEX course_progressions_by_user ON course_progressions (integration_id, user_id, id);
CREATE INDEX course_progressions_by_revision ON course_progressions (integration_id, course_revision_id, id);
