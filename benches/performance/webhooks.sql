-- What accepting a webhook comes to: the event, and the run that it asks for or strengthens.
\set number random(1, 1000000000000)
\set integration random(1, 1000)
BEGIN;
INSERT INTO webhook_events (id, type, integration_id, received_at, changed_models, outcome, payload)
VALUES (substr(md5('reference' || :number), 1, 24), 'data-changed', 'sandbox:' || substr(md5('integration' || :integration), 1, 24),
    now(), '{lms_users}', 'COALESCED', '{"id":"0123456789abcdef01234567","type":"data-changed","data":{"integration_id":"sandbox:0123456789abcdef01234567","integration_tool":"sandbox","integration_category":"LMS","changed_models":[{"name":"lms_users"}]}}')
ON CONFLICT (id) DO UPDATE SET duplicates = webhook_events.duplicates + 1;
INSERT INTO sync_runs AS r (integration_id, endpoint, mode, trigger, lane, reasons, status, queued_at, available_at)
VALUES ('sandbox:' || substr(md5('integration' || :integration), 1, 24), 'users', 'DELTA', 'WEBHOOK', 0,
    '[{"webhookEvent":"0123456789abcdef01234567","changedModels":["lms_users"]}]', 'QUEUED', now(), now())
ON CONFLICT (integration_id, endpoint) WHERE status = 'QUEUED' DO UPDATE SET
    lane = least(r.lane, excluded.lane), available_at = least(r.available_at, excluded.available_at),
    reasons = CASE WHEN jsonb_array_length(r.reasons) < 50 THEN r.reasons || excluded.reasons ELSE r.reasons END;
COMMIT;
