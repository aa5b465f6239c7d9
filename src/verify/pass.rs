//! One endpoint: read, compared, and what differs looked at again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;

use super::look::{Kombo, Silence};
use crate::db::Connection;
use crate::models::Endpoint;
use crate::models::compare::{self, Comparison, Difference, Expectation, What};
use crate::models::page::{Batch, PageRows};
use crate::models::record::Record;
use crate::models::table::Table;

/// Ids of the mirror that are read at once.
const IDS_AT_ONCE: i64 = 10_000;

/// The comparison of one endpoint, as far as it has come.
pub(super) struct Pass<'a> {
    pub(super) endpoint: &'static Endpoint,
    pub(super) expectation: Expectation<'a>,
    pub(super) comparison: Comparison,
    /// Ids that Kombo showed, by table.
    seen: HashMap<&'static str, HashSet<String>>,
    /// For a row that came inside a record, that record's id.
    inside: BTreeMap<(&'static str, String), String>,
    records: usize,
    unreadable: usize,
    is_complete: bool,
    silence: Option<String>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(endpoint: &'static Endpoint, expectation: Expectation<'a>) -> Self {
        Self {
            endpoint,
            expectation,
            comparison: Comparison::default(),
            seen: HashMap::new(),
            inside: BTreeMap::new(),
            records: 0,
            unreadable: 0,
            is_complete: false,
            silence: None,
        }
    }

    /// Reads the endpoint to its end, and then what the mirror has beyond it.
    pub(super) async fn read_all(
        &mut self,
        connection: &mut Connection,
        kombo: &mut Kombo<'_>,
    ) -> anyhow::Result<()> {
        let mut cursor = None;
        loop {
            let fetched = match kombo.page(self.endpoint, cursor.as_deref()).await {
                Ok(fetched) => fetched,
                Err(silence) => return self.hear(silence),
            };
            if cursor.is_none() {
                self.expectation.asked_at = kombo.answered_at;
            }
            self.compare(connection, &fetched.page.records).await?;
            cursor = fetched.page.next;
            if cursor.is_none() {
                break;
            }
        }
        self.is_complete = true;
        self.compare_ids(connection).await
    }

    /// Reads some records by their ids.
    pub(super) async fn read_some(
        &mut self,
        connection: &mut Connection,
        kombo: &mut Kombo<'_>,
        ids: Vec<String>,
    ) -> anyhow::Result<()> {
        let (records, asked) = match kombo.records(self.endpoint, &ids).await {
            Ok(answer) => answer,
            Err(silence) => return self.hear(silence),
        };
        self.expectation.asked_at = kombo.answered_at;
        self.compare(connection, &records).await?;
        let table = self.endpoint.tables[0];
        for id in asked {
            if !self.has_seen(table, &id) {
                self.differs(table, id, What::Extra);
            }
        }
        Ok(())
    }

    fn hear(&mut self, silence: Silence) -> anyhow::Result<()> {
        self.silence = Some(match silence {
            Silence::Spent => {
                "the calls are used up, so the rest and the id sets are not compared".to_owned()
            }
            Silence::Absent(error) => format!("kombo shows nothing of it ({error})"),
            Silence::Failed(error) => return Err(error.into()),
        });
        Ok(())
    }

    fn has_seen(&self, table: &Table, id: &str) -> bool {
        self.seen
            .get(table.name)
            .is_some_and(|seen| seen.contains(id))
    }

    fn differs(&mut self, table: &Table, id: String, what: What) {
        self.comparison.differences.insert(Difference {
            table: table.name,
            id,
            what,
        });
    }

    async fn compare(
        &mut self,
        connection: &mut Connection,
        records: &[Box<RawValue>],
    ) -> anyhow::Result<()> {
        self.records += records.len();
        let page = self.read(records);
        match compare::page(connection, &self.expectation, page).await {
            Ok(found) => self.take(found, records),
            // a value that the database cannot hold spoils the page; alone, each record spoils only itself
            Err(_) => {
                for record in records {
                    let record = std::slice::from_ref(record);
                    let page = PageRows::read(self.endpoint, record);
                    match compare::page(connection, &self.expectation, page).await {
                        Ok(found) => self.take(found, record),
                        Err(_) => self.unreadable += 1,
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, records: &[Box<RawValue>]) -> PageRows {
        let page = PageRows::read(self.endpoint, records);
        self.unreadable += page.parked.len();
        for table in self.endpoint.tables {
            let ids = page.batch(table).into_iter().flat_map(Batch::ids);
            let seen = self.seen.entry(table.name).or_default();
            seen.extend(ids.map(str::to_owned));
        }
        // a record that cannot be read is there all the same
        let parked = page.parked.iter().filter_map(|parked| parked.id.clone());
        let own = self.seen.entry(self.endpoint.tables[0].name).or_default();
        own.extend(parked);
        page
    }

    /// Adds what a page showed, and remembers in which record each nested row came.
    fn take(&mut self, found: Comparison, records: &[Box<RawValue>]) {
        for difference in &found.differences {
            let part = difference.id.split('|').next().unwrap_or_default();
            let record = records.iter().find(|record| record.get().contains(part));
            let Some(id) = record.and_then(|record| Record::parse(record).ok()?.id().ok()) else {
                continue;
            };
            if difference.table != self.endpoint.tables[0].name {
                self.inside
                    .insert((difference.table, difference.id.clone()), id);
            }
        }
        self.comparison.add(found);
    }

    /// Rows that the mirror has and the complete enumeration did not show.
    async fn compare_ids(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        for table in self.endpoint.tables {
            let mut last = String::new();
            loop {
                let ids =
                    compare::ids_after(connection, &self.expectation, table, &last, IDS_AT_ONCE)
                        .await?;
                let Some(end) = ids.last() else {
                    break;
                };
                last.clone_from(end);
                for id in ids {
                    if !self.has_seen(table, &id) {
                        self.differs(table, id, What::Extra);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks once more for what differs: a webhook may have arrived in between.
    pub(super) async fn look_again(
        &mut self,
        connection: &mut Connection,
        kombo: &mut Kombo<'_>,
    ) -> anyhow::Result<()> {
        let own = self.endpoint.tables[0].name;
        let ids: BTreeSet<String> = self
            .comparison
            .differences
            .iter()
            .filter_map(|difference| match difference.table == own {
                true => Some(difference.id.clone()),
                false => self.record_of(difference),
            })
            .collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let (records, asked) = match kombo.records(self.endpoint, &ids).await {
            Ok(answer) => answer,
            Err(silence) => return self.hear(silence),
        };
        let mut second = Pass::new(self.endpoint, self.expectation);
        second.expectation.asked_at = kombo.answered_at;
        second.compare(connection, &records).await?;
        self.confirm(connection, &second, &asked.into_iter().collect())
            .await
    }

    fn record_of(&self, difference: &Difference) -> Option<String> {
        let key = (difference.table, difference.id.clone());
        self.inside.get(&key).cloned()
    }

    /// Keeps what differs still, or could not be asked for again.
    async fn confirm(
        &mut self,
        connection: &mut Connection,
        second: &Pass<'_>,
        asked: &HashSet<String>,
    ) -> anyhow::Result<()> {
        let own = self.endpoint.tables[0].name;
        let mut confirmed = BTreeSet::new();
        for difference in std::mem::take(&mut self.comparison.differences) {
            let record = match difference.table == own {
                true => Some(difference.id.clone()),
                false => self.record_of(&difference),
            };
            if difference.what == What::Extra
                && !self.is_still_shown(connection, &difference).await?
            {
                continue;
            }
            if record.is_none_or(|record| !asked.contains(&record)) {
                confirmed.insert(difference);
                continue;
            }
            let again = second
                .comparison
                .differences
                .iter()
                .find(|again| (again.table, &again.id) == (difference.table, &difference.id));
            let is_seen = second
                .seen
                .get(difference.table)
                .is_some_and(|seen| seen.contains(&difference.id));
            match again {
                Some(again) => confirmed.insert(again.clone()),
                None if difference.what == What::Extra && !is_seen => confirmed.insert(difference),
                None => false,
            };
        }
        self.comparison.differences = confirmed;
        Ok(())
    }

    async fn is_still_shown(
        &self,
        connection: &mut Connection,
        difference: &Difference,
    ) -> anyhow::Result<bool> {
        let table = self
            .endpoint
            .tables
            .iter()
            .find(|table| table.name == difference.table);
        let Some(table) = table else {
            return Ok(true);
        };
        let ids = vec![difference.id.clone()];
        let shown = compare::shown(connection, &self.expectation, table, ids).await?;
        Ok(!shown.is_empty())
    }

    /// What was compared, in words.
    pub(super) async fn notes(&self, connection: &mut Connection) -> anyhow::Result<Vec<String>> {
        let name = self.endpoint.name;
        let mut notes = vec![format!(
            "{name}: records compared: {}, rows that differ: {}, not due yet: {}, unreadable: {}",
            self.records,
            self.comparison.differences.len(),
            self.comparison.not_due,
            self.unreadable,
        )];
        notes.extend(
            self.silence
                .iter()
                .map(|silence| format!("{name}: {silence}")),
        );
        if self.is_complete {
            for table in self.endpoint.tables {
                let kombo = self.seen.get(table.name).map_or(0, HashSet::len);
                let mirror = compare::count(connection, &self.expectation, table).await?;
                notes.push(format!(
                    "{}: {kombo} in Kombo, {mirror} in the mirror",
                    table.name
                ));
            }
        }
        Ok(notes)
    }
}
