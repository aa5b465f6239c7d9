//! Where the rows of a list are, what it can be filtered by, and the order in which it is read.
//!
//! An order is unique, so that a cursor names one place, and has an index behind it. A list without both must
//! not be offered.

use super::feed::{MIRRORED_MODEL, RECORD_CHANGE};
use super::words::{
    CHANGE_KIND, INTEGRATION_STATE, KOMBO_ENDPOINT, SYNC_MODE, SYNC_RUN_STATUS, SYNC_TRIGGER,
};
use super::{events, feed, records, status};
use crate::models::filters::{
    self, Compared, Filter, INTEGRATION_KOMBO_ID, KOMBO_ID, id_filter, moment_filter, text_filter,
};
use crate::models::object::{Shape, Target};

/// A column, and its type in a cursor.
pub(super) struct Key {
    /// Over the row `{t}`.
    pub(super) sql: String,
    pub(super) ty: &'static str,
}

/// The order of a list: unique, so that a cursor names one place.
pub(super) struct Ordering {
    /// Bound into the cursor.
    pub(super) name: String,
    /// Most significant first; all go the same way.
    pub(super) keys: Vec<Key>,
    pub(super) descending: bool,
}

impl Ordering {
    /// An order of mirrored records: by a key if there is one, then by Kombo's id.
    pub(super) fn of_records(order: &filters::Order, descending: bool) -> Self {
        let id = |column: &str| Key {
            sql: format!("{{t}}.{column}"),
            ty: "text",
        };
        let by = order.by.iter().map(|by| Key {
            sql: by.key("{t}"),
            ty: by.key_type(),
        });
        let direction = if descending { " DESC" } else { "" };
        Self {
            name: format!("{}{direction}", order.name),
            keys: by.chain([id("id"), id("integration_id")]).collect(),
            descending,
        }
    }

    /// The only order of a list of what is no record.
    pub(super) fn of_shape(shape: &Shape) -> Self {
        let order = Listing::of(shape).map_or(&NEWEST_FIRST, |listing| listing.order);
        let keys = order.keys.iter().map(|(column, ty)| Key {
            sql: format!("{{t}}.{column}"),
            ty,
        });
        Self {
            name: order.name.to_owned(),
            keys: keys.collect(),
            descending: order.descending,
        }
    }

    /// The keys of the row `alias`.
    pub(super) fn columns(&self, alias: &str) -> Vec<String> {
        let filled = |key: &Key| key.sql.replace("{t}", alias);
        self.keys.iter().map(filled).collect()
    }

    /// ORDER BY for the row `alias`; `reversed` for pages that are read from their end.
    pub(super) fn order_by(&self, alias: &str, reversed: bool) -> String {
        let direction = if self.descending == reversed {
            "ASC"
        } else {
            "DESC"
        };
        let columns = self.columns(alias).into_iter();
        let terms: Vec<String> = columns.map(|key| format!("{key} {direction}")).collect();
        terms.join(", ")
    }
}

/// An order that does not depend on the client.
struct FixedOrder {
    name: &'static str,
    keys: &'static [(&'static str, &'static str)],
    descending: bool,
}

const fn ascending(
    name: &'static str,
    keys: &'static [(&'static str, &'static str)],
) -> FixedOrder {
    FixedOrder {
        name,
        keys,
        descending: false,
    }
}

const NEWEST_FIRST: FixedOrder = FixedOrder {
    name: "NEWEST",
    keys: &[("id", "bigint")],
    descending: true,
};

const NEWEST_EVENT_FIRST: FixedOrder = FixedOrder {
    name: "NEWEST_EVENT",
    keys: &[("received_at", "timestamptz"), ("id", "text")],
    descending: true,
};

const BY_ID: FixedOrder = ascending("ID", &[("id", "text")]);
const BY_SEQUENCE: FixedOrder = ascending("SEQUENCE", &[("sequence", "bigint")]);
const BY_ENDPOINT: FixedOrder = ascending(
    "ENDPOINT",
    &[
        ("integration_id", "text"),
        ("endpoint", "text"),
        ("id", "text"),
    ],
);
const BY_MEMBER: FixedOrder = ascending(
    "MEMBER",
    &[
        ("integration_id", "text"),
        ("table_name", "text"),
        ("kind", "text"),
        ("name", "text"),
    ],
);
const BY_ROW: FixedOrder = ascending(
    "ROW",
    &[
        ("table_name", "text"),
        ("id", "text"),
        ("linked_id", "text"),
    ],
);

/// Whether each integration gives its own first rows, by an index that leads with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ByIntegration {
    Always,
    /// Only where few integrations are asked for: the whole list has an index of its own.
    WhenNarrowed,
    Never,
}

/// A list of what is no mirrored record.
struct Listing {
    shape: &'static Shape,
    table: &'static str,
    /// The column that names the integration.
    integration: &'static str,
    by_integration: ByIntegration,
    order: &'static FixedOrder,
    filters: &'static [Filter],
}

const RECEIVED_AT: Filter = moment_filter(
    "receivedAt",
    "received_at",
    "When it was first received, by the mirror's clock.",
);

static SYNC_RUNS: Listing = Listing {
    by_integration: ByIntegration::WhenNarrowed,
    filters: &[
        INTEGRATION_KOMBO_ID,
        filters::filter(
            "endpoint",
            "From where.",
            Compared::Renamed("endpoint", &KOMBO_ENDPOINT),
        ),
        filters::word_filter("status", &SYNC_RUN_STATUS, "Where it stands."),
        filters::filter("mode", "How far.", Compared::Renamed("mode", &SYNC_MODE)),
        filters::word_filter("trigger", &SYNC_TRIGGER, "Why."),
        moment_filter("queuedAt", "queued_at", "When it was asked for."),
    ],
    ..listing(&status::SYNC_RUN, "sync_runs", &NEWEST_FIRST)
};

static LISTINGS: &[&Listing] = &[
    &Listing {
        integration: "id",
        filters: &[
            KOMBO_ID,
            text_filter("tool", "tool", "Slug of the connected tool."),
            filters::filter(
                "state",
                "State at Kombo.",
                Compared::Word("state", &INTEGRATION_STATE),
            ),
            filters::filter(
                "paused",
                "Whether the mirror leaves the integration alone by request.",
                Compared::Flag("paused"),
            ),
        ],
        ..listing(&records::INTEGRATION, "integrations", &BY_ID)
    },
    &SYNC_RUNS,
    &Listing {
        by_integration: ByIntegration::WhenNarrowed,
        filters: &[
            INTEGRATION_KOMBO_ID,
            text_filter("type", "type", "Kombo's word for what happened."),
            RECEIVED_AT,
        ],
        ..listing(
            &events::WEBHOOK_EVENT,
            "webhook_events",
            &NEWEST_EVENT_FIRST,
        )
    },
    &Listing {
        by_integration: ByIntegration::Always,
        filters: RECORD_CHANGE_FILTERS,
        ..listing(&RECORD_CHANGE, "record_changes", &BY_SEQUENCE)
    },
    &listing(&feed::PARKED_RECORD, "parked_records", &BY_ENDPOINT),
    &listing(&feed::SCHEMA_DRIFT, "schema_drift", &BY_MEMBER),
    &listing(&feed::HELD_BACK_REMOVAL, "held_back_removals", &BY_ROW),
];

/// What the change feed can be filtered by, as a list and as a subscription.
pub(super) static RECORD_CHANGE_FILTERS: &[Filter] = &[
    INTEGRATION_KOMBO_ID,
    filters::filter(
        "model",
        "The record's type.",
        Compared::Renamed("model", &MIRRORED_MODEL),
    ),
    filters::word_filter("kind", &CHANGE_KIND, "What happened."),
    id_filter("komboId", "id", "The record's Kombo id."),
    moment_filter("at", "at", "When the mirror wrote it."),
];

const fn listing(
    shape: &'static Shape,
    table: &'static str,
    order: &'static FixedOrder,
) -> Listing {
    Listing {
        shape,
        table,
        integration: "integration_id",
        by_integration: ByIntegration::Never,
        order,
        filters: &[],
    }
}

impl Listing {
    fn of(shape: &Shape) -> Option<&'static Self> {
        LISTINGS
            .iter()
            .copied()
            .find(|listing| listing.shape.name == shape.name)
    }
}

/// Whether a shape is shown in lists, page by page.
pub(super) fn has_lists(shape: &Shape) -> bool {
    Listing::of(shape).is_some()
}

/// What a list can be filtered by; none: its type has no filter input.
pub(super) fn filters_of(target: Target) -> &'static [Filter] {
    match target {
        Target::Mirrored(object) => object.filters,
        Target::Plain(shape) => Listing::of(shape).map_or(&[], |listing| listing.filters),
    }
}

/// Where rows are.
pub(super) struct Place {
    pub(super) table: &'static str,
    /// The column that names the integration.
    pub(super) integration: &'static str,
    pub(super) by_integration: ByIntegration,
}

/// Where the rows of a target are.
pub(super) fn place(target: Target) -> Place {
    let listing = match target {
        Target::Mirrored(object) => {
            return Place {
                table: object.table.name,
                integration: "integration_id",
                by_integration: ByIntegration::Always,
            };
        }
        Target::Plain(shape) => Listing::of(shape).unwrap_or(&SYNC_RUNS),
    };
    Place {
        table: listing.table,
        integration: listing.integration,
        by_integration: listing.by_integration,
    }
}
