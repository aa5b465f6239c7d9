//! Every filter and every order has an index behind it: no question reads a whole table.

use kombo_mirror::simulator::Options;

use crate::support::TestApp;
use crate::support::app::Setup;

/// Rows of each table and integration: enough that reading them all costs more than an index.
const ROWS: usize = 4000;

pub(crate) const LISTS: [(&str, &str, &[&str]); 6] = [
    (
        "users",
        "User",
        &["KOMBO_ID", "CHANGED_AT", "LAST_NAME", "WORK_EMAIL"],
    ),
    ("courses", "Course", &["KOMBO_ID", "CHANGED_AT", "TITLE"]),
    (
        "courseRevisions",
        "CourseRevision",
        &["KOMBO_ID", "CHANGED_AT", "TITLE"],
    ),
    ("courseProviders", "CourseProvider", &["KOMBO_ID", "NAME"]),
    ("skills", "Skill", &["KOMBO_ID", "NAME"]),
    (
        "courseProgressions",
        "CourseProgression",
        &["KOMBO_ID", "CHANGED_AT", "ENROLLED_AT", "COMPLETED_AT"],
    ),
];

pub(crate) const TABLES: [(&str, &str); 7] = [
    (
        "users",
        "remote_id, first_name, last_name, work_email, status, changed_at, remote_created_at) \
         SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'First ' || n, 'Last ' || n, 'Mail' || n || '@x.de', \
         CASE n % 40 WHEN 0 THEN 'INACTIVE' ELSE 'ACTIVE' END, timestamptz '2026-01-01' + n * interval '1 hour', \
         timestamptz '2025-01-01' + n * interval '1 hour'",
    ),
    (
        "courses",
        "remote_id, origin_id, provider_id, changed_at) SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'o' || n, \
         'x' || n % 400, timestamptz '2026-01-01' + n * interval '1 hour'",
    ),
    (
        "course_revisions",
        "remote_id, course_id, title, status, changed_at) SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'x' || n, \
         'Title ' || md5(n::text), CASE n % 40 WHEN 0 THEN 'INACTIVE' ELSE 'ACTIVE' END, \
         timestamptz '2026-01-01' + n * interval '1 hour'",
    ),
    (
        "course_providers",
        "remote_id, name) SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'Name ' || md5(n::text)",
    ),
    (
        "skills",
        "remote_id, name) SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'Name ' || md5(n::text)",
    ),
    (
        "course_progressions",
        "remote_id, user_id, course_revision_id, status, enrolled_at, completed_at, changed_at) \
         SELECT i.id, 'x' || n, now(), now(), 'r' || n, 'x' || n % 400, 'x' || n % 400, \
         CASE n % 40 WHEN 0 THEN 'DROPPED' ELSE 'ENROLLED' END, timestamptz '2026-01-01' + n * interval '1 hour', \
         timestamptz '2026-02-01' + n * interval '1 hour', timestamptz '2026-01-01' + n * interval '1 hour'",
    ),
    (
        "course_revision_skills",
        "course_revision_id, skill_id) SELECT i.id, now(), now(), 'x' || n, 'x' || n % 400",
    ),
];

/// Five integrations with all tables full.
async fn full() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 5,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    for (table, rest) in TABLES {
        let id = if table == "course_revision_skills" {
            ""
        } else {
            "id, "
        };
        app.sql(&format!(
            "INSERT INTO {table} (integration_id, {id}observed_at, mirrored_at, {rest} \
             FROM integrations i, generate_series(1, {ROWS}) n"
        ))
        .await;
    }
    // the test server does not wait for its log, and until that is written no row counts as seen by all
    app.sql("CHECKPOINT").await;
    for (table, _) in TABLES {
        app.sql(&format!("VACUUM ANALYZE {table}")).await;
    }
    app
}

/// The plan of a query with one root field.
async fn plan(app: &TestApp, query: &str) -> (String, String) {
    let log = app.note_statements().await;
    app.query(query).await;
    let mut sent = log.take();
    assert_eq!(sent.len(), 1, "{query}: {sent:#?}");
    let sql = sent.remove(0);
    let plan = app.plan(&sql).await;
    (sql, plan)
}

fn assert_by_index(query: &str, plan: &str) {
    for (table, _) in TABLES {
        let scan = format!("Seq Scan on public.{table} ");
        assert!(!plan.contains(&scan), "{query}\n{plan}");
    }
}

/// The operators of a filter with values that few rows fulfil.
fn tests_of(member: &str) -> Vec<String> {
    let of = |tests: &[&str]| tests.iter().map(|test| (*test).to_owned()).collect();
    match member {
        "changedAt" | "enrolledAt" => of(&[
            "{eq: \"2026-01-02T00:00:00Z\"}",
            "{gt: \"2026-06-16T00:00:00Z\"}",
            "{gte: \"2026-06-16T00:00:00Z\"}",
            "{lt: \"2026-01-01T09:00:00Z\"}",
            "{lte: \"2026-01-01T09:00:00Z\"}",
            "{isNull: true}",
        ]),
        "remoteCreatedAt" => of(&["{lt: \"2025-01-01T09:00:00Z\"}", "{isNull: true}"]),
        "completedAt" => of(&["{lt: \"2026-02-01T09:00:00Z\"}", "{isNull: true}"]),
        "status" => of(&["{in: [UNKNOWN]}", "{isNull: true}"]),
        "workEmail" => of(&[
            "{eq: \"MAIL17@X.DE\"}",
            "{in: [\"mail17@x.de\", \"mail18@X.de\"]}",
            "{startsWith: \"mail399\"}",
            "{containsIgnoreCase: \"AIL399\"}",
            "{isNull: true}",
        ]),
        "firstName" => of(&[
            "{eq: \"First 17\"}",
            "{startsWith: \"First 399\"}",
            "{containsIgnoreCase: \"irst 399\"}",
            "{isNull: true}",
        ]),
        "lastName" => of(&[
            "{eq: \"Last 17\"}",
            "{in: [\"Last 17\", \"Last 18\"]}",
            "{startsWith: \"Last 399\"}",
            "{containsIgnoreCase: \"AST 399\"}",
            "{isNull: true}",
        ]),
        "title" => of(&[
            "{eq: \"Title c4ca4238a0b923820dcc509a6f75849b\"}",
            "{startsWith: \"Title c4ca42\"}",
            "{containsIgnoreCase: \"C4CA4238\"}",
        ]),
        "name" => of(&[
            "{eq: \"Name c4ca4238a0b923820dcc509a6f75849b\"}",
            "{startsWith: \"Name c4ca42\"}",
            "{containsIgnoreCase: \"C4CA4238\"}",
            "{isNull: true}",
        ]),
        "remoteId" => of(&[
            "{eq: \"r17\"}",
            "{startsWith: \"r399\"}",
            "{containsIgnoreCase: \"r399\"}",
            "{isNull: true}",
        ]),
        "originId" => of(&["{eq: \"o17\"}", "{startsWith: \"o399\"}", "{isNull: true}"]),
        _ => of(&["{eq: \"x17\"}", "{in: [\"x17\", \"x18\"]}"]),
    }
}

// F69
#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_read_by_its_index_from_either_end() {
    let app = full().await;
    for (list, ty, orders) in LISTS {
        for order in orders {
            for direction in ["ASC", "DESC"] {
                let order_by = format!("orderBy: {{field: {order}, direction: {direction}}}");
                let cursors = app
                    .query(&format!("{{ {list}(first: 9, {order_by}) {{ pageInfo {{ startCursor endCursor }} }} }}"))
                    .await;
                let info = &cursors[list]["pageInfo"];
                for page in [
                    "first: 9".to_owned(),
                    "last: 9".to_owned(),
                    format!("first: 9, after: {}", info["endCursor"]),
                    format!("last: 9, before: {}", info["endCursor"]),
                ] {
                    let query = format!("{{ {list}({page}, {order_by}) {{ nodes {{ id }} }} }}");
                    let (sql, plan) = plan(&app, &query).await;
                    assert_by_index(&query, &plan);
                    let table = table_of(ty);
                    let read = app.rows_read(&sql, table).await;
                    // ten of each integration
                    assert!(read <= 5 * 20, "{read} rows are read: {query}\n{plan}");
                }
            }
        }
    }
}

fn table_of(ty: &str) -> &'static str {
    match ty {
        "User" => "users",
        "Course" => "courses",
        "CourseRevision" => "course_revisions",
        "CourseProvider" => "course_providers",
        "Skill" => "skills",
        _ => "course_progressions",
    }
}

// F69
#[tokio::test(flavor = "multi_thread")]
async fn every_filter_is_found_by_an_index() {
    let app = full().await;
    let integration = app.integration();
    for (list, ty, _) in LISTS {
        let members = app
            .query(&format!(
                "{{ __type(name: \"{ty}Filter\") {{ inputFields {{ name }} }} }}"
            ))
            .await;
        let members = members["__type"]["inputFields"].as_array().expect("fields");
        assert!(members.len() > 5, "{members:?}");
        for member in members {
            let member = member["name"].as_str().expect("a name");
            if matches!(member, "and" | "or" | "not") {
                continue;
            }
            let tests = if member == "integrationKomboId" {
                vec![format!("{{eq: \"{integration}\"}}")]
            } else {
                tests_of(member)
            };
            for test in tests {
                let filter = format!("filter: {{{member}: {test}}}");
                let query = format!("{{ {list}(first: 9, {filter}) {{ nodes {{ id }} }} }}");
                let (_, page) = plan(&app, &query).await;
                assert_by_index(&query, &page);
                let query = format!("{{ {list}({filter}) {{ totalCount }} }}");
                let (_, count) = plan(&app, &query).await;
                assert_by_index(&query, &count);
            }
        }
    }
}

// a cursor deep in a list must cost a viewer of some integrations no more than anybody else
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_second_wall_times_are_found_by_an_index() {
    let app = full().await;
    let integration = app.integration();
    for (list, _, orders) in LISTS {
        for order in orders.iter().filter(|order| order.ends_with("_AT")) {
            let order_by = format!("orderBy: {{field: {order}}}");
            let info = app
                .query(&format!(
                    "{{ {list}(first: 9, {order_by}) {{ pageInfo {{ endCursor }} }} }}"
                ))
                .await;
            let cursor = &info[list]["pageInfo"]["endCursor"];
            let query =
                format!("{{ {list}(first: 9, after: {cursor}, {order_by}) {{ nodes {{ id }} }} }}");
            let (sql, _) = plan(&app, &query).await;
            let plan = app.plan_behind_the_wall(&sql, &integration).await;
            let column = order.to_lowercase();
            let is_entered = plan
                .lines()
                .any(|line| line.contains("Index Cond:") && line.contains(&column));
            assert!(is_entered, "{query}\n{plan}");
        }
    }
}
