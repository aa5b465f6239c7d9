//! The API as other people's clients use it: scripts in `tests/clients`, run with Node against a real server.
//!
//! They need Node.js 20 and the npm registry, so they are run apart from the others:
//! `cargo test --test it -- --ignored clients:: frontend:: browser::`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::Mutex;

use crate::support::TestApp;
use crate::support::app::READER;

/// A folder of scripts with the packages that they need.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// Installs the packages that a folder's lock file names, once for all its scripts.
pub(crate) async fn install(folder: &Path) {
    static INSTALLING: Mutex<()> = Mutex::const_new(());
    let _one_at_a_time = INSTALLING.lock().await;
    let modified = |name: &str| folder.join(name).metadata()?.modified();
    let lock = modified("package-lock.json").expect("a lock file");
    if modified("node_modules/.package-lock.json").is_ok_and(|done| done >= lock) {
        return;
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(arguments).current_dir(folder)).await;
}

/// Runs a script of `tests/clients` against a server.
pub(crate) async fn run_script(app: &TestApp, script: &str, token: &str) {
    let folder = folder("clients");
    install(&folder).await;
    let mut node = Command::new("node");
    node.arg(script)
        .current_dir(folder)
        .env("BASE_URL", app.url(""))
        .env("TOKEN", token);
    run(&mut node).await;
}

/// Runs a program, and fails with what it said.
pub(crate) async fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}\n{said}");
}

// graphql-http: every audit of the specification, those it only recommends included
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn every_audit_of_graphql_over_http_is_ok() {
    let app = TestApp::start().await;
    run_script(&app, "audits.mjs", READER).await;
}

// graphql-js: its introspection query is within the limits, and the schema is one that it would accept
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend:: browser::"]
async fn tools_learn_the_schema_by_introspection() {
    let app = TestApp::start().await;
    run_script(&app, "introspection.mjs", READER).await;
}
