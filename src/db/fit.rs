//! Whether this version may run on the schema that is there.
//!
//! The migrations that a database has are compared with those in the binary. Each since `who_may_run_beside` says in
//! `schema_overlaps` which code may run beside it, so a migration from the future is no riddle: either it lets this
//! version be, or this version must not run. One that says nothing lets nobody be.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use diesel::migration::{Migration, MigrationSource as _};
use diesel::sql_types::{Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::{MIGRATIONS, Pool};

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// Which code may run beside a migration that it does not know.
        schema_overlaps (migration) {
            migration -> Text,
            oldest_code -> Text,
        }
    }
}

/// What the schema of a database is to this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It has all that this version needs, and nothing that forbids it to run.
    Fits,
    /// It lacks migrations of this version.
    LacksMigrations,
    /// A newer version has left this one behind, by the migration that is named.
    TooNew(String),
}

impl Fit {
    /// What to do where this version must not run; `None` where it may, now or after its own migrations.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let Self::TooNew(migration) = self else {
            return None;
        };
        Some(format!(
            "the database's schema is of a newer version, whose migration {migration} does not let {} run beside it: \
             start that version, or restore a backup from before it",
            env!("CARGO_PKG_VERSION")
        ))
    }
}

/// Looks at the schema.
///
/// # Errors
/// The database cannot be reached.
pub async fn fit(pool: &Pool) -> anyhow::Result<Fit> {
    let mut connection = pool.get().await?;
    fit_of(&mut connection).await
}

pub(super) async fn fit_of(connection: &mut AsyncPgConnection) -> anyhow::Result<Fit> {
    let applied = applied(connection).await?;
    let known = known()?;
    Ok(judge(&applied, &known))
}

/// Applied migrations, each with the oldest code that it lets run, if it says so.
type Applied = BTreeMap<String, Option<String>>;

fn judge(applied: &Applied, known: &BTreeSet<String>) -> Fit {
    let newest = known.last();
    let is_left_behind = |oldest: &Option<String>| oldest.is_none() || oldest.as_ref() > newest;
    let unknown = applied
        .iter()
        .filter(|(migration, _)| !known.contains(*migration));
    for (migration, oldest_code) in unknown {
        if is_left_behind(oldest_code) {
            return Fit::TooNew(migration.clone());
        }
    }
    if known.iter().all(|known| applied.contains_key(known)) {
        Fit::Fits
    } else {
        Fit::LacksMigrations
    }
}

async fn applied(connection: &mut AsyncPgConnection) -> anyhow::Result<Applied> {
    #[derive(diesel::QueryableByName)]
    struct Tables {
        #[diesel(sql_type = Bool)]
        migrations: bool,
        #[diesel(sql_type = Bool)]
        overlaps: bool,
    }
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        migration: String,
        #[diesel(sql_type = Nullable<Text>)]
        oldest_code: Option<String>,
    }
    let tables: Tables = diesel::sql_query(
        "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS migrations, \
         to_regclass('schema_overlaps') IS NOT NULL AS overlaps",
    )
    .get_result(connection)
    .await?;
    // by hand, since a statement cannot name a table that may not be there
    let sql = match (tables.migrations, tables.overlaps) {
        (false, _) => return Ok(Applied::new()),
        (true, false) => {
            "SELECT version::text AS migration, NULL::text AS oldest_code FROM __diesel_schema_migrations"
        }
        (true, true) => {
            "SELECT m.version::text AS migration, o.oldest_code FROM __diesel_schema_migrations m \
             LEFT JOIN schema_overlaps o ON o.migration = m.version"
        }
    };
    let rows: Vec<Row> = diesel::sql_query(sql).get_results(connection).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.migration, row.oldest_code))
        .collect())
}

/// The migrations in this binary.
fn known() -> anyhow::Result<BTreeSet<String>> {
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> = MIGRATIONS
        .migrations()
        .map_err(|error| anyhow!("{error}"))?;
    let versions = migrations
        .iter()
        .map(|migration| migration.name().version().to_string());
    Ok(versions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit_with(applied: &[(&str, Option<&str>)]) -> Fit {
        let applied = applied
            .iter()
            .map(|(migration, oldest)| ((*migration).to_owned(), oldest.map(str::to_owned)));
        let known = ["1", "3"].map(str::to_owned);
        judge(&applied.collect(), &known.into())
    }

    #[test]
    fn a_migration_from_the_future_is_taken_at_its_word() {
        let own = [("1", None), ("3", Some("1"))];
        let with = |future| fit_with(&[own[0], own[1], future]);
        assert_eq!(fit_with(&own), Fit::Fits);
        assert_eq!(with(("4", Some("3"))), Fit::Fits);
        assert_eq!(with(("4", Some("1"))), Fit::Fits);
        for oldest in [Some("4"), None] {
            assert_eq!(with(("4", oldest)), Fit::TooNew("4".to_owned()));
        }
    }

    #[test]
    fn a_schema_that_lacks_something_may_still_be_too_new() {
        assert_eq!(fit_with(&[("1", None)]), Fit::LacksMigrations);
        assert_eq!(fit_with(&[]), Fit::LacksMigrations);
        let torn = [("1", None), ("2", None)];
        assert_eq!(fit_with(&torn), Fit::TooNew("2".to_owned()));
    }
}
