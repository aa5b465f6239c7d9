//! The README as a test: one webhook from Kombo to GraphQL.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_kombo_is_read_through_graphql_after_its_webhook() {
    let app = TestApp::start().await;
    app.work().await;
    app.assert_mirrors_the_truth().await;

    let integration = app.integration();
    let user = app
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    app.settle().await;

    let answer = app
        .query(&format!(
            "{{ user(komboId: \"{user}\") {{ komboId isDeleted }} }}"
        ))
        .await;
    assert_eq!(
        answer,
        json!({ "user": { "komboId": user, "isDeleted": false } })
    );
    app.assert_mirrors_the_truth().await;
}
