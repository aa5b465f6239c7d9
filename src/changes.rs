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
use diesel::sql_types::{BigInt, Text, Timestamptz};
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

/// Where every process listens that shows the feed: the last sequence of a commit and the integration, with a space
/// between. Told by the table itself, see the migration `tell_what_changes`.
pub const CHANNEL: &str = "kombo_mirror_changes";

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

/// A change as the feed tells it, without what is read with it.
#[derive(Debug, Clone, PartialEq, Eq, diesel::QueryableByName)]
pub struct Told {
    /// Place in the feed.
    #[diesel(sql_type = BigInt)]
    pub sequence: i64,
    /// Whose record it is.
    #[diesel(sql_type = Text)]
    pub integration_id: String,
    /// The record's table.
    #[diesel(sql_type = Text)]
    pub model: String,
    /// Kombo's id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// See [`ChangeKind`].
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// When, by the clock of the process that found it.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}

/// The first `limit` changes behind `after`, up to `until`; of some integrations, or of all. Each gives its own
/// first ones by the key.
///
/// # Errors
/// Whatever Postgres says.
pub async fn after(
    connection: &mut AsyncPgConnection,
    after: i64,
    until: i64,
    of: Option<Vec<String>>,
    limit: usize,
) -> QueryResult<Vec<Told>> {
    use diesel_async::RunQueryDsl as _;
    let mut statement = Statement::fixed();
    let integrations = match of {
        Some(ids) => format!("unnest({}::text[]) AS i(id)", statement.texts(ids)),
        None => "integrations i".to_owned(),
    };
    let after = statement.bigint(after);
    let until = statement.bigint(until);
    statement.push(&format!(
        "SELECT m.* FROM {integrations} CROSS JOIN LATERAL (SELECT c.sequence, c.integration_id, c.model, c.id, c.kind, c.at \
         FROM record_changes c WHERE c.integration_id = i.id AND c.sequence > {after} AND c.sequence <= {until} \
         ORDER BY c.sequence LIMIT {limit}) m ORDER BY m.sequence LIMIT {limit}"
    ));
    statement.get_results(connection).await
}

/// The last sequence of the feed; 0 where it is empty.
///
/// # Errors
/// Whatever Postgres says.
pub async fn end(connection: &mut AsyncPgConnection) -> QueryResult<i64> {
    use diesel_async::RunQueryDsl as _;
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        last: i64,
    }
    let mut statement = Statement::fixed();
    statement.push(
        "SELECT coalesce(max(m.sequence), 0) AS last FROM integrations i CROSS JOIN LATERAL \
         (SELECT c.sequence FROM record_changes c WHERE c.integration_id = i.id ORDER BY c.sequence DESC LIMIT 1) m",
    );
    let row: Row = statement.get_result(connection).await?;
    Ok(row.last)
}
