//! The fields of `Query`, as a list: what each is called, what it takes, and what it reads.
//!
//! A list and no resolvers: the one read path answers them all.

use std::sync::LazyLock;

use async_graphql::registry::MetaField;

use super::events::WEBHOOK_EVENT;
use super::feed::{PARKED_RECORD, RECORD_CHANGE, SCHEMA_DRIFT};
use super::records::INTEGRATION;
use super::status::SYNC_RUN;
use super::{inputs, types};
use crate::models;
use crate::models::object::{Object, Target};

/// A field of `Query`.
pub(super) struct Root {
    pub(super) field: MetaField,
    pub(super) reads: Reads,
}

/// What a root field reads.
#[derive(Clone, Copy)]
pub(super) enum Reads {
    /// Anything, by its opaque id.
    Node,
    /// The same for several ids.
    Nodes,
    /// Counts of course progressions.
    Summary,
    /// A record, by Kombo's id.
    Record(&'static Object),
    /// A list of records or of what else has a root list.
    Connection(Target),
    /// An integration, by Kombo's id.
    Integration,
    /// Every endpoint's state.
    SyncStatus,
    /// A run, by its opaque id.
    SyncRun,
    /// The same as a connection, for admins: it may show what no reader should see.
    Admins(Target),
}

/// Every field of `Query`; made once.
pub(super) fn roots() -> &'static [Root] {
    static ROOTS: LazyLock<Vec<Root>> = LazyLock::new(|| {
        let records = models::OBJECTS.iter().copied().flat_map(record_roots);
        let by_id = by_id_roots().into_iter();
        by_id
            .chain(records)
            .chain([summary_root()])
            .chain(sync_roots())
            .collect()
    });
    &ROOTS
}

/// What has an id beside the records, and the list of integrations.
fn by_id_roots() -> [Root; 4] {
    [
        root(
            "node",
            "Node",
            "Anything, by its opaque id; null when it does not exist or you may not see it.",
            Reads::Node,
        )
        .with(types::argument("id", "ID!", None, "The opaque id.")),
        root(
            "nodes",
            "[Node]!",
            "Anything, by opaque ids, in their order; null for what does not exist or you may not see.",
            Reads::Nodes,
        )
        .with(types::argument(
            "ids",
            "[ID!]!",
            None,
            "The opaque ids, at most 500.",
        )),
        root(
            "integration",
            "Integration",
            "An integration, by Kombo's id.",
            Reads::Integration,
        )
        .with(types::argument(
            "komboId",
            "ID!",
            None,
            "Kombo's integration id.",
        )),
        list(
            "integrations",
            Target::Plain(&INTEGRATION),
            "All integrations, by Kombo's id.",
        ),
    ]
}

fn summary_root() -> Root {
    root(
            "courseProgressionSummary",
            "[CourseProgressionGroup!]!",
            "Counts of course progressions that are not deleted, the largest group first; at most 10,000 groups.",
            Reads::Summary,
        )
        .with(types::argument(
            "groupBy",
            "[CourseProgressionGroupKey!]!",
            None,
            "What makes a group; an empty list counts all as one.",
        ))
        .with(types::argument(
            "filter",
            "CourseProgressionFilter",
            None,
            "Only progressions that fulfil this.",
        ))
}

/// What the sync is doing and has found.
fn sync_roots() -> [Root; 7] {
    [
        root(
            "syncStatus",
            "[EndpointSyncStatus!]!",
            "How fresh each endpoint of each integration is.",
            Reads::SyncStatus,
        )
        .with(types::argument(
            "integrationKomboId",
            "ID",
            None,
            "Only this integration; without it, every one that is not deleted.",
        )),
        root(
            "syncRun",
            "SyncRun",
            "A sync run, by its opaque id.",
            Reads::SyncRun,
        )
        .with(types::argument("id", "ID!", None, "The opaque id.")),
        list(
            "syncRuns",
            Target::Plain(&SYNC_RUN),
            "Sync runs, newest first.",
        ),
        list(
            "recordChanges",
            Target::Plain(&RECORD_CHANGE),
            "What really changed, in the order of the commits: whoever goes on at `endCursor` misses nothing. Kept for CHANGE_RETENTION; to go on behind what was removed is refused.",
        ),
        for_admins(list(
            "webhookEvents",
            Target::Plain(&WEBHOOK_EVENT),
            "Webhooks of Kombo's, newest first. Needs the admin scope.",
        )),
        for_admins(list(
            "parkedRecords",
            Target::Plain(&PARKED_RECORD),
            "Records that could not be read or stored. Needs the admin scope.",
        )),
        for_admins(list(
            "schemaDrift",
            Target::Plain(&SCHEMA_DRIFT),
            "What Kombo sends and this version does not know. Needs the admin scope.",
        )),
    ]
}

/// The look-up and the list of a mirrored type.
fn record_roots(object: &'static Object) -> [Root; 2] {
    let name = object.name;
    let by_id = format!(
        "A `{name}`, by Kombo's id, deleted or not; null when the mirror does not know it."
    );
    let which = "The integration's Kombo id; needed only where several integrations use one id, else the first by id answers.";
    let all = format!("`{name}` records of all integrations, by Kombo's id.");
    [
        root(object.singular, name, &by_id, Reads::Record(object))
            .with(types::argument("komboId", "ID!", None, "Kombo's id."))
            .with(types::argument("integrationKomboId", "ID", None, which)),
        list(object.plural, Target::Mirrored(object), &all),
    ]
}

fn root(name: &str, ty: &str, description: &str, reads: Reads) -> Root {
    Root {
        field: types::simple(name, ty, description),
        reads,
    }
}

fn list(name: &str, target: Target, description: &str) -> Root {
    let ty = format!("{}Connection!", types::name(target));
    inputs::connection_arguments(target, true).into_iter().fold(
        root(name, &ty, description, Reads::Connection(target)),
        Root::with,
    )
}

fn for_admins(root: Root) -> Root {
    match root.reads {
        Reads::Connection(target) => Root {
            reads: Reads::Admins(target),
            ..root
        },
        _ => root,
    }
}

impl Root {
    fn with(mut self, argument: async_graphql::registry::MetaInputValue) -> Self {
        self.field.args.insert(argument.name.clone(), argument);
        self
    }
}
