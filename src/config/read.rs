//! How a setting's text becomes a value; problems are collected instead of stopping at the first.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// What is wrong so far, one sentence each.
#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<String>,
}

impl Check {
    pub(super) fn missing(&mut self, name: &str, why: &str) {
        // A file that could not be read was already named.
        if !self
            .problems
            .iter()
            .any(|problem| problem.starts_with(name))
        {
            self.problems.push(format!("{name} is missing: {why}"));
        }
    }

    pub(super) fn duration(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: Duration,
    ) -> Duration {
        let Some(text) = value else { return default };
        humantime::parse_duration(text).unwrap_or_else(|_| {
            self.problems.push(format!(
                "{name} must be a duration such as 90s, 5m, 1h or 7d, not {text:?}"
            ));
            default
        })
    }

    pub(super) fn count(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> usize {
        let count = self.parsed(name, value, default, "a whole number");
        if !range.contains(&count) {
            self.problems.push(format!(
                "{name} must be from {} to {}, not {count}",
                range.start(),
                range.end()
            ));
        }
        count
    }

    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: T,
        expected: &str,
    ) -> T {
        let Some(text) = value else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problems
                .push(format!("{name} must be {expected}, not {text:?}"));
            default
        })
    }

    pub(super) fn secrets(
        &mut self,
        name: &str,
        value: Option<&String>,
        file: Option<&String>,
    ) -> Vec<SecretString> {
        self.secret(name, value, file)
            .map(|secret| {
                list(secret.expose_secret())
                    .into_iter()
                    .map(SecretString::from)
                    .collect()
            })
            .unwrap_or_default()
    }

    pub(super) fn secret(
        &mut self,
        name: &str,
        value: Option<&String>,
        file: Option<&String>,
    ) -> Option<SecretString> {
        let text = match (value, file) {
            (Some(_), Some(_)) => {
                self.problems.push(format!(
                    "{name} and {name}_FILE contradict each other: set one"
                ));
                return None;
            }
            (Some(value), None) => value.clone(),
            (None, Some(path)) => match std::fs::read_to_string(Path::new(path)) {
                Ok(text) => text,
                Err(error) => {
                    self.problems
                        .push(format!("{name}_FILE={path} cannot be read: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        (!text.is_empty()).then(|| SecretString::from(text.to_owned()))
    }
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}
