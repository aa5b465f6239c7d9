//! Records that are not what the documentation says.

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use serde_json::{Map, Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, Setup};
use crate::support::look::text;

fn members(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else {
        panic!("{value} is no object");
    };
    members
}

/// Fetches a page of users whose first record has this fault; returns the run.
async fn with_fault(app: &TestApp, fault: FaultKind) -> Value {
    app.simulator.inject(Fault::once(fault).on(Endpoint::Users));
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    run
}

/// The next honest page mends everything.
async fn mends(app: &TestApp) {
    app.fetch("users", Mode::Full).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 14, F59
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_status_is_kept_as_it_is() {
    let app = TestApp::loaded().await;
    with_fault(&app, FaultKind::UnknownEnumValue).await;
    let user = app
        .row("SELECT id FROM users WHERE status = 'SUSPENDED'")
        .await;
    let query = format!("{{ user(komboId: {}) {{ komboId }} }}", user["id"]);
    assert_eq!(app.query(&query).await["user"]["komboId"], user["id"]);
    mends(&app).await;
}

// Rule 14, F13, F59
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_member_is_kept() {
    let app = TestApp::loaded().await;
    with_fault(&app, FaultKind::ExtraMember).await;
    let row = app
        .row("SELECT unknown_fields FROM users WHERE unknown_fields IS NOT NULL")
        .await;
    assert_eq!(
        row["unknown_fields"],
        json!({ "simulated_extra": { "since": "today" } })
    );
    mends(&app).await;
    let kept = "SELECT count(*) AS count FROM users WHERE unknown_fields IS NOT NULL";
    assert_eq!(app.count(kept).await, 0);
}

// Rule 14, F60
#[tokio::test(flavor = "multi_thread")]
async fn characters_that_postgres_cannot_store_are_replaced() {
    for fault in [FaultKind::NulCharacter, FaultKind::LoneSurrogate] {
        let app = TestApp::loaded().await;
        let run = with_fault(&app, fault).await;
        assert_eq!(run["records_parked"], 0);
        let replaced =
            "SELECT count(*) AS count FROM users WHERE first_name = E'before\\uFFFDafter'";
        assert_eq!(app.count(replaced).await, 1);
        mends(&app).await;
    }
}

// Rule 14, F60: also deep inside JSON columns, and in names of members.
#[tokio::test(flavor = "multi_thread")]
async fn characters_that_postgres_cannot_store_are_replaced_in_json_too() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    let hostile = json!({
        "remote_data": { "a\u{0}b": ["\u{0}"] },
        "custom_fields": { "x": "\u{0}" },
        "new\u{0}member": "\u{0}",
    });
    app.simulator
        .merge_into_record(&app.integration(), Endpoint::Users, &user, members(hostile));
    app.settle().await;
    let row = app.mirrored("users", &user).await;
    assert_eq!(row["remote_data"], json!({ "a\u{fffd}b": ["\u{fffd}"] }));
    assert_eq!(
        row["unknown_fields"],
        json!({ "new\u{fffd}member": "\u{fffd}" })
    );
}

// Rule 14: parked with its error, visible in the run, and its row neither lost nor removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_is_parked_and_the_page_goes_on() {
    let app = TestApp::loaded().await;
    let run = with_fault(&app, FaultKind::WrongType).await;
    assert_eq!(
        (&run["records_parked"], &run["records_deleted"]),
        (&1.into(), &0.into())
    );
    let parked = app.row("SELECT * FROM parked_records").await;
    assert_eq!(parked["error"], "changed_at is not a timestamp");
    let row = app.mirrored("users", &text(&parked["id"])).await;
    assert_eq!(row["missing_since"], Value::Null);
    mends(&app).await;
    assert_eq!(
        app.count("SELECT count(*) AS count FROM parked_records")
            .await,
        0
    );
}

// Rule 14: a record without any id is parked too, and then absence proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_an_id_is_parked_and_nothing_is_removed() {
    for record in [
        json!({ "first_name": "Nobody" }),
        json!([1, 2]),
        json!(null),
        json!({ "id": 7 }),
    ] {
        let app = TestApp::loaded().await;
        let user = app.some_id("users").await;
        let integration = app.integration();
        app.simulator
            .replace_record(&integration, Endpoint::Users, &user, record.clone());
        let run = app.fetch("users", Mode::Full).await;
        assert_eq!(run["records_parked"], 1, "{record}");
        assert_eq!(
            app.mirrored("users", &user).await["missing_since"],
            Value::Null,
            "{record}"
        );
        app.simulator
            .restore_record(&integration, Endpoint::Users, &user);
        mends(&app).await;
    }
}

// Rule 7, F22
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_appears_twice_in_a_page_is_stored_once() {
    let app = TestApp::start().await;
    let run = with_fault(&app, FaultKind::DuplicatedRecord).await;
    assert_eq!(
        (&run["records_duplicate"], &run["records_inserted"]),
        (&1.into(), &60.into())
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 9, F29
#[tokio::test(flavor = "multi_thread")]
async fn a_partial_nested_object_never_overwrites_a_full_row() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let row = app
        .row("SELECT p.id, p.user_id, p.course_revision_id FROM course_progressions p JOIN users u ON u.id = p.user_id \
             JOIN course_revisions r ON r.id = p.course_revision_id \
             WHERE p.remote_deleted_at IS NULL AND NOT r.incomplete")
        .await;
    let [progression, user, revision] =
        ["id", "user_id", "course_revision_id"].map(|name| text(&row[name]));
    let before = (
        app.mirrored("users", &user).await,
        app.mirrored("course_revisions", &revision).await,
    );
    let lies = json!({
        "user": { "id": user, "first_name": "Partial", "work_email": null },
        "course_revision": { "id": revision, "title": "Partial", "course": { "id": "another" } },
    });
    app.simulator.merge_into_record(
        &integration,
        Endpoint::CourseProgressions,
        &progression,
        members(lies),
    );
    app.settle().await;
    let after = (
        app.mirrored("users", &user).await,
        app.mirrored("course_revisions", &revision).await,
    );
    assert_eq!(after, before);
}

// Rule 9, F30
#[tokio::test(flavor = "multi_thread")]
async fn progressions_may_come_before_everything_they_refer_to() {
    let app = TestApp::start().await;
    app.fetch("course_progressions", Mode::Full).await;
    let stubs = "SELECT count(*) AS count FROM users WHERE incomplete";
    assert!(app.count(stubs).await > 20);
    let shown = app.query("{ users(first: 10) { nodes { komboId } } courseRevisions(first: 10) { nodes { komboId } } }").await;
    let nothing = json!({ "users": { "nodes": [] }, "courseRevisions": { "nodes": [] } });
    assert_eq!(shown, nothing, "a stub that nobody filled is not shown");
    app.work().await;
    assert_eq!(app.count(stubs).await, 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 9: an unknown user makes its own endpoint due.
#[tokio::test(flavor = "multi_thread")]
async fn a_stub_asks_its_own_endpoint_for_the_rest() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.simulator.set_webhook_target(None);
    let revision = app.some_id("course_revisions").await;
    let user = app.simulator.insert_user(&integration).expect("a user");
    app.simulator
        .insert_progression(&integration, &user, &revision)
        .expect("a progression");
    let event = json!({
        "id": "only-progressions",
        "type": "data-changed",
        "data": { "integration_id": integration, "changed_models": [{ "name": "lms_course_progressions" }] },
    });
    assert_eq!(app.webhook(&event).await, 200);
    app.step().await;
    assert_eq!(app.mirrored("users", &user).await["incomplete"], true);
    let owner = app.last_run("users").await;
    assert_eq!(
        (&owner["status"], &owner["trigger"]),
        (&"QUEUED".into(), &"CATCH_UP".into())
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// F61
#[tokio::test(flavor = "multi_thread")]
async fn two_users_may_have_one_address() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    for user in app
        .rows("SELECT id FROM users WHERE remote_deleted_at IS NULL LIMIT 2")
        .await
    {
        let shared = members(json!({ "work_email": "shared@example.com" }));
        app.simulator
            .merge_into_record(&integration, Endpoint::Users, &text(&user["id"]), shared);
    }
    app.settle().await;
    let shared = "SELECT count(*) AS count FROM users WHERE work_email = 'shared@example.com'";
    assert_eq!(app.count(shared).await, 2);
}

// F62: one id in two integrations and in two models.
#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_of_different_integrations_and_models_stay_apart() {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.work().await;
    let ids = app.simulator.integration_ids();
    for (integration, name) in ids.iter().zip(["Ada", "Grace"]) {
        let user = app.row(&format!("SELECT id FROM users WHERE integration_id = '{integration}' AND remote_deleted_at IS NULL")).await;
        let twin =
            json!({ "id": "the-same", "first_name": name, "changed_at": app.simulator.now() });
        app.simulator
            .replace_record(integration, Endpoint::Users, &text(&user["id"]), twin);
        let skill = app.row(&format!("SELECT id FROM skills WHERE integration_id = '{integration}' AND remote_deleted_at IS NULL")).await;
        let twin = json!({ "id": "the-same", "name": name, "changed_at": app.simulator.now() });
        app.simulator
            .replace_record(integration, Endpoint::Skills, &text(&skill["id"]), twin);
    }
    app.settle().await;
    for (table, column) in [("users", "first_name"), ("skills", "name")] {
        let rows = app
            .rows(&format!(
                "SELECT integration_id, {column} AS name FROM {table} WHERE id = 'the-same'"
            ))
            .await;
        assert_eq!(rows.len(), 2, "{table}");
        for (integration, name) in ids.iter().zip(["Ada", "Grace"]) {
            assert!(
                rows.contains(&json!({ "integration_id": integration, "name": name })),
                "{table}"
            );
        }
    }
}

// Rule 14: a course whose nested parts are broken is parked whole; its parts stay as they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_course_with_an_unreadable_revision_is_parked_whole() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let course = app.some_id("courses").await;
    let broken = members(json!({ "origin_id": "changed", "revisions": [{ "id": 7 }] }));
    app.simulator
        .merge_into_record(&integration, Endpoint::Courses, &course, broken);
    let run = app.fetch("courses", Mode::Full).await;
    assert_eq!(
        (&run["records_parked"], &run["records_deleted"]),
        (&1.into(), &0.into())
    );
    assert_ne!(
        app.mirrored("courses", &course).await["origin_id"],
        "changed"
    );
    app.simulator
        .restore_record(&integration, Endpoint::Courses, &course);
    app.settle().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 14: what can be read but not stored is parked as well, whatever it is; the page goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_database_refuses_is_parked_and_the_page_goes_on() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let progression = app.some_id("course_progressions").await;
    app.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.remote_id = 'unbearable' THEN RAISE 'no place for it' USING ERRCODE = '54000'; END IF; RETURN NEW; END $$",
    )
    .await;
    app.sql("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON course_progressions FOR EACH ROW EXECUTE FUNCTION refuse()")
        .await;
    let members = members(json!({ "remote_id": "unbearable" }));
    app.simulator.merge_into_record(
        &integration,
        Endpoint::CourseProgressions,
        &progression,
        members,
    );
    let run = app.fetch("course_progressions", Mode::Full).await;
    assert_eq!(
        (&run["status"], &run["records_parked"]),
        (&"SUCCEEDED".into(), &1.into())
    );
    let parked = app.row("SELECT * FROM parked_records").await;
    assert_eq!(parked["id"], progression);
    assert_eq!(parked["error"], "the database cannot store the record");
    let sum = ["inserted", "updated", "unchanged", "parked"]
        .iter()
        .map(|name| run[format!("records_{name}")].as_i64().expect("a counter"))
        .sum::<i64>();
    assert_eq!(run["records_received"], sum);
    app.simulator
        .restore_record(&integration, Endpoint::CourseProgressions, &progression);
    app.fetch("course_progressions", Mode::Full).await;
    assert!(app.rows("SELECT id FROM parked_records").await.is_empty());
    app.assert_mirrors_the_truth().await;
}

// Rule 13: a database that takes nothing is no reason to park everything; the run waits and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_everything_parks_nothing() {
    let app = TestApp::start().await;
    app.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space' USING ERRCODE = '53100'; END $$")
        .await;
    app.sql("CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()")
        .await;
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(
        (&run["status"], &run["error_code"]),
        (&"RUNNING".into(), &"MIRROR.DATABASE_REFUSED".into())
    );
    assert!(app.rows("SELECT id FROM parked_records").await.is_empty());
    assert_eq!(app.state("users").await["consecutive_failures"], 1);
    app.sql("DROP TRIGGER refuse ON users").await;
    app.work_through().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 14: a parked record is asked for again by every run, not only when it changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_is_asked_for_again_by_the_next_delta() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    app.simulator
        .inject(Fault::once(FaultKind::WrongType).on(Endpoint::Users));
    app.simulator.update_user(&integration, &user);
    app.settle().await;
    assert_eq!(app.rows("SELECT id FROM parked_records").await.len(), 1);
    // far enough that the delta's own window does not reach back to the change
    app.simulator
        .advance_clock(std::time::Duration::from_secs(3 * 3600));
    app.work().await;
    assert_eq!(app.last_run("users").await["mode"], "DELTA");
    assert!(app.rows("SELECT id FROM parked_records").await.is_empty());
    app.assert_mirrors_the_truth().await;
}

// Rule 14: a parked record never holds up what the pages have brought.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_for_parked_records_that_fails_holds_nothing_up() {
    let app = TestApp::loaded().await;
    let (integration, user) = (app.integration(), app.some_id("users").await);
    app.sql(&format!(
        "INSERT INTO parked_records VALUES ('{integration}', 'users', '{user}', '{{}}', 'odd', 0, now(), now())"
    ))
    .await;
    app.simulator
        .advance_clock(std::time::Duration::from_secs(900));
    // the page is only slow, the question by ids fails
    for fault in [FaultKind::Slow(1), FaultKind::InternalErrorText] {
        app.simulator.inject(Fault::once(fault).on(Endpoint::Users));
    }
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["status"], "SUCCEEDED", "{run}");
    assert_eq!(
        app.requests_to(Endpoint::Users)
            .last()
            .map(|last| last.status),
        Some(500)
    );
    assert_eq!(app.rows("SELECT id FROM parked_records").await.len(), 1);
}

// Rule 14: what is parked and what is unknown can be seen, by admins.
#[tokio::test(flavor = "multi_thread")]
async fn what_kombo_sends_beyond_its_documentation_is_listed_for_admins() {
    let app = TestApp::loaded().await;
    for fault in [FaultKind::ExtraMember, FaultKind::UnknownEnumValue] {
        app.simulator.inject(Fault::once(fault).on(Endpoint::Users));
        app.fetch("users", Mode::Full).await;
    }
    app.simulator
        .inject(Fault::once(FaultKind::WrongType).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    let query = "{ schemaDrift { nodes { model kind name sightings firstSeenAt integration { komboId } } } \
                   parkedRecords { totalCount nodes { endpoint komboId error record run { id } } } }";
    let seen = app.ask(ADMIN, query, Value::Null).await["data"].take();
    let drift = seen["schemaDrift"]["nodes"].as_array().expect("a list");
    let names: Vec<String> = drift.iter().map(|entry| text(&entry["name"])).collect();
    assert!(names.contains(&"simulated_extra".to_owned()), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("status=")));
    assert!(
        drift
            .iter()
            .all(|entry| entry["model"] == "USER" && entry["sightings"] == 1)
    );
    assert_eq!(seen["parkedRecords"]["totalCount"], 1);
    assert_eq!(seen["parkedRecords"]["nodes"][0]["endpoint"], "USERS");
    assert_eq!(
        app.refusal("{ parkedRecords { totalCount } }").await,
        "FORBIDDEN"
    );
    assert_eq!(
        app.refusal("{ schemaDrift { totalCount } }").await,
        "FORBIDDEN"
    );
}

// Rule 14: long is not wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_five_million_characters_is_stored() {
    let app = TestApp::loaded().await;
    let run = with_fault(&app, FaultKind::LongText).await;
    assert_eq!(run["records_parked"], 0);
    let long = "SELECT count(*) AS count FROM users WHERE length(first_name) = 5000000";
    assert_eq!(app.count(long).await, 1);
    mends(&app).await;
}

// Rule 14: the id itself is unreadable, so absence proves nothing; the row that it hides is asked for by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_an_id_that_no_index_holds_is_parked_and_nothing_is_removed() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE users SET first_name = 'Mallory'").await;
    let run = with_fault(&app, FaultKind::LongId).await;
    assert_eq!(
        (&run["records_parked"], &run["records_deleted"]),
        (&1.into(), &0.into())
    );
    assert_eq!(run["records_updated"], 60);
    let missing = "SELECT count(*) AS count FROM users WHERE missing_since IS NOT NULL";
    assert_eq!(app.count(missing).await, 0);
    mends(&app).await;
}
