//! Somebody who reads all the time, and judges each answer by what Kombo says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kombo_mirror::simulator::Simulator;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::app::READER;

const QUERY: &str = "{ users(first: 500, orderBy: { field: KOMBO_ID }) { totalCount freshness { asOf } nodes { komboId changedAt } } }";

/// Longer than a look at the standbys takes on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

/// A place that a process serves at, now here and now there.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Place>>);

#[derive(Default)]
struct Place {
    address: Option<SocketAddr>,
    /// Errors may be answered.
    may_fail: bool,
    /// How often it came or went: an answer that was asked for before may be cut off.
    moves: u64,
}

impl Slot {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn serves_at(&self, address: SocketAddr) {
        self.place().address = Some(address);
    }

    pub(crate) fn is_away(&self) {
        let mut place = self.place();
        place.address = None;
        place.moves += 1;
    }

    pub(crate) fn may_fail(&self) {
        self.place().may_fail = true;
    }

    pub(crate) fn must_not_fail(&self) {
        self.place().may_fail = false;
    }
}

/// What a reader has seen.
#[derive(Default)]
pub(crate) struct Seen {
    answers: Vec<(Instant, DateTime<Utc>)>,
    /// While the process was away or the primary was.
    excused: usize,
    problems: Vec<String>,
    longest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} right answers, {} errors while nobody could answer, {} problems; the slowest took {:?}",
            self.answers.len(),
            self.excused,
            self.problems.len(),
            self.longest
        )
    }
}

impl Seen {
    /// Asserts that nothing was wrong, and that no answer was older than one given longer ago than standbys may be
    /// behind.
    pub(crate) fn assert_good(&self, max_lag: Duration) {
        assert!(self.answers.len() > 20, "{self}");
        assert!(self.problems.is_empty(), "{:#?}", self.problems);
        for (position, (at, as_of)) in self.answers.iter().enumerate() {
            let earlier = self.answers[..position].iter();
            let known = earlier
                .filter(|(then, _)| *then + max_lag + SLACK < *at)
                .map(|(_, as_of)| *as_of)
                .max();
            assert!(known <= Some(*as_of), "{as_of} after {known:?}");
        }
    }
}

/// A reader at work.
pub(crate) struct Reading {
    stop: watch::Sender<bool>,
    task: JoinHandle<Seen>,
}

impl Reading {
    pub(crate) fn start(slot: Slot, simulator: Simulator) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            let http = reqwest::Client::new();
            while !*stopped.borrow() {
                look(&slot, &simulator, &http, &mut seen).await;
                // as fast as the machine can would leave the others nothing of it
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            seen
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Seen {
        self.stop.send_replace(true);
        self.task.await.expect("the reader ends")
    }
}

async fn look(slot: &Slot, simulator: &Simulator, http: &reqwest::Client, seen: &mut Seen) {
    let (address, moves, could_fail) = {
        let place = slot.place();
        (place.address, place.moves, place.may_fail)
    };
    let Some(address) = address else { return };
    let asked_at = Instant::now();
    let asked = http
        .post(format!("http://{address}/graphql"))
        .bearer_auth(READER)
        .header("content-type", "application/json")
        .body(json!({ "query": QUERY }).to_string())
        .send();
    let text = match asked.await {
        Ok(answer) => answer.text().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let answer: Result<Value, String> =
        text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    let place = slot.place();
    let is_excused = place.moves != moves || place.may_fail || could_fail;
    drop(place);
    seen.longest = seen.longest.max(asked_at.elapsed());
    match answer {
        Ok(answer) if answer["errors"].is_null() => match judge(&answer, simulator) {
            Ok(as_of) => seen.answers.push((asked_at, as_of)),
            Err(problem) => seen.problems.push(problem),
        },
        _ if is_excused => seen.excused += 1,
        Ok(answer) => seen.problems.push(answer.to_string()),
        Err(error) => seen.problems.push(error),
    }
}

/// Whether an answer has all that happened until the moment as of which it says to be; returns that.
fn judge(answer: &Value, simulator: &Simulator) -> Result<DateTime<Utc>, String> {
    let users = &answer["data"]["users"];
    let as_of = moment(&users["freshness"]["asOf"]).ok_or_else(|| answer.to_string())?;
    let nodes = users["nodes"]
        .as_array()
        .ok_or_else(|| answer.to_string())?;
    let mirrored = |id: &str| {
        let mut nodes = nodes.iter();
        nodes.find(|node| node["komboId"] == id)
    };
    if users["totalCount"] != nodes.len() {
        return Err(format!(
            "{} users, {} said",
            nodes.len(),
            users["totalCount"]
        ));
    }
    for integration in simulator.integration_ids() {
        for (id, user) in &simulator.truth(&integration)["users"] {
            let changed_at = moment(&user["changed_at"]);
            if changed_at.is_none_or(|changed_at| changed_at >= as_of) {
                continue;
            }
            let expected = if user["remote_deleted_at"].is_null() {
                changed_at
            } else {
                None
            };
            let found = mirrored(id).and_then(|node| moment(&node["changedAt"]));
            if found != expected {
                return Err(format!(
                    "{id} was changed at {changed_at:?}, the answer as of {as_of} has {found:?}"
                ));
            }
        }
    }
    Ok(as_of)
}

fn moment(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}
