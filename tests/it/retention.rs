//! What leaves the database for good, when, and what stays.

use std::time::Duration;

use chrono::TimeDelta;
use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::config::RetentionSettings;
use kombo_mirror::integrations::{self, Details};
use kombo_mirror::models::{self, Mode};
use kombo_mirror::retention::{Keeper, Removed};
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, Setup};
use crate::support::look::text;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl TestApp {
    fn keeper(&self) -> Keeper {
        let stop = self.engine.stop.clone();
        Keeper::new(self.engine.pool.clone(), RetentionSettings::default(), stop)
    }

    /// Lets time pass and removes what is due then.
    async fn remove_after(&self, time: Duration) -> Removed {
        self.simulator.advance_clock(time);
        let removed = self.keeper().look(self.simulator.now()).await;
        removed.expect("the database works").expect("it is time")
    }

    /// Kombo says that the first integration was deleted, but goes on answering.
    async fn hear_of_the_deletion(&self) {
        let data = json!({ "id": self.integration(), "tool": "sandbox", "category": "LMS" });
        self.simulator.send_webhook("integration-deleted", &data);
        self.simulator.flush_webhooks().await;
    }

    /// Tables whose rows name an integration.
    async fn tables_of_integrations(&self) -> Vec<String> {
        let sql = "SELECT table_name::text AS name FROM information_schema.columns \
                   WHERE table_schema = 'public' AND column_name = 'integration_id' ORDER BY 1";
        let rows = self.rows(sql).await;
        rows.iter().map(|row| text(&row["name"])).collect()
    }

    async fn rows_of(&self, table: &str, integration: &str) -> i64 {
        let sql =
            format!("SELECT count(*) AS count FROM {table} WHERE integration_id = '{integration}'");
        self.count(&sql).await
    }

    /// Rows of any table in which a text stands.
    async fn mentions(&self, what: &str) -> Vec<String> {
        let sql = "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'";
        let mut found = Vec::new();
        for table in self.rows(sql).await {
            let table = text(&table["name"]);
            let sql = format!(
                "SELECT count(*) AS count FROM {table} t WHERE to_jsonb(t)::text LIKE '%{what}%'"
            );
            if self.count(&sql).await > 0 {
                found.push(table);
            }
        }
        found
    }

    async fn parked(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM parked_records")
            .await
    }

    /// Parks a record and leaves a mark of a run that no longer works.
    async fn leave_traces(&self, integration: &str) {
        let now = self.simulator.now();
        self.sql(&format!(
            "INSERT INTO parked_records VALUES ('{integration}', 'users', 'odd', '{{}}', 'odd', 1, '{now}', '{now}')"
        ))
        .await;
        self.sql(&format!(
            "INSERT INTO seen_records SELECT id, 'users', 'left' FROM sync_runs WHERE integration_id = '{integration}'"
        ))
        .await;
    }
}

async fn two_integrations() -> TestApp {
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
    app
}

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

// Rule 15: due times live in Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_replicas_one_removes_and_only_every_hour() {
    let app = TestApp::loaded().await;
    let now = app.simulator.now();
    let took = async |now| {
        let keeper = app.keeper();
        let looks = (0..8).map(|_| keeper.look(now));
        let looks = futures_util::future::join_all(looks).await;
        let took = looks
            .into_iter()
            .filter(|look| look.as_ref().expect("the database works").is_some());
        took.count()
    };
    assert_eq!(took(now).await, 1);
    assert_eq!(took(now + TimeDelta::minutes(59)).await, 0);
    assert_eq!(took(now + TimeDelta::minutes(60)).await, 1);
}

// Rule 8: the newest run that wrote rows says as of when, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn old_runs_and_events_go_and_the_newest_run_of_each_endpoint_stays() {
    let app = TestApp::loaded().await;
    for _ in 0..3 {
        app.simulator.change(20);
        app.settle().await;
    }
    let runs = "SELECT count(*) AS count FROM sync_runs";
    let events = "SELECT count(*) AS count FROM webhook_events";
    let [all, received] = [app.count(runs).await, app.count(events).await];
    assert!(all > 8 && received > 2);
    app.remove_after(89 * DAY).await;
    assert_eq!(
        [app.count(runs).await, app.count(events).await],
        [all, received]
    );
    app.enqueue(&app.integration(), "users", Mode::Delta).await;
    app.remove_after(2 * DAY).await;
    assert_eq!(app.count(events).await, 0);
    let left = app
        .rows("SELECT endpoint, status FROM sync_runs ORDER BY endpoint, id")
        .await;
    let run = |endpoint: &str, status: &str| json!({ "endpoint": endpoint, "status": status });
    assert_eq!(
        left,
        [
            run("course_progressions", "SUCCEEDED"),
            run("courses", "SUCCEEDED"),
            run("skills", "SUCCEEDED"),
            run("users", "SUCCEEDED"),
            run("users", "QUEUED"),
        ]
    );
    assert_eq!(app.remove_after(HOUR).await, Removed::default(), "once");
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 11, F37: what waits for an approval can be approved however long it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_removals_wait_for_approval_stays() {
    let app = TestApp::loaded().await;
    let fault = Fault::once(FaultKind::EmptyList).on(Endpoint::Users);
    app.simulator.inject(fault);
    let run = app.fetch("users", Mode::Full).await;
    app.fetch("users", Mode::Delta).await;
    app.remove_after(91 * DAY).await;
    let id = &run["id"];
    assert_eq!(
        app.count(&format!(
            "SELECT count(*) AS count FROM sync_runs WHERE id = {id}"
        ))
        .await,
        1
    );
}

// Rule 8: a newer run that failed before its first page says nothing of when rows were observed.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_run_that_wrote_rows_stays_behind_newer_ones_that_did_not() {
    let app = TestApp::loaded().await;
    let runs = "SELECT status FROM sync_runs WHERE endpoint = 'users' ORDER BY id";
    for _ in 0..2 {
        app.enqueue(&app.integration(), "users", Mode::Delta).await;
        let now = app.simulator.now();
        app.sql(&format!(
            "UPDATE sync_runs SET status = 'CANCELLED', finished_at = '{now}' WHERE status = 'QUEUED'"
        ))
        .await;
    }
    assert_eq!(app.rows(runs).await.len(), 3);
    app.remove_after(91 * DAY).await;
    let left = app.rows(runs).await;
    let left: Vec<String> = left.iter().map(|row| text(&row["status"])).collect();
    assert_eq!(left, ["SUCCEEDED", "CANCELLED"]);
}

// Rule 6, F18: marks of a run that is working decide what is absent at its end.
#[tokio::test(flavor = "multi_thread")]
async fn marks_go_when_their_run_no_longer_works() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.leave_traces(&integration).await;
    app.enqueue(&integration, "users", Mode::Full).await;
    app.sql("UPDATE sync_runs SET status = 'RUNNING', lease_until = NULL WHERE status = 'QUEUED'")
        .await;
    app.sql(
        "INSERT INTO seen_records SELECT id, 'users', 'a' FROM sync_runs WHERE status = 'RUNNING'",
    )
    .await;
    // beyond every run that is known: it was removed with its integration
    app.sql("INSERT INTO seen_records VALUES (999999, 'users', 'a'), (999999, 'users', 'b')")
        .await;
    let marks = app
        .count("SELECT count(*) AS count FROM seen_records")
        .await;
    assert!(marks > 6, "{marks}");
    let removed = app.remove_after(HOUR).await;
    assert_eq!(i64::try_from(removed.aged), Ok(marks - 1));
    let left = app.rows("SELECT run_id FROM seen_records").await;
    assert_eq!(left.len(), 1);
    let running = app
        .row("SELECT id FROM sync_runs WHERE status = 'RUNNING'")
        .await;
    assert_eq!(left[0]["run_id"], running["id"]);
}

/// Columns of a user that say something of the person.
const OF_THE_PERSON: [&str; 10] = [
    "remote_id",
    "first_name",
    "last_name",
    "work_email",
    "status",
    "remote_created_at",
    "remote_data",
    "custom_fields",
    "integration_fields",
    "unknown_fields",
];

/// A user with something in every column, of whom nothing else in the mirror speaks.
async fn a_full_user(app: &TestApp) -> String {
    let user = text(
        &app.row("SELECT id FROM users WHERE remote_data IS NOT NULL AND custom_fields IS NOT NULL AND remote_deleted_at IS NULL")
            .await["id"],
    );
    app.sql(&format!(
        "UPDATE users SET work_email = 'erase-me@example.com', unknown_fields = '{{\"nick\": \"erase-me\"}}' WHERE id = '{user}'"
    ))
    .await;
    user
}

// F40: Kombo would have blanked the fields by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_has_been_absent_for_fourteen_days_is_erased() {
    let app = TestApp::loaded().await;
    let user = a_full_user(&app).await;
    let now = app.simulator.now();
    app.sql(&format!(
        "UPDATE users SET missing_since = '{now}' WHERE id = '{user}'"
    ))
    .await;
    let before = app.mirrored("users", &user).await;
    assert_eq!(app.remove_after(13 * DAY).await.erased, 0);
    assert_eq!(app.mirrored("users", &user).await, before);
    assert_eq!(app.remove_after(DAY).await.erased, 1);
    let row = app.mirrored("users", &user).await;
    for column in OF_THE_PERSON {
        assert_eq!(row[column], Value::Null, "{column}");
    }
    for column in ["changed_at", "missing_since", "observed_at"] {
        assert_eq!(row[column], before[column], "{column}");
    }
    assert_eq!(app.mentions("erase-me").await, Vec::<String>::new());
    assert_eq!(
        app.remove_after(DAY).await.erased,
        0,
        "nothing is left to erase"
    );
    let shown = app
        .query(&format!(
            "{{ user(komboId: \"{user}\") {{ isDeleted workEmail integrationFields {{ key }} }} }}"
        ))
        .await;
    let nothing = json!({ "isDeleted": true, "workEmail": null, "integrationFields": [] });
    assert_eq!(shown["user"], nothing);
}

// F40, rule 9: what only a progression said of a person goes when no progression says it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_stub_that_no_row_refers_to_goes() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let progression = app.some_id("course_progressions").await;
    let stranger = json!({
        "user_id": "stranger",
        "user": { "id": "stranger", "remote_id": "x", "first_name": null, "last_name": null,
                  "work_email": "erase-me@example.com" },
    });
    let members = stranger.as_object().expect("an object").clone();
    app.simulator.merge_into_record(
        &integration,
        Endpoint::CourseProgressions,
        &progression,
        members,
    );
    app.settle().await;
    assert_eq!(app.mirrored("users", "stranger").await["incomplete"], true);
    app.remove_after(DAY).await;
    assert_eq!(
        app.mentions("erase-me").await,
        ["users"],
        "it is referred to"
    );
    app.simulator
        .restore_record(&integration, Endpoint::CourseProgressions, &progression);
    app.settle().await;
    app.remove_after(DAY).await;
    assert_eq!(app.mentions("erase-me").await, Vec::<String>::new());
}

// F40: the days count from the first that is known of the deletion.
#[tokio::test(flavor = "multi_thread")]
async fn the_days_count_from_the_deletion_where_that_was_before_the_absence() {
    let app = TestApp::loaded().await;
    let user = a_full_user(&app).await;
    let now = app.simulator.now();
    let deleted = now - TimeDelta::days(10);
    app.sql(&format!(
        "UPDATE users SET missing_since = '{now}', remote_deleted_at = '{deleted}' WHERE id = '{user}'"
    ))
    .await;
    assert_eq!(app.remove_after(3 * DAY).await.erased, 0);
    assert_eq!(app.remove_after(DAY).await.erased, 1);
    let row = app.mirrored("users", &user).await;
    assert_eq!(row["work_email"], Value::Null);
    assert_ne!(
        row["remote_deleted_at"],
        Value::Null,
        "when it was deleted stays"
    );
}

// F40: every table, in batches, and nothing that is not absent.
#[tokio::test(flavor = "multi_thread")]
async fn absent_records_of_every_table_are_erased_in_batches_and_live_ones_stay() {
    let app = TestApp::loaded().await;
    let now = app.simulator.now();
    let tables: Vec<&str> = models::ALL
        .iter()
        .flat_map(|endpoint| endpoint.tables)
        .map(|table| table.name)
        .collect();
    let mut absent = 0;
    for table in &tables {
        let marked = app
            .sql(&format!(
                "UPDATE {table} SET missing_since = '{now}' WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT 5)"
            ))
            .await;
        absent += marked;
    }
    let live = async |table: &str| {
        let sql = format!("SELECT * FROM {table} WHERE missing_since IS NULL ORDER BY id");
        app.rows(&sql).await
    };
    let mut before = Vec::new();
    for table in &tables {
        before.push(live(table).await);
    }
    app.simulator.advance_clock(15 * DAY);
    let keeper = Keeper {
        batch_rows: 2,
        ..app.keeper()
    };
    let removed = keeper.look(app.simulator.now()).await;
    assert_eq!(removed.expect("SQL").expect("it is time").erased, absent);
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(live(table).await, before, "{table}");
        let column = if *table == "course_progressions" {
            "user_id"
        } else {
            "remote_id"
        };
        let left = format!(
            "SELECT count(*) AS count FROM {table} WHERE missing_since IS NOT NULL AND {column} IS NOT NULL"
        );
        assert_eq!(app.count(&left).await, 0, "{table}");
    }
}

// F39: erased is not gone for good.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_record_that_comes_back_has_its_fields_again() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    let now = app.simulator.now();
    app.sql(&format!(
        "UPDATE users SET missing_since = '{now}' WHERE id = '{user}'"
    ))
    .await;
    assert_eq!(app.remove_after(15 * DAY).await.erased, 1);
    app.fetch("users", Mode::Full).await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// F40: a record that could not be read is a copy of personal fields, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_that_was_not_met_again_goes() {
    let app = TestApp::loaded().await;
    app.leave_traces(&app.integration()).await;
    app.remove_after(13 * DAY).await;
    assert_eq!(app.parked().await, 1);
    app.remove_after(DAY).await;
    assert_eq!(app.parked().await, 0);
}
