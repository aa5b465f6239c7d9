//! What a connection of readers has prepared.
//!
//! Why not diesel's cache: it either knows no end or holds nothing. The statements of readers are theirs to choose, so
//! their number has no end; but an application asks the same few again and again, and planning such a statement costs
//! several times what running it does. So a text is prepared when it comes for the second time, and what was not asked
//! for longest is forgotten. It must never keep more of them than [`PREPARED_BYTES`], nor one plan for both sides of the
//! second wall.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;

use lru::LruCache;
use tokio_postgres::{Client, Error, Row};

use super::statement::Wire;

/// Texts that a connection remembers to have seen once; a fingerprint each.
const SEEN_ONCE: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
/// Bytes of prepared statements' texts at most. Postgres keeps some 20 to 40 bytes for each of them.
const PREPARED_BYTES: usize = 256 * 1024;
/// A text of more bytes is never prepared.
const LONGEST_PREPARED: usize = PREPARED_BYTES / 8;

/// The statements of one connection.
pub(super) struct Prepared {
    /// By text, and whether it ran behind the wall: there it has another plan.
    by_text: LruCache<(bool, String), tokio_postgres::Statement>,
    bytes: usize,
    seen_once: LruCache<u64, ()>,
}

/// How a statement goes to the database.
pub(super) enum Way {
    Prepared(tokio_postgres::Statement),
    Unprepared,
}

impl Prepared {
    pub(super) fn new() -> Self {
        Self {
            by_text: LruCache::unbounded(),
            bytes: 0,
            seen_once: LruCache::new(SEEN_ONCE),
        }
    }

    pub(super) fn get(
        &mut self,
        wire: &Wire<'_>,
        is_behind: bool,
    ) -> Option<tokio_postgres::Statement> {
        self.by_text.get(&(is_behind, wire.sql.clone())).cloned()
    }

    /// Prepares a text that has come before.
    pub(super) async fn way(
        &mut self,
        client: &Client,
        wire: &Wire<'_>,
        is_behind: bool,
    ) -> Result<Way, Error> {
        if let Some(prepared) = self.get(wire, is_behind) {
            return Ok(Way::Prepared(prepared));
        }
        if wire.sql.len() > LONGEST_PREPARED || !self.was_seen(wire, is_behind) {
            return Ok(Way::Unprepared);
        }
        let prepared = prepare(client, wire).await?;
        self.keep(wire, is_behind, prepared.clone());
        Ok(Way::Prepared(prepared))
    }

    /// Keeps a statement, and forgets others where they are too many.
    pub(super) fn keep(
        &mut self,
        wire: &Wire<'_>,
        is_behind: bool,
        prepared: tokio_postgres::Statement,
    ) {
        let key = (is_behind, wire.sql.clone());
        if self.by_text.put(key, prepared).is_none() {
            self.bytes += wire.sql.len();
        }
        while self.bytes > PREPARED_BYTES {
            // with its last use the statement is closed on the server as well
            let Some(((_, sql), _)) = self.by_text.pop_lru() else {
                break;
            };
            self.bytes -= sql.len();
        }
    }

    fn was_seen(&mut self, wire: &Wire<'_>, is_behind: bool) -> bool {
        let mut hasher = DefaultHasher::new();
        (is_behind, &wire.sql).hash(&mut hasher);
        self.seen_once.put(hasher.finish(), ()).is_some()
    }
}

/// Prepares a text, for whoever keeps it.
pub(super) async fn prepare(
    client: &Client,
    wire: &Wire<'_>,
) -> Result<tokio_postgres::Statement, Error> {
    let types: Vec<_> = wire.values.iter().map(|(_, ty)| ty.clone()).collect();
    client.prepare_typed(&wire.sql, &types).await
}

/// Runs a statement and waits for all of its rows.
pub(super) async fn run(client: &Client, wire: &Wire<'_>, way: Way) -> Result<Vec<Row>, Error> {
    match way {
        Way::Prepared(statement) => {
            let values: Vec<_> = wire.values.iter().map(|(value, _)| *value).collect();
            client.query(&statement, &values).await
        }
        Way::Unprepared => client.query_typed(&wire.sql, &wire.values).await,
    }
}
