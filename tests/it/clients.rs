//! The API as other people's clients use it: scripts in `tests/clients`, run with Node against a real server.
//!
//! They need Node.js 20 and the npm registry, so they are run apart from the others:
//! `cargo test --test it -- --ignored clients:: frontend::`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::TestApp;
use crate::support::app::READER;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Installs the packages that the lock file names, once for all scripts.
async fn install() {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let modified = |name: &str| folder().join(name).metadata()?.modified();
            let lock = modified("package-lock.json").expect("a lock file");
            if modified("node_modules/.package-lock.json").is_ok_and(|done| done >= lock) {
                return;
            }
            let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            run(Command::new("npm").args(arguments)).await;
        })
        .await;
}

/// Runs a script of the folder against a server.
pub(crate) async fn run_script(app: &TestApp, script: &str, token: &str) {
    install().await;
    let mut node = Command::new("node");
    node.arg(script)
        .env("BASE_URL", app.url(""))
        .env("TOKEN", token);
    run(&mut node).await;
}

/// Runs a program in the folder, and fails with what it said.
async fn run(command: &mut Command) {
    let output = command
        .current_dir(folder())
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
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend::"]
async fn every_audit_of_graphql_over_http_is_ok() {
    let app = TestApp::start().await;
    run_script(&app, "audits.mjs", READER).await;
}

// graphql-js: its introspection query is within the limits, and the schema is one that it would accept
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js 20 and the npm registry: cargo test --test it -- --ignored clients:: frontend::"]
async fn tools_learn_the_schema_by_introspection() {
    let app = TestApp::start().await;
    run_script(&app, "introspection.mjs", READER).await;
}
