//! Deletion by absence (rules 10 and 11): which rows a complete full fetch did not show any more.
//!
//! Only ever after one unbroken, complete enumeration of the endpoint that owns the table, and never more
//! than the guard allows: an empty answer is more likely a fault than the end of a company.

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::parked;
use crate::db::Statement;
use crate::models::Endpoint;
use crate::models::store::Writer;
use crate::models::table::Table;
use crate::queue::{self, Run};

/// The tables as diesel sees them; a test holds them equal to the migrated database.
mod schema {
    diesel::table! {
        /// Ids that a running full fetch has met.
        seen_records (run_id, table_name, id) {
            run_id -> BigInt,
            table_name -> Text,
            id -> Text,
        }
    }
}
use schema::seen_records;

/// How much absence is believed without a human (rule 11).
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    /// That many rows of a model always.
    pub(super) rows: i64,
    /// And that share of the model's live rows.
    pub(super) percent: i64,
}

impl Guard {
    /// Whether so much absence is believed. Of an enumeration that showed nothing at all it is not, however
    /// few rows there are, unless the setting says that everything may go.
    fn allows(self, absent: i64, live: i64, saw_anything: bool) -> bool {
        if !saw_anything && self.percent < 100 {
            return absent == 0;
        }
        absent <= self.rows.max(live.saturating_mul(self.percent) / 100)
    }
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Live rows of a table: what the removal guard's share is of, and what a full fetch will probably find.
pub(super) async fn live_rows(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    table: &Table,
) -> QueryResult<i64> {
    let mut statement = Statement::fixed();
    let integration = statement.text(integration_id);
    statement.push(&format!(
        "SELECT count(*) AS count FROM {} WHERE integration_id = {integration} AND NOT incomplete AND {}",
        table.name,
        alive(table),
    ));
    Ok(statement.get_result::<Count>(connection).await?.count)
}

fn alive(table: &Table) -> &'static str {
    if table.has_tombstones() {
        "missing_since IS NULL AND remote_deleted_at IS NULL"
    } else {
        "missing_since IS NULL"
    }
}

/// Remembers ids of a full fetch; returns how many were new to the run.
pub(super) async fn mark_seen(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    seen: &[(&'static Table, Vec<String>)],
) -> QueryResult<i64> {
    let mut new = 0;
    for (table, ids) in seen {
        if ids.is_empty() {
            continue;
        }
        let mut statement = Statement::fixed();
        let run = statement.bigint(run_id);
        let name = statement.text(table.name);
        let ids = statement.texts(ids.clone());
        statement.push(&format!(
            "INSERT INTO seen_records (run_id, table_name, id) \
             SELECT {run}, {name}, id FROM UNNEST({ids}::text[]) AS u(id) ON CONFLICT DO NOTHING"
        ));
        let marked = statement.execute(connection).await?;
        new += i64::try_from(marked).unwrap_or(i64::MAX);
    }
    Ok(new)
}

/// Whether Postgres lost marks of a run that goes on: the table is unlogged, a crash empties it. Removing
/// by what is left would remove everything that was seen before the crash (F18).
pub(super) async fn marks_were_lost(
    connection: &mut AsyncPgConnection,
    run: &Run,
) -> QueryResult<bool> {
    if run.seen_marks == 0 {
        return Ok(false);
    }
    Ok(seen_count(connection, run).await? < run.seen_marks)
}

async fn seen_count(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<i64> {
    seen_records::table
        .filter(seen_records::run_id.eq(run.id))
        .count()
        .get_result(connection)
        .await
}

/// Forgets a run's marks.
pub(super) async fn forget_seen(
    connection: &mut AsyncPgConnection,
    run_id: i64,
) -> QueryResult<usize> {
    diesel::delete(seen_records::table.filter(seen_records::run_id.eq(run_id)))
        .execute(connection)
        .await
}

/// Marks what the run did not see, table by table; returns the rows that the guard held back.
pub(super) async fn remove_absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    endpoint: &Endpoint,
    writer: &Writer<'_>,
    guard: Guard,
    parked: i64,
) -> QueryResult<i64> {
    if parked > 0 && parked::has_unidentified(connection, run).await? {
        tracing::warn!(
            run.id,
            "a record without a readable id was parked: absence proves nothing in this run"
        );
        return Ok(0);
    }
    let saw_anything = seen_count(connection, run).await? > 0;
    let mut held_back = 0;
    for table in endpoint.tables {
        // a parked record's nested rows were not seen either, though they may well exist
        if parked > 0 && table.name != endpoint.tables[0].name {
            continue;
        }
        let allows = |absent, live| guard.allows(absent, live, saw_anything);
        held_back += remove_absent_from(connection, run, table, writer, allows).await?;
    }
    Ok(held_back)
}

async fn remove_absent_from(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
    allows: impl Fn(i64, i64) -> bool,
) -> QueryResult<i64> {
    let live_and_absent = absent(connection, run, table, writer, alive(table)).await?;
    let live_now = live_rows(connection, writer.integration_id, table).await?;
    if !allows(live_and_absent, live_now) {
        tracing::warn!(
            run.id,
            integration.id = run.integration_id,
            table = table.name,
            absent = live_and_absent,
            live = live_now,
            "removals held back: a full fetch showed far fewer rows than the mirror has"
        );
        return Ok(live_and_absent);
    }
    let removed = mark_absent(connection, run, table, writer).await?;
    if removed > 0 {
        queue::count_removals(
            connection,
            run,
            live_and_absent,
            writer.drift_before.is_some(),
        )
        .await?;
    }
    Ok(0)
}

/// Rows that are there, not seen, and not written by a younger fetch; stubs were never enumerated.
///
/// OFFSET 0 keeps the look-up of each mark an index look-up. As a join, planned without statistics of a
/// table that is filled and emptied by every run, it took time by the square of the rows.
fn absence(statement: &mut Statement, run: &Run, table: &Table, writer: &Writer<'_>) -> String {
    let integration = statement.text(writer.integration_id);
    let run_id = statement.bigint(run.id);
    let name = statement.text(table.name);
    let observed = statement.time(Some(writer.observed_at));
    format!(
        "t.integration_id = {integration} AND t.missing_since IS NULL AND NOT t.incomplete \
         AND t.observed_at <= {observed} AND NOT EXISTS (SELECT FROM seen_records s \
           WHERE s.run_id = {run_id} AND s.table_name = {name} AND s.id = t.id OFFSET 0)"
    )
}

async fn absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
    condition: &str,
) -> QueryResult<i64> {
    let mut statement = Statement::fixed();
    let absence = absence(&mut statement, run, table, writer);
    statement.push(&format!(
        "SELECT count(*) AS count FROM {} t WHERE {absence} AND {condition}",
        table.name
    ));
    Ok(statement.get_result::<Count>(connection).await?.count)
}

async fn mark_absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
) -> QueryResult<usize> {
    let mut statement = Statement::fixed();
    let absence = absence(&mut statement, run, table, writer);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    statement.push(&format!(
        "UPDATE {} t SET missing_since = {observed}, observed_at = {observed}, mirrored_at = {now} WHERE {absence}",
        table.name
    ));
    statement.execute(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule 11, F36: max(50 rows, 10 %).
    #[test]
    fn the_guard_allows_the_larger_of_its_rows_and_its_share() {
        let guard = Guard {
            rows: 50,
            percent: 10,
        };
        assert!(guard.allows(50, 60, true));
        assert!(!guard.allows(51, 60, true));
        assert!(guard.allows(100, 1000, true));
        assert!(!guard.allows(101, 1000, true));
        assert!(guard.allows(0, 0, true));
    }

    #[test]
    fn of_an_empty_enumeration_nothing_is_believed_unless_everything_may_go() {
        let guard = |percent| Guard { rows: 50, percent };
        assert!(!guard(10).allows(1, 1, false));
        assert!(guard(10).allows(0, 0, false));
        assert!(guard(100).allows(60, 60, false));
    }
}
