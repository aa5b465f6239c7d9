//! What a mirrored table looks like: the one description that decoding, storing and the alignment test read.

use super::object::EnumType;

/// A mirrored table: key (integration_id, id), Kombo's columns, and the mirror's own.
#[derive(Debug)]
pub struct Table {
    /// Name in Postgres.
    pub name: &'static str,
    /// Kombo's columns under Kombo's names, without `id`.
    pub columns: &'static [Column],
    /// Tables and columns that refer to its rows: what only they say of a row is a stub, and goes with them.
    pub referred_by: &'static [(&'static str, &'static str)],
}

/// One member of Kombo's record that has a column of its own.
#[derive(Debug)]
pub struct Column {
    /// The member's and the column's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// The words that Kombo's documentation knows for it; others are kept, and noted.
    pub words: Option<&'static EnumType>,
}

/// Pairs of rows of two tables, known only by being listed: no id, no time and no deletion mark of their own.
#[derive(Debug)]
pub struct LinkTable {
    /// Name in Postgres; key (integration_id, from, to).
    pub name: &'static str,
    /// The column that names the row whose list it is.
    pub from: &'static str,
    /// The column that names the row that is listed.
    pub to: &'static str,
    /// Where the rows with the lists are.
    pub owner: &'static Table,
    /// What the owner's list is called in the change feed.
    pub field: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `text`; enums too, since Kombo may add values.
    Text,
    /// `timestamptz`
    Time,
    /// `jsonb`, any JSON
    Json,
}

/// A text column.
pub(super) const fn text(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnKind::Text,
        words: None,
    }
}

/// A text column with words that the documentation lists.
pub(super) const fn word(name: &'static str, words: &'static EnumType) -> Column {
    Column {
        name,
        kind: ColumnKind::Text,
        words: Some(words),
    }
}

/// A timestamp column.
pub(super) const fn time(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnKind::Time,
        words: None,
    }
}

/// A JSON column.
pub(super) const fn json(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnKind::Json,
        words: None,
    }
}

impl Table {
    /// The position of a column.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Whether Kombo tells of this table's rows when they were deleted.
    #[must_use]
    pub fn has_tombstones(&self) -> bool {
        self.position("remote_deleted_at").is_some()
    }
}
