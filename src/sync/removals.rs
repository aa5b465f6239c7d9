//! Deletion by absence (rules 10 and 11): which rows a complete full fetch did not show any more.
//!
//! Only ever after one unbroken, complete enumeration of the endpoint that owns the table, and never more
//! than the guard allows: an empty answer is more likely a fault than the end of a company.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::run::Enumeration;
use super::{held, parked};
use crate::changes::Change;
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
            ids -> Array<Text>,
        }
    }
}
use schema::seen_records;

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Live rows of an endpoint's tables: what a full fetch will probably find.
pub(super) async fn all_live_rows(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    endpoint: &Endpoint,
) -> QueryResult<i64> {
    let mut rows = 0;
    for table in endpoint.tables {
        rows += live_rows(connection, integration_id, table).await?;
    }
    Ok(rows)
}

/// Live rows of a table: what the removal guard's share is of.
async fn live_rows(
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

/// Remembers the ids of a page of a full fetch, one row for each table; returns how many marks there are more.
pub(super) async fn mark_seen(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    seen: &[(&'static Table, Vec<String>)],
) -> QueryResult<i64> {
    let mut marks = 0;
    for (table, ids) in seen {
        let Some((first, others)) = ids.split_first() else {
            continue;
        };
        let mut statement = Statement::fixed();
        let run = statement.bigint(run_id);
        let name = statement.text(table.name);
        let id = statement.text(first);
        let ids = statement.texts(others.to_vec());
        // an earlier page may have begun with the same record: then it is marked twice, and counted twice
        statement.push(&format!(
            "INSERT INTO seen_records AS s (run_id, table_name, id, ids) VALUES ({run}, {name}, {id}, {ids}::text[]) \
             ON CONFLICT (run_id, table_name, id) DO UPDATE SET ids = s.ids || excluded.id || excluded.ids"
        ));
        statement.execute(connection).await?;
        marks += i64::try_from(others.len()).unwrap_or(i64::MAX) + 1;
    }
    Ok(marks)
}

/// What a run has come to, its last page included.
#[derive(Debug, diesel::QueryableByName)]
pub(super) struct Totals {
    /// Marks that there should be.
    #[diesel(sql_type = BigInt)]
    expected_marks: i64,
    /// Marks that there are.
    #[diesel(sql_type = BigInt)]
    marks: i64,
    #[diesel(sql_type = BigInt)]
    parked: i64,
    /// Rows that lists stopped naming.
    #[diesel(sql_type = BigInt)]
    pub(super) unlisted: i64,
}

impl Totals {
    /// Whether Postgres lost marks: the table is unlogged, a crash empties it. Removing by what is left would
    /// remove everything that was seen before the crash (F18).
    pub(super) fn were_marks_lost(&self) -> bool {
        self.marks < self.expected_marks
    }
}

/// Counts what a run has come to.
pub(super) async fn totals(connection: &mut AsyncPgConnection, run_id: i64) -> QueryResult<Totals> {
    let mut statement = Statement::fixed();
    let run = statement.bigint(run_id);
    statement.push(&format!(
        "SELECT seen_marks AS expected_marks, (SELECT coalesce(sum(1 + cardinality(ids)), 0)::bigint \
             FROM seen_records WHERE run_id = {run}) AS marks, \
           records_parked AS parked, records_unlisted AS unlisted FROM sync_runs WHERE id = {run}"
    ));
    statement.get_result(connection).await
}

/// Whether Postgres lost marks of a run that goes on.
pub(super) async fn marks_were_lost(
    connection: &mut AsyncPgConnection,
    run: &Run,
) -> QueryResult<bool> {
    if run.seen_marks == 0 {
        return Ok(false);
    }
    Ok(totals(connection, run.id).await?.were_marks_lost())
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

/// Marks what the run did not see, table by table, or holds it back; returns the rows that were alive.
pub(super) async fn remove_absent(
    connection: &mut AsyncPgConnection,
    enumeration: &Enumeration<'_>,
    writer: &Writer<'_>,
    totals: &Totals,
) -> QueryResult<Vec<Change>> {
    let run = enumeration.run;
    let mut removed = Vec::new();
    if totals.parked > 0 && parked::has_unidentified(connection, run).await? {
        tracing::warn!(
            run.id,
            "a record without a readable id was parked: absence proves nothing in this run"
        );
        return Ok(removed);
    }
    let tables = enumeration.endpoint.tables;
    for table in tables {
        // a parked record's nested rows were not seen either, though they may well exist
        if totals.parked > 0 && table.name != tables[0].name {
            continue;
        }
        held::forget_superseded(connection, run, table.name).await?;
        if is_believed(connection, run, table, writer, totals.marks > 0).await? {
            removed.extend(mark_absent(connection, run, table, writer).await?);
        }
    }
    Ok(removed)
}

/// Whether there are absent rows of a table and they may go; counts those that are live, or holds them back.
async fn is_believed(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
    saw_anything: bool,
) -> QueryResult<bool> {
    let absent = absent(connection, run, table, writer).await?;
    if absent.live == 0 {
        return Ok(absent.rows > 0);
    }
    let live_now = live_rows(connection, writer.integration_id, table).await?;
    if !writer.allowance.covers(absent.live, live_now, saw_anything) {
        held::warn(run, absent.live);
        hold_absent(connection, run, table, writer).await?;
        return Ok(false);
    }
    let is_drift = writer.unannounced_before.is_some();
    queue::count_removals(connection, run, absent.live, is_drift).await?;
    Ok(true)
}

/// Which of the endpoint's own live rows would be removed without a human: those that are neither marked nor
/// among `shown`, the page that is not stored yet. More than `limit` of them: none, since nobody can ask for
/// so many by name.
pub(super) async fn candidates(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
    shown: Vec<String>,
    limit: i64,
) -> QueryResult<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Id {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let saw_anything = !shown.is_empty();
    let mut statement = Statement::fixed();
    let Absence { with, rows, .. } = absence(&mut statement, run, table, writer);
    let shown = statement.texts(shown);
    let most = statement.bigint(limit + 1);
    statement.push(&format!(
        "{with} SELECT t.id FROM {rows} WHERE {} AND t.id <> ALL({shown}::text[]) LIMIT {most}",
        alive(table),
    ));
    let ids: Vec<Id> = statement.get_results(connection).await?;
    let absent = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    if absent == 0 || absent > limit {
        return Ok(Vec::new());
    }
    let saw_anything = saw_anything || totals(connection, run.id).await?.marks > 0;
    let live = live_rows(connection, writer.integration_id, table).await?;
    let would_go = writer.allowance.covers(absent, live, saw_anything);
    let mut ids: Vec<String> = ids
        .into_iter()
        .filter(|_| would_go)
        .map(|row| row.id)
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Rows that are there, not seen, and not written by a younger fetch. Not stubs: a revision without a course is in no
/// enumeration and exists all the same.
struct Absence {
    /// A WITH clause that names them `absent`.
    with: String,
    /// They, as rows `t`.
    rows: String,
    /// What a row `t` must fulfil beside not being seen.
    may_be: String,
}

/// Rows and marks are put together and grouped, which takes time by their number whatever the planner expects. As a
/// join, planned without statistics of a table that is filled and emptied by every run, it takes time by the square.
fn absence(statement: &mut Statement, run: &Run, table: &Table, writer: &Writer<'_>) -> Absence {
    let integration = statement.text(writer.integration_id);
    let run_id = statement.bigint(run.id);
    let name = statement.text(table.name);
    let observed = statement.time(Some(writer.observed_at));
    let may_be = format!(
        "t.integration_id = {integration} AND t.missing_since IS NULL AND NOT t.incomplete \
         AND t.observed_at <= {observed}"
    );
    Absence {
        with: format!(
            "WITH absent AS MATERIALIZED (SELECT u.id FROM (\
               SELECT t.id, false AS seen FROM {} t WHERE {may_be} UNION ALL \
               SELECT unnest(s.id || s.ids), true FROM seen_records s WHERE s.run_id = {run_id} AND s.table_name = {name}\
             ) u GROUP BY u.id HAVING NOT bool_or(u.seen))",
            table.name
        ),
        rows: format!(
            "absent a CROSS JOIN LATERAL (\
               SELECT * FROM {} p WHERE p.integration_id = {integration} AND p.id = a.id OFFSET 0) t",
            table.name
        ),
        may_be,
    }
}

/// How many rows are absent.
#[derive(diesel::QueryableByName)]
struct Absent {
    /// All of them.
    #[diesel(sql_type = BigInt)]
    rows: i64,
    /// Those that Kombo had not deleted before.
    #[diesel(sql_type = BigInt)]
    live: i64,
}

async fn absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
) -> QueryResult<Absent> {
    let mut statement = Statement::fixed();
    let Absence { with, rows, .. } = absence(&mut statement, run, table, writer);
    statement.push(&format!(
        "{with} SELECT count(*) AS rows, count(*) FILTER (WHERE {}) AS live FROM {rows}",
        alive(table),
    ));
    statement.get_result(connection).await
}

/// Marks the absent rows; returns those that were alive.
async fn mark_absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &'static Table,
    writer: &Writer<'_>,
) -> QueryResult<Vec<Change>> {
    #[derive(diesel::QueryableByName)]
    struct Marked {
        #[diesel(sql_type = Text)]
        id: String,
        #[diesel(sql_type = Bool)]
        was_live: bool,
    }
    let mut statement = Statement::fixed();
    let Absence { with, may_be, .. } = absence(&mut statement, run, table, writer);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let was_live = if table.has_tombstones() {
        "t.remote_deleted_at IS NULL"
    } else {
        "true"
    };
    statement.push(&format!(
        "{with} UPDATE {} t SET missing_since = {now}, observed_at = {observed}, mirrored_at = {now} \
         FROM absent a WHERE {may_be} AND t.id = a.id RETURNING t.id, {was_live} AS was_live",
        table.name,
    ));
    let marked: Vec<Marked> = statement.get_results(connection).await?;
    Ok(marked
        .into_iter()
        .filter(|row| row.was_live)
        .map(|row| Change::deleted(table.name, row.id))
        .collect())
}

/// Keeps the live absent rows for an approval.
async fn hold_absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &Table,
    writer: &Writer<'_>,
) -> QueryResult<()> {
    let mut statement = Statement::fixed();
    let Absence { with, rows, .. } = absence(&mut statement, run, table, writer);
    let run_id = statement.bigint(run.id);
    statement.push(&format!(
        "{with} INSERT INTO held_back_removals (integration_id, table_name, id, run_id) \
         SELECT t.integration_id, '{name}', t.id, {run_id} FROM {rows} WHERE {} \
         ON CONFLICT (integration_id, table_name, id, linked_id) DO UPDATE SET run_id = excluded.run_id",
        alive(table),
        name = table.name,
    ));
    statement.execute(connection).await?;
    Ok(())
}
