//! `recordChanged`: the feed of changes from now on, in its order, without a gap and without a repetition.
//!
//! What is new comes from the reader that all followers share. A follower that lost the thread reads the feed by
//! itself, page by page, from its own place to where the shared reader is, and goes on with the others there.

use std::collections::VecDeque;

use async_graphql::registry::MetaField;
use async_graphql::{Context, ServerError, ServerResult};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::errors::{self, Code};
use super::super::feed::RECORD_CHANGE;
use super::super::filter::Condition;
use super::super::form::Part;
use super::super::paging;
use super::super::plan::Plan;
use super::super::{filter_sql, ids, types};
use super::source::{self, Source};
use super::{brought, described};
use crate::auth::Viewer;
use crate::changes::Told;
use crate::live::{FollowedChanges, Live, News};
use crate::models::object::Target;

pub(super) const NAME: &str = "recordChanged";

const TARGET: Target = Target::Plain(&RECORD_CHANGE);

/// Changes that one statement reads.
const PAGE: usize = 100;

/// A follower with more changes before it is told where to go on by itself.
const FARTHEST_BEHIND: i64 = 10_000;

pub(super) fn field() -> MetaField {
    described(
        NAME,
        "RecordChange!",
        "Every change of a record from now on, in the order of the feed: none is left out and none comes twice while the \
         subscription lives. A reader that is more than 10000 changes behind gets an error whose `extensions.after` is \
         the cursor to go on at with `recordChanges(after:)`.",
        [types::argument(
            "filter",
            "RecordChangeFilter",
            None,
            "Only changes that fulfil this.",
        )],
    )
}

/// A change as it is read.
#[derive(Deserialize)]
struct Read {
    sequence: i64,
    change: Box<RawValue>,
}

/// Somebody who follows the feed.
pub(super) struct Changes<'a> {
    ctx: &'a Context<'a>,
    viewer: &'a Viewer,
    filter: Condition,
    followed: FollowedChanges,
    /// Changes to show that were not read yet.
    waiting: VecDeque<Told>,
    /// Changes up to here are to be read by itself.
    missed_until: Option<i64>,
    /// Everything up to it was handed over.
    shown: i64,
}

pub(super) async fn follow<'a>(ctx: &'a Context<'a>) -> ServerResult<Changes<'a>> {
    let viewer = brought::<Viewer>(ctx)?;
    let filter = {
        let selected = source::selected(ctx)?;
        paging::filter(&source::plan(ctx)?, TARGET, &selected)?
    };
    let followed = brought::<Live>(ctx)?.follow_changes().await;
    let changes = Changes {
        ctx,
        viewer,
        filter,
        shown: followed.given(),
        followed,
        waiting: VecDeque::new(),
        missed_until: None,
    };
    // what is wrong with the selection is told at once and not with the first change
    changes.chosen(&mut source::plan(ctx)?, &[])?;
    Ok(changes)
}

impl<'a> Changes<'a> {
    /// Whether the viewer wants to see a change, and may.
    fn wants(&self, told: &Told) -> bool {
        let text = |column: &str| match column {
            "integration_id" => Some(told.integration_id.as_str()),
            "model" => Some(told.model.as_str()),
            "kind" => Some(told.kind.as_str()),
            "id" => Some(told.id.as_str()),
            _ => None,
        };
        let moment = |column: &str| (column == "at").then_some(told.at);
        self.viewer.sees(&told.integration_id) && self.filter.holds(&text, &moment)
    }

    /// Some rows of the feed under an alias, as they are shown.
    fn shown_rows(&self, plan: &mut Plan<'a>, alias: &str, rows: &str) -> ServerResult<Part<'a>> {
        let selected = source::selected(self.ctx)?;
        let change = plan.object(TARGET, alias, &selected.below)?;
        let change = Part::record(plan.row(&change.columns)?, change.form);
        let read = Part::object(vec![
            ("sequence", Part::plain(format!("{alias}.sequence"))),
            ("change", change),
        ]);
        let row = plan.row(&read.columns)?;
        let query = format!("SELECT {row} FROM {rows} ORDER BY {alias}.sequence");
        Ok(Part::list(&query, read.form))
    }

    /// Chosen changes.
    fn chosen(&self, plan: &mut Plan<'a>, told: &[Told]) -> ServerResult<Part<'a>> {
        let alias = plan.alias();
        let visible = plan.visible("k.integration_id");
        let integrations = told.iter().map(|told| told.integration_id.clone());
        let integrations = plan.statement.texts(integrations.collect());
        let sequences = told.iter().map(|told| told.sequence.to_string());
        let sequences = plan.statement.texts(sequences.collect());
        let rows = format!(
            "unnest({integrations}::text[], {sequences}::text[]::bigint[]) AS k(integration_id, sequence) \
             JOIN record_changes {alias} ON {alias}.integration_id = k.integration_id AND {alias}.sequence = k.sequence \
             WHERE {visible}"
        );
        self.shown_rows(plan, &alias, &rows)
    }

    /// SQL of the first changes behind the follower's place, up to `until`.
    fn missed_rows(&self, plan: &mut Plan<'a>, until: i64, limit: i64) -> String {
        let visible = plan.visible("i.id");
        let fulfilled = filter_sql::condition(&mut plan.statement, &self.filter, "c");
        let after = plan.statement.bigint(self.shown);
        let until = plan.statement.bigint(until);
        format!(
            "SELECT m.* FROM integrations i CROSS JOIN LATERAL (SELECT c.* FROM record_changes c \
             WHERE c.integration_id = i.id AND c.sequence > {after} AND c.sequence <= {until} AND {fulfilled} \
             ORDER BY c.sequence LIMIT {limit}) m WHERE {visible} ORDER BY m.sequence LIMIT {limit}"
        )
    }

    /// The shared reader went on without the follower.
    async fn note_missed(&mut self, until: i64) -> ServerResult<()> {
        let this = &*self;
        let count: i64 = source::ask(this.ctx, |plan| {
            let rows = this.missed_rows(plan, until, FARTHEST_BEHIND + 1);
            Ok(Part::plain(format!("(SELECT count(*) FROM ({rows}) c)")))
        })
        .await?;
        if count > FARTHEST_BEHIND {
            return Err(self.too_far_behind());
        }
        self.missed_until = Some(until);
        Ok(())
    }

    fn too_far_behind(&self) -> ServerError {
        let message = format!(
            "this subscription is more than {FARTHEST_BEHIND} changes behind; read on with recordChanges at the cursor in extensions.after"
        );
        errors::error(Code::Timeout, message).into_server_error(self.ctx.item.pos)
    }

    async fn read_missed(&mut self, until: i64) -> ServerResult<Vec<Read>> {
        let this = &*self;
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let read: Vec<Read> = source::ask(this.ctx, |plan| {
            let alias = plan.alias();
            let rows = this.missed_rows(plan, until, limit);
            this.shown_rows(plan, &alias, &format!("({rows}) {alias}"))
        })
        .await?;
        if read.len() < PAGE {
            self.missed_until = None;
            self.followed.has_read(until);
            self.shown = until;
        }
        Ok(read)
    }

    async fn read_waiting(&mut self) -> ServerResult<Vec<Read>> {
        let told: Vec<Told> = self.waiting.iter().take(PAGE).cloned().collect();
        let this = &*self;
        let read = source::ask(this.ctx, |plan| this.chosen(plan, &told)).await?;
        self.waiting.drain(..told.len());
        Ok(read)
    }
}

impl Source for Changes<'_> {
    async fn next(&mut self) -> ServerResult<Vec<Box<RawValue>>> {
        let read = if !self.waiting.is_empty() {
            self.read_waiting().await?
        } else if let Some(until) = self.missed_until {
            self.read_missed(until).await?
        } else {
            match self.followed.next().await {
                News::Changes(told) => {
                    let wanted = told.into_iter().filter(|told| self.wants(told));
                    self.waiting = wanted.collect();
                }
                News::Missed { until } => {
                    self.shown = self.followed.given();
                    self.note_missed(until).await?;
                }
            }
            return Ok(Vec::new());
        };
        if let Some(last) = read.last() {
            self.shown = self.shown.max(last.sequence);
        }
        Ok(read.into_iter().map(|read| read.change).collect())
    }

    fn has_ended(&self) -> bool {
        false
    }

    fn goes_on_at(&self) -> Option<String> {
        Some(ids::cursor("SEQUENCE", self.shown))
    }
}
