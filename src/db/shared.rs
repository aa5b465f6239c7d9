//! Connections that quick statements share.
//!
//! Why: a record by its key costs the database less than the calls of the system that carry it there and back, and less
//! than waking whoever waits for it. Over a connection that many share, what is asked at the same time goes out in one
//! call and comes back in one, and neither side sleeps in between: up to twice as many answers on the same cores. And
//! who asks little need not wait until those who ask much give a connection back.
//!
//! A shared connection answers one after the other, so only statements may share that the planner takes for quick.
//! Where one is slow all the same, the others do not wait for it: new ones go elsewhere at once, those behind it after a
//! moment. It must never run a statement that belongs behind the second wall, which is a transaction, and nothing that
//! writes: what fails here or takes too long is run again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use deadpool::Status;
use lru::LruCache;
use tokio_postgres::{Client, Row};

use super::POOL_WAIT;
use super::prepared::{Prepared, Way, prepare, run};
use super::reader::{Reader, value};
use super::statement::Wire;
use super::target::Target;

/// What the planner may expect of a quick statement, in its own units: a page read in order is one. A record by its key
/// is some 50, fifty records as many, fifty with three others each 1,300; with all in memory a unit is about a
/// microsecond.
const QUICK: usize = 250;
/// How long what the planner said is believed: a mirror grows.
const BELIEVED: Duration = Duration::from_secs(300);
/// Meanwhile somebody asks the planner.
const ASKED: Duration = Duration::from_secs(1);
/// Who has waited so long on a shared connection asks again on one of its own.
const PATIENCE: Duration = Duration::from_millis(250);
/// And so does whoever brings the same text within this: it was slow, or behind what was.
const ALONE: Duration = Duration::from_secs(5);
/// A connection with work that has answered nothing for so long is stuck: behind a lock, or on a cold disk. Longer than
/// the database's process waits for a core on a machine that is busy.
const STUCK: Duration = Duration::from_millis(50);
/// Texts whose cost is remembered.
const TEXTS: NonZeroUsize = NonZeroUsize::new(2048).expect("it is not zero");
/// What so many bytes of an answer weigh as much as a unit: they must be made and sent.
const BYTES_OF_UNIT: usize = 80;
/// A connection is full with so much in units, and the next one is taken as well: about a millisecond.
const FULL: usize = 800;
/// What would have to wait behind more than this is better off elsewhere.
const MOST: usize = 32 * FULL;
/// A connection that could not be opened is tried again after this.
const TRIED_AGAIN: Duration = Duration::from_secs(1);

/// The shared connections to one server.
pub(super) struct Shared {
    target: Target,
    connections: Box<[Arc<Connection>]>,
    texts: Mutex<LruCache<Text, Known>>,
}

/// A statement's text, in short: two of one number would only share a wrong guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Text(u64);

impl Text {
    pub(super) fn of(wire: &Wire<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        wire.sql.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What is known of a text.
struct Known {
    /// `None`: it is not quick.
    weight: Option<usize>,
    until: Instant,
}

/// One shared connection.
struct Connection(Mutex<State>);

struct State {
    wiring: Wiring,
    /// Of all that was sent and is not answered.
    weight: usize,
    /// When it last had nothing to do, or answered.
    moved: Instant,
}

impl State {
    fn is_stuck(&self, now: Instant) -> bool {
        self.weight > 0 && now.duration_since(self.moved) > STUCK
    }
}

enum Wiring {
    Closed { try_at: Instant },
    Opening,
    Open(Arc<Link>),
}

/// A connection that whoever holds it may use at any time. A task of its own moves the bytes.
struct Link {
    client: Client,
    prepared: Mutex<Prepared>,
}

impl Shared {
    /// As many as this process has cores: a core that asks for quick statements keeps about one of the database's busy.
    pub(super) fn new(target: Target, most: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let closed = |_| Arc::new(Connection::closed());
        Self {
            target,
            connections: (0..cores.min(most)).map(closed).collect(),
            texts: Mutex::new(LruCache::new(TEXTS)),
        }
    }

    /// A seat on a connection; `None`: the text is not known to be quick, or no connection is open and moves.
    pub(super) fn seat(&self, text: Text) -> Option<Seat<'_>> {
        let now = Instant::now();
        let known = self
            .texts()
            .get(&text)
            .map(|known| (known.weight, known.until));
        let weight = known.filter(|(_, until)| *until > now)?.0?;
        let connection = self.choose(now)?;
        let link = connection.taken(weight, now)?;
        Some(Seat {
            all: self,
            connection,
            link,
            text,
            weight,
        })
    }

    /// The first that is not full, of those that are open and move; where all are, the least full.
    fn choose(&self, now: Instant) -> Option<&Connection> {
        let mut least: Option<(usize, &Connection)> = None;
        for connection in &self.connections {
            let mut state = connection.state();
            if !self.is_open(connection, &mut state, now) {
                // one after the other
                break;
            }
            if state.is_stuck(now) || state.weight >= MOST {
                continue;
            }
            if state.weight < FULL {
                return Some(connection);
            }
            if least.is_none_or(|(weight, _)| state.weight < weight) {
                least = Some((state.weight, connection));
            }
        }
        least.map(|(_, connection)| connection)
    }

    /// Whether the connection is open; if not, it soon will be.
    fn is_open(&self, connection: &Arc<Connection>, state: &mut State, now: Instant) -> bool {
        match &state.wiring {
            Wiring::Open(link) if !link.client.is_closed() => return true,
            Wiring::Opening => return false,
            Wiring::Closed { try_at } if *try_at > now => return false,
            Wiring::Open(_) | Wiring::Closed { .. } => {}
        }
        state.wiring = Wiring::Opening;
        let (connection, target) = (connection.clone(), self.target.clone());
        tokio::spawn(async move { connection.open(target).await });
        false
    }

    /// Whether somebody should ask the planner about a text; whoever is told so, should.
    pub(super) fn wonders(&self, text: Text) -> bool {
        let now = Instant::now();
        let is_known = self
            .texts()
            .get(&text)
            .is_some_and(|known| known.until > now);
        if !is_known {
            self.remember(text, None, ASKED);
        }
        !is_known
    }

    /// Remembers what the planner said of a text, whose answer had so many bytes.
    pub(super) fn learn(&self, text: Text, cost: usize, bytes: usize) {
        let weight = 1 + cost + bytes / BYTES_OF_UNIT;
        self.remember(text, (cost <= QUICK).then_some(weight), BELIEVED);
    }

    fn remember(&self, text: Text, weight: Option<usize>, how_long: Duration) {
        let until = Instant::now() + how_long;
        self.texts().put(text, Known { weight, until });
    }

    fn texts(&self) -> MutexGuard<'_, LruCache<Text, Known>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As if it were a pool.
    pub(super) fn status(&self) -> Status {
        let mut status = Status {
            max_size: self.connections.len(),
            size: 0,
            available: 0,
            waiting: 0,
        };
        for connection in &self.connections {
            let state = connection.state();
            if matches!(state.wiring, Wiring::Open(_)) {
                status.size += 1;
                status.available += usize::from(state.weight == 0);
            }
        }
        status
    }
}

impl Connection {
    fn closed() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            wiring: Wiring::Closed { try_at: now },
            weight: 0,
            moved: now,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, target: Target) {
        let opened = tokio::time::timeout(POOL_WAIT, Reader::connect(target)).await;
        let opened = opened.unwrap_or_else(|_| Err(anyhow!("nobody answered")));
        self.state().wiring = match opened {
            Ok(reader) => Wiring::Open(Arc::new(Link::of(reader))),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::debug!(error, "a shared connection could not be opened");
                Wiring::Closed {
                    try_at: Instant::now() + TRIED_AGAIN,
                }
            }
        };
    }

    fn taken(&self, weight: usize, now: Instant) -> Option<Arc<Link>> {
        let mut state = self.state();
        let Wiring::Open(link) = &state.wiring else {
            return None;
        };
        let link = link.clone();
        if state.weight == 0 {
            state.moved = now;
        }
        state.weight += weight;
        Some(link)
    }
}

impl Link {
    fn of(reader: Reader) -> Self {
        let (client, talk) = reader.into_halves();
        // it ends with the connection, or with the last use of the client
        tokio::spawn(talk);
        Self {
            client,
            prepared: Mutex::new(Prepared::new()),
        }
    }

    async fn run(&self, wire: &Wire<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let known = self.prepared().get(wire, false);
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = prepare(&self.client, wire).await?;
                self.prepared().keep(wire, false, statement.clone());
                statement
            }
        };
        run(&self.client, wire, Way::Prepared(statement)).await
    }

    fn prepared(&self) -> MutexGuard<'_, Prepared> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement's seat on a shared connection, until it is answered or nobody wants the answer.
pub(super) struct Seat<'s> {
    all: &'s Shared,
    connection: &'s Connection,
    link: Arc<Link>,
    text: Text,
    weight: usize,
}

impl Seat<'_> {
    /// The only value of the statement's first row; `None`: it did not come in time, and the statement is to be run
    /// elsewhere.
    pub(super) async fn answer(self, wire: &Wire<'_>) -> Option<anyhow::Result<Option<Vec<u8>>>> {
        let Ok(rows) = tokio::time::timeout(PATIENCE, self.link.run(wire)).await else {
            self.all.remember(self.text, None, ALONE);
            return None;
        };
        self.connection.state().moved = Instant::now();
        Some(rows.map_err(anyhow::Error::from).and_then(value))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.connection.state().weight -= self.weight;
    }
}
