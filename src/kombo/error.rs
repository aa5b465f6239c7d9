//! What went wrong at Kombo, named by what to do next.
//!
//! Kombo's `error.code` decides, the HTTP status where there is none, never the message (Kombo's error
//! guide). The set of codes is open, so an unknown one falls back to the status.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::escapes;

/// What to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same request may succeed later.
    RetryLater,
    /// The same, and Kombo asked us to slow down: waiting is progress, not failure.
    SlowDown,
    /// Kombo has no data yet; a human or Kombo itself must move first. Ask rarely.
    WaitForKombo,
    /// This connector has no such model, or it is switched off: the endpoint is unavailable, its rows stay.
    TreatAsAbsent,
    /// The cursor is not accepted any more: begin the enumeration again.
    RestartEnumeration,
    /// The same request will not succeed: show it, and let the next webhook or schedule try again.
    GiveUp,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What to do.
    pub remedy: Remedy,
    /// Kombo's `error.code`, or `MIRROR.*` where Kombo gave none.
    pub code: String,
    /// For people; Kombo's own words where there are any.
    pub message: String,
    /// Kombo's log entry.
    pub log_url: Option<String>,
    /// How long Kombo asked to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

/// Kombo's error envelope (API reference, "errors").
#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    log_url: Option<String>,
}

impl Error {
    /// No usable answer came.
    #[must_use]
    pub fn unusable(code: &str, message: impl Into<String>) -> Self {
        Self {
            remedy: Remedy::RetryLater,
            code: code.to_owned(),
            message: message.into(),
            log_url: None,
            retry_after: None,
        }
    }

    /// Kombo answered with something else than 200. `body` may be its envelope or anything at all.
    #[must_use]
    pub fn from_answer(status: u16, body: &[u8]) -> Self {
        // what it says is stored too (F60)
        let text = String::from_utf8_lossy(body);
        let envelope = serde_json::from_str::<Envelope>(&escapes::replace_unstorable(&text))
            .ok()
            .map(|envelope| envelope.error);
        let remedy = envelope
            .as_ref()
            .and_then(|body| body.code.as_deref())
            .and_then(remedy_of_code)
            .unwrap_or_else(|| remedy_of_status(status));
        match envelope {
            Some(body) => Self {
                remedy,
                code: body.code.unwrap_or_else(|| format!("MIRROR.HTTP_{status}")),
                message: body
                    .message
                    .or(body.title)
                    .unwrap_or_else(|| format!("kombo answered with HTTP status {status}")),
                log_url: body.log_url,
                retry_after: None,
            },
            None => Self {
                remedy,
                code: format!("MIRROR.HTTP_{status}"),
                message: format!("kombo answered with HTTP status {status} and no error envelope"),
                log_url: None,
                retry_after: None,
            },
        }
    }

    /// What metrics call it: one of Kombo's documented codes, the status of an answer without one, or our own word for
    /// a request without an answer. Codes that Kombo has not documented are not told apart: their number has no bound.
    pub(super) fn word(&self, status: Option<u16>) -> Cow<'_, str> {
        match status {
            None => self.code.trim_start_matches("MIRROR.").into(),
            Some(_) if remedy_of_code(&self.code).is_some() => self.code.as_str().into(),
            Some(status) => status.to_string().into(),
        }
    }

    /// Whether the mirror tries again by itself soon.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self.remedy, Remedy::GiveUp | Remedy::TreatAsAbsent)
    }
}

fn remedy_of_code(code: &str) -> Option<Remedy> {
    Some(match code {
        "PLATFORM.RATE_LIMIT_EXCEEDED" | "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED" => Remedy::SlowDown,
        "PLATFORM.UNKNOWN_ERROR" | "REMOTE.SERVICE_UNAVAILABLE" | "REMOTE.RATE_LIMIT_EXCEEDED" => {
            Remedy::RetryLater
        }
        "INTEGRATION.SETUP_SYNC_PENDING"
        | "INTEGRATION.SETUP_INCOMPLETE"
        | "INTEGRATION.QA_FAILED" => Remedy::WaitForKombo,
        "INTEGRATION.MODEL_NOT_AVAILABLE" | "INTEGRATION.MODEL_DISABLED" => Remedy::TreatAsAbsent,
        "PLATFORM.AUTHENTICATION_INVALID"
        | "PLATFORM.INTEGRATION_NOT_FOUND"
        | "PLATFORM.INPUT_INVALID"
        | "PLATFORM.IP_NOT_WHITELISTED"
        | "PLATFORM.TASK_TIMED_OUT"
        | "INTEGRATION.PERMISSION_MISSING"
        | "INTEGRATION.AUTHENTICATION_INVALID"
        | "INTEGRATION.INACTIVE"
        | "INTEGRATION.ACTION_NOT_AVAILABLE"
        | "INTEGRATION.ACTION_DISABLED"
        | "REMOTE.INPUT_INVALID"
        | "REMOTE.UNKNOWN_HTTP_ERROR" => Remedy::GiveUp,
        _ => return None,
    })
}

fn remedy_of_status(status: u16) -> Remedy {
    match status {
        429 => Remedy::SlowDown,
        409 => Remedy::WaitForKombo,
        408 | 425 | 500.. => Remedy::RetryLater,
        _ => Remedy::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(status: u16, code: &str) -> Remedy {
        let body = format!(
            r#"{{"status":"error","error":{{"code":"{code}","title":null,"message":"m","log_url":null}}}}"#
        );
        Error::from_answer(status, body.as_bytes()).remedy
    }

    // Rule 13: the code decides, whatever the status.
    #[test]
    fn the_code_decides_before_the_status() {
        assert_eq!(
            coded(503, "INTEGRATION.SETUP_SYNC_PENDING"),
            Remedy::WaitForKombo
        );
        assert_eq!(
            coded(409, "INTEGRATION.SETUP_INCOMPLETE"),
            Remedy::WaitForKombo
        );
        assert_eq!(
            coded(500, "INTEGRATION.MODEL_DISABLED"),
            Remedy::TreatAsAbsent
        );
        assert_eq!(coded(200, "PLATFORM.RATE_LIMIT_EXCEEDED"), Remedy::SlowDown);
        assert_eq!(coded(502, "SOMETHING.NEW"), Remedy::RetryLater);
    }

    #[test]
    fn answers_that_are_no_envelope_are_judged_by_their_status() {
        for body in [
            "",
            "Bad Gateway",
            "<html></html>",
            "[1]",
            r#"{"error":"x"}"#,
        ] {
            let error = Error::from_answer(503, body.as_bytes());
            assert_eq!(error.remedy, Remedy::RetryLater, "{body}");
            assert_eq!(error.code, "MIRROR.HTTP_503");
        }
        assert_eq!(Error::from_answer(404, b"").remedy, Remedy::GiveUp);
        assert_eq!(Error::from_answer(429, b"").remedy, Remedy::SlowDown);
    }

    // F60: a run that cannot store why it failed neither ends nor waits.
    #[test]
    fn words_that_cannot_be_stored_are_replaced() {
        let body = br#"{"error":{"code":"INTEGRATION.MODEL_DISABLED","title":"half \ud83d","message":"a\u0000b"}}"#;
        let error = Error::from_answer(500, body);
        assert_eq!(error.message, "a\u{fffd}b");
        assert_eq!(error.remedy, Remedy::TreatAsAbsent);
    }

    #[test]
    fn an_envelope_without_a_code_keeps_its_message() {
        let body = br#"{"status":"error","error":{"code":null,"title":null,"message":"wrong","log_url":null}}"#;
        let error = Error::from_answer(500, body);
        assert_eq!(
            (error.message.as_str(), error.remedy),
            ("wrong", Remedy::RetryLater)
        );
    }
}
