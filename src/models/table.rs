//! What a mirrored table looks like: the one description that decoding, storing and the alignment test read.

/// A mirrored table: key (integration_id, id), Kombo's columns, and the mirror's own.
#[derive(Debug)]
pub struct Table {
    /// Name in Postgres.
    pub name: &'static str,
    /// Kombo's columns under Kombo's names, without `id`.
    pub columns: &'static [Column],
}

/// One member of Kombo's record that has a column of its own.
#[derive(Debug)]
pub struct Column {
    /// The member's and the column's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
}

impl Column {
    /// Whether it names another row by Kombo's id, so that an index leads from there to here.
    #[must_use]
    pub fn refers_to_a_row(&self) -> bool {
        self.name.ends_with("_id") && !matches!(self.name, "remote_id" | "origin_id")
    }
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
    }
}

/// A timestamp column.
pub(super) const fn time(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnKind::Time,
    }
}

/// A JSON column.
pub(super) const fn json(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnKind::Json,
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
