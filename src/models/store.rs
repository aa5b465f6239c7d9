//! Writing rows: the statements that every mirrored table shares, made from its column list.
//!
//! Rule 7: unchanged rows are not touched. The stored columns are compared with the incoming ones first
//! and only the difference is written; `ON CONFLICT … WHERE` alone would lock every row and write WAL.
//! Rule 8: a row is written only by a fetch that began no earlier than the one that wrote it.
//! Nothing here decides what is true; it must never touch the queue, the network or the clock.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::effect::{Effect, Written};
use super::lists::{self, Allowance, ListWrite};
use super::page::{Batch, PageRows};
use super::record::{Row, Value};
use super::stubs::Stubs;
use super::table::{ColumnKind, Table};
use crate::db::Statement;

/// Who writes, and as of when.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    /// The integration the rows belong to.
    pub integration_id: &'a str,
    /// The run that writes.
    pub run_id: i64,
    /// Start of the fetch, by Kombo's clock.
    pub observed_at: DateTime<Utc>,
    /// Our time, for `mirrored_at`.
    pub now: DateTime<Utc>,
    /// Rows that Kombo changed before this moment should have come by an earlier fetch; `None` where every
    /// row may be new to us.
    pub unannounced_before: Option<DateTime<Utc>>,
    /// Whether a webhook asked for the fetch: what carries no time of its own is then no surprise.
    pub is_announced: bool,
    /// What lists may remove in this run.
    pub allowance: Allowance,
    /// Whether what waits for an approval goes on waiting; a full fetch judges it anew.
    pub spares_held_back: bool,
}

impl Writer<'_> {
    /// Whether a change that carries no time was announced by nobody.
    fn is_surprised(&self) -> bool {
        self.unannounced_before.is_some() && !self.is_announced
    }
}

/// Rows as one array per column, ready to bind.
#[derive(Debug)]
pub struct Columns {
    table: &'static Table,
    ids: Vec<String>,
    values: Vec<ColumnValues>,
    unknown_fields: Vec<Option<String>>,
}

#[derive(Debug)]
enum ColumnValues {
    Text(Vec<Option<String>>),
    Time(Vec<Option<DateTime<Utc>>>),
}

impl Columns {
    pub(super) fn from_rows(table: &'static Table, rows: Vec<Row>) -> Self {
        let mut columns = Self {
            table,
            ids: Vec::with_capacity(rows.len()),
            values: table
                .columns
                .iter()
                .map(|column| match column.kind {
                    ColumnKind::Time => ColumnValues::Time(Vec::with_capacity(rows.len())),
                    ColumnKind::Text | ColumnKind::Json => {
                        ColumnValues::Text(Vec::with_capacity(rows.len()))
                    }
                })
                .collect(),
            unknown_fields: Vec::with_capacity(rows.len()),
        };
        for row in rows {
            columns.ids.push(row.id);
            columns.unknown_fields.push(row.unknown_fields);
            for (column, value) in columns.values.iter_mut().zip(row.values) {
                match (column, value) {
                    (ColumnValues::Time(times), Value::Time(time)) => times.push(time),
                    (ColumnValues::Text(texts), Value::Text(text) | Value::Json(text)) => {
                        texts.push(text);
                    }
                    (ColumnValues::Time(times), _) => times.push(None),
                    (ColumnValues::Text(texts), _) => texts.push(None),
                }
            }
        }
        columns
    }

    /// `SELECT id, …, unknown_fields FROM UNNEST(…)` with every column in its own type.
    pub(super) fn bind_as_rows(self, statement: &mut Statement) -> String {
        let mut arrays = vec![format!("{}::text[]", statement.texts(self.ids))];
        for values in self.values {
            arrays.push(match values {
                ColumnValues::Text(texts) => format!("{}::text[]", statement.nullable_texts(texts)),
                ColumnValues::Time(times) => {
                    format!("{}::timestamptz[]", statement.nullable_times(times))
                }
            });
        }
        arrays.push(format!(
            "{}::text[]",
            statement.nullable_texts(self.unknown_fields)
        ));
        let mut typed = vec!["n.id".to_owned()];
        for column in self.table.columns {
            let cast = if column.kind == ColumnKind::Json {
                "::jsonb"
            } else {
                ""
            };
            typed.push(format!("n.{0}{cast} AS {0}", column.name));
        }
        format!(
            "SELECT {}, n.unknown_fields::jsonb AS unknown_fields FROM UNNEST({}) AS n(id, {}, unknown_fields)",
            typed.join(", "),
            arrays.join(", "),
            names(self.table, ""),
        )
    }
}

/// The table's columns, each with `prefix` before it.
pub(super) fn names(table: &Table, prefix: &str) -> String {
    table
        .columns
        .iter()
        .map(|column| format!("{prefix}{}", column.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The statements that store a page. Made before the transaction, so that it is short and can be tried
/// again as it stands.
#[derive(Debug)]
pub struct PageWrites {
    lists: Vec<ListWrite>,
    upserts: Vec<(&'static Table, Statement)>,
    stubs: Stubs,
    is_surprised: bool,
}

impl PageWrites {
    /// Turns a page's rows into statements.
    #[must_use]
    pub fn new(writer: &Writer<'_>, page: PageRows) -> Self {
        Self {
            lists: lists::writes(writer, &page),
            upserts: page
                .batches
                .into_iter()
                .map(|batch| (batch.table, upsert(writer, batch)))
                .collect(),
            stubs: Stubs::new(writer, page.stubs),
            is_surprised: writer.is_surprised(),
        }
    }

    /// Runs the statements; returns what happened, and the tables that got new stubs.
    ///
    /// # Errors
    /// Whatever Postgres says; the caller's transaction is then void.
    pub async fn run(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> QueryResult<(Effect, Vec<&'static Table>)> {
        let mut effect = Effect::default();
        // Lists of children before rows: a child that moved to another parent is marked by the old one's
        // list and revived by its own row.
        for write in &self.lists {
            if let ListWrite::Children(table, _) = write {
                let listed = write.run(connection).await?;
                effect.add_children(table, listed, self.is_surprised);
            }
        }
        for (table, statement) in &self.upserts {
            for row in statement.get_results::<Written>(connection).await? {
                effect.add_row(table, row);
            }
        }
        for write in &self.lists {
            if let ListWrite::Links(table, _) = write {
                let listed = write.run(connection).await?;
                effect.add_links(table.owner.name, table.field, listed, self.is_surprised);
            }
        }
        effect.merge_changes();
        let stubbed = self.stubs.insert(connection).await?;
        Ok((effect, stubbed))
    }
}

/// The names of the columns in which the stored row `o` and the incoming row `n` differ, as one text.
pub(super) fn changed_columns(table: &Table) -> String {
    let differing: Vec<String> = table
        .columns
        .iter()
        .map(|column| column.name)
        .chain(["unknown_fields"])
        .map(|name| format!("CASE WHEN o.{name} IS DISTINCT FROM n.{name} THEN '{name}' END"))
        .collect();
    format!("concat_ws(',', {})", differing.join(", "))
}

/// Writes the rows that differ from the stored ones.
fn upsert(writer: &Writer<'_>, batch: Batch) -> Statement {
    let table = batch.table;
    let mut statement = Statement::fixed();
    let incoming = batch.into_columns().bind_as_rows(&mut statement);
    let integration = statement.text(writer.integration_id);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let (was_live, is_live, unannounced) = if table.has_tombstones() {
        let before = statement.time(writer.unannounced_before);
        (
            "o.missing_since IS NULL AND o.remote_deleted_at IS NULL",
            "n.remote_deleted_at IS NULL",
            format!("coalesce(c.changed_at < {before}, false)"),
        )
    } else {
        let surprised = statement.boolean(writer.is_surprised());
        ("o.missing_since IS NULL", "true", surprised)
    };
    // OFFSET 0 keeps the look-up an index look-up: without statistics on a growing table the planner
    // would scan it.
    statement.push(&format!(
        "WITH incoming AS MATERIALIZED ({incoming}), \
         changed AS MATERIALIZED (\
           SELECT n.*, CASE WHEN o.id IS NULL OR o.incomplete THEN 'INSERTED' \
               WHEN {was_live} AND NOT ({is_live}) THEN 'DELETED' \
               WHEN NOT ({was_live}) AND {is_live} THEN 'RESTORED' ELSE 'UPDATED' END AS kind, \
             CASE WHEN o.id IS NULL OR o.incomplete THEN '' ELSE {changed_columns} END AS fields \
           FROM incoming n LEFT JOIN LATERAL (\
             SELECT * FROM {table} p WHERE p.integration_id = {integration} AND p.id = n.id OFFSET 0) o ON true \
           WHERE o.id IS NULL OR (o.observed_at <= {observed} AND (o.incomplete OR o.missing_since IS NOT NULL \
             OR (o.unknown_fields, {old}) IS DISTINCT FROM (n.unknown_fields, {new})))), \
         written AS (\
           INSERT INTO {table} AS t (integration_id, id, {columns}, unknown_fields, missing_since, observed_at, mirrored_at, incomplete) \
           SELECT {integration}, id, {columns}, unknown_fields, NULL, {observed}, {now}, false FROM changed ORDER BY id \
           ON CONFLICT (integration_id, id) DO UPDATE SET {assignments}, unknown_fields = excluded.unknown_fields, \
             missing_since = NULL, observed_at = excluded.observed_at, mirrored_at = excluded.mirrored_at, incomplete = false \
           WHERE t.observed_at <= excluded.observed_at \
           RETURNING t.id) \
         SELECT c.id, c.kind, c.fields, {unannounced} AS unannounced FROM written w JOIN changed c ON c.id = w.id",
        table = table.name,
        changed_columns = changed_columns(table),
        old = names(table, "o."),
        new = names(table, "n."),
        columns = names(table, ""),
        assignments = table
            .columns
            .iter()
            .map(|column| format!("{0} = excluded.{0}", column.name))
            .collect::<Vec<_>>()
            .join(", "),
    ));
    statement
}
