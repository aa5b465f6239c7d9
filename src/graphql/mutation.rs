//! The mutation root: what can be done.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;

use super::answers::{Integration, SyncRun, SyncRuns};
use super::errors::{self, Code};
use super::life;
use super::words::{KomboEndpoint, SyncMode};
use crate::auth::{Scope, Viewer};
use crate::db::Connection;
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

/// What Kombo answered to `requestKomboSync`.
#[derive(SimpleObject)]
struct RequestKomboSyncPayload {
    /// Whether a sync was waiting or running at Kombo already; `syncId` is that one.
    already_queued: bool,
    /// Kombo's id of the sync.
    sync_id: String,
    /// How far it goes; may differ from what was asked for.
    mode: SyncMode,
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
        let (viewer, engine) = admin(ctx)?;
        let now = (engine.clock)();
        let mut connection = connection(engine).await?;
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

    /// Cancels a sync run that waits or works; what it has stored stays, and the watermark stays where it was. The
    /// schedule leaves the endpoint alone for one catch-up interval and then fetches what was missed; webhooks and
    /// `triggerResync` do not wait.
    async fn cancel_sync_run(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run's opaque id.")] id: ID,
    ) -> Result<SyncRun> {
        let (viewer, engine) = admin(ctx)?;
        life::cancel(engine, viewer, &id).await.map(SyncRun)
    }

    /// Removes the rows that the removal guard held back in a run: at most those that `heldBackRemovals` shows,
    /// and none that Kombo has shown again since.
    async fn approve_removals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run's opaque id.")] run_id: ID,
    ) -> Result<SyncRun> {
        let (viewer, engine) = admin(ctx)?;
        life::approve_removals(engine, viewer, &run_id)
            .await
            .map(SyncRun)
    }

    /// Mirrors an integration from now on; queues what was never fetched. One that lives is left as it is, and
    /// one that was deleted is taken up again and fetched in full.
    async fn register_integration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Kombo's integration id.")] kombo_id: ID,
    ) -> Result<Integration> {
        let (viewer, engine) = admin(ctx)?;
        life::register(engine, viewer, &kombo_id).await?;
        Ok(Integration(kombo_id.0))
    }

    /// Leaves an integration alone: nothing is fetched, and a run that is working goes back to the queue with what
    /// it has. Webhooks are still accepted, and what they ask for waits.
    async fn pause_integration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Kombo's integration id.")] kombo_id: ID,
    ) -> Result<Integration> {
        let (viewer, engine) = admin(ctx)?;
        life::pause(engine, viewer, &kombo_id).await?;
        Ok(Integration(kombo_id.0))
    }

    /// Takes a paused integration up again, each run where it stopped.
    async fn resume_integration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Kombo's integration id.")] kombo_id: ID,
    ) -> Result<Integration> {
        let (viewer, engine) = admin(ctx)?;
        life::resume(engine, viewer, &kombo_id).await?;
        Ok(Integration(kombo_id.0))
    }

    /// Asks Kombo itself to pull from the learning system again (`POST /force-sync`); the data arrives later, by
    /// webhook. Meant for a person who waits, not for schedules.
    async fn request_kombo_sync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The integration's Kombo id.")] integration_kombo_id: ID,
        #[graphql(
            desc = "How far Kombo's sync goes; only FULL finds deletions.",
            default_with = "SyncMode::Full"
        )]
        mode: SyncMode,
    ) -> Result<RequestKomboSyncPayload> {
        let (viewer, engine) = admin(ctx)?;
        let sync =
            life::request_kombo_sync(engine, viewer, &integration_kombo_id, mode.into()).await?;
        Ok(RequestKomboSyncPayload {
            already_queued: sync.already_queued,
            sync_id: sync.sync_id,
            mode: Mode::from_text(&sync.mode).into(),
        })
    }
}

/// Who asks, if they may change something, and what it is done with.
fn admin<'c>(ctx: &Context<'c>) -> Result<(&'c Viewer, &'c Engine)> {
    let viewer = ctx.data::<Viewer>()?;
    if viewer.scope != Scope::Admin {
        return Err(errors::needs_admin());
    }
    Ok((viewer, ctx.data::<Engine>()?))
}

/// A connection to the mirror.
pub(super) async fn connection(engine: &Engine) -> Result<Connection> {
    let connection = engine.pool.get().await;
    connection.map_err(|error| errors::internal(&error.into()))
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
