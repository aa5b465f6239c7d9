//! docs/deploy/partitioning.sql: the mirror on tables that are split by integration.

use std::collections::BTreeSet;

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::simulator::Options;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::app::Setup;

const SCRIPT: &str = include_str!("../../docs/deploy/partitioning.sql");

const MIRROR: &str = "('users', 'courses', 'course_revisions', 'course_providers', 'skills', 'course_revision_skills', 'course_progressions')";

/// From one end of the relations to the other.
const ALL: &str = "users(first: 5, filter: { integrationKomboId: { eq: \"{id}\" } }) { totalCount nodes { lastName \
     courseProgressions(first: 3) { nodes { status courseRevision { title skills { name } \
     course { title provider { name } } } } } } }";

impl TestApp {
    /// Runs the script, as often as one likes.
    pub(crate) async fn partition(&self) {
        let mut connection = self.database().await;
        connection
            .batch_execute(&format!("BEGIN; {SCRIPT}; COMMIT"))
            .await
            .expect("the script runs");
    }

    /// What is said of the mirror tables and of what belongs to them.
    async fn described(&self) -> Vec<Value> {
        self.rows(&format!(
            "SELECT c.relname AS table, i.indexrelid::regclass::text AS what, \
               replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS how \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname IN {MIRROR} \
             UNION ALL SELECT c.relname, conname, pg_get_constraintdef(o.oid) FROM pg_constraint o \
               JOIN pg_class c ON c.oid = o.conrelid WHERE c.relname IN {MIRROR} \
             UNION ALL SELECT c.relname, tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t \
               JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relname IN {MIRROR} AND NOT tgisinternal \
             UNION ALL SELECT c.relname, polname, concat(c.relrowsecurity, pg_get_expr(polqual, polrelid)) FROM pg_policy p \
               JOIN pg_class c ON c.oid = p.polrelid WHERE c.relname IN {MIRROR} \
             UNION ALL SELECT c.relname, attname, concat_ws(' ', atttypid::regtype, attnotnull, attcollation::regcollation, \
                 pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (attrelid, attnum) \
               JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname IN {MIRROR} AND attnum > 0 \
             UNION ALL SELECT relname, 'readers', has_table_privilege('kombo_mirror_reader', oid, 'SELECT')::text \
               FROM pg_class WHERE relname IN {MIRROR} ORDER BY 1, 2, 3"
        ))
        .await
    }
}

async fn several_integrations() -> TestApp {
    TestApp::with(Setup {
        simulator: Options {
            integrations: 3,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_partitioned_table_has_is_what_it_had_before() {
    let app = several_integrations().await;
    app.work().await;
    let before = app.described().await;
    assert!(before.len() > 100);
    app.partition().await;
    assert_eq!(app.described().await, before);
    app.assert_mirrors_the_truth().await;
    let split = "SELECT count(*) AS count FROM pg_class WHERE relkind = 'p'";
    assert_eq!(app.count(split).await, 7);
    app.partition().await;
    assert_eq!(app.described().await, before, "a second time is none");
}

// Rules 1 to 12 in short: first load, deltas, stubs, deletions, full fetches
#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_follows_kombo_on_partitioned_tables() {
    let app = several_integrations().await;
    app.partition().await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
    for _ in 0..10 {
        app.simulator.change(40);
        app.settle().await;
        app.assert_mirrors_the_truth().await;
    }
    // rows that Kombo never had, and one that it has
    let integration = app.integration();
    app.sql(&format!(
        "INSERT INTO users (integration_id, id, observed_at, mirrored_at) VALUES ('{integration}', 'ghost', 'epoch', 'epoch')"
    ))
    .await;
    app.sql(
        "DELETE FROM course_progressions WHERE id IN (SELECT id FROM course_progressions LIMIT 5)",
    )
    .await;
    app.fetch_everything().await;
    app.assert_mirrors_the_truth().await;
    let gone =
        "SELECT count(*) AS count FROM users WHERE id = 'ghost' AND missing_since IS NOT NULL";
    assert_eq!(app.count(gone).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_from_partitioned_tables_are_the_same() {
    let app = several_integrations().await;
    app.work().await;
    let mut questions: Vec<String> = app
        .simulator
        .integration_ids()
        .iter()
        .map(|id| format!("{{ {} }}", ALL.replace("{id}", id)))
        .collect();
    for list in [
        "users",
        "courses",
        "courseRevisions",
        "courseProviders",
        "skills",
    ] {
        questions.push(format!(
            "{{ {list}(first: 50) {{ totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ id komboId remoteId }} }} }}"
        ));
    }
    let mut before = Vec::new();
    for question in &questions {
        before.push(app.query(question).await);
    }
    app.partition().await;
    for (question, before) in questions.iter().zip(before) {
        assert_eq!(app.query(question).await, before, "{question}");
    }
}

// the reason for it all, and for a distribution by the same column over several machines
#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_one_integration_touches_one_partition_of_each_table() {
    let app = several_integrations().await;
    app.partition().await;
    app.work().await;
    let id = app.integration();
    let log = app.note_statements().await;
    app.query(&format!("{{ {} }}", ALL.replace("{id}", &id)))
        .await;
    let sent = log.take();
    assert_eq!(sent.len(), 1, "{sent:#?}");
    let plan = app.plan_run(&sent[0]).await;
    for table in [
        "users",
        "course_progressions",
        "course_revisions",
        "courses",
        "course_providers",
        "skills",
        "course_revision_skills",
    ] {
        let touched: BTreeSet<&str> = plan
            .lines()
            .filter(|line| !line.contains("never executed"))
            .filter_map(|line| line.split_once(&format!(" on public.{table}_p")))
            .filter_map(|(_, rest)| rest.split(' ').next())
            .collect();
        assert_eq!(touched.len(), 1, "{table}: {touched:?}\n{plan}");
    }
}
