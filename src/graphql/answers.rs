//! What mutations answer with, read by the same plan as queries: there is no second way from a row to an answer.

use std::borrow::Cow;

use async_graphql::parser::types::{Field, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};

use super::form::Part;
use super::plan::{Plan, Query};
use super::query::bigints;
use super::records::INTEGRATION;
use super::status::SYNC_RUN;
use super::{read, select};
use crate::auth::Viewer;
use crate::models::object::Target;

/// Runs by their ids, in the order of the ids.
pub(super) struct SyncRuns(pub(super) Vec<i64>);

/// A run by its id.
pub(super) struct SyncRun(pub(super) i64);

/// An integration by Kombo's id.
pub(super) struct Integration(pub(super) String);

impl OutputType for SyncRuns {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("[SyncRun!]")
    }

    fn create_type_info(_registry: &mut Registry) -> String {
        Self::qualified_type_name()
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let query = ctx.with_field(field);
        answer(&query, &[&ctx.item.node], |plan, sets| {
            let alias = plan.alias();
            let object = plan.object(Target::Plain(&SYNC_RUN), &alias, sets)?;
            let row = plan.row(&object.columns)?;
            let ids = bigints(&self.0);
            let query = format!(
                "SELECT {row} FROM sync_runs {alias} WHERE {alias}.id IN ({ids}) ORDER BY {alias}.id"
            );
            Ok(Part::list(&query, object.form))
        })
        .await
    }
}

impl OutputType for SyncRun {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("SyncRun")
    }

    fn create_type_info(_registry: &mut Registry) -> String {
        Self::qualified_type_name()
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let query = ctx.with_field(field);
        answer(&query, &mentions(ctx, field), |plan, sets| {
            let alias = plan.alias();
            let object = plan.object(Target::Plain(&SYNC_RUN), &alias, sets)?;
            let row = plan.row(&object.columns)?;
            let id = bigints(&[self.0]);
            let sql = format!("(SELECT {row} FROM sync_runs {alias} WHERE {alias}.id = {id})");
            Ok(Part::record(sql, object.form))
        })
        .await
    }
}

impl OutputType for Integration {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("Integration")
    }

    fn create_type_info(_registry: &mut Registry) -> String {
        Self::qualified_type_name()
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let query = ctx.with_field(field);
        answer(&query, &mentions(ctx, field), |plan, sets| {
            let alias = plan.alias();
            let object = plan.object(Target::Plain(&INTEGRATION), &alias, sets)?;
            let row = plan.row(&object.columns)?;
            let id = plan.statement.text(self.0.as_str());
            let sql = format!("(SELECT {row} FROM integrations {alias} WHERE {alias}.id = {id})");
            Ok(Part::record(sql, object.form))
        })
        .await
    }
}

/// What is asked of a root field, by all its mentions: they are one answer (section 5.3.2 of the specification).
fn mentions<'q>(
    ctx: &ContextSelectionSet<'q>,
    field: &'q Positioned<Field>,
) -> Vec<&'q SelectionSet> {
    let operation = &ctx.query_env.operation.node.selection_set.node;
    let name = field.node.response_key().node.as_str();
    select::fields(&ctx.query_env.fragments, &["Mutation"], &[operation])
        .into_iter()
        .find(|selected| selected.response_name == name)
        .map_or_else(Vec::new, |selected| selected.below)
}

/// Reads the part that is made of a selection.
async fn answer<'q>(
    query: &'q Query<'q>,
    sets: &[&'q SelectionSet],
    part: impl FnOnce(&mut Plan<'q>, &[&'q SelectionSet]) -> ServerResult<Part<'q>>,
) -> ServerResult<Value> {
    let (statement, form) = {
        let viewer = query
            .data::<Viewer>()
            .map_err(|error| error.into_server_error(query.item.pos))?;
        let mut plan = Plan::new(query, viewer, read::now(query));
        let part = part(&mut plan, sets)?;
        plan.finished(part)?
    };
    let answer = read::answer_up_to_date(query, statement, &form).await;
    answer.map_err(|mut error| {
        // a field that resolves itself is in its own path already, and `with_field` put it there again
        error.path.pop();
        error
    })
}
