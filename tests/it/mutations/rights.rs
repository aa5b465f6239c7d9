//! Who may do what, and to what.

use async_graphql::Request;
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::graphql::Schema;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::Options;
use serde_json::{Value, json};

use super::FORCE;
use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, Setup};

const ALL: [&str; 5] = [
    "registerIntegration(komboId: \"ID\") { id }",
    "pauseIntegration(komboId: \"ID\") { id }",
    "resumeIntegration(komboId: \"ID\") { id }",
    "requestKomboSync(integrationKomboId: \"ID\") { syncId }",
    "cancelSyncRun(id: \"RUN\") { id }",
];

/// Every mutation, about an integration and its newest run of users.
async fn all_of(app: &TestApp, integration: &str) -> Vec<String> {
    let run = app.run_id("users").await;
    let fill = |mutation: &&str| {
        format!(
            "mutation {{ {} }}",
            mutation.replace("ID", integration).replace("RUN", &run)
        )
    };
    ALL.iter().map(fill).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_needs_the_admin_scope() {
    let app = TestApp::loaded().await;
    for mutation in all_of(&app, &app.integration()).await {
        assert_eq!(
            app.refused_mutation(READER, &mutation).await,
            "FORBIDDEN",
            "{mutation}"
        );
    }
}

// F70: not even that it exists is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_viewer_may_not_see_is_not_found() {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.work().await;
    let ids = app.simulator.integration_ids();
    let schema = Schema::new(
        Some(app.engine.clone()),
        &kombo_mirror::config::GraphqlSettings::default(),
    );
    let as_other = async |mutation: &str| {
        let viewer = Viewer {
            scope: Scope::Admin,
            integrations: Some(vec![ids[1].clone()]),
            name: "the other customer".to_owned(),
            expires_at: None,
        };
        let answer = schema.execute(Request::new(mutation), viewer).await;
        serde_json::to_value(&answer).expect("an answer")
    };
    let before = app.rows("SELECT * FROM integrations ORDER BY id").await;
    app.enqueue(&ids[0], "users", Mode::Full).await;
    for mutation in all_of(&app, &ids[0]).await {
        let answer = as_other(&mutation).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "NOT_FOUND",
            "{mutation}: {answer}"
        );
        assert_eq!(answer["data"], Value::Null);
    }
    assert_eq!(
        app.rows("SELECT * FROM integrations ORDER BY id").await,
        before
    );
    assert_eq!(app.open_runs().await, 1);
    let own = format!(
        "mutation {{ pauseIntegration(komboId: \"{}\") {{ paused }} }}",
        ids[1]
    );
    assert_eq!(
        as_other(&own).await["data"]["pauseIntegration"]["paused"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_about_unknown_and_deleted_integrations_are_refused() {
    let app = TestApp::loaded().await;
    let code = async |name: &str, id: &str| {
        let mutation = format!(
            "mutation {{ {name}: {name}(komboId: {}) {{ id }} }}",
            json!(id)
        );
        app.refused_mutation(ADMIN, &mutation).await
    };
    for name in ["pauseIntegration", "resumeIntegration"] {
        for unknown in ["nobody:1", "", "a\u{0}b"] {
            assert_eq!(code(name, unknown).await, "NOT_FOUND", "{name} {unknown:?}");
        }
    }
    for unusable in ["", "a\u{0}b", "a\nb", &"x".repeat(300)] {
        assert_eq!(
            code("registerIntegration", unusable).await,
            "BAD_USER_INPUT",
            "{unusable:?}"
        );
    }
    let integration = app.integration();
    app.simulator.delete_integration(&integration);
    app.simulator.flush_webhooks().await;
    for name in ["pauseIntegration", "resumeIntegration"] {
        assert_eq!(code(name, &integration).await, "NOT_FOUND");
    }
    let answer = app.ask(ADMIN, FORCE, json!({ "id": integration })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

// Section 5.3.2 of GraphQL's specification: two mentions of one field are one answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_is_mentioned_twice_answers_with_the_fields_of_both() {
    let app = TestApp::loaded().await;
    let id = app.integration();
    let mutation = format!(
        "mutation {{ pauseIntegration(komboId: \"{id}\") {{ paused }} ...F }} \
         fragment F on Mutation {{ pauseIntegration(komboId: \"{id}\") {{ komboId }} }}"
    );
    let answer = app.mutate(&mutation, Value::Null).await;
    assert_eq!(
        answer["pauseIntegration"],
        json!({ "paused": true, "komboId": id })
    );
}
