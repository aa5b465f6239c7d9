//! One page of every endpoint, from Kombo's JSON to the GraphQL answer.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use kombo_mirror::models::effect::Effect;
use kombo_mirror::models::lists::Allowance;
use kombo_mirror::models::page::PageRows;
use kombo_mirror::models::store::{PageWrites, Writer};
use kombo_mirror::models::{self, Endpoint, object::Object};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::app::Setup;
use crate::support::{TestApp, truth};
use crate::{connections, fault_matrix, filters, indexes, planning, records};

const INTEGRATION: &str = "moodle:7C9M5sYkVd2RzXn7PbLsYfEa";

#[derive(Deserialize)]
struct Envelope {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    results: Vec<Box<RawValue>>,
}

fn file(folder: &str, endpoint: &Endpoint) -> PathBuf {
    let name = endpoint.path.trim_start_matches("/lms/");
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(format!("{name}.json"))
}

fn fixture(endpoint: &Endpoint) -> Vec<Box<RawValue>> {
    let path = file("tests/fixtures/lms", endpoint);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let envelope: Envelope = serde_json::from_str(&text).expect("a page");
    envelope.data.results
}

async fn store(app: &TestApp, endpoint: &Endpoint) -> Effect {
    let page = PageRows::read(endpoint, &fixture(endpoint));
    assert!(page.parked.is_empty(), "{endpoint:?}: {:?}", page.parked);
    assert_eq!(page.duplicates, 0, "{endpoint:?}");
    let moment: DateTime<Utc> = "2026-04-03T00:00:00Z".parse().expect("a moment");
    let writer = Writer {
        integration_id: INTEGRATION,
        run_id: 1,
        observed_at: moment,
        now: moment,
        unannounced_before: None,
        is_announced: false,
        spares_held_back: false,
        allowance: Allowance {
            rows: 50,
            percent: 10,
            used: 0,
        },
    };
    let writes = PageWrites::new(&writer, page);
    let (effect, _) = writes
        .run(&mut *app.database().await)
        .await
        .expect("the page is stored");
    effect
}

async fn with_an_integration() -> TestApp {
    let app = TestApp::with(Setup {
        register: false,
        ..Setup::default()
    })
    .await;
    app.sql(&format!(
        "INSERT INTO integrations (id, registered_at, details_due_at) VALUES ('{INTEGRATION}', now(), now())"
    ))
    .await;
    app
}

/// Everything that GraphQL shows of an object's rows without leaving the type.
async fn shown(app: &TestApp, object: &Object) -> Value {
    let plain: Vec<&str> = [
        "id",
        "komboId",
        "remoteId",
        "changedAt",
        "remoteDeletedAt",
        "missingSince",
        "isDeleted",
        "mirroredAt",
    ]
    .into_iter()
    .chain(
        object
            .fields
            .iter()
            .filter(|field| is_leaf(field.ty))
            .map(|field| field.name),
    )
    .collect();
    let mut fields = plain.join(" ");
    if object
        .fields
        .iter()
        .any(|field| field.name == "integrationFields")
    {
        fields.push_str(" integrationFields { id key type label value }");
    }
    let list = object.plural;
    let query = format!("{{ {list}(includeDeleted: true) {{ nodes {{ {fields} }} }} }}");
    app.query(&query).await[list]["nodes"].take()
}

fn is_leaf(ty: &str) -> bool {
    let name = ty.trim_matches(['[', ']', '!']);
    matches!(name, "String" | "DateTime" | "JSON" | "Int") || name.ends_with("Status")
}

/// What a list of the tests lacks of what there is.
fn lacking(all: &[&'static str], listed: &[&str]) -> Vec<&'static str> {
    let lacks = all.iter().filter(|name| !listed.contains(name));
    lacks.copied().collect()
}

// These lists hold what no description says: rows to fill a table with, what each filter means. A model that is
// missing there would be tested by nobody, and nobody would notice.
#[test]
fn no_list_of_the_tests_forgets_a_model() {
    let plurals: Vec<_> = models::OBJECTS.iter().map(|object| object.plural).collect();
    let endpoints: Vec<_> = models::ALL.iter().map(|endpoint| endpoint.name).collect();
    let mut tables = Vec::new();
    for endpoint in models::ALL {
        tables.extend(endpoint.tables.iter().map(|table| table.name));
        tables.extend(endpoint.links.iter().map(|link| link.name));
    }
    let wrong = [
        (
            "filters::LISTS",
            lacking(
                &plurals,
                &filters::LISTS
                    .iter()
                    .map(|list| list.name)
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "indexes::LISTS",
            lacking(&plurals, &indexes::LISTS.map(|list| list.0)),
        ),
        (
            "indexes::TABLES",
            lacking(&tables, &indexes::TABLES.map(|table| table.0)),
        ),
        (
            "connections::LISTS",
            lacking(&plurals, &connections::LISTS.map(|list| list.0)),
        ),
        (
            "records::TYPES",
            lacking(&plurals, &records::TYPES.map(|ty| ty.1)),
        ),
        ("planning::TABLES", lacking(&tables, &planning::TABLES)),
        ("support::truth::TABLES", lacking(&tables, &truth::TABLES)),
        (
            "fault_matrix::ENDPOINTS",
            lacking(
                &endpoints,
                &fault_matrix::ENDPOINTS.map(|endpoint| endpoint.1),
            ),
        ),
    ]
    .map(|(list, lacks)| {
        lacks
            .into_iter()
            .map(move |name| format!("{list} lacks {name}"))
    });
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert_eq!(wrong, Vec::<String>::new());
}

// rule 9: a stub that no row refers to is removed, so whoever makes one must be known as referring to it
#[test]
fn whoever_makes_a_stub_is_known_to_refer_to_it() {
    let mut stubs = 0;
    for endpoint in models::ALL {
        let page = PageRows::read(endpoint, &fixture(endpoint));
        let rows = page.batches.iter().chain(&page.stubs);
        let links = endpoint.links.iter().map(|link| link.name);
        let written: Vec<_> = rows.map(|batch| batch.table.name).chain(links).collect();
        for stub in &page.stubs {
            let mut referring = stub.table.referred_by.iter();
            let is_known = referring.any(|(from, _)| written.contains(from));
            assert!(
                is_known,
                "{} lacks {endpoint:?} in referred_by",
                stub.table.name
            );
            stubs += 1;
        }
    }
    assert!(stubs > 2, "the pages make stubs");
}

// a new endpoint is its file, its line in the list, a migration and these two files
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_every_endpoint_becomes_the_expected_answer() {
    for endpoint in models::ALL {
        let app = with_an_integration().await;
        store(&app, endpoint).await;
        let mut answer = json!({});
        for object in models::OBJECTS {
            if endpoint
                .tables
                .iter()
                .any(|table| table.name == object.table.name)
            {
                answer[object.plural] = shown(&app, object).await;
            }
        }
        let path = file("tests/expected", endpoint);
        if std::env::var_os("UPDATE").is_some() {
            let text = serde_json::to_string_pretty(&answer).expect("JSON") + "\n";
            std::fs::write(&path, text).expect("the expected answer is written");
        }
        let text =
            std::fs::read_to_string(&path).expect("tests/expected has a file of each endpoint");
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer, expected, "{}", path.display());
    }
}

// rule 14: a member without a column would be kept in unknown_fields
#[tokio::test(flavor = "multi_thread")]
async fn every_member_has_its_column_and_every_column_its_member() {
    for endpoint in models::ALL {
        let app = with_an_integration().await;
        store(&app, endpoint).await;
        for table in endpoint.tables {
            let name = table.name;
            let unknown =
                format!("SELECT count(*) AS count FROM {name} WHERE unknown_fields IS NOT NULL");
            assert_eq!(app.count(&unknown).await, 0, "{name}");
            for column in table.columns {
                let filled = format!("SELECT count({}) AS count FROM {name}", column.name);
                assert!(
                    app.count(&filled).await > 0,
                    "no fixture fills {name}.{}",
                    column.name
                );
            }
        }
    }
}

// rule 7: unchanged rows are not touched
#[tokio::test(flavor = "multi_thread")]
async fn storing_a_page_twice_changes_nothing() {
    for endpoint in models::ALL {
        let app = with_an_integration().await;
        let first = store(&app, endpoint).await;
        assert!(first.inserted >= 2, "{endpoint:?}: {first:?}");
        assert_eq!(
            store(&app, endpoint).await,
            Effect::default(),
            "{endpoint:?}"
        );
    }
}

// rule 9: what a progression says of a user in passing never overwrites what the users endpoint says
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_endpoints_does_not_matter() {
    let mut answers = Vec::new();
    for reversed in [false, true] {
        let app = with_an_integration().await;
        let mut order: Vec<_> = models::ALL.to_vec();
        if reversed {
            order.reverse();
        }
        for endpoint in order {
            store(&app, endpoint).await;
        }
        let mut answer = Vec::new();
        for object in models::OBJECTS {
            answer.push(shown(&app, object).await);
        }
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
}
