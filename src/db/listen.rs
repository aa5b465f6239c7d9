//! A connection that waits for notifications (`LISTEN`), beside the pool.
//!
//! Why beside it: notifications belong to one session for as long as that lives. It must never be what
//! correctness rests on: a notification that is sent while nobody listens is gone.

use anyhow::{Context as _, anyhow};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::{FutureExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{POOL_WAIT, target};

/// Hears what is notified on its channels.
pub struct Listener(AsyncPgConnection);

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was sent.
    pub channel: String,
    /// What it says.
    pub payload: String,
}

impl Listener {
    /// Connects as the pool does, and listens.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn connect(url: &SecretString, channel: &'static str) -> anyhow::Result<Self> {
        Self::connect_to_all(url, &[channel]).await
    }

    /// The same on several channels.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn connect_to_all(
        url: &SecretString,
        channels: &[&'static str],
    ) -> anyhow::Result<Self> {
        let target = target::Target::parse(url.expose_secret())?;
        let listening = async {
            let mut connection = target::connect(target).await?;
            for channel in channels {
                let listen = format!("LISTEN {channel}");
                connection.batch_execute(&listen).await?;
            }
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
        Ok(self.next().await?.payload)
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn next(&mut self) -> anyhow::Result<Heard> {
        let mut notifications = std::pin::pin!(self.0.notifications_stream());
        match notifications.next().await {
            Some(notification) => notification.map(Heard::from).map_err(Into::into),
            None => Err(anyhow!("the connection ended")),
        }
    }

    /// A notification that has arrived already.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn next_already_here(&mut self) -> anyhow::Result<Option<Heard>> {
        self.next().now_or_never().transpose()
    }

    /// The connection, to look by it at what was told of. What is notified meanwhile is heard afterwards.
    pub fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.0
    }
}

impl From<diesel::pg::PgNotification> for Heard {
    fn from(notification: diesel::pg::PgNotification) -> Self {
        Self {
            channel: notification.channel,
            payload: notification.payload,
        }
    }
}
