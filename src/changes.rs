//! What really changed: the ordered feed that consumers follow with a cursor.
//!
//! A sequence drawn by two writers at once may be committed in the other order, and a reader in between would
//! pass the smaller one for ever. So numbers are drawn under a lock that is held until the commit: whoever
//! sees one number is never shown a smaller one later. The lock is taken last in a transaction, so it waits
//! for nothing but the commit.
//!
//! The feed holds ids and names of columns; it must never hold a value, so that nothing of an erased record
//! is left here.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use crate::db::Statement;

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// What changed, in the order of the commits.
        record_changes (integration_id, sequence) {
            integration_id -> Text,
            sequence -> BigInt,
            at -> Timestamptz,
            model -> Text,
            id -> Text,
            kind -> Text,
            changed_fields -> Array<Text>,
            run_id -> BigInt,
        }
    }
}

/// Orders the commits of all replicas ("kombofee"); its own number, apart from the migrations' lock.
const ORDER_LOCK: i64 = 0x6b6f_6d62_6f66_6565;

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was unknown, or known only in part.
    Inserted,
    /// Its content changed.
    Updated,
    /// It was alive and is not any more, by Kombo's mark or by its absence.
    Deleted,
    /// It was deleted and is alive again.
    Restored,
}

impl ChangeKind {
    /// The word in tables and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "INSERTED",
            Self::Updated => "UPDATED",
            Self::Deleted => "DELETED",
            Self::Restored => "RESTORED",
        }
    }

    /// The kind that `as_str` wrote; anything else reads as the one that promises least.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "INSERTED" => Self::Inserted,
            "DELETED" => Self::Deleted,
            "RESTORED" => Self::Restored,
            _ => Self::Updated,
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One record that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record's table.
    pub model: &'static str,
    /// Kombo's id.
    pub id: String,
    /// What happened.
    pub kind: ChangeKind,
    /// The columns that changed, separated by commas; empty for a record that was unknown.
    pub fields: String,
}

impl Change {
    /// A row that was alive and is gone.
    #[must_use]
    pub fn deleted(model: &'static str, id: String) -> Self {
        Self {
            model,
            id,
            kind: ChangeKind::Deleted,
            fields: String::new(),
        }
    }

    /// A row whose list, shown by `field`, is another.
    #[must_use]
    pub fn relisted(model: &'static str, id: String, field: &str) -> Self {
        Self {
            model,
            id,
            kind: ChangeKind::Updated,
            fields: field.to_owned(),
        }
    }
}

/// Whose change it is and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Whose data.
    pub integration_id: &'a str,
    /// The run that found it.
    pub run_id: i64,
    /// When, by our clock.
    pub at: DateTime<Utc>,
}

/// Appends to the feed. The last statement of a transaction but its commit.
///
/// # Errors
/// Whatever Postgres says.
pub async fn append(
    connection: &mut AsyncPgConnection,
    origin: &Origin<'_>,
    changes: &[Change],
) -> QueryResult<()> {
    use diesel_async::RunQueryDsl as _;
    if changes.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Change) -> &str| changes.iter().map(|one| of(one).to_owned()).collect();
    let mut statement = Statement::fixed();
    let models = statement.texts(column(|change| change.model));
    let ids = statement.texts(column(|change| &change.id));
    let kinds = statement.texts(column(|change| change.kind.as_str()));
    let fields = statement.texts(column(|change| &change.fields));
    let integration = statement.text(origin.integration_id);
    let run = statement.bigint(origin.run_id);
    let at = statement.time(Some(origin.at));
    // a row needs the lock's row before its number is drawn
    statement.push(&format!(
        "INSERT INTO record_changes (integration_id, at, model, id, kind, changed_fields, run_id) \
         SELECT {integration}, {at}, c.model, c.id, c.kind, string_to_array(c.fields, ','), {run} \
         FROM (SELECT pg_advisory_xact_lock({ORDER_LOCK}) OFFSET 0) AS ordered CROSS JOIN \
           UNNEST({models}::text[], {ids}::text[], {kinds}::text[], {fields}::text[]) AS c(model, id, kind, fields)"
    ));
    statement.execute(connection).await?;
    Ok(())
}
