//! Rows known only from a partial nested object: created where the mirror knows nothing (rule 9).
//!
//! A page of progressions names hundreds of users and revisions, and nearly always all of them are known. So the
//! database is asked once, by ids alone, and rows are sent only for those that are not. A row that exists must stay
//! as it is, whatever the partial object says.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::page::Batch;
use super::store::{Writer, names};
use super::table::Table;
use crate::db::Statement;

/// The stubs of one page.
#[derive(Debug)]
pub(super) struct Stubs {
    integration_id: String,
    now: DateTime<Utc>,
    batches: Vec<Batch>,
}

#[derive(diesel::QueryableByName)]
struct Unknown {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    id: String,
}

impl Stubs {
    pub(super) fn new(writer: &Writer<'_>, batches: Vec<Batch>) -> Self {
        Self {
            integration_id: writer.integration_id.to_owned(),
            now: writer.now,
            batches,
        }
    }

    /// Creates what is unknown; returns the tables that have new rows.
    pub(super) async fn insert(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> QueryResult<Vec<&'static Table>> {
        let mut stubbed = Vec::new();
        if self.batches.is_empty() {
            return Ok(stubbed);
        }
        let unknown: Vec<Unknown> = self.unknown().get_results(connection).await?;
        for batch in &self.batches {
            let ids: HashSet<&str> = unknown
                .iter()
                .filter(|row| row.table_name == batch.table.name)
                .map(|row| &*row.id)
                .collect();
            if ids.is_empty() {
                continue;
            }
            let insert = self.inserting(batch.only(&ids));
            if insert.execute(connection).await? > 0 {
                stubbed.push(batch.table);
            }
        }
        Ok(stubbed)
    }

    /// Which ids the mirror does not know.
    ///
    /// OFFSET 0 keeps each look-up an index look-up: as a join, a page of two hundred ids made the planner read
    /// tables of tens of thousands of rows from end to end.
    fn unknown(&self) -> Statement {
        let mut statement = Statement::fixed();
        let integration = statement.text(&*self.integration_id);
        for (position, batch) in self.batches.iter().enumerate() {
            let ids = statement.texts(batch.ids().map(str::to_owned).collect());
            statement.push(&format!(
                "{union}SELECT '{table}' AS table_name, u.id FROM UNNEST({ids}::text[]) AS u(id) \
                 WHERE NOT EXISTS (SELECT FROM {table} p WHERE p.integration_id = {integration} AND p.id = u.id OFFSET 0)",
                union = if position == 0 { "" } else { " UNION ALL " },
                table = batch.table.name,
            ));
        }
        statement
    }

    /// Somebody else may have created the row meanwhile: then it stays as it is.
    fn inserting(&self, batch: Batch) -> Statement {
        let table = batch.table;
        let mut statement = Statement::fixed();
        let incoming = batch.into_columns().bind_as_rows(&mut statement);
        let integration = statement.text(&*self.integration_id);
        let now = statement.time(Some(self.now));
        // observed at the beginning of time: any fetch of the row's own endpoint may fill it, even one that
        // began before this page
        statement.push(&format!(
            "INSERT INTO {table} (integration_id, id, {columns}, unknown_fields, observed_at, mirrored_at, incomplete) \
             SELECT {integration}, n.id, {new}, n.unknown_fields, 'epoch', {now}, true FROM ({incoming}) n \
             ORDER BY n.id ON CONFLICT (integration_id, id) DO NOTHING",
            table = table.name,
            columns = names(table, ""),
            new = names(table, "n."),
        ));
        statement
    }
}
