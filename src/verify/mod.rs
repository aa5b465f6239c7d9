//! `kombo-mirror verify`: compares the mirror with Kombo, row by row, within a number of calls.
//!
//! The sync says of itself that the mirror is right. This room asks Kombo again by other means, so that somebody
//! who doubts need not believe it: whatever the watermark, the queue and the counters say, the rows are compared.
//! It must never write, not even a rate budget, so it may run against a standby; and it names rows by their ids
//! and columns by their names, never what is in them.

mod look;
mod pass;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use clap::Args;
use clap::builder::PossibleValuesParser;
use diesel_async::SimpleAsyncConnection as _;

use crate::clock::Clock;
use crate::config::Settings;
use crate::db::{self, Connection, Fit};
use crate::kombo::Client;
use crate::kombo::budget::LocalBudget;
use crate::models::compare::{self, Difference, Expectation};
use crate::models::{self, Endpoint};
use crate::{integrations, sync};
use look::Kombo;
use pass::Pass;

/// What `verify` can be told.
#[derive(Args, Debug, Clone)]
pub struct VerifyOptions {
    /// Integration to compare
    #[arg(long)]
    pub integration: String,
    /// Endpoint to compare; several times for several [default: all]
    #[arg(long = "endpoint", value_name = "ENDPOINT", value_parser = PossibleValuesParser::new(models::ALL.iter().map(|endpoint| endpoint.name)))]
    pub endpoints: Vec<String>,
    /// Requests to Kombo, at most; those that are repeated after a failure count
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls: u32,
    /// Records to compare of an endpoint that has more than the calls suffice for
    #[arg(long, default_value_t = 1000)]
    pub sample: u32,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows that are not as Kombo shows them, although they should be; as text one a line.
    pub differences: BTreeSet<Difference>,
    /// What was compared, and what was not; one sentence each.
    pub notes: Vec<String>,
}

/// Compares an integration.
///
/// # Errors
/// Kombo or the database cannot be asked, or the mirror does not know the integration.
pub async fn run(
    settings: &Settings,
    options: &VerifyOptions,
    clock: &Clock,
) -> anyhow::Result<Report> {
    let mut connection = reader(settings).await?;
    if !integrations::is_live(&mut connection, &options.integration).await? {
        bail!(
            "the mirror has no integration {}, or it was deleted",
            options.integration
        );
    }
    let budget = Arc::new(LocalBudget::default());
    let client = Client::new(settings.kombo.clone(), budget)?;
    let mut kombo = Kombo::new(&client, clock, options);
    let overlap = TimeDelta::from_std(settings.sync.watermark_overlap).unwrap_or_default();
    let mut report = Report::default();
    let wanted = |endpoint: &&&Endpoint| {
        options.endpoints.is_empty() || options.endpoints.iter().any(|name| name == endpoint.name)
    };
    for endpoint in models::ALL.iter().filter(wanted) {
        let now = (clock)();
        let id = &options.integration;
        let state = sync::endpoint_state(&mut connection, id, endpoint.name).await?;
        let expectation = Expectation {
            integration_id: &options.integration,
            // of what was never fetched, everything is
            due_before: state.watermark.map_or(now, |mark| mark - overlap),
            asked_at: now,
        };
        let sample = i64::from(options.sample);
        let pass = Pass::new(endpoint, expectation);
        verify(&mut connection, &mut kombo, pass, sample, &mut report)
            .await
            .with_context(|| format!("comparing {}", endpoint.name))?;
    }
    report
        .notes
        .push(format!("calls to Kombo: {}", kombo.calls));
    Ok(report)
}

/// A connection that can change nothing.
async fn reader(settings: &Settings) -> anyhow::Result<Connection> {
    let pool = db::pool(&settings.database_url, 1)?;
    match db::fit(&pool).await? {
        Fit::Fits => {}
        Fit::LacksMigrations => {
            bail!("the database's schema is not this version's; run migrate first")
        }
        newer @ Fit::TooNew(_) => bail!(newer.refusal().unwrap_or_default()),
    }
    let mut connection = pool.get().await?;
    connection
        .batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        .await?;
    Ok(connection)
}

/// Compares one endpoint: all of it where the calls suffice, a sample where they do not, and what differs twice.
async fn verify(
    connection: &mut Connection,
    kombo: &mut Kombo<'_>,
    mut pass: Pass<'_>,
    sample: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let table = pass.endpoint.tables[0];
    let rows = compare::count(connection, &pass.expectation, table).await?;
    let name = pass.endpoint.name;
    if kombo.suffices_for(rows) {
        pass.read_all(connection, kombo).await?;
    } else {
        report.notes.push(format!(
            "{name}: calls left: {}, too few for {rows} records; a sample is compared, and id sets are not",
            kombo.calls_left(),
        ));
        let salt = pass.expectation.asked_at.to_rfc3339();
        let ids = compare::sample(connection, &pass.expectation, table, sample, salt).await?;
        pass.read_some(connection, kombo, ids).await?;
    }
    pass.look_again(connection, kombo).await?;
    report.notes.extend(pass.notes(connection).await?);
    report.differences.extend(pass.comparison.differences);
    Ok(())
}
