//! How a worker hears of a run that another process queued.

use std::time::Duration;

use kombo_mirror::models::Mode;

use crate::support::TestApp;

const LISTENERS: &str = "SELECT count(*) AS count FROM pg_stat_activity \
     WHERE datname = current_database() AND query = 'LISTEN kombo_mirror_runs'";
const DONE: &str =
    "SELECT count(*) AS count FROM sync_runs WHERE trigger <> 'INITIAL' AND status = 'SUCCEEDED'";

/// A loaded mirror beside which a server works that looks by itself once an hour only.
async fn beside_a_sleeper() -> TestApp {
    let app = TestApp::loaded().await;
    app.serve_beside(|settings| settings.sync.poll = Duration::from_secs(3600))
        .await;
    app.wait_for(LISTENERS, 1).await;
    app
}

// Rule 5, design rule 15: a webhook that another process took is worked on at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_another_process_queued_rings_the_doorbell() {
    let app = beside_a_sleeper().await;
    for number in 1..=3 {
        let user = app.some_id("users").await;
        assert!(app.simulator.update_user(&app.integration(), &user));
        app.simulator.flush_webhooks().await;
        app.wait_for(DONE, number).await;
    }
    // the first of its workers takes deltas only, and must not keep the ring to itself
    app.enqueue(&app.integration(), "skills", Mode::Full).await;
    app.wait_for(DONE, 4).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: a worker that was deaf for a while looks when it hears again.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_cut_off_comes_back_and_looks() {
    let app = beside_a_sleeper().await;
    for number in 1..=2 {
        let cut = LISTENERS.replace("count(*)", "count(pg_terminate_backend(pid))");
        assert_eq!(app.count(&cut).await, 1);
        app.enqueue(&app.integration(), "users", Mode::Delta).await;
        app.wait_for(DONE, number).await;
        app.wait_for(LISTENERS, 1).await;
    }
}

// Rule 5: a wish that adds nothing wakes nobody.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_added_is_told() {
    use kombo_mirror::db::Listener;
    use kombo_mirror::queue::CHANNEL;
    let app = TestApp::loaded().await;
    let mut listener = Listener::connect(&app.database_url(), CHANNEL)
        .await
        .expect("a listener");
    let integration = app.integration();
    for (mode, adds) in [
        (Mode::Delta, true),
        (Mode::Delta, false),
        (Mode::Full, true),
        (Mode::Delta, false),
    ] {
        app.enqueue(&integration, "users", mode).await;
        app.sql("SELECT pg_notify('kombo_mirror_runs', 'the next wish')")
            .await;
        if adds {
            assert_eq!(listener.heard().await.expect("a notification"), "");
        }
        let heard = listener.heard().await.expect("a notification");
        assert_eq!(heard, "the next wish");
    }
}
