//! What is erased of a row that is gone, as SQL (F40).
//!
//! Kombo blanks the fields of a deleted record after 14 days, or removes it. Of a record that Kombo no longer
//! shows the mirror would never hear that, so it counts the days itself. Made from the tables' descriptions: a new
//! column is erased without a word here.

use chrono::TimeDelta;

use super::table::Table;

/// How long Kombo keeps the fields of a deleted record.
pub const ERASE_AFTER: TimeDelta = TimeDelta::days(14);

/// Kombo's columns that say when, and nothing of anybody.
const KEPT: [&str; 2] = ["remote_deleted_at", "changed_at"];

/// The columns that are erased.
fn erased(table: &Table) -> impl Iterator<Item = &'static str> {
    let kombos = table.columns.iter().map(|column| column.name);
    kombos
        .filter(|name| !KEPT.contains(name))
        .chain(["unknown_fields"])
}

/// The `SET` list that erases a row of `table`.
#[must_use]
pub fn assignments(table: &Table) -> String {
    let columns: Vec<String> = erased(table)
        .map(|column| format!("{column} = NULL"))
        .collect();
    columns.join(", ")
}

/// The condition that the row under `alias` still has something to erase.
#[must_use]
pub fn has_content(table: &Table, alias: &str) -> String {
    let columns: Vec<String> = erased(table)
        .map(|column| format!("{alias}.{column}"))
        .collect();
    format!("num_nonnulls({}) > 0", columns.join(", "))
}

/// The condition that the row under `alias` is absent, and was absent or deleted at the moment `before` (SQL).
#[must_use]
pub fn is_due(table: &Table, alias: &str, before: &str) -> String {
    let gone_since = if table.has_tombstones() {
        format!("LEAST({alias}.missing_since, {alias}.remote_deleted_at)")
    } else {
        format!("{alias}.missing_since")
    };
    format!("{alias}.missing_since IS NOT NULL AND {gone_since} <= {before}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{courses, users};

    #[test]
    fn everything_but_the_moments_of_change_and_deletion_is_erased() {
        let set = assignments(&users::USERS);
        for column in [
            "work_email",
            "remote_data",
            "custom_fields",
            "unknown_fields",
        ] {
            assert!(set.contains(&format!("{column} = NULL")), "{set}");
        }
        for column in [
            "remote_deleted_at",
            "changed_at",
            "missing_since",
            "observed_at",
        ] {
            assert!(!set.contains(column), "{set}");
        }
    }

    #[test]
    fn a_table_without_tombstones_counts_from_the_absence() {
        let due = is_due(&courses::COURSE_PROVIDERS, "t", "$1");
        assert_eq!(due, "t.missing_since IS NOT NULL AND t.missing_since <= $1");
    }
}
