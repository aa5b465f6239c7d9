//! How long what is kept: the settings of the removal, and their limits.

use std::time::Duration;

use super::RawSettings;
use super::read::Check;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long what is kept. Nothing is seen at a limit but that it is gone.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// All that is mirrored of an integration, after its deletion; Kombo purges its own copy after 14 days.
    pub integrations: Duration,
    /// Finished runs and webhook events. The newest run of an endpoint stays; an event that is sent again after
    /// this long counts as a new one.
    pub runs: Duration,
    /// The feed of record changes: a consumer that was away for longer must read everything anew.
    pub changes: Duration,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            integrations: 14 * DAY,
            runs: 90 * DAY,
            changes: 30 * DAY,
        }
    }
}

impl Check {
    pub(super) fn retention(&mut self, raw: &RawSettings) -> RetentionSettings {
        let default = RetentionSettings::default();
        let integrations = raw.integration_retention.as_ref();
        let runs = raw.run_retention.as_ref();
        let changes = raw.change_retention.as_ref();
        RetentionSettings {
            integrations: self.kept("INTEGRATION_RETENTION", integrations, default.integrations),
            runs: self.kept("RUN_RETENTION", runs, default.runs),
            changes: self.kept("CHANGE_RETENTION", changes, default.changes),
        }
    }

    /// A duration that a typing error must not turn into the loss of everything, nor into a date before all dates.
    fn kept(&mut self, name: &str, value: Option<&String>, default: Duration) -> Duration {
        let kept = self.duration(name, value, default);
        if !(DAY..=DAY * 36_500).contains(&kept) {
            self.problems
                .push(format!("{name} must be from 1d to 36500d"));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Duration, Vec<String>) {
        let raw = RawSettings {
            run_retention: Some(text.to_owned()),
            ..RawSettings::default()
        };
        let mut check = Check::default();
        let runs = check.retention(&raw).runs;
        (runs, check.problems)
    }

    #[test]
    fn what_is_kept_is_a_duration_within_reason() {
        assert_eq!(checked("30d"), (30 * DAY, Vec::new()));
        for wrong in ["0s", "1h", "1000000y", "long"] {
            let (_, problems) = checked(wrong);
            assert_eq!(problems.len(), 1, "{wrong}");
            assert!(
                problems[0].starts_with("RUN_RETENTION must be"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let mut check = Check::default();
        let kept = check.retention(&RawSettings::default());
        assert_eq!(check.problems, Vec::<String>::new());
        assert_eq!(
            (kept.integrations, kept.runs, kept.changes),
            (14 * DAY, 90 * DAY, 30 * DAY)
        );
    }
}
