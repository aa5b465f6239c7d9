//! What GraphQL shows of the sync's findings: what changed, what could not be read, what is new at Kombo, and
//! what waits for an approval.

use super::errors::Code;
use super::form::Part;
use super::paging::Page;
use super::plan::Plan;
use super::records::{field, integration_of_row, to_shape};
use super::status::SYNC_RUN;
use crate::models;
use crate::models::filters::Renamed;
use crate::models::object::{Field, Kind, Object, Shape, Target, relation};

/// The word of `MirroredModel` for a mirrored type.
pub(super) fn model_word(object: &Object) -> String {
    let mut word = String::new();
    for letter in object.name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_uppercase());
    }
    word
}

/// `MirroredModel` as stored: by the record's table.
pub(super) static MIRRORED_MODEL: Renamed = Renamed {
    name: "MirroredModel",
    stored: |word| {
        let mut objects = models::OBJECTS.iter();
        let object = objects.find(|object| model_word(object) == word)?;
        Some(object.table.name.to_owned())
    },
};

/// The word for the table that a column names.
fn model(column: &str) -> String {
    let cases: String = models::OBJECTS
        .iter()
        .map(|object| {
            format!(
                "WHEN '{}' THEN '{}' ",
                object.table.name,
                model_word(object)
            )
        })
        .collect();
    // links belong to their owner
    let links: String = models::ALL
        .iter()
        .flat_map(|endpoint| endpoint.links)
        .filter_map(|link| {
            let owner = models::OBJECTS
                .iter()
                .find(|object| object.table.name == link.owner.name)?;
            Some(format!(
                "WHEN '{}' THEN '{}' ",
                link.name,
                model_word(owner)
            ))
        })
        .collect();
    format!("CASE {{t}}.{column} {cases}{links}END")
}

fn model_of_change() -> String {
    model("model")
}

fn model_of_table() -> String {
    model("table_name")
}

/// The field that shows a column: by its description, or the relation that an id stands for.
fn field_of(column: &str) -> String {
    let described = models::OBJECTS
        .iter()
        .flat_map(|object| object.fields)
        .find(|field| match field.kind {
            Kind::Column(shown) => shown == column && !field.name.ends_with("Text"),
            Kind::Enum(shown, _) => shown == column,
            _ => false,
        });
    if let Some(field) = described {
        return field.name.to_owned();
    }
    let is_relation = !matches!(column, "remote_id" | "origin_id");
    let name = column
        .strip_suffix("_id")
        .filter(|_| is_relation)
        .unwrap_or(column);
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        camel + &initial.to_uppercase() + rest
    })
}

/// The changed columns as names of GraphQL fields.
fn changed_fields() -> String {
    let mut columns: Vec<&str> = models::OBJECTS
        .iter()
        .flat_map(|object| object.table.columns)
        .map(|column| column.name)
        .collect();
    columns.sort_unstable();
    columns.dedup();
    let cases: String = columns
        .iter()
        .map(|column| (column, field_of(column)))
        .filter(|(column, field)| *column != field)
        .map(|(column, field)| format!("WHEN '{column}' THEN '{field}' "))
        .collect();
    format!(
        "(SELECT coalesce(json_agg(CASE c.name {cases}WHEN 'unknown_fields' THEN 'unknownFields' ELSE c.name END \
         ORDER BY c.place), '[]'::json) FROM unnest({{t}}.changed_fields) WITH ORDINALITY AS c(name, place))"
    )
}

/// `answer` is refused where it would go on behind changes that were removed by age: whoever reads on there would miss
/// them without a word.
pub(super) fn not_forgotten<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    page: &Page,
    answer: Part<'q>,
) -> Part<'q> {
    let is_feed = matches!(target, Target::Plain(shape) if shape.name == RECORD_CHANGE.name);
    let (true, Some([sequence, ..])) = (is_feed, page.after.as_deref()) else {
        return answer;
    };
    let visible = plan.visible("i.id");
    let narrowed = plan.narrowed(&page.filter, "i.id");
    let sequence = plan.statement.text(sequence);
    let code = Code::BadUserInput.as_str();
    answer.checked(format!(
        "CASE WHEN EXISTS (SELECT FROM integrations i WHERE {visible}{narrowed} \
           AND i.changes_forgotten_to > (SELECT {sequence}::bigint)) \
         THEN refuse('{code} changes behind this cursor were removed after CHANGE_RETENTION; \
         read the records anew, and go on from the end of recordChanges') END"
    ))
}

const fn run_of_row() -> Kind {
    Kind::One(to_shape(
        &SYNC_RUN,
        relation(
            "sync_runs {t}",
            "{t}.id = {p}.run_id AND {t}.integration_id = {p}.integration_id",
        ),
    ))
}

const fn model_field(sql: fn() -> String) -> Field {
    field(
        "model",
        "MirroredModel!",
        "The record's type.",
        Kind::Computed(sql),
    )
}

/// The GraphQL type `RecordChange`.
pub(super) static RECORD_CHANGE: Shape = Shape {
    name: "RecordChange",
    description: "A record that the mirror found changed. Kombo never says which record or field changed.",
    is_node: false,
    fields: &[
        field(
            "sequence",
            "ID!",
            "Place in the feed: a whole number that only rises, in the order of the commits.",
            Kind::Sql("{t}.sequence::text"),
        ),
        field(
            "at",
            "DateTime!",
            "When the mirror wrote it.",
            Kind::Column("at"),
        ),
        field(
            "kind",
            "ChangeKind!",
            "What happened.",
            Kind::Column("kind"),
        ),
        model_field(model_of_change),
        field(
            "komboId",
            "ID!",
            "The record's Kombo id.",
            Kind::Column("id"),
        ),
        field(
            "integration",
            "Integration!",
            "Whose record it is.",
            integration_of_row(),
        ),
        field(
            "changedFields",
            "[String!]!",
            "Names of the record's fields whose content differs from before; empty for a record that was unknown.",
            Kind::Computed(changed_fields),
        ),
        field(
            "record",
            "MirroredRecord",
            "The record as it is now; null once it is purged.",
            Kind::Record {
                model: "model",
                id: "id",
            },
        ),
        field(
            "run",
            "SyncRun",
            "The run that found the change.",
            run_of_row(),
        ),
    ],
};

/// The GraphQL type `ParkedRecord`.
pub(super) static PARKED_RECORD: Shape = Shape {
    name: "ParkedRecord",
    description: "A record that could not be read or stored: kept as it came until Kombo sends it in a readable form. Asked for again by every run of its endpoint.",
    is_node: false,
    fields: &[
        field(
            "integration",
            "Integration!",
            "Whose record it is.",
            integration_of_row(),
        ),
        field(
            "endpoint",
            "KomboEndpoint!",
            "Where it came from.",
            Kind::Sql("upper({t}.endpoint)"),
        ),
        field(
            "komboId",
            "ID",
            "Its Kombo id; null when even that is unreadable.",
            Kind::Sql("CASE WHEN {t}.id NOT LIKE '?%' THEN {t}.id END"),
        ),
        field(
            "error",
            "String!",
            "What is wrong with it; names members, never contents.",
            Kind::Column("error"),
        ),
        field(
            "record",
            "String!",
            "The record's JSON text as it came; may contain personal data.",
            Kind::Column("record"),
        ),
        field(
            "firstSeenAt",
            "DateTime!",
            "When it was parked first.",
            Kind::Column("first_seen_at"),
        ),
        field(
            "lastSeenAt",
            "DateTime!",
            "When it was parked last.",
            Kind::Column("last_seen_at"),
        ),
        field(
            "run",
            "SyncRun",
            "The run that parked it last.",
            run_of_row(),
        ),
    ],
};

/// The GraphQL type `SchemaDrift`.
pub(super) static SCHEMA_DRIFT: Shape = Shape {
    name: "SchemaDrift",
    description: "A member or a word of an enum that Kombo sends and that this version does not know. Nothing is lost by it.",
    is_node: false,
    fields: &[
        field(
            "integration",
            "Integration!",
            "Where it was seen.",
            integration_of_row(),
        ),
        model_field(model_of_table),
        field(
            "kind",
            "SchemaDriftKind!",
            "What is unknown.",
            Kind::Column("kind"),
        ),
        field(
            "name",
            "String!",
            "The member's name under Kombo's name; for a word the member, an equals sign and the word.",
            Kind::Column("name"),
        ),
        field(
            "firstSeenAt",
            "DateTime!",
            "When it was seen first.",
            Kind::Column("first_seen_at"),
        ),
        field(
            "lastSeenAt",
            "DateTime!",
            "When it was seen last.",
            Kind::Column("last_seen_at"),
        ),
        field(
            "sightings",
            "Int!",
            "Records received with it.",
            Kind::Sql("LEAST({t}.sightings, 2147483647)"),
        ),
    ],
};

/// The GraphQL type `HeldBackRemoval`.
pub(super) static HELD_BACK_REMOVAL: Shape = Shape {
    name: "HeldBackRemoval",
    description: "A row that Kombo no longer showed and that the removal guard kept; `approveRemovals` removes it.",
    is_node: false,
    fields: &[
        model_field(model_of_table),
        field(
            "komboId",
            "ID!",
            "The record's Kombo id; of a revision where one of its skills is held back.",
            Kind::Column("id"),
        ),
        field(
            "linkedKomboId",
            "ID",
            "The skill's Kombo id where only its place in the revision's list would go.",
            Kind::Sql("nullif({t}.linked_id, '')"),
        ),
        field(
            "record",
            "MirroredRecord",
            "The record.",
            Kind::Record {
                model: "table_name",
                id: "id",
            },
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_column_is_told_by_the_field_that_shows_it() {
        assert_eq!(field_of("first_name"), "firstName");
        assert_eq!(field_of("remote_deleted_at"), "remoteDeletedAt");
        assert_eq!(field_of("provider_id"), "provider");
        assert_eq!(field_of("course_revision_id"), "courseRevision");
        assert_eq!(field_of("origin_id"), "originId");
        assert_eq!(field_of("remote_id"), "remoteId");
        assert_eq!(field_of("status"), "status");
    }

    #[test]
    fn every_changed_column_leads_to_a_field_of_its_type() {
        use crate::models::object::Target;
        for object in models::OBJECTS {
            for column in object.table.columns {
                let name = field_of(column.name);
                let found = super::super::types::field(Target::Mirrored(object), &name);
                assert!(found.is_some(), "{}.{name}", object.name);
            }
        }
    }
}
