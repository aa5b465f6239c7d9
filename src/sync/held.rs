//! Removals that the guard held back (rule 11): kept row by row as they were found, so that an approval
//! removes those and no others, and forgotten as soon as Kombo shows a row again.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::changes::{self, Change, Origin};
use crate::db::Statement;
use crate::integrations::schema::endpoint_states;
use crate::models::table::{LinkTable, Table};
use crate::models::{self, Endpoint};
use crate::queue::Run;
use crate::queue::schema::sync_runs;

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// Rows that the removal guard kept.
        held_back_removals (integration_id, table_name, id, linked_id) {
            integration_id -> Text,
            table_name -> Text,
            id -> Text,
            linked_id -> Text,
            run_id -> BigInt,
        }
    }
}
use schema::held_back_removals;

/// How many rows are held back.
pub(super) struct HeldBack {
    /// By this run.
    pub(super) of_run: i64,
    /// By whichever run of the endpoint.
    pub(super) of_endpoint: i64,
}

/// Says it in the log; the numbers are in the run and in the endpoint's state.
pub(super) fn warn(run: &Run, rows: i64) {
    tracing::warn!(
        run.id,
        integration.id = run.integration_id,
        endpoint = run.endpoint,
        rows,
        "removals held back for approval: far fewer rows were shown than the mirror has"
    );
}

fn table_names(endpoint: &Endpoint) -> Vec<&'static str> {
    let tables = endpoint.tables.iter().map(|table| table.name);
    tables
        .chain(endpoint.links.iter().map(|link| link.name))
        .collect()
}

/// Counts at a run's end.
pub(super) async fn count(
    connection: &mut AsyncPgConnection,
    run: &Run,
    endpoint: &Endpoint,
) -> QueryResult<HeldBack> {
    let of_endpoint = held_back_removals::table
        .filter(held_back_removals::integration_id.eq(&run.integration_id))
        .filter(held_back_removals::table_name.eq_any(table_names(endpoint)));
    Ok(HeldBack {
        of_run: of_endpoint
            .clone()
            .filter(held_back_removals::run_id.eq(run.id))
            .count()
            .get_result(connection)
            .await?,
        of_endpoint: of_endpoint.count().get_result(connection).await?,
    })
}

/// Rows that a page shows are not gone.
pub(super) async fn forget_shown(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    shown: &[(&'static Table, Vec<String>)],
) -> QueryResult<()> {
    for (table, ids) in shown {
        diesel::delete(
            held_back_removals::table
                .filter(held_back_removals::integration_id.eq(integration_id))
                .filter(held_back_removals::table_name.eq(table.name))
                .filter(held_back_removals::id.eq_any(ids)),
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What runs held back that did not come to their end: whatever follows them fetches the same again and judges
/// anew.
pub(super) async fn forget_unfinished(
    connection: &mut AsyncPgConnection,
    run: &Run,
    endpoint: &Endpoint,
) -> QueryResult<()> {
    let mut statement = Statement::fixed();
    let integration = statement.text(&run.integration_id);
    let tables = statement.texts(
        table_names(endpoint)
            .into_iter()
            .map(str::to_owned)
            .collect(),
    );
    let id = statement.bigint(run.id);
    statement.push(&format!(
        "DELETE FROM held_back_removals h WHERE h.integration_id = {integration} AND h.table_name = ANY({tables}::text[]) \
           AND h.run_id <> {id} AND NOT EXISTS (SELECT FROM sync_runs r WHERE r.id = h.run_id AND r.status = 'SUCCEEDED')"
    ));
    statement.execute(connection).await?;
    Ok(())
}

/// What earlier runs held back of a table is judged anew by this full fetch.
pub(super) async fn forget_superseded(
    connection: &mut AsyncPgConnection,
    run: &Run,
    table: &str,
) -> QueryResult<()> {
    diesel::delete(
        held_back_removals::table
            .filter(held_back_removals::integration_id.eq(&run.integration_id))
            .filter(held_back_removals::table_name.eq(table))
            .filter(held_back_removals::run_id.ne(run.id)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A run whose removals are to be approved.
#[derive(diesel::QueryableByName)]
struct Approvable {
    #[diesel(sql_type = Text)]
    integration_id: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    observed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    held: i64,
}

/// Removes what a run held back, at most the rows that it showed: what Kombo has shown again since, or a
/// younger fetch has written, stays. Returns how many went; `None`: nothing of the run is held back, or it has not come
/// to its end.
///
/// # Errors
/// Whatever Postgres says; the caller's transaction is then void.
pub async fn approve(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    now: DateTime<Utc>,
) -> QueryResult<Option<i64>> {
    let mut statement = Statement::fixed();
    let id = statement.bigint(run_id);
    statement.push(&format!(
        "SELECT r.integration_id, r.endpoint, r.observed_at, \
           (SELECT count(*) FROM held_back_removals h WHERE h.run_id = r.id) AS held \
         FROM sync_runs r WHERE r.id = {id} AND r.status = 'SUCCEEDED' FOR UPDATE"
    ));
    let found: Vec<Approvable> = statement.get_results(connection).await?;
    let Some(run) = found.into_iter().next().filter(|run| run.held > 0) else {
        return Ok(None);
    };
    let (Some(endpoint), Some(observed_at)) = (models::endpoint(&run.endpoint), run.observed_at)
    else {
        return Ok(None);
    };
    let origin = Origin {
        integration_id: &run.integration_id,
        run_id,
        at: now,
    };
    let mut told = Vec::new();
    for table in endpoint.tables {
        told.extend(remove_rows(connection, run_id, table, observed_at, now).await?);
    }
    let removed = i64::try_from(told.len()).unwrap_or(i64::MAX);
    for link in endpoint.links {
        told.extend(remove_links(connection, run_id, link, observed_at).await?);
    }
    diesel::delete(held_back_removals::table.filter(held_back_removals::run_id.eq(run_id)))
        .execute(connection)
        .await?;
    note(connection, &run, endpoint, run_id, removed).await?;
    changes::append(connection, &origin, &told).await?;
    Ok(Some(removed))
}

#[derive(diesel::QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

async fn remove_rows(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    table: &Table,
    observed_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Change>> {
    let mut statement = Statement::fixed();
    let run = statement.bigint(run_id);
    let observed = statement.time(Some(observed_at));
    let now = statement.time(Some(now));
    let model = table.name;
    statement.push(&format!(
        "UPDATE {model} t SET missing_since = {now}, observed_at = {observed}, mirrored_at = {now} \
         FROM (SELECT * FROM held_back_removals WHERE run_id = {run} AND table_name = '{model}' ORDER BY id) h \
         WHERE t.integration_id = h.integration_id AND t.id = h.id \
           AND t.missing_since IS NULL AND t.observed_at <= {observed} RETURNING t.id"
    ));
    let gone: Vec<Id> = statement.get_results(connection).await?;
    Ok(gone
        .into_iter()
        .map(|row| Change::deleted(model, row.id))
        .collect())
}

async fn remove_links(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    link: &LinkTable,
    observed_at: DateTime<Utc>,
) -> QueryResult<Vec<Change>> {
    let mut statement = Statement::fixed();
    let run = statement.bigint(run_id);
    let observed = statement.time(Some(observed_at));
    let LinkTable { name, from, to, .. } = link;
    statement.push(&format!(
        "WITH removed AS (DELETE FROM {name} t USING held_back_removals h WHERE h.run_id = {run} AND h.table_name = '{name}' \
           AND t.integration_id = h.integration_id AND t.{from} = h.id AND t.{to} = h.linked_id \
           AND t.observed_at <= {observed} RETURNING t.{from} AS id) \
         SELECT DISTINCT id FROM removed"
    ));
    let owners: Vec<Id> = statement.get_results(connection).await?;
    Ok(owners
        .into_iter()
        .map(|row| Change::relisted(link.owner.name, row.id, link.field))
        .collect())
}

/// The run and its endpoint no longer wait for an approval.
async fn note(
    connection: &mut AsyncPgConnection,
    run: &Approvable,
    endpoint: &Endpoint,
    run_id: i64,
    removed: i64,
) -> QueryResult<()> {
    let left: i64 = held_back_removals::table
        .filter(held_back_removals::integration_id.eq(&run.integration_id))
        .filter(held_back_removals::table_name.eq_any(table_names(endpoint)))
        .count()
        .get_result(connection)
        .await?;
    diesel::update(sync_runs::table.find(run_id))
        .set((
            sync_runs::removals_held_back.eq(0_i64),
            sync_runs::records_deleted.eq(sync_runs::records_deleted + removed),
        ))
        .execute(connection)
        .await?;
    diesel::update(endpoint_states::table.find((&run.integration_id, &run.endpoint)))
        .set(endpoint_states::removals_held_back.eq(left))
        .execute(connection)
        .await?;
    Ok(())
}
