//! The execution rules of the GraphQL specification, over answers that Postgres puts together.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::READER;

async fn with(app: &TestApp, query: &str, variables: Value) -> Value {
    let mut answer = app.ask(READER, query, variables).await;
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer["data"].take()
}

async fn first_user(app: &TestApp) -> String {
    let answer = app.query("{ users(first: 1) { nodes { komboId } } }").await;
    let id = &answer["users"]["nodes"][0]["komboId"];
    id.as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_fragments_shape_the_answer() {
    let app = TestApp::loaded().await;
    let user = first_user(&app).await;
    let query = format!(
        "query {{ me: user(komboId: \"{user}\") {{ ...Names ... on MirroredRecord {{ key: komboId }} \
         ... on Node {{ __typename }} ... {{ state: status }} }} }} \
         fragment Names on User {{ given: firstName ...Family }} fragment Family on User {{ family: lastName }}"
    );
    let answer = app.query(&query).await;
    let truth = &app.simulator.truth(&app.integration())["users"][&user];
    let expected = json!({ "given": truth["first_name"], "family": truth["last_name"],
        "key": user, "__typename": "User", "state": truth["status"] });
    assert_eq!(answer["me"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_on_interfaces_apply_by_the_concrete_type() {
    let app = TestApp::loaded().await;
    let ids = app
        .query(
            "{ users(first: 1) { nodes { id komboId } } skills(first: 1) { nodes { id name } } }",
        )
        .await;
    let user = ids["users"]["nodes"][0].clone();
    let skill = ids["skills"]["nodes"][0].clone();
    let query = format!(
        "{{ a: node(id: {}) {{ ...Any }} b: node(id: {}) {{ ...Any }} }} \
         fragment Any on Node {{ __typename id ... on User {{ komboId }} ... on Skill {{ name }} \
         ... on SyncRun {{ mode }} ... on MirroredRecord {{ isDeleted }} }}",
        user["id"], skill["id"]
    );
    let answer = app.query(&query).await;
    let of_user = json!({ "__typename": "User", "id": user["id"], "komboId": user["komboId"], "isDeleted": false });
    let of_skill = json!({ "__typename": "Skill", "id": skill["id"], "name": skill["name"], "isDeleted": false });
    assert_eq!(answer, json!({ "a": of_user, "b": of_skill }));
}

#[tokio::test(flavor = "multi_thread")]
async fn typename_answers_at_every_level() {
    let app = TestApp::loaded().await;
    let answer = app
        .query(
            "{ __typename users(first: 1) { __typename pageInfo { __typename } freshness { __typename } \
             edges { __typename node { __typename integration { __typename } \
             integrationFields { __typename } courseProgressions(first: 1) { __typename } } } } \
             syncStatus { __typename lastRun { __typename } } }",
        )
        .await;
    assert_eq!(answer["__typename"], "Query");
    let users = &answer["users"];
    let node = &users["edges"][0]["node"];
    for (place, name) in [
        (users, "UserConnection"),
        (&users["pageInfo"], "PageInfo"),
        (&users["freshness"], "Freshness"),
        (&users["edges"][0], "UserEdge"),
        (node, "User"),
        (&node["integration"], "Integration"),
        (&node["courseProgressions"], "CourseProgressionConnection"),
        (&answer["syncStatus"][0], "EndpointSyncStatus"),
        (&answer["syncStatus"][0]["lastRun"], "SyncRun"),
    ] {
        assert_eq!(place["__typename"], name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_and_include_obey_their_variables() {
    let app = TestApp::loaded().await;
    let query = "query ($yes: Boolean!, $no: Boolean = false) { users(first: 1) { \
         totalCount @skip(if: $yes) nodes { komboId @include(if: $yes) lastName @include(if: $no) \
         ... @skip(if: $no) { status } ...F @include(if: $no) } } \
         skills @skip(if: $yes) { totalCount } } fragment F on User { workEmail }";
    let answer = with(&app, query, json!({ "yes": true })).await;
    let members = |value: &Value| {
        let object = value.as_object().expect("an object");
        object.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(members(&answer), ["users"]);
    assert_eq!(members(&answer["users"]), ["nodes"]);
    assert_eq!(members(&answer["users"]["nodes"][0]), ["komboId", "status"]);
    let answer = with(&app, query, json!({ "yes": false, "no": true })).await;
    assert_eq!(
        members(&answer["users"]["nodes"][0]),
        ["lastName", "workEmail"]
    );
    assert_eq!(answer["users"]["totalCount"], 60);
    assert!(answer["skills"]["totalCount"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_have_defaults_and_may_be_null_or_absent() {
    let app = TestApp::loaded().await;
    let query = "query ($first: Int = 3, $after: String, $all: Boolean) { \
         users(first: $first, after: $after, includeDeleted: $all) { nodes { komboId } } }";
    let length = |answer: &Value| answer["users"]["nodes"].as_array().expect("nodes").len();
    assert_eq!(length(&with(&app, query, json!({})).await), 3);
    assert_eq!(length(&with(&app, query, Value::Null).await), 3);
    assert_eq!(length(&with(&app, query, json!({ "first": 5 })).await), 5);
    let nothing = json!({ "first": null, "after": null, "all": null });
    assert_eq!(length(&with(&app, query, nothing).await), 50);
    for wrong in [json!({ "first": "3" }), json!({ "all": 1 })] {
        let answer = app.ask(READER, query, wrong).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    let missing = app
        .ask(
            READER,
            "query ($id: ID!) { user(komboId: $id) { id } }",
            json!({}),
        )
        .await;
    assert_eq!(missing["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

// section 5.3.2 of the specification: mentions of one field under one name are one answer
#[tokio::test(flavor = "multi_thread")]
async fn mentions_of_one_field_are_merged_at_every_level() {
    let app = TestApp::loaded().await;
    let answer = app
        .query(
            "{ users(first: 2) { nodes { komboId } } ...More users(first: 2) { nodes { integration { paused } } } } \
             fragment More on Query { users(first: 2) { totalCount nodes { integration { komboId } } } }",
        )
        .await;
    let node = &answer["users"]["nodes"][1];
    assert!(node["komboId"].is_string());
    assert_eq!(
        node["integration"],
        json!({ "paused": false, "komboId": app.integration() })
    );
    assert_eq!(answer["users"]["totalCount"], 60);
    let conflict = "{ users(first: 2) { totalCount } users(first: 3) { totalCount } }";
    assert_eq!(app.refusal(conflict).await, "BAD_USER_INPUT");
}

// F73: Postgres takes 100 arguments and cuts names at 63 bytes
#[tokio::test(flavor = "multi_thread")]
async fn an_object_may_have_hundreds_of_members_with_long_names() {
    let app = TestApp::loaded().await;
    let user = first_user(&app).await;
    let stem = "a".repeat(80);
    let members: String = (0..250).map(|n| format!("{stem}{n}: komboId ")).collect();
    let answer = app
        .query(&format!(
            "{{ {stem}: user(komboId: \"{user}\") {{ {members} }} }}"
        ))
        .await;
    let object = answer[&stem].as_object().expect("an object");
    assert_eq!(object.len(), 250);
    for number in [0, 44, 45, 90, 249] {
        assert_eq!(object[&format!("{stem}{number}")], user);
    }
}

// section 6.2.2 of the specification: the answer has the order of the request
#[tokio::test(flavor = "multi_thread")]
async fn root_fields_answer_in_the_order_of_the_request() {
    let app = TestApp::loaded().await;
    // slow ones first, so that the order of completion is another one
    let query = "{ last: courseProgressions(first: 500) { nodes { user { komboId } courseRevision { title } } } \
         ...Two __typename zero: skills(first: 0) { totalCount } first: users { totalCount } } \
         fragment Two on Query { middle: courses(first: 500) { nodes { title } } __schema { queryType { name } } }";
    let http = reqwest::Client::new();
    for _ in 0..5 {
        let text = http
            .post(app.url("/graphql"))
            .bearer_auth(READER)
            .header("content-type", "application/json")
            .body(json!({ "query": query }).to_string())
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text");
        // serde_json sorts what it reads, so the text itself is looked at
        let places: Vec<usize> = ["last", "middle", "__schema", "__typename", "zero", "first"]
            .iter()
            .map(|name| text.find(&format!("\"{name}\":")).expect("a member"))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

// F73: a cycle of fragments is refused, and the server goes on
#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_fragments_is_refused() {
    let app = TestApp::start().await;
    let cycle = "{ ...A ...B } fragment A on Query { ...B } fragment B on Query { ...A }";
    assert_ne!(app.refusal(cycle).await, "INTERNAL");
    let self_named = "{ users { nodes { ...A } } } fragment A on User { ...A }";
    assert_ne!(app.refusal(self_named).await, "INTERNAL");
    app.query("{ users { totalCount } }").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_found_by_its_node_id() {
    let app = TestApp::loaded().await;
    for list in [
        "users",
        "courses",
        "courseRevisions",
        "courseProviders",
        "skills",
        "courseProgressions",
        "integrations",
        "syncRuns",
    ] {
        let answer = app
            .query(&format!(
                "{{ {list}(first: 3) {{ nodes {{ id __typename }} }} }}"
            ))
            .await;
        let nodes = answer[list]["nodes"].as_array().expect("nodes");
        assert!(!nodes.is_empty(), "{list}");
        for node in nodes {
            let query = format!("{{ node(id: {}) {{ id __typename }} }}", node["id"]);
            assert_eq!(app.query(&query).await["node"], *node);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_leads_nowhere_is_null_and_one_that_is_none_is_refused() {
    use base64::Engine as _;
    let app = TestApp::loaded().await;
    let encoded = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let integration = app.integration();
    for nowhere in [
        format!("User\n{integration}\nnobody"),
        format!("User\nnobody:1\n{}", first_user(&app).await),
        format!("Skill\n{integration}\n{}", first_user(&app).await),
        "Integration\nnobody".to_owned(),
        "SyncRun\n999999".to_owned(),
    ] {
        let query = format!("{{ node(id: \"{}\") {{ id }} }}", encoded(&nowhere));
        assert_eq!(app.query(&query).await["node"], Value::Null, "{nowhere:?}");
    }
    for garbage in [
        String::new(),
        "garbage".to_owned(),
        "=".to_owned(),
        "💥".to_owned(),
        encoded("User"),
        encoded("User\na"),
        encoded("Nothing\na\nb"),
        encoded("SyncRun\nx"),
        encoded("SyncRun\n99999999999999999999"),
        encoded("User\n\0\n\0"),
        encoded("Integration\n\0"),
        first_user(&app).await,
    ] {
        let query = format!("{{ node(id: \"{garbage}\") {{ id }} }}");
        let answer = app.ask(READER, &query, Value::Null).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        let is_null = answer["data"]["node"].is_null() && answer.get("errors").is_none();
        assert!(is_null || code == "BAD_USER_INPUT", "{garbage:?}: {answer}");
    }
    let wrong_type =
        app.query("{ users(first: 1) { nodes { id } } }").await["users"]["nodes"][0]["id"]
            .to_string();
    let query = format!("{{ syncRun(id: {wrong_type}) {{ id }} }}");
    assert_eq!(app.query(&query).await["syncRun"], Value::Null);
}

// Postgres has no text with U+0000: nothing can have such an id, and asking for one is no fault of ours
#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_a_nul_is_refused() {
    let app = TestApp::start().await;
    for field in [
        "user(komboId: $id) { id }",
        "integration(komboId: $id) { id }",
        "course(komboId: \"x\", integrationKomboId: $id) { id }",
        "syncStatus(integrationKomboId: $id) { health }",
        "syncRun(id: $id) { id }",
        "node(id: $id) { id }",
        "users(after: $text) { totalCount }",
    ] {
        let variable = if field.contains("$id") {
            "$id: ID!"
        } else {
            "$text: String"
        };
        let query = format!("query ({variable}) {{ {field} }}");
        let variables = json!({ "id": "a\0b", "text": "a\0b" });
        let answer = app.ask(READER, &query, variables).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        let found_nothing = answer == json!({ "data": { "syncRun": null } });
        assert!(
            found_nothing || code == "BAD_USER_INPUT",
            "{field}: {answer}"
        );
    }
}

// F62: ids are unique only within one type of one integration
#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_in_two_integrations_and_types_never_mix() {
    let app = TestApp::loaded().await;
    let first = app.integration();
    app.sql(
        "INSERT INTO integrations (id, registered_at, details_due_at) \
         VALUES ('other:1', now(), now() + interval '1 year')",
    )
    .await;
    for integration in [first.as_str(), "other:1"] {
        for (table, columns, values) in [
            ("users", "last_name", format!("'user of {integration}'")),
            ("skills", "name", format!("'skill of {integration}'")),
            (
                "course_revisions",
                "title",
                format!("'revision of {integration}'"),
            ),
            (
                "course_progressions",
                "user_id, course_revision_id",
                "'Same', 'Same'".to_owned(),
            ),
            (
                "course_providers",
                "name",
                format!("'provider of {integration}'"),
            ),
            ("courses", "provider_id", "'Same'".to_owned()),
        ] {
            app.sql(&format!(
                "INSERT INTO {table} (integration_id, id, observed_at, mirrored_at, {columns}) \
                 VALUES ('{integration}', 'Same', now(), now(), {values})"
            ))
            .await;
        }
    }
    for integration in [first.as_str(), "other:1"] {
        let which = format!("(komboId: \"Same\", integrationKomboId: \"{integration}\")");
        let answer = app
            .query(&format!(
                "{{ user{which} {{ lastName id courseProgressions {{ totalCount nodes {{ integration {{ komboId }} \
                 courseRevision {{ title }} user {{ lastName }} }} }} }} skill{which} {{ name }} \
                 course{which} {{ provider {{ name courses {{ totalCount }} }} }} }}"
            ))
            .await;
        let progression = json!({ "integration": { "komboId": integration },
            "courseRevision": { "title": format!("revision of {integration}") },
            "user": { "lastName": format!("user of {integration}") } });
        assert_eq!(
            answer["user"]["courseProgressions"],
            json!({ "totalCount": 1, "nodes": [progression] })
        );
        assert_eq!(answer["skill"]["name"], format!("skill of {integration}"));
        let provider =
            json!({ "name": format!("provider of {integration}"), "courses": { "totalCount": 1 } });
        assert_eq!(answer["course"]["provider"], provider);
        let node = format!(
            "{{ node(id: {}) {{ ... on User {{ lastName }} }} }}",
            answer["user"]["id"]
        );
        assert_eq!(
            app.query(&node).await["node"]["lastName"],
            format!("user of {integration}")
        );
    }
}

// section 6.2.2 of the GraphQL specification: an empty selection is an empty object
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_fields_are_all_skipped_answers_with_nothing() {
    let app = TestApp::start().await;
    let answer = app.query("{ users @skip(if: true) { totalCount } }").await;
    assert_eq!(answer, json!({}));
}

// sections 5.8.5 and 3.9
#[tokio::test(flavor = "multi_thread")]
async fn a_value_stands_only_where_its_type_fits() {
    let app = TestApp::start().await;
    for (query, is_fine) in [
        ("query($n: Int) { users(first: $n) { totalCount } }", true),
        (
            "query($n: Int! = 5) { users(first: $n) { totalCount } }",
            true,
        ),
        (
            "query($n: String) { users(first: $n) { totalCount } }",
            false,
        ),
        ("query($id: ID = \"x\") { user(komboId: $id) { id } }", true),
        ("query($id: ID) { user(komboId: $id) { id } }", false),
        (
            "query($id: String = \"x\") { user(komboId: $id) { id } }",
            false,
        ),
        (
            "query($x: String) { users(filter: { lastName: { eq: $x } }) { totalCount } }",
            true,
        ),
        (
            "query($x: Int) { users(filter: { lastName: { eq: $x } }) { totalCount } }",
            false,
        ),
        (
            "query($x: ID! = 1) { users(filter: { komboId: { in: [$x] } }) { totalCount } }",
            true,
        ),
        (
            "query($x: ID) { users(filter: { komboId: { in: [$x] } }) { totalCount } }",
            false,
        ),
        (
            "query($x: [ID!]) { users(filter: { komboId: { in: $x } }) { totalCount } }",
            true,
        ),
        (
            "query($x: [ID]) { users(filter: { komboId: { in: $x } }) { totalCount } }",
            false,
        ),
        (
            "query($d: OrderDirection) { users(orderBy: { direction: $d }) { totalCount } }",
            true,
        ),
        (
            "query($d: String) { users(orderBy: { direction: $d }) { totalCount } }",
            false,
        ),
        (
            "query($b: Boolean = true) { users { totalCount @include(if: $b) } }",
            true,
        ),
        (
            "query($b: Boolean) { users { totalCount @include(if: $b) } }",
            false,
        ),
        (
            "query($n: String) { ...page } fragment page on Query { users(first: $n) { totalCount } }",
            false,
        ),
    ] {
        let answer = app.ask(READER, query, Value::Null).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        if is_fine {
            assert!(answer.get("errors").is_none(), "{query}: {answer}");
        } else {
            assert_eq!(code, "BAD_USER_INPUT", "{query}: {answer}");
        }
    }
}
