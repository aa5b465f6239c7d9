//! The tasks of a running simulator: the HTTP server, the sender of webhooks, the changes by themselves.
//!
//! Must never hold the lock while waiting.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::State as Handle;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::{self, Request};
use super::webhooks::{Event, WebhookTarget, sign};
use super::{RequestLog, Simulator, control, state};

/// How long a receiver of webhooks may take.
const RECEIVER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The sender looks at the clock this often even if nobody wakes it.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// The shortest time between two batches of changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(50);

/// The running tasks and the switch that ends them.
pub(super) struct Tasks {
    stop: watch::Sender<bool>,
    handles: Vec<(&'static str, JoinHandle<()>)>,
}

impl Tasks {
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for (name, mut handle) in self.handles {
            if tokio::time::timeout(STOP_TIMEOUT, &mut handle)
                .await
                .is_err()
            {
                tracing::debug!(task = name, "the simulator's task had to be cut off");
                handle.abort();
            }
        }
    }
}

/// Starts all tasks.
pub(super) fn spawn(
    simulator: &Simulator,
    listener: TcpListener,
    changes_per_second: f64,
) -> anyhow::Result<Tasks> {
    let (stop, stopped) = watch::channel(false);
    // A process has one default; if the server has chosen already, its choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(RECEIVER_TIMEOUT)
        .build()
        .context("the webhook client could not be built")?;
    let mut handles = vec![
        (
            "server",
            tokio::spawn(serve(simulator.clone(), listener, stopped.clone())),
        ),
        (
            "webhooks",
            tokio::spawn(send_webhooks(simulator.clone(), client, stopped.clone())),
        ),
    ];
    if changes_per_second > 0.0 {
        let changes = keep_changing(simulator.clone(), changes_per_second, stopped);
        handles.push(("changes", tokio::spawn(changes)));
    }
    Ok(Tasks { stop, handles })
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the switch is gone, which ends the task just as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn serve(simulator: Simulator, listener: TcpListener, stopped: watch::Receiver<bool>) {
    let routes = control::routes().fallback(kombo).with_state(simulator);
    let server = axum::serve(listener, routes).with_graceful_shutdown(until_stopped(stopped));
    if let Err(error) = server.await {
        tracing::error!(%error, "the simulator's server ended");
    }
}

/// Every request that is not for the control routes.
async fn kombo(
    Handle(simulator): Handle<Simulator>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(request) = Request::read(method, &uri, &headers, &body) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (answer, budget, now) = simulator.with(|state, now| {
        let (answer, budget) = api::answer(state, &request, now);
        state.remember(RequestLog {
            at: state::date(now),
            method: request.method.to_string(),
            path: request.path,
            query: request.pairs,
            integration_id: request.integration_id,
            status: answer.status,
        });
        (answer, budget, state::date(now))
    });
    if let Some(delay) = answer.delay {
        tokio::time::sleep(delay).await;
    }
    answer.into_response(now, budget)
}

async fn send_webhooks(
    simulator: Simulator,
    client: reqwest::Client,
    stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        () = until_stopped(stopped) => {}
        () = send_forever(&simulator, &client) => {}
    }
}

async fn send_forever(simulator: &Simulator, client: &reqwest::Client) {
    loop {
        let (event, nap) = simulator.with_sender();
        match event {
            Some((target, event)) => {
                let status = deliver(client, &target, &event).await;
                simulator.finish_event(event, status);
            }
            None => {
                let woken = simulator.shared.wake.notified();
                // A timeout is the ordinary case: nobody woke the sender, but time has passed.
                let _ = tokio::time::timeout(nap, woken).await;
            }
        }
    }
}

impl Simulator {
    /// The next event, or how long to wait for one.
    fn with_sender(&self) -> (Option<(WebhookTarget, Event)>, Duration) {
        let mut state = self.lock();
        let now = state.moment();
        state.settle(now);
        let event = state.outbox.take(now);
        let wait = state.outbox.next_due().map_or(LONGEST_NAP, |due| {
            Duration::from_millis(u64::try_from(due - now).unwrap_or(0).max(1))
        });
        if event.is_none() {
            self.shared.sent.notify_waiters();
        }
        (event, wait.min(LONGEST_NAP))
    }

    fn finish_event(&self, event: Event, status: Option<u16>) {
        self.lock().outbox.finish(event, status);
        self.shared.sent.notify_waiters();
    }
}

async fn deliver(client: &reqwest::Client, target: &WebhookTarget, event: &Event) -> Option<u16> {
    let request = client
        .post(&target.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            "X-Kombo-Signature",
            sign(&target.secret, event.body.as_bytes()),
        )
        .body(event.body.clone());
    match request.send().await {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => {
            tracing::debug!(%error, event.id, "the receiver of a simulated webhook did not answer");
            None
        }
    }
}

async fn keep_changing(simulator: Simulator, per_second: f64, stopped: watch::Receiver<bool>) {
    let interval = Duration::from_secs_f64((1.0 / per_second).min(3_600.0)).max(CHANGE_INTERVAL);
    let per_interval = per_second * interval.as_secs_f64();
    let mut owed = 0.0;
    let stopped = until_stopped(stopped);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(interval) => {}
        }
        owed += per_interval;
        let due = owed.floor();
        owed -= due;
        simulator.change_unless_paused(due as usize);
    }
}
