//! How far the next fetch goes back.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use kombo_mirror::clock;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{moment, parameter};

const TEN_MINUTES: Duration = Duration::from_secs(600);

// Rule 3, F09
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_finds_nothing_moves_the_watermark() {
    let app = TestApp::loaded().await;
    let before = moment(&app.state("users").await["watermark"]);
    app.simulator.advance_clock(TEN_MINUTES);
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["records_received"], 0);
    let after = moment(&app.state("users").await["watermark"]);
    assert!(
        after - before >= TimeDelta::minutes(9),
        "{before} to {after}"
    );
}

// Rule 3, F10
#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_never_moves_back() {
    let app = TestApp::loaded().await;
    // a second ahead: what whole seconds in the `Date` header can make of two fetches
    app.sql("UPDATE endpoint_states SET watermark = watermark + interval '1 second'")
        .await;
    let before = moment(&app.state("users").await["watermark"]);
    app.fetch("users", Mode::Delta).await;
    let after = moment(&app.state("users").await["watermark"]);
    assert!(after >= before, "{before} to {after}");
}

// Rule 3, F06: a watermark in Kombo's future would hide every change until Kombo's clock has caught up.
#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_in_kombos_future_is_given_up_and_everything_is_fetched() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE endpoint_states SET watermark = watermark + interval '1 hour'")
        .await;
    let integration = app.integration();
    app.simulator.set_webhook_target(None);
    app.simulator.insert_user(&integration).expect("a user");
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["mode"], "FULL");
    let ahead = moment(&app.state("users").await["watermark"]) - app.simulator.now();
    assert!(ahead < TimeDelta::seconds(3), "{ahead}");
    app.assert_mirrors_the_truth().await;
}

// Rule 3, F04, F05, F10: the overlap is sent and not stored; sent in UTC, with milliseconds and `Z`.
#[tokio::test(flavor = "multi_thread")]
async fn the_overlap_is_subtracted_when_sending_and_never_stored() {
    let app = TestApp::loaded().await;
    let before = moment(&app.state("users").await["watermark"]);
    app.simulator.advance_clock(TEN_MINUTES);
    app.simulator.clear_requests();
    app.fetch("users", Mode::Delta).await;
    let sent = parameter(&app.requests_to(Endpoint::Users)[0], "updated_after");
    let expected = before - TimeDelta::minutes(5);
    assert_eq!(
        sent,
        Some(expected.to_rfc3339_opts(SecondsFormat::Millis, true))
    );
    let lag = app.simulator.now() - moment(&app.state("users").await["watermark"]);
    assert!(lag < TimeDelta::seconds(30), "{lag}");
}

/// Loads, changes and fetches with Kombo's clock `seconds` ahead of ours.
async fn with_kombos_clock_ahead_by(seconds: i64) {
    let mut setup = Setup::default();
    setup.simulator.clock_offset_seconds = seconds;
    let mut app = TestApp::with(setup).await;
    app.engine.clock = clock::wall();
    // the webhook door of this test goes by Kombo's clock
    app.simulator.set_webhook_target(None);
    app.work().await;
    let mark = moment(&app.state("users").await["watermark"]);
    let lag = app.simulator.now() - mark;
    assert!(
        lag >= TimeDelta::zero() && lag < TimeDelta::seconds(30),
        "{lag}"
    );
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.fetch("users", Mode::Delta).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 3, F06
#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_is_kombos_time_when_kombos_clock_is_ahead() {
    with_kombos_clock_ahead_by(3 * 3600).await;
}

// Rule 3, F06: our clock ahead, so that a watermark of ours would lie in Kombo's future.
#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_is_kombos_time_when_kombos_clock_is_behind() {
    with_kombos_clock_ahead_by(-3 * 3600).await;
}

// Rule 8, F03: fetches a few milliseconds apart, many rows with one millisecond, and no overlap that would
// heal what a run's border lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_fetches_of_the_same_second() {
    let mut setup = Setup::default();
    setup.sync.watermark_overlap = Duration::ZERO;
    let app = TestApp::with(setup).await;
    app.work().await;
    for _ in 0..15 {
        app.simulator.change(12);
        app.settle().await;
        app.assert_mirrors_the_truth().await;
    }
}

// Rule 8: `Date` has seconds, so a request that waits longer seems to begin earlier than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_fetch_right_after_a_quick_one_still_writes() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    // to the beginning of a second, in which both fetches fit
    let past_the_second = app.simulator.now().timestamp_subsec_millis();
    app.simulator
        .advance_clock(Duration::from_millis(1000 - u64::from(past_the_second)));
    assert!(app.simulator.update_user(&integration, &user));
    app.settle().await;
    assert!(app.simulator.update_user(&integration, &user));
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.settle().await;
    app.assert_mirrors_the_truth().await;
}

// F01: a row that became visible behind the watermark is found as long as the overlap reaches it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_becomes_visible_late_is_found_within_the_overlap() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let late = app
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    app.simulator.advance_clock(Duration::from_secs(240));
    app.settle().await;
    // as if Kombo had committed the user only now, with the time at which it began
    app.sql(&format!("DELETE FROM users WHERE id = '{late}'"))
        .await;
    let mark = moment(&app.state("users").await["watermark"]);
    let other = app.some_id("users").await;
    assert!(app.simulator.update_user(&integration, &other));
    app.settle().await;
    let found = app.mirrored("users", &late).await;
    assert!(moment(&found["changed_at"]) < mark - TimeDelta::minutes(3));
    app.assert_mirrors_the_truth().await;
}

// Rule 3, F08, F46: what was stored stays, the watermark too.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stops_half_way_moves_no_watermark() {
    for (fault, status) in [
        (FaultKind::InternalErrorText, "RUNNING"),
        (FaultKind::AuthenticationInvalid, "FAILED"),
    ] {
        let app = TestApp::loaded().await;
        let before = app.state("course_progressions").await["watermark"].clone();
        app.simulator.advance_clock(TEN_MINUTES);
        app.simulator.inject(
            Fault::once(fault)
                .on(Endpoint::CourseProgressions)
                .on_page(2),
        );
        let run = app.fetch("course_progressions", Mode::Full).await;
        assert_eq!(run["status"], status);
        assert_eq!(run["pages_fetched"], 1, "the page before is stored");
        let state = app.state("course_progressions").await;
        assert_eq!(state["watermark"], before);
        assert_eq!(state["consecutive_failures"], 1);
    }
}

// Rule 16, F38, F52: blind for longer than Kombo remembers deletions.
#[tokio::test(flavor = "multi_thread")]
async fn after_more_than_thirteen_days_a_delta_becomes_full() {
    let app = TestApp::loaded().await;
    let days = Duration::from_secs(13 * 24 * 3600 + 60);
    app.simulator.advance_clock(days);
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(
        (&run["mode"], &run["updated_after"]),
        (&"FULL".into(), &serde_json::Value::Null)
    );
}

// F14: state that was lost means everything, never "from now".
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_watermark_means_a_full_fetch() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE endpoint_states SET watermark = NULL").await;
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["mode"], "FULL");
}

// Rule 15: lost webhooks cost an hour at most, and nothing for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_hourly_catch_up_finds_what_no_webhook_announced() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    assert_eq!(app.last_run("users").await["trigger"], "CATCH_UP");
    app.assert_mirrors_the_truth().await;
}

// Rule 15: due times are of each endpoint, with jitter.
#[tokio::test(flavor = "multi_thread")]
async fn every_week_everything_is_fetched_in_full() {
    let app = TestApp::loaded().await;
    for _ in 0..8 {
        app.simulator.advance_clock(Duration::from_secs(24 * 3600));
        app.work().await;
    }
    let full =
        "SELECT count(*) AS count FROM sync_runs WHERE trigger = 'SCHEDULE' AND mode = 'FULL'";
    assert_eq!(app.count(full).await, 4);
    let clock = Arc::clone(&app.engine.clock);
    let due = moment(&app.state("users").await["next_full_fetch_at"]);
    assert!(due > clock());
}

// F02, F12: what rows say of their time moves no watermark, neither that of a run that stopped nor at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_from_the_future_moves_no_watermark() {
    let mut setup = Setup::default();
    setup.simulator.largest_page = 20;
    let app = TestApp::with(setup).await;
    app.work().await;
    app.simulator.set_webhook_target(None);
    let integration = app.integration();
    app.simulator.advance_clock(TEN_MINUTES);
    for id in app.simulator.truth(&integration)["users"].keys() {
        assert!(app.simulator.update_user(&integration, id));
    }
    let tomorrow = app.simulator.now() + TimeDelta::days(1);
    let members = serde_json::json!({ "changed_at": tomorrow });
    let user = app.some_id("users").await;
    let members = members.as_object().expect("an object").clone();
    app.simulator
        .merge_into_record(&integration, Endpoint::Users, &user, members);
    let before = app.state("users").await["watermark"].clone();
    app.simulator.inject(
        Fault::once(FaultKind::AuthenticationInvalid)
            .on(Endpoint::Users)
            .on_page(3),
    );
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(
        (&run["status"], &run["pages_fetched"]),
        (&"FAILED".into(), &2.into())
    );
    assert_eq!(app.state("users").await["watermark"], before);
    let asked = app.simulator.now();
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["records_received"], 60, "from the old watermark on");
    let after = moment(&app.state("users").await["watermark"]);
    assert!(after <= app.simulator.now() && after > asked - TimeDelta::seconds(3));
}

// Rules 15 and 16, F06: what was noted under a clock that was ahead must not stop the schedule.
#[tokio::test(flavor = "multi_thread")]
async fn due_times_from_a_clock_that_was_ahead_do_not_stop_the_schedule() {
    let app = TestApp::loaded().await;
    app.sql(
        "UPDATE endpoint_states SET next_catch_up_at = next_catch_up_at + interval '1 year', \
         next_full_fetch_at = next_full_fetch_at + interval '1 year', last_success_at = last_success_at + interval '1 year'",
    )
    .await;
    let endings = app.work().await;
    assert_eq!(endings.len(), 4, "{endings:?}");
    assert_eq!(app.last_run("users").await["mode"], "FULL");
    assert!(app.work().await.is_empty(), "once");
}
