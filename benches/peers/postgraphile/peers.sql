-- What whoever puts PostGraphile over the mirror's tables would add: an index for the order that it knows, and a
-- function for a filter over a relation.
CREATE SCHEMA IF NOT EXISTS peers;

CREATE INDEX IF NOT EXISTS peers_course_progressions_by_changed_at
    ON course_progressions (integration_id, changed_at DESC, id DESC);

CREATE OR REPLACE FUNCTION peers.completed_of_course(of_integration text, of_course text)
RETURNS SETOF course_progressions LANGUAGE sql STABLE AS $$
    SELECT p.* FROM course_revisions r
    JOIN course_progressions p ON p.integration_id = r.integration_id AND p.course_revision_id = r.id
    WHERE r.integration_id = of_integration AND r.course_id = of_course AND p.status = 'COMPLETED'
        AND NOT p.incomplete AND p.missing_since IS NULL AND p.remote_deleted_at IS NULL
    ORDER BY p.changed_at DESC NULLS LAST, p.id DESC
$$;
