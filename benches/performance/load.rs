//! A load generator that costs little: it shares the machine with what it measures.
//!
//! One thread for all connections, as `pgbench` has it, requests made beforehand where they may repeat, answers read into one buffer and looked
//! through once. Every answer is checked, since a fast wrong one is no answer. Must never open a connection while
//! the time runs.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::machine::Cpu;
use crate::rounds::Round;

/// How long an answer may take before the connection is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Requests of one kind, and what their answers must have.
pub(crate) struct Requests {
    /// Where they come from.
    pub(crate) source: Source,
    /// Stands once in the answer for each row.
    pub(crate) mark: String,
    /// How often; `None`: any number.
    pub(crate) marks: Option<usize>,
}

/// Whole HTTP requests.
pub(crate) enum Source {
    /// Any of these.
    Any(Vec<Vec<u8>>),
    /// Each another one, made of a number that is never used twice.
    Fresh {
        make: Box<dyn Fn(u64) -> Vec<u8> + Sync>,
        number: AtomicU64,
    },
}

impl Source {
    /// Requests that are all different.
    pub(crate) fn fresh(make: impl Fn(u64) -> Vec<u8> + Sync + 'static) -> Self {
        Self::Fresh {
            make: Box::new(make),
            number: AtomicU64::new(0),
        }
    }

    /// The next request.
    pub(crate) fn next(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Any(texts) => Cow::Borrowed(&texts[fastrand::usize(..texts.len())]),
            Self::Fresh { make, number } => make(number.fetch_add(1, Ordering::Relaxed)).into(),
        }
    }
}

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Answers that came in time.
    pub(crate) answers: u64,
    /// How long the round took.
    pub(crate) seconds: f64,
    /// Microseconds of each answer, in order of length.
    pub(crate) latencies: Vec<u32>,
}

impl Outcome {
    /// The same as one of several rounds.
    pub(crate) fn round(&self, cpu: Cpu) -> Round {
        Round {
            per_second: self.answers as f64 / self.seconds,
            units: self.answers,
            cpu,
            latency: self.latency(0.5),
            worst: self.latency(0.99),
        }
    }

    /// The latency that this share of the answers did not exceed, in milliseconds.
    fn latency(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index below the length"
        )]
        let place = (self.latencies.len().saturating_sub(1) as f64 * share) as usize;
        self.latencies
            .get(place)
            .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Sends requests over `connections` keep-alive connections for a time, each at random.
///
/// # Errors
/// A connection fails, or an answer is not what it must be.
pub(crate) fn run(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut opened = Vec::with_capacity(connections);
        for _ in 0..connections {
            opened.push(Wire::open(address).await?);
        }
        let begun = Instant::now();
        let driven = opened
            .into_iter()
            .map(|wire| drive(wire, requests, begun, duration));
        let driven = tokio::time::timeout(duration + ANSWER_LIMIT, join_all(driven));
        let mut outcome = Outcome::default();
        for latencies in driven.await.context("an answer did not come")? {
            outcome.latencies.extend(latencies?);
        }
        outcome.seconds = begun.elapsed().as_secs_f64();
        outcome.answers = outcome.latencies.len() as u64;
        outcome.latencies.sort_unstable();
        Ok(outcome)
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn drive(
    mut wire: Wire,
    requests: &Requests,
    begun: Instant,
    duration: Duration,
) -> anyhow::Result<Vec<u32>> {
    let mark = memmem::Finder::new(&requests.mark);
    let mut latencies = Vec::with_capacity(10_000);
    let mut sent = begun;
    while sent.duration_since(begun) < duration {
        let request = requests.source.next();
        let answer = wire.exchange(&request).await?;
        check(&answer, &mark, requests.marks)?;
        let now = Instant::now();
        let micros = now.duration_since(sent).as_micros();
        latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
        sent = now;
    }
    Ok(latencies)
}

fn check(
    answer: &Answer<'_>,
    mark: &memmem::Finder<'_>,
    marks: Option<usize>,
) -> anyhow::Result<()> {
    let shown = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]).into_owned();
    ensure!(
        answer.status == 200,
        "status {}: {}",
        answer.status,
        shown()
    );
    ensure!(
        memmem::find(answer.body, b"\"errors\"").is_none(),
        "an answer with errors: {}",
        shown()
    );
    if let Some(marks) = marks {
        let found = mark.find_iter(answer.body).count();
        ensure!(
            found == marks,
            "{found} marks instead of {marks} in {}",
            shown()
        );
    }
    Ok(())
}

/// An HTTP answer.
pub(crate) struct Answer<'a> {
    /// HTTP's number.
    pub(crate) status: u16,
    /// The body, without its frame.
    pub(crate) body: &'a [u8],
}

/// A keep-alive connection for one who waits for each answer.
pub(crate) struct Connection {
    runtime: tokio::runtime::Runtime,
    wire: Wire,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let wire = runtime.block_on(Wire::open(address))?;
        Ok(Self { runtime, wire })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection ends or stays silent, or what comes is no HTTP.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        let Self { runtime, wire } = self;
        runtime.block_on(async {
            let answer = tokio::time::timeout(ANSWER_LIMIT, wire.exchange(request));
            answer.await.context("an answer did not come")?
        })
    }
}

/// A keep-alive connection.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// A body that came in chunks, put together.
    joined: Vec<u8>,
}

impl Wire {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 256 * 1024],
            joined: Vec::new(),
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut length = 0;
        let head = loop {
            length += self.receive(length).await?;
            if let Some(end) = memmem::find(&self.buffer[..length], b"\r\n\r\n") {
                break Head::read(&self.buffer[..end])?;
            }
        };
        match head.body_length {
            Some(body_length) => {
                let end = head.length + body_length;
                while length < end {
                    length += self.receive(length).await?;
                }
                Ok(Answer {
                    status: head.status,
                    body: &self.buffer[head.length..end],
                })
            }
            None => {
                while !self.buffer[head.length..length].ends_with(b"0\r\n\r\n") {
                    length += self.receive(length).await?;
                }
                join_chunks(&self.buffer[head.length..length], &mut self.joined)?;
                Ok(Answer {
                    status: head.status,
                    body: &self.joined,
                })
            }
        }
    }

    /// Reads what is there, behind the first `length` bytes.
    async fn receive(&mut self, length: usize) -> anyhow::Result<usize> {
        if length == self.buffer.len() {
            self.buffer.resize(2 * length, 0);
        }
        match self.stream.read(&mut self.buffer[length..]).await? {
            0 => bail!("the server closed the connection"),
            read => Ok(read),
        }
    }
}

/// The first lines of an answer.
struct Head {
    status: u16,
    /// With the empty line.
    length: usize,
    /// `None`: it comes in chunks.
    body_length: Option<usize>,
}

impl Head {
    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes)?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).context("no HTTP answer")?;
        let body_length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse())
        });
        Ok(Self {
            status: status.parse()?,
            length: bytes.len() + 4,
            body_length: body_length.transpose()?,
        })
    }
}

fn join_chunks(mut chunks: &[u8], joined: &mut Vec<u8>) -> anyhow::Result<()> {
    joined.clear();
    loop {
        let line = memmem::find(chunks, b"\r\n").context("a chunk without a length")?;
        let length = std::str::from_utf8(&chunks[..line])?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            return Ok(());
        }
        let chunk = chunks.get(line + 2..line + 2 + length);
        joined.extend_from_slice(chunk.context("a chunk that is too short")?);
        chunks = chunks.get(line + 4 + length..).unwrap_or_default();
    }
}

/// Whether a server answers a path with 200.
pub(crate) fn answers(address: SocketAddr, path: &str) -> bool {
    Connection::open(address)
        .and_then(|mut connection| Ok(connection.exchange(&get(path))?.status == 200))
        .unwrap_or(false)
}

/// Whether anybody listens.
pub(crate) fn listens(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

/// A whole GET request.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: benches\r\n\r\n").into_bytes()
}

/// A whole POST request with a JSON body.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: benches\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
