//! A page of a list as it is written: its nodes or edges, and where it lies.
//!
//! The rows come in the order of reading, one more than asked for where somebody wants to know if there are others; a
//! page that is read from its end is turned round here. A row begins with the keys of its order, if a cursor is asked
//! for, and goes on with the columns of every member in turn.

use super::binary::{Malformed, Record, records, write_text};
use super::form::{Form, write_items, write_object};
use super::ids;

/// How a page is written.
pub(super) struct PageForm<'q> {
    pub(super) members: Vec<(&'q str, Member<'q>)>,
    /// Whether a column has rows.
    pub(super) has_rows: bool,
    pub(super) layout: Layout,
}

/// What is known of a page before it is read.
pub(super) struct Layout {
    /// Records at most.
    pub(super) size: usize,
    pub(super) backward: bool,
    /// A cursor says what the page comes after; at least the row that it names lies there.
    pub(super) after: bool,
    /// The same for what it comes before.
    pub(super) before: bool,
    /// What its cursors begin with.
    pub(super) label: String,
    /// Columns of a row's keys.
    pub(super) keys: usize,
}

/// A member of a connection.
pub(super) enum Member<'q> {
    /// Of the list itself: a count, its freshness.
    OfList(Form<'q>),
    /// The records: so many columns of a row come before theirs, the keys not counted.
    Nodes(usize, Form<'q>),
    Edges(Vec<(&'q str, OfEdge<'q>)>),
    PageInfo(Vec<(&'q str, Fact)>),
}

/// A member of an edge.
pub(super) enum OfEdge<'q> {
    TypeName(String),
    Cursor,
    Node(usize, Form<'q>),
}

/// A member of `PageInfo`.
#[derive(Clone, Copy)]
pub(super) enum Fact {
    TypeName,
    HasNextPage,
    HasPreviousPage,
    StartCursor,
    EndCursor,
}

impl PageForm<'_> {
    /// Writes the next columns of the record that the list belongs to.
    pub(super) fn write(
        &self,
        json: &mut Vec<u8>,
        columns: &mut Record<'_>,
    ) -> Result<(), Malformed> {
        let rows = if self.has_rows {
            columns.next()?.value
        } else {
            None
        };
        let rows = Rows::read(&self.layout, rows)?;
        let keys = self.layout.keys;
        write_object(json, &self.members, |json, member| match member {
            Member::OfList(form) => form.write(json, columns),
            Member::Nodes(skipped, form) => write_items(json, rows.shown(), |json, row| {
                write_node(json, row, keys + skipped, form)
            }),
            Member::Edges(members) => write_items(json, rows.shown(), |json, row| {
                write_object(json, members, |json, member| match member {
                    OfEdge::TypeName(name) => {
                        write_text(json, name);
                        Ok(())
                    }
                    OfEdge::Cursor => rows.write_cursor(json, row),
                    OfEdge::Node(skipped, form) => write_node(json, row, keys + skipped, form),
                })
            }),
            Member::PageInfo(facts) => {
                write_object(json, facts, |json, fact| rows.write_fact(json, *fact))
            }
        })
    }
}

fn write_node(
    json: &mut Vec<u8>,
    row: &[u8],
    skipped: usize,
    form: &Form<'_>,
) -> Result<(), Malformed> {
    let mut columns = Record::read(row)?;
    columns.skip(skipped)?;
    form.write(json, &mut columns)
}

/// The rows of a page.
struct Rows<'a> {
    layout: &'a Layout,
    /// As shown.
    shown: Vec<&'a [u8]>,
    there_are_others: bool,
}

impl<'a> Rows<'a> {
    fn read(layout: &'a Layout, rows: Option<&'a [u8]>) -> Result<Self, Malformed> {
        let rows = records(rows.unwrap_or_default())?;
        let there_are_others = rows.len() > layout.size;
        let rows = rows.into_iter().take(layout.size);
        let shown: Option<Vec<&[u8]>> = rows.collect();
        let mut shown = shown.ok_or(Malformed::Value)?;
        if layout.backward {
            shown.reverse();
        }
        Ok(Self {
            layout,
            shown,
            there_are_others,
        })
    }

    fn shown(&self) -> impl Iterator<Item = &'a [u8]> {
        self.shown.iter().copied()
    }

    fn write_cursor(&self, json: &mut Vec<u8>, row: &[u8]) -> Result<(), Malformed> {
        let mut columns = Record::read(row)?;
        let mut cursor = Vec::new();
        write_items(&mut cursor, 0..=self.layout.keys, |cursor, place| {
            if place > 0 {
                return columns.next()?.write(cursor);
            }
            write_text(cursor, &self.layout.label);
            Ok(())
        })?;
        write_text(json, &ids::encode(&cursor));
        Ok(())
    }

    fn write_fact(&self, json: &mut Vec<u8>, fact: Fact) -> Result<(), Malformed> {
        let Layout {
            backward,
            after,
            before,
            ..
        } = *self.layout;
        let cursor_of = |row: Option<&&[u8]>, json: &mut Vec<u8>| match row {
            Some(row) => self.write_cursor(json, row),
            None => {
                json.extend_from_slice(b"null");
                Ok(())
            }
        };
        let is_so = match fact {
            Fact::StartCursor => return cursor_of(self.shown.first(), json),
            Fact::EndCursor => return cursor_of(self.shown.last(), json),
            Fact::TypeName => {
                write_text(json, "PageInfo");
                return Ok(());
            }
            Fact::HasNextPage => before || (!backward && self.there_are_others),
            Fact::HasPreviousPage => after || (backward && self.there_are_others),
        };
        json.extend_from_slice(if is_so { b"true" } else { b"false" });
        Ok(())
    }
}
