//! What the mirror asks of Postgres: statements noted where they are sent, and their plans.

use std::sync::{Arc, Mutex};

use diesel::connection::InstrumentationEvent;
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};

use super::TestApp;

/// Statements of all the pools' connections, in the order they were sent.
#[derive(Clone, Default)]
pub(crate) struct StatementLog(Arc<Mutex<Vec<String>>>);

impl StatementLog {
    fn note(&self, text: String) {
        self.0.lock().expect("no test has failed here").push(text);
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no test has failed here"))
    }
}

impl TestApp {
    /// Notes every statement from now on.
    pub(crate) async fn note_statements(&self) -> StatementLog {
        let log = StatementLog::default();
        let mut all = Vec::new();
        let pool = &self.engine.pool;
        for _ in 0..pool.status().max_size {
            all.push(pool.get().await.expect("a connection"));
        }
        for connection in &mut all {
            let log = log.clone();
            connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    log.note(query.to_string());
                }
            });
        }
        let of_reads = log.clone();
        self.engine
            .reads
            .watch(Box::new(move |text| of_reads.note(text.to_owned())));
        log
    }

    /// The plan of a noted statement.
    pub(crate) async fn plan(&self, statement: &str) -> String {
        self.explain(statement, "VERBOSE, COSTS OFF").await
    }

    /// The plan of a noted statement, with what ran of it.
    pub(crate) async fn plan_run(&self, statement: &str) -> String {
        self.explain(statement, "ANALYZE, VERBOSE, COSTS OFF, TIMING OFF")
            .await
    }

    /// How many rows of a table a noted statement reads when it runs.
    pub(crate) async fn rows_read(&self, statement: &str, table: &str) -> u64 {
        let plan = self.plan_run(statement).await;
        let of_table = format!(" on public.{table} ");
        plan.lines()
            .filter(|line| line.contains(&of_table))
            .filter_map(|line| line.split("rows=").nth(1))
            .map(|rest| {
                let digits = rest.split(['.', ' ']).next().expect("a number");
                digits.parse::<u64>().expect("a number")
            })
            .sum()
    }

    /// The same for who sees one integration only, behind the second wall.
    pub(crate) async fn plan_behind_the_wall(&self, statement: &str, integration: &str) -> String {
        let before = format!(
            "BEGIN; SELECT set_config('row_security', 'on', true), set_config('role', 'kombo_mirror_reader', true), \
             set_config('mirror.integrations', '{integration}', true)"
        );
        self.explain_after(&before, statement, "VERBOSE, COSTS OFF")
            .await
    }

    async fn explain(&self, statement: &str, options: &str) -> String {
        self.explain_after("BEGIN", statement, options).await
    }

    async fn explain_after(&self, before: &str, statement: &str, options: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        let (sql, binds) = statement.split_once(" -- binds: ").expect("bound values");
        let literals = literals(binds);
        let mut sql = sql.to_owned();
        for (position, literal) in literals.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", position + 1), literal);
        }
        let mut connection = self.database().await;
        connection
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION pg_temp.plan(q text) RETURNS SETOF text LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ({options}) ' || q; END $$",
            ))
            .await
            .expect("the function is made");
        connection.batch_execute(before).await.expect("SQL");
        let lines: Vec<Line> = diesel::sql_query("SELECT line FROM pg_temp.plan($1) line")
            .bind::<diesel::sql_types::Text, _>(&sql)
            .get_results(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.batch_execute("ROLLBACK").await.expect("SQL");
        lines.into_iter().map(|line| line.line + "\n").collect()
    }
}

/// Bound values, written as Rust writes them, as SQL.
fn literals(binds: &str) -> Vec<String> {
    let whole = binds.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let mut rest = whole.expect("a list of binds");
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (literal, after) = literal(rest);
        found.push(literal);
        rest = after.trim_start_matches(", ");
    }
    found
}

fn literal(rest: &str) -> (String, &str) {
    if let Some(text) = rest.strip_prefix('"') {
        let (text, after) = text.split_once('"').expect("the text ends");
        return (format!("'{text}'::text"), after);
    }
    if let Some(list) = rest.strip_prefix('[') {
        let (list, after) = list.split_once(']').expect("the list ends");
        return (format!("ARRAY[{}]::text[]", list.replace('"', "'")), after);
    }
    let time = rest.strip_prefix("Some(").expect("a moment");
    let (time, after) = time.split_once(')').expect("the moment ends");
    (format!("'{time}'::timestamptz"), after)
}
