//! The ledger of what Kombo sends beyond its documentation (rule 14): kept in the rows, and named here so that
//! somebody may notice before it matters. Names and words of enums only, never contents.

use chrono::{DateTime, Utc};
use diesel::ExpressionMethods as _;
use diesel::result::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::models::page::Sighting;

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// Members and words that this version does not know.
        schema_drift (integration_id, table_name, kind, name) {
            integration_id -> Text,
            table_name -> Text,
            kind -> Text,
            name -> Text,
            first_seen_at -> Timestamptz,
            last_seen_at -> Timestamptz,
            sightings -> BigInt,
        }
    }
}
use schema::schema_drift;

/// Counts what a page had.
pub(super) async fn note(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    sightings: &[(Sighting, i64)],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use diesel::upsert::excluded;
    if sightings.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = sightings
        .iter()
        .map(|(sighting, number)| {
            (
                schema_drift::integration_id.eq(integration_id),
                schema_drift::table_name.eq(sighting.table),
                schema_drift::kind.eq(sighting.kind),
                schema_drift::name.eq(&sighting.name),
                schema_drift::first_seen_at.eq(now),
                schema_drift::last_seen_at.eq(now),
                schema_drift::sightings.eq(number),
            )
        })
        .collect();
    diesel::insert_into(schema_drift::table)
        .values(rows)
        .on_conflict((
            schema_drift::integration_id,
            schema_drift::table_name,
            schema_drift::kind,
            schema_drift::name,
        ))
        .do_update()
        .set((
            schema_drift::last_seen_at.eq(excluded(schema_drift::last_seen_at)),
            schema_drift::sightings.eq(schema_drift::sightings + excluded(schema_drift::sightings)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
