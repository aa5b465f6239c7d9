//! From a source of news to the responses of a subscription.

use std::collections::VecDeque;
use std::time::Duration;

use async_graphql::indexmap::IndexMap;
use async_graphql::{Context, Name, Response, ServerError, ServerResult, Value};
use futures_util::stream::{self, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::super::form::Part;
use super::super::plan::Plan;
use super::super::select::{self, Selected};
use super::super::{errors, read};
use super::{Responses, brought};
use crate::auth::Viewer;

/// What a subscription follows.
pub(super) trait Source: Send {
    /// Waits for news and returns them as JSON objects of the field's type.
    fn next(&mut self) -> impl Future<Output = ServerResult<Vec<Box<RawValue>>>> + Send;

    /// Whether nothing can come any more.
    fn has_ended(&self) -> bool;

    /// Where a client that lost the subscription can go on; for the error that ends it.
    fn goes_on_at(&self) -> Option<String> {
        None
    }
}

struct Sent<S> {
    source: S,
    ready: VecDeque<Box<RawValue>>,
    failed: bool,
}

/// The responses of a field: one for each of the news, and at most one error, which is the last.
pub(super) fn responses<'a, S: Source + 'a>(
    ctx: &'a Context<'_>,
    followed: impl Future<Output = ServerResult<S>> + Send + 'a,
) -> Responses<'a> {
    let name = ctx.item.node.response_key().node.clone();
    let begun = stream::once(followed).flat_map(move |followed| match followed {
        Ok(source) => sent(name.clone(), source),
        Err(error) => Box::pin(stream::iter([ended_by(error, None)])),
    });
    Box::pin(begun)
}

fn sent<'a, S: Source + 'a>(name: Name, source: S) -> Responses<'a> {
    let state = Sent {
        source,
        ready: VecDeque::new(),
        failed: false,
    };
    Box::pin(stream::unfold(state, move |mut state| {
        let name = name.clone();
        async move {
            loop {
                if let Some(json) = state.ready.pop_front() {
                    let json = String::from(Box::<str>::from(json));
                    let data = IndexMap::from_iter([(name, read::raw(json))]);
                    return Some((Response::new(Value::Object(data)), state));
                }
                if state.failed || state.source.has_ended() {
                    return None;
                }
                match state.source.next().await {
                    Ok(news) => state.ready.extend(news),
                    Err(error) => {
                        state.failed = true;
                        let at = state.source.goes_on_at();
                        return Some((ended_by(error, at), state));
                    }
                }
            }
        }
    }))
}

/// The error that ends a subscription: it names no field, since no answer of it is left.
fn ended_by(mut error: ServerError, goes_on_at: Option<String>) -> Response {
    error.path.clear();
    if let Some(cursor) = goes_on_at {
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("after", cursor);
    }
    Response::from_errors(vec![error])
}

/// A plan for the viewer of a subscription.
pub(super) fn plan<'q>(ctx: &'q Context<'q>) -> ServerResult<Plan<'q>> {
    let viewer = brought::<Viewer>(ctx)?;
    Ok(Plan::new(ctx, viewer, read::now(ctx)))
}

/// What is asked of the subscription's field.
pub(super) fn selected<'q>(ctx: &'q Context<'q>) -> ServerResult<Selected<'q>> {
    let operation = &ctx.query_env.operation.node.selection_set.node;
    select::fields(&ctx.query_env.fragments, &["Subscription"], &[operation])
        .into_iter()
        .next()
        .ok_or_else(|| ServerError::new("nothing is asked for", Some(ctx.item.pos)))
}

/// Tries of a statement before the subscription is given up, with doubling pauses between them: half a minute in all.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Runs a statement whose answer is `T`: the one place where subscriptions read. A database that is away for a
/// moment costs a follower nothing but that moment.
pub(super) async fn ask<'q, T: DeserializeOwned>(
    ctx: &'q Context<'q>,
    part: impl Fn(&mut Plan<'q>) -> ServerResult<Part<'q>> + Send,
) -> ServerResult<T> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let (statement, form) = {
            let mut plan = plan(ctx)?;
            let part = part(&mut plan)?;
            plan.finished(part)?
        };
        // a standby may not have yet what was told
        match read::answer_up_to_date(ctx, statement, &form).await {
            Ok(value) => return parsed(ctx, value),
            Err(error) if attempt >= TRIES => return Err(error),
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    Err(ServerError::new("never tried", Some(ctx.item.pos)))
}

fn parsed<T: DeserializeOwned>(ctx: &Context<'_>, value: Value) -> ServerResult<T> {
    let text = read::text(value).unwrap_or_else(|| "null".to_owned());
    serde_json::from_str(&text).map_err(|error| {
        let error = anyhow::Error::from(error).context("reading what a subscription asked for");
        errors::internal(&error).into_server_error(ctx.item.pos)
    })
}
