//! What this program logs, looked through for what must not be in it.
//!
//! Everything that runs in the test program logs here, at its most talkative; what the program itself says as a process
//! is looked through when it ends. A line that tells a secret or a person's name ends the whole test program with words
//! of its own: it may be written on any thread, where a panic would be taken for a defect of something else.

use std::io::{self, Write};
use std::process::abort;
use std::sync::{Mutex, Once};

use kombo_mirror::config::LogFormat;
use kombo_mirror::trace::lines::Lines;
use serde_json::Value;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::app::{ADMIN, READER, SECRET};

/// In small letters: secrets that the tests use, and what the simulated people are called. What is short enough to be
/// part of a word or of a random id is left out; each of the simulator's people has one of 32 names, so many are met.
const NOBODYS_BUSINESS: &[&str] = &[
    SECRET,
    READER,
    ADMIN,
    "ks_dev_simulator",
    crate::auth::SECRET,
    "the-secret",
    "bearer ",
    // how every JWT begins that says first by which algorithm it is signed
    "eyjhbgcioi",
    "@example.com",
    "@firma.de",
    "mallory",
    "erase-me",
    "adeyemi",
    "bianchi",
    "eriksen",
    "fischer",
    "garcía",
    "kowalska",
    "lindqvist",
    "müller",
    "o'brien",
    "vargas",
];

/// What a text tells that it must not.
pub(crate) fn told(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let told = NOBODYS_BUSINESS
        .iter()
        .find(|secret| text.contains(**secret));
    told.copied()
}

/// Asserts that a process said nothing that it must not say.
pub(crate) fn assert_discreet(said: &str) {
    for line in said.lines() {
        if let Some(told) = told(line) {
            panic!("the program's log tells {told:?}: {line}");
        }
    }
}

/// Lines of warnings and errors, for tests that look for them.
static TROUBLES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Looks through everything that is logged in this program from now on.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let lines = Lines::new(LogFormat::Json, || Watcher)
            .with_filter(filter_fn(|of| of.target().starts_with("kombo_mirror")));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::set_global_default(subscriber).expect("there is no other log");
    });
}

/// The warning or error with this id.
pub(crate) fn trouble(trace_id: &str) -> Option<Value> {
    let troubles = TROUBLES.lock().expect("no test holds it");
    let line = troubles.iter().find(|line| line.contains(trace_id))?;
    Some(serde_json::from_str(line).expect("a line is JSON"))
}

struct Watcher;

impl Write for Watcher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if let Some(told) = told(&line) {
            // past the harness, which would keep it to itself
            let _ = writeln!(io::stderr(), "\nthe log tells {told:?}: {line}");
            abort();
        }
        if line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"") {
            let mut troubles = TROUBLES.lock().expect("no test holds it");
            troubles.push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
