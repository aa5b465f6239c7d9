//! What `docs/frontend.md` says, run with the packages it names; subscriptions by the client that most people use; and
//! the schema, looked over by other people's linters.
//!
//! They need Node.js 20 and the npm registry, so they are run apart from the others:
//! `cargo test --test it -- --ignored clients:: frontend:: browser::`.

use std::time::Duration;

use kombo_mirror::config::Role;

use crate::clients::run_script;
use crate::support::TestApp;
use crate::support::app::READER;

/// A mirror that is kept fresh by a worker beside it, of a Kombo where a user changes again and again.
async fn lively() -> TestApp {
    let app = TestApp::loaded().await;
    app.serve_beside(|settings| settings.role = Role::Worker)
        .await;
    let (simulator, integration) = (app.simulator.clone(), app.integration());
    let user = app.some_id("users").await;
    tokio::spawn(async move {
        while simulator.update_user(&integration, &user) {
            simulator.flush_webhooks().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    app
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn every_block_of_the_frontend_page_does_what_it_says() {
    let app = lively().await;
    run_script(&app, "frontend.mjs", READER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn the_usual_client_follows_pings_and_is_refused_in_order() {
    let app = lively().await;
    run_script(&app, "subscriptions.mjs", READER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn other_peoples_linters_find_nothing_in_the_schema() {
    let app = TestApp::start().await;
    run_script(&app, "schema.mjs", READER).await;
}
