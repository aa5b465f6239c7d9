//! A connection that one reader at a time has for itself.
//!
//! Whoever asks also moves the bytes: a task of its own for each connection would have to be woken twice for each
//! statement, mostly on another core, which costs as much as a small statement itself. It must never run a statement
//! outside the second wall that belongs behind it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::{self, FusedFuture as _};
use tokio_postgres::{Client, Row};

use super::prepared::{Prepared, run};
use super::statement::Wire;
use super::target::{Talk, Target};
use super::{target, wall};

/// A connection that reads.
pub(super) struct Reader {
    client: Client,
    talk: Talk,
    prepared: Prepared,
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
            prepared: Prepared::new(),
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
    pub(super) async fn answer(&mut self, wire: &Wire<'_>) -> anyhow::Result<Option<Vec<u8>>> {
        let (client, prepared) = (&self.client, &mut self.prepared);
        let asked = async {
            let way = prepared.way(client, wire, false).await?;
            run(client, wire, way).await
        };
        value(while_talking(&mut self.talk, asked).await?)
    }

    /// The same behind the second wall, in two round trips: the wall stands before the statement is sent.
    pub(super) async fn answer_behind(
        &mut self,
        wire: &Wire<'_>,
        integrations: &[String],
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let raise = wall::raised_for(integrations);
        let raise = raise.wire()?;
        let (client, prepared) = (&self.client, &mut self.prepared);
        let asked = async {
            let way = prepared.way(client, wire, true).await?;
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
            let (rows, ended) = future::join(run(client, wire, way), ended).await;
            let rows = rows?;
            ended.map(|()| rows)
        };
        value(while_talking(&mut self.talk, asked).await?)
    }

    /// What the planner expects a statement to cost, in its own units.
    pub(super) async fn cost(&mut self, wire: &Wire<'_>) -> anyhow::Result<usize> {
        let sql = format!("EXPLAIN {}", wire.sql);
        let asked = self.client.query_typed(&sql, &wire.values);
        let rows = while_talking(&mut self.talk, asked).await?;
        let plan: &str = rows.first().context("no plan")?.try_get(0)?;
        cost_of(plan).with_context(|| format!("a plan without a cost: {plan}"))
    }

    /// Whether a text is prepared here, so that it has come before.
    pub(super) fn knows(&mut self, wire: &Wire<'_>) -> bool {
        self.prepared.get(wire, false).is_some()
    }

    /// For whoever has a task of its own move the bytes.
    pub(super) fn into_halves(self) -> (Client, Talk) {
        (self.client, self.talk)
    }
}

/// The 8 of `… (cost=0.29..8.31 rows=1 width=40)`.
fn cost_of(plan: &str) -> Option<usize> {
    let (_, total) = plan.split_once("cost=")?.1.split_once("..")?;
    total.split_once('.')?.0.parse().ok()
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

/// The only value of the first row.
pub(super) fn value(rows: Vec<Row>) -> anyhow::Result<Option<Vec<u8>>> {
    rows.first().map_or(Ok(None), |row| {
        row.try_get(0).context("the answer is not binary")
    })
}
