//! Lists that a record shows completely: what it no longer names is gone.
//!
//! A course nests all its revisions, a revision all its skills. Kombo marks neither deletion, so absence from
//! the list is the only sign; and an upstream fault that empties every list looks just the same. So what lists
//! stop naming is counted over the whole run and held back beyond an [`Allowance`] (rule 11). Nothing here
//! may remove a row that a younger fetch wrote.

use diesel::QueryResult;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::page::{CompleteList, LinkList, PageRows};
use super::store::Writer;
use super::table::{LinkTable, Table};
use crate::db::Statement;

/// How much absence is believed without a human (rule 11).
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// That many rows of a table always.
    pub rows: i64,
    /// And that share of the table's live rows.
    pub percent: i64,
    /// What lists stopped naming in this run already.
    pub used: i64,
}

impl Allowance {
    /// No absence is believed, whatever lists no longer name waits for an approval.
    pub const NOTHING: Self = Self {
        rows: 0,
        percent: 0,
        used: 0,
    };

    /// Whether so much absence is believed. Of an enumeration that showed nothing at all it is not, however
    /// few rows there are, unless the setting says that everything may go.
    #[must_use]
    pub fn covers(self, absent: i64, live: i64, saw_anything: bool) -> bool {
        if absent == 0 {
            return true;
        }
        if !saw_anything && self.percent < 100 {
            return false;
        }
        absent + self.used <= self.rows.max(live.saturating_mul(self.percent) / 100)
    }

    /// The same in SQL, over a subquery that counts the absent rows; the live ones are only counted where
    /// the number of rows does not decide.
    fn covers_sql(self, statement: &mut Statement, absent: &str, live: &str) -> String {
        let rows = statement.bigint(self.rows);
        let used = statement.bigint(self.used);
        let percent = statement.bigint(self.percent);
        format!(
            "(SELECT CASE WHEN a.n + {used} <= {rows} THEN true ELSE a.n + {used} <= ({live}) * {percent} / 100 END \
             FROM ({absent}) AS a(n))"
        )
    }
}

/// What became of one row that a list concerns.
#[derive(Debug, diesel::QueryableByName)]
pub struct Listed {
    /// The row: a child, or the owner of a link.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// `GONE`: live before, removed now. `DEAD`: deleted before, absent now as well. `HELD`: kept for
    /// approval. `ADDED`: a link that is new.
    #[diesel(sql_type = Text)]
    pub effect: String,
}

/// The lists of one table in a page.
#[derive(Debug)]
pub enum ListWrite {
    /// Children of some parents.
    Children(&'static Table, Statement),
    /// Links of some rows.
    Links(&'static LinkTable, Statement),
}

impl ListWrite {
    /// Runs the statement.
    ///
    /// # Errors
    /// Whatever Postgres says.
    pub async fn run(&self, connection: &mut AsyncPgConnection) -> QueryResult<Vec<Listed>> {
        match self {
            Self::Children(_, statement) | Self::Links(_, statement) => {
                statement.get_results(connection).await
            }
        }
    }
}

/// Statements for all lists of a page.
#[must_use]
pub fn writes(writer: &Writer<'_>, page: &PageRows) -> Vec<ListWrite> {
    let children = page.complete_lists.iter().map(|list| {
        let present = page
            .batch(list.table)
            .map(|batch| batch.ids().map(str::to_owned).collect())
            .unwrap_or_default();
        ListWrite::Children(list.table, mark_unlisted(writer, list, present))
    });
    let mut tables: Vec<&'static LinkTable> = Vec::new();
    for list in &page.link_lists {
        if !tables.iter().any(|known| known.name == list.table.name) {
            tables.push(list.table);
        }
    }
    let links = tables.into_iter().map(|table| {
        let lists = page
            .link_lists
            .iter()
            .filter(|list| list.table.name == table.name);
        ListWrite::Links(table, replace_links(writer, table, lists))
    });
    children.chain(links).collect()
}

/// Marks the children that a freshly read parent no longer lists.
fn mark_unlisted(writer: &Writer<'_>, list: &CompleteList, present: Vec<String>) -> Statement {
    let mut statement = Statement::fixed();
    let integration = statement.text(writer.integration_id);
    let parents = statement.texts(list.parents.clone());
    let present = statement.texts(present);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let run = statement.bigint(writer.run_id);
    let spares = statement.boolean(writer.spares_held_back);
    let table = list.table.name;
    let live = format!(
        "SELECT count(*) FROM {table} l WHERE l.integration_id = {integration} AND NOT l.incomplete \
         AND l.missing_since IS NULL AND l.remote_deleted_at IS NULL"
    );
    let absent = "SELECT count(*) FROM gone WHERE was_live";
    let covered = writer.allowance.covers_sql(&mut statement, absent, &live);
    statement.push(&format!(
        "WITH gone AS MATERIALIZED (SELECT id, remote_deleted_at IS NULL AS was_live FROM {table} \
           WHERE integration_id = {integration} AND {parent} = ANY({parents}::text[]) AND id <> ALL({present}::text[]) \
             AND missing_since IS NULL AND NOT incomplete AND observed_at <= {observed} \
             AND NOT EXISTS (SELECT FROM held_back_removals h WHERE {spares} AND h.integration_id = {integration} \
               AND h.table_name = '{table}' AND h.id = {table}.id) ORDER BY id FOR UPDATE), \
         decision AS MATERIALIZED (SELECT {covered} AS covered), \
         marked AS (UPDATE {table} t SET missing_since = {now}, observed_at = {observed}, mirrored_at = {now} \
           FROM gone WHERE (SELECT covered FROM decision) AND t.integration_id = {integration} AND t.id = gone.id \
           RETURNING gone.id, gone.was_live), \
         shown AS (DELETE FROM held_back_removals WHERE integration_id = {integration} AND table_name = '{table}' \
           AND id = ANY({present}::text[])), \
         held AS (INSERT INTO held_back_removals AS h (integration_id, table_name, id, run_id) \
           SELECT {integration}, '{table}', id, {run} FROM gone WHERE was_live AND NOT (SELECT covered FROM decision) \
           ON CONFLICT (integration_id, table_name, id, linked_id) DO UPDATE SET run_id = excluded.run_id RETURNING h.id) \
         SELECT id, CASE WHEN was_live THEN 'GONE' ELSE 'DEAD' END AS effect FROM marked \
         UNION ALL SELECT id, 'HELD' FROM held",
        parent = list.parent_column,
    ));
    statement
}

/// Makes the links of some rows what the page listed.
fn replace_links<'a>(
    writer: &Writer<'_>,
    table: &LinkTable,
    lists: impl Iterator<Item = &'a LinkList>,
) -> Statement {
    let mut owners = Vec::new();
    let mut pairs = Vec::new();
    for list in lists {
        pairs.extend(list.to.iter().map(|to| (list.from.clone(), to.clone())));
        owners.push(list.from.clone());
    }
    pairs.sort_unstable();
    pairs.dedup();
    let (pair_froms, pair_tos): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut statement = Statement::fixed();
    let integration = statement.text(writer.integration_id);
    let owners = statement.texts(owners);
    let pair_froms = statement.texts(pair_froms);
    let pair_tos = statement.texts(pair_tos);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let run = statement.bigint(writer.run_id);
    let spares = statement.boolean(writer.spares_held_back);
    let LinkTable { name, from, to, .. } = table;
    let live = format!("SELECT count(*) FROM {name} l WHERE l.integration_id = {integration}");
    let covered = writer
        .allowance
        .covers_sql(&mut statement, "SELECT count(*) FROM gone", &live);
    statement.push(&format!(
        "WITH listed AS MATERIALIZED (\
           SELECT * FROM UNNEST({pair_froms}::text[], {pair_tos}::text[]) AS l(from_id, to_id)), \
         gone AS MATERIALIZED (SELECT t.{from} AS from_id, t.{to} AS to_id FROM {name} t \
           WHERE t.integration_id = {integration} AND t.{from} = ANY({owners}::text[]) AND t.observed_at <= {observed} \
             AND NOT EXISTS (SELECT FROM listed l WHERE l.from_id = t.{from} AND l.to_id = t.{to}) \
             AND NOT EXISTS (SELECT FROM held_back_removals h WHERE {spares} AND h.integration_id = {integration} \
               AND h.table_name = '{name}' AND h.id = t.{from} AND h.linked_id = t.{to})), \
         decision AS MATERIALIZED (SELECT {covered} AS covered), \
         removed AS (DELETE FROM {name} t USING gone WHERE (SELECT covered FROM decision) \
           AND t.integration_id = {integration} AND t.{from} = gone.from_id AND t.{to} = gone.to_id RETURNING gone.from_id), \
         shown AS (DELETE FROM held_back_removals h USING listed l WHERE h.integration_id = {integration} \
           AND h.table_name = '{name}' AND h.id = l.from_id AND h.linked_id = l.to_id), \
         held AS (INSERT INTO held_back_removals AS h (integration_id, table_name, id, linked_id, run_id) \
           SELECT {integration}, '{name}', from_id, to_id, {run} FROM gone WHERE NOT (SELECT covered FROM decision) \
           ON CONFLICT (integration_id, table_name, id, linked_id) DO UPDATE SET run_id = excluded.run_id RETURNING h.id), \
         added AS (INSERT INTO {name} AS t (integration_id, {from}, {to}, observed_at, mirrored_at) \
           SELECT {integration}, l.from_id, l.to_id, {observed}, {now} FROM listed l \
           WHERE NOT EXISTS (SELECT FROM {name} p WHERE p.integration_id = {integration} \
             AND p.{from} = l.from_id AND p.{to} = l.to_id) \
           ORDER BY l.from_id, l.to_id ON CONFLICT (integration_id, {from}, {to}) DO NOTHING RETURNING t.{from} AS from_id) \
         SELECT from_id AS id, 'GONE' AS effect FROM removed UNION ALL SELECT from_id, 'ADDED' FROM added \
         UNION ALL SELECT id, 'HELD' FROM held",
    ));
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule 11, F36: max(50 rows, 10 %).
    #[test]
    fn the_guard_allows_the_larger_of_its_rows_and_its_share() {
        let allowance = Allowance {
            rows: 50,
            percent: 10,
            used: 0,
        };
        assert!(allowance.covers(50, 60, true));
        assert!(!allowance.covers(51, 60, true));
        assert!(allowance.covers(100, 1000, true));
        assert!(!allowance.covers(101, 1000, true));
        assert!(allowance.covers(0, 0, true));
        let used = Allowance {
            used: 30,
            ..allowance
        };
        assert!(used.covers(20, 60, true) && !used.covers(21, 60, true));
    }

    #[test]
    fn of_an_empty_enumeration_nothing_is_believed_unless_everything_may_go() {
        let allowance = |percent| Allowance {
            rows: 50,
            percent,
            used: 0,
        };
        assert!(!allowance(10).covers(1, 1, false));
        assert!(allowance(10).covers(0, 0, false));
        assert!(allowance(100).covers(60, 60, false));
    }
}
