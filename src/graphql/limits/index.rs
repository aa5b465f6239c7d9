//! What the walk must know of the schema: which field gives which type, and how long its lists may be.

use std::collections::{HashMap, HashSet};

use async_graphql::registry::{MetaField, MetaType, Registry};

/// How often what is selected below a field may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// At most once.
    Once,
    /// Once for each record of the page around it: the lists of a connection.
    PerRecord,
    /// Once for each of the ids in its argument.
    PerId,
    /// A list whose length nobody asks for.
    Plain(u64),
}

/// A field.
#[derive(Debug)]
pub(super) struct FieldOf {
    /// The name of its type, without lists and non-nulls.
    pub(super) ty: String,
    pub(super) times: Times,
    pub(super) arguments: HashSet<String>,
    /// Whether it takes `first` or `last`.
    pub(super) is_paged: bool,
}

/// The fields of every type, by the names of both.
pub(super) struct Index {
    types: HashMap<String, HashMap<String, FieldOf>>,
}

/// What a plain list counts: the endpoints of a few integrations, the skills of a course.
const PLAIN_LIST: u64 = 10;
/// What a list of the introspection counts: fields of a type, arguments of a field, words of an enum.
const INTROSPECTED_LIST: u64 = 4;

/// A field of the introspection: its name, its type, whether it is a list.
type Introspected = (&'static str, &'static str, bool);

/// The introspection's types and their fields.
const INTROSPECTION: &[(&str, &[Introspected])] = &[
    (
        "__Schema",
        &[
            ("types", "__Type", true),
            ("queryType", "__Type", false),
            ("mutationType", "__Type", false),
            ("subscriptionType", "__Type", false),
            ("directives", "__Directive", true),
        ],
    ),
    (
        "__Type",
        &[
            ("fields", "__Field", true),
            ("interfaces", "__Type", true),
            ("possibleTypes", "__Type", true),
            ("enumValues", "__EnumValue", true),
            ("inputFields", "__InputValue", true),
            ("ofType", "__Type", false),
        ],
    ),
    (
        "__Field",
        &[("args", "__InputValue", true), ("type", "__Type", false)],
    ),
    ("__InputValue", &[("type", "__Type", false)]),
    ("__Directive", &[("args", "__InputValue", true)]),
];

impl Index {
    /// The index of what a registry knows.
    pub(super) fn of(registry: &Registry) -> Self {
        let mut types: HashMap<String, HashMap<String, FieldOf>> = registry
            .types
            .iter()
            .filter_map(|(name, ty)| match ty {
                MetaType::Object { fields, .. } | MetaType::Interface { fields, .. } => {
                    let fields = fields.values();
                    Some((name.clone(), fields.map(|field| of(name, field)).collect()))
                }
                _ => None,
            })
            .collect();
        let types_of_schema = u64::try_from(registry.types.len()).unwrap_or(u64::MAX);
        for (name, fields) in INTROSPECTION {
            let fields = fields.iter().map(|(field, ty, is_list)| {
                let times = match (*is_list, *field) {
                    (true, "types") => Times::Plain(types_of_schema),
                    (true, _) => Times::Plain(INTROSPECTED_LIST),
                    (false, _) => Times::Once,
                };
                let field_of = FieldOf {
                    ty: (*ty).to_owned(),
                    times,
                    // there is one, of two fields
                    arguments: HashSet::from(["includeDeprecated".to_owned()]),
                    is_paged: false,
                };
                ((*field).to_owned(), field_of)
            });
            types.insert((*name).to_owned(), fields.collect());
        }
        Self { types }
    }

    /// A field that leads to an introspection, by its name at a root.
    pub(super) fn introspection(field: &str) -> Option<&'static str> {
        match field {
            "__schema" => Some("__Schema"),
            "__type" => Some("__Type"),
            _ => None,
        }
    }

    /// A type's field.
    pub(super) fn field(&self, ty: &str, field: &str) -> Option<&FieldOf> {
        self.types.get(ty)?.get(field)
    }

    /// Whether a type's fields are known.
    pub(super) fn knows(&self, ty: &str) -> bool {
        self.types.contains_key(ty) && !ty.starts_with("__")
    }
}

fn of(parent: &str, field: &MetaField) -> (String, FieldOf) {
    let is_list = field.ty.starts_with('[');
    let times = match is_list {
        false => Times::Once,
        true if parent.ends_with("Connection") => Times::PerRecord,
        true if field.args.contains_key("ids") => Times::PerId,
        true => Times::Plain(PLAIN_LIST),
    };
    let field_of = FieldOf {
        ty: field.ty.trim_matches(['[', ']', '!'].as_slice()).to_owned(),
        times,
        arguments: field.args.keys().cloned().collect(),
        is_paged: field.args.contains_key("first") || field.args.contains_key("last"),
    };
    (field.name.clone(), field_of)
}
