//! The inbox of webhook events: durable, and each event once.
//!
//! An event and what follows from it (registrations, queued runs) are committed together before the sender
//! gets its 200; after that nothing may be lost. A second delivery finds the first and changes nothing.

mod joining;

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::Bool;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::db::{self, Statement};
use crate::integrations::{self, Details};
use crate::queue::{self, Request, Trigger};
use crate::sync::plan;

/// The table as diesel sees it; a test holds it equal to the migrated database.
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub mod schema {
    diesel::table! {
        /// Accepted events.
        webhook_events (id) {
            id -> Text,
            #[sql_name = "type"]
            kind -> Text,
            integration_id -> Nullable<Text>,
            received_at -> Timestamptz,
            duplicates -> Integer,
            changed_models -> Array<Text>,
            outcome -> Text,
            run_ids -> Array<BigInt>,
            payload -> Text,
        }
    }
}
use schema::webhook_events;

/// The category of the integrations that are mirrored; Kombo has other products too.
const LMS: &str = "LMS";

/// An event whose signature was good.
#[derive(Debug, Clone)]
pub struct Event {
    /// Kombo's event id, or a digest of the body where it has none.
    pub id: String,
    /// Kombo's word for it, verbatim.
    pub kind: String,
    /// The body as received.
    pub payload: String,
    /// What it says.
    pub content: Content,
}

/// What an event says, as far as the mirror cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// News of an integration.
    News {
        /// Which.
        integration_id: String,
        /// What the event says of it.
        details: Details,
        /// What happened.
        news: News,
    },
    /// Nothing that a mirror acts on: another kind, or one that lacks what it must have.
    Other {
        /// Where the event names one.
        integration_id: Option<String>,
        /// Why a kind that is known cannot be used.
        fault: Option<&'static str>,
    },
}

/// What happened to an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Rows of these models changed, by Kombo's names; `None`: the names could not be read.
    DataChanged(Option<Vec<String>>),
    /// It was connected.
    Created,
    /// Its state moved; the details say to what.
    StateChanged,
    /// Kombo's own sync with the learning system ended, whether it changed anything or not.
    SyncFinished {
        /// When, by Kombo's clock.
        ended_at: Option<DateTime<Utc>>,
        /// Kombo's word for how; an open set.
        state: Option<String>,
    },
    /// Something is wrong with it, or no longer is.
    IssueChanged,
    /// It was deleted.
    Deleted,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one run was added.
    QueuedSync,
    /// All its runs were already waiting.
    Coalesced,
    /// Only the knowledge of an integration changed.
    IntegrationUpdated,
    /// Stored, nothing to do.
    Ignored,
    /// Received before.
    Duplicate,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::QueuedSync,
        Self::Coalesced,
        Self::IntegrationUpdated,
        Self::Ignored,
        Self::Duplicate,
    ];

    /// The word in tables and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueuedSync => "QUEUED_SYNC",
            Self::Coalesced => "COALESCED",
            Self::IntegrationUpdated => "INTEGRATION_UPDATED",
            Self::Ignored => "IGNORED",
            Self::Duplicate => "DUPLICATE",
        }
    }
}

/// How often the transaction is tried when two writers meet.
const TRANSACTION_TRIES: u32 = 5;

/// Stores an event and all that follows from it, in one transaction.
///
/// # Errors
/// Whatever Postgres says; then nothing is stored and the sender must try again.
pub async fn accept(
    connection: &mut AsyncPgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> QueryResult<Outcome> {
    let mut tries = 1;
    loop {
        match accept_once(connection, event, now).await {
            Err(error) if tries < TRANSACTION_TRIES && db::is_serialization_failure(&error) => {
                tries += 1;
            }
            result => return result,
        }
    }
}

async fn accept_once(
    connection: &mut AsyncPgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> QueryResult<Outcome> {
    if joining::join(connection, event, now).await? {
        return Ok(Outcome::Coalesced);
    }
    connection
        .transaction(async |connection| {
            if !store(connection, event, now).await? {
                return Ok(Outcome::Duplicate);
            }
            let (outcome, run_ids) = follow(connection, event, now).await?;
            diesel::update(webhook_events::table.find(&event.id))
                .set((
                    webhook_events::outcome.eq(outcome.as_str()),
                    webhook_events::run_ids.eq(run_ids),
                ))
                .execute(connection)
                .await?;
            Ok(outcome)
        })
        .await
}

/// Stores the event; false when it was there already, which is counted on the first one's row.
async fn store(
    connection: &mut AsyncPgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        fresh: bool,
    }
    let mut statement = Statement::fixed();
    let insert = inserting(
        &mut statement,
        event,
        Outcome::Ignored,
        "'{}'::bigint[]",
        now,
    );
    // xmax is 0 on a row that this statement inserted
    statement.push(&format!(
        "{insert} ON CONFLICT (id) DO UPDATE SET duplicates = e.duplicates + 1 RETURNING (xmax = 0) AS fresh",
    ));
    let row: Row = statement.get_result(connection).await?;
    Ok(row.fresh)
}

/// `INSERT INTO webhook_events AS e … SELECT …`, without what follows the values; `run_ids` is SQL.
fn inserting(
    statement: &mut Statement,
    event: &Event,
    outcome: Outcome,
    run_ids: &str,
    now: DateTime<Utc>,
) -> String {
    let models = match &event.content {
        Content::News {
            news: News::DataChanged(Some(models)),
            ..
        } => models.clone(),
        _ => Vec::new(),
    };
    let id = statement.text(&event.id);
    let kind = statement.text(&event.kind);
    let integration = statement.nullable_texts(vec![event.content.integration_id()]);
    let models = statement.texts(models);
    let payload = statement.text(&event.payload);
    let now = statement.time(Some(now));
    let outcome = outcome.as_str();
    format!(
        "INSERT INTO webhook_events AS e \
           (id, type, integration_id, received_at, changed_models, payload, outcome, run_ids) \
         SELECT {id}, {kind}, ({integration}::text[])[1], {now}, {models}::text[], {payload}, '{outcome}', {run_ids}"
    )
}

/// What became of an event, and its runs.
type Followed = (Outcome, Vec<i64>);

/// Does what the event asks for.
async fn follow(
    connection: &mut AsyncPgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> QueryResult<Followed> {
    let Content::News {
        integration_id,
        details,
        news,
    } = &event.content
    else {
        return Ok((Outcome::Ignored, Vec::new()));
    };
    if !is_lms(details) {
        return Ok((Outcome::Ignored, Vec::new()));
    }
    let heeded = if *news == News::Deleted {
        delete(connection, integration_id, now).await?
    } else {
        integrations::register(connection, integration_id, details, now).await?
    };
    // of a deleted integration nothing is news (F63)
    if !heeded {
        return Ok((Outcome::Ignored, Vec::new()));
    }
    if let News::DataChanged(models) = news {
        queue::wake(connection, integration_id, now).await?;
        let models = models.as_deref();
        return enqueue(connection, integration_id, models, &event.id, now).await;
    }
    heed(connection, integration_id, details, news, now).await?;
    Ok((Outcome::IntegrationUpdated, Vec::new()))
}

/// Notes an integration's end; false where it was known.
async fn delete(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let is_news = integrations::mark_deleted(connection, integration_id, now).await?;
    if is_news {
        queue::cancel_open(connection, integration_id, now).await?;
    }
    Ok(is_news)
}

/// Does what follows from news without changed data. A first load, if one is due, is the schedule's to add.
async fn heed(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    details: &Details,
    news: &News,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    match news {
        News::SyncFinished { ended_at, state } => {
            if let Some(ended_at) = ended_at {
                let state = state.as_deref();
                integrations::note_kombo_sync(connection, integration_id, *ended_at, state, now)
                    .await?;
            }
            if state.as_deref().is_none_or(brought_data) {
                queue::wake(connection, integration_id, now).await?;
            }
        }
        News::StateChanged => {
            if details.state_as_of.is_none() {
                // it may be old news: only Kombo can tell
                integrations::make_details_due(connection, integration_id, now).await?;
            }
            if details.state.as_deref() == Some("ACTIVE") {
                integrations::forget_refusals(connection, integration_id).await?;
            }
            queue::wake(connection, integration_id, now).await?;
        }
        News::IssueChanged => {
            integrations::make_details_due(connection, integration_id, now).await?;
        }
        News::Created => {
            queue::wake(connection, integration_id, now).await?;
        }
        News::DataChanged(_) | News::Deleted => {}
    }
    Ok(())
}

/// Whether a sync of Kombo's that ended so may have brought what runs wait for.
fn brought_data(sync_state: &str) -> bool {
    matches!(sync_state, "SUCCEEDED" | "PARTIALLY_FAILED")
}

async fn enqueue(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    models: Option<&[String]>,
    event_id: &str,
    now: DateTime<Utc>,
) -> QueryResult<Followed> {
    let mut run_ids = Vec::new();
    let mut all_coalesced = true;
    for request in requests(integration_id, models, event_id) {
        let enqueued = queue::enqueue(connection, &request, now).await?;
        all_coalesced &= enqueued.coalesced;
        run_ids.push(enqueued.run_id);
    }
    let outcome = match (run_ids.is_empty(), all_coalesced) {
        (true, _) => Outcome::Ignored,
        (false, true) => Outcome::Coalesced,
        (false, false) => Outcome::QueuedSync,
    };
    Ok((outcome, run_ids))
}

/// What an event with these models wants fetched.
fn requests<'a>(
    integration_id: &'a str,
    models: Option<&[String]>,
    event_id: &str,
) -> Vec<Request<'a>> {
    let runs = models.map_or_else(plan::runs_for_anything, plan::runs_for);
    let request = |(endpoint, mode)| Request {
        integration_id,
        endpoint,
        mode,
        trigger: Trigger::Webhook,
        reason: json!({ "webhookEvent": event_id, "changedModels": models }),
        requested_by: None,
    };
    runs.into_iter().map(request).collect()
}

/// Events of other products are stored and left alone; one that names no category is taken for ours.
fn is_lms(details: &Details) -> bool {
    details
        .category
        .as_deref()
        .is_none_or(|category| category == LMS)
}

impl Content {
    fn integration_id(&self) -> Option<String> {
        match self {
            Self::News { integration_id, .. } => Some(integration_id.clone()),
            Self::Other { integration_id, .. } => integration_id.clone(),
        }
    }
}
