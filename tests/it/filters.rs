//! What filters and orders mean: the same as a plain look at every row, for random filters over all lists.

use std::collections::BTreeSet;

use chrono::DateTime;
use kombo_mirror::simulator::Options;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{READER, Setup};

/// A list, what to ask of its rows, and where the values of each filter member are in a row.
pub(crate) struct List {
    pub(crate) name: &'static str,
    ty: &'static str,
    fields: &'static str,
    members: &'static [(&'static str, Kind, &'static str)],
    pub(crate) orders: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Id,
    Text,
    Caseless,
    Word,
    Time,
}

pub(crate) const LISTS: &[List] = &[
    List {
        name: "users",
        ty: "User",
        fields: "remoteId workEmail firstName lastName status changedAt remoteCreatedAt",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("workEmail", Kind::Caseless, "/workEmail"),
            ("firstName", Kind::Text, "/firstName"),
            ("lastName", Kind::Text, "/lastName"),
            ("status", Kind::Word, "/status"),
            ("changedAt", Kind::Time, "/changedAt"),
            ("remoteCreatedAt", Kind::Time, "/remoteCreatedAt"),
        ],
        orders: &[
            ("KOMBO_ID", ""),
            ("CHANGED_AT", "/changedAt"),
            ("LAST_NAME", "/lastName"),
            ("WORK_EMAIL", "/workEmail"),
        ],
    },
    List {
        name: "courses",
        ty: "Course",
        fields: "remoteId originId changedAt title provider { komboId } revisions(first: 500) { nodes { title } }",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("originId", Kind::Text, "/originId"),
            ("providerKomboId", Kind::Id, "/provider/komboId"),
            ("title", Kind::Text, "/revisions/nodes/*/title"),
            ("changedAt", Kind::Time, "/changedAt"),
        ],
        orders: &[
            ("KOMBO_ID", ""),
            ("CHANGED_AT", "/changedAt"),
            ("TITLE", "/title"),
        ],
    },
    List {
        name: "courseRevisions",
        ty: "CourseRevision",
        fields: "remoteId title status changedAt course { komboId } skills { komboId }",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("courseKomboId", Kind::Id, "/course/komboId"),
            ("title", Kind::Text, "/title"),
            ("status", Kind::Word, "/status"),
            ("skillKomboId", Kind::Id, "/skills/*/komboId"),
            ("changedAt", Kind::Time, "/changedAt"),
        ],
        orders: &[
            ("KOMBO_ID", ""),
            ("CHANGED_AT", "/changedAt"),
            ("TITLE", "/title"),
        ],
    },
    List {
        name: "courseProviders",
        ty: "CourseProvider",
        fields: "remoteId name",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("name", Kind::Text, "/name"),
        ],
        orders: &[("KOMBO_ID", ""), ("NAME", "/name")],
    },
    List {
        name: "skills",
        ty: "Skill",
        fields: "remoteId name",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("name", Kind::Text, "/name"),
        ],
        orders: &[("KOMBO_ID", ""), ("NAME", "/name")],
    },
    List {
        name: "courseProgressions",
        ty: "CourseProgression",
        fields: "remoteId status enrolledAt completedAt changedAt user { komboId } \
                 courseRevision { komboId course { komboId } }",
        members: &[
            ("remoteId", Kind::Text, "/remoteId"),
            ("userKomboId", Kind::Id, "/user/komboId"),
            ("courseKomboId", Kind::Id, "/courseRevision/course/komboId"),
            ("courseRevisionKomboId", Kind::Id, "/courseRevision/komboId"),
            ("status", Kind::Word, "/status"),
            ("enrolledAt", Kind::Time, "/enrolledAt"),
            ("completedAt", Kind::Time, "/completedAt"),
            ("changedAt", Kind::Time, "/changedAt"),
        ],
        orders: &[
            ("KOMBO_ID", ""),
            ("CHANGED_AT", "/changedAt"),
            ("ENROLLED_AT", "/enrolledAt"),
            ("COMPLETED_AT", "/completedAt"),
        ],
    },
];

const COMMON: &[(&str, Kind, &str)] = &[
    ("integrationKomboId", Kind::Id, "/integration/komboId"),
    ("komboId", Kind::Id, "/komboId"),
];

impl List {
    fn kind(&self, member: &str) -> (Kind, &'static str) {
        let mut members = COMMON.iter().chain(self.members);
        let (_, kind, path) = members.find(|one| one.0 == member).expect("a member");
        (*kind, path)
    }

    /// Every row that the list shows.
    async fn rows(&self, app: &TestApp) -> Vec<Value> {
        let query = format!(
            "{{ {}(first: 500) {{ totalCount nodes {{ id komboId integration {{ komboId }} {} }} }} }}",
            self.name, self.fields
        );
        let mut answer = app.query(&query).await;
        let rows = answer[self.name]["nodes"].take();
        let rows = rows.as_array().expect("rows").clone();
        assert_eq!(answer[self.name]["totalCount"], json!(rows.len()));
        assert!(!rows.is_empty() && rows.len() < 500, "{}", rows.len());
        rows
    }
}

/// A few integrations with everything that is awkward in a comparison.
pub(crate) async fn awkward() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 3,
            users: 25,
            courses: 8,
            skills: 6,
            progressions: 60,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    for sql in [
        "UPDATE users SET last_name = NULL, status = NULL WHERE id < 'A'",
        "UPDATE users SET last_name = 'de Vries', status = 'ON_LEAVE' WHERE id BETWEEN 'A' AND 'C'",
        "UPDATE users SET last_name = '100%_\\x', work_email = 'ÄRGER@Firma.DE', first_name = '' WHERE id BETWEEN 'C' AND 'G'",
        "UPDATE users SET last_name = repeat('Langer Name ', 40) || id, changed_at = NULL, remote_id = NULL WHERE id BETWEEN 'G' AND 'K'",
        "UPDATE users SET work_email = NULL, remote_created_at = NULL, last_name = '' WHERE id BETWEEN 'K' AND 'P'",
        "UPDATE course_revisions SET title = NULL WHERE id < 'F'",
        "UPDATE course_revisions SET title = 'Ωmega ' || title, status = 'RETIRED' WHERE id > 'p'",
        "UPDATE course_revisions SET course_id = NULL WHERE id BETWEEN 'X' AND 'd'",
        "UPDATE courses SET provider_id = NULL, changed_at = NULL WHERE id < 'H'",
        "UPDATE skills SET name = NULL WHERE id < 'K'",
        "UPDATE course_progressions SET status = NULL, completed_at = NULL WHERE id < 'D'",
        "UPDATE course_progressions SET enrolled_at = (SELECT min(enrolled_at) FROM course_progressions) WHERE id > 'k'",
        "UPDATE course_progressions SET remote_id = 'same', course_revision_id = NULL WHERE id BETWEEN 'U' AND 'a'",
    ] {
        app.sql(sql).await;
    }
    app
}

/// The values at a path; `*` stands for every entry of a list.
fn values(row: &Value, path: &str) -> Vec<Value> {
    let mut found = vec![row.clone()];
    for step in path.split('/').skip(1) {
        found = found
            .into_iter()
            .flat_map(|value| match (step, value) {
                ("*", Value::Array(items)) => items,
                (_, mut value) => vec![value.get_mut(step).map_or(Value::Null, Value::take)],
            })
            .collect();
    }
    found
}

/// Whether a row fulfils a filter, by a plain look at it.
fn fulfils(list: &List, row: &Value, filter: &Value) -> bool {
    let members = filter.as_object().expect("a filter");
    members.iter().all(|(name, asked)| match name.as_str() {
        "and" => each(asked).iter().all(|one| fulfils(list, row, one)),
        "or" => each(asked).iter().any(|one| fulfils(list, row, one)),
        "not" => !fulfils(list, row, asked),
        _ => {
            let (kind, path) = list.kind(name);
            let values = values(row, path);
            let tests = asked.as_object().expect("tests");
            tests
                .iter()
                .all(|(test, operand)| passes(kind, &values, test, operand))
        }
    })
}

fn each(list: &Value) -> &[Value] {
    list.as_array().expect("a list")
}

fn passes(kind: Kind, values: &[Value], test: &str, operand: &Value) -> bool {
    let any =
        |holds: &dyn Fn(&str) -> bool| values.iter().any(|value| value.as_str().is_some_and(holds));
    let folded = |text: &str| match kind {
        Kind::Caseless => text.to_lowercase(),
        _ => text.to_owned(),
    };
    let text = || operand.as_str().expect("a text");
    let moment = |text: &str| DateTime::parse_from_rfc3339(text).expect("a moment");
    match test {
        "eq" if kind == Kind::Time => any(&|value| moment(value) == moment(text())),
        "gt" => any(&|value| moment(value) > moment(text())),
        "gte" => any(&|value| moment(value) >= moment(text())),
        "lt" => any(&|value| moment(value) < moment(text())),
        "lte" => any(&|value| moment(value) <= moment(text())),
        "eq" => any(&|value| folded(value) == folded(text())),
        "ne" => !passes(kind, values, "eq", operand),
        "in" => each(operand)
            .iter()
            .any(|one| passes(kind, values, "eq", one)),
        "notIn" => !passes(kind, values, "in", operand),
        "startsWith" => any(&|value| folded(value).starts_with(&folded(text()))),
        "containsIgnoreCase" => any(&|value| value.to_lowercase().contains(&text().to_lowercase())),
        "isNull" => any(&|_| true) != operand.as_bool().expect("true or false"),
        _ => panic!("unknown test {test}"),
    }
}

/// A random filter whose operands are values that the rows have, or nearly have.
fn random_filter(rng: &mut fastrand::Rng, list: &List, rows: &[Value], depth: usize) -> Value {
    let mut filter = serde_json::Map::new();
    for _ in 0..rng.usize(0..3) {
        let (name, value) = match rng.usize(0..8) {
            0 if depth < 3 => ("and", random_list(rng, list, rows, depth)),
            1 if depth < 3 => ("or", random_list(rng, list, rows, depth)),
            2 if depth < 3 => ("not", random_filter(rng, list, rows, depth + 1)),
            _ => {
                let members: Vec<_> = COMMON.iter().chain(list.members).collect();
                let (name, kind, path) = members[rng.usize(0..members.len())];
                (*name, random_tests(rng, rows, *kind, path))
            }
        };
        filter.insert(name.to_owned(), value);
    }
    Value::Object(filter)
}

fn random_list(rng: &mut fastrand::Rng, list: &List, rows: &[Value], depth: usize) -> Value {
    (0..rng.usize(0..4))
        .map(|_| random_filter(rng, list, rows, depth + 1))
        .collect()
}

fn random_tests(rng: &mut fastrand::Rng, rows: &[Value], kind: Kind, path: &str) -> Value {
    let tests: &[&str] = match kind {
        Kind::Id => &["eq", "ne", "in", "notIn", "isNull"],
        Kind::Text | Kind::Caseless => &[
            "eq",
            "ne",
            "in",
            "notIn",
            "startsWith",
            "containsIgnoreCase",
            "isNull",
        ],
        Kind::Word => &["eq", "in", "notIn", "isNull"],
        Kind::Time => &["eq", "gt", "gte", "lt", "lte", "isNull"],
    };
    let mut asked = serde_json::Map::new();
    for _ in 0..rng.usize(1..3) {
        let test = tests[rng.usize(0..tests.len())];
        let operand = match test {
            "isNull" => Value::Bool(rng.bool()),
            "in" | "notIn" => (0..rng.usize(0..4))
                .map(|_| random_value(rng, rows, kind, path))
                .collect(),
            "startsWith" | "containsIgnoreCase" => {
                let whole = random_value(rng, rows, kind, path);
                part(rng, whole.as_str().expect("a text"), test)
            }
            _ => random_value(rng, rows, kind, path),
        };
        asked.insert(test.to_owned(), operand);
    }
    Value::Object(asked)
}

fn random_value(rng: &mut fastrand::Rng, rows: &[Value], kind: Kind, path: &str) -> Value {
    let known: Vec<Value> = rows
        .iter()
        .flat_map(|row| values(row, path))
        .filter(|value| !value.is_null())
        .collect();
    let nothing = || match kind {
        Kind::Time => json!("2026-06-01T00:00:00Z"),
        Kind::Word => json!("UNKNOWN"),
        _ => json!("nothing"),
    };
    if known.is_empty() {
        return nothing();
    }
    let value = known[rng.usize(0..known.len())].clone();
    match (kind, rng.usize(0..6)) {
        (_, 0) => nothing(),
        (Kind::Caseless | Kind::Text, 1) => json!(value.as_str().expect("a text").to_uppercase()),
        _ => value,
    }
}

fn part(rng: &mut fastrand::Rng, whole: &str, test: &str) -> Value {
    let letters: Vec<char> = whole.chars().collect();
    let from = match test {
        "startsWith" => 0,
        _ => rng.usize(0..=letters.len()),
    };
    let to = rng.usize(from..=letters.len());
    json!(letters[from..to].iter().collect::<String>())
}

// F69, F70: with and without, nested, negated, over nulls, unknown words and several related rows
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_shows_exactly_the_rows_that_fulfil_it() {
    let app = awkward().await;
    for list in LISTS {
        let rows = list.rows(&app).await;
        let mut rng = fastrand::Rng::with_seed(7);
        let mut shown_some = 0;
        for _ in 0..150 {
            let filter = random_filter(&mut rng, list, &rows, 0);
            let query = format!(
                "query($filter: {}Filter) {{ {}(first: 500, filter: $filter) {{ totalCount nodes {{ id }} }} }}",
                list.ty, list.name
            );
            let answer = app.ask(READER, &query, json!({ "filter": filter })).await;
            assert!(answer.get("errors").is_none(), "{filter}: {answer}");
            let page = &answer["data"][list.name];
            let shown: BTreeSet<String> = each(&page["nodes"])
                .iter()
                .map(|row| row["id"].to_string())
                .collect();
            let expected: BTreeSet<String> = rows
                .iter()
                .filter(|row| fulfils(list, row, &filter))
                .map(|row| row["id"].to_string())
                .collect();
            assert_eq!(shown, expected, "{}: {filter}", list.name);
            assert_eq!(page["totalCount"], json!(expected.len()), "{filter}");
            shown_some += usize::from(!expected.is_empty() && expected.len() < rows.len());
        }
        assert!(
            shown_some > 30,
            "{}: only {shown_some} filters divide the rows",
            list.name
        );
    }
}

/// What a row is ordered by: nulls first, times by moment, texts by code point.
fn place(row: &Value, order: &str, path: &str) -> (i64, String, String, String) {
    let value = values(row, path).remove(0);
    let text = match (order, &value) {
        ("KOMBO_ID", _) | (_, Value::Null) => String::new(),
        ("WORK_EMAIL", value) => value.as_str().expect("a text").to_lowercase(),
        (_, value) => value.as_str().expect("a text").to_owned(),
    };
    let text: String = text.chars().take(200).collect();
    let own = |path: &str| {
        let value = row.pointer(path).and_then(Value::as_str);
        value.expect("an id").to_owned()
    };
    let moment = match order {
        "CHANGED_AT" | "ENROLLED_AT" | "COMPLETED_AT" => {
            DateTime::parse_from_rfc3339(&text).map_or(i64::MIN, |moment| moment.timestamp_micros())
        }
        _ => 0,
    };
    let text = if moment == 0 { text } else { String::new() };
    (moment, text, own("/komboId"), own("/integration/komboId"))
}

/// All ids of a list, page by page.
pub(crate) async fn walk(
    app: &TestApp,
    list: &str,
    arguments: &str,
    backward: bool,
) -> Vec<String> {
    let (count, from, more, next) = if backward {
        ("last", "before", "hasPreviousPage", "startCursor")
    } else {
        ("first", "after", "hasNextPage", "endCursor")
    };
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let query = format!(
            "{{ {list}({count}: 7, {from}: {cursor}, {arguments}) {{ nodes {{ id }} pageInfo {{ {more} {next} }} }} }}"
        );
        let answer = app.query(&query).await;
        let page = &answer[list];
        let ids = each(&page["nodes"]).iter().map(|row| row["id"].to_string());
        pages.push(ids.collect());
        if page["pageInfo"][more] == false {
            break;
        }
        assert!(pages.len() < 500, "a list without an end: {query}");
        cursor = page["pageInfo"][next].clone();
    }
    if backward {
        pages.reverse();
    }
    pages.concat()
}

// F67
#[tokio::test(flavor = "multi_thread")]
async fn every_order_shows_every_row_once_from_either_end() {
    let app = awkward().await;
    for list in LISTS {
        let rows = list.rows(&app).await;
        for (order, path) in list.orders {
            let mut sorted = rows.clone();
            sorted.sort_by_key(|row| place(row, order, path));
            let mut expected: Vec<String> =
                sorted.iter().map(|row| row["id"].to_string()).collect();
            for direction in ["ASC", "DESC"] {
                let arguments = format!("orderBy: {{field: {order}, direction: {direction}}}");
                for backward in [false, true] {
                    let shown = walk(&app, list.name, &arguments, backward).await;
                    let way = format!("{} {arguments} backward: {backward}", list.name);
                    assert_eq!(shown, expected, "{way}");
                }
                expected.reverse();
            }
        }
    }
}
