//! What GraphQL shows of the sync itself: endpoint states and runs.

use super::feed::HELD_BACK_REMOVAL;
use super::records::{field, integration_of_row, to_shape};
use crate::models;
use crate::models::object::{Kind, Shape, relation};

/// Beyond the due time of the next catch-up by this much, an endpoint is called stale.
const HEALTH: &str = "(SELECT CASE WHEN i.paused OR i.deleted_at IS NOT NULL THEN 'PAUSED' \
     WHEN NOT {t}.available THEN 'UNAVAILABLE' \
     WHEN {t}.consecutive_failures > 0 THEN 'FAILING' \
     WHEN EXISTS (SELECT FROM sync_runs r WHERE r.integration_id = {t}.integration_id AND r.endpoint = {t}.endpoint \
       AND r.status = 'RUNNING' AND r.lease_until IS NOT NULL) THEN 'SYNCING' \
     WHEN {t}.watermark IS NULL THEN 'AWAITING_FIRST_SYNC' \
     WHEN {t}.next_catch_up_at + interval '15 minutes' < {now} THEN 'STALE' \
     ELSE 'UP_TO_DATE' END FROM integrations i WHERE i.id = {t}.integration_id)";

/// Counts the live rows of the endpoint's own records.
fn live_records() -> String {
    let cases: String = models::ALL
        .iter()
        .map(|endpoint| {
            let table = endpoint.tables[0];
            let tombstones = if table.has_tombstones() {
                " AND c.remote_deleted_at IS NULL"
            } else {
                ""
            };
            format!(
                "WHEN '{}' THEN (SELECT count(*) FROM {} c WHERE c.integration_id = {{t}}.integration_id \
                 AND c.missing_since IS NULL AND NOT c.incomplete{tombstones}) ",
                endpoint.name, table.name
            )
        })
        .collect();
    format!("CASE {{t}}.endpoint {cases}ELSE 0 END")
}

/// The GraphQL type `EndpointSyncStatus`.
pub(super) static ENDPOINT_SYNC_STATUS: Shape = Shape {
    name: "EndpointSyncStatus",
    description: "How fresh the mirror of one endpoint of one integration is.",
    is_node: false,
    fields: &[
        field(
            "integration",
            "Integration!",
            "Whose.",
            integration_of_row(),
        ),
        field(
            "endpoint",
            "KomboEndpoint!",
            "Which endpoint.",
            Kind::Sql("upper({t}.endpoint)"),
        ),
        field(
            "health",
            "SyncHealth!",
            "How it is doing, in one word.",
            Kind::Sql(HEALTH),
        ),
        field(
            "watermark",
            "DateTime",
            "Start of the last complete fetch by Kombo's clock; the next delta asks for changes after this, less an overlap.",
            Kind::Column("watermark"),
        ),
        field(
            "lastSuccessAt",
            "DateTime",
            "When the last complete fetch ended.",
            Kind::Column("last_success_at"),
        ),
        field(
            "lastFullFetchAt",
            "DateTime",
            "When the last complete full fetch ended.",
            Kind::Column("last_full_fetch_at"),
        ),
        field(
            "nextFullFetchAt",
            "DateTime",
            "When the next full fetch is due.",
            Kind::Column("next_full_fetch_at"),
        ),
        field(
            "lagSeconds",
            "Float",
            "Seconds since the start of the last complete fetch.",
            Kind::Sql(
                "(CASE WHEN {t}.watermark > {now} THEN 0 ELSE extract(epoch FROM {now} - {t}.watermark) END)::float8",
            ),
        ),
        field(
            "liveRecords",
            "Int!",
            "Records of the endpoint that are not deleted.",
            Kind::Computed(live_records),
        ),
        field(
            "removalsHeldBack",
            "Int!",
            "Absent rows that the removal guard keeps, of whichever run.",
            Kind::Column("removals_held_back"),
        ),
        field(
            "driftedRecords",
            "Int!",
            "Rows that full fetches had to correct, over all time.",
            Kind::Sql("({t}.drift_inserted + {t}.drift_updated + {t}.drift_removed)"),
        ),
        field(
            "missedAnnouncements",
            "Int!",
            "Rows that deltas found although no webhook had announced them, over all time.",
            Kind::Column("missed_announcements"),
        ),
        field(
            "consecutiveFailures",
            "Int!",
            "Failed attempts since the last success; waiting for a rate limit or for Kombo's set-up is not counted.",
            Kind::Column("consecutive_failures"),
        ),
        field(
            "lastError",
            "SyncError",
            "Why the last attempt did not succeed; null after a success.",
            Kind::Embedded(&SYNC_ERROR, "{t}.error_code IS NOT NULL"),
        ),
        field(
            "activeRun",
            "SyncRun",
            "The run that is working, else the one that waits.",
            Kind::One(to_shape(
                &SYNC_RUN,
                relation("sync_runs {t}", "{t}.integration_id = {p}.integration_id AND {t}.endpoint = {p}.endpoint AND {t}.status IN ('QUEUED', 'RUNNING')").ordered("{t}.status DESC"),
            )),
        ),
        field(
            "lastRun",
            "SyncRun",
            "The run that ended last.",
            Kind::One(to_shape(
                &SYNC_RUN,
                relation("sync_runs {t}", "{t}.integration_id = {p}.integration_id AND {t}.endpoint = {p}.endpoint AND {t}.status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')").ordered("{t}.id DESC"),
            )),
        ),
    ],
};

/// The GraphQL type `SyncError`: the same columns on runs and endpoint states.
pub(super) static SYNC_ERROR: Shape = Shape {
    name: "SyncError",
    description: "Why a fetch did not succeed.",
    is_node: false,
    fields: &[
        field(
            "code",
            "String!",
            "Kombo's `error.code`, an open set, or `MIRROR.*` where the mirror itself found the fault.",
            Kind::Column("error_code"),
        ),
        field(
            "message",
            "String!",
            "For people; may change.",
            Kind::Sql("coalesce({t}.error_message, '')"),
        ),
        field(
            "retryable",
            "Boolean!",
            "Whether the mirror tries again by itself soon.",
            Kind::Sql("coalesce({t}.error_retryable, false)"),
        ),
        field("at", "DateTime!", "When.", Kind::Column("error_at")),
        field(
            "logUrl",
            "String",
            "Kombo's log entry, a URL.",
            Kind::Column("error_log_url"),
        ),
    ],
};

/// The GraphQL type `SyncRun`.
pub(super) static SYNC_RUN: Shape = Shape {
    name: "SyncRun",
    description: "One fetch of one endpoint of one integration, from the queue to its end.",
    is_node: true,
    fields: &[
        field("id", "ID!", "Opaque, globally unique id.", Kind::NodeId),
        field(
            "integration",
            "Integration!",
            "Whose data.",
            integration_of_row(),
        ),
        field(
            "endpoint",
            "KomboEndpoint!",
            "From where.",
            Kind::Sql("upper({t}.endpoint)"),
        ),
        field("mode", "SyncMode!", "How far.", Kind::Column("mode")),
        field("trigger", "SyncTrigger!", "Why.", Kind::Column("trigger")),
        field(
            "requestedBy",
            "String",
            "Who asked, for manual runs.",
            Kind::Column("requested_by"),
        ),
        field(
            "reasons",
            "JSON!",
            "The first requests that were merged into the run, 10 at most; of webhooks, `webhookEvents` knows all.",
            Kind::Column("reasons"),
        ),
        field(
            "status",
            "SyncRunStatus!",
            "Where it stands.",
            Kind::Column("status"),
        ),
        field(
            "queuedAt",
            "DateTime!",
            "When it was asked for.",
            Kind::Column("queued_at"),
        ),
        field(
            "startedAt",
            "DateTime",
            "When a worker first took it.",
            Kind::Column("started_at"),
        ),
        field(
            "finishedAt",
            "DateTime",
            "When it ended.",
            Kind::Column("finished_at"),
        ),
        field(
            "updatedAfter",
            "DateTime",
            "What was asked of Kombo: changes after this; null for a full fetch.",
            Kind::Column("updated_after"),
        ),
        field(
            "attempts",
            "Int!",
            "How often a worker took it.",
            Kind::Column("attempts"),
        ),
        field(
            "pagesFetched",
            "Int!",
            "Pages stored.",
            Kind::Column("pages_fetched"),
        ),
        field(
            "recordsReceived",
            "Int!",
            "Records received, nested ones included: inserted, updated, unchanged and parked.",
            Kind::Column("records_received"),
        ),
        field(
            "recordsInserted",
            "Int!",
            "Records that were new to the mirror.",
            Kind::Column("records_inserted"),
        ),
        field(
            "recordsUpdated",
            "Int!",
            "Records whose content changed.",
            Kind::Column("records_updated"),
        ),
        field(
            "recordsUnchanged",
            "Int!",
            "Records that were mirrored already as they are; nothing was written.",
            Kind::Column("records_unchanged"),
        ),
        field(
            "recordsParked",
            "Int!",
            "Records that could not be read; they are kept aside.",
            Kind::Column("records_parked"),
        ),
        field(
            "recordsDeleted",
            "Int!",
            "Records that were alive before and are deleted now, by tombstone or by absence.",
            Kind::Column("records_deleted"),
        ),
        field(
            "driftedRecords",
            "Int!",
            "Rows that a full fetch corrected although no delta had announced them.",
            Kind::Sql("({t}.drift_inserted + {t}.drift_updated + {t}.drift_removed)"),
        ),
        field(
            "expectedRecords",
            "Int",
            "Records known before the run, for a progress bar; null when unknown.",
            Kind::Column("expected_records"),
        ),
        field(
            "removalsHeldBack",
            "Int!",
            "Absent rows that the removal guard keeps until `approveRemovals`, or until a later full fetch judges anew.",
            Kind::Column("removals_held_back"),
        ),
        field(
            "heldBackRemovals",
            "HeldBackRemovalConnection!",
            "Those rows.",
            Kind::Connection(to_shape(
                &HELD_BACK_REMOVAL,
                relation(
                    "held_back_removals {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.run_id = {p}.id",
                ),
            )),
        ),
        field(
            "driftInserted",
            "Int!",
            "Of the drift: rows that were not in the mirror.",
            Kind::Column("drift_inserted"),
        ),
        field(
            "driftUpdated",
            "Int!",
            "Of the drift: rows that were different.",
            Kind::Column("drift_updated"),
        ),
        field(
            "driftRemoved",
            "Int!",
            "Of the drift: rows that were in the mirror only.",
            Kind::Column("drift_removed"),
        ),
        field(
            "missedAnnouncements",
            "Int!",
            "Rows that a delta found although no webhook had announced them within two minutes.",
            Kind::Column("missed_announcements"),
        ),
        field(
            "error",
            "SyncError",
            "Why it failed, or why it waits.",
            Kind::Embedded(&SYNC_ERROR, "{t}.error_code IS NOT NULL"),
        ),
    ],
};
