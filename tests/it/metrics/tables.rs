use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};

use crate::support::TestApp;
use crate::webhook::changed;

impl TestApp {
    /// A number of the first integration's users.
    async fn of_users(&self, name: &str) -> Option<f64> {
        let integration = self.integration();
        let labels = [("integration", integration.as_str()), ("endpoint", "users")];
        self.scrape().await.get(name, &labels)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_grows_with_time_and_ends_with_a_fetch() {
    let app = TestApp::start().await;
    assert_eq!(app.of_users("lag_seconds").await, None, "before a load");
    assert_eq!(app.of_users("endpoint_enabled").await, Some(1.0));
    app.work().await;
    app.simulator.set_webhook_target(None);
    assert!(app.of_users("lag_seconds").await < Some(600.0));
    app.simulator.advance_clock(Duration::from_secs(3600));
    let lag = app.of_users("lag_seconds").await.expect("a lag");
    assert!((3600.0..4200.0).contains(&lag), "{lag}");
    app.fetch("users", Mode::Delta).await;
    assert!(app.of_users("lag_seconds").await < Some(600.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_move_the_last_success_and_full_fetches_their_own_moment_too() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let loaded = app.of_users("last_full_fetch_timestamp_seconds").await;
    app.simulator.advance_clock(Duration::from_secs(600));
    app.fetch("users", Mode::Delta).await;
    assert_eq!(
        app.of_users("last_full_fetch_timestamp_seconds").await,
        loaded
    );
    let success = app.of_users("last_success_timestamp_seconds").await;
    assert!(success.expect("a moment") >= loaded.expect("a moment") + 600.0);
    app.fetch("users", Mode::Full).await;
    assert!(app.of_users("last_full_fetch_timestamp_seconds").await >= success);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_fetched_says_so() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE endpoint_states SET available = false WHERE endpoint = 'users'")
        .await;
    assert_eq!(app.of_users("endpoint_enabled").await, Some(0.0));
    app.sql("UPDATE endpoint_states SET available = true").await;
    assert_eq!(app.of_users("endpoint_enabled").await, Some(1.0));
    app.sql("UPDATE integrations SET paused = true").await;
    assert_eq!(app.of_users("endpoint_enabled").await, Some(0.0));
    app.sql("UPDATE integrations SET deleted_at = 'epoch'")
        .await;
    assert_eq!(app.of_users("endpoint_enabled").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_are_counted_until_a_success() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let refused = Fault::once(FaultKind::AuthenticationInvalid).on(Endpoint::Users);
    app.simulator.inject(refused.times(2));
    for failures in [1.0, 2.0, 0.0] {
        app.fetch("users", Mode::Delta).await;
        assert_eq!(app.of_users("consecutive_failures").await, Some(failures));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_somebody_is_counted() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let integration = app.integration();
    let unknown = async || {
        let labels = [("integration", integration.as_str())];
        app.scrape().await.value("unknown_members", &labels)
    };
    assert_eq!(unknown().await, 0.0);
    app.simulator
        .inject(Fault::once(FaultKind::ExtraMember).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    assert_eq!(unknown().await, 1.0);
    app.simulator
        .inject(Fault::once(FaultKind::EmptyList).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    assert!(app.of_users("removals_held_back").await > Some(50.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_is_counted_while_it_is_parked() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    app.simulator
        .inject(Fault::once(FaultKind::WrongType).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    assert_eq!(app.of_users("parked_records").await, Some(1.0));
    let scrape = app.scrape().await;
    let parked = [("endpoint", "users"), ("effect", "parked")];
    assert_eq!(scrape.value("records_total", &parked), 1.0);
    app.fetch("users", Mode::Full).await;
    assert_eq!(app.of_users("parked_records").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_no_webhook_announced_is_counted() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.simulator.advance_clock(Duration::from_secs(2 * 3600));
    assert_eq!(app.of_users("missed_announcements_total").await, Some(0.0));
    app.work().await;
    assert_eq!(app.of_users("missed_announcements_total").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn kombos_own_hop_is_shown() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let labels = [("integration", integration.as_str())];
    let synced = async || {
        let scrape = app.scrape().await;
        scrape.get("kombo_sync_timestamp_seconds", &labels)
    };
    let expired = async || app.scrape().await.value("kombo_data_expired", &labels);
    let before = synced().await;
    app.simulator.advance_clock(Duration::from_secs(3600));
    assert!(app.simulator.send_sync_finished(&integration));
    app.settle().await;
    assert!(synced().await > before, "{before:?}");
    assert_eq!(expired().await, 0.0);
    app.simulator.set_data_expired(&integration, true);
    app.sql("UPDATE integrations SET details_due_at = 'epoch'")
        .await;
    app.engine.refresh_integrations().await.expect("it answers");
    assert_eq!(expired().await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_tells_how_much_waits_and_for_how_long() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let news = [("lane", "news")];
    let looks = async || {
        let scrape = app.scrape().await;
        let value = |name: &str| scrape.value(name, &news);
        (
            value("queue_runs"),
            value("queue_due_runs"),
            value("queue_oldest_due_seconds"),
        )
    };
    assert_eq!(looks().await, (0.0, 0.0, 0.0));
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.simulator.advance_clock(Duration::from_secs(300));
    let (runs, due, oldest) = looks().await;
    assert_eq!((runs, due), (1.0, 1.0));
    assert!((300.0..600.0).contains(&oldest), "{oldest}");
    // nobody can take it: it is no sign of too few workers
    app.sql("UPDATE integrations SET paused = true").await;
    assert_eq!(looks().await, (0.0, 0.0, 0.0));
    app.sql("UPDATE integrations SET paused = false").await;
    // what was put aside works in no worker's hands, and is not due
    app.simulator
        .inject(Fault::once(FaultKind::SetupSyncPending).on(Endpoint::Users));
    app.step().await;
    assert_eq!(looks().await, (1.0, 0.0, 0.0));
    let scrape = app.scrape().await;
    let running = [news[0], ("status", "RUNNING")];
    assert_eq!(scrape.value("queue_runs", &running), 1.0);
    assert_eq!(scrape.value("queue_runs", &[("lane", "full")]), 0.0);
}
