-- What is kept for ever grows for ever, and what Kombo erases must not live on here. These find what is due for
-- removal without reading whole tables, and let one of several replicas do it.

-- When a job that belongs to no integration is due again: in the database, so that any replica may take it and
-- exactly one does.
CREATE TABLE recurring_jobs (
    name text PRIMARY KEY,
    due_at timestamptz NOT NULL
);
INSERT INTO recurring_jobs (name, due_at) VALUES ('retention', 'epoch');

CREATE INDEX sync_runs_finished ON sync_runs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX parked_records_seen ON parked_records (last_seen_at);

-- stubs are few, and only they are looked through for what no row refers to any more
CREATE INDEX users_stubs ON users (integration_id, id) WHERE incomplete;
CREATE INDEX course_providers_stubs ON course_providers (integration_id, id) WHERE incomplete;
CREATE INDEX courses_stubs ON courses (integration_id, id) WHERE incomplete;
CREATE INDEX course_revisions_stubs ON course_revisions (integration_id, id) WHERE incomplete;
CREATE INDEX skills_stubs ON skills (integration_id, id) WHERE incomplete;

-- absent rows are few, and only they are looked through for personal fields that are due to be erased
CREATE INDEX users_absent ON users (integration_id, id) WHERE missing_since IS NOT NULL;
CREATE INDEX course_providers_absent ON course_providers (integration_id, id) WHERE missing_since IS NOT NULL;
CREATE INDEX courses_absent ON courses (integration_id, id) WHERE missing_since IS NOT NULL;
CREATE INDEX course_revisions_absent ON course_revisions (integration_id, id) WHERE missing_since IS NOT NULL;
CREATE INDEX skills_absent ON skills (integration_id, id) WHERE missing_since IS NOT NULL;
CREATE INDEX course_progressions_absent ON course_progressions (integration_id, id) WHERE missing_since IS NOT NULL;
