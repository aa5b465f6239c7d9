-- What the mirror must remember about itself to be right after a crash: which integrations exist, how far
-- each endpoint has been fetched, what is to be fetched, and which webhooks were accepted. It lives beside
-- the mirrored rows so that rows and the memory of having fetched them commit together.

CREATE TABLE integrations (
    id text COLLATE "C" PRIMARY KEY,
    tool text,
    category text,
    organization_name text,
    origin_id text,
    -- ACTIVE, INVALID, INACTIVE, DELETED or UNKNOWN (not asked yet); text because Kombo may add values
    state text NOT NULL DEFAULT 'UNKNOWN',
    setup_status text,
    paused boolean NOT NULL DEFAULT false,
    registered_at timestamptz NOT NULL,
    deleted_at timestamptz,
    -- when GET /integrations/{id} is due again
    details_due_at timestamptz NOT NULL
);

CREATE TABLE endpoint_states (
    integration_id text COLLATE "C" NOT NULL,
    endpoint text NOT NULL,
    -- start of the last complete, successful fetch by Kombo's clock; only ever moves forward, and only in
    -- the transaction of that fetch's last page. The overlap is subtracted when sending, never stored.
    watermark timestamptz,
    last_success_at timestamptz,
    last_full_fetch_at timestamptz,
    -- due times live here, not in a process, so that any replica may act on them
    next_full_fetch_at timestamptz,
    next_catch_up_at timestamptz,
    -- a failing endpoint is left alone by the schedule until then
    retry_at timestamptz,
    consecutive_failures integer NOT NULL DEFAULT 0,
    -- false: Kombo says that this connector has no such model, or that it is switched off
    available boolean NOT NULL DEFAULT true,
    -- rows that the last full fetch did not show and that the removal guard kept
    removals_held_back bigint NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    error_retryable boolean,
    error_at timestamptz,
    error_log_url text,
    PRIMARY KEY (integration_id, endpoint)
);

-- Queue and history in one table: a run is a row that moves from QUEUED over RUNNING to its end.
CREATE TABLE sync_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    integration_id text COLLATE "C" NOT NULL,
    endpoint text NOT NULL,
    mode text NOT NULL,
    trigger text NOT NULL,
    -- smaller is served first: webhook deltas, then manual runs, then full fetches
    lane smallint NOT NULL,
    requested_by text,
    -- why this run exists, one entry for each request that was merged into it
    reasons jsonb NOT NULL DEFAULT '[]',
    status text NOT NULL,
    queued_at timestamptz NOT NULL,
    -- not to be claimed before; moved when Kombo asks to wait
    available_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    -- what was sent as updated_after; null for a full fetch. Kept so that a resumed run asks the same again.
    updated_after timestamptz,
    -- start of the first request by Kombo's clock: what the endpoint's watermark becomes
    watermark timestamptz,
    -- the same for the rows' observed_at, but never before what an earlier run of the endpoint wrote: Kombo
    -- tells its time in whole seconds, so by it a later run can seem to have begun earlier
    observed_at timestamptz,
    -- fencing: every page's transaction names the token it was claimed with; a newer claim has a higher one
    lease_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    -- checkpoint: the cursor of the next page, null before the first
    cursor text,
    -- how often the enumeration began again because its cursor was dead
    restarts integer NOT NULL DEFAULT 0,
    -- how many marks seen_records must hold; fewer means that Postgres lost them in a crash
    seen_marks bigint NOT NULL DEFAULT 0,
    expected_records bigint,
    pages_fetched bigint NOT NULL DEFAULT 0,
    records_received bigint NOT NULL DEFAULT 0,
    records_inserted bigint NOT NULL DEFAULT 0,
    records_updated bigint NOT NULL DEFAULT 0,
    records_unchanged bigint NOT NULL DEFAULT 0,
    records_parked bigint NOT NULL DEFAULT 0,
    records_duplicate bigint NOT NULL DEFAULT 0,
    records_deleted bigint NOT NULL DEFAULT 0,
    drifted_records bigint NOT NULL DEFAULT 0,
    removals_held_back bigint NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    error_retryable boolean,
    error_at timestamptz,
    error_log_url text
);

-- at most one waiting and one working run of an endpoint, over all replicas: the database's word, not ours
CREATE UNIQUE INDEX sync_runs_one_queued ON sync_runs (integration_id, endpoint) WHERE status = 'QUEUED';
CREATE UNIQUE INDEX sync_runs_one_running ON sync_runs (integration_id, endpoint) WHERE status = 'RUNNING';
-- the claim reads only what is open, however long the history grows
CREATE INDEX sync_runs_open ON sync_runs (lane, available_at, id) WHERE status IN ('QUEUED', 'RUNNING');
CREATE INDEX sync_runs_history ON sync_runs (integration_id, endpoint, id);

-- Ids met by a running full fetch; what is in the mirror and not here at its end is absent at Kombo.
-- Unlogged, since it is rebuilt by the next full fetch; sync_runs.seen_marks tells when a crash emptied it.
CREATE UNLOGGED TABLE seen_records (
    run_id bigint NOT NULL,
    table_name text NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, table_name, id)
);

CREATE TABLE webhook_events (
    -- Kombo's event id: a second delivery of the same event finds its row
    id text COLLATE "C" PRIMARY KEY,
    type text NOT NULL,
    integration_id text COLLATE "C",
    received_at timestamptz NOT NULL,
    duplicates integer NOT NULL DEFAULT 0,
    changed_models text[] NOT NULL DEFAULT '{}',
    outcome text NOT NULL,
    run_ids bigint[] NOT NULL DEFAULT '{}',
    -- as received; text, not jsonb, because jsonb refuses \u0000 and an accepted event must be stored
    payload text NOT NULL
);
CREATE INDEX webhook_events_received ON webhook_events (received_at, id);

-- A record that could not be read: kept with its error instead of stopping its page or being dropped.
CREATE TABLE parked_records (
    integration_id text COLLATE "C" NOT NULL,
    endpoint text NOT NULL,
    -- the record's id, or a digest of the record where even that is unreadable
    id text COLLATE "C" NOT NULL,
    record text NOT NULL,
    error text NOT NULL,
    run_id bigint NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (integration_id, endpoint, id)
);
