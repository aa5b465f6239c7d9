//! The rows of one page, gathered before SQL sees any of them.
//!
//! Why gather: a page is stored in one transaction with one statement per table, an id that appears
//! twice must be settled first (F22), and a record that turns out unreadable half-way must leave nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::value::RawValue;

use super::record::{Record, Row, Unreadable, Value};
use super::table::{LinkTable, Table};
use super::{Endpoint, store};

/// What the mirror keeps of one page's surprises; a page that is nothing else must not fill the ledger.
const SIGHTINGS_KEPT: usize = 50;

/// A name or word that is longer says nothing to a reader of the ledger.
const LONGEST_NAME: usize = 100;

/// All that one page says.
#[derive(Debug, Default)]
pub struct PageRows {
    /// Complete rows, by table.
    pub batches: Vec<Batch>,
    /// Rows known only from a partial nested object: created where nothing is known, never overwriting.
    pub stubs: Vec<Batch>,
    /// Lists that the page showed completely: what is in the mirror and not in the list is gone.
    pub complete_lists: Vec<CompleteList>,
    /// Links that the page showed completely: for a row of the owner's table all that it lists.
    pub link_lists: Vec<LinkList>,
    /// What the documentation does not know, and how often the page had it.
    pub sightings: BTreeMap<Sighting, i64>,
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

/// All links of one row.
#[derive(Debug)]
pub struct LinkList {
    /// Where the links are.
    pub table: &'static LinkTable,
    /// The row whose list it is.
    pub from: String,
    /// The rows that it lists.
    pub to: Vec<String>,
}

/// Something that Kombo sends beyond its documentation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The record's table.
    pub table: &'static str,
    /// `MEMBER` or `VALUE`.
    pub kind: &'static str,
    /// The member, or `column=word`.
    pub name: String,
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
        Self::read_without(endpoint, records, &[])
    }

    /// The same, with the records at the positions `refused` parked: the database takes them not.
    #[must_use]
    pub fn read_without(endpoint: &Endpoint, records: &[Box<RawValue>], refused: &[usize]) -> Self {
        let mut rows = Self::default();
        for (position, json) in records.iter().enumerate() {
            let read = if refused.contains(&position) {
                Err(Unreadable::refused())
            } else {
                Record::parse(json).and_then(|record| (endpoint.read)(&record, &mut rows))
            };
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
        self.note_unknown(table, &row);
        if !batch(&mut self.batches, table).push(row) {
            self.duplicates += 1;
        }
    }

    /// Adds a complete row that a page naturally repeats (the provider of many courses): no duplicate.
    pub fn push_repeated(&mut self, table: &'static Table, row: Row) {
        self.note_unknown(table, &row);
        batch(&mut self.batches, table).push(row);
    }

    /// Adds a stub.
    pub fn push_stub(&mut self, table: &'static Table, row: Row) {
        batch(&mut self.stubs, table).push(row);
    }

    /// Adds all links of a row.
    pub fn push_link_list(&mut self, table: &'static LinkTable, from: String, to: Vec<String>) {
        self.link_lists.push(LinkList { table, from, to });
    }

    /// Members without a column, and words that an enum does not have.
    fn note_unknown(&mut self, table: &'static Table, row: &Row) {
        for name in &row.unknown_names {
            self.note(table, "MEMBER", name.clone());
        }
        for (column, value) in table.columns.iter().zip(&row.values) {
            if let (Some(words), Value::Text(Some(text))) = (column.words, value)
                && !words.values.iter().any(|(word, _)| word == text)
            {
                self.note(table, "VALUE", format!("{}={text}", column.name));
            }
        }
    }

    fn note(&mut self, table: &Table, kind: &'static str, name: String) {
        let table = table.name;
        let name = match name.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name,
        };
        let sighting = Sighting { table, kind, name };
        if self.sightings.len() < SIGHTINGS_KEPT || self.sightings.contains_key(&sighting) {
            *self.sightings.entry(sighting).or_insert(0) += 1;
        }
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
            batches.push(Batch::new(table));
            batches.len() - 1
        });
    &mut batches[position]
}

impl Batch {
    fn new(table: &'static Table) -> Self {
        Self {
            table,
            rows: Vec::new(),
            by_id: HashMap::new(),
        }
    }

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

    /// The rows with some ids.
    #[must_use]
    pub fn only(&self, ids: &HashSet<&str>) -> Self {
        let mut only = Self::new(self.table);
        for row in self.rows.iter().filter(|row| ids.contains(&*row.id)) {
            only.push(row.clone());
        }
        only
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
