//! Small pieces by themselves: what one signature, one page, one plan costs.
//!
//! `cargo bench --bench micro`. For whoever changes one of them; what they come to together is measured by the
//! bench `performance`. No database: a query is planned up to its statement, and ends there for want of one.

use std::sync::LazyLock;
use std::time::Duration;

use async_graphql::{Request, Variables};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use divan::{Bencher, black_box};
use hmac::{Hmac, KeyInit as _, Mac as _};
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::config::GraphqlSettings;
use kombo_mirror::graphql::Schema;
use kombo_mirror::inbox::Event;
use kombo_mirror::kombo::Page;
use kombo_mirror::models::page::PageRows;
use kombo_mirror::models::{Endpoint, course_progressions, users};
use kombo_mirror::webhook::{self, Malformed};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;

/// Records of a page, as the sync asks for them.
const PAGE: usize = 250;

const SECRET: &str = "a-secret-for-benchmarks";
const WEBHOOK: &[u8] = include_bytes!("../tests/fixtures/webhooks/data-changed.json");

fn main() {
    divan::Divan::from_args()
        .min_time(Duration::from_millis(300))
        .main();
}

#[divan::bench]
fn webhook_signature(bencher: Bencher<'_, '_>) {
    let secrets = [SecretString::from(SECRET)];
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is good");
    mac.update(WEBHOOK);
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    assert!(webhook::is_signed(&secrets, WEBHOOK, Some(&signature)));
    bencher.bench(|| webhook::is_signed(&secrets, black_box(WEBHOOK), Some(&signature)));
}

#[divan::bench]
fn webhook_reading() -> Result<Event, Malformed> {
    webhook::read_event(black_box(WEBHOOK))
}

#[divan::bench]
fn page_of_users(bencher: Bencher<'_, '_>) {
    page(
        bencher,
        &users::ENDPOINT,
        include_str!("../tests/fixtures/lms/users.json"),
    );
}

#[divan::bench]
fn page_of_course_progressions(bencher: Bencher<'_, '_>) {
    let fixture = include_str!("../tests/fixtures/lms/course-progressions.json");
    page(bencher, &course_progressions::ENDPOINT, fixture);
}

/// From the bytes of an answer to rows.
fn page(bencher: Bencher<'_, '_>, endpoint: &'static Endpoint, fixture: &str) {
    let mut body: Value = serde_json::from_str(fixture).expect("fixtures are JSON");
    let results = body["data"]["results"].as_array().expect("a list").clone();
    let records = results.iter().cycle().take(PAGE).enumerate();
    // each once, as a page has them
    let records = records.map(|(number, record)| {
        let mut record = record.clone();
        record["id"] = json!(format!("{number:024}"));
        record
    });
    body["data"]["results"] = records.collect();
    let body = body.to_string().into_bytes();
    let read = || {
        let page = Page::read(black_box(&body)).expect("a page");
        PageRows::read(endpoint, &page.records)
    };
    assert!(read().parked.is_empty());
    bencher.bench(read);
}

/// The queries that the bench `performance` measures.
const QUERIES: &[(&str, &str)] = &[
    (
        "one_record",
        include_str!("performance/workloads/one_record.graphql"),
    ),
    (
        "fifty_records",
        include_str!("performance/workloads/fifty_records.graphql"),
    ),
    (
        "nested",
        include_str!("performance/workloads/nested.graphql"),
    ),
    (
        "filtered",
        include_str!("performance/workloads/filtered.graphql"),
    ),
    (
        "one_course",
        include_str!("performance/workloads/one_course.graphql"),
    ),
    (
        "page_twenty",
        include_str!("performance/workloads/page_twenty.graphql"),
    ),
];

/// Checked, validated and planned, up to the statement; with a cursor where the query takes one.
#[divan::bench(args = QUERIES.iter().map(|(name, _)| *name))]
fn planning(bencher: Bencher<'_, '_>, name: &str) {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::new(None, &GraphqlSettings::default()));
    let (_, query) = QUERIES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("it is listed");
    let order = if name == "page_twenty" {
        "CHANGED_AT DESC"
    } else {
        "KOMBO_ID"
    };
    let keys = match order {
        "KOMBO_ID" => json!([order, "26vafvWSRmbhNcxJYqjCzuJg", "sandbox:1"]),
        _ => json!([
            order,
            "2026-05-31T23:10:00Z",
            "26vafvWSRmbhNcxJYqjCzuJg",
            "sandbox:1"
        ]),
    };
    let variables = json!({
        "id": "26vafvWSRmbhNcxJYqjCzuJg",
        "course": "26vafvWSRmbhNcxJYqjCzuJg",
        "after": URL_SAFE_NO_PAD.encode(keys.to_string()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ask = || {
        let request = Request::new(*query).variables(Variables::from_json(variables.clone()));
        runtime.block_on(SCHEMA.execute(request, viewer()))
    };
    // what fails earlier would be measured as fast
    let errors = ask().errors;
    assert!(
        errors.len() == 1 && errors[0].message.contains("does not exist"),
        "not for want of a database: {errors:?}"
    );
    bencher.bench(ask);
}

fn viewer() -> Viewer {
    Viewer {
        scope: Scope::Read,
        integrations: None,
        name: "somebody".to_owned(),
        expires_at: None,
    }
}
