//! `kombo-mirror sync`: the program itself, as somebody at a terminal uses it.

use std::process::Stdio;

use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use tokio::process::Command;

use crate::support::app::Setup;
use crate::support::look::eventually;
use crate::support::world::{World, output, program};

/// What a command ended with and said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(command: Command) -> Said {
    let output = output(command).await;
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl World {
    fn sync(&self, arguments: &[&str]) -> Command {
        let integration = self.integration();
        let mut all = vec!["sync", "--integration", &integration];
        all.extend(arguments);
        self.program(&all)
    }

    async fn registered(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM integrations")
            .await
    }
}

// F14: a mirror can be filled without a server, and followed without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_filled_and_kept_from_the_command_line_alone() {
    let world = World::new().await;
    let first = run(world.sync(&[])).await;
    assert_eq!(first.code, Some(0), "{}{}", first.out, first.err);
    let integration = world.integration();
    assert!(
        first.out.starts_with(&format!("registered {integration}")),
        "{}",
        first.out
    );
    assert_eq!(first.out.matches(" SUCCEEDED ").count(), 4, "{}", first.out);
    assert!(
        first
            .err
            .contains("course_progressions: succeeded, 300 records"),
        "{}",
        first.err
    );
    assert_eq!(
        world
            .count("SELECT count(*) AS count FROM sync_runs WHERE status NOT IN ('SUCCEEDED')")
            .await,
        0
    );
    world.assert_mirrors_the_truth().await;

    world.simulator.change(60);
    let full = run(world.sync(&["--full"])).await;
    assert_eq!(full.code, Some(0), "{}{}", full.out, full.err);
    assert!(!full.out.contains("registered"), "{}", full.out);
    world.assert_mirrors_the_truth().await;

    let requests = world.simulator.requests().len();
    let one = run(world.sync(&["--endpoint", "users"])).await;
    assert_eq!(
        (one.code, one.out.lines().count()),
        (Some(0), 1),
        "{}",
        one.out
    );
    assert_eq!(world.simulator.requests().len(), requests + 1);
}

// Nobody mirrors an integration by a slip of the hand.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_integration_is_refused_by_naming_the_known_ones() {
    let world = World::new().await;
    let wrong = ["sync", "--integration", "moodle:nobody"];
    let first = run(world.program(&wrong)).await;
    assert_eq!(first.code, Some(1));
    assert!(
        first.err.contains("PLATFORM.INTEGRATION_NOT_FOUND") && first.err.contains("KOMBO_API_KEY"),
        "{}",
        first.err
    );
    assert_eq!(world.registered().await, 0);

    assert_eq!(
        run(world.sync(&["--endpoint", "skills"])).await.code,
        Some(0)
    );
    let second = run(world.program(&wrong)).await;
    assert_eq!(second.code, Some(1));
    assert!(second.err.contains(&world.integration()), "{}", second.err);
    assert_eq!(world.registered().await, 1);
}

// Rule 13: each failure with its code, and what to do about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_ends_with_1_and_says_what_to_do() {
    let world = World::new().await;
    assert_eq!(run(world.sync(&[])).await.code, Some(0));
    world.simulator.change(20);
    world
        .simulator
        .inject(Fault::once(FaultKind::PermissionMissing).on(Endpoint::Users));
    let failed = run(world.sync(&[])).await;
    assert_eq!(failed.code, Some(1));
    for part in [
        "users                FAILED     INTEGRATION.PERMISSION_MISSING",
        "Kombo's dashboard",
        "skills               SUCCEEDED",
        "https://app.kombo.dev/simulator/logs",
    ] {
        assert!(
            failed.out.contains(part),
            "{part} is not in: {}",
            failed.out
        );
    }
    assert_eq!(run(world.sync(&["--full"])).await.code, Some(0));
    world.assert_mirrors_the_truth().await;
}

// It works without the doors' settings, and names what it needs.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_fetching_needs_is_asked_for() {
    let said = run(program(&["sync", "--integration", "moodle:one"])).await;
    assert_eq!(said.code, Some(2));
    for (name, needed) in [
        ("DATABASE_URL", true),
        ("KOMBO_API_KEY", true),
        ("KOMBO_WEBHOOK_SECRET", false),
        ("API_READ_TOKENS", false),
    ] {
        assert_eq!(said.err.contains(name), needed, "{name}: {}", said.err);
    }
    let said = run(program(&[
        "sync",
        "--integration",
        "a",
        "--endpoint",
        "badges",
    ]))
    .await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("course_progressions"), "{}", said.err);
}

/// Slow enough to be met in the middle.
async fn slow_progressions() -> World {
    let world = World::with(Options {
        progressions: 1_300,
        ..Setup::default().simulator
    })
    .await;
    let slow = Fault::once(FaultKind::Slow(300)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.times(100));
    world
}

const TWO_PAGES: &str = "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions' AND pages_fetched >= 2";

// Rules 5 and 6: an interrupted run is handed back at its last page.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_hands_the_runs_back() {
    let world = slow_progressions().await;
    let mut command = world.sync(&[]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().expect("the program starts");
    world.wait_for(TWO_PAGES, 1).await;
    let id = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(sent.expect("kill is there").success());
    let ended = child.wait_with_output().await.expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    let out = String::from_utf8_lossy(&ended.stdout);
    assert!(out.contains("stays in the queue"), "{out}");
    let left =
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND lease_until IS NULL";
    assert_eq!(world.count(left).await, 1);

    let again = run(world.sync(&[])).await;
    assert_eq!(again.code, Some(0), "{}{}", again.out, again.err);
    world.assert_mirrors_the_truth().await;
}

// Rule 5: the runs are anybody's; a server may work on them, and the command shows how it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_take_the_runs_of_the_command() {
    let world = slow_progressions().await;
    let mut server = world.start().await;
    world.wait_for(TWO_PAGES, 1).await;
    // the server's run goes on, the command's waits for it
    let said = run(world.sync(&["--full"])).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert_eq!(said.out.matches(" SUCCEEDED ").count(), 4, "{}", said.out);
    eventually("nothing is left", async || {
        world
            .count("SELECT count(*) AS count FROM sync_runs WHERE status IN ('QUEUED', 'RUNNING')")
            .await
            == 0
    })
    .await;
    let manual = "SELECT count(*) AS count FROM sync_runs WHERE requested_by = 'command line' AND status = 'SUCCEEDED'";
    assert!(world.count(manual).await >= 4);
    world.assert_mirrors_the_truth().await;
    assert_eq!(server.terminate().await, Some(0));
}

// A paused or deleted integration would never be fetched: waiting for it would be for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_fetched_is_refused_with_the_way_back() {
    let world = World::new().await;
    assert_eq!(
        run(world.sync(&["--endpoint", "skills"])).await.code,
        Some(0)
    );
    for (change, way_back) in [
        ("paused = true", "resumeIntegration"),
        ("deleted_at = 'epoch'", "registerIntegration"),
    ] {
        world
            .sql(&format!("UPDATE integrations SET {change}"))
            .await;
        let said = run(world.sync(&[])).await;
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(way_back), "{}", said.err);
    }
}
