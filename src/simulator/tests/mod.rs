//! The simulator's own tests, over HTTP, because that is how it is used.

mod api;
mod data;
mod faults;
mod liars;
mod paging;
mod webhooks;

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::net::TcpListener;

use super::{Options, Simulator};

/// A few integrations, small enough to read completely.
fn small() -> Options {
    Options {
        users: 60,
        courses: 30,
        skills: 20,
        progressions: 300,
        ..Options::default()
    }
}

/// An answer of the simulator.
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn records(&self) -> Vec<Value> {
        self.json()["data"]["results"].as_array().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        ids(&self.records())
    }

    fn next(&self) -> Option<String> {
        self.json()["data"]["next"].as_str().map(str::to_owned)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn ids(records: &[Value]) -> Vec<String> {
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    records.iter().map(id).collect()
}

/// A simulator and a client that knows its first integration.
struct Fixture {
    simulator: Simulator,
    client: reqwest::Client,
    integration_id: String,
    key: String,
}

impl Fixture {
    async fn start(options: Options) -> Fixture {
        let key = options.api_key.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options).await.unwrap();
        Fixture {
            integration_id: simulator.integration_ids().remove(0),
            simulator,
            client: reqwest::Client::new(),
            key,
        }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        self.get_as(&self.key, Some(&self.integration_id), path, query)
            .await
    }

    async fn get_as(
        &self,
        key: &str,
        integration_id: Option<&str>,
        path: &str,
        query: &[(&str, &str)],
    ) -> Reply {
        let url = format!("{}{path}", self.simulator.base_url());
        let mut request = self.client.get(url).bearer_auth(key).query(query);
        if let Some(id) = integration_id {
            request = request.header("X-Integration-Id", id);
        }
        read(request).await
    }

    /// Every page of an endpoint.
    async fn all(&self, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let reply = self.get(path, &query).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            records.extend(reply.records());
            cursor = reply.next();
            if cursor.is_none() {
                return records;
            }
        }
    }

    /// Ids that `path` re-delivers after a change.
    async fn redelivered(&self, path: &str, change: impl FnOnce(&Simulator)) -> Vec<String> {
        let before = self.mark();
        change(&self.simulator);
        let query = [
            ("updated_after", before.as_str()),
            ("include_deleted", "true"),
        ];
        ids(&self.all(path, &query).await)
    }

    /// The present moment, as `updated_after` wants it; whatever follows is later.
    fn mark(&self) -> String {
        let now = self.simulator.now();
        self.simulator
            .advance_clock(std::time::Duration::from_millis(1));
        now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }

    /// The id of some live row that satisfies a condition.
    fn row(
        &self,
        table: &str,
        matches: impl Fn(&serde_json::Map<String, Value>) -> bool,
    ) -> String {
        let truth = self.simulator.truth(&self.integration_id);
        let live = |row: &serde_json::Map<String, Value>| {
            row.get("remote_deleted_at").is_none_or(Value::is_null)
        };
        let mut rows = truth[table].iter();
        let (id, _) = rows.find(|(_, row)| live(row) && matches(row)).unwrap();
        id.clone()
    }
}

async fn read(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// Own columns of a record, without nested objects.
fn columns(record: &Value, nested: &[&str]) -> serde_json::Map<String, Value> {
    let mut columns = record.as_object().unwrap().clone();
    columns.retain(|name, _| !nested.contains(&name.as_str()));
    columns
}

/// Reads everything through the API and puts it into the truth's shape.
async fn mirrored(fixture: &Fixture) -> super::Truth {
    let query = [("include_deleted", "true"), ("page_size", "250")];
    let mut mirror = super::Truth::new();
    let mut add = |table: &'static str, key: String, row| {
        mirror.entry(table).or_default().insert(key, row);
    };
    let key = |record: &Value| record["id"].as_str().unwrap().to_owned();
    for (path, table) in [("/lms/users", "users"), ("/lms/skills", "skills")] {
        for record in fixture.all(path, &query).await {
            add(table, key(&record), columns(&record, &[]));
        }
    }
    for record in fixture.all("/lms/course-progressions", &query).await {
        let row = columns(&record, &["user", "course_revision"]);
        add("course_progressions", key(&record), row);
    }
    for course in fixture.all("/lms/courses", &query).await {
        add(
            "courses",
            key(&course),
            columns(&course, &["provider", "revisions"]),
        );
        if course["provider"].is_object() {
            let provider = &course["provider"];
            add("course_providers", key(provider), columns(provider, &[]));
        }
        for revision in course["revisions"].as_array().unwrap() {
            let row = columns(revision, &["skill_assignments"]);
            add("course_revisions", key(revision), row);
            for assignment in revision["skill_assignments"].as_array().unwrap() {
                let (revision, skill) = (key(revision), key(&assignment["skill"]));
                let mut row = serde_json::Map::new();
                row.insert("course_revision_id".to_owned(), revision.clone().into());
                row.insert("skill_id".to_owned(), skill.clone().into());
                add("course_revision_skills", format!("{revision}|{skill}"), row);
            }
        }
    }
    mirror
}

fn assert_same(mirror: &super::Truth, truth: &super::Truth) {
    for (table, rows) in truth {
        let empty = BTreeMap::new();
        let mirrored = mirror.get(table).unwrap_or(&empty);
        assert!(
            mirrored == rows,
            "{table} differs: {} and {} rows",
            mirrored.len(),
            rows.len()
        );
    }
}
