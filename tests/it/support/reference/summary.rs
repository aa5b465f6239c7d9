//! `courseProgressionSummary`, counted one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::Value;

use super::data::Row;
use super::execute::Execution;
use super::request::{Arguments, text};
use super::{Found, Json};

/// A text or nothing; nothing comes last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Is(String),
    Nothing,
}

impl From<Option<String>> for Member {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Nothing, Self::Is)
    }
}

/// What makes a group, in the order in which groups of one size follow each other.
const COLUMNS: [&str; 7] = [
    "status",
    "integration_id",
    "user_id",
    "course_id",
    "course_revision_id",
    "by_integration",
    "completed_month",
];

impl Execution<'_> {
    pub(super) fn summary(&self, arguments: &Arguments) -> Found {
        let keys: Vec<String> = arguments.list("groupBy").iter().map(text).collect();
        let filter = arguments.get("filter").cloned().unwrap_or(Value::Null);
        let mut groups: BTreeMap<[Member; 7], usize> = BTreeMap::new();
        for row in self.reference.world.rows("course_progressions") {
            let is_counted = self.may_see(row) && row.is_alive();
            if is_counted && self.fulfils("CourseProgression", row, &filter) {
                *groups.entry(self.group(row, &keys)).or_default() += 1;
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        // the sort is stable
        groups.sort_by_key(|one| std::cmp::Reverse(one.1));
        let rows = groups.into_iter().map(|(members, count)| {
            let columns = COLUMNS.into_iter().zip(members);
            let mut row = Row::default();
            for (column, member) in columns {
                let value = match member {
                    Member::Is(text) => Json::Text(text),
                    Member::Nothing => Json::Null,
                };
                row.0.insert(column.to_owned(), value);
            }
            row.0.insert("count".to_owned(), Json::number(count));
            Arc::new(row)
        });
        Found::rows("CourseProgressionGroup", rows.collect())
    }

    fn group(&self, row: &Arc<Row>, keys: &[String]) -> [Member; 7] {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let value = |of: &str, column: &str| -> Option<String> {
            match (of, column) {
                ("STATUS", "status") => {
                    let shown = self.reference.values("CourseProgression", "status", row);
                    shown.into_iter().next()
                }
                ("USER", "user_id") => owned(row.text("user_id")),
                ("COURSE_REVISION", "course_revision_id") => owned(row.text("course_revision_id")),
                ("COURSE", "course_id") => {
                    let courses = self
                        .reference
                        .values("CourseProgression", "courseKomboId", row);
                    courses.into_iter().next()
                }
                ("INTEGRATION", "by_integration") => owned(row.text("integration_id")),
                ("COMPLETED_MONTH", "completed_month") => {
                    let completed = row.moment("completed_at");
                    completed.map(|completed| completed.format("%Y-%m").to_string())
                }
                _ => None,
            }
        };
        let of_any = |column: &str| keys.iter().find_map(|key| value(key, column));
        // ids are unique within an integration only; what refers to nothing is one group
        let refers = ["user_id", "course_id", "course_revision_id"]
            .iter()
            .any(|column| of_any(column).is_some());
        COLUMNS.map(|column| match column {
            "integration_id" if refers => owned(row.text("integration_id")).into(),
            column => of_any(column).into(),
        })
    }
}
