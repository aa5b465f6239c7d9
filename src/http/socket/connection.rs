//! One socket from its first message to its last.
//!
//! One task serves it: it reads, runs the operations, and writes, one message at a time. While a message is on its
//! way no operation goes on, so a slow peer holds no more than what was made ready for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response, Value};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use chrono::{DateTime, Utc};
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, StreamExt as _, abortable, once};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::asked;
use super::message::{self, Closing, Said};
use super::{App, PROTOCOL, largest_message, viewer};
use crate::auth::Viewer;
use crate::config::SocketSettings;
use crate::graphql::{self, Code};
use crate::serve::{self, Stop};
use crate::trace::{Trace, Traced};

/// How long a peer has to answer a farewell.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A token that lives longer than this has its socket closed by then as well; the client comes again.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What an operation brings.
enum Brought {
    Response(Box<Response>),
    End,
}

type Operations = SelectAll<BoxStream<'static, (String, Brought)>>;

/// How a socket ended.
enum End {
    /// With a farewell of ours.
    Closed(Closing),
    /// The peer says farewell.
    Left,
    /// The peer is gone.
    Gone,
}

impl From<Closing> for End {
    fn from(closing: Closing) -> Self {
        Self::Closed(closing)
    }
}

pub(super) struct Connection {
    socket: WebSocket,
    app: Arc<App>,
    stop: Stop,
    /// The header of the upgrade, for clients that can send one.
    authorization: Option<String>,
    /// Known once the client has said who it is.
    viewer: Option<Viewer>,
    /// Who has not said it by then, or whose token expires then, has to go.
    deadline: Option<Instant>,
    operations: Operations,
    running: HashMap<String, AbortHandle>,
    heard_at: Instant,
    ping_at: Instant,
}

impl Connection {
    pub(super) fn new(socket: WebSocket, app: Arc<App>, authorization: Option<String>) -> Self {
        let now = Instant::now();
        let settings = app.sockets.settings.clone();
        Self {
            socket,
            stop: app.engine.stop.clone(),
            authorization,
            viewer: None,
            deadline: Some(now + settings.init_wait),
            operations: SelectAll::new(),
            running: HashMap::new(),
            heard_at: now,
            ping_at: now + settings.ping_every,
            app,
        }
    }

    fn settings(&self) -> &SocketSettings {
        &self.app.sockets.settings
    }

    pub(super) async fn serve(mut self) {
        let end = if self.socket.protocol().is_some_and(|name| name == PROTOCOL) {
            loop {
                if let Err(end) = self.step().await {
                    break end;
                }
            }
        } else {
            Closing::other_protocol().into()
        };
        // first what it holds, then the words
        self.operations.clear();
        match end {
            End::Closed(closing) => {
                tracing::debug!(code = closing.code, reason = %closing.reason, "a socket is closed");
                self.say_goodbye(closing).await;
            }
            // the answer is on its way, and goes out with the next reading
            End::Left => self.hear_last_words().await,
            End::Gone => {}
        }
    }

    /// The next thing that happens.
    async fn step(&mut self) -> Result<(), End> {
        let wake_at = self
            .deadline
            .map_or(self.ping_at, |at| at.min(self.ping_at));
        tokio::select! {
            () = serve::stopped(self.stop.clone()) => Err(Closing::going_away().into()),
            message = self.socket.recv() => {
                self.heard_at = Instant::now();
                self.hear(message).await
            }
            Some((id, brought)) = self.operations.next(), if !self.operations.is_empty() => {
                self.pass_on(&id, brought).await
            }
            () = sleep_until(wake_at) => self.look_at_clock().await,
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Text(text))) => match Said::read(&text) {
                Ok(said) => self.obey(said).await,
                Err(what) => Err(Closing::malformed(&what).into()),
            },
            Some(Ok(Message::Binary(_))) => Err(Closing::malformed("it is no text").into()),
            // pings are answered below this level
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) => Err(End::Left),
            None => Err(End::Gone),
            Some(Err(error)) if is_too_big(&error) => {
                Err(Closing::too_big(largest_message(&self.app)).into())
            }
            Some(Err(_)) => Err(End::Gone),
        }
    }

    async fn obey(&mut self, said: Said) -> Result<(), End> {
        match said {
            Said::ConnectionInit { payload } => {
                let given = Said::authorization(payload.as_ref());
                self.init(given).await
            }
            Said::Ping { payload } => self.send(message::pong(payload.as_ref())).await,
            Said::Pong => Ok(()),
            Said::Subscribe { id, payload } => match asked::request(payload) {
                Ok(request) => self.subscribe(id, request).await,
                Err(what) => Err(Closing::malformed(&what).into()),
            },
            Said::Complete { id } => {
                if let Some(running) = self.running.remove(&id) {
                    running.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, given: Option<String>) -> Result<(), End> {
        if self.viewer.is_some() {
            return Err(Closing::init_again().into());
        }
        let authorization = given.or_else(|| self.authorization.take());
        let viewer = viewer(&self.app, authorization.as_deref()).await;
        let Some(viewer) = viewer else {
            return Err(Closing::forbidden().into());
        };
        self.deadline = viewer.expires_at.map(|end| self.moment_of(end));
        self.viewer = Some(viewer);
        self.send(message::acknowledged()).await
    }

    /// By the runtime's clock, when the other clock will show `end`.
    fn moment_of(&self, end: DateTime<Utc>) -> Instant {
        let left = end - (self.app.engine.clock)();
        Instant::now() + left.to_std().unwrap_or_default().min(LONGEST_LIFE)
    }

    async fn subscribe(&mut self, id: String, request: Request) -> Result<(), End> {
        let Some(viewer) = &self.viewer else {
            return Err(Closing::unauthorized().into());
        };
        if self.running.contains_key(&id) {
            return Err(Closing::subscriber_exists(&id).into());
        }
        let most = self.settings().operations;
        if self.running.len() >= most {
            let words = format!("a socket runs at most {most} operations at the same time");
            let errors = graphql::refused(Code::QueryTooComplex, &words).errors;
            return self.send(message::error(&id, &errors)).await;
        }
        let trace = Trace::begin();
        let span = graphql::span();
        // a document is checked here, before anything is awaited
        let responses = trace.sync_scope(|| {
            let schema = &self.app.schema;
            span.in_scope(|| schema.follow(request, viewer.clone(), &self.app.live))
        });
        let responses = Traced::new(trace, span, responses);
        let brought = responses
            .map(|response| Brought::Response(Box::new(response)))
            .chain(once(async { Brought::End }));
        let (brought, running) = abortable(brought);
        self.running.insert(id.clone(), running);
        self.operations
            .push(brought.map(move |brought| (id.clone(), brought)).boxed());
        Ok(())
    }

    async fn pass_on(&mut self, id: &str, brought: Brought) -> Result<(), End> {
        // what the client has completed meanwhile is dropped
        if !self.running.contains_key(id) {
            return Ok(());
        }
        match brought {
            Brought::Response(response) if is_end(&response) => {
                if let Some(running) = self.running.remove(id) {
                    running.abort();
                }
                self.send(message::error(id, &response.errors)).await
            }
            Brought::Response(response) => self.send(message::next(id, &response)).await,
            Brought::End => {
                self.running.remove(id);
                self.send(message::complete(id)).await
            }
        }
    }

    async fn look_at_clock(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(match self.viewer {
                None => Closing::init_too_late(),
                Some(_) => Closing::forbidden(),
            }
            .into());
        }
        let every = self.settings().ping_every;
        if self.ping_at <= now {
            if now.duration_since(self.heard_at) > 2 * every {
                return Err(End::Gone);
            }
            self.ping_at = now + every;
            self.write(Message::Ping(Vec::new().into())).await?;
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        let limit = self.settings().send_wait;
        match timeout(limit, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Says why, and waits a moment for the answer: words that are sent into a socket which is closed at once, with
    /// something unread in it, are lost.
    async fn say_goodbye(mut self, closing: Closing) {
        let frame = CloseFrame {
            code: closing.code,
            reason: closing.reason.into(),
        };
        if self.write(Message::Close(Some(frame))).await.is_ok() {
            self.hear_last_words().await;
        }
    }

    async fn hear_last_words(&mut self) {
        let heard = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        // an error means that the peer did not answer
        let _ = timeout(LAST_WORDS, heard).await;
    }
}

/// Whether the operation has ended with errors that belong to no field.
fn is_end(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

fn is_too_big(error: &axum::Error) -> bool {
    use std::error::Error as _;
    // the library wraps the one that says it and does not show its type
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    source.contains("too long") || error.to_string().contains("too long")
}
