//! A database that is put back to what a backup holds: the mirror catches up by itself.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;

use crate::support::TestApp;
use crate::support::look::text;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// For each table of the mirror and of the sync, what `%1$I` names is its name.
async fn for_each_table(app: &TestApp, sql: &str) {
    let each = format!(
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT table_name FROM information_schema.tables \
         WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' \
         LOOP EXECUTE format('{sql}', t); END LOOP; END $$"
    );
    app.database()
        .await
        .batch_execute(&each)
        .await
        .expect("SQL");
}

async fn back_up(app: &TestApp) {
    let mut database = app.database().await;
    let made = database.batch_execute("CREATE SCHEMA backup").await;
    made.expect("SQL");
    for_each_table(app, "CREATE TABLE backup.%1$I AS TABLE public.%1$I").await;
}

async fn restore(app: &TestApp) {
    let sql =
        "TRUNCATE public.%1$I; INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE backup.%1$I";
    for_each_table(app, sql).await;
}

/// A mirror that was put back to a backup of this age, and has gone on by its schedule alone; and the mode of the first
/// fetch of users since.
async fn gone_on_after(age: Duration) -> (TestApp, String) {
    let app = TestApp::loaded().await;
    back_up(&app).await;
    app.simulator.change(40);
    let user = app.some_id("users").await;
    assert!(app.simulator.delete_user(&app.integration(), &user));
    app.settle().await;
    app.simulator.set_webhook_target(None);
    app.simulator.change(40);
    app.simulator.advance_clock(age);
    restore(&app).await;
    let restored = app.count("SELECT max(id) AS count FROM sync_runs").await;
    app.work_through().await;
    let run = app
        .row(&format!(
            "SELECT mode FROM sync_runs WHERE id > {restored} AND endpoint = 'users' ORDER BY id LIMIT 1"
        ))
        .await;
    (app, text(&run["mode"]))
}

// Rules 3 and 15: the watermark is as old as the rows. Rule 2: what changed in lists within records was announced by
// webhooks that nobody sends again, and is in no delta.
#[tokio::test(flavor = "multi_thread")]
async fn a_young_backup_catches_up_by_deltas_in_all_but_nested_lists() {
    let (app, mode) = gone_on_after(DAY).await;
    assert_eq!(mode, "DELTA");
    let nested = ["course_revision_skills ", "course_providers "];
    for difference in app.differences().await {
        let is_nested = nested.iter().any(|table| difference.starts_with(table));
        assert!(is_nested, "{difference}");
    }
    app.fetch_everything().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 16: Kombo has forgotten what was deleted meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_fetched_in_full() {
    let (app, mode) = gone_on_after(20 * DAY).await;
    assert_eq!(mode, "FULL");
    app.assert_mirrors_the_truth().await;
}
