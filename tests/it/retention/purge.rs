//! What is removed of an integration that was deleted.

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::integrations::{self, Details};
use kombo_mirror::retention::Keeper;
use serde_json::{Value, json};

use super::{DAY, HOUR, two_integrations};
use crate::support::TestApp;
use crate::support::app::ADMIN;

// Rule 17, F63
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_integration_is_purged_when_its_time_is_over_and_no_other() {
    let app = two_integrations().await;
    let [gone, other] = [0, 1].map(|place| app.simulator.integration_ids()[place].clone());
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    for integration in [&gone, &other] {
        app.leave_traces(integration).await;
    }
    let tables = app.tables_of_integrations().await;
    let mut before = Vec::new();
    for table in &tables {
        before.push(app.rows_of(table, &other).await);
    }
    app.simulator.delete_integration(&gone);
    app.simulator.flush_webhooks().await;

    assert_eq!(app.remove_after(13 * DAY).await.integrations, 0);
    assert!(
        app.rows_of("users", &gone).await > 0,
        "kept until its time is over"
    );
    assert_eq!(app.remove_after(DAY).await.integrations, 1);
    for (table, before) in tables.iter().zip(before) {
        let mut left = app.rows_of(table, &gone).await;
        if table == "webhook_events" {
            // a redelivery must still be known
            assert_eq!(left, 1);
            left = 0;
        }
        assert_eq!(left, 0, "{table}");
        if table != "parked_records" {
            assert_eq!(app.rows_of(table, &other).await, before, "{table}");
        }
    }
    assert_eq!(
        app.count("SELECT count(*) AS count FROM seen_records")
            .await,
        0
    );
    assert_eq!(
        app.row("SELECT payload FROM webhook_events").await["payload"],
        ""
    );
    let row = app
        .row(&format!("SELECT * FROM integrations WHERE id = '{gone}'"))
        .await;
    assert_eq!(row["state"], "DELETED");
    assert_eq!(row["organization_name"], Value::Null);
    assert_ne!(row["purged_at"], Value::Null);
    let shown = app
        .query(&format!(
            "{{ integration(komboId: \"{gone}\") {{ state purgedAt syncStatus {{ endpoint }} users {{ totalCount }} }} }}"
        ))
        .await;
    let shown = &shown["integration"];
    assert!(shown["purgedAt"].is_string());
    assert_eq!(
        (&shown["syncStatus"], &shown["users"]["totalCount"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(app.remove_after(HOUR).await.integrations, 0, "once");
}

// Rule 17: a new table with rows of an integration must not be forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_that_names_an_integration_is_purged() {
    let app = TestApp::loaded().await;
    app.hear_of_the_deletion().await;
    let tables = app.tables_of_integrations().await;
    assert!(tables.len() > 10, "{tables:?}");
    let log = app.note_statements().await;
    app.remove_after(15 * DAY).await;
    let sent = log.take();
    for table in tables {
        let what = match table.as_str() {
            "webhook_events" => format!("UPDATE {table} SET payload = ''"),
            _ => format!("DELETE FROM {table} WHERE integration_id ="),
        };
        assert!(sent.iter().any(|sql| sql.contains(&what)), "{what}");
    }
}

// F63: what is heard of it later is stored, followed by nothing, and keeps no words.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_for_a_purged_integration_is_stored_and_ignored() {
    let app = TestApp::loaded().await;
    app.hear_of_the_deletion().await;
    app.remove_after(15 * DAY).await;
    app.simulator.clear_requests();
    let data = json!({
        "integration_id": app.integration(),
        "integration_category": "LMS",
        "end_user": { "organization_name": "Late Industries" },
        "changed_models": [{ "name": "lms_users" }],
    });
    app.simulator.send_webhook("data-changed", &data);
    app.simulator.flush_webhooks().await;
    assert_eq!(app.mentions("Late Industries").await, ["webhook_events"]);
    let newest = app
        .row("SELECT outcome FROM webhook_events ORDER BY received_at DESC")
        .await;
    assert_eq!(newest["outcome"], "IGNORED");
    app.work().await;
    assert!(app.simulator.requests().is_empty());
    assert_eq!(
        app.count("SELECT count(*) AS count FROM endpoint_states")
            .await,
        0
    );
    app.remove_after(HOUR).await;
    assert_eq!(app.mentions("Late Industries").await, Vec::<String>::new());
}

// A server that starts again registers the integrations of its settings: what was purged must stay empty.
#[tokio::test(flavor = "multi_thread")]
async fn registering_a_purged_integration_by_the_settings_changes_nothing() {
    let app = TestApp::loaded().await;
    app.hear_of_the_deletion().await;
    app.remove_after(15 * DAY).await;
    let mut connection = app.database().await;
    let id = app.integration();
    let (details, now) = (Details::default(), app.simulator.now());
    let live = integrations::register(&mut connection, &id, &details, now).await;
    assert!(!live.expect("SQL"));
    assert_eq!(
        app.count("SELECT count(*) AS count FROM endpoint_states")
            .await,
        0
    );
}

const REGISTER: &str = "mutation ($id: ID!) { registerIntegration(komboId: $id) \
     { state paused deletedAt purgedAt registeredAt syncStatus { activeRun { trigger } } } }";

async fn register(app: &TestApp) -> Value {
    let mut answer = app
        .ask(ADMIN, REGISTER, json!({ "id": app.integration() }))
        .await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["registerIntegration"].take()
}

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn a_purged_integration_that_is_registered_again_begins_anew() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE integrations SET paused = true").await;
    let before = app.row("SELECT registered_at FROM integrations").await;
    app.hear_of_the_deletion().await;
    app.remove_after(15 * DAY).await;
    let answer = register(&app).await;
    assert_eq!(answer["state"], "UNKNOWN");
    assert_eq!(answer["paused"], false);
    assert_eq!(
        (&answer["deletedAt"], &answer["purgedAt"]),
        (&Value::Null, &Value::Null)
    );
    let after = app.row("SELECT registered_at FROM integrations").await;
    assert_ne!(after, before);
    let states = answer["syncStatus"].as_array().expect("a list");
    assert_eq!(states.len(), 4);
    assert!(
        states
            .iter()
            .all(|state| state["activeRun"]["trigger"] == "INITIAL")
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
    app.simulator.advance_clock(HOUR);
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    let row = app
        .row("SELECT state, organization_name FROM integrations")
        .await;
    assert_eq!(row["state"], "ACTIVE");
    assert!(row["organization_name"].is_string());
}

// F41: small steps, each of which may be the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_stopped_goes_on_later_and_an_integration_may_come_back_between() {
    let app = TestApp::loaded().await;
    let all = app
        .count("SELECT count(*) AS count FROM course_progressions")
        .await;
    app.hear_of_the_deletion().await;
    app.simulator.advance_clock(15 * DAY);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let keeper = Keeper {
        stop: stopped,
        batch_rows: 1,
        ..app.keeper()
    };
    let now = app.simulator.now();
    // the purge comes to a halt at the last user, whom somebody else holds
    let mut holder = app.database().await;
    let hold = "BEGIN; SELECT FROM users WHERE id = (SELECT max(id) FROM users) FOR UPDATE";
    holder.batch_execute(hold).await.expect("SQL");
    let removal = tokio::spawn(async move { keeper.look(now).await });
    let one_is_left = "SELECT (count(*) = 1)::int::bigint AS count FROM users";
    app.wait_for(one_is_left, 1).await;
    stop.send_replace(true);
    holder.batch_execute("ROLLBACK").await.expect("SQL");
    drop(holder);
    let removed = removal
        .await
        .expect("no panic")
        .expect("the database works");
    assert_eq!(
        removed.expect("it was time").integrations,
        0,
        "it was not brought to its end"
    );
    assert_eq!(
        app.count("SELECT count(*) AS count FROM course_progressions")
            .await,
        all,
        "its turn would have come later"
    );
    assert_eq!(
        app.row("SELECT purged_at FROM integrations").await["purged_at"],
        Value::Null
    );

    let answer = register(&app).await;
    let states = answer["syncStatus"].as_array().expect("a list");
    assert!(
        states
            .iter()
            .all(|state| state["activeRun"]["trigger"] == "INITIAL"),
        "what was fetched is forgotten first: {states:?}"
    );
    assert_eq!(app.remove_after(HOUR).await.integrations, 0, "it lives");
    app.work().await;
    app.assert_mirrors_the_truth().await;

    app.hear_of_the_deletion().await;
    assert_eq!(app.remove_after(15 * DAY).await.integrations, 1);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM course_progressions")
            .await,
        0
    );
}

// F41: no statement removes more than a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_no_more_than_a_batch_at_once() {
    let app = TestApp::loaded().await;
    app.hear_of_the_deletion().await;
    app.simulator.advance_clock(15 * DAY);
    let users = app.count("SELECT count(*) AS count FROM users").await;
    let keeper = Keeper {
        batch_rows: 7,
        ..app.keeper()
    };
    let log = app.note_statements().await;
    let removed = keeper.look(app.simulator.now()).await;
    assert_eq!(removed.expect("SQL").expect("it is time").integrations, 1);
    let batches = log.take();
    let of_users = |sql: &&String| sql.contains("DELETE FROM users WHERE integration_id");
    let batches = batches.iter().filter(of_users).count();
    assert_eq!(i64::try_from(batches), Ok(users / 7 + 1));
    assert_eq!(app.count("SELECT count(*) AS count FROM users").await, 0);
}
