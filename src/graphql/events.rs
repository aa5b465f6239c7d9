//! What GraphQL shows of the inbox: which webhooks came, and what became of them. Never their words.

use super::records::{field, to_shape};
use super::status::SYNC_RUN;
use crate::models::object::{EnumType, Kind, Shape, relation};

/// The GraphQL enum `WebhookOutcome`.
pub(super) static WEBHOOK_OUTCOME: EnumType = EnumType {
    name: "WebhookOutcome",
    description: "What became of a webhook event.",
    values: &[
        ("QUEUED_SYNC", "At least one sync run was added."),
        ("COALESCED", "All its sync runs were waiting already."),
        (
            "INTEGRATION_UPDATED",
            "Only what is known of an integration changed.",
        ),
        (
            "IGNORED",
            "Stored, and nothing follows from it: another product's, a deleted integration's, of an unknown type, or unusable.",
        ),
    ],
    is_kombos: false,
};

/// The GraphQL type `WebhookEvent`.
pub(super) static WEBHOOK_EVENT: Shape = Shape {
    name: "WebhookEvent",
    description: "A webhook of Kombo's whose signature was good.",
    is_node: false,
    fields: &[
        field(
            "id",
            "ID!",
            "Kombo's event id, or a digest of the body where it had none.",
            Kind::Column("id"),
        ),
        field(
            "type",
            "String!",
            "Kombo's word for what happened, for instance `data-changed`; an open set, empty where it had none.",
            Kind::Column("type"),
        ),
        field(
            "integrationKomboId",
            "ID",
            "Kombo's id of the integration that it names.",
            Kind::Column("integration_id"),
        ),
        field(
            "receivedAt",
            "DateTime!",
            "When it was first received, by the mirror's clock.",
            Kind::Column("received_at"),
        ),
        field(
            "duplicates",
            "Int!",
            "How many more times the same event came.",
            Kind::Column("duplicates"),
        ),
        field(
            "changedModels",
            "[String!]!",
            "Kombo's names of the models that it calls changed; an open set.",
            Kind::Column("changed_models"),
        ),
        field(
            "outcome",
            "WebhookOutcome!",
            "What became of it.",
            Kind::Column("outcome"),
        ),
        field(
            "runs",
            "[SyncRun!]!",
            "The sync runs that it asked for, as far as they are still kept.",
            Kind::List(to_shape(
                &SYNC_RUN,
                relation(
                    "sync_runs {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.id = ANY({p}.run_ids)",
                )
                .ordered("{t}.id"),
            )),
        ),
    ],
};
