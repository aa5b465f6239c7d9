//! What GraphQL shows of the sync itself: integrations, endpoint states and runs.

use async_graphql::Enum;

use crate::models::object::{EnumType, Field, Kind, Link, Relation, Shape, Target};
use crate::models::{self, Mode};

/// How far a sync run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum SyncMode {
    /// What changed since the watermark.
    Delta,
    /// Everything; the only mode that notices an absence and repairs drift.
    Full,
}

impl From<SyncMode> for Mode {
    fn from(mode: SyncMode) -> Self {
        match mode {
            SyncMode::Delta => Self::Delta,
            SyncMode::Full => Self::Full,
        }
    }
}

/// A list endpoint of Kombo's LMS API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum KomboEndpoint {
    /// `GET /lms/users`: users.
    Users,
    /// `GET /lms/courses`: courses with their providers, revisions and skill assignments.
    Courses,
    /// `GET /lms/skills`: skills.
    Skills,
    /// `GET /lms/course-progressions`: course progressions.
    CourseProgressions,
}

impl KomboEndpoint {
    /// The endpoint's description.
    #[must_use]
    pub fn endpoint(self) -> &'static models::Endpoint {
        match self {
            Self::Users => &models::users::ENDPOINT,
            Self::Courses => &models::courses::ENDPOINT,
            Self::Skills => &models::skills::ENDPOINT,
            Self::CourseProgressions => &models::course_progressions::ENDPOINT,
        }
    }
}

/// Enums of the sync, as stored.
pub(super) const ENUMS: &[&EnumType] = &[
    &SYNC_TRIGGER,
    &SYNC_RUN_STATUS,
    &SYNC_HEALTH,
    &INTEGRATION_STATE,
    &INTEGRATION_SETUP_STATUS,
];

static SYNC_TRIGGER: EnumType = EnumType {
    name: "SyncTrigger",
    description: "Why a sync run exists.",
    values: &[
        ("INITIAL", "The endpoint had never been fetched completely."),
        (
            "WEBHOOK",
            "A `data-changed` webhook named a model of the endpoint.",
        ),
        ("SCHEDULE", "The periodic full fetch was due."),
        (
            "CATCH_UP",
            "A periodic delta that looks for what no webhook announced, or for records known only in part.",
        ),
        ("MANUAL", "Somebody asked, by `triggerResync`."),
    ],
    is_kombos: false,
};

static SYNC_RUN_STATUS: EnumType = EnumType {
    name: "SyncRunStatus",
    description: "Where a sync run stands.",
    values: &[
        ("QUEUED", "Waiting for a worker."),
        (
            "RUNNING",
            "Begun; also while it waits for Kombo, then `error` says why.",
        ),
        (
            "SUCCEEDED",
            "All pages are stored and the watermark has moved.",
        ),
        (
            "FAILED",
            "Given up; `error` says why, and the watermark is where it was.",
        ),
        ("CANCELLED", "Taken out of the queue."),
    ],
    is_kombos: false,
};

static SYNC_HEALTH: EnumType = EnumType {
    name: "SyncHealth",
    description: "How an endpoint of an integration is doing.",
    values: &[
        (
            "UP_TO_DATE",
            "The last fetch was complete and the next one is not overdue.",
        ),
        ("SYNCING", "A fetch is going on."),
        ("STALE", "The hourly catch-up is overdue."),
        ("FAILING", "The last attempts failed; `lastError` says why."),
        ("AWAITING_FIRST_SYNC", "Nothing was fetched completely yet."),
        ("PAUSED", "The integration is paused or deleted."),
        (
            "UNAVAILABLE",
            "Kombo says that this connector has no such model, or that it is switched off.",
        ),
    ],
    is_kombos: false,
};

static INTEGRATION_STATE: EnumType = EnumType {
    name: "IntegrationState",
    description: "An integration's state at Kombo.",
    values: &[
        ("ACTIVE", "Kombo syncs it."),
        (
            "INVALID",
            "Its credentials are broken; Kombo has stopped syncing it.",
        ),
        ("INACTIVE", "It is switched off."),
        (
            "DELETED",
            "It was deleted at Kombo; the mirror fetches it no more.",
        ),
    ],
    is_kombos: true,
};

static INTEGRATION_SETUP_STATUS: EnumType = EnumType {
    name: "IntegrationSetupStatus",
    description: "How far the set-up of an integration has come at Kombo.",
    values: &[
        ("INCOMPLETE", "The end customer has not finished it."),
        ("FINAL_SYNC_PENDING", "Kombo's first sync is still running."),
        ("COMPLETED", "Done."),
    ],
    is_kombos: true,
};

const fn field(
    name: &'static str,
    ty: &'static str,
    description: &'static str,
    kind: Kind,
) -> Field {
    Field {
        name,
        ty,
        description,
        kind,
    }
}

const fn to_shape(target: &'static Shape, relation: Relation) -> Link {
    Link {
        target: Target::Plain(target),
        relation,
    }
}

const fn of_integration(from: &'static str) -> Relation {
    Relation {
        from,
        on: "{t}.integration_id = {p}.id",
        order: "",
    }
}

const fn records(
    name: &'static str,
    ty: &'static str,
    description: &'static str,
    link: Link,
) -> Field {
    field(name, ty, description, Kind::Connection(link))
}

/// The GraphQL type `Integration`.
pub(super) static INTEGRATION: Shape = Shape {
    name: "Integration",
    description: "A customer's connected learning system.",
    is_node: true,
    fields: &[
        field("id", "ID!", "Opaque, globally unique id.", Kind::NodeId),
        field(
            "komboId",
            "ID!",
            "Kombo's integration id, for instance `moodle:7C9M5s…`.",
            Kind::Column("id"),
        ),
        field(
            "tool",
            "String",
            "Slug of the connected tool, for instance `moodle`; an open set.",
            Kind::Column("tool"),
        ),
        field(
            "organizationName",
            "String",
            "The end customer's name, as given in Kombo's connection flow.",
            Kind::Column("organization_name"),
        ),
        field(
            "originId",
            "String",
            "Your own id of the end customer, as given in Kombo's connection flow.",
            Kind::Column("origin_id"),
        ),
        field(
            "state",
            "IntegrationState!",
            "State at Kombo; UNKNOWN until Kombo was asked.",
            Kind::Enum("state", &INTEGRATION_STATE),
        ),
        field(
            "setupStatus",
            "IntegrationSetupStatus",
            "Set-up at Kombo.",
            Kind::Enum("setup_status", &INTEGRATION_SETUP_STATUS),
        ),
        field(
            "paused",
            "Boolean!",
            "Whether the mirror leaves the integration alone by request.",
            Kind::Column("paused"),
        ),
        field(
            "registeredAt",
            "DateTime!",
            "When the mirror learnt of the integration.",
            Kind::Time("registered_at"),
        ),
        field(
            "deletedAt",
            "DateTime",
            "When the mirror learnt that Kombo deleted it.",
            Kind::Time("deleted_at"),
        ),
        field(
            "syncStatus",
            "[EndpointSyncStatus!]!",
            "How fresh each endpoint is, in alphabetical order.",
            Kind::List(to_shape(
                &ENDPOINT_SYNC_STATUS,
                Relation {
                    from: "endpoint_states {t}",
                    on: "{t}.integration_id = {p}.id",
                    order: "{t}.endpoint",
                },
            )),
        ),
        records(
            "users",
            "UserConnection!",
            "The integration's users.",
            Link {
                target: Target::Mirrored(&models::users::USER),
                relation: of_integration("users {t}"),
            },
        ),
        records(
            "courses",
            "CourseConnection!",
            "The integration's courses.",
            Link {
                target: Target::Mirrored(&models::courses::COURSE),
                relation: of_integration("courses {t}"),
            },
        ),
        records(
            "courseRevisions",
            "CourseRevisionConnection!",
            "The integration's course revisions.",
            Link {
                target: Target::Mirrored(&models::courses::COURSE_REVISION),
                relation: of_integration("course_revisions {t}"),
            },
        ),
        records(
            "courseProviders",
            "CourseProviderConnection!",
            "The integration's course providers.",
            Link {
                target: Target::Mirrored(&models::courses::COURSE_PROVIDER),
                relation: of_integration("course_providers {t}"),
            },
        ),
        records(
            "skills",
            "SkillConnection!",
            "The integration's skills.",
            Link {
                target: Target::Mirrored(&models::skills::SKILL),
                relation: of_integration("skills {t}"),
            },
        ),
        records(
            "courseProgressions",
            "CourseProgressionConnection!",
            "The integration's course progressions.",
            Link {
                target: Target::Mirrored(&models::course_progressions::COURSE_PROGRESSION),
                relation: of_integration("course_progressions {t}"),
            },
        ),
    ],
};

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

const fn integration_of_row() -> Kind {
    Kind::One(to_shape(
        &INTEGRATION,
        Relation {
            from: "integrations {t}",
            on: "{t}.id = {p}.integration_id",
            order: "",
        },
    ))
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
            Kind::Time("watermark"),
        ),
        field(
            "lastSuccessAt",
            "DateTime",
            "When the last complete fetch ended.",
            Kind::Time("last_success_at"),
        ),
        field(
            "lastFullFetchAt",
            "DateTime",
            "When the last complete full fetch ended.",
            Kind::Time("last_full_fetch_at"),
        ),
        field(
            "nextFullFetchAt",
            "DateTime",
            "When the next full fetch is due.",
            Kind::Time("next_full_fetch_at"),
        ),
        field(
            "lagSeconds",
            "Float",
            "Seconds since the start of the last complete fetch.",
            Kind::Sql("extract(epoch FROM {now} - {t}.watermark)::float8"),
        ),
        field(
            "liveRecords",
            "Int!",
            "Records of the endpoint that are not deleted.",
            Kind::Computed(live_records),
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
                Relation {
                    from: "sync_runs {t}",
                    on: "{t}.integration_id = {p}.integration_id AND {t}.endpoint = {p}.endpoint AND {t}.status IN ('QUEUED', 'RUNNING')",
                    order: "{t}.status DESC",
                },
            )),
        ),
        field(
            "lastRun",
            "SyncRun",
            "The run that ended last.",
            Kind::One(to_shape(
                &SYNC_RUN,
                Relation {
                    from: "sync_runs {t}",
                    on: "{t}.integration_id = {p}.integration_id AND {t}.endpoint = {p}.endpoint AND {t}.status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')",
                    order: "{t}.id DESC",
                },
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
        field("at", "DateTime!", "When.", Kind::Time("error_at")),
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
            "Every request that was merged into the run, up to 50.",
            Kind::Json("reasons"),
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
            Kind::Time("queued_at"),
        ),
        field(
            "startedAt",
            "DateTime",
            "When a worker first took it.",
            Kind::Time("started_at"),
        ),
        field(
            "finishedAt",
            "DateTime",
            "When it ended.",
            Kind::Time("finished_at"),
        ),
        field(
            "updatedAfter",
            "DateTime",
            "What was asked of Kombo: changes after this; null for a full fetch.",
            Kind::Time("updated_after"),
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
            Kind::Column("drifted_records"),
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
            "Absent rows that the removal guard kept.",
            Kind::Column("removals_held_back"),
        ),
        field(
            "error",
            "SyncError",
            "Why it failed, or why it waits.",
            Kind::Embedded(&SYNC_ERROR, "{t}.error_code IS NOT NULL"),
        ),
    ],
};

/// Fields of every mirrored record whose table has Kombo's dates.
pub(super) static RECORD_FIELDS: &[Field] = &[
    field("id", "ID!", "Opaque, globally unique id.", Kind::NodeId),
    field(
        "komboId",
        "ID!",
        "Kombo's id as sent; unique within one type of one integration.",
        Kind::Column("id"),
    ),
    field(
        "remoteId",
        "String",
        "Id in the learning system; may be made of several.",
        Kind::Column("remote_id"),
    ),
    field(
        "integration",
        "Integration!",
        "The integration that the record belongs to.",
        integration_of_row(),
    ),
    field(
        "changedAt",
        "DateTime",
        "Kombo's `changed_at`: when a property of the record itself last changed; null where Kombo shows none.",
        Kind::Time("changed_at"),
    ),
    field(
        "remoteDeletedAt",
        "DateTime",
        "When Kombo found that the record is gone from the learning system.",
        Kind::Time("remote_deleted_at"),
    ),
    field(
        "missingSince",
        "DateTime",
        "Since when a complete full fetch no longer contains the record.",
        Kind::Time("missing_since"),
    ),
    field(
        "isDeleted",
        "Boolean!",
        "Whether the record is gone, by Kombo's word or by its absence.",
        Kind::Sql("({t}.remote_deleted_at IS NOT NULL OR {t}.missing_since IS NOT NULL)"),
    ),
    field(
        "mirroredAt",
        "DateTime!",
        "When the mirror last wrote the row.",
        Kind::Time("mirrored_at"),
    ),
];

/// The same for tables without Kombo's dates.
pub(super) static DATELESS_RECORD_FIELDS: &[Field] = &[
    field("id", "ID!", "Opaque, globally unique id.", Kind::NodeId),
    field(
        "komboId",
        "ID!",
        "Kombo's id as sent; unique within one type of one integration.",
        Kind::Column("id"),
    ),
    field(
        "remoteId",
        "String",
        "Id in the learning system; may be made of several.",
        Kind::Column("remote_id"),
    ),
    field(
        "integration",
        "Integration!",
        "The integration that the record belongs to.",
        integration_of_row(),
    ),
    field(
        "changedAt",
        "DateTime",
        "Always null: Kombo shows no dates of these records.",
        Kind::Sql("NULL"),
    ),
    field(
        "remoteDeletedAt",
        "DateTime",
        "Always null: Kombo shows no dates of these records.",
        Kind::Sql("NULL"),
    ),
    field(
        "missingSince",
        "DateTime",
        "Since when a complete full fetch no longer contains the record.",
        Kind::Time("missing_since"),
    ),
    field(
        "isDeleted",
        "Boolean!",
        "Whether the record is gone, by its absence.",
        Kind::Sql("({t}.missing_since IS NOT NULL)"),
    ),
    field(
        "mirroredAt",
        "DateTime!",
        "When the mirror last wrote the row.",
        Kind::Time("mirrored_at"),
    ),
];
