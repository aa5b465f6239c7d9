//! Every row of the database in memory, as Postgres shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel_async::RunQueryDsl as _;

use super::json::Json;
use crate::support::TestApp;

/// A row of any table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Row(pub(crate) BTreeMap<String, Json>);

static NULL: Json = Json::Null;

impl Row {
    /// A column; null where the table has no such.
    pub(crate) fn get(&self, column: &str) -> &Json {
        self.0.get(column).unwrap_or(&NULL)
    }

    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.get(column).as_text()
    }

    /// A column that is never null.
    pub(crate) fn id(&self, column: &str) -> &str {
        self.text(column)
            .unwrap_or_else(|| panic!("{column} is a text: {self:?}"))
    }

    pub(crate) fn is(&self, column: &str) -> bool {
        *self.get(column) == Json::Bool(true)
    }

    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        match self.get(column) {
            Json::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn moment(&self, column: &str) -> Option<DateTime<Utc>> {
        self.text(column).map(moment)
    }

    /// Not deleted, by Kombo's word or by absence, and no stub.
    pub(crate) fn is_alive(&self) -> bool {
        !self.is("incomplete") && !self.is_deleted()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        !self.get("missing_since").is_null() || !self.get("remote_deleted_at").is_null()
    }

    /// Whether it belongs to the same integration as another row.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.get("integration_id") == other.get("integration_id")
    }
}

/// A moment as texts have it.
pub(crate) fn moment(text: &str) -> DateTime<Utc> {
    let moment = DateTime::parse_from_rfc3339(text);
    moment
        .unwrap_or_else(|error| panic!("{text} is no moment: {error}"))
        .to_utc()
}

/// A moment as GraphQL shows it: milliseconds, or microseconds where there are some.
pub(crate) fn shown(moment: DateTime<Utc>) -> Json {
    let digits = if moment.timestamp_subsec_micros().is_multiple_of(1000) {
        SecondsFormat::Millis
    } else {
        SecondsFormat::Micros
    };
    Json::Text(moment.to_rfc3339_opts(digits, true))
}

/// What the database holds at one moment.
pub(crate) struct World {
    tables: BTreeMap<String, Vec<Arc<Row>>>,
    /// The moment that answers are as of.
    pub(crate) now: DateTime<Utc>,
}

impl World {
    /// Reads everything.
    pub(crate) async fn read(app: &TestApp, now: DateTime<Utc>) -> Self {
        #[derive(diesel::QueryableByName)]
        struct Text {
            #[diesel(sql_type = diesel::sql_types::Text)]
            row: String,
        }
        let names = app
            .rows(
                "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' \
                 AND table_type = 'BASE TABLE' AND table_name <> 'seen_records' AND table_name NOT LIKE '\\_%'",
            )
            .await;
        let mut tables = BTreeMap::new();
        for name in names {
            let name = name["name"].as_str().expect("a name").to_owned();
            let sql = format!("SELECT to_jsonb(t)::text AS row FROM {name} t");
            let rows: Vec<Text> = diesel::sql_query(sql)
                .get_results(&mut app.database().await)
                .await
                .expect("the table is read");
            let rows = rows.iter().map(|text| match Json::read(&text.row) {
                Json::Object(columns) => Arc::new(Row(columns.into_iter().collect())),
                other => panic!("a row is an object: {other}"),
            });
            tables.insert(name, rows.collect());
        }
        Self { tables, now }
    }

    /// The rows of a table, in no order.
    pub(crate) fn rows(&self, table: &str) -> &[Arc<Row>] {
        let rows = self.tables.get(table);
        rows.unwrap_or_else(|| panic!("there is no table {table}"))
    }

    /// The row that a predicate picks.
    pub(crate) fn one(&self, table: &str, picks: impl Fn(&Row) -> bool) -> Option<Arc<Row>> {
        self.rows(table).iter().find(|row| picks(row)).cloned()
    }

    /// The rows that a predicate picks.
    pub(crate) fn some(&self, table: &str, picks: impl Fn(&Row) -> bool) -> Vec<Arc<Row>> {
        let rows = self.rows(table).iter();
        rows.filter(|row| picks(row)).cloned().collect()
    }

    /// The record with an id, in the integration of a row.
    pub(crate) fn beside(&self, row: &Row, table: &str, id: Option<&str>) -> Option<Arc<Row>> {
        let id = id?;
        self.one(table, |one| {
            one.is_beside(row) && one.text("id") == Some(id)
        })
    }
}
