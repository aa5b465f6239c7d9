//! `syncRunUpdated`: the states of runs, as they move.

use std::time::Duration;

use async_graphql::registry::MetaField;
use async_graphql::{Context, ID, ServerError, ServerResult};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::errors::{self, Code};
use super::super::form::Part;
use super::super::nodes::sync_run_id;
use super::super::plan::Plan;
use super::super::query::bigints;
use super::super::status::SYNC_RUN;
use super::super::{ids, types};
use super::source::{self, Source};
use super::{brought, described};
use crate::auth::Viewer;
use crate::live::{Followed, FollowedRuns, Live};
use crate::models::object::Target;

pub(super) const NAME: &str = "syncRunUpdated";

/// Between two looks of one follower: a progress bar needs no more, and what moves meanwhile is one state.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) fn field() -> MetaField {
    let only_integration = "Only runs of this integration, by Kombo's id.";
    described(
        NAME,
        "SyncRun!",
        "A run each time it moves: queued, begun, a page stored, put aside, ended. With `runId` the first is its present \
         state, at once, and the last its end, after which the subscription completes. Moves in quick succession are \
         one, which shows the newest state; after a lost connection to the database a state may come twice.",
        [
            types::argument("integrationKomboId", "ID", None, only_integration),
            types::argument("runId", "ID", None, "Only this run, by its opaque id."),
        ],
    )
}

/// A run as it is read.
#[derive(Deserialize)]
struct Read {
    ended: bool,
    run: Box<RawValue>,
}

/// Somebody who follows runs.
pub(super) struct Runs<'a> {
    ctx: &'a Context<'a>,
    followed: FollowedRuns,
    integration: Option<String>,
    run: Option<i64>,
    /// The run's present state was not shown yet.
    is_first: bool,
    has_ended: bool,
    looked_at: Option<Instant>,
}

pub(super) fn follow<'a>(ctx: &'a Context<'a>) -> ServerResult<Runs<'a>> {
    let viewer = brought::<Viewer>(ctx)?;
    let (_, integration) = ctx.param_value::<Option<ID>>("integrationKomboId", None)?;
    let (_, run) = ctx.param_value::<Option<ID>>("runId", None)?;
    let integration = integration.map(|id| id.0);
    if integration
        .as_deref()
        .is_some_and(|id| !ids::is_storable(id))
    {
        let message = "integrationKomboId contains U+0000, which no id has";
        return Err(errors::error(Code::BadUserInput, message).into_server_error(ctx.item.pos));
    }
    let run = run
        .map(|id| sync_run_id(&id).ok_or_else(|| unknown(ctx)))
        .transpose()?;
    let followed = Followed {
        run,
        integration: integration.clone(),
        among: viewer.integrations.clone(),
    };
    let runs = Runs {
        ctx,
        // before the first look, so that no move is missed between the two
        followed: brought::<Live>(ctx)?.follow_runs(followed),
        integration,
        run,
        is_first: run.is_some(),
        has_ended: false,
        looked_at: None,
    };
    // what is wrong with the selection is told at once and not with the first move
    runs.chosen(&mut source::plan(ctx)?, &[])?;
    Ok(runs)
}

/// As for a query: whether there is no such run, or it is not the viewer's to see, is not told.
fn unknown(ctx: &Context<'_>) -> ServerError {
    let error = errors::error(Code::NotFound, "there is no sync run with this id");
    error.into_server_error(ctx.item.pos)
}

impl<'a> Runs<'a> {
    fn chosen(&self, plan: &mut Plan<'a>, runs: &[i64]) -> ServerResult<Part<'a>> {
        let selected = source::selected(self.ctx)?;
        let alias = plan.alias();
        let run = plan.object(Target::Plain(&SYNC_RUN), &alias, &selected.below)?;
        let ended = format!("{alias}.status NOT IN ('QUEUED', 'RUNNING')");
        let run = Part::record(plan.row(&run.columns)?, run.form);
        let read = Part::object(vec![("ended", Part::plain(ended)), ("run", run)]);
        let row = plan.row(&read.columns)?;
        let visible = plan.visible(&format!("{alias}.integration_id"));
        let of = match &self.integration {
            Some(id) => format!(
                "{alias}.integration_id = {}",
                plan.statement.text(id.as_str())
            ),
            None => "true".to_owned(),
        };
        let ids = bigints(runs);
        let query = format!(
            "SELECT {row} FROM sync_runs {alias} WHERE {alias}.id IN ({ids}) AND {of} AND {visible} ORDER BY {alias}.id"
        );
        Ok(Part::list(&query, read.form))
    }

    async fn look(&mut self, runs: &[i64]) -> ServerResult<Vec<Read>> {
        if let Some(at) = self.looked_at {
            tokio::time::sleep_until(at + BETWEEN_LOOKS).await;
        }
        self.looked_at = Some(Instant::now());
        let this = &*self;
        source::ask(this.ctx, |plan| this.chosen(plan, runs)).await
    }
}

impl Source for Runs<'_> {
    async fn next(&mut self) -> ServerResult<Vec<Box<RawValue>>> {
        let read = match self.run {
            Some(run) if self.is_first => {
                self.is_first = false;
                let read = self.look(&[run]).await?;
                if read.is_empty() {
                    return Err(unknown(self.ctx));
                }
                read
            }
            _ => {
                let moved = self.followed.moved().await.map_err(|slow| {
                    let message = format!("{slow}; subscribe again");
                    errors::error(Code::Timeout, message).into_server_error(self.ctx.item.pos)
                })?;
                self.look(&moved).await?
            }
        };
        self.has_ended = self.run.is_some() && read.iter().any(|read| read.ended);
        Ok(read.into_iter().map(|read| read.run).collect())
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }
}
