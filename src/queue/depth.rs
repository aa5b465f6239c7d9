//! How much waits in the queue, and for how long: what tells whether there are enough workers.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double, SmallInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::{OPEN, due};
use crate::db::Statement;

/// The lanes by their numbers.
const LANES: [&str; 3] = ["news", "manual", "full"];

/// What one lane of the queue holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depth {
    /// The lane's name.
    pub lane: &'static str,
    /// Runs that wait for their first worker.
    pub queued: i64,
    /// Runs that work, or were put aside with their checkpoint.
    pub running: i64,
    /// Those of both that a worker could take now.
    pub due: i64,
    /// For how long the oldest of these could have been taken.
    pub oldest_due_seconds: f64,
}

/// Looks at all lanes. What is open is found by an index that holds nothing else, however long the history is.
///
/// # Errors
/// Whatever Postgres says.
pub async fn depth(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Depth>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = SmallInt)]
        lane: i16,
        #[diesel(sql_type = BigInt)]
        queued: i64,
        #[diesel(sql_type = BigInt)]
        running: i64,
        #[diesel(sql_type = BigInt)]
        due: i64,
        #[diesel(sql_type = Double)]
        oldest: f64,
    }
    let mut statement = Statement::fixed();
    let now = statement.time(Some(now));
    let due = due(&now);
    statement.push(&format!(
        "SELECT lane, count(*) FILTER (WHERE status = 'QUEUED') AS queued, \
           count(*) FILTER (WHERE status = 'RUNNING') AS running, count(*) FILTER (WHERE is_due) AS due, \
           coalesce(max(GREATEST(extract(epoch FROM {now} - since), 0)) FILTER (WHERE is_due), 0)::float8 AS oldest \
         FROM (SELECT r.lane, r.status, GREATEST(r.available_at, r.lease_until) AS since, {due} AS is_due FROM {OPEN}) o \
         GROUP BY lane"
    ));
    let rows: Vec<Row> = statement.get_results(connection).await?;
    let lane = |(number, lane): (i16, &'static str)| {
        let row = rows.iter().find(|row| row.lane == number);
        Depth {
            lane,
            queued: row.map_or(0, |row| row.queued),
            running: row.map_or(0, |row| row.running),
            due: row.map_or(0, |row| row.due),
            oldest_due_seconds: row.map_or(0.0, |row| row.oldest),
        }
    };
    Ok((0..).zip(LANES).map(lane).collect())
}
