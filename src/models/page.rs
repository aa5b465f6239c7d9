//! The rows of one page, gathered before SQL sees any of them.
//!
//! Why gather: a page is stored in one transaction with one statement per table, an id that appears
//! twice must be settled first (F22), and a record that turns out unreadable half-way must leave nothing.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::record::{Record, Row, Unreadable};
use super::table::Table;
use super::{Endpoint, store};

/// All that one page says.
#[derive(Debug, Default)]
pub struct PageRows {
    /// Complete rows, by table.
    pub batches: Vec<Batch>,
    /// Rows known only from a partial nested object: created where nothing is known, never overwriting.
    pub stubs: Vec<Batch>,
    /// Lists that the page showed completely: what is in the mirror and not in the list is gone.
    pub complete_lists: Vec<CompleteList>,
    /// Revisions whose skills the page showed completely, with the skills.
    pub skill_lists: Vec<(String, Vec<String>)>,
    /// Records that could not be read.
    pub parked: Vec<Parked>,
    /// Ids that the page named more than once.
    pub duplicates: u64,
}

/// Rows of one table, one per id.
#[derive(Debug)]
pub struct Batch {
    /// Where they belong.
    pub table: &'static Table,
    rows: Vec<Row>,
    by_id: HashMap<String, usize>,
}

/// The children of some parents, known completely because Kombo nests full lists.
#[derive(Debug)]
pub struct CompleteList {
    /// The children's table.
    pub table: &'static Table,
    /// The column that names the parent.
    pub parent_column: &'static str,
    /// The parents whose lists were seen.
    pub parents: Vec<String>,
}

/// A record that could not be read.
#[derive(Debug)]
pub struct Parked {
    /// Its id; `None` when even that is unreadable.
    pub id: Option<String>,
    /// The record as it came.
    pub record: String,
    /// What is wrong, without values.
    pub error: String,
}

impl PageRows {
    /// Reads the records of a page of `endpoint`; unreadable ones are parked, the others go on (rule 14).
    #[must_use]
    pub fn read(endpoint: &Endpoint, records: &[Box<RawValue>]) -> Self {
        let mut rows = Self::default();
        for json in records {
            let read = Record::parse(json).and_then(|record| (endpoint.read)(&record, &mut rows));
            if let Err(error) = read {
                rows.park(json, &error);
            }
        }
        rows
    }

    fn park(&mut self, json: &RawValue, error: &Unreadable) {
        self.parked.push(Parked {
            id: Record::parse(json).ok().and_then(|record| record.id().ok()),
            record: json.get().to_owned(),
            error: error.to_string(),
        });
    }

    /// Adds a complete row.
    pub fn push(&mut self, table: &'static Table, row: Row) {
        if !batch(&mut self.batches, table).push(row) {
            self.duplicates += 1;
        }
    }

    /// Adds a complete row that a page naturally repeats (the provider of many courses): no duplicate.
    pub fn push_repeated(&mut self, table: &'static Table, row: Row) {
        batch(&mut self.batches, table).push(row);
    }

    /// Adds a stub.
    pub fn push_stub(&mut self, table: &'static Table, row: Row) {
        batch(&mut self.stubs, table).push(row);
    }

    /// Notes that all children of `parent` were in the page.
    pub fn push_complete_list(
        &mut self,
        table: &'static Table,
        parent_column: &'static str,
        parent: String,
    ) {
        let known = self
            .complete_lists
            .iter_mut()
            .find(|list| list.table.name == table.name);
        match known {
            Some(list) => list.parents.push(parent),
            None => self.complete_lists.push(CompleteList {
                table,
                parent_column,
                parents: vec![parent],
            }),
        }
    }

    /// The batch of `table`, if the page had rows of it.
    #[must_use]
    pub fn batch(&self, table: &Table) -> Option<&Batch> {
        self.batches
            .iter()
            .find(|batch| batch.table.name == table.name)
    }
}

fn batch<'a>(batches: &'a mut Vec<Batch>, table: &'static Table) -> &'a mut Batch {
    let position = batches
        .iter()
        .position(|batch| batch.table.name == table.name)
        .unwrap_or_else(|| {
            batches.push(Batch {
                table,
                rows: Vec::new(),
                by_id: HashMap::new(),
            });
            batches.len() - 1
        });
    &mut batches[position]
}

impl Batch {
    /// Adds a row; of two with one id the newest `changed_at` stays, the later one on a tie. Returns
    /// whether the id is new to the batch.
    fn push(&mut self, row: Row) -> bool {
        let Some(&position) = self.by_id.get(&row.id) else {
            self.by_id.insert(row.id.clone(), self.rows.len());
            self.rows.push(row);
            return true;
        };
        let known = &mut self.rows[position];
        if row.changed_at(self.table) >= known.changed_at(self.table) {
            *known = row;
        }
        false
    }

    /// Whether a row with this id is in the batch.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The rows' ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.id.as_str())
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as columns to bind, sorted by id so that two writers lock in one order (F50).
    #[must_use]
    pub fn into_columns(self) -> store::Columns {
        let mut rows = self.rows;
        rows.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        store::Columns::from_rows(self.table, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::users;

    fn page(records: &[&str]) -> PageRows {
        let records: Vec<_> = records
            .iter()
            .map(|text| RawValue::from_string((*text).to_owned()).unwrap())
            .collect();
        PageRows::read(&users::ENDPOINT, &records)
    }

    // F22, F25: an id twice in a page is settled before SQL, newest first, the later one on a tie.
    #[test]
    fn of_two_records_with_one_id_the_newest_stays() {
        let newer = r#"{"id":"1","first_name":"new","changed_at":"2026-01-02T00:00:00.000Z"}"#;
        let older = r#"{"id":"1","first_name":"old","changed_at":"2026-01-01T00:00:00.000Z"}"#;
        let rows = page(&[newer, older]);
        assert_eq!(rows.duplicates, 1);
        let batch = rows.batch(&users::USERS).unwrap();
        assert_eq!(batch.rows[0].text(&users::USERS, "first_name"), Some("new"));
    }

    // Rule 14: one bad record never blocks its page.
    #[test]
    fn an_unreadable_record_is_parked_and_the_page_goes_on() {
        let rows = page(&[r#"{"id":"1","first_name":7}"#, r#"{"id":"2"}"#, "[]"]);
        assert_eq!(rows.parked.len(), 2);
        assert_eq!(rows.parked[0].id.as_deref(), Some("1"));
        assert_eq!(rows.parked[1].id, None);
        assert_eq!(rows.batch(&users::USERS).unwrap().len(), 1);
    }
}
