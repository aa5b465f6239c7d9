//! The mutation root: what can be done.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{
    Context, ContextSelectionSet, ID, InputObject, Object, OutputType, Positioned, Result,
    ServerResult, SimpleObject, Value,
};
use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;

use super::errors::{self, Code};
use super::query::run_list;
use super::read;
use super::words::{KomboEndpoint, SyncMode};
use crate::auth::{Scope, Viewer};
use crate::integrations;
use crate::models::{self, Endpoint, Mode};
use crate::queue::{self, Enqueued, Request, Trigger};
use crate::sync::Engine;

/// The type `Mutation`.
pub(super) struct MutationRoot;

/// What to fetch again.
#[derive(InputObject)]
struct TriggerResyncInput {
    /// The integration's Kombo id; null: every live one.
    integration_kombo_id: Option<ID>,
    /// Which endpoints; null: all.
    endpoints: Option<Vec<KomboEndpoint>>,
    /// How far; FULL also notices absences and repairs drift.
    #[graphql(default_with = "Some(SyncMode::Full)")]
    mode: Option<SyncMode>,
}

/// The runs that fulfil a `triggerResync`.
#[derive(SimpleObject)]
struct TriggerResyncPayload {
    /// One run for each integration and endpoint; each was added, or was waiting already.
    runs: SyncRuns,
    /// Whether nothing was added: equal or stronger runs were waiting already.
    coalesced: bool,
}

/// Mutations; all need a token with the admin scope.
#[Object(name = "Mutation")]
impl MutationRoot {
    /// Fetches again, soon: adds sync runs to the queue, or joins those that are waiting already.
    async fn trigger_resync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to fetch.")] input: TriggerResyncInput,
    ) -> Result<TriggerResyncPayload> {
        let viewer = ctx.data::<Viewer>()?;
        if viewer.scope != Scope::Admin {
            return Err(errors::error(
                Code::Forbidden,
                "this needs a token with the admin scope",
            ));
        }
        let engine = ctx.data::<Engine>()?;
        let now = (engine.clock)();
        let mut connection = engine
            .pool
            .get()
            .await
            .map_err(|error| errors::internal(&error.into()))?;
        let integrations = integrations_for(&mut connection, viewer, &input).await?;
        let endpoints = endpoints_for(input.endpoints.as_deref());
        let mode = input.mode.map_or(Mode::Full, Mode::from);
        let enqueued = connection
            .transaction(async |connection| {
                enqueue_all(connection, &integrations, &endpoints, mode, viewer, now).await
            })
            .await
            .map_err(|error: diesel::result::Error| errors::internal(&error.into()))?;
        engine.doorbell.notify_waiters();
        Ok(TriggerResyncPayload {
            coalesced: !enqueued.is_empty() && enqueued.iter().all(|run| run.coalesced),
            runs: SyncRuns(enqueued.into_iter().map(|run| run.run_id).collect()),
        })
    }
}

/// The named integration, or every live one that the viewer may see.
async fn integrations_for(
    connection: &mut AsyncPgConnection,
    viewer: &Viewer,
    input: &TriggerResyncInput,
) -> Result<Vec<String>> {
    let live: Vec<String> = integrations::live_ids(connection)
        .await
        .map_err(|error| errors::internal(&error.into()))?
        .into_iter()
        .filter(|id| viewer.sees(id))
        .collect();
    match &input.integration_kombo_id {
        None => Ok(live),
        Some(id) if live.contains(&id.0) => Ok(vec![id.0.clone()]),
        Some(_) => Err(errors::error(
            Code::NotFound,
            "no live integration has this integrationKomboId",
        )),
    }
}

fn endpoints_for(asked: Option<&[KomboEndpoint]>) -> Vec<&'static Endpoint> {
    models::ALL
        .iter()
        .copied()
        .filter(|endpoint| {
            asked.is_none_or(|asked| asked.iter().any(|one| one.endpoint().name == endpoint.name))
        })
        .collect()
}

async fn enqueue_all(
    connection: &mut AsyncPgConnection,
    integrations: &[String],
    endpoints: &[&'static Endpoint],
    mode: Mode,
    viewer: &Viewer,
    now: DateTime<Utc>,
) -> diesel::QueryResult<Vec<Enqueued>> {
    let mut enqueued = Vec::new();
    for integration_id in integrations {
        for endpoint in endpoints.iter().copied() {
            let request = Request {
                integration_id,
                endpoint,
                mode,
                trigger: Trigger::Manual,
                reason: json!({ "triggerResync": mode.as_str() }),
                requested_by: Some(&viewer.name),
            };
            enqueued.push(queue::enqueue(connection, &request, now).await?);
        }
    }
    Ok(enqueued)
}

/// Runs by their ids, read like any other object.
struct SyncRuns(Vec<i64>);

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
        field: &Positioned<async_graphql::parser::types::Field>,
    ) -> ServerResult<Value> {
        let query = ctx.with_field(field);
        let statement = {
            let viewer = query
                .data::<Viewer>()
                .map_err(|error| error.into_server_error(field.pos))?;
            run_list(
                &query,
                viewer,
                read::now(&query),
                &self.0,
                &[&ctx.item.node],
            )?
        };
        read::answer(&query, statement).await
    }
}
