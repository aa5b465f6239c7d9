//! What is followed live.

mod follow;
mod sockets;

use std::time::Duration;

use async_graphql::{Request, Response};
use futures_util::stream::{BoxStream, StreamExt as _};
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::config::{GraphqlSettings, SocketSettings};
use kombo_mirror::graphql::Schema;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{eventually, text};
use crate::support::socket::Socket;

const RUN: &str = "{ id status pagesFetched recordsReceived }";
const CHANGES: &str =
    "subscription { recordChanged { sequence model komboId kind record { komboId } } }";
const FEED: &str =
    "SELECT sequence::text AS sequence FROM record_changes ORDER BY record_changes.sequence";

/// Cuts the connection that listens for this process's followers, whatever it did last.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) AS count FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid() \
     AND (query = 'LISTEN kombo_mirror_changes' OR query LIKE 'SELECT m.* FROM % record_changes %' \
     OR query LIKE '% AS last FROM %')";

impl TestApp {
    async fn socket(&self, token: &str) -> Socket {
        Socket::of(self.address, token).await
    }

    pub(crate) async fn wait_for_followers(&self, wanted: (usize, usize)) {
        eventually("they follow", async || self.live.followers() == wanted).await;
    }

    /// An operation of somebody who sees some integrations only.
    fn follow(&self, integrations: &[&str], query: &str) -> BoxStream<'static, Response> {
        let viewer = Viewer {
            scope: Scope::Read,
            integrations: Some(integrations.iter().map(|id| (*id).to_owned()).collect()),
            name: "somebody".to_owned(),
            expires_at: None,
        };
        let schema = Schema::new(Some(self.engine.clone()), &GraphqlSettings::default());
        schema.follow(Request::new(query), viewer, &self.live)
    }

    async fn feed(&self) -> Vec<String> {
        let rows = self.rows(FEED).await;
        rows.iter().map(|row| text(&row["sequence"])).collect()
    }
}

fn json_of(response: &Response) -> Value {
    serde_json::to_value(response).expect("JSON")
}

async fn next(stream: &mut BoxStream<'static, Response>) -> Value {
    let next = tokio::time::timeout(Duration::from_secs(60), stream.next());
    json_of(&next.await.expect("something comes").expect("it goes on"))
}

async fn with_sockets(sockets: SocketSettings) -> TestApp {
    TestApp::with(Setup {
        sockets,
        ..Setup::default()
    })
    .await
}
