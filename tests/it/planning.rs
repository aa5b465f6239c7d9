//! What a query costs in SQL: one statement for each root field however deep it is, only what was asked
//! for, and by index.

use async_graphql::Request;
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::config::GraphqlSettings;
use kombo_mirror::graphql::Schema;
use kombo_mirror::simulator::Options;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::app::Setup;

pub(crate) const TABLES: [&str; 7] = [
    "users",
    "courses",
    "course_revisions",
    "course_providers",
    "skills",
    "course_revision_skills",
    "course_progressions",
];

/// The statement of a query with one root field.
async fn statement(app: &TestApp, query: &str) -> String {
    let log = app.note_statements().await;
    app.query(query).await;
    let mut sent = log.take();
    assert_eq!(sent.len(), 1, "{query}: {sent:#?}");
    sent.remove(0)
}

// F66: no statement per row
#[tokio::test(flavor = "multi_thread")]
async fn a_query_costs_one_statement_however_many_rows_it_shows() {
    let app = TestApp::with(Setup {
        simulator: Options {
            users: 120,
            progressions: 600,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    let log = app.note_statements().await;
    for first in [1, 10, 100] {
        let query = format!(
            "{{ users(first: {first}) {{ totalCount freshness {{ complete }} nodes {{ firstName integration {{ tool }} \
             courseProgressions(first: {first}) {{ totalCount nodes {{ status courseRevision {{ title skills {{ name }} \
             course {{ title provider {{ name courses {{ nodes {{ komboId }} }} }} }} }} }} }} }} }} }}"
        );
        let answer = app.query(&query).await;
        let nodes = answer["users"]["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.len(), first);
        let sent = log.take();
        assert_eq!(sent.len(), 1, "{first} rows: {sent:#?}");
    }
    app.query(
        "{ users { totalCount } skills { totalCount } syncStatus { liveRecords lastRun { id } } }",
    )
    .await;
    assert_eq!(log.take().len(), 3, "one for each root field");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_mentioned_twice_is_read_once() {
    let app = TestApp::loaded().await;
    let log = app.note_statements().await;
    let query = "query { users(first: 2) { nodes { firstName } } ...more users(first: 2) { totalCount } \
                 user(komboId: \"nobody\") { id } user(komboId: \"nobody\") { komboId } } \
                 fragment more on Query { users(first: 2) { nodes { lastName } } }";
    let answer = app.query(query).await;
    assert_eq!(log.take().len(), 2, "one for each name");
    let users = &answer["users"];
    assert_eq!(users["totalCount"], 60);
    assert!(
        users["nodes"][1]["firstName"].is_string() && users["nodes"][1]["lastName"].is_string()
    );
    assert_eq!(answer["user"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_asked_for_is_not_read() {
    let app = TestApp::loaded().await;
    let little = statement(&app, "{ users(first: 5) { nodes { firstName } } }").await;
    assert!(!little.contains("count(*)"), "{little}");
    let plan = app.plan(&little).await;
    for column in ["remote_data", "custom_fields", "integration_fields"] {
        assert!(
            !outputs(&plan).contains(column),
            "{column} is read:\n{plan}"
        );
    }
    let much = "{ users(first: 5) { totalCount nodes { remoteData customFields integrationFields { key } } } }";
    let much = statement(&app, much).await;
    assert!(much.contains("count(*)"), "{much}");
    let plan = app.plan(&much).await;
    for column in ["remote_data", "custom_fields", "integration_fields"] {
        assert!(
            outputs(&plan).contains(column),
            "{column} is not read:\n{plan}"
        );
    }
    let count = statement(&app, "{ users { totalCount } }").await;
    assert!(
        !count.contains("row_number"),
        "no page is read for a count: {count}"
    );
}

/// What the plan's nodes hand on, without those that only pick rows.
fn outputs(plan: &str) -> String {
    plan.lines()
        .filter(|line| line.trim_start().starts_with("Output:"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Rows enough that a planner which can use an index does.
async fn fill(app: &TestApp) {
    let rows = [
        ("users", "last_name", "'N' || n", 4000),
        ("skills", "name", "'S' || n", 1000),
        ("course_providers", "name", "'P' || n", 1000),
        ("courses", "provider_id", "'x' || n % 1000", 3000),
        ("course_revisions", "course_id", "'x' || n % 3000", 5000),
        (
            "course_progressions",
            "user_id, course_revision_id",
            "'x' || n % 4000, 'x' || n % 5000",
            12_000,
        ),
    ];
    for (table, columns, values, count) in rows {
        app.sql(&format!(
            "INSERT INTO {table} (integration_id, id, observed_at, mirrored_at, {columns}) \
             SELECT i.id, 'x' || n, now(), now(), {values} FROM integrations i, generate_series(1, {count}) n"
        ))
        .await;
    }
    app.sql(
        "INSERT INTO course_revision_skills (integration_id, course_revision_id, skill_id, observed_at, mirrored_at) \
         SELECT i.id, 'x' || n, 'x' || n % 1000, now(), now() FROM integrations i, generate_series(1, 5000) n",
    )
    .await;
    for table in TABLES {
        app.sql(&format!("ANALYZE {table}")).await;
    }
}

/// Two integrations with many rows.
async fn filled() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            users: 5,
            courses: 3,
            skills: 3,
            progressions: 5,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    fill(&app).await;
    app
}

/// Pages, look-ups and relations of every kind.
async fn pages_and_relations(app: &TestApp) -> Vec<String> {
    let integration = app.integration();
    let cursor = app
        .query("{ users(first: 9) { pageInfo { endCursor } } }")
        .await;
    let cursor = &cursor["users"]["pageInfo"]["endCursor"];
    let mut queries = vec![
        format!("{{ users(first: 9, after: {cursor}) {{ nodes {{ id }} }} }}"),
        "{ user(komboId: \"x7\") { lastName } }".to_owned(),
        "{ users(first: 5) { nodes { courseProgressions(first: 5) { totalCount nodes { courseRevision { \
         title course { title provider { name } } } } } } } }"
            .to_owned(),
        "{ courses(first: 5) { nodes { title currentRevision { title } courseProgressions(first: 5) { \
         totalCount nodes { user { lastName } } } } } }"
            .to_owned(),
        "{ skills(first: 5) { nodes { courseRevisions(first: 5) { totalCount nodes { skills { name } \
         courseProgressions(first: 5) { nodes { id } } } } } } }"
            .to_owned(),
        "{ courseProviders(first: 5) { nodes { courses(first: 5) { totalCount nodes { revisions(first: 2) { \
         nodes { id } } } } } } }"
            .to_owned(),
    ];
    for list in [
        "users",
        "courses",
        "courseRevisions",
        "courseProviders",
        "skills",
        "courseProgressions",
    ] {
        queries.push(format!("{{ {list}(first: 9) {{ nodes {{ komboId }} }} }}"));
        queries.push(format!(
            "{{ integration(komboId: \"{integration}\") {{ {list}(first: 9) {{ nodes {{ komboId }} }} }} }}"
        ));
    }
    queries
}

fn assert_no_table_is_scanned(query: &str, plan: &str) {
    for table in TABLES {
        let scan = format!("Seq Scan on public.{table} ");
        assert!(!plan.contains(&scan), "{query}\n{plan}");
    }
}

// design: every query by an index, whichever way it goes
#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_every_relation_is_read_by_an_index() {
    let app = filled().await;
    for query in pages_and_relations(&app).await {
        let plan = app.plan(&statement(&app, &query).await).await;
        assert_no_table_is_scanned(&query, &plan);
    }
}

// what the policies add is looked up by the same indexes, and evaluated once for a statement
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_second_wall_pages_and_relations_are_read_by_an_index() {
    let app = filled().await;
    let integration = app.integration();
    let schema = Schema::new(Some(app.engine.clone()), &GraphqlSettings::default());
    for query in pages_and_relations(&app).await {
        let viewer = Viewer {
            scope: Scope::Read,
            integrations: Some(vec![integration.clone()]),
            name: "a test".to_owned(),
            expires_at: None,
        };
        let log = app.note_statements().await;
        let answer = schema.execute(Request::new(&query), viewer).await;
        assert!(answer.errors.is_empty(), "{query}: {:?}", answer.errors);
        let sent = log.take();
        let sent = sent.iter().find(|sent| sent.contains(" AS answer"));
        let plan = app
            .plan_behind_the_wall(sent.expect("a statement"), &integration)
            .await;
        assert!(plan.contains("mirror.integrations"), "{query}\n{plan}");
        assert_no_table_is_scanned(&query, &plan);
        let per_row = plan
            .lines()
            .any(|line| line.contains("Filter:") && line.contains("current_setting"));
        assert!(!per_row, "{query}\n{plan}");
    }
}

// a nested page must not read the whole list to sort it
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_large_list_reads_no_more_than_the_page() {
    let app = TestApp::start().await;
    fill(&app).await;
    let integration = app.integration();
    for query in [
        "{ users(first: 9) { nodes { komboId } } }".to_owned(),
        format!(
            "{{ integration(komboId: \"{integration}\") {{ users(first: 9) {{ nodes {{ komboId }} }} }} }}"
        ),
    ] {
        let sql = statement(&app, &query).await;
        let rows = app.rows_read(&sql, "users").await;
        assert!(rows <= 20, "{rows} rows are read for 9: {query}");
    }
    let all: Value = app.query("{ users { totalCount } }").await;
    assert_eq!(all["users"]["totalCount"], 4000);
}
