//! Records that could not be read: kept with their error instead of stopping their page (rule 14).

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest as _, Sha256};

use crate::models::page::Parked;
use crate::queue::Run;

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// Records that could not be read.
        parked_records (integration_id, endpoint, id) {
            integration_id -> Text,
            endpoint -> Text,
            id -> Text,
            record -> Text,
            error -> Text,
            run_id -> BigInt,
            first_seen_at -> Timestamptz,
            last_seen_at -> Timestamptz,
        }
    }
}
use schema::parked_records;

/// Begins the key of a parked record whose id is unreadable; no Kombo id begins so.
const UNIDENTIFIED: &str = "?";

/// Keeps the records of a page that could not be read, and lets go of those that now could.
pub(super) async fn park(
    connection: &mut AsyncPgConnection,
    run: &Run,
    readable: &[String],
    parked: &[Parked],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use diesel::upsert::excluded;
    if !readable.is_empty() {
        diesel::delete(
            parked_records::table
                .filter(parked_records::integration_id.eq(&run.integration_id))
                .filter(parked_records::endpoint.eq(&run.endpoint))
                .filter(parked_records::id.eq_any(readable)),
        )
        .execute(connection)
        .await?;
    }
    for parked in parked {
        diesel::insert_into(parked_records::table)
            .values((
                parked_records::integration_id.eq(&run.integration_id),
                parked_records::endpoint.eq(&run.endpoint),
                parked_records::id.eq(key(parked)),
                parked_records::record.eq(&parked.record),
                parked_records::error.eq(&parked.error),
                parked_records::run_id.eq(run.id),
                parked_records::first_seen_at.eq(now),
                parked_records::last_seen_at.eq(now),
            ))
            .on_conflict((
                parked_records::integration_id,
                parked_records::endpoint,
                parked_records::id,
            ))
            .do_update()
            .set((
                parked_records::record.eq(excluded(parked_records::record)),
                parked_records::error.eq(excluded(parked_records::error)),
                parked_records::run_id.eq(excluded(parked_records::run_id)),
                parked_records::last_seen_at.eq(excluded(parked_records::last_seen_at)),
            ))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Whether any record of the run's endpoint is parked.
pub(super) async fn has_any(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<bool> {
    let parked = parked_records::table
        .filter(parked_records::integration_id.eq(&run.integration_id))
        .filter(parked_records::endpoint.eq(&run.endpoint));
    diesel::select(diesel::dsl::exists(parked))
        .get_result(connection)
        .await
}

/// Records that earlier runs parked and whose ids are known, the longest waiting first.
pub(super) async fn ids(
    connection: &mut AsyncPgConnection,
    run: &Run,
    most: usize,
) -> QueryResult<Vec<String>> {
    use diesel::TextExpressionMethods as _;
    parked_records::table
        .filter(parked_records::integration_id.eq(&run.integration_id))
        .filter(parked_records::endpoint.eq(&run.endpoint))
        .filter(parked_records::run_id.ne(run.id))
        .filter(parked_records::id.not_like(format!("{UNIDENTIFIED}%")))
        .order(parked_records::last_seen_at)
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select(parked_records::id)
        .load(connection)
        .await
}

/// A complete full fetch has shown everything that there is: what it did not park again is gone or well.
pub(super) async fn forget_absent(
    connection: &mut AsyncPgConnection,
    run: &Run,
) -> QueryResult<usize> {
    diesel::delete(
        parked_records::table
            .filter(parked_records::integration_id.eq(&run.integration_id))
            .filter(parked_records::endpoint.eq(&run.endpoint))
            .filter(parked_records::run_id.ne(run.id)),
    )
    .execute(connection)
    .await
}

fn key(parked: &Parked) -> String {
    parked.id.clone().unwrap_or_else(|| {
        let digest = Sha256::digest(parked.record.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{UNIDENTIFIED}{hex}")
    })
}

/// Whether the run parked a record whose id is unreadable: then absence proves nothing.
pub(super) async fn has_unidentified(
    connection: &mut AsyncPgConnection,
    run: &Run,
) -> QueryResult<bool> {
    use diesel::TextExpressionMethods as _;
    let count: i64 = parked_records::table
        .filter(parked_records::integration_id.eq(&run.integration_id))
        .filter(parked_records::run_id.eq(run.id))
        .filter(parked_records::id.like(format!("{UNIDENTIFIED}%")))
        .count()
        .get_result(connection)
        .await?;
    Ok(count > 0)
}
