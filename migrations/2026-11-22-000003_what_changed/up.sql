-- Kombo never says which record or field changed; the mirror knows, since it compares. Without a feed of
-- what it found, whoever keeps something derived from the mirror has to read everything again. Beside it what
-- an operator must be able to see and decide: removals that wait for approval, what Kombo sends that this
-- version does not know, and how much nobody had announced.

CREATE TABLE record_changes (
    integration_id text COLLATE "C" NOT NULL,
    -- drawn under a lock that is held until the commit: a reader that has seen one number can never be
    -- shown a smaller one later
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    -- the record's table
    model text NOT NULL,
    id text COLLATE "C" NOT NULL,
    -- INSERTED, UPDATED, DELETED or RESTORED
    kind text NOT NULL,
    -- names of columns, never values: an erased record leaves nothing here
    changed_fields text[] NOT NULL DEFAULT '{}',
    run_id bigint NOT NULL,
    PRIMARY KEY (integration_id, sequence)
);
-- to forget the old ones
CREATE INDEX record_changes_by_time ON record_changes (at);

-- Rows that the removal guard kept, exactly as they were shown: an approval removes no others.
CREATE TABLE held_back_removals (
    integration_id text COLLATE "C" NOT NULL,
    table_name text NOT NULL,
    id text COLLATE "C" NOT NULL,
    -- the other end where the row is a link, else empty
    linked_id text COLLATE "C" NOT NULL DEFAULT '',
    run_id bigint NOT NULL,
    PRIMARY KEY (integration_id, table_name, id, linked_id)
);
CREATE INDEX held_back_removals_by_run ON held_back_removals (run_id);

-- What Kombo sends beyond its documentation, found while reading: names and words, never contents.
CREATE TABLE schema_drift (
    integration_id text COLLATE "C" NOT NULL,
    table_name text NOT NULL,
    -- MEMBER: a member without a column; VALUE: a word that an enum does not have
    kind text NOT NULL,
    -- the member's name; for a word the column's name, an equals sign and the word
    name text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    -- records received with it
    sightings bigint NOT NULL,
    PRIMARY KEY (integration_id, table_name, kind, name)
);

ALTER TABLE sync_runs
    -- rows that a full fetch had to correct although no delta had announced them, by what was wrong
    ADD COLUMN drift_inserted bigint NOT NULL DEFAULT 0,
    ADD COLUMN drift_updated bigint NOT NULL DEFAULT 0,
    ADD COLUMN drift_removed bigint NOT NULL DEFAULT 0,
    -- rows that a catch-up found and that a webhook should have announced
    ADD COLUMN missed_announcements bigint NOT NULL DEFAULT 0,
    -- rows that lists stopped naming in this run, for the removal guard
    ADD COLUMN records_unlisted bigint NOT NULL DEFAULT 0,
    DROP COLUMN drifted_records;

-- the same summed over all runs, which are forgotten one day
ALTER TABLE endpoint_states
    ADD COLUMN drift_inserted bigint NOT NULL DEFAULT 0,
    ADD COLUMN drift_updated bigint NOT NULL DEFAULT 0,
    ADD COLUMN drift_removed bigint NOT NULL DEFAULT 0,
    ADD COLUMN missed_announcements bigint NOT NULL DEFAULT 0;
