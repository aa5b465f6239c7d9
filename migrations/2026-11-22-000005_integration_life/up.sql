-- What Kombo says of an integration arrives out of order, by webhooks and by asking: without the moments beside
-- it an older word would overwrite a newer one. And what Kombo says of its data (outdated, models switched off)
-- decides whether an absence may be believed.

ALTER TABLE integrations
    -- as of when state and setup_status hold, by Kombo's clock; an older word is not written
    ADD COLUMN state_as_of timestamptz,
    -- end and state of Kombo's own newest sync with the learning system
    ADD COLUMN last_kombo_sync_at timestamptz,
    ADD COLUMN last_kombo_sync_state text,
    -- Kombo's data is outdated since then; null: it is good
    ADD COLUMN data_expired_at timestamptz,
    -- Kombo's names of models that the connector lacks or that are switched off
    ADD COLUMN unavailable_models text[] NOT NULL DEFAULT '{}',
    -- all that was mirrored was removed, some time after the deletion
    ADD COLUMN purged_at timestamptz;

-- the newest webhook of an integration without a write for each webhook, and all of them for the purge
CREATE INDEX webhook_events_by_integration ON webhook_events (integration_id, received_at);
