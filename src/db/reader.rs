//! A connection for reading, and the statements that it has prepared.
//!
//! Why not diesel's: its cache of prepared statements either knows no end or holds nothing. The statements of
//! readers are theirs to choose, so their number has no end; but an application asks the same few again and again,
//! and planning such a statement costs several times what running it does. So a text is prepared when it comes for
//! the second time, and what was not asked for longest is forgotten.
//!
//! Whoever asks also moves the bytes: a task of its own for each connection would have to be woken twice for each
//! statement, mostly on another core, which costs as much as a small statement itself. It must never run a statement outside the second
//! wall that belongs behind it.

use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::Poll;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::{self, FusedFuture as _};
use lru::LruCache;
use tokio_postgres::{Client, Row};

use super::statement::Wire;
use super::target::{Talk, Target};
use super::{Statement, target, wall};

/// Texts that a connection remembers to have seen once; a fingerprint each.
const SEEN_ONCE: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
/// Bytes of prepared statements' texts at most. Postgres keeps some 20 to 40 bytes for each of them.
const PREPARED_BYTES: usize = 256 * 1024;
/// A text of more bytes is never prepared.
const LONGEST_PREPARED: usize = PREPARED_BYTES / 8;

/// A connection that reads.
pub(super) struct Reader {
    client: Client,
    talk: Talk,
    prepared: Prepared,
}

/// What is prepared on a connection.
struct Prepared {
    /// By text, and whether it ran behind the wall: there it has another plan.
    by_text: LruCache<(bool, String), tokio_postgres::Statement>,
    bytes: usize,
    seen_once: LruCache<u64, ()>,
}

/// How a statement goes to the database.
enum Way {
    Prepared(tokio_postgres::Statement),
    Unprepared,
}

impl Reader {
    pub(super) async fn connect(target: Target) -> anyhow::Result<Self> {
        let (client, mut talk) = target::connect_halves(target).await?;
        // what the URL says must not win: these sessions write nothing. Not by the options of the connection: a URL
        // that asks for a server that takes writes would find none.
        let read_only = "SET default_transaction_read_only = on";
        while_talking(&mut talk, client.batch_execute(read_only)).await?;
        // the database looks every second whether the client of a statement is still there; not where its system
        // cannot tell: there the statement's own limit ends it
        let look = "SET client_connection_check_interval = '1s'";
        let _ = while_talking(&mut talk, client.batch_execute(look)).await;
        Ok(Self {
            client,
            talk,
            prepared: Prepared {
                by_text: LruCache::unbounded(),
                bytes: 0,
                seen_once: LruCache::new(SEEN_ONCE),
            },
        })
    }

    /// Whether the database ended the connection.
    pub(super) async fn is_closed(&mut self) -> bool {
        let talk = &mut self.talk;
        poll_fn(|cx| {
            let _ = talk.poll_unpin(cx);
            Poll::Ready(talk.is_terminated())
        })
        .await
    }

    /// The only value of the statement's first row.
    pub(super) async fn answer(
        &mut self,
        statement: &Statement,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let wire = statement.wire()?;
        let (client, prepared) = (&self.client, &mut self.prepared);
        let asked = async {
            let way = prepared.way(client, &wire, false).await?;
            run(client, &wire, way).await
        };
        value(while_talking(&mut self.talk, asked).await?)
    }

    /// The same behind the second wall, in two round trips: the wall stands before the statement is sent.
    pub(super) async fn answer_behind(
        &mut self,
        statement: &Statement,
        integrations: &[String],
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let wire = statement.wire()?;
        let raise = wall::raised_for(integrations);
        let raise = raise.wire()?;
        let (client, prepared) = (&self.client, &mut self.prepared);
        let asked = async {
            let way = prepared.way(client, &wire, true).await?;
            let raise_way = prepared.way(client, &raise, true).await?;
            let begun = client.batch_execute("BEGIN READ ONLY");
            let stands = match future::join(begun, run(client, &raise, raise_way)).await {
                (Ok(()), Ok(_)) => Ok(()),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            if let Err(error) = stands {
                client.batch_execute("ROLLBACK").await?;
                return Err(error);
            }
            // after an error COMMIT rolls back
            let ended = client.batch_execute("COMMIT");
            let (rows, ended) = future::join(run(client, &wire, way), ended).await;
            let rows = rows?;
            ended.map(|()| rows)
        };
        value(while_talking(&mut self.talk, asked).await?)
    }
}

/// Waits for an answer and moves the connection's bytes meanwhile.
async fn while_talking<T>(talk: &mut Talk, asked: impl Future<Output = T>) -> T {
    let mut asked = pin!(asked);
    poll_fn(|cx| {
        // it may have something to send, and what has arrived is for it
        if let Poll::Ready(answer) = asked.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        // once it has ended it is dropped, which whoever asks is told
        let _ = talk.poll_unpin(cx);
        asked.as_mut().poll(cx)
    })
    .await
}

impl Prepared {
    async fn way(
        &mut self,
        client: &Client,
        wire: &Wire<'_>,
        is_behind: bool,
    ) -> Result<Way, tokio_postgres::Error> {
        let key = (is_behind, wire.sql.clone());
        if let Some(prepared) = self.by_text.get(&key) {
            return Ok(Way::Prepared(prepared.clone()));
        }
        if wire.sql.len() > LONGEST_PREPARED || !self.was_seen(&key) {
            return Ok(Way::Unprepared);
        }
        let types: Vec<_> = wire.values.iter().map(|(_, ty)| ty.clone()).collect();
        let prepared = client.prepare_typed(&wire.sql, &types).await?;
        self.bytes += wire.sql.len();
        self.by_text.put(key, prepared.clone());
        while self.bytes > PREPARED_BYTES {
            // with its last use the statement is closed on the server as well
            let Some(((_, sql), _)) = self.by_text.pop_lru() else {
                break;
            };
            self.bytes -= sql.len();
        }
        Ok(Way::Prepared(prepared))
    }

    fn was_seen(&mut self, key: &(bool, String)) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.seen_once.put(hasher.finish(), ()).is_some()
    }
}

async fn run(
    client: &Client,
    wire: &Wire<'_>,
    way: Way,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    match way {
        Way::Prepared(statement) => {
            let values: Vec<_> = wire.values.iter().map(|(value, _)| *value).collect();
            client.query(&statement, &values).await
        }
        Way::Unprepared => client.query_typed(&wire.sql, &wire.values).await,
    }
}

fn value(rows: Vec<Row>) -> anyhow::Result<Option<Vec<u8>>> {
    rows.first().map_or(Ok(None), |row| {
        row.try_get(0).context("the answer is not binary")
    })
}
