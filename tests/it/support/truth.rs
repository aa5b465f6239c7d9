//! Comparing the mirror with what Kombo holds, field by field.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use serde_json::{Map, Value};

/// Rows by table, then by id.
pub(crate) type Rows = BTreeMap<&'static str, BTreeMap<String, Map<String, Value>>>;

pub(crate) const TABLES: [&str; 7] = [
    "users",
    "courses",
    "course_revisions",
    "course_providers",
    "skills",
    "course_revision_skills",
    "course_progressions",
];

/// Columns that are the mirror's own.
const OWN: [&str; 7] = [
    "current_title",
    "integration_id",
    "unknown_fields",
    "missing_since",
    "observed_at",
    "mirrored_at",
    "incomplete",
];

/// What the mirror believes to exist: no stubs, nothing that went missing.
pub(crate) async fn mirror(connection: &mut AsyncPgConnection, integration_id: &str) -> Rows {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Jsonb)]
        row: Value,
    }
    let mut rows = Rows::new();
    for table in TABLES {
        let condition = if table == "course_revision_skills" {
            // what a revision that went missing had is kept with it, and as invisible
            "NOT EXISTS (SELECT FROM course_revisions r WHERE r.integration_id = t.integration_id \
               AND r.id = t.course_revision_id AND r.missing_since IS NOT NULL)"
        } else {
            "missing_since IS NULL AND NOT incomplete"
        };
        let sql = format!(
            "SELECT to_jsonb(t) AS row FROM {table} t WHERE integration_id = $1 AND {condition}"
        );
        let found: Vec<Row> = diesel::sql_query(sql)
            .bind::<diesel::sql_types::Text, _>(integration_id)
            .get_results(connection)
            .await
            .expect("the mirror is read");
        let by_id = found.into_iter().map(|row| {
            let Value::Object(mut row) = row.row else {
                panic!("a row is an object");
            };
            for own in OWN {
                row.remove(own);
            }
            (key(&row), row)
        });
        rows.insert(table, by_id.collect());
    }
    rows
}

fn key(row: &Map<String, Value>) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    text("id").unwrap_or_else(|| {
        let part = |name| text(name).expect("a join has both its ids");
        format!("{}|{}", part("course_revision_id"), part("skill_id"))
    })
}

/// Every difference, as a sentence.
pub(crate) fn differences(truth: &Rows, mirror: &Rows) -> Vec<String> {
    let mut found = Vec::new();
    let nothing = BTreeMap::new();
    for table in TABLES {
        let truth = truth.get(table).unwrap_or(&nothing);
        let mirror = mirror.get(table).unwrap_or(&nothing);
        for (id, row) in truth {
            match mirror.get(id) {
                None => found.push(format!("{table} {id}: not in the mirror")),
                Some(mirrored) => found.extend(field_differences(table, id, row, mirrored)),
            }
        }
        for id in mirror.keys().filter(|id| !truth.contains_key(*id)) {
            found.push(format!("{table} {id}: in the mirror only"));
        }
    }
    found
}

fn field_differences(
    table: &str,
    id: &str,
    truth: &Map<String, Value>,
    mirrored: &Map<String, Value>,
) -> Vec<String> {
    truth
        .keys()
        .chain(mirrored.keys().filter(|name| !truth.contains_key(*name)))
        .filter_map(|name| {
            let left = truth.get(name).unwrap_or(&Value::Null);
            let right = mirrored.get(name).unwrap_or(&Value::Null);
            (!same(name, left, right))
                .then(|| format!("{table} {id} {name}: Kombo {left}, mirror {right}"))
        })
        .collect()
}

/// Timestamps are compared as moments: Postgres writes them in another form.
fn same(name: &str, left: &Value, right: &Value) -> bool {
    left == right
        || (name.ends_with("_at") && moment(left).is_some() && moment(left) == moment(right))
}

fn moment(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}
