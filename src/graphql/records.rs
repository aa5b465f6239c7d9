//! What GraphQL shows of every mirrored record, and of the integration that it belongs to.

use super::status::ENDPOINT_SYNC_STATUS;
use super::words::{INTEGRATION_SETUP_STATUS, INTEGRATION_STATE};
use crate::models;
use crate::models::object::{Field, Kind, Link, Relation, Shape, Target, relation};

pub(super) const fn field(
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

pub(super) const fn to_shape(target: &'static Shape, relation: Relation) -> Link {
    Link {
        target: Target::Plain(target),
        relation,
    }
}

const fn of_integration(from: &'static str) -> Relation {
    relation(from, "{t}.integration_id = {p}.id")
}

const fn records(
    name: &'static str,
    ty: &'static str,
    description: &'static str,
    link: Link,
) -> Field {
    field(name, ty, description, Kind::Connection(link))
}

/// By index, so that no webhook has to write it anywhere else.
const LAST_WEBHOOK: &str =
    "(SELECT max(e.received_at) FROM webhook_events e WHERE e.integration_id = {t}.id)";

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
            Kind::Column("registered_at"),
        ),
        field(
            "deletedAt",
            "DateTime",
            "When the mirror learnt that Kombo deleted it.",
            Kind::Column("deleted_at"),
        ),
        field(
            "purgedAt",
            "DateTime",
            "When the mirror removed all that it had of the deleted integration.",
            Kind::Column("purged_at"),
        ),
        field(
            "lastWebhookAt",
            "DateTime",
            "When the last valid webhook that names the integration was received, by the mirror's clock.",
            Kind::Sql(LAST_WEBHOOK),
        ),
        field(
            "lastKomboSyncAt",
            "DateTime",
            "When Kombo's own newest sync with the learning system ended, by Kombo's `sync-finished` webhook; null before the first.",
            Kind::Column("last_kombo_sync_at"),
        ),
        field(
            "lastKomboSyncState",
            "String",
            "Kombo's word for how that sync ended, for instance `SUCCEEDED` or `PARTIALLY_FAILED`; an open set.",
            Kind::Column("last_kombo_sync_state"),
        ),
        field(
            "dataExpiredAt",
            "DateTime",
            "Since when Kombo calls its data outdated (`data_expired_at`); null while it is good.",
            Kind::Column("data_expired_at"),
        ),
        field(
            "unavailableModels",
            "[String!]!",
            "Kombo's names of the models that the connector lacks or that are switched off, for instance `lms_skills`; an open set.",
            Kind::Column("unavailable_models"),
        ),
        field(
            "syncStatus",
            "[EndpointSyncStatus!]!",
            "How fresh each endpoint is, in alphabetical order.",
            Kind::List(to_shape(
                &ENDPOINT_SYNC_STATUS,
                relation("endpoint_states {t}", "{t}.integration_id = {p}.id")
                    .ordered("{t}.endpoint"),
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

/// From a row to its integration.
pub(super) const fn integration_of_row() -> Kind {
    Kind::One(to_shape(
        &INTEGRATION,
        relation("integrations {t}", "{t}.id = {p}.integration_id"),
    ))
}

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
        Kind::Column("changed_at"),
    ),
    field(
        "remoteDeletedAt",
        "DateTime",
        "When Kombo found that the record is gone from the learning system.",
        Kind::Column("remote_deleted_at"),
    ),
    field(
        "missingSince",
        "DateTime",
        "Since when a complete full fetch no longer contains the record.",
        Kind::Column("missing_since"),
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
        Kind::Column("mirrored_at"),
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
        Kind::Column("missing_since"),
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
        Kind::Column("mirrored_at"),
    ),
];
