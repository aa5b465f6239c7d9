//! Relay connections: pages by keyset, their limits, and what happens to a reader while rows change.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kombo_mirror::simulator::Options;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{READER, Setup};

pub(crate) const LISTS: [(&str, &str); 6] = [
    ("users", "users"),
    ("courses", "courses"),
    ("courseRevisions", "course_revisions"),
    ("courseProviders", "course_providers"),
    ("skills", "skills"),
    ("courseProgressions", "course_progressions"),
];

async fn three_integrations() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 3,
            users: 25,
            courses: 12,
            skills: 9,
            progressions: 60,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    app
}

/// A page of users: ids with their integrations, and the cursor of the next page.
async fn page(app: &TestApp, list: &str, after: &Value) -> (Vec<(String, String)>, Value) {
    let query = format!(
        "query ($after: String) {{ {list}(first: 3, after: $after) {{ \
         nodes {{ komboId integration {{ komboId }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let answer = app.ask(READER, &query, json!({ "after": after })).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    let connection = &answer["data"][list];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let nodes = connection["nodes"].as_array().expect("nodes");
    let places = nodes
        .iter()
        .map(|node| {
            (
                text(&node["komboId"]),
                text(&node["integration"]["komboId"]),
            )
        })
        .collect();
    let info = &connection["pageInfo"];
    let next = if info["hasNextPage"] == true {
        info["endCursor"].clone()
    } else {
        Value::Null
    };
    (places, next)
}

// F67: every row once, in the order of komboId, over all integrations
#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_row_once_in_order() {
    let app = three_integrations().await;
    for (list, table) in LISTS {
        // one id in all integrations: the order must still name one place (F62)
        app.sql(&format!(
            "INSERT INTO {table} (integration_id, id, observed_at, mirrored_at) \
             SELECT id, 'Shared', now(), now() FROM integrations"
        ))
        .await;
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let (places, next) = page(&app, list, &after).await;
            found.extend(places);
            if next.is_null() {
                break;
            }
            after = next;
        }
        let sorted: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(found, sorted.into_iter().collect::<Vec<_>>(), "{list}");
        let live = if table == "course_providers" {
            "missing_since IS NULL"
        } else {
            "remote_deleted_at IS NULL AND missing_since IS NULL"
        };
        let expected = app
            .count(&format!(
                "SELECT count(*) AS count FROM {table} WHERE {live} AND NOT incomplete"
            ))
            .await;
        assert_eq!(found.len(), usize::try_from(expected).expect("a count"));
        assert!(found.len() > 3, "{list} needs a second page");
    }
}

// F67: rows that come and go between the pages neither shift nor repeat the others
#[tokio::test(flavor = "multi_thread")]
async fn writes_between_pages_neither_repeat_nor_hide_a_row() {
    let app = three_integrations().await;
    let integration = app.integration();
    let mut steady = BTreeSet::new();
    let mut after = Value::Null;
    loop {
        let (places, next) = page(&app, "users", &after).await;
        steady.extend(places);
        if next.is_null() {
            break;
        }
        after = next;
    }

    let mut found = Vec::new();
    let mut gone = BTreeSet::new();
    let mut after = Value::Null;
    for turn in 0.. {
        let (places, next) = page(&app, "users", &after).await;
        found.extend(places.clone());
        if next.is_null() {
            break;
        }
        after = next;
        // the row that the cursor names goes, and rows come before and behind it
        let last = places.last().expect("a full page").clone();
        app.sql(&format!(
            "DELETE FROM users WHERE id = '{}' AND integration_id = '{}'",
            last.0, last.1
        ))
        .await;
        gone.insert(last);
        app.sql(&format!(
            "INSERT INTO users (integration_id, id, observed_at, mirrored_at) VALUES \
             ('{integration}', '0-{turn}', now(), now()), ('{integration}', 'zz{turn:03}', now(), now())"
        ))
        .await;
    }
    let unique: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(found.len(), unique.len(), "a row came twice");
    assert!(unique.is_superset(&steady), "a row was skipped");
    assert!(gone.len() > 3, "pages were turned");
    assert!(found.iter().all(|(id, _)| !id.starts_with("0-")));
    assert!(found.iter().any(|(id, _)| id.starts_with("zz")));
}

// F68
#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_50_records_and_500_at_most() {
    let app = TestApp::with(Setup {
        simulator: Options {
            users: 60,
            progressions: 10,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    let length = async |arguments: &str| {
        let answer = app
            .query(&format!("{{ users{arguments} {{ nodes {{ komboId }} }} }}"))
            .await;
        answer["users"]["nodes"].as_array().expect("nodes").len()
    };
    let all = length("(first: 500)").await;
    assert!(all > 50);
    assert_eq!(length("").await, 50);
    assert_eq!(length("(first: null)").await, 50);
    assert_eq!(length("(first: 1)").await, 1);
    assert_eq!(length("(first: 0)").await, 0);
    for first in ["501", "-1", "2147483647", "2147483648", "1.5", "\"7\""] {
        for place in [
            format!("{{ users(first: {first}) {{ totalCount }} }}"),
            format!(
                "{{ users {{ nodes {{ courseProgressions(first: {first}) {{ totalCount }} }} }} }}"
            ),
        ] {
            assert_eq!(app.refusal(&place).await, "BAD_USER_INPUT", "{place}");
        }
    }
    let answer = app
        .ask(
            READER,
            "query ($first: Int) { users(first: $first) { totalCount } }",
            json!({ "first": 501 }),
        )
        .await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let place = json!([{ "line": 1, "column": 23 }]);
    assert_eq!(answer["errors"][0]["locations"], place);
}

// F19, F67: a cursor is good only for the order it was made under
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_cursor_is_refused() {
    let app = TestApp::loaded().await;
    let answer = app
        .query(
            "{ users(first: 1) { edges { cursor node { id } } } \
             syncRuns(first: 1) { edges { cursor } } integrations { edges { cursor } } }",
        )
        .await;
    let cursor = |list: &str| {
        answer[list]["edges"][0]["cursor"]
            .as_str()
            .expect("a cursor")
    };
    let of_users = cursor("users").to_owned();
    let of_runs = cursor("syncRuns").to_owned();
    let of_integrations = cursor("integrations").to_owned();
    let made_up = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let wrong = [
        ("users", String::new()),
        ("users", "garbage".to_owned()),
        ("users", "💥".to_owned()),
        (
            "users",
            answer["users"]["edges"][0]["node"]["id"]
                .as_str()
                .expect("an id")
                .to_owned(),
        ),
        ("users", of_runs.clone()),
        ("users", of_integrations.clone()),
        ("users", made_up(r#"["KOMBO_ID"]"#)),
        ("users", made_up(r#"["KOMBO_ID", null, "x"]"#)),
        ("users", made_up(r#"["KOMBO_ID", "\u0000", "x"]"#)),
        ("syncRuns", of_users.clone()),
        ("syncRuns", made_up(r#"["NEWEST", "x"]"#)),
        ("syncRuns", made_up(r#"["NEWEST", 1e99]"#)),
        ("syncRuns", made_up(r#"["NEWEST", 99999999999999999999]"#)),
        ("integrations", of_users.clone()),
    ];
    for (list, cursor) in wrong {
        let query = format!("{{ {list}(after: \"{cursor}\") {{ totalCount nodes {{ id }} }} }}");
        assert_eq!(app.refusal(&query).await, "BAD_USER_INPUT", "{query}");
    }
    for (list, cursor) in [
        ("users", of_users),
        ("syncRuns", of_runs),
        ("integrations", of_integrations),
    ] {
        app.query(&format!(
            "{{ {list}(after: \"{cursor}\") {{ nodes {{ id }} }} }}"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_info_says_what_lies_around_the_page() {
    let app = TestApp::loaded().await;
    let selection = "{ totalCount nodes { id } edges { cursor node { id } } \
                     pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }";
    let first = app
        .query(&format!("{{ users(first: 40) {selection} }}"))
        .await;
    let first = &first["users"];
    let edges = first["edges"].as_array().expect("edges");
    assert_eq!(first["totalCount"], 60);
    assert_eq!(edges.len(), 40);
    let nodes: Vec<&Value> = edges.iter().map(|edge| &edge["node"]).collect();
    assert_eq!(json!(nodes), first["nodes"]);
    let info = &first["pageInfo"];
    assert_eq!(info["hasNextPage"], true);
    assert_eq!(info["hasPreviousPage"], false);
    assert_eq!(info["startCursor"], edges[0]["cursor"]);
    assert_eq!(info["endCursor"], edges[39]["cursor"]);

    let after = info["endCursor"].as_str().expect("a cursor");
    let last = app
        .query(&format!(
            "{{ users(first: 20, after: \"{after}\") {selection} }}"
        ))
        .await;
    let last = &last["users"];
    assert_eq!(last["totalCount"], 60);
    assert_eq!(last["edges"].as_array().expect("edges").len(), 20);
    assert_eq!(last["pageInfo"]["hasNextPage"], false);
    assert_eq!(last["pageInfo"]["hasPreviousPage"], true);

    let after = last["pageInfo"]["endCursor"].as_str().expect("a cursor");
    let empty = app
        .query(&format!("{{ users(after: \"{after}\") {selection} }}"))
        .await;
    let expected = json!({ "totalCount": 60, "nodes": [], "edges": [], "pageInfo": {
        "hasNextPage": false, "hasPreviousPage": true, "startCursor": null, "endCursor": null } });
    assert_eq!(empty["users"], expected);
    let none = app
        .query(&format!("{{ users(first: 0) {selection} }}"))
        .await;
    assert_eq!(none["users"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(none["users"]["totalCount"], 60);
}

// the same rules below a record as at the root
#[tokio::test(flavor = "multi_thread")]
async fn a_nested_connection_is_paged_like_any_other() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let mut found = Vec::new();
    let mut after = "null".to_owned();
    loop {
        let answer = app
            .query(&format!(
                "{{ integration(komboId: \"{integration}\") {{ users(first: 13, after: {after}) {{ \
                 totalCount nodes {{ komboId }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
            ))
            .await;
        let users = &answer["integration"]["users"];
        assert_eq!(users["totalCount"], 60);
        let nodes = users["nodes"].as_array().expect("nodes");
        found.extend(
            nodes
                .iter()
                .map(|node| node["komboId"].as_str().expect("an id").to_owned()),
        );
        if users["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = users["pageInfo"]["endCursor"].to_string();
    }
    let sorted: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(found.len(), 60);
    assert_eq!(found, sorted.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn freshness_is_that_of_the_oldest_endpoint_read() {
    let app = three_integrations().await;
    let selection = "{ freshness { asOf lagSeconds complete } }";
    let query = format!("{{ users {selection} skills {selection} }}");
    app.sql("UPDATE endpoint_states SET watermark = '2026-01-01' WHERE endpoint = 'users' AND integration_id = (SELECT min(id) FROM integrations)")
        .await;
    let answer = app.query(&query).await;
    assert_eq!(
        answer["users"]["freshness"]["asOf"],
        "2026-01-01T00:00:00.000Z"
    );
    assert_eq!(answer["users"]["freshness"]["complete"], true);
    let lag = answer["users"]["freshness"]["lagSeconds"]
        .as_f64()
        .expect("seconds");
    assert!(lag > 86_400.0, "{lag}");
    assert_ne!(
        answer["skills"]["freshness"]["asOf"],
        "2026-01-01T00:00:00.000Z"
    );

    app.sql("UPDATE endpoint_states SET watermark = NULL WHERE endpoint = 'users'")
        .await;
    let answer = app.query(&query).await;
    let unknown = json!({ "asOf": null, "lagSeconds": null, "complete": false });
    assert_eq!(answer["users"]["freshness"], unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_a_connector_lacks_makes_no_answer_older() {
    let app = three_integrations().await;
    app.sql("UPDATE endpoint_states SET available = false, watermark = NULL WHERE endpoint = 'skills' AND integration_id = (SELECT min(id) FROM integrations)")
        .await;
    let answer = app
        .query("{ skills { freshness { asOf complete } } }")
        .await;
    assert_eq!(answer["skills"]["freshness"]["complete"], true);
    assert_ne!(answer["skills"]["freshness"]["asOf"], Value::Null);
}

// what was loaded before a model was switched off is still shown, and grows older
#[tokio::test(flavor = "multi_thread")]
async fn what_a_connector_no_longer_has_is_as_old_as_its_last_fetch() {
    let app = three_integrations().await;
    app.sql("UPDATE endpoint_states SET available = false, watermark = watermark - interval '9 hours' WHERE endpoint = 'skills' AND integration_id = (SELECT min(id) FROM integrations)")
        .await;
    let answer = app.query("{ skills { freshness { lagSeconds } } }").await;
    let lag = answer["skills"]["freshness"]["lagSeconds"].as_f64();
    assert!(lag.is_some_and(|lag| lag > 32_000.0), "{answer}");
    let old = "{ skills(maxStalenessSeconds: 3600) { totalCount } }";
    assert_eq!(app.refusal(old).await, "STALE_DATA");
}

// Whatever a client makes up: what is no moment of Postgres's is no cursor, and never a failure inside (F19).
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_moment_in_a_cursor_is_the_clients_fault() {
    let app = TestApp::loaded().await;
    let query = "query ($after: String) { users(first: 1, orderBy: { field: CHANGED_AT }, after: $after) { totalCount } }";
    for (moment, is_fine) in [
        ("0000-01-01T00:00:00Z", false),
        ("0001-01-01T00:00:00+01:00", false),
        ("2026-01-01T00:00:00+23:59", true),
        ("2026-01-01T00:00:00\u{2212}01:00", true),
        ("2026-01-01T00:00:60.123456789Z", true),
        ("9999-12-31T23:59:59-23:59", false),
        ("-infinity", true),
        ("infinity", false),
    ] {
        let cursor = json!(["CHANGED_AT", moment, "a", "b"]).to_string();
        let after = URL_SAFE_NO_PAD.encode(cursor);
        let answer = app.ask(READER, query, json!({ "after": after })).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        let expected = if is_fine {
            Value::Null
        } else {
            json!("BAD_USER_INPUT")
        };
        assert_eq!(*code, expected, "{moment}: {answer}");
    }
}
