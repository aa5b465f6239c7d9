//! How a process begins and ends.

use std::time::Duration;

use super::RawSettings;
use super::read::Check;

/// Who brings the database's schema up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Every process that starts: of several one does it, and the others wait.
    AtStart,
    /// Somebody else, by `kombo-mirror migrate`; processes wait until it is done.
    Wait,
}

/// How a process begins and ends.
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// Who brings the schema up to date.
    pub migrate: Migrate,
    /// How long requests have to end after the signal to stop; what is left then is cut off.
    pub grace: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            migrate: Migrate::AtStart,
            // what a request of GraphQL may take
            grace: Duration::from_secs(30),
        }
    }
}

/// Short enough that whoever stops a server sees it end.
const GRACES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);

impl Check {
    pub(super) fn process(&mut self, raw: &RawSettings) -> ProcessSettings {
        let default = ProcessSettings::default();
        let migrate = match raw.migrate.as_deref() {
            None | Some("auto") => Migrate::AtStart,
            Some("wait") => Migrate::Wait,
            Some(other) => {
                self.problems
                    .push(format!("MIGRATE must be auto or wait, not {other:?}"));
                default.migrate
            }
        };
        let grace = self.duration("SHUTDOWN_GRACE", raw.shutdown_grace.as_ref(), default.grace);
        if !GRACES.contains(&grace) {
            self.problems
                .push("SHUTDOWN_GRACE must be from 100ms to 10m".to_owned());
        }
        ProcessSettings { migrate, grace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_words_and_graces_are_refused() {
        let raw = RawSettings {
            migrate: Some("never".to_owned()),
            shutdown_grace: Some("1h".to_owned()),
            ..RawSettings::default()
        };
        let mut check = Check::default();
        check.process(&raw);
        assert_eq!(check.problems.len(), 2, "{:?}", check.problems);
    }
}
