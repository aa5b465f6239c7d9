//! What stands before several processes: hands each connection to one that lives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A balancer; ends when it is dropped.
pub(crate) struct Front {
    behind: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let behind = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let known = behind.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for turn in 0.. {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let by = turn % known.len().max(1);
                known.rotate_left(by);
                connections.spawn(hand_on(client, known));
            }
        });
        Self { behind, task }
    }

    /// Who is behind it from now on.
    pub(crate) fn leads_to(&self, behind: Vec<SocketAddr>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(mut client: TcpStream, to: Vec<SocketAddr>) {
    for address in to {
        if let Ok(mut server) = TcpStream::connect(address).await {
            // either may be cut off at any time
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
