//! The console and the query page in a real Chromium that reaches no other host: scripts in `tests/browser`, run with
//! Node against a real server. Each fails on a request to another host, a console message, a policy violation or an
//! uncaught error, whatever else it looks at.
//!
//! They need Node.js 20, the npm registry and Chromium, so they are run apart from the others:
//! `cargo test --test it -- --ignored clients:: frontend:: browser::`.

use std::process::Stdio;

use kombo_mirror::config::{AuthSettings, Role};
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::clients::{folder, install, run};
use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, Setup};
use crate::support::world::World;

/// A page that takes so long makes a fetch of twelve pages last some seconds.
const SLOW_MS: u64 = 300;

/// Many small pages, so that a bar has steps to move by.
fn setup() -> Setup {
    let setup = Setup::default();
    Setup {
        simulator: Options {
            largest_page: 25,
            ..setup.simulator
        },
        ..setup
    }
}

impl TestApp {
    /// Somebody who works beside the server; Kombo takes its time with progressions.
    async fn work_slowly_beside(&self) {
        let slow = Fault::once(FaultKind::Slow(SLOW_MS)).on(Endpoint::CourseProgressions);
        self.simulator.inject(slow.times(10_000));
        self.serve_beside(|settings| settings.role = Role::Worker)
            .await;
    }

    async fn spoilt_fetch(&self, fault: FaultKind, on: Endpoint, endpoint: &str) {
        self.simulator.inject(Fault::once(fault).on(on));
        self.fetch(endpoint, Mode::Full).await;
    }
}

/// A mirror where all is well.
async fn calm() -> TestApp {
    let app = TestApp::with(setup()).await;
    app.work().await;
    app.work_slowly_beside().await;
    app
}

/// A mirror that has something to show on every page: webhooks, a parked record, drift, a failing endpoint, and sixty
/// removals that are held back.
async fn eventful() -> TestApp {
    let app = TestApp::with(setup()).await;
    app.work().await;
    let user = app.some_id("users").await;
    app.simulator.update_user(&app.integration(), &user);
    app.settle().await;
    app.spoilt_fetch(FaultKind::ExtraMember, Endpoint::Courses, "courses")
        .await;
    app.spoilt_fetch(FaultKind::WrongType, Endpoint::Courses, "courses")
        .await;
    // twice: the rows that the first run kept are the second one's
    for _ in 0..2 {
        app.spoilt_fetch(FaultKind::EmptyList, Endpoint::Users, "users")
            .await;
    }
    app.spoilt_fetch(FaultKind::PermissionMissing, Endpoint::Skills, "skills")
        .await;
    app.work_slowly_beside().await;
    app
}

/// A script in the folder, against a server.
async fn script(arguments: &[&str], base_url: &str, token: &str) -> Command {
    let folder = folder("browser");
    install(&folder).await;
    let mut node = Command::new("node");
    node.args(arguments)
        .current_dir(folder)
        .env("BASE_URL", base_url)
        .env("TOKEN", token);
    node
}

async fn play(app: &TestApp, scenario: &str, token: &str) {
    let mut node = script(&["console.mjs", scenario], &app.url(""), token).await;
    node.env("INTEGRATION", app.integration());
    run(&mut node).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn the_query_page_needs_no_other_host() {
    let app = TestApp::loaded().await;
    run(&mut script(&["graphiql.mjs"], &app.url(""), READER).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn every_page_of_the_console_opens_and_needs_no_other_host() {
    play(&calm().await, "loads", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_resync_that_is_pressed_shows_a_moving_bar_and_ends_green() {
    play(&calm().await, "resync", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn held_back_removals_are_shown_and_approved_by_a_click() {
    let app = eventful().await;
    let missing = "SELECT count(*) AS count FROM users WHERE missing_since IS NOT NULL";
    assert_eq!(app.count(missing).await, 0);
    play(&app, "removals", ADMIN).await;
    assert_eq!(app.count(missing).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_run_is_cancelled_and_an_integration_paused_and_resumed() {
    play(&calm().await, "pause", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn webhooks_parked_records_and_drift_are_shown_to_admins() {
    play(&eventful().await, "findings", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_read_token_sees_and_cannot_press() {
    play(&eventful().await, "read_token", READER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_wrong_token_is_told_and_a_good_one_opens() {
    let app = calm().await;
    let mut node = script(&["console.mjs", "wrong_token"], &app.url(""), "").await;
    run(node.env("GOOD_TOKEN", READER)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_server_without_tokens_is_not_asked_for_one() {
    let app = TestApp::with(Setup {
        change: |settings| settings.auth = AuthSettings::Off,
        ..setup()
    })
    .await;
    app.work().await;
    play(&app, "open_door", "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn nothing_has_to_be_pushed_sideways_from_phone_to_desktop() {
    let app = eventful().await;
    // a name that no browser would break by itself
    app.sql("UPDATE integrations SET organization_name = repeat('Wide', 50)")
        .await;
    play(&app, "widths", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn everything_is_done_by_keyboard() {
    play(&eventful().await, "keyboard", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn axe_finds_no_serious_fault_in_light_or_dark() {
    play(&eventful().await, "axe", ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn light_and_dark_follow_the_system_and_a_choice() {
    play(&calm().await, "themes", READER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn a_thousand_integrations_stay_usable() {
    let app = TestApp::loaded().await;
    app.sql(
        "INSERT INTO integrations (id, tool, organization_name, state, registered_at, details_due_at) \
         SELECT 'moodle:' || n, 'moodle', 'Customer ' || n || ' Ltd', 'ACTIVE', now(), now() + interval '1 day' \
         FROM generate_series(1, 1000) n",
    )
    .await;
    app.sql(
        "INSERT INTO endpoint_states (integration_id, endpoint, watermark, last_success_at, next_catch_up_at, \
         consecutive_failures, error_code, error_message, error_retryable, error_at) \
         SELECT i.id, e, now(), now(), now() + interval '1 hour', CASE WHEN failing THEN 3 ELSE 0 END, \
         CASE WHEN failing THEN 'X' END, CASE WHEN failing THEN 'x' END, CASE WHEN failing THEN true END, \
         CASE WHEN failing THEN now() END \
         FROM (SELECT *, id LIKE 'moodle:%77' AS failing FROM integrations WHERE tool = 'moodle' AND id ~ '^moodle:[0-9]+$') i, \
         unnest(ARRAY['users', 'courses', 'skills', 'course_progressions']) e",
    )
    .await;
    play(&app, "many", READER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20, npm and Chromium: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn the_console_comes_back_after_the_server_was_gone() {
    let world = World::new().await;
    let mut server = world.start().await;
    world.wait_until_quiet().await;
    let base_url = format!("http://{}", server.address);
    let mut node = script(&["console.mjs", "outage"], &base_url, ADMIN).await;
    let mut child = node
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut told = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut answer = child.stdin.take().expect("a pipe");
    while let Some(line) = told.next_line().await.expect("text") {
        match line.as_str() {
            "stop" => assert_eq!(server.terminate().await, Some(0)),
            "start" => server = world.start().await,
            other => println!("{other}"),
        }
        // it has ended where nobody listens any more
        let _ = answer.write_all(b"done\n").await;
    }
    assert!(child.wait().await.expect("it is ours").success());
}
