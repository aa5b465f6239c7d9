//! Kombo's answers: the success and the error envelope, and their way into HTTP.
//!
//! Must never decide which answer is given.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// What is sent after the headers.
pub(super) enum Body {
    Text(String),
    /// The first half of this text, then the connection breaks.
    BrokenOff(String),
}

/// What the `Date` header says.
pub(super) enum Date {
    Right,
    /// Wrong by so many seconds.
    Shifted(i64),
    /// This instead of a date.
    Text(&'static str),
}

/// An answer before the headers that every answer has.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Body,
    pub(super) rate_headers: bool,
    pub(super) date: Date,
    pub(super) delay: Option<Duration>,
}

/// What is left of the rate budget, as the headers tell it.
#[derive(Clone, Copy)]
pub(super) struct RateBudget {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset_seconds: i64,
}

impl Answer {
    pub(super) fn plain(status: u16, content_type: &'static str, text: &str) -> Answer {
        Answer {
            status,
            content_type,
            body: Body::Text(text.to_owned()),
            rate_headers: true,
            date: Date::Right,
            delay: None,
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Answer {
        Answer {
            body: Body::Text(value.to_string()),
            ..Answer::plain(status, "application/json; charset=utf-8", "")
        }
    }

    pub(super) fn success(data: &Value) -> Answer {
        // Written by hand so that a page of records is not copied once more.
        Answer {
            body: Body::Text(format!("{{\"status\":\"success\",\"data\":{data}}}")),
            ..Answer::plain(200, "application/json; charset=utf-8", "")
        }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
        let title = code.rsplit('.').next().unwrap_or(code);
        let mut title = title.replace('_', " ").to_lowercase();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Answer::json(
            status,
            &json!({
                "status": "error",
                "error": {
                    "code": code,
                    "title": title,
                    "message": message,
                    "log_url": "https://app.kombo.dev/simulator/logs?interactionId=123456",
                },
            }),
        )
    }

    pub(super) fn input_invalid(message: &str) -> Answer {
        Answer::error(400, "PLATFORM.INPUT_INVALID", message)
    }

    pub(super) fn authentication_invalid() -> Answer {
        Answer::error(
            401,
            "PLATFORM.AUTHENTICATION_INVALID",
            "The API key is missing, wrong or expired.",
        )
    }

    pub(super) fn integration_not_found() -> Answer {
        Answer::error(
            404,
            "PLATFORM.INTEGRATION_NOT_FOUND",
            "This environment has no such integration.",
        )
    }

    pub(super) fn rate_limited() -> Answer {
        Answer::error(429, "PLATFORM.RATE_LIMIT_EXCEEDED", "Too many requests.")
    }

    pub(super) fn setup_sync_pending() -> Answer {
        Answer::error(
            409,
            "INTEGRATION.SETUP_SYNC_PENDING",
            "The first sync has not finished yet.",
        )
    }

    pub(super) fn setup_incomplete() -> Answer {
        Answer::error(
            409,
            "INTEGRATION.SETUP_INCOMPLETE",
            "The customer has not finished the set-up.",
        )
    }

    pub(super) fn qa_failed() -> Answer {
        Answer::error(
            409,
            "INTEGRATION.QA_FAILED",
            "The first data failed the checks.",
        )
    }

    pub(super) fn model_not_available() -> Answer {
        Answer::error(
            400,
            "INTEGRATION.MODEL_NOT_AVAILABLE",
            "This connector does not have this model.",
        )
    }

    pub(super) fn model_disabled() -> Answer {
        Answer::error(
            400,
            "INTEGRATION.MODEL_DISABLED",
            "This model is switched off.",
        )
    }

    /// The HTTP response, dated by the movable clock.
    pub(super) fn into_response(self, now: DateTime<Utc>, budget: RateBudget) -> Response {
        let body = match self.body {
            Body::Text(text) => axum::body::Body::from(text),
            Body::BrokenOff(text) => broken_off(text),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content_type),
        );
        if let Ok(date) = HeaderValue::from_str(&self.date.text(now)) {
            headers.insert(header::DATE, date);
        }
        if self.rate_headers {
            headers.insert("ratelimit-limit", HeaderValue::from(budget.limit));
            headers.insert("ratelimit-remaining", HeaderValue::from(budget.remaining));
            headers.insert("ratelimit-reset", HeaderValue::from(budget.reset_seconds));
        }
        response
    }
}

impl Date {
    fn text(&self, now: DateTime<Utc>) -> String {
        let seconds = match self {
            Date::Right => 0,
            Date::Shifted(seconds) => *seconds,
            Date::Text(text) => return (*text).to_owned(),
        };
        let said = now + TimeDelta::seconds(seconds);
        said.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

fn broken_off(text: String) -> axum::body::Body {
    let half = text.into_bytes();
    let half = half[..half.len() / 2].to_vec();
    let end = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "simulated");
    axum::body::Body::from_stream(futures_util::stream::iter([Ok(half), Err(end)]))
}
