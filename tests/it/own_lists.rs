//! The lists of the mirror's own: integrations, runs, webhooks and the change feed, filtered and from both ends.

use serde_json::{Value, json};

use crate::filters::walk;
use crate::support::TestApp;
use crate::support::app::{ADMIN, Setup};
use kombo_mirror::simulator::Options;

/// Three integrations with some history.
async fn with_history() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 3,
            users: 30,
            courses: 5,
            skills: 5,
            progressions: 40,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    app.simulator.change(40);
    app.settle().await;
    app
}

/// The rows of a list as an admin sees them.
async fn rows(app: &TestApp, list: &str, arguments: &str, fields: &str) -> Vec<Value> {
    let query = format!("{{ {list}({arguments}) {{ totalCount nodes {{ {fields} }} }} }}");
    let mut answer = app.ask(ADMIN, &query, Value::Null).await;
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    let count = answer["data"][list]["totalCount"].clone();
    let rows = answer["data"][list]["nodes"].take();
    let rows = rows.as_array().expect("rows").clone();
    assert_eq!(count, json!(rows.len()), "{query}");
    rows
}

/// Asserts that a filter shows the rows for which `holds` is true, and that there are others.
async fn assert_shows(
    app: &TestApp,
    list: &str,
    fields: &str,
    filter: &str,
    holds: impl Fn(&Value) -> bool,
) {
    let all = rows(app, list, "first: 500", fields).await;
    let shown = rows(
        app,
        list,
        &format!("first: 500, filter: {{{filter}}}"),
        fields,
    )
    .await;
    let expected: Vec<Value> = all.iter().filter(|row| holds(row)).cloned().collect();
    assert_eq!(shown, expected, "{list} {filter}");
    assert!(
        !expected.is_empty() && expected.len() < all.len(),
        "{list} {filter}: {} of {}",
        expected.len(),
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn integrations_are_filtered() {
    let app = with_history().await;
    let id = app.integration();
    app.sql(&format!(
        "UPDATE integrations SET paused = id = '{id}', state = CASE id WHEN '{id}' THEN 'NEW_WORD' ELSE 'ACTIVE' END"
    ))
    .await;
    let fields = "komboId tool state paused";
    let is = |row: &Value| row["komboId"] == json!(id);
    assert_shows(
        &app,
        "integrations",
        fields,
        &format!("komboId: {{eq: \"{id}\"}}"),
        is,
    )
    .await;
    assert_shows(&app, "integrations", fields, "paused: true", is).await;
    assert_shows(&app, "integrations", fields, "paused: false", |row| {
        !is(row)
    })
    .await;
    assert_shows(&app, "integrations", fields, "state: {eq: UNKNOWN}", is).await;
    assert_shows(
        &app,
        "integrations",
        fields,
        "state: {notIn: [UNKNOWN]}",
        |row| !is(row),
    )
    .await;
    let tool = id.split(':').next().expect("a tool");
    let part = tool[1..].to_uppercase();
    let tools = rows(
        &app,
        "integrations",
        &format!("filter: {{tool: {{containsIgnoreCase: \"{part}\"}}}}"),
        fields,
    )
    .await;
    assert!(!tools.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_filtered() {
    let app = with_history().await;
    let id = app.integration();
    let fields = "id endpoint mode trigger status queuedAt integration { komboId }";
    let of = |name: &'static str, word: &'static str| move |row: &Value| row[name] == json!(word);
    for (filter, name, word) in [
        (
            "endpoint: {eq: COURSE_PROGRESSIONS}",
            "endpoint",
            "COURSE_PROGRESSIONS",
        ),
        ("mode: {in: [DELTA]}", "mode", "DELTA"),
        ("trigger: {eq: INITIAL}", "trigger", "INITIAL"),
    ] {
        assert_shows(&app, "syncRuns", fields, filter, of(name, word)).await;
    }
    let filter = format!("integrationKomboId: {{eq: \"{id}\"}}, mode: {{eq: FULL}}");
    let mine = |row: &Value| row["integration"]["komboId"] == json!(id) && row["mode"] == "FULL";
    assert_shows(&app, "syncRuns", fields, &filter, mine).await;
    let filter = format!("not: {{integrationKomboId: {{in: [\"{id}\"]}}}}");
    let others = |row: &Value| row["integration"]["komboId"] != json!(id);
    assert_shows(&app, "syncRuns", fields, &filter, others).await;
    let all = rows(&app, "syncRuns", "first: 500", fields).await;
    let moment = all[0]["queuedAt"].as_str().expect("a moment").to_owned();
    assert_shows(
        &app,
        "syncRuns",
        fields,
        &format!("queuedAt: {{lt: \"{moment}\"}}"),
        |row| row["queuedAt"].as_str() < Some(moment.as_str()),
    )
    .await;
    let newest_first = walk(&app, "syncRuns", "", false).await;
    assert_eq!(newest_first, walk(&app, "syncRuns", "", true).await);
    assert_eq!(newest_first.len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_filtered() {
    let app = with_history().await;
    let id = app.integration();
    // one that names no integration
    app.webhook(&json!({ "id": "w1", "type": "something-else", "data": {} }))
        .await;
    let fields = "id type receivedAt integrationKomboId";
    assert_shows(
        &app,
        "webhookEvents",
        fields,
        "type: {eq: \"something-else\"}",
        |row| row["type"] == "something-else",
    )
    .await;
    assert_shows(
        &app,
        "webhookEvents",
        fields,
        "integrationKomboId: {isNull: true}",
        |row| row["integrationKomboId"].is_null(),
    )
    .await;
    let filter = format!("integrationKomboId: {{eq: \"{id}\"}}");
    assert_shows(&app, "webhookEvents", fields, &filter, |row| {
        row["integrationKomboId"] == json!(id)
    })
    .await;
    let filter = format!("integrationKomboId: {{ne: \"{id}\"}}");
    assert_shows(&app, "webhookEvents", fields, &filter, |row| {
        row["integrationKomboId"] != json!(id)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_filtered_and_read_from_either_end() {
    let app = with_history().await;
    app.sql("DELETE FROM record_changes WHERE sequence <= (SELECT max(sequence) - 300 FROM record_changes)")
        .await;
    let fields = "sequence kind model komboId at integration { komboId }";
    let all = rows(&app, "recordChanges", "first: 500", fields).await;
    let some = all[all.len() / 2].clone();
    let text = |name: &str| some[name].as_str().expect("a text").to_owned();
    for (filter, name) in [
        (format!("model: {{eq: {}}}", text("model")), "model"),
        (
            format!("komboId: {{eq: \"{}\"}}", text("komboId")),
            "komboId",
        ),
    ] {
        assert_shows(&app, "recordChanges", fields, &filter, |row| {
            row[name] == some[name]
        })
        .await;
    }
    let filter = "kind: {in: [UPDATED, DELETED]}";
    assert_shows(&app, "recordChanges", fields, filter, |row| {
        row["kind"] == "UPDATED" || row["kind"] == "DELETED"
    })
    .await;
    let last = rows_of_page(&app, "last: 5").await;
    let tail: Vec<&Value> = all[all.len() - 5..]
        .iter()
        .map(|row| &row["sequence"])
        .collect();
    assert_eq!(last.0.iter().collect::<Vec<_>>(), tail);
    // whoever narrows the feed goes on from the same place
    let at = &rows_of_page(&app, "first: 100").await.1;
    let narrowed = rows_of_page(
        &app,
        &format!(
            "first: 500, after: {at}, filter: {{model: {{eq: {}}}}}",
            text("model")
        ),
    )
    .await;
    let expected: Vec<Value> = all[100..]
        .iter()
        .filter(|row| row["model"] == some["model"])
        .map(|row| row["sequence"].clone())
        .collect();
    assert_eq!(narrowed.0, expected);
}

async fn rows_of_page(app: &TestApp, arguments: &str) -> (Vec<Value>, Value) {
    let query = format!(
        "{{ recordChanges({arguments}) {{ nodes {{ sequence }} pageInfo {{ endCursor }} }} }}"
    );
    let answer = app.query(&query).await;
    let nodes = answer["recordChanges"]["nodes"].as_array().expect("nodes");
    (
        nodes.iter().map(|row| row["sequence"].clone()).collect(),
        answer["recordChanges"]["pageInfo"]["endCursor"].clone(),
    )
}
