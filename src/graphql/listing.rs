//! Where the rows of a list are, and in which order it is read.
//!
//! An order is unique, so that a cursor names one place, and has an index behind it. A list without both must
//! not be offered.

use chrono::DateTime;

use crate::models::object::{Shape, Target};

/// The order of a connection: unique, so that a cursor names one place.
pub(super) struct Order {
    /// Bound into the cursor.
    pub(super) name: &'static str,
    /// Columns, most significant first, each with its type.
    pub(super) keys: &'static [(&'static str, &'static str)],
    pub(super) direction: &'static str,
    /// Rows behind a cursor compare so with it.
    pub(super) comparison: &'static str,
}

const BY_KOMBO_ID: Order = Order {
    name: "KOMBO_ID",
    keys: &[("id", "text"), ("integration_id", "text")],
    direction: "ASC",
    comparison: ">",
};

const BY_ID: Order = Order {
    name: "ID",
    keys: &[("id", "text")],
    direction: "ASC",
    comparison: ">",
};

const NEWEST_FIRST: Order = Order {
    name: "NEWEST",
    keys: &[("id", "bigint")],
    direction: "DESC",
    comparison: "<",
};

const BY_SEQUENCE: Order = Order {
    name: "SEQUENCE",
    keys: &[("sequence", "bigint")],
    direction: "ASC",
    comparison: ">",
};

const BY_ENDPOINT: Order = Order {
    name: "ENDPOINT",
    keys: &[
        ("integration_id", "text"),
        ("endpoint", "text"),
        ("id", "text"),
    ],
    direction: "ASC",
    comparison: ">",
};

const BY_MEMBER: Order = Order {
    name: "MEMBER",
    keys: &[
        ("integration_id", "text"),
        ("table_name", "text"),
        ("kind", "text"),
        ("name", "text"),
    ],
    direction: "ASC",
    comparison: ">",
};

const BY_ROW: Order = Order {
    name: "ROW",
    keys: &[
        ("table_name", "text"),
        ("id", "text"),
        ("linked_id", "text"),
    ],
    direction: "ASC",
    comparison: ">",
};

const NEWEST_EVENT_FIRST: Order = Order {
    name: "NEWEST_EVENT",
    keys: &[("received_at", "timestamptz"), ("id", "text")],
    direction: "DESC",
    comparison: "<",
};

/// A list of what is no mirrored record.
struct Listing {
    /// The type's name.
    name: &'static str,
    table: &'static str,
    /// The column that names the integration.
    integration: &'static str,
    order: &'static Order,
    /// Each integration gives its own first rows by an index that leads with it.
    by_integration: bool,
}

const LISTINGS: &[Listing] = &[
    listing("Integration", "integrations", "id", &BY_ID),
    listing("SyncRun", "sync_runs", "integration_id", &NEWEST_FIRST),
    listing(
        "WebhookEvent",
        "webhook_events",
        "integration_id",
        &NEWEST_EVENT_FIRST,
    ),
    Listing {
        by_integration: true,
        ..listing(
            "RecordChange",
            "record_changes",
            "integration_id",
            &BY_SEQUENCE,
        )
    },
    listing(
        "ParkedRecord",
        "parked_records",
        "integration_id",
        &BY_ENDPOINT,
    ),
    listing("SchemaDrift", "schema_drift", "integration_id", &BY_MEMBER),
    listing(
        "HeldBackRemoval",
        "held_back_removals",
        "integration_id",
        &BY_ROW,
    ),
];

const fn listing(
    name: &'static str,
    table: &'static str,
    integration: &'static str,
    order: &'static Order,
) -> Listing {
    Listing {
        name,
        table,
        integration,
        order,
        by_integration: false,
    }
}

impl Listing {
    fn of(shape: &Shape) -> Option<&'static Self> {
        LISTINGS.iter().find(|listing| listing.name == shape.name)
    }
}

/// Whether a shape is shown in lists, page by page.
pub(super) fn has_lists(shape: &Shape) -> bool {
    Listing::of(shape).is_some()
}

impl Order {
    pub(super) fn of(target: Target) -> &'static Self {
        match target {
            Target::Mirrored(_) => &BY_KOMBO_ID,
            Target::Plain(shape) => {
                Listing::of(shape).map_or(&NEWEST_FIRST, |listing| listing.order)
            }
        }
    }

    /// Whether the keys of a cursor, which a client may have made up, have the types of the columns.
    pub(super) fn accepts(&self, keys: &[String]) -> bool {
        self.keys.iter().zip(keys).all(|((_, ty), key)| match *ty {
            "bigint" => key.parse::<i64>().is_ok(),
            "timestamptz" => DateTime::parse_from_rfc3339(key).is_ok(),
            _ => true,
        })
    }

    pub(super) fn columns(&self, alias: &str) -> Vec<String> {
        self.keys
            .iter()
            .map(|(column, _)| format!("{alias}.{column}"))
            .collect()
    }

    pub(super) fn order_by(&self, alias: &str) -> String {
        self.columns(alias)
            .iter()
            .map(|column| format!("{column} {}", self.direction))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The table of a target, its column that names the integration, and whether its indexes lead with that.
pub(super) fn place(target: Target) -> (&'static str, &'static str, bool) {
    match target {
        Target::Mirrored(object) => (object.table.name, "integration_id", true),
        Target::Plain(shape) => Listing::of(shape)
            .map_or(("sync_runs", "integration_id", false), |listing| {
                (listing.table, listing.integration, listing.by_integration)
            }),
    }
}
