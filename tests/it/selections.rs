//! What is asked for, in every odd combination that the specification allows, and in those that it does not.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::READER;
use crate::support::socket::Socket;

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

#[tokio::test(flavor = "multi_thread")]
async fn page_info_and_freshness_are_one_answer_whatever_is_asked_of_them() {
    let app = TestApp::loaded().await;
    let filters = ["", "(filter: { firstName: { eq: \"nobody\" } })"];
    for filter in filters {
        for member in [
            "__typename",
            "hasPreviousPage",
            "hasNextPage",
            "startCursor",
        ] {
            let query = format!("{{ users{filter} {{ pageInfo {{ {member} }} }} }}");
            let data = app.query(&query).await;
            assert!(data["users"]["pageInfo"].is_object(), "{query}: {data}");
        }
        let query = format!("{{ users{filter} {{ freshness {{ __typename }} }} }}");
        let data = app.query(&query).await;
        assert_eq!(data["users"]["freshness"]["__typename"], "Freshness");
    }
    let backward = "{ users(last: 3) { pageInfo { hasNextPage } } }";
    assert_eq!(
        app.query(backward).await["users"]["pageInfo"],
        json!({ "hasNextPage": false })
    );
}

// Section 5.3.2: a wrong answer is worse than none.
#[tokio::test(flavor = "multi_thread")]
async fn one_name_for_two_things_is_refused_however_deep_it_hides() {
    let app = TestApp::loaded().await;
    for query in [
        "{ users { ...A ...B } } fragment A on UserConnection { nodes { x: komboId } } \
         fragment B on UserConnection { nodes { x: id } }",
        "{ users { ...A ...B } } fragment A on UserConnection { nodes { p: courseProgressions(first: 1) { totalCount } } } \
         fragment B on UserConnection { nodes { p: courseProgressions(first: 2) { totalCount } } }",
        "{ users { pageInfo { x: hasNextPage } ... { pageInfo { x: hasPreviousPage } } } }",
    ] {
        let answer = app.ask(READER, query, json!({})).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{query}: {answer}");
    }
    let same = "{ users(first: 1) { ...A ...B } } fragment A on UserConnection { nodes { x: komboId } } \
                fragment B on UserConnection { nodes { x: komboId y: id } }";
    assert!(app.query(same).await["users"]["nodes"][0]["y"].is_string());
}

// The types of fields differ, but no record has both.
#[tokio::test(flavor = "multi_thread")]
async fn one_name_may_mean_another_thing_on_another_type() {
    let app = TestApp::loaded().await;
    let ids = app
        .query("{ users(first: 1) { nodes { id } } courses(first: 1) { nodes { id } } }")
        .await;
    let ids = [
        &ids["users"]["nodes"][0]["id"],
        &ids["courses"]["nodes"][0]["id"],
    ];
    let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { x: lastName } ... on Course { x: title } } }";
    let answer = app.ask(READER, query, json!({ "ids": ids })).await;
    assert!(answer.get("errors").is_none(), "{answer}");
}

// F64
#[tokio::test(flavor = "multi_thread")]
async fn filters_that_are_too_many_together_are_refused_before_any_sql() {
    let app = TestApp::loaded().await;
    let tests: Vec<Value> = (0..200)
        .map(|n| json!({ "firstName": { "containsIgnoreCase": format!("name {n}") } }))
        .collect();
    let lists: String = (0..50)
        .map(|n| format!("u{n}: users(first: 1, filter: $f) {{ totalCount }} "))
        .collect();
    let query =
        format!("query ($f: UserFilter, $i: ID!) {{ integration(komboId: $i) {{ {lists} }} }}");
    let variables = json!({ "f": { "or": tests }, "i": app.integration() });
    let answer = app.ask(READER, &query, variables).await;
    assert_eq!(code(&answer), "QUERY_TOO_COMPLEX", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_e_mail_addresses_as_a_filter_takes_are_looked_for() {
    let app = TestApp::loaded().await;
    let user = app
        .query(
            "{ users(first: 1, filter: { workEmail: { isNull: false } }) { nodes { workEmail } } }",
        )
        .await;
    let known = user["users"]["nodes"][0]["workEmail"]
        .as_str()
        .expect("a text");
    let mut emails: Vec<String> = (0..499).map(|n| format!("nobody{n}@example.com")).collect();
    emails.push(known.to_uppercase());
    let tests = vec![json!({ "workEmail": { "in": emails } }); 19];
    let query = "query ($f: UserFilter) { users(filter: $f) { totalCount nodes { workEmail } } }";
    let answer = app
        .ask(READER, query, json!({ "f": { "and": tests } }))
        .await;
    assert_eq!(
        answer["data"]["users"]["nodes"][0]["workEmail"], known,
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_a_variable_is_an_object() {
    let app = TestApp::loaded().await;
    let query = "query ($o: UserOrder) { users(first: 1, orderBy: $o) { nodes { komboId } } }";
    for order in [
        json!("LAST_NAME"),
        json!(["LAST_NAME"]),
        json!([{ "field": "LAST_NAME" }]),
        json!(7),
    ] {
        let answer = app.ask(READER, query, json!({ "o": order })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{order}: {answer}");
    }
    let default = app.ask(READER, query, json!({ "o": null })).await;
    assert!(default.get("errors").is_none(), "{default}");
}

// Every number that an id can name, and ids that no run has.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_is_null() {
    use base64::Engine as _;
    let app = TestApp::loaded().await;
    let asked = [i64::MIN, -1, 0, i64::MAX].map(|number| {
        let id =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("SyncRun\n{number}"));
        format!("{{ node(id: \"{id}\") {{ id }} syncRun(id: \"{id}\") {{ id }} }}")
    });
    for data in join_all(asked.iter().map(|query| app.query(query))).await {
        assert_eq!(data, json!({ "node": null, "syncRun": null }));
    }
}

// F71: the number of values is bounded, their length is Kombo's
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_is_refused_before_it_leaves_the_database() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE users SET remote_data = to_jsonb(repeat('x', 100000))")
        .await;
    let members: String = (0..100).map(|n| format!("r{n}: remoteData ")).collect();
    let ask = async |first: u32| {
        let query = format!("{{ users(first: {first}) {{ nodes {{ {members} }} }} }}");
        app.ask(READER, &query, json!({})).await
    };
    let long = ask(10).await;
    assert_eq!(code(&long), "QUERY_TOO_COMPLEX");
    let short = ask(1).await;
    assert!(short.get("errors").is_none(), "{}", short["errors"]);
}

// Section 5.3.2 holds for a subscription's field, too, though the library never sees its second mention.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_with_two_filters_under_one_name_is_refused() {
    let app = TestApp::loaded().await;
    let mut socket = Socket::of(app.address, READER).await;
    let query = "subscription { x: recordChanged(filter: { kind: { eq: INSERTED } }) { sequence } x: recordChanged { komboId } }";
    socket.subscribe("1", query).await;
    let heard = socket.hear().await;
    assert_eq!(heard["type"], "error", "{heard}");
}
