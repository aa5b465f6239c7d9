//! Personal fields of records that have been absent for long.

use chrono::TimeDelta;
use kombo_mirror::models::{self, Mode};
use kombo_mirror::retention::Keeper;
use kombo_mirror::simulator::Endpoint;
use serde_json::{Value, json};

use super::DAY;
use crate::support::TestApp;
use crate::support::look::text;

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
