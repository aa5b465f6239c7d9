//! The schema's types, made from the descriptions of the models and of the sync.
//!
//! async-graphql keeps validation, introspection and SDL; this file tells it what types there are. The
//! same lists answer the planner's questions, so schema and answers cannot disagree.

use async_graphql::indexmap::IndexMap;
use async_graphql::registry::{
    CacheControl, Deprecation, MetaEnumValue, MetaField, MetaInputValue, MetaType, Registry,
};

use super::{events, feed, inputs, listing, records, status, summary, words};
use crate::models;
use crate::models::object::{EnumType, Field, INTEGRATION_FIELD, Kind, Object, Shape, Target};

/// Shapes beside the mirrored objects.
const SHAPES: &[&Shape] = &[
    &records::INTEGRATION,
    &status::ENDPOINT_SYNC_STATUS,
    &status::SYNC_RUN,
    &status::SYNC_ERROR,
    &feed::RECORD_CHANGE,
    &feed::PARKED_RECORD,
    &feed::SCHEMA_DRIFT,
    &feed::HELD_BACK_REMOVAL,
    &events::WEBHOOK_EVENT,
    &summary::COURSE_PROGRESSION_GROUP,
    &INTEGRATION_FIELD,
];

const NODE: &str = "Node";
const MIRRORED_RECORD: &str = "MirroredRecord";

/// A type's name.
pub(super) fn name(target: Target) -> &'static str {
    match target {
        Target::Mirrored(object) => object.name,
        Target::Plain(shape) => shape.name,
    }
}

/// A type's name and its interfaces': what a fragment's condition may say to apply.
pub(super) fn type_names(target: Target) -> Vec<&'static str> {
    match target {
        Target::Mirrored(object) => vec![object.name, NODE, MIRRORED_RECORD],
        Target::Plain(shape) if shape.is_node => vec![shape.name, NODE],
        Target::Plain(shape) => vec![shape.name],
    }
}

/// A type's field.
pub(super) fn field(target: Target, name: &str) -> Option<&'static Field> {
    fields(target).find(|field| field.name == name)
}

fn fields(target: Target) -> impl Iterator<Item = &'static Field> {
    let (common, own) = match target {
        Target::Mirrored(object) if object.table.has_tombstones() => {
            (records::RECORD_FIELDS, object.fields)
        }
        Target::Mirrored(object) => (records::DATELESS_RECORD_FIELDS, object.fields),
        Target::Plain(shape) => (shape.fields, [].as_slice()),
    };
    common.iter().chain(own)
}

/// The mirrored type with this name.
pub(super) fn mirrored(name: &str) -> Option<&'static Object> {
    models::OBJECTS
        .iter()
        .copied()
        .find(|object| object.name == name)
}

/// Adds every type below the roots.
pub(super) fn register(registry: &mut Registry) {
    for object in models::OBJECTS {
        let target = Target::Mirrored(object);
        add_object(
            registry,
            object.name,
            object.description,
            fields(target).map(|field| meta_field(target, field)),
        );
        registry.add_implements(object.name, NODE);
        registry.add_implements(object.name, MIRRORED_RECORD);
        add_connection(registry, object.name, true);
    }
    for shape in SHAPES {
        let target = Target::Plain(shape);
        add_object(
            registry,
            shape.name,
            shape.description,
            fields(target).map(|field| meta_field(target, field)),
        );
        if shape.is_node {
            registry.add_implements(shape.name, NODE);
        }
        if listing::has_lists(shape) {
            add_connection(registry, shape.name, false);
        }
    }
    for values in models::ENUMS.iter().chain(words::ENUMS) {
        add_enum(registry, values);
    }
    add_mirrored_model(registry);
    let keys: Vec<(&str, &str)> = summary::GROUP_KEYS
        .iter()
        .map(|(name, description, _)| (*name, *description))
        .collect();
    add_words(
        registry,
        "CourseProgressionGroupKey",
        "What a summary groups by.",
        &keys,
    );
    inputs::register(registry, SHAPES);
    add_plain_types(registry);
    add_interfaces(registry);
}

/// `MirroredModel`: one word for each mirrored type.
fn add_mirrored_model(registry: &mut Registry) {
    let words: Vec<(String, &str)> = models::OBJECTS
        .iter()
        .map(|object| (feed::model_word(object), object.description))
        .collect();
    let words: Vec<(&str, &str)> = words
        .iter()
        .map(|(word, description)| (word.as_str(), *description))
        .collect();
    add_words(registry, "MirroredModel", "A mirrored type.", &words);
}

/// `Node` and `MirroredRecord`, with the types that implement them.
pub(super) fn add_interfaces(registry: &mut Registry) {
    let record = Target::Mirrored(models::OBJECTS[0]);
    let id = field(record, "id").map(|id| meta_field(record, id));
    let shapes = SHAPES
        .iter()
        .filter(|shape| shape.is_node)
        .map(|shape| shape.name);
    let records = || models::OBJECTS.iter().map(|object| object.name);
    add_interface(
        registry,
        NODE,
        "Anything with a globally unique id (Relay's object identification).",
        id,
        records().chain(shapes),
    );
    add_interface(
        registry,
        MIRRORED_RECORD,
        "What every record of Kombo has in the mirror.",
        records::RECORD_FIELDS
            .iter()
            .map(|field| meta_field(record, field)),
        records(),
    );
}

fn add_plain_types(registry: &mut Registry) {
    let cursor = "Cursor, opaque; null in an empty page.";
    add_object(
        registry,
        "PageInfo",
        "Where a page stands (Relay's cursor connections).",
        [
            simple(
                "hasNextPage",
                "Boolean!",
                "Whether there is more behind this page.",
            ),
            simple(
                "hasPreviousPage",
                "Boolean!",
                "Whether there is something before this page.",
            ),
            simple("startCursor", "String", cursor),
            simple("endCursor", "String", cursor),
        ],
    );
    add_object(
        registry,
        "Freshness",
        "How old an answer may be: the oldest of the endpoints and integrations that it was read from.",
        [
            simple(
                "asOf",
                "DateTime",
                "Everything that Kombo knew at this moment is in the answer; null before the first load.",
            ),
            simple("lagSeconds", "Float", "Seconds since then."),
            simple(
                "complete",
                "Boolean!",
                "Whether no first load is missing, no endpoint is failing, and no removal is held back.",
            ),
        ],
    );
}

fn add_connection(registry: &mut Registry, node: &str, has_freshness: bool) {
    let edge = format!("{node}Edge");
    add_object(
        registry,
        &edge,
        "A record and its place in the list.",
        [
            simple(
                "cursor",
                "String!",
                "The place, opaque; good for `after` and `before`.",
            ),
            simple("node", &format!("{node}!"), "The record."),
        ],
    );
    let mut fields = vec![
        simple(
            "edges",
            &format!("[{edge}!]!"),
            "The page's records with their places.",
        ),
        simple("nodes", &format!("[{node}!]!"), "The page's records."),
        simple("pageInfo", "PageInfo!", "Where the page stands."),
        simple(
            "totalCount",
            "Int!",
            "How many records the whole list has; costs a query only where it is asked for.",
        ),
    ];
    if has_freshness {
        fields.push(simple(
            "freshness",
            "Freshness!",
            "How old the answer may be.",
        ));
    }
    add_object(
        registry,
        &format!("{node}Connection"),
        "A page of a list.",
        fields,
    );
}

fn add_object(
    registry: &mut Registry,
    name: &str,
    description: &str,
    fields: impl IntoIterator<Item = MetaField>,
) {
    let described = object(name, description, fields);
    registry.types.insert(name.to_owned(), described);
}

/// An object type.
pub(super) fn object(
    name: &str,
    description: &str,
    fields: impl IntoIterator<Item = MetaField>,
) -> MetaType {
    MetaType::Object {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        fields: by_name(fields),
        cache_control: CacheControl::default(),
        extends: false,
        shareable: false,
        resolvable: true,
        keys: None,
        visible: None,
        inaccessible: false,
        interface_object: false,
        tags: Vec::new(),
        is_subscription: false,
        rust_typename: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}

fn add_interface<'a>(
    registry: &mut Registry,
    name: &str,
    description: &str,
    fields: impl IntoIterator<Item = MetaField>,
    possible_types: impl Iterator<Item = &'a str>,
) {
    registry.types.insert(
        name.to_owned(),
        MetaType::Interface {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            fields: by_name(fields),
            possible_types: possible_types.map(str::to_owned).collect(),
            extends: false,
            keys: None,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: None,
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        },
    );
}

fn add_enum(registry: &mut Registry, values: &EnumType) {
    let mut words = values.values.to_vec();
    if values.is_kombos {
        words.push((
            "UNKNOWN",
            "A value that this version does not know, or none yet.",
        ));
    }
    add_words(registry, values.name, values.description, &words);
}

pub(super) fn add_words(
    registry: &mut Registry,
    name: &str,
    description: &str,
    words: &[(&str, &str)],
) {
    let enum_values: IndexMap<String, MetaEnumValue> = words
        .iter()
        .map(|(word, description)| {
            let value = MetaEnumValue {
                name: (*word).to_owned(),
                description: Some((*description).to_owned()),
                deprecation: Deprecation::NoDeprecated,
                visible: None,
                inaccessible: false,
                tags: Vec::new(),
                directive_invocations: Vec::new(),
            };
            ((*word).to_owned(), value)
        })
        .collect();
    registry.types.insert(
        name.to_owned(),
        MetaType::Enum {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            enum_values,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: None,
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        },
    );
}

fn by_name(fields: impl IntoIterator<Item = MetaField>) -> IndexMap<String, MetaField> {
    fields
        .into_iter()
        .map(|field| (field.name.clone(), field))
        .collect()
}

fn meta_field(of: Target, described: &Field) -> MetaField {
    let mut field = simple(described.name, described.ty, described.description);
    if let Kind::Connection(link) = &described.kind {
        let is_top = name(of) == records::INTEGRATION.name;
        for argument in inputs::connection_arguments(link.target, is_top) {
            field.args.insert(argument.name.clone(), argument);
        }
    }
    field
}

/// A field without arguments.
pub(super) fn simple(name: &str, ty: &str, description: &str) -> MetaField {
    MetaField {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        args: IndexMap::default(),
        ty: ty.to_owned(),
        deprecation: Deprecation::NoDeprecated,
        cache_control: CacheControl::default(),
        external: false,
        requires: None,
        provides: None,
        visible: None,
        shareable: false,
        inaccessible: false,
        tags: Vec::new(),
        override_from: None,
        compute_complexity: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}

/// An argument.
pub(super) fn argument(
    name: &str,
    ty: &str,
    default: Option<&str>,
    description: &str,
) -> MetaInputValue {
    MetaInputValue {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        ty: ty.to_owned(),
        deprecation: Deprecation::NoDeprecated,
        default_value: default.map(str::to_owned),
        visible: None,
        inaccessible: false,
        tags: Vec::new(),
        is_secret: false,
        directive_invocations: Vec::new(),
    }
}
