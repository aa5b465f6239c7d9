//! How a run is told to somebody who watches it.
//!
//! Must never show content of a record: counts, codes and Kombo's own messages only.

use chrono::{DateTime, Utc};

use crate::queue::Look;

/// What a run is doing, in one line without its counts.
pub(super) fn state(look: &Look, now: DateTime<Utc>) -> String {
    let because = look
        .error_code
        .as_deref()
        .map_or_else(String::new, |code| format!(": {code}"));
    match look.status.as_str() {
        "QUEUED" => "queued".to_owned(),
        "RUNNING" if look.lease_until.is_none() && look.available_at > now => {
            let until = look.available_at.format("%H:%M:%S");
            format!("waits until {until} UTC{because}")
        }
        "RUNNING" => format!("fetches {}", how_much(look)),
        other => other.to_lowercase(),
    }
}

fn how_much(look: &Look) -> &'static str {
    if look.mode == "FULL" {
        "everything"
    } else {
        "what changed"
    }
}

/// How far a run is: `250 of about 1100 records, 340 records/s, 3 s left`.
pub(super) fn counts(look: &Look, per_second: Option<f64>) -> String {
    let received = look.records_received;
    let expected = look
        .expected_records
        .filter(|expected| *expected >= received && !look.has_ended());
    let mut text = match expected {
        Some(expected) => format!("{received} of about {expected} records"),
        None => format!("{received} records"),
    };
    if let Some(rate) = per_second.filter(|rate| *rate >= 0.05) {
        text.push_str(&format!(", {rate:.0} records/s"));
        if let Some(expected) = expected {
            #[expect(clippy::cast_precision_loss, reason = "shown in whole seconds")]
            let left = (expected - received) as f64 / rate;
            text.push_str(&format!(", {left:.0} s left"));
        }
    }
    text
}

/// What came of a run, in one line, or two where there is something to do.
pub(super) fn outcome(look: &Look) -> String {
    let Look {
        endpoint,
        records_received,
        records_inserted,
        records_updated,
        records_deleted,
        ..
    } = look;
    let name = format!("{endpoint:<20}");
    match look.status.as_str() {
        "SUCCEEDED" => {
            let mut text = format!(
                "{name} SUCCEEDED  {records_received} records: {records_inserted} new, {records_updated} changed, {records_deleted} deleted"
            );
            if look.records_parked > 0 {
                let parked = look.records_parked;
                text.push_str(&format!("; {parked} could not be read and are parked"));
            }
            if look.removals_held_back > 0 {
                let held = look.removals_held_back;
                text.push_str(&format!(
                    "\n    {held} removals are held back: see the run's heldBackRemovals, then approveRemovals"
                ));
            }
            text
        }
        "FAILED" => format!("{name} FAILED     {}\n    {}", reason(look), next(look)),
        "CANCELLED" => format!("{name} CANCELLED  by somebody else\n    run the command again"),
        status => {
            let reason = look.error_code.as_ref().map(|_| reason(look));
            let reason = reason.map_or_else(String::new, |reason| format!(", last: {reason}"));
            format!(
                "{name} {status}  not ended{reason}\n    it stays in the queue: a server goes on with it, or this command when it runs again"
            )
        }
    }
}

fn reason(look: &Look) -> String {
    let code = look.error_code.as_deref().unwrap_or("MIRROR.UNKNOWN");
    let message = look
        .error_message
        .as_deref()
        .unwrap_or("no reason is known");
    format!("{code}: {message}")
}

fn next(look: &Look) -> String {
    let advice = advice(look.error_code.as_deref().unwrap_or_default());
    match &look.error_log_url {
        Some(url) => format!("{advice}; kombo's log: {url}"),
        None => advice.to_owned(),
    }
}

/// What to do about an error, by its code.
pub(super) fn advice(code: &str) -> &'static str {
    match code {
        "PLATFORM.AUTHENTICATION_INVALID" | "MIRROR.HTTP_401" => {
            "check KOMBO_API_KEY: it is wrong, expired, or of another environment"
        }
        "PLATFORM.INTEGRATION_NOT_FOUND" | "MIRROR.HTTP_404" => {
            "check the id, and that KOMBO_API_KEY and KOMBO_API_URL are of the integration's environment and region"
        }
        "PLATFORM.IP_NOT_WHITELISTED" => "allow this machine's address in Kombo's dashboard",
        "INTEGRATION.MODEL_NOT_AVAILABLE" | "INTEGRATION.MODEL_DISABLED" => {
            "the connector has no such model, or it is switched off in Kombo's scope config: leave it out with --endpoint"
        }
        "INTEGRATION.PERMISSION_MISSING"
        | "INTEGRATION.AUTHENTICATION_INVALID"
        | "INTEGRATION.INACTIVE" => {
            "the integration needs attention in Kombo's dashboard: its connection or its permissions"
        }
        "MIRROR.NO_CONNECTION" | "MIRROR.TIMEOUT" | "MIRROR.CONNECTION_LOST" => {
            "check KOMBO_API_URL and the way to it, then run the command again"
        }
        "MIRROR.CURSOR_LOOP" | "MIRROR.UNREADABLE_ANSWER" => {
            "Kombo's answers are at fault: run the command again later, then ask Kombo"
        }
        _ => "run the command again; if it stays so, look for the code in Kombo's documentation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(status: &str) -> Look {
        Look {
            id: 1,
            endpoint: "users".to_owned(),
            mode: "FULL".to_owned(),
            status: status.to_owned(),
            available_at: DateTime::UNIX_EPOCH,
            lease_until: None,
            expected_records: Some(1_100),
            records_received: 250,
            records_inserted: 3,
            records_updated: 2,
            records_deleted: 1,
            records_parked: 0,
            removals_held_back: 0,
            error_code: None,
            error_message: None,
            error_log_url: None,
        }
    }

    #[test]
    fn progress_is_told_with_what_is_known() {
        let run = look("RUNNING");
        assert_eq!(counts(&run, None), "250 of about 1100 records");
        assert_eq!(
            counts(&run, Some(340.4)),
            "250 of about 1100 records, 340 records/s, 2 s left"
        );
        let unknown = Look {
            expected_records: None,
            ..run.clone()
        };
        assert_eq!(counts(&unknown, Some(9.9)), "250 records, 10 records/s");
        assert_eq!(counts(&look("SUCCEEDED"), None), "250 records");
        // more came than was known
        let more = Look {
            records_received: 1_101,
            ..run
        };
        assert_eq!(counts(&more, None), "1101 records");
    }

    #[test]
    fn a_failure_says_what_to_do_next() {
        let failed = Look {
            error_code: Some("PLATFORM.AUTHENTICATION_INVALID".to_owned()),
            error_message: Some("The API key is wrong.".to_owned()),
            error_log_url: Some("https://app.kombo.dev/log".to_owned()),
            ..look("FAILED")
        };
        let said = outcome(&failed);
        for part in [
            "PLATFORM.AUTHENTICATION_INVALID: The API key is wrong.",
            "check KOMBO_API_KEY",
            "https://app.kombo.dev/log",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_run_that_waits_says_until_when_and_why() {
        let waiting = Look {
            available_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(61),
            error_code: Some("MIRROR.RATE_BUDGET_SPENT".to_owned()),
            ..look("RUNNING")
        };
        assert_eq!(
            state(&waiting, DateTime::UNIX_EPOCH),
            "waits until 00:01:01 UTC: MIRROR.RATE_BUDGET_SPENT"
        );
        assert!(outcome(&waiting).contains("stays in the queue"));
    }
}
