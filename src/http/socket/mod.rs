//! GraphQL over WebSocket: the sub-protocol `graphql-transport-ws`, as the npm package graphql-ws speaks it.
//!
//! Why not the library's: it closes with other codes than the protocol's, waits for ever for a client that says
//! nothing, replaces an operation whose id is used twice, and knows no limits. It must never look into what is
//! asked, and nothing of a socket may outlive it.

mod connection;
mod message;
mod origin;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::graphql::readable;
use super::{App, doors, refuse};
use crate::auth::Viewer;
use crate::config::SocketSettings;
use connection::Connection;

const PROTOCOL: &str = "graphql-transport-ws";

/// An idle socket holds this buffer; the default of 128 KiB would be the greatest part of what a subscriber costs.
const READ_BUFFER: usize = 4 * 1024;

/// How long sockets have to say goodbye when the process ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// The sockets of this process; cheap to clone.
#[derive(Clone)]
pub struct Sockets {
    settings: Arc<SocketSettings>,
    free: Arc<Semaphore>,
}

impl Sockets {
    /// None are open yet.
    #[must_use]
    pub fn new(settings: SocketSettings) -> Self {
        Self {
            free: Arc::new(Semaphore::new(settings.connections)),
            settings: Arc::new(settings),
        }
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.settings
            .connections
            .saturating_sub(self.free.available_permits())
    }

    /// Waits until all are closed, but not for long: a peer that does not answer must not keep the process.
    pub async fn closed(&self) {
        let all = u32::try_from(self.settings.connections).unwrap_or(u32::MAX);
        if tokio::time::timeout(FAREWELL, self.free.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!(sockets = self.open(), "sockets were cut off at the end");
        }
    }
}

pub(super) async fn open(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let is_off = app.auth.is_off();
    if !origin::is_welcome(&headers, &app.schema.settings().origins)
        || (is_off && !doors::is_local(&headers))
    {
        let message = "pages of this origin may not connect";
        return refuse(StatusCode::FORBIDDEN, "FORBIDDEN", message);
    }
    let Ok(place) = app.sockets.free.clone().try_acquire_owned() else {
        let message = "all sockets of this server are in use; try again later";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_SOCKETS", message);
    };
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let largest = largest_message(&app);
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_upgrade(move |socket| async move {
            Connection::new(socket, app, authorization).serve().await;
            drop(place);
        })
}

/// Bytes of a message: what a request may have by HTTP.
fn largest_message(app: &App) -> usize {
    readable(app.schema.settings().body)
}

/// Who has connected: the one place where sockets ask.
async fn viewer(app: &App, authorization: Option<&str>) -> Option<Viewer> {
    app.auth.viewer(authorization).await.ok()
}
