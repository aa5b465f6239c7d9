//! Looking at chosen runs from outside: how far they are, and what came of them.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::schema::sync_runs;

/// A run as somebody sees it who waits for it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = sync_runs, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub struct Look {
    pub id: i64,
    pub endpoint: String,
    pub mode: String,
    pub status: String,
    pub available_at: DateTime<Utc>,
    pub lease_until: Option<DateTime<Utc>>,
    pub expected_records: Option<i64>,
    pub records_received: i64,
    pub records_inserted: i64,
    pub records_updated: i64,
    pub records_deleted: i64,
    pub records_parked: i64,
    pub removals_held_back: i64,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub error_log_url: Option<String>,
}

impl Look {
    /// Whether nothing more will become of it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "QUEUED" | "RUNNING")
    }
}

/// Looks at runs, in the order of their ids.
///
/// # Errors
/// Whatever Postgres says.
pub async fn look(connection: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<Look>> {
    sync_runs::table
        .filter(sync_runs::id.eq_any(ids))
        .order(sync_runs::id)
        .select(Look::as_select())
        .load(connection)
        .await
}

/// Runs beyond this that ended while nobody listened are history.
const MOST_ENDED: i64 = 10_000;

/// The runs that may have moved since a moment, with their integrations: all that are open, and those that ended.
///
/// # Errors
/// Whatever Postgres says.
pub async fn moved_since(
    connection: &mut AsyncPgConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<(i64, String)>> {
    let columns = (sync_runs::id, sync_runs::integration_id);
    let mut moved: Vec<(i64, String)> = sync_runs::table
        .filter(sync_runs::status.eq_any(["QUEUED", "RUNNING"]))
        .select(columns)
        .load(connection)
        .await?;
    let ended: Vec<(i64, String)> = sync_runs::table
        .filter(sync_runs::finished_at.ge(since))
        .order(sync_runs::finished_at.desc())
        .limit(MOST_ENDED)
        .select(columns)
        .load(connection)
        .await?;
    moved.extend(ended);
    Ok(moved)
}
