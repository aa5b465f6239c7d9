//! What happens in this process, counted where it happens.
//!
//! Each process counts its own, and Prometheus adds them up. One value of [`Metrics`] is made at start and handed to
//! whoever counts. Labels have few values each, and none of them is chosen by a client.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::PREFIX;
use super::operations::Operations;
use super::timing::Timing;
use super::told::Told;

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// The commit that this was built from, where the build knew it.
const COMMIT: &str = env!("KOMBO_MIRROR_BUILT_FROM");

/// What one page did, once it was committed.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the words are those of a run's counters")]
pub struct Effects {
    pub inserted: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub deleted: i64,
    pub parked: i64,
    pub duplicate: i64,
}

/// The counters of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    runs: Counters<2>,
    pages: Counters<2>,
    page_writes: Family<Labels<1>, Timing>,
    records: Counters<2>,
    kombo: Family<[(&'static str, String); 2], Timing>,
    budget: Told,
    budget_limit: Told,
    webhooks: Counters<1>,
    graphql_errors: Counters<1>,
    operations: Operations,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            runs: Family::default(),
            pages: Family::default(),
            page_writes: Family::default(),
            records: Family::default(),
            kombo: Family::default(),
            budget: Told::default(),
            budget_limit: Told::default(),
            webhooks: Family::default(),
            graphql_errors: Family::default(),
            operations: Operations::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)];
        registry.register("build", "The build that runs", Info::new(build));
        let help = "Sync runs that left a worker, by what they came to";
        registry.register("runs", help, self.runs.clone());
        registry.register("pages", "Pages of Kombo's stored", self.pages.clone());
        let help = "Time to store one page, as one transaction";
        registry.register("page_write_seconds", help, self.page_writes.clone());
        let help = "Records of stored pages, by what storing them did";
        registry.register("records", help, self.records.clone());
        let help = "Time of requests to Kombo, by what was answered";
        registry.register("kombo_request_seconds", help, self.kombo.clone());
        let help =
            "Requests that Kombo's rate limit leaves, as its last answer to this process said";
        registry.register("kombo_rate_budget_remaining", help, self.budget.clone());
        let help = "Requests that Kombo's rate limit allows in a window, as its last answer to this process said";
        registry.register("kombo_rate_budget_limit", help, self.budget_limit.clone());
        let help = "Webhooks, by what became of them";
        registry.register("webhooks", help, self.webhooks.clone());
        let help = "Answers to GraphQL requests with an error, by the code of the first one";
        registry.register("graphql_errors", help, self.graphql_errors.clone());
        let help = "Time to answer a GraphQL request, waiting for a place in line included";
        registry.register("graphql_request_seconds", help, self.operations.clone());
    }

    /// A run left its worker.
    pub fn run_left(&self, endpoint: &'static str, outcome: &'static str) {
        let labels = [("endpoint", endpoint), ("outcome", outcome)];
        self.runs.get_or_create(&labels).inc();
    }

    /// A page was committed.
    pub fn page_stored(
        &self,
        endpoint: &'static str,
        mode: &'static str,
        effects: Effects,
        took: Duration,
    ) {
        let labels = [("endpoint", endpoint), ("mode", mode)];
        self.pages.get_or_create(&labels).inc();
        self.page_writes
            .get_or_create(&[("endpoint", endpoint)])
            .observe(took);
        for (effect, number) in [
            ("inserted", effects.inserted),
            ("updated", effects.updated),
            ("unchanged", effects.unchanged),
            ("deleted", effects.deleted),
            ("parked", effects.parked),
            ("duplicate", effects.duplicate),
        ] {
            let labels = [("endpoint", endpoint), ("effect", effect)];
            let number = u64::try_from(number).unwrap_or(0);
            self.records.get_or_create(&labels).inc_by(number);
        }
    }

    /// Kombo answered, or did not.
    pub fn kombo_asked(&self, endpoint: &str, code: &str, took: Duration) {
        let labels = [("endpoint", endpoint.to_owned()), ("code", code.to_owned())];
        self.kombo.get_or_create(&labels).observe(took);
    }

    /// Kombo said how many requests it leaves; the limit it may leave out.
    pub fn kombo_leaves(&self, remaining: i64, limit: Option<i64>) {
        self.budget.set(remaining);
        if let Some(limit) = limit {
            self.budget_limit.set(limit);
        }
    }

    /// A webhook was answered; returns how many were with this verdict.
    pub fn webhook(&self, verdict: &'static str) -> u64 {
        let counter = self.webhooks.get_or_create(&[("verdict", verdict)]);
        counter.inc() + 1
    }

    /// These verdicts are possible: a series that begins with its first event hides it from `rate()`.
    pub fn expect_webhooks(&self, verdicts: impl Iterator<Item = &'static str>) {
        for verdict in verdicts {
            let _ = self.webhooks.get_or_create(&[("verdict", verdict)]);
        }
    }

    /// A GraphQL request was answered with an error.
    pub fn graphql_error(&self, code: &'static str) {
        self.graphql_errors.get_or_create(&[("code", code)]).inc();
    }

    /// These codes are possible.
    pub fn expect_graphql_errors(&self, codes: impl Iterator<Item = &'static str>) {
        for code in codes {
            let _ = self.graphql_errors.get_or_create(&[("code", code)]);
        }
    }

    /// The times of GraphQL's operations.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        encode_registry(text, &self.registry)
    }
}
