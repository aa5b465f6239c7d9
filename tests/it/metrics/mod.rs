//! `GET /metrics`: every number moves when what it counts happens, and everything that uses one finds it.

/// What Kombo, webhooks and runs do to the counters of a process.
mod counted;
/// docs/metrics.md, the dashboard and the alerts name what is served.
mod documents;
/// How long GraphQL takes, by names that clients choose.
mod operations;
/// What Prometheus's own checker says.
mod promtool;
/// What a scrape answers whatever happens, and what it costs.
mod scraping;
/// What is read from the tables.
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use crate::support::TestApp;

/// One line of an answer.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// An answer of `/metrics`.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) samples: Vec<Sample>,
    /// Types by the names of families.
    pub(crate) types: BTreeMap<String, String>,
}

impl Scrape {
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with("# EOF\n"), "cut off: {text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let types = text.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        });
        Self {
            samples: samples.map(sample).collect(),
            types: types.collect(),
        }
    }

    /// The sum of the samples with these labels; `None`: there is no such sample.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            let mut labels = labels.iter();
            sample.name == format!("kombo_mirror_{name}")
                && labels.all(|(label, value)| {
                    sample.labels.get(*label).map(String::as_str) == Some(*value)
                })
        };
        let values: Vec<f64> = self
            .samples
            .iter()
            .filter(fits)
            .map(|one| one.value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The same for what must be there.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let value = self.get(name, labels);
        value.unwrap_or_else(|| panic!("no {name} with {labels:?} in {:#?}", self.samples))
    }

    /// The values of a label of a series.
    pub(crate) fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        let samples = self.samples.iter();
        let samples = samples.filter(|sample| sample.name == format!("kombo_mirror_{name}"));
        samples
            .filter_map(|sample| sample.labels.get(label).cloned())
            .collect()
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("the labels end");
    // no value here has a comma or a quote in it
    let labels = labels.split(',').filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (name, value) = label.split_once('=').expect("a label");
        (name.to_owned(), value.trim_matches('"').to_owned())
    });
    Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().expect("a number"),
    }
}

impl TestApp {
    pub(crate) async fn scrape(&self) -> Scrape {
        let answer = reqwest::get(self.url("/metrics")).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        Scrape::read(&answer.text().await.expect("a text"))
    }
}
