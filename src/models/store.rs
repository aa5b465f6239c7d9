//! Writing rows: the statements that every mirrored table shares, made from its column list.
//!
//! Rule 7: unchanged rows are not touched. The stored columns are compared with the incoming ones first
//! and only the difference is written; `ON CONFLICT … WHERE` alone would lock every row and write WAL.
//! Rule 8: a row is written only by a fetch that began no earlier than the one that wrote it.
//! Nothing here decides what is true; it must never touch the queue, the network or the clock.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::page::{Batch, CompleteList, PageRows};
use super::record::{Row, Value};
use super::table::{ColumnKind, Table};
use crate::db::Statement;

/// Who writes, and as of when.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    /// The integration the rows belong to.
    pub integration_id: &'a str,
    /// Start of the fetch, by Kombo's clock.
    pub observed_at: DateTime<Utc>,
    /// Our time, for `mirrored_at`.
    pub now: DateTime<Utc>,
    /// Set in a full fetch: rows that Kombo changed before this moment should have come by a delta, so a
    /// difference in them is drift.
    pub drift_before: Option<DateTime<Utc>>,
}

/// What a write did to records; skill assignments are no records of their own and are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, diesel::QueryableByName)]
pub struct Effect {
    /// Rows that were unknown (or only a stub).
    #[diesel(sql_type = BigInt)]
    pub inserted: i64,
    /// Rows with another content than before.
    #[diesel(sql_type = BigInt)]
    pub updated: i64,
    /// Rows that were alive and now are not: among `updated` where they were received, beyond it where their
    /// absence from a list told.
    #[diesel(sql_type = BigInt)]
    pub deleted: i64,
    /// Rows written although no delta had announced them.
    #[diesel(sql_type = BigInt)]
    pub drifted: i64,
}

impl std::ops::AddAssign for Effect {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.drifted += other.drifted;
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
    fn bind_as_rows(self, statement: &mut Statement) -> String {
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
fn names(table: &Table, prefix: &str) -> String {
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
    lists: Vec<Statement>,
    upserts: Vec<Statement>,
    skills: Option<Statement>,
    stubs: Vec<(&'static Table, Statement)>,
}

impl PageWrites {
    /// Turns a page's rows into statements.
    #[must_use]
    pub fn new(writer: &Writer<'_>, page: PageRows) -> Self {
        let present = |list: &CompleteList| {
            page.batch(list.table)
                .map(|batch| batch.ids().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        Self {
            lists: page
                .complete_lists
                .iter()
                .map(|list| mark_unlisted(writer, list, present(list)))
                .collect(),
            skills: replace_skill_lists(writer, page.skill_lists),
            upserts: page
                .batches
                .into_iter()
                .map(|batch| upsert(writer, batch))
                .collect(),
            stubs: page
                .stubs
                .into_iter()
                .map(|batch| (batch.table, insert_stubs(writer, batch)))
                .collect(),
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
        // Lists before rows: a child that moved to another parent is marked by the old one's list and
        // revived by its own row.
        let statements = self.lists.iter().chain(&self.upserts).chain(&self.skills);
        for statement in statements {
            effect += statement.get_result::<Effect>(connection).await?;
        }
        let mut stubbed = Vec::new();
        for (table, statement) in &self.stubs {
            if statement.execute(connection).await? > 0 {
                stubbed.push(*table);
            }
        }
        Ok((effect, stubbed))
    }
}

/// Writes the rows that differ from the stored ones.
fn upsert(writer: &Writer<'_>, batch: Batch) -> Statement {
    let table = batch.table;
    let mut statement = Statement::fixed();
    let incoming = batch.into_columns().bind_as_rows(&mut statement);
    let integration = statement.text(writer.integration_id);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let drift_before = statement.time(writer.drift_before);
    let (died, drifted) = if table.has_tombstones() {
        (
            "c.was_live AND c.remote_deleted_at IS NOT NULL",
            format!("c.changed_at < {drift_before}"),
        )
    } else {
        ("false", "false".to_owned())
    };
    let was_live = if table.has_tombstones() {
        "o.missing_since IS NULL AND o.remote_deleted_at IS NULL"
    } else {
        "o.missing_since IS NULL"
    };
    // OFFSET 0 keeps the look-up an index look-up: without statistics on a growing table the planner
    // would scan it.
    statement.push(&format!(
        "WITH incoming AS MATERIALIZED ({incoming}), \
         changed AS MATERIALIZED (\
           SELECT n.*, (o.id IS NULL OR o.incomplete) AS is_new, \
                  (o.id IS NOT NULL AND NOT o.incomplete AND {was_live}) AS was_live \
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
         SELECT count(*) FILTER (WHERE c.is_new) AS inserted, count(*) FILTER (WHERE NOT c.is_new) AS updated, \
                count(*) FILTER (WHERE {died}) AS deleted, count(*) FILTER (WHERE {drifted}) AS drifted \
         FROM written w JOIN changed c ON c.id = w.id",
        table = table.name,
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

/// Creates rows for ids that the mirror does not know; a row that exists stays as it is (rule 9).
fn insert_stubs(writer: &Writer<'_>, batch: Batch) -> Statement {
    let table = batch.table;
    let mut statement = Statement::fixed();
    let incoming = batch.into_columns().bind_as_rows(&mut statement);
    let integration = statement.text(writer.integration_id);
    let now = statement.time(Some(writer.now));
    // observed at the beginning of time: any fetch of the row's own endpoint may fill it, even one that
    // began before this page
    statement.push(&format!(
        "INSERT INTO {table} (integration_id, id, {columns}, unknown_fields, observed_at, mirrored_at, incomplete) \
         SELECT {integration}, n.id, {new}, n.unknown_fields, 'epoch', {now}, true FROM ({incoming}) n \
         WHERE NOT EXISTS (SELECT FROM {table} p WHERE p.integration_id = {integration} AND p.id = n.id) \
         ORDER BY n.id ON CONFLICT (integration_id, id) DO NOTHING",
        table = table.name,
        columns = names(table, ""),
        new = names(table, "n."),
    ));
    statement
}

/// Marks the children that a freshly read parent no longer lists.
fn mark_unlisted(writer: &Writer<'_>, list: &CompleteList, present: Vec<String>) -> Statement {
    let mut statement = Statement::fixed();
    let integration = statement.text(writer.integration_id);
    let parents = statement.texts(list.parents.clone());
    let present = statement.texts(present);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    let drifts = statement.boolean(writer.drift_before.is_some());
    statement.push(&format!(
        "WITH gone AS (SELECT id, remote_deleted_at IS NULL AS was_live FROM {table} \
           WHERE integration_id = {integration} AND {parent} = ANY({parents}::text[]) AND id <> ALL({present}::text[]) \
             AND missing_since IS NULL AND NOT incomplete AND observed_at <= {observed} ORDER BY id FOR UPDATE), \
         marked AS (UPDATE {table} t SET missing_since = {observed}, observed_at = {observed}, mirrored_at = {now} \
           FROM gone WHERE t.integration_id = {integration} AND t.id = gone.id RETURNING gone.was_live) \
         SELECT 0::bigint AS inserted, 0::bigint AS updated, count(*) FILTER (WHERE was_live) AS deleted, \
                count(*) FILTER (WHERE {drifts} AND was_live) AS drifted FROM marked",
        table = list.table.name,
        parent = list.parent_column,
    ));
    statement
}

/// Makes the skill assignments of some revisions what the page listed.
fn replace_skill_lists(
    writer: &Writer<'_>,
    lists: Vec<(String, Vec<String>)>,
) -> Option<Statement> {
    if lists.is_empty() {
        return None;
    }
    let mut revisions = Vec::new();
    let mut pairs = Vec::new();
    for (revision, skills) in lists {
        pairs.extend(skills.into_iter().map(|skill| (revision.clone(), skill)));
        revisions.push(revision);
    }
    pairs.sort_unstable();
    pairs.dedup();
    let (pair_revisions, pair_skills): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut statement = Statement::fixed();
    let integration = statement.text(writer.integration_id);
    let revisions = statement.texts(revisions);
    let pair_revisions = statement.texts(pair_revisions);
    let pair_skills = statement.texts(pair_skills);
    let observed = statement.time(Some(writer.observed_at));
    let now = statement.time(Some(writer.now));
    statement.push(&format!(
        "WITH listed AS MATERIALIZED (\
           SELECT * FROM UNNEST({pair_revisions}::text[], {pair_skills}::text[]) AS l(course_revision_id, skill_id)), \
         gone AS (DELETE FROM course_revision_skills t \
           WHERE t.integration_id = {integration} AND t.course_revision_id = ANY({revisions}::text[]) \
             AND t.observed_at <= {observed} \
             AND NOT EXISTS (SELECT FROM listed l WHERE l.course_revision_id = t.course_revision_id AND l.skill_id = t.skill_id) \
           RETURNING 1), \
         added AS (INSERT INTO course_revision_skills (integration_id, course_revision_id, skill_id, observed_at, mirrored_at) \
           SELECT {integration}, l.course_revision_id, l.skill_id, {observed}, {now} FROM listed l \
           WHERE NOT EXISTS (SELECT FROM course_revision_skills p WHERE p.integration_id = {integration} \
             AND p.course_revision_id = l.course_revision_id AND p.skill_id = l.skill_id) \
           ORDER BY l.course_revision_id, l.skill_id \
           ON CONFLICT (integration_id, course_revision_id, skill_id) DO NOTHING RETURNING 1) \
         SELECT 0::bigint AS inserted, 0::bigint AS updated, 0::bigint AS deleted, 0::bigint AS drifted",
    ));
    Some(statement)
}
