//! Rows in which everything is awkward: nulls, unknown words, texts of all scripts, moments at their edges, stubs,
//! tombstones, references to nothing, and two integrations whose records have equal ids.

use kombo_mirror::simulator::Options;
use serde_json::{Map, Value, json};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::sdl::Sdl;

/// Has the first integration's ids.
const TWIN: &str = "twin:of-the-first";

// Letters beyond ASCII are in one case only: whether Postgres knows the other one is its locale's to say.
const TEXTS: [&str; 14] = [
    "",
    " ",
    "A",
    "a",
    "100%_\\x",
    "%",
    "ÄRGER@Firma.DE",
    "argER@firma.de",
    "Ωmega",
    "日本語 😀",
    "\"quoted\"\n\ttab \\ and 'single' $1 {t}",
    "<b>HTML</b> & more\u{7f}",
    "e\u{301}\u{200b}",
    "null",
];
const WORDS: [&str; 4] = ["RETIRED", "UNKNOWN", "active", ""];
const MOMENTS: [&str; 7] = [
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.5Z",
    "2024-02-29T12:00:00.123456Z",
    "2026-06-01T00:00:00Z",
    "2026-06-01T00:00:00.001Z",
    "2026-06-30T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999Z",
];
const IDS: [&str; 5] = ["42", "007", "same", "ü \"'\\\n😀", "?odd"];

/// A mirror with such rows, and the integrations that viewers of it may see; `None`: all.
pub(super) async fn awkward(seed: u64) -> (TestApp, Vec<Option<Vec<String>>>) {
    let app = TestApp::with(Setup {
        simulator: Options {
            seed,
            integrations: 3,
            users: 9,
            courses: 5,
            skills: 4,
            // in all more than a page has when nothing is said
            progressions: 40,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    let mut rng = fastrand::Rng::with_seed(seed);
    for table in tables() {
        change(&app, &mut rng, &table, true).await;
    }
    let first = app.integration();
    for table in tables()
        .iter()
        .map(String::as_str)
        .chain(["course_revision_skills", "endpoint_states"])
    {
        copy(&app, table, &first, "").await;
    }
    copy(&app, "sync_runs", &first, "OVERRIDING SYSTEM VALUE").await;
    disturb(&app, &mut rng).await;
    let ids = app.simulator.integration_ids();
    let second = ids[1].clone();
    app.sql(&format!(
        "INSERT INTO integrations SELECT (jsonb_populate_record(NULL::integrations, to_jsonb(i) || '{{\"id\": \"{TWIN}\", \
         \"paused\": true, \"state\": \"ODD\", \"setup_status\": \"ODD\", \"tool\": null, \"unavailable_models\": [\"a\", \"b\\\"\"]}}')).* \
         FROM integrations i WHERE id = '{first}'"
    ))
    .await;
    for sql in what_went_wrong(&first, &second) {
        app.sql(&sql).await;
    }
    let viewers = vec![
        None,
        Some(vec![first.clone()]),
        Some(vec![TWIN.to_owned()]),
        Some(vec![second, first]),
        Some(vec!["nowhere".to_owned()]),
    ];
    (app, viewers)
}

/// The tables of mirrored records.
fn tables() -> Vec<String> {
    let sdl = Sdl::read();
    sdl.records().into_iter().map(Sdl::table).collect()
}

/// Changes rows of the mirrored tables; they keep their ids.
pub(super) async fn disturb(app: &TestApp, rng: &mut fastrand::Rng) {
    for table in tables() {
        change(app, rng, &table, false).await;
    }
}

/// Changes some columns of the rows of a table, and some ids.
async fn change(app: &TestApp, rng: &mut fastrand::Rng, table: &str, changes_ids: bool) {
    let columns = app
        .rows(&format!(
            "SELECT column_name AS name, data_type AS type, is_nullable = 'YES' AS nullable FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}'"
        ))
        .await;
    let mut rows = app
        .rows(&format!(
            "SELECT * FROM {table} ORDER BY integration_id, id"
        ))
        .await;
    let before = rows.clone();
    let mut odd_ids = IDS.to_vec();
    for row in &mut rows {
        let row = row.as_object_mut().expect("a row");
        for column in &columns {
            change_column(rng, row, column, &before);
        }
        // some at the start, so that the first integration has them, and its twin
        if changes_ids && !odd_ids.is_empty() && rng.bool() {
            row.insert("id".to_owned(), json!(odd_ids.remove(0)));
        }
    }
    let rows = Value::Array(rows).to_string().replace('\'', "''");
    app.sql(&format!("DELETE FROM {table}")).await;
    app.sql(&format!(
        "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, '{rows}')"
    ))
    .await;
}

fn change_column(
    rng: &mut fastrand::Rng,
    row: &mut Map<String, Value>,
    column: &Value,
    rows: &[Value],
) {
    let name = column["name"].as_str().expect("a name");
    let one_in = |rng: &mut fastrand::Rng, chances: u8| rng.u8(..chances) == 0;
    let value = match (name, column["type"].as_str().expect("a type")) {
        ("incomplete", _) => json!(one_in(rng, 14)),
        ("missing_since" | "remote_deleted_at", _) => match one_in(rng, 10) {
            true => json!(rng.choice(MOMENTS)),
            false => Value::Null,
        },
        _ if column["nullable"] == false || !one_in(rng, 3) => return,
        _ if one_in(rng, 3) => Value::Null,
        ("status", _) => json!(rng.choice(WORDS)),
        ("remote_id" | "origin_id", _) => json!(rng.choice(TEXTS)),
        (name, "text") if name.ends_with("_id") => match one_in(rng, 4) {
            true => json!("nowhere"),
            // what another row refers to
            false => {
                let others = rows.iter();
                let others = others.filter(|one| one["integration_id"] == row["integration_id"]);
                let others: Vec<&Value> = others.map(|one| &one[name]).collect();
                rng.choice(others).cloned().unwrap_or_default()
            }
        },
        // as much of it is ordered by as is in the index
        (_, "text") if one_in(rng, 6) => json!(format!("{}{}", "Lang ".repeat(40), rng.u8(..3))),
        (_, "text") => json!(rng.choice(TEXTS)),
        (_, "timestamp with time zone") => json!(rng.choice(MOMENTS)),
        ("integration_fields", _) => odd_fields(rng),
        (_, "jsonb") => odd_json(rng),
        _ => return,
    };
    row.insert(name.to_owned(), value);
}

fn odd_json(rng: &mut fastrand::Rng) -> Value {
    let values = [
        json!({}),
        json!([]),
        json!("a text \u{1} \u{2028} \"\\\" 😀"),
        json!(true),
        json!(12_345_678_901_234_567_890_u64),
        json!(-0.1),
        json!({ "z": 1, "a": { "ü": [null, 1e30, {}] }, "aa": "b" }),
    ];
    rng.choice(values).unwrap_or_default()
}

fn odd_fields(rng: &mut fastrand::Rng) -> Value {
    let values = [
        json!({ "id": "no list" }),
        json!([null, 1, "text", []]),
        json!([{}, { "id": 7, "key": null, "type": "NEW", "label": true, "value": { "b": 1, "a": [] } }]),
        json!([{ "id": "1", "key": "k", "type": "CUSTOM", "label": "L", "value": null }, { "id": "0", "type": "DEFAULT" }]),
    ];
    rng.choice(values).unwrap_or_default()
}

/// Copies an integration's rows of a table to the twin.
async fn copy(app: &TestApp, table: &str, first: &str, overriding: &str) {
    let changes = if overriding.is_empty() {
        format!("jsonb_build_object('integration_id', '{TWIN}')")
    } else {
        format!("jsonb_build_object('integration_id', '{TWIN}', 'id', t.id + 1000000)")
    };
    let sql = format!(
        "INSERT INTO {table} {overriding} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(t) || {changes})).* \
         FROM {table} t WHERE integration_id = '{first}'"
    );
    app.sql(&sql).await;
}

/// Everything that the sync may have found, for an integration, its twin and one that was deleted.
fn what_went_wrong(first: &str, deleted: &str) -> Vec<String> {
    let run = format!("(SELECT min(id) FROM sync_runs WHERE integration_id = '{first}')");
    let twin_run = format!("(SELECT min(id) FROM sync_runs WHERE integration_id = '{TWIN}')");
    let at = "timestamptz '2026-06-01T00:00:00.5Z'";
    vec![
        format!(
            "INSERT INTO parked_records (integration_id, endpoint, id, record, error, run_id, first_seen_at, last_seen_at) VALUES \
             ('{first}', 'users', 'parked', '{{\"a\": 1}}', 'no object', {run}, {at}, {at}), ('{first}', 'skills', '?digest', '', '', 0, {at}, {at}), \
             ('{TWIN}', 'users', 'parked', '[]', 'other', {twin_run}, {at}, {at})"
        ),
        format!(
            "INSERT INTO schema_drift (integration_id, table_name, kind, name, first_seen_at, last_seen_at, sightings) VALUES \
             ('{first}', 'users', 'MEMBER', 'nickname', {at}, {at}, 3), ('{first}', 'users', 'VALUE', 'status=ODD', {at}, {at}, 9999999999), \
             ('{TWIN}', 'course_revisions', 'MEMBER', 'nickname', {at}, {at}, 1)"
        ),
        format!(
            "INSERT INTO held_back_removals (integration_id, table_name, id, linked_id, run_id) \
             SELECT integration_id, 'users', id, '', r.run FROM users, (VALUES ({run}), ({twin_run})) r(run) \
             WHERE integration_id = '{first}' AND r.run < 1000000 OR integration_id = '{TWIN}' AND r.run > 1000000"
        ),
        format!(
            "INSERT INTO held_back_removals (integration_id, table_name, id, linked_id, run_id) \
             SELECT integration_id, 'course_revision_skills', course_revision_id, skill_id, {run} \
             FROM course_revision_skills WHERE integration_id = '{first}' LIMIT 3"
        ),
        format!(
            "INSERT INTO webhook_events (id, type, integration_id, received_at, duplicates, changed_models, outcome, run_ids, payload) \
             SELECT 'event ' || n, CASE n % 3 WHEN 0 THEN '' WHEN 1 THEN 'data-changed' ELSE 'Ü' END, \
               CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '{TWIN}' ELSE '{first}' END, {at} + (n / 2) * interval '1 hour', n, \
               CASE n % 2 WHEN 0 THEN '{{}}' ELSE '{{lms_users,lms_skills}}' END::text[], 'COALESCED', ARRAY[{run}, {twin_run}, n], '{{}}' \
             FROM generate_series(1, 12) n"
        ),
        format!(
            "INSERT INTO record_changes (integration_id, at, model, id, kind, changed_fields, run_id) \
             SELECT integration_id, {at}, 'users', id, 'UPDATED', '{{remote_id,status,unknown_fields}}', {twin_run} \
             FROM users WHERE integration_id = '{TWIN}' LIMIT 4"
        ),
        format!(
            "UPDATE sync_runs SET error_code = 'E', error_message = CASE id % 2 WHEN 0 THEN 'failed' END, error_at = {at}, \
             error_retryable = CASE id % 3 WHEN 0 THEN true END, status = 'FAILED', requested_by = 'ü', drift_removed = id % 5, \
             updated_after = {at} WHERE id % 3 = 0"
        ),
        format!(
            "INSERT INTO sync_runs (integration_id, endpoint, mode, trigger, lane, status, queued_at, available_at, lease_until) \
             SELECT i, e, 'FULL', 'MANUAL', 1, s, {at}, {at}, CASE s WHEN 'RUNNING' THEN {at} END \
             FROM (VALUES ('{first}'), ('{TWIN}')) i(i), (VALUES ('users', 'QUEUED'), ('users', 'RUNNING'), ('skills', 'QUEUED'), ('courses', 'CANCELLED')) e(e, s)"
        ),
        format!(
            "UPDATE endpoint_states SET error_code = 'E', error_at = {at}, consecutive_failures = 2, removals_held_back = 1 \
             WHERE integration_id = '{first}' AND endpoint = 'courses'"
        ),
        format!(
            "UPDATE endpoint_states SET watermark = CASE endpoint WHEN 'users' THEN NULL ELSE {at} END, available = endpoint <> 'skills' \
             WHERE integration_id = '{TWIN}'"
        ),
        "UPDATE endpoint_states SET watermark = NULL, available = false WHERE endpoint = 'skills' AND integration_id = \
         (SELECT max(id) FROM integrations)"
            .to_owned(),
        format!(
            "UPDATE integrations SET deleted_at = {at}, state = 'DELETED', organization_name = 'ü\"', last_kombo_sync_state = 'X', \
             last_kombo_sync_at = {at}, data_expired_at = {at} WHERE id = '{deleted}'"
        ),
    ]
}
