//! Prometheus's own checker looks over the rules, lets them fire, and lints what a server serves. Ignored, since not
//! every machine has it: `PATH=$(.ci/promtool):$PATH cargo test --test it -- --ignored metrics::`

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::TestApp;
use crate::webhook::changed;

fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: .ci/promtool sees to it");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

/// The older text format, which is the one that promtool reads.
fn older_format(text: &str) -> String {
    let types: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut older = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let (hash, keyword) = (words.next(), words.next().unwrap_or_default());
        let (name, rest) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let kind = types.iter().find(|(known, _)| *known == name);
        match kind.filter(|_| hash == Some("#")) {
            Some((_, "counter")) => older += &format!("# {keyword} {name}_total {rest}\n"),
            Some((_, "info")) => {
                let rest = rest.replace("info", "gauge");
                older += &format!("# {keyword} {name}_info {rest}\n");
            }
            _ => older += &format!("{line}\n"),
        }
    }
    older
}

#[test]
#[ignore = "needs promtool"]
fn the_alert_rules_are_good_and_fire_when_they_should() {
    promtool(
        &["check", "rules", "docs/deploy/prometheus/alerts.yaml"],
        "",
    );
    promtool(
        &["test", "rules", "docs/deploy/prometheus/alerts.test.yaml"],
        "",
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs promtool"]
async fn what_is_served_follows_prometheus_conventions() {
    let app = TestApp::loaded().await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.query("query Named { users { totalCount } }").await;
    let answer = reqwest::get(app.url("/metrics")).await.expect("an answer");
    let text = answer.text().await.expect("a text");
    promtool(&["check", "metrics"], &older_format(&text));
}
