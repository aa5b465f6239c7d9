//! What the mirror asks of Postgres: statements noted where they are sent, and their plans.

use std::sync::{Arc, Mutex};

use diesel::connection::InstrumentationEvent;
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};

use super::TestApp;

/// Statements of all the pool's connections, in the order they were sent.
#[derive(Clone, Default)]
pub(crate) struct StatementLog(Arc<Mutex<Vec<String>>>);

impl StatementLog {
    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no test has failed here"))
    }
}

impl TestApp {
    /// Notes every statement from now on.
    pub(crate) async fn note_statements(&self) -> StatementLog {
        let log = StatementLog::default();
        let size = self.engine.pool.status().max_size;
        let mut all = Vec::new();
        for _ in 0..size {
            all.push(self.database().await);
        }
        for connection in &mut all {
            let log = log.clone();
            connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    let text = query.to_string();
                    log.0.lock().expect("no test has failed here").push(text);
                }
            });
        }
        log
    }

    /// The plan of a noted statement whose only bound value is the present moment.
    pub(crate) async fn plan(&self, statement: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        let sql = statement.split(" -- binds").next().expect("a text");
        let mut connection = self.database().await;
        connection
            .batch_execute(
                "CREATE OR REPLACE FUNCTION pg_temp.plan(q text) RETURNS SETOF text LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || q USING clock_timestamp(); END $$",
            )
            .await
            .expect("the function is made");
        let lines: Vec<Line> = diesel::sql_query("SELECT line FROM pg_temp.plan($1) line")
            .bind::<diesel::sql_types::Text, _>(sql)
            .get_results(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        lines
            .into_iter()
            .map(|line| line.line + "\n")
            .collect::<String>()
    }
}
