//! What lists refuse, what `nodes` and the summary answer, and how stale an answer may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::filters::{LISTS, awkward, walk};
use crate::support::TestApp;
use crate::support::app::READER;

/// The first error of an answer.
fn error(answer: &Value) -> (&str, &str) {
    let error = &answer["errors"][0];
    let code = error["extensions"]["code"].as_str();
    let message = error["message"].as_str();
    (
        code.unwrap_or_else(|| panic!("no code: {answer}")),
        message.expect("a message"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_filter_is_refused_with_its_place() {
    let app = TestApp::loaded().await;
    for (filter, named) in [
        (json!({ "lastName": { "eq": null } }), "lastName.eq"),
        (
            json!({ "changedAt": { "gt": "yesterday" } }),
            "changedAt.gt",
        ),
        (json!({ "changedAt": { "gt": 7 } }), "changedAt.gt"),
        (json!({ "lastName": { "in": vec!["x"; 501] } }), "500"),
        (
            (0..20).fold(json!({}), |inner, _| json!({ "not": inner })),
            "deeper",
        ),
        (
            json!({ "or": (0..300).map(|n| json!({ "komboId": { "eq": n.to_string() } })).collect::<Vec<_>>() }),
            "200",
        ),
    ] {
        let query = "query($filter: UserFilter) { users(filter: $filter) { totalCount } }";
        let log = app.note_statements().await;
        let answer = app.ask(READER, query, json!({ "filter": filter })).await;
        let (code, message) = error(&answer);
        assert_eq!(code, "BAD_USER_INPUT", "{answer}");
        assert!(message.contains(named), "{message}");
        assert!(log.take().is_empty(), "no SQL for {filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_left_out_filters_nothing() {
    let app = TestApp::loaded().await;
    let query = "query($status: UserStatus, $name: String, $field: UserOrderField) { \
                 users(first: 0, filter: { status: { eq: $status }, lastName: { startsWith: $name } }, \
                 orderBy: { field: $field }) { totalCount } }";
    let query = query.replace(
        "$field: UserOrderField",
        "$field: UserOrderField! = LAST_NAME",
    );
    let all = app.ask(READER, &query, json!({})).await;
    assert_eq!(all["data"]["users"]["totalCount"], 60, "{all}");
    let some = app.ask(READER, &query, json!({ "name": "B" })).await;
    assert_ne!(some["data"]["users"]["totalCount"], 60, "{some}");
    let wrong = app.ask(READER, &query, json!({ "name": null })).await;
    assert_eq!(error(&wrong).0, "BAD_USER_INPUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_filter_stands_for_itself() {
    let app = awkward().await;
    for (test, expected) in [
        ("startsWith: \"100%_\\\\\"", true),
        ("startsWith: \"1%\"", false),
        ("containsIgnoreCase: \"0%_\\\\X\"", true),
        ("containsIgnoreCase: \"1%x\"", false),
        ("containsIgnoreCase: \"_____\"", false),
        ("eq: \"' OR true --\"", false),
        ("eq: \"\\u0000\"", false),
        ("startsWith: \"\\u0000\"", false),
    ] {
        let query =
            format!("{{ users(first: 1, filter: {{ lastName: {{ {test} }} }}) {{ totalCount }} }}");
        let found = app.query(&query).await["users"]["totalCount"]
            .as_i64()
            .expect("a count");
        assert_eq!(found > 0, expected, "{test}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_and_last_exclude_each_other_and_before_alone_goes_backward() {
    let app = TestApp::loaded().await;
    assert_eq!(
        app.refusal("{ users(first: 1, last: 1) { totalCount } }")
            .await,
        "BAD_USER_INPUT"
    );
    for wrong in ["last: -1", "last: 501", "last: 2147483647"] {
        let query = format!("{{ users({wrong}) {{ totalCount }} }}");
        assert_eq!(app.refusal(&query).await, "BAD_USER_INPUT", "{wrong}");
    }
    let ids = walk(&app, "users", "includeDeleted: false", false).await;
    let at_55 = app
        .query("{ users(first: 55) { pageInfo { endCursor } } }")
        .await;
    let cursor = &at_55["users"]["pageInfo"]["endCursor"];
    let page = app
        .query(&format!("{{ users(before: {cursor}) {{ nodes {{ id }} pageInfo {{ hasNextPage hasPreviousPage }} }} }}"))
        .await;
    let shown: Vec<String> = page["users"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    assert_eq!(shown, ids[4..54]);
    assert_eq!(
        page["users"]["pageInfo"],
        json!({ "hasNextPage": true, "hasPreviousPage": true })
    );
}

// F19, F67: bound to order, direction and filter
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_list_is_refused() {
    let app = TestApp::loaded().await;
    let arguments = |order: &str, filter: &str| {
        format!("orderBy: {{ field: {order} }}, filter: {{ status: {{ in: [{filter}] }} }}")
    };
    let asked = arguments("LAST_NAME", "ACTIVE");
    let page = app
        .query(&format!(
            "{{ users(first: 3, {asked}) {{ pageInfo {{ endCursor }} }} }}"
        ))
        .await;
    let cursor = &page["users"]["pageInfo"]["endCursor"];
    app.query(&format!(
        "{{ users(first: 3, after: {cursor}, {asked}) {{ totalCount }} }}"
    ))
    .await;
    for other in [
        arguments("WORK_EMAIL", "ACTIVE"),
        arguments("LAST_NAME, direction: DESC", "ACTIVE"),
        arguments("LAST_NAME", "INACTIVE"),
        format!("{asked}, includeDeleted: true"),
    ] {
        let query = format!("{{ users(first: 3, after: {cursor}, {other}) {{ totalCount }} }}");
        assert_eq!(app.refusal(&query).await, "BAD_USER_INPUT", "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_answered_in_the_order_of_their_ids() {
    let app = TestApp::loaded().await;
    let known = app
        .query(
            "{ users(first: 2) { nodes { id } } courses(first: 1) { nodes { id } } \
             integrations { nodes { id } } syncRuns(first: 1) { nodes { id } } }",
        )
        .await;
    let id = |list: &str, place: usize| known[list]["nodes"][place]["id"].clone();
    let gone = "VXNlcgphCmI"; // a user of an integration that is not there
    let ids = json!([
        id("courses", 0),
        gone,
        id("users", 1),
        id("syncRuns", 0),
        id("users", 0),
        id("integrations", 0),
        id("users", 1),
    ]);
    let query =
        "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on User { lastName } } }";
    let log = app.note_statements().await;
    let answer = app.ask(READER, query, json!({ "ids": ids })).await;
    assert_eq!(log.take().len(), 1, "one statement");
    let nodes = answer["data"]["nodes"].as_array().expect("nodes");
    let shown: Vec<&Value> = nodes.iter().map(|node| &node["id"]).collect();
    for (place, (shown, asked)) in shown.iter().zip(ids.as_array().expect("ids")).enumerate() {
        assert_eq!(
            **shown,
            if place == 1 {
                Value::Null
            } else {
                asked.clone()
            }
        );
    }
    assert_eq!(nodes[1], Value::Null);
    assert_eq!(nodes[0]["__typename"], "Course");
    assert!(nodes[2]["lastName"].is_string());
    let none = app.ask(READER, query, json!({ "ids": [] })).await;
    assert_eq!(none["data"]["nodes"], json!([]));
    for wrong in [json!(["nonsense"]), json!(vec![gone; 501])] {
        let answer = app.ask(READER, query, json!({ "ids": wrong })).await;
        assert_eq!(error(&answer).0, "BAD_USER_INPUT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_what_the_list_shows() {
    let app = awkward().await;
    let total = app
        .query("{ courseProgressions(first: 0) { totalCount } }")
        .await;
    let total = total["courseProgressions"]["totalCount"]
        .as_i64()
        .expect("a count");
    for keys in [
        "",
        "STATUS",
        "USER",
        "COURSE",
        "COURSE_REVISION",
        "INTEGRATION",
        "COMPLETED_MONTH",
        "STATUS, INTEGRATION, COMPLETED_MONTH, USER, COURSE",
        "STATUS, STATUS",
    ] {
        let query = format!(
            "{{ courseProgressionSummary(groupBy: [{keys}]) {{ count status user {{ id }} course {{ id }} \
             courseRevision {{ id }} integration {{ id }} completedMonth }} }}"
        );
        let log = app.note_statements().await;
        let groups = app.query(&query).await["courseProgressionSummary"].take();
        assert_eq!(log.take().len(), 1, "one statement");
        let groups = groups.as_array().expect("groups");
        let sum: i64 = groups
            .iter()
            .filter_map(|group| group["count"].as_i64())
            .sum();
        assert_eq!(sum, total, "{keys}");
        let mut unique: Vec<String> = groups
            .iter()
            .map(|group| {
                let mut keys = group.clone();
                keys["count"].take();
                keys.to_string()
            })
            .collect();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), groups.len(), "{keys}");
    }
    // one group by its filter
    let groups = app
        .query("{ courseProgressionSummary(groupBy: [STATUS]) { count status } }")
        .await;
    for group in groups["courseProgressionSummary"]
        .as_array()
        .expect("groups")
    {
        let filter = match &group["status"] {
            Value::Null => "isNull: true".to_owned(),
            status => format!("eq: {}", status.as_str().expect("a word")),
        };
        let query = format!(
            "{{ courseProgressions(first: 0, filter: {{ status: {{ {filter} }} }}) {{ totalCount }} \
             courseProgressionSummary(groupBy: [], filter: {{ status: {{ {filter} }} }}) {{ count }} }}"
        );
        let answer = app.query(&query).await;
        assert_eq!(answer["courseProgressions"]["totalCount"], group["count"]);
        assert_eq!(
            answer["courseProgressionSummary"][0]["count"],
            group["count"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_with_too_many_groups_is_refused() {
    let app = TestApp::loaded().await;
    app.sql(
        "INSERT INTO course_progressions (integration_id, id, user_id, observed_at, mirrored_at) \
         SELECT i.id, 'x' || n, 'x' || n, now(), now() FROM integrations i, generate_series(1, 10100) n",
    )
    .await;
    let query = "{ courseProgressionSummary(groupBy: [USER]) { count } }";
    assert_eq!(app.refusal(query).await, "QUERY_TOO_COMPLEX");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_older_than_allowed_is_an_error() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let fresh = "{ users(maxStalenessSeconds: 60) { totalCount } }";
    app.query(fresh).await;
    app.sql("UPDATE endpoint_states SET watermark = watermark - interval '2 minutes' WHERE endpoint = 'users'")
        .await;
    for query in [
        fresh.to_owned(),
        format!(
            "{{ integration(komboId: \"{integration}\") {{ users(maxStalenessSeconds: 60) {{ nodes {{ id }} }} }} }}"
        ),
        format!(
            "{{ users(maxStalenessSeconds: 60, filter: {{ integrationKomboId: {{ eq: \"{integration}\" }} }}) {{ totalCount }} }}"
        ),
    ] {
        let answer = app.ask(READER, &query, Value::Null).await;
        let (code, message) = error(&answer);
        assert_eq!(code, "STALE_DATA", "{answer}");
        assert!(
            message.contains("users") && message.contains("60 s"),
            "{message}"
        );
    }
    // others are as fresh as before, and the age that is allowed is the client's
    app.query("{ courses(maxStalenessSeconds: 60) { totalCount } }")
        .await;
    app.query("{ users(maxStalenessSeconds: 3600) { totalCount } }")
        .await;
    app.query("{ users(maxStalenessSeconds: 60, filter: { integrationKomboId: { eq: \"x\" } }) { totalCount } }")
        .await;
    assert_eq!(
        app.refusal("{ users(maxStalenessSeconds: -1) { totalCount } }")
            .await,
        "BAD_USER_INPUT"
    );
    app.sql("UPDATE endpoint_states SET watermark = NULL WHERE endpoint = 'users'")
        .await;
    let answer = app
        .ask(
            READER,
            "{ users(maxStalenessSeconds: 2147483647) { totalCount } }",
            Value::Null,
        )
        .await;
    assert_eq!(error(&answer).0, "STALE_DATA");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_course_is_called_as_its_current_revision_whoever_writes() {
    let app = TestApp::loaded().await;
    let wrong = "SELECT count(*) FROM courses c \
                 WHERE current_title IS DISTINCT FROM title_of_course(c.integration_id, c.id)";
    assert_eq!(app.count(wrong).await, 0);
    for sql in [
        "UPDATE course_revisions SET title = title || ' 2'",
        "UPDATE course_revisions SET status = CASE status WHEN 'ACTIVE' THEN 'INACTIVE' ELSE 'ACTIVE' END",
        "UPDATE course_revisions SET remote_deleted_at = now() WHERE id < 'P'",
        "UPDATE course_revisions SET missing_since = now() WHERE id > 'p'",
        "UPDATE course_revisions SET course_id = (SELECT min(id) FROM courses)",
        "UPDATE courses SET current_title = 'by hand'",
        "DELETE FROM course_revisions WHERE id > 'X'",
    ] {
        app.sql(sql).await;
        assert_eq!(app.count(wrong).await, 0, "{sql}");
    }
    assert!(
        app.count("SELECT count(*) FROM courses WHERE current_title IS NOT NULL")
            .await
            > 0
    );
}

/// Writes rows that come, move and go, as fast as the database takes them, until told to stop.
async fn write_beside(app: &TestApp, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut connection = app.database().await;
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let sql = format!(
            "WITH gone AS (DELETE FROM course_progressions WHERE id LIKE 'moving%' AND random() < 0.7) \
             INSERT INTO course_progressions (integration_id, id, changed_at, enrolled_at, completed_at, observed_at, mirrored_at) \
             SELECT i.id, 'moving' || md5(n || ' {round}'), m, m, m, m, m FROM integrations i, generate_series(1, 40) n, \
             LATERAL (SELECT timestamptz '2024-01-01' + random() * interval '1000 days' AS m) r; "
        );
        let others = [
            ("users", "last_name, work_email, changed_at"),
            ("courses", "remote_id, origin_id, changed_at"),
            ("course_revisions", "title, remote_id, changed_at"),
        ]
        .map(|(table, columns)| {
            format!(
                "DELETE FROM {table} WHERE id LIKE 'moving%' AND random() < 0.7; \
                 INSERT INTO {table} (integration_id, id, observed_at, mirrored_at, {columns}) SELECT i.id, \
                 'moving' || md5(n || ' {round}'), now(), now(), md5(random()::text), md5(random()::text), \
                 timestamptz '2024-01-01' + random() * interval '1000 days' FROM integrations i, generate_series(1, 10) n; "
            )
        })
        .concat();
        let named = ["skills", "course_providers"]
            .map(|table| {
                format!(
                    "UPDATE {table} SET name = md5(random()::text) WHERE id LIKE 'moving%'; \
                     INSERT INTO {table} (integration_id, id, observed_at, mirrored_at, name) SELECT i.id, 'moving' || n, now(), \
                     now(), md5(random()::text) FROM integrations i, generate_series(1, 10) n ON CONFLICT DO NOTHING; "
                )
            })
            .concat();
        diesel_async::SimpleAsyncConnection::batch_execute(
            &mut *connection,
            &format!("{sql}{others}{named}"),
        )
        .await
        .expect("rows are written");
        written.fetch_add(200, Ordering::Relaxed);
    }
}

// F67
#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_exact_while_others_write() {
    let app = Arc::new(awkward().await);
    let (stop, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut stable = Vec::new();
    for list in LISTS {
        for (order, _) in list.orders {
            for direction in ["ASC", "DESC"] {
                let arguments = format!("orderBy: {{ field: {order}, direction: {direction} }}");
                let ids = walk(&app, list.name, &arguments, false).await;
                stable.push((list.name, arguments, ids));
            }
        }
    }
    let writer = tokio::spawn({
        let (app, stop, written) = (app.clone(), stop.clone(), written.clone());
        async move { write_beside(&app, stop, written).await }
    });
    for (list, arguments, ids) in &stable {
        for backward in [false, true] {
            let seen = walk(&app, list, arguments, backward).await;
            let unmoved: Vec<&String> = seen.iter().filter(|id| ids.contains(id)).collect();
            let expected: Vec<&String> = ids.iter().collect();
            assert_eq!(unmoved, expected, "{list} {arguments} backward: {backward}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer ends");
    assert!(written.load(Ordering::Relaxed) > 1000, "somebody wrote");
}
