//! The words in which a model says what GraphQL shows of it.
//!
//! Data, not resolvers: a field names a column, a relation says how two tables meet, and the one read path
//! (`graphql/`) makes schema and SQL from both. SQL fragments name the row's own table `{t}`, the parent's
//! `{p}` and the present moment `{now}`.

use super::filters::{Filter, Order};
use super::table::Table;

/// A GraphQL object type of mirrored records.
pub struct Object {
    /// Type name.
    pub name: &'static str,
    /// Name of its list on Query and Integration.
    pub plural: &'static str,
    /// Name of its look-up on Query.
    pub singular: &'static str,
    /// For the schema.
    pub description: &'static str,
    /// Where its rows are.
    pub table: &'static Table,
    /// Endpoints whose fetches decide how fresh it is.
    pub endpoints: &'static [&'static str],
    /// Fields beyond those that every mirrored record has.
    pub fields: &'static [Field],
    /// What its lists can be filtered by.
    pub filters: &'static [Filter],
    /// What its lists can be ordered by; the first is the default.
    pub orders: &'static [Order],
}

/// One field.
pub struct Field {
    /// Name in GraphQL.
    pub name: &'static str,
    /// Its type, as written in SDL.
    pub ty: &'static str,
    /// Meaning, with unit or source.
    pub description: &'static str,
    /// Where its value comes from.
    pub kind: Kind,
}

/// Where a field's value comes from.
pub enum Kind {
    /// A column, shown by its type: text, number, boolean, moment, JSON as it is.
    Column(&'static str),
    /// A column with a closed set of words; others read as UNKNOWN.
    Enum(&'static str, &'static EnumType),
    /// An SQL expression over `{t}`, shown by its type.
    Sql(&'static str),
    /// The same, made when it is needed.
    Computed(fn() -> String),
    /// The opaque id of the row: type, integration and Kombo's id.
    NodeId,
    /// At most one related row, or null.
    One(Link),
    /// All related rows, as a plain list.
    List(Link),
    /// Related rows, page by page.
    Connection(Link),
    /// The mirrored record, whatever its type, that a row names by table and id.
    Record {
        /// The column with the table's name.
        model: &'static str,
        /// The column with Kombo's id.
        id: &'static str,
    },
    /// An object made of the same row's columns; null where the condition over `{t}` is false.
    Embedded(&'static Shape, &'static str),
}

/// A way to related rows.
pub struct Link {
    /// What is found there.
    pub target: Target,
    /// How.
    pub relation: Relation,
}

/// What a link leads to.
#[derive(Clone, Copy)]
pub enum Target {
    /// Mirrored records.
    Mirrored(&'static Object),
    /// Anything else.
    Plain(&'static Shape),
}

/// How two tables meet, in SQL.
#[derive(Clone, Copy)]
pub struct Relation {
    /// The table between them, if there is one.
    pub through: Option<Through>,
    /// The FROM item, with the alias `{t}`.
    pub from: &'static str,
    /// The condition between `{t}` and `{p}`, or `{m}` where there is a table between; always names
    /// `integration_id`.
    pub on: &'static str,
    /// ORDER BY for One and List; connections have their own.
    pub order: &'static str,
}

/// A way over which tables meet on `on`.
#[must_use]
pub const fn relation(from: &'static str, on: &'static str) -> Relation {
    Relation {
        through: None,
        from,
        on,
        order: "",
    }
}

impl Relation {
    /// In this order.
    #[must_use]
    pub const fn ordered(self, order: &'static str) -> Self {
        Self { order, ..self }
    }

    /// By way of a third table.
    #[must_use]
    pub const fn through(self, from: &'static str, on: &'static str) -> Self {
        Self {
            through: Some(Through { from, on }),
            ..self
        }
    }
}

/// A table between two others. A page takes the first rows of each of its rows by index and merges these few.
#[derive(Clone, Copy)]
pub struct Through {
    /// The FROM item, with the alias `{m}`.
    pub from: &'static str,
    /// The condition between `{m}` and `{p}`; always names `integration_id`.
    pub on: &'static str,
}

/// A GraphQL object type that is no mirrored record.
pub struct Shape {
    /// Type name.
    pub name: &'static str,
    /// For the schema.
    pub description: &'static str,
    /// Whether it implements `Node`.
    pub is_node: bool,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A GraphQL enum over a text column.
#[derive(Debug)]
pub struct EnumType {
    /// Type name.
    pub name: &'static str,
    /// For the schema.
    pub description: &'static str,
    /// Words as stored, each with its meaning.
    pub values: &'static [(&'static str, &'static str)],
    /// Whose words they are: Kombo may add some, and those read as `UNKNOWN` instead of breaking a query.
    pub is_kombos: bool,
}

/// A text column.
#[must_use]
pub const fn text_field(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Field {
    Field {
        name,
        ty: "String",
        description,
        kind: Kind::Column(column),
    }
}

/// A nullable timestamp column.
#[must_use]
pub const fn time_field(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Field {
    Field {
        name,
        ty: "DateTime",
        description,
        kind: Kind::Column(column),
    }
}

/// An enum field named like its column.
#[must_use]
pub const fn enumeration(
    name: &'static str,
    ty: &'static str,
    values: &'static EnumType,
    description: &'static str,
) -> Field {
    Field {
        name,
        ty,
        description,
        kind: Kind::Enum(name, values),
    }
}

/// A link to one record or a plain list of records.
#[must_use]
pub const fn to_one(target: &'static Object, relation: Relation) -> Link {
    Link {
        target: Target::Mirrored(target),
        relation,
    }
}

/// A link to records, page by page.
#[must_use]
pub const fn connection(target: &'static Object, relation: Relation) -> Link {
    to_one(target, relation)
}

/// `remoteCreatedAt`, wherever Kombo has it.
pub const REMOTE_CREATED_AT: Field = time_field(
    "remoteCreatedAt",
    "remote_created_at",
    "When the record was created in the learning system.",
);

/// `remoteData`, wherever Kombo has it.
pub const REMOTE_DATA: Field = Field {
    name: "remoteData",
    ty: "JSON",
    description: "The learning system's own payload, as Kombo passes it on; depends on your Kombo plan.",
    kind: Kind::Column("remote_data"),
};

/// `customFields`, wherever Kombo has it.
pub const CUSTOM_FIELDS: Field = Field {
    name: "customFields",
    ty: "JSON",
    description: "Custom fields as set up in Kombo, an object or null.",
    kind: Kind::Column("custom_fields"),
};

/// `integrationFields`, wherever Kombo has it.
pub const INTEGRATION_FIELDS: Field = Field {
    name: "integrationFields",
    ty: "[IntegrationField!]!",
    description: "Fields of the connected system, in Kombo's order.",
    kind: Kind::List(Link {
        target: Target::Plain(&INTEGRATION_FIELD),
        relation: relation("jsonb_array_elements(CASE jsonb_typeof({p}.integration_fields) WHEN 'array' \
                   THEN {p}.integration_fields ELSE '[]' END) WITH ORDINALITY AS {t}(entry, position)", "jsonb_typeof({t}.entry) = 'object'").ordered("{t}.position"),
    }),
};

/// The GraphQL enum `IntegrationFieldType`.
pub static INTEGRATION_FIELD_TYPE: EnumType = EnumType {
    name: "IntegrationFieldType",
    description: "Where an integration field comes from.",
    values: &[
        ("DEFAULT", "Kombo reads it for every customer."),
        ("CUSTOM", "A field of the customer's own."),
    ],
    is_kombos: true,
};

/// The GraphQL type `IntegrationField`.
pub static INTEGRATION_FIELD: Shape = Shape {
    name: "IntegrationField",
    description: "A field of the connected system that Kombo passes on beside its unified fields.",
    is_node: false,
    fields: &[
        Field {
            name: "id",
            ty: "ID!",
            description: "Kombo's id of the field.",
            kind: Kind::Sql("coalesce({t}.entry->>'id', '')"),
        },
        Field {
            name: "key",
            ty: "String!",
            description: "The field's key in the connected system.",
            kind: Kind::Sql("coalesce({t}.entry->>'key', '')"),
        },
        Field {
            name: "type",
            ty: "IntegrationFieldType!",
            description: "Where the field comes from.",
            kind: Kind::Sql(
                "CASE WHEN {t}.entry->>'type' IN ('DEFAULT', 'CUSTOM') THEN {t}.entry->>'type' ELSE 'UNKNOWN' END",
            ),
        },
        Field {
            name: "label",
            ty: "String",
            description: "Label for people.",
            kind: Kind::Sql("{t}.entry->>'label'"),
        },
        Field {
            name: "value",
            ty: "JSON",
            description: "The value, any JSON.",
            kind: Kind::Sql("{t}.entry->'value'"),
        },
    ],
};
