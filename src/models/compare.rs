//! Comparing rows that Kombo shows with the stored ones, made from the column lists that storing uses.
//!
//! What counts as equal is what [`super::store`] would leave untouched. Nothing here may write, and nothing
//! leaves the database but ids and names of columns.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::page::{Batch, CompleteList, LinkList, PageRows};
use super::store::{changed_columns, names};
use super::table::{LinkTable, Table};
use crate::db::Statement;

/// How a row differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Kombo shows it, the mirror does not.
    Missing,
    /// The mirror shows it, Kombo does not.
    Extra,
    /// In these columns.
    Fields(String),
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("missing in the mirror"),
            Self::Extra => formatter.write_str("only in the mirror"),
            Self::Fields(names) => write!(formatter, "fields differ: {names}"),
        }
    }
}

/// One row that is not in the mirror as Kombo shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Its table.
    pub table: &'static str,
    /// Its id; of a link both ids.
    pub id: String,
    /// How.
    pub what: What,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, id, what } = self;
        write!(formatter, "{table} {id}: {what}")
    }
}

/// What both sides can be expected to agree on.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// Whose rows.
    pub integration_id: &'a str,
    /// What Kombo changed later need not have arrived yet.
    pub due_before: DateTime<Utc>,
    /// When Kombo was asked: what the mirror fetched later may be newer than what Kombo showed.
    pub asked_at: DateTime<Utc>,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Rows that differ and should not.
    pub differences: BTreeSet<Difference>,
    /// Rows that differ and may.
    pub not_due: i64,
}

impl Comparison {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.not_due += other.not_due;
    }
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = Text)]
    fields: String,
    #[diesel(sql_type = Bool)]
    is_due: bool,
}

/// Compares all that a page says.
///
/// # Errors
/// Whatever Postgres says.
pub async fn page(
    connection: &mut AsyncPgConnection,
    expectation: &Expectation<'_>,
    page: PageRows,
) -> QueryResult<Comparison> {
    let mut comparison = Comparison::default();
    for list in &page.complete_lists {
        let extra = unlisted(expectation, list, page.batch(list.table));
        comparison.add(run(connection, list.table.name, &extra).await?);
    }
    for table in link_tables(&page.link_lists) {
        let differing = links(expectation, table, &page.link_lists);
        comparison.add(run(connection, table.name, &differing).await?);
    }
    for batch in page.batches {
        let table = batch.table;
        let differing = rows(expectation, batch);
        comparison.add(run(connection, table.name, &differing).await?);
    }
    Ok(comparison)
}

async fn run(
    connection: &mut AsyncPgConnection,
    table: &'static str,
    statement: &Statement,
) -> QueryResult<Comparison> {
    let mut comparison = Comparison::default();
    for found in statement.get_results::<Found>(connection).await? {
        if !found.is_due {
            comparison.not_due += 1;
            continue;
        }
        let what = match found.what.as_str() {
            "MISSING" => What::Missing,
            "EXTRA" => What::Extra,
            _ => What::Fields(found.fields),
        };
        comparison.differences.insert(Difference {
            table,
            id: found.id,
            what,
        });
    }
    Ok(comparison)
}

/// Rows that would be written if they were stored, and what the mirror hides although Kombo shows it.
fn rows(expectation: &Expectation<'_>, batch: Batch) -> Statement {
    let table = batch.table;
    let mut statement = Statement::fixed();
    let incoming = batch.into_columns().bind_as_rows(&mut statement);
    let integration = statement.text(expectation.integration_id);
    let asked_at = statement.time(Some(expectation.asked_at));
    let is_due = if table.has_tombstones() {
        let due_before = statement.time(Some(expectation.due_before));
        format!("coalesce(n.changed_at <= {due_before}, true)")
    } else {
        "true".to_owned()
    };
    statement.push(&format!(
        "WITH incoming AS MATERIALIZED ({incoming}) \
         SELECT n.id, CASE WHEN o.id IS NULL OR o.incomplete OR o.missing_since IS NOT NULL THEN 'MISSING' \
             ELSE 'FIELDS' END AS what, {changed_columns} AS fields, \
           {is_due} AND coalesce(o.observed_at <= {asked_at}, true) AS is_due \
         FROM incoming n LEFT JOIN LATERAL (\
           SELECT * FROM {table} p WHERE p.integration_id = {integration} AND p.id = n.id OFFSET 0) o ON true \
         WHERE o.id IS NULL OR o.incomplete OR o.missing_since IS NOT NULL \
           OR (o.unknown_fields, {old}) IS DISTINCT FROM (n.unknown_fields, {new})",
        table = table.name,
        changed_columns = changed_columns(table),
        old = names(table, "o."),
        new = names(table, "n."),
    ));
    statement
}

/// The condition under which the mirror shows a row `t` that Kombo, asked when it was, should show as well.
fn is_shown(statement: &mut Statement, expectation: &Expectation<'_>) -> String {
    let integration = statement.text(expectation.integration_id);
    let asked_at = statement.time(Some(expectation.asked_at));
    format!(
        "t.integration_id = {integration} AND t.missing_since IS NULL AND NOT t.incomplete \
         AND t.observed_at <= {asked_at}"
    )
}

/// Children that the mirror has and their parent does not list.
fn unlisted(
    expectation: &Expectation<'_>,
    list: &CompleteList,
    present: Option<&Batch>,
) -> Statement {
    let present = present
        .map(|batch| batch.ids().map(str::to_owned).collect())
        .unwrap_or_default();
    let mut statement = Statement::fixed();
    let is_shown = is_shown(&mut statement, expectation);
    let parents = statement.texts(list.parents.clone());
    let present = statement.texts(present);
    statement.push(&format!(
        "SELECT t.id, 'EXTRA' AS what, '' AS fields, true AS is_due FROM {table} t \
         WHERE {is_shown} AND t.{parent} = ANY({parents}::text[]) AND t.id <> ALL({present}::text[])",
        table = list.table.name,
        parent = list.parent_column,
    ));
    statement
}

fn link_tables(lists: &[LinkList]) -> Vec<&'static LinkTable> {
    let mut tables: Vec<&'static LinkTable> = Vec::new();
    for list in lists {
        if !tables.iter().any(|known| known.name == list.table.name) {
            tables.push(list.table);
        }
    }
    tables
}

/// Links that only one side has.
fn links(expectation: &Expectation<'_>, table: &LinkTable, lists: &[LinkList]) -> Statement {
    let lists = lists.iter().filter(|list| list.table.name == table.name);
    let (mut owners, mut froms, mut tos) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        owners.push(list.from.clone());
        froms.extend(list.to.iter().map(|_| list.from.clone()));
        tos.extend(list.to.iter().cloned());
    }
    let mut statement = Statement::fixed();
    let integration = statement.text(expectation.integration_id);
    let asked_at = statement.time(Some(expectation.asked_at));
    let owners = statement.texts(owners);
    let froms = statement.texts(froms);
    let tos = statement.texts(tos);
    let LinkTable { name, from, to, .. } = table;
    statement.push(&format!(
        "WITH listed AS MATERIALIZED (SELECT DISTINCT * FROM UNNEST({froms}::text[], {tos}::text[]) AS l(a, b)) \
         SELECT l.a || '|' || l.b AS id, 'MISSING' AS what, '' AS fields, true AS is_due FROM listed l \
         WHERE NOT EXISTS (SELECT FROM {name} t WHERE t.integration_id = {integration} AND t.{from} = l.a AND t.{to} = l.b) \
         UNION ALL \
         SELECT t.{from} || '|' || t.{to}, 'EXTRA', '', true FROM {name} t \
         WHERE t.integration_id = {integration} AND t.{from} = ANY({owners}::text[]) AND t.observed_at <= {asked_at} \
           AND NOT EXISTS (SELECT FROM listed l WHERE l.a = t.{from} AND l.b = t.{to})",
    ));
    statement
}

#[derive(diesel::QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

async fn ids(
    connection: &mut AsyncPgConnection,
    statement: &Statement,
) -> QueryResult<Vec<String>> {
    let ids: Vec<Id> = statement.get_results(connection).await?;
    Ok(ids.into_iter().map(|row| row.id).collect())
}

/// The next `limit` ids, after `last`, of the rows that the mirror shows.
///
/// # Errors
/// Whatever Postgres says.
pub async fn ids_after(
    connection: &mut AsyncPgConnection,
    expectation: &Expectation<'_>,
    table: &Table,
    last: &str,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let mut statement = Statement::fixed();
    let is_shown = is_shown(&mut statement, expectation);
    let last = statement.text(last);
    let limit = statement.bigint(limit);
    statement.push(&format!(
        "SELECT t.id FROM {} t WHERE {is_shown} AND t.id > {last} ORDER BY t.id LIMIT {limit}",
        table.name
    ));
    ids(connection, &statement).await
}

/// Which of some ids are rows that the mirror shows.
///
/// # Errors
/// Whatever Postgres says.
pub async fn shown(
    connection: &mut AsyncPgConnection,
    expectation: &Expectation<'_>,
    table: &Table,
    some: Vec<String>,
) -> QueryResult<Vec<String>> {
    let mut statement = Statement::fixed();
    let is_shown = is_shown(&mut statement, expectation);
    let some = statement.texts(some);
    statement.push(&format!(
        "SELECT t.id FROM {} t WHERE {is_shown} AND t.id = ANY({some}::text[])",
        table.name
    ));
    ids(connection, &statement).await
}

/// `size` ids of rows that the mirror shows; another `salt` gives others.
///
/// # Errors
/// Whatever Postgres says.
pub async fn sample(
    connection: &mut AsyncPgConnection,
    expectation: &Expectation<'_>,
    table: &Table,
    size: i64,
    salt: String,
) -> QueryResult<Vec<String>> {
    let mut statement = Statement::fixed();
    let is_shown = is_shown(&mut statement, expectation);
    let salt = statement.text(salt);
    let size = statement.bigint(size);
    statement.push(&format!(
        "SELECT t.id FROM {} t WHERE {is_shown} ORDER BY md5(t.id || {salt}) LIMIT {size}",
        table.name
    ));
    ids(connection, &statement).await
}

/// How many rows the mirror shows.
///
/// # Errors
/// Whatever Postgres says.
pub async fn count(
    connection: &mut AsyncPgConnection,
    expectation: &Expectation<'_>,
    table: &Table,
) -> QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let mut statement = Statement::fixed();
    let is_shown = is_shown(&mut statement, expectation);
    statement.push(&format!(
        "SELECT count(*) AS count FROM {} t WHERE {is_shown}",
        table.name
    ));
    Ok(statement.get_result::<Count>(connection).await?.count)
}
