//! A connection that waits for notifications (`LISTEN`), beside the pool.
//!
//! Why beside it: notifications belong to one session for as long as that lives. It must never be what
//! correctness rests on: a notification that is sent while nobody listens is gone.

use anyhow::{Context as _, anyhow};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::{POOL_WAIT, tls};

/// Hears what is notified on one channel.
pub struct Listener(AsyncPgConnection);

impl Listener {
    /// Connects as the pool does, and listens.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn connect(url: &SecretString, channel: &'static str) -> anyhow::Result<Self> {
        let target = tls::Target::parse(url.expose_secret())?;
        let listening = async {
            let mut connection = tls::connect(target).await?;
            connection
                .batch_execute(&format!("LISTEN {channel}"))
                .await?;
            anyhow::Ok(Self(connection))
        };
        tokio::time::timeout(POOL_WAIT, listening)
            .await
            .context("the database did not answer in time")?
    }

    /// Waits for the next notification and returns what it says.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn heard(&mut self) -> anyhow::Result<String> {
        let mut notifications = std::pin::pin!(self.0.notifications_stream());
        match notifications.next().await {
            Some(notification) => Ok(notification?.payload),
            None => Err(anyhow!("the connection ended")),
        }
    }
}
