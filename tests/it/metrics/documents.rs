//! docs/metrics.md lists what is served and nothing else, and the dashboard, the alerts and their tests use nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};
use serde_json::Value;

use super::Scrape;
use crate::support::TestApp;
use crate::support::app::{READER, Setup};
use crate::webhook::changed;

type Labels = BTreeSet<String>;

/// What Prometheus adds.
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "alertstate"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a server serves after a load, webhooks, queries, and a call that Kombo refused; it reads from two databases.
async fn served() -> Scrape {
    let app = TestApp::with(Setup {
        change: |settings| {
            // another address of the same server
            let url = secrecy::ExposeSecret::expose_secret(&settings.database_url).to_owned();
            settings.database_read_url = format!("{url}?application_name=standby").into();
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    let integration = app.integration();
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.post_webhook(b"{}".to_vec(), None).await;
    app.query("query Named { users { totalCount } }").await;
    app.ask(READER, "{ nothing }", Value::Null).await;
    assert!(app.simulator.send_sync_finished(&integration));
    let refused = Fault::once(FaultKind::AuthenticationInvalid).on(Endpoint::Users);
    app.simulator.inject(refused);
    app.settle().await;
    let scrape = app.scrape().await;
    let code = [("code", "PLATFORM.AUTHENTICATION_INVALID")];
    assert_eq!(scrape.value("kombo_request_seconds_count", &code), 1.0);
    scrape
}

/// The labels of every series that is served, by its name as queries write it.
fn series(scrape: &Scrape) -> BTreeMap<String, Labels> {
    let mut series: BTreeMap<String, Labels> = BTreeMap::new();
    for sample in &scrape.samples {
        let labels = series.entry(sample.name.clone()).or_default();
        labels.extend(sample.labels.keys().cloned());
    }
    series
}

/// Name, type and labels of every row of the tables in docs/metrics.md.
fn documented() -> BTreeMap<String, (String, Labels)> {
    let text = read("docs/metrics.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `kombo_mirror_"));
    rows.map(|row| {
        let cells: Vec<&str> = row
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ']))
            .collect();
        let labels = cells[2]
            .split(", ")
            .map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty());
        (
            cells[0].trim_matches('`').to_owned(),
            (cells[1].to_owned(), labels.collect()),
        )
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_documented_and_every_documented_one_is_served() {
    let scrape = served().await;
    let series = series(&scrape);
    let mut served = BTreeMap::new();
    for (family, kind) in &scrape.types {
        let (name, sample) = match kind.as_str() {
            "counter" => (format!("{family}_total"), format!("{family}_total")),
            "info" => (format!("{family}_info"), format!("{family}_info")),
            "histogram" => (family.clone(), format!("{family}_count")),
            _ => (family.clone(), family.clone()),
        };
        let labels = series.get(&sample);
        let labels = labels.unwrap_or_else(|| panic!("{sample} has no sample"));
        served.insert(name, (kind.clone(), labels.clone()));
    }
    assert_eq!(served, documented());
}

#[test]
fn names_follow_the_conventions() {
    for (name, (kind, _)) in documented() {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        for unit in ["_ms", "_millis", "_minutes", "_kb", "_percent"] {
            assert!(!name.contains(unit), "{name} has no base unit");
        }
    }
}

/// What a text of queries uses: series with the labels that select among them, and labels that are named elsewhere.
#[derive(Default)]
struct Used {
    series: Vec<(String, Labels)>,
    labels: Labels,
}

impl Used {
    fn read(text: &str) -> Self {
        let mut used = Self::default();
        for (at, _) in text.match_indices("kombo_mirror_") {
            let rest = &text[at..];
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let selectors = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let selectors = selectors.map_or("", |(selectors, _)| selectors);
            used.series.push((name.to_owned(), selected(selectors)));
        }
        for word in ["by (", "on (", "without (", "ignoring ("] {
            for (at, _) in text.match_indices(word) {
                let list = text[at + word.len()..]
                    .split(')')
                    .next()
                    .unwrap_or_default();
                used.labels
                    .extend(list.split(',').map(|label| label.trim().to_owned()));
            }
        }
        for (at, _) in text.match_indices("{{") {
            let name = text[at + 2..].split("}}").next().unwrap_or_default().trim();
            match name.strip_prefix("$labels.") {
                Some(label) => used.labels.insert(label.to_owned()),
                None if name.starts_with('$') => false,
                None => used.labels.insert(name.to_owned()),
            };
        }
        used
    }

    fn check(&self, whose: &str, series: &BTreeMap<String, Labels>) {
        assert!(!self.series.is_empty(), "{whose} uses no series");
        let mut all: Labels = OF_PROMETHEUS.map(str::to_owned).into();
        for (name, labels) in &self.series {
            let served = series.get(name);
            let served =
                served.unwrap_or_else(|| panic!("{whose} uses {name}, which is not served"));
            for label in labels {
                let is_known = served.contains(label) || OF_PROMETHEUS.contains(&label.as_str());
                assert!(is_known, "{whose} selects {name} by {label}");
            }
            all.extend(served.iter().cloned());
        }
        for label in &self.labels {
            assert!(all.contains(label), "{whose} names the label {label}");
        }
    }
}

/// The labels of `a="b",c=~"d, e"`.
fn selected(selectors: &str) -> Labels {
    let parts = selectors.split('"').step_by(2);
    parts
        .map(|part| part.trim_matches([',', ' ', '=', '~', '!']).to_owned())
        .filter(|label| !label.is_empty())
        .collect()
}

/// Every text below a JSON value, with its member's name.
fn texts<'v>(value: &'v Value, name: &'v str, found: &mut Vec<(&'v str, &'v str)>) {
    match value {
        Value::String(text) => found.push((name, text)),
        Value::Array(values) => values.iter().for_each(|value| texts(value, name, found)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| texts(value, name, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_of_the_dashboard_is_served() {
    let series = series(&served().await);
    let dashboard: Value =
        serde_json::from_str(&read("docs/deploy/grafana/kombo-mirror.json")).expect("JSON");
    let mut panels = dashboard["panels"].as_array().expect("panels").clone();
    panels.retain(|panel| panel["type"] != "row");
    assert!(panels.len() > 20, "the panels are there");
    for panel in &panels {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            let expr = target["expr"].as_str().expect("an expression");
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            Used::read(&format!("{expr} {legend}")).check(title, &series);
        }
    }
    let mut all = Vec::new();
    texts(&dashboard["templating"], "", &mut all);
    let queries = all
        .iter()
        .filter(|(_, text)| text.starts_with("label_values("));
    for (_, query) in queries {
        Used::read(query).check(query, &series);
    }
}

/// The rules of a file, by the names of their alerts.
fn alerts() -> BTreeMap<String, String> {
    let text = read("docs/deploy/prometheus/alerts.yaml");
    let alerts = text.split("- alert: ").skip(1);
    alerts
        .map(|alert| {
            let (name, rule) = alert.split_once('\n').expect("a rule");
            (name.to_owned(), rule.to_owned())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_of_the_alerts_is_served() {
    let mut series = series(&served().await);
    let alerts = alerts();
    assert!(alerts.len() > 10, "the alerts are there");
    for (name, rule) in &alerts {
        if rule.contains("up{job=") && !rule.contains("kombo_mirror_") {
            // Prometheus's own series
            continue;
        }
        Used::read(rule).check(name, &series);
    }
    series.insert("kombo_mirror_".to_owned(), Labels::new());
    let tests = Used::read(&read("docs/deploy/prometheus/alerts.test.yaml"));
    for (name, labels) in tests.series {
        let served = series
            .get(&name)
            .unwrap_or_else(|| panic!("{name} is not served"));
        for label in labels
            .iter()
            .filter(|label| !OF_PROMETHEUS.contains(&label.as_str()))
        {
            assert!(served.contains(label), "{name} has no label {label}");
        }
    }
}

#[test]
fn every_alert_has_a_remedy_and_a_test() {
    let operations = read("docs/operations.md");
    let tests = read("docs/deploy/prometheus/alerts.test.yaml");
    let alerts = alerts();
    for (name, rule) in &alerts {
        let anchor = name.to_lowercase();
        for must in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(must), "{name} has no {must}");
        }
        let runbook = format!("runbook: docs/operations.md#{anchor}\n");
        assert!(rule.contains(&runbook), "{name} has no {runbook}");
        let heading = format!("\n### {name}\n");
        assert!(
            operations.contains(&heading),
            "docs/operations.md has no {name}"
        );
        let fires = format!("alertname=\"{name}\"");
        assert!(tests.contains(&fires), "no test lets {name} fire");
    }
    let remedies = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### KomboMirror"));
    for name in remedies {
        assert!(
            alerts.contains_key(&format!("KomboMirror{name}")),
            "{name} is no alert"
        );
    }
}
