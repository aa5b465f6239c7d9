//! What storing a page did, counted and listed.
//!
//! The statements report row by row; here that becomes a run's counters and the entries of the change feed, so
//! that both tell the same story. It must never look at the database itself.

use std::collections::HashMap;

use diesel::sql_types::{Bool, Text};

use super::lists::Listed;
use super::table::Table;
use crate::changes::{Change, ChangeKind};

/// What a page did to records. Links are no records of their own: they count only as changes of their owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Received rows that were unknown, or only a stub.
    pub inserted: i64,
    /// Received rows with another content than before.
    pub updated: i64,
    /// Rows that were alive and now are not: among `updated` where they were received, beyond it where their
    /// absence from a list told.
    pub deleted: i64,
    /// Rows and links that lists stopped naming.
    pub unlisted: i64,
    /// Rows and links that the removal guard kept.
    pub held_back: i64,
    /// What nobody had announced, by what was wrong with the mirror.
    pub unannounced: Unannounced,
    /// Everything that changed, for the feed.
    pub changes: Vec<Change>,
}

/// Rows that an earlier fetch should have brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unannounced {
    /// They were not in the mirror.
    pub inserted: i64,
    /// They were different.
    pub updated: i64,
    /// They were in the mirror, and alive.
    pub removed: i64,
}

impl Unannounced {
    /// All of them.
    #[must_use]
    pub fn total(self) -> i64 {
        self.inserted + self.updated + self.removed
    }

    fn count(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Inserted => self.inserted += 1,
            ChangeKind::Deleted => self.removed += 1,
            ChangeKind::Updated | ChangeKind::Restored => self.updated += 1,
        }
    }
}

/// A row that was written.
#[derive(diesel::QueryableByName)]
pub(super) struct Written {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    fields: String,
    #[diesel(sql_type = Bool)]
    unannounced: bool,
}

impl Effect {
    pub(super) fn add_row(&mut self, table: &'static Table, row: Written) {
        let kind = ChangeKind::from_text(&row.kind);
        match kind {
            ChangeKind::Inserted => self.inserted += 1,
            _ => self.updated += 1,
        }
        self.deleted += i64::from(kind == ChangeKind::Deleted);
        if row.unannounced {
            self.unannounced.count(kind);
        }
        self.changes.push(Change {
            model: table.name,
            id: row.id,
            kind,
            fields: row.fields,
        });
    }

    pub(super) fn add_children(
        &mut self,
        table: &'static Table,
        listed: Vec<Listed>,
        is_surprised: bool,
    ) {
        for child in listed {
            match child.effect.as_str() {
                "HELD" => self.held_back += 1,
                "GONE" => {
                    self.unlisted += 1;
                    self.deleted += 1;
                    if is_surprised {
                        self.unannounced.count(ChangeKind::Deleted);
                    }
                    self.changes.push(Change::deleted(table.name, child.id));
                }
                _ => {}
            }
        }
    }

    /// Links belong to their owner: one change of its list, however many links came or went.
    pub(super) fn add_links(
        &mut self,
        model: &'static str,
        field: &str,
        listed: Vec<Listed>,
        is_surprised: bool,
    ) {
        let mut owners: Vec<String> = Vec::new();
        for link in listed {
            match link.effect.as_str() {
                "HELD" => {
                    self.held_back += 1;
                    continue;
                }
                "GONE" => self.unlisted += 1,
                _ => {}
            }
            if owners.last() != Some(&link.id) {
                owners.push(link.id);
            }
        }
        owners.sort_unstable();
        owners.dedup();
        for id in owners {
            if is_surprised {
                self.unannounced.count(ChangeKind::Updated);
            }
            self.changes.push(Change::relisted(model, id, field));
        }
    }

    /// One change a record: what a page says of a row and of the row's lists belongs together.
    pub(super) fn merge_changes(&mut self) {
        let mut merged: Vec<Change> = Vec::with_capacity(self.changes.len());
        let mut places: HashMap<(&'static str, String), usize> = HashMap::new();
        for change in self.changes.drain(..) {
            let key = (change.model, change.id.clone());
            let Some(&place) = places.get(&key) else {
                places.insert(key, merged.len());
                merged.push(change);
                continue;
            };
            let known = &mut merged[place];
            match (known.kind, change.kind) {
                // it moved from one parent's list to another's
                (ChangeKind::Deleted, ChangeKind::Restored) => {
                    self.deleted -= 1;
                    self.unlisted -= 1;
                    known.kind = ChangeKind::Updated;
                    known.fields = change.fields;
                }
                (ChangeKind::Inserted, _) => {}
                _ => {
                    if !known.fields.is_empty() {
                        known.fields.push(',');
                    }
                    known.fields.push_str(&change.fields);
                }
            }
        }
        self.changes = merged;
    }
}
