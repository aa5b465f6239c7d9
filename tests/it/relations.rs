//! How records lead to each other: every relation both ways, and a course's current revision.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::records::{Row, all};
use crate::support::TestApp;

/// The ids below a relation, whatever its shape: nothing, a record, a list, a connection.
pub(crate) fn ids(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(object) => match object.get("nodes") {
            Some(nodes) => ids(nodes),
            None => BTreeSet::from([value["komboId"].as_str().expect("an id").to_owned()]),
        },
        Value::Array(list) => list.iter().flat_map(ids).collect(),
        _ => BTreeSet::new(),
    }
}

/// Kombo's rows, and the questions that the relations are about.
struct Kombo(BTreeMap<&'static str, BTreeMap<String, Row>>);

impl Kombo {
    fn is_live(&self, table: &str, id: &str) -> bool {
        self.0[table]
            .get(id)
            .is_some_and(|row| row.get("remote_deleted_at").is_none_or(Value::is_null))
    }

    /// Live rows of `table` whose `column` is `id`.
    fn with(&self, table: &str, column: &str, id: &str) -> BTreeSet<String> {
        self.0[table]
            .iter()
            .filter(|(own, row)| row.get(column) == Some(&json!(id)) && self.is_live(table, own))
            .map(|(own, _)| own.clone())
            .collect()
    }

    fn named(&self, table: &str, id: &str, column: &str) -> BTreeSet<String> {
        let value = self.0[table][id].get(column).and_then(Value::as_str);
        value.map(str::to_owned).into_iter().collect()
    }

    fn assigned(&self, own: &str, id: &str, other: &str, table: &str) -> BTreeSet<String> {
        self.0["course_revision_skills"]
            .values()
            .filter(|row| row[own] == json!(id))
            .map(|row| row[other].as_str().expect("an id").to_owned())
            .filter(|other| self.is_live(table, other))
            .collect()
    }

    /// The progressions of all revisions that name the course, deleted ones too.
    fn of_course(&self, course: &str) -> BTreeSet<String> {
        self.0["course_revisions"]
            .iter()
            .filter(|(_, row)| row["course_id"] == json!(course))
            .flat_map(|(revision, _)| {
                self.with("course_progressions", "course_revision_id", revision)
            })
            .collect()
    }

    fn expected(&self, list: &str, relation: &str, id: &str) -> BTreeSet<String> {
        match (list, relation) {
            ("users", "courseProgressions") => self.with("course_progressions", "user_id", id),
            ("courseProgressions", "user") => self.named("course_progressions", id, "user_id"),
            ("courseProgressions", "courseRevision") => {
                self.named("course_progressions", id, "course_revision_id")
            }
            ("courseRevisions", "courseProgressions") => {
                self.with("course_progressions", "course_revision_id", id)
            }
            ("courseRevisions", "course") => self.named("course_revisions", id, "course_id"),
            ("courseRevisions", "skills") => {
                self.assigned("course_revision_id", id, "skill_id", "skills")
            }
            ("courses", "provider") => self.named("courses", id, "provider_id"),
            ("courses", "revisions") => self.with("course_revisions", "course_id", id),
            ("courses", "courseProgressions") => self.of_course(id),
            ("courseProviders", "courses") => self.with("courses", "provider_id", id),
            ("skills", "courseRevisions") => {
                self.assigned("skill_id", id, "course_revision_id", "course_revisions")
            }
            other => panic!("{other:?} is no relation"),
        }
    }
}

const RELATIONS: [(&str, &str); 11] = [
    (
        "users",
        "courseProgressions(first: 500) { nodes { komboId } }",
    ),
    ("courseProgressions", "user { komboId }"),
    ("courseProgressions", "courseRevision { komboId }"),
    (
        "courseRevisions",
        "courseProgressions(first: 500) { nodes { komboId } }",
    ),
    ("courseRevisions", "course { komboId }"),
    ("courseRevisions", "skills { komboId }"),
    ("courses", "provider { komboId }"),
    ("courses", "revisions { nodes { komboId } }"),
    (
        "courses",
        "courseProgressions(first: 500) { nodes { komboId } }",
    ),
    ("courseProviders", "courses { nodes { komboId } }"),
    ("skills", "courseRevisions { nodes { komboId } }"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_relation_leads_to_the_rows_that_kombo_relates() {
    let app = TestApp::loaded().await;
    app.simulator.change(60);
    app.settle().await;
    let kombo = Kombo(app.simulator.truth(&app.integration()));
    for (list, selection) in RELATIONS {
        let relation = selection.split([' ', '(']).next().expect("a name");
        let mut related = 0;
        for node in all(&app, list, &format!("komboId {selection}")).await {
            let id = node["komboId"].as_str().expect("an id");
            let found = ids(&node[relation]);
            related += found.len();
            let expected = kombo.expected(list, relation, id);
            assert_eq!(found, expected, "{list} {id} {relation}");
        }
        assert!(related > 0, "{list}.{relation} relates nothing");
    }
}

// design: the newest live active revision, without one the newest live one
#[tokio::test(flavor = "multi_thread")]
async fn the_current_revision_is_the_newest_live_one_that_is_active_if_any_is() {
    let app = TestApp::loaded().await;
    app.simulator.change(60);
    app.settle().await;
    let kombo = Kombo(app.simulator.truth(&app.integration()));
    let revisions = &kombo.0["course_revisions"];
    for course in all(
        &app,
        "courses",
        "komboId title currentRevision { komboId title }",
    )
    .await
    {
        let id = course["komboId"].as_str().expect("an id");
        let current = kombo
            .with("course_revisions", "course_id", id)
            .into_iter()
            .max_by_key(|id| {
                let text = |name: &str| revisions[id][name].as_str().unwrap_or("").to_owned();
                let rank = (text("remote_created_at"), text("changed_at"), id.clone());
                (text("status") == "ACTIVE", rank)
            });
        let expected = current.map_or(
            Value::Null,
            |id| json!({ "komboId": id, "title": revisions[&id]["title"] }),
        );
        assert_eq!(course["currentRevision"], expected, "{id}");
        assert_eq!(course["title"], expected["title"], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_course_falls_back_to_its_other_revisions() {
    let app = TestApp::loaded().await;
    let course = "a-course";
    let values = [
        ("r1", "'INACTIVE'", "2026-03-01"),
        ("r2", "'ACTIVE'", "2026-01-01"),
        ("r3", "'ACTIVE'", "2026-02-01"),
        ("r4", "NULL", "2026-04-01"),
    ];
    app.sql(&format!(
        "INSERT INTO courses (integration_id, id, observed_at, mirrored_at) VALUES ('{}', '{course}', now(), now())",
        app.integration()
    ))
    .await;
    for (id, status, created) in values {
        app.sql(&format!(
            "INSERT INTO course_revisions (integration_id, id, course_id, title, status, remote_created_at, observed_at, mirrored_at) \
             VALUES ('{}', '{id}', '{course}', 'Title of {id}', {status}, '{created}', now(), now())",
            app.integration()
        ))
        .await;
    }
    let query =
        format!("{{ course(komboId: \"{course}\") {{ title currentRevision {{ komboId }} }} }}");
    // what is deleted one after the other, and what is then current
    for (expected, deletion) in [
        ("r3", "remote_deleted_at = now()"),
        ("r2", "missing_since = now()"),
        ("r4", "remote_deleted_at = now()"),
        ("r1", "remote_deleted_at = now()"),
    ] {
        let answer = app.query(&query).await;
        assert_eq!(answer["course"]["currentRevision"]["komboId"], expected);
        assert_eq!(answer["course"]["title"], format!("Title of {expected}"));
        app.sql(&format!(
            "UPDATE course_revisions SET {deletion} WHERE id = '{expected}'"
        ))
        .await;
    }
    let nothing = json!({ "course": { "title": null, "currentRevision": null } });
    assert_eq!(app.query(&query).await, nothing);
}
