//! How much WebSockets may take: the settings of `GET /graphql/ws`.

use std::time::Duration;

use super::RawSettings;
use super::read::Check;

/// Limits of WebSockets.
#[derive(Debug, Clone)]
pub struct SocketSettings {
    /// Sockets of this process at the same time; one more is answered 503 and may try another replica.
    pub connections: usize,
    /// Operations of one socket at the same time; one more gets the error QUERY_TOO_COMPLEX.
    pub operations: usize,
    /// A socket that has not said who it is by then is closed with 4408.
    pub init_wait: Duration,
    /// How often a quiet peer is pinged; one that was silent for twice as long is gone.
    pub ping_every: Duration,
    /// A peer that does not take a message for so long is gone.
    pub send_wait: Duration,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            operations: 50,
            init_wait: Duration::from_secs(10),
            ping_every: Duration::from_secs(30),
            send_wait: Duration::from_secs(30),
        }
    }
}

impl Check {
    pub(super) fn sockets(&mut self, raw: &RawSettings) -> SocketSettings {
        let default = SocketSettings::default();
        SocketSettings {
            connections: self.count(
                "SOCKET_CONNECTIONS",
                raw.socket_connections.as_ref(),
                default.connections,
                1..=1_000_000,
            ),
            operations: self.count(
                "SOCKET_OPERATIONS",
                raw.socket_operations.as_ref(),
                default.operations,
                1..=1000,
            ),
            ..default
        }
    }
}
