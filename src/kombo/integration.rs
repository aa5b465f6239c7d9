//! What Kombo says of an integration as a whole, and the wish that it pull from the learning system again.
//!
//! Reads leniently: whatever has an unexpected shape is left out, and the rest counts. It decides nothing.

use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::budget::Lane;
use super::{Asked, Client, Error};
use crate::clock::Clock;
use crate::escapes;
use crate::integrations::{Description, Details};

/// Kombo's answer to the wish for a sync with the learning system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedSync {
    /// One was waiting or running already, and this is it.
    pub already_queued: bool,
    /// Kombo's id of the sync.
    pub sync_id: String,
    /// How far it goes, `FULL` or `DELTA`; may differ from what was asked for.
    pub mode: String,
}

impl Client {
    /// Asks for an integration's state (`GET /integrations/{id}`).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn integration(&self, id: &str, clock: &Clock) -> Result<Description, Error> {
        // ids contain a colon
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        let url = format!("{}/integrations/{id}", self.settings.api_url);
        let asked = Asked {
            endpoint: "integrations",
            url: &url,
            query: &[],
            integration_id: None,
            lane: Lane::Manual,
            clock,
        };
        let (mut description, times) = self.get(asked, read_description).await?;
        description.details.state_as_of = times.map(|times| times.started_at);
        Ok(description)
    }

    /// Asks Kombo to pull from the learning system again (`POST /force-sync`). Tried once: a person waits for
    /// the answer and may ask again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn force_sync(
        &self,
        integration_id: &str,
        mode: &str,
        clock: &Clock,
    ) -> Result<ForcedSync, Error> {
        let url = format!("{}/force-sync", self.settings.api_url);
        let request = self
            .http
            .post(&url)
            .header("content-type", "application/json")
            .body(json!({ "type": mode }).to_string());
        let asked = Asked {
            endpoint: "force_sync",
            url: &url,
            query: &[],
            integration_id: Some(integration_id),
            lane: Lane::Manual,
            clock,
        };
        let answer = self.send(request, &asked).await?;
        read_forced_sync(&answer.body, mode)
    }
}

/// `data` of a success envelope.
fn data_of(body: &[u8]) -> Option<Map<String, Value>> {
    let text = String::from_utf8_lossy(body);
    let mut envelope: Map<String, Value> =
        serde_json::from_str(&escapes::replace_unstorable(&text)).ok()?;
    match envelope.remove("data")? {
        Value::Object(data) => Some(data),
        _ => None,
    }
}

fn read_forced_sync(body: &[u8], asked: &str) -> Result<ForcedSync, Error> {
    let read = || {
        let data = data_of(body)?;
        Some(ForcedSync {
            already_queued: data.get("already_queued")?.as_bool()?,
            sync_id: text(&data, "sync_id")?,
            mode: text(&data, "type").unwrap_or_else(|| asked.to_owned()),
        })
    };
    read().ok_or_else(|| {
        Error::unusable(
            "MIRROR.UNREADABLE_ANSWER",
            "kombo's answer does not describe a sync",
        )
    })
}

fn read_description(body: &[u8]) -> Result<Description, Error> {
    let data = data_of(body).ok_or_else(|| {
        Error::unusable(
            "MIRROR.UNREADABLE_ANSWER",
            "kombo's answer does not describe an integration",
        )
    })?;
    let inside = |object: &str, name: &str| text(data.get(object)?.as_object()?, name);
    Ok(Description {
        details: Details {
            tool: inside("tool", "id"),
            category: text(&data, "category"),
            organization_name: inside("end_user", "organization_name"),
            origin_id: inside("end_user", "origin_id"),
            state: text(&data, "status"),
            setup_status: text(&data, "setup_status"),
            state_as_of: None,
        },
        data_expired_at: data.get("data_expired_at").and_then(moment_or_null),
        unavailable_models: unavailable_models(&data),
    })
}

/// `None` where it is neither null nor a moment.
fn moment_or_null(value: &Value) -> Option<Option<DateTime<Utc>>> {
    if value.is_null() {
        return Some(None);
    }
    let moment = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(Some(moment.to_utc()))
}

/// Names of the read models that the connector lacks or that somebody switched off.
fn unavailable_models(data: &Map<String, Value>) -> Option<Vec<String>> {
    let models = data.get("read_models")?.as_array()?;
    let is_off = |model: &&Map<String, Value>| {
        model.get("is_available") == Some(&Value::Bool(false))
            || model.get("opted_out_by_customer") == Some(&Value::Bool(true))
            || model.get("scope_config_setting") == Some(&Value::from("DISABLED"))
    };
    let mut names: Vec<String> = models
        .iter()
        .filter_map(Value::as_object)
        .filter(is_off)
        .filter_map(|model| text(model, "id"))
        .collect();
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn text(data: &Map<String, Value>, name: &str) -> Option<String> {
    data.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(data: &Value) -> Description {
        read_description(json!({ "data": data }).to_string().as_bytes()).unwrap()
    }

    // F42: each of the three ways in which a model can be off.
    #[test]
    fn models_that_are_off_are_named() {
        let description = described(&json!({
            "data_expired_at": "2026-01-07T14:01:29.196Z",
            "read_models": [
                { "id": "lms_users", "is_available": true, "scope_config_setting": "ENABLED", "opted_out_by_customer": false },
                { "id": "lms_skills", "is_available": false },
                { "id": "lms_courses", "is_available": true, "scope_config_setting": "DISABLED" },
                { "id": "lms_course_providers", "is_available": true, "opted_out_by_customer": true },
            ],
        }));
        let off = ["lms_course_providers", "lms_courses", "lms_skills"].map(str::to_owned);
        assert_eq!(description.unavailable_models, Some(off.to_vec()));
        assert!(matches!(description.data_expired_at, Some(Some(_))));
    }

    // F59: one member of another shape never costs the others.
    #[test]
    fn members_of_another_shape_are_left_out_and_the_rest_counts() {
        let description = described(&json!({
            "tool": "moodle",
            "category": 7,
            "status": "ASLEEP",
            "setup_status": null,
            "end_user": [],
            "data_expired_at": "soon",
            "read_models": ["lms_users", { "id": 1, "is_available": false }, { "is_available": false }, { "id": "lms_skills", "is_available": "no" }],
            "colour": "red",
        }));
        assert_eq!(description.details.state.as_deref(), Some("ASLEEP"));
        assert_eq!(description.details.tool, None);
        assert_eq!(description.data_expired_at, None);
        assert_eq!(description.unavailable_models, Some(Vec::new()));
        assert_eq!(described(&json!({})), Description::default());
        assert!(read_description(b"[]").is_err());
        assert!(read_description(br#"{"data":null}"#).is_err());
    }

    #[test]
    fn data_that_is_good_says_so() {
        let description = described(&json!({ "data_expired_at": null }));
        assert_eq!(description.data_expired_at, Some(None));
    }

    #[test]
    fn a_forced_sync_may_go_less_or_further_than_asked() {
        let body =
            br#"{"status":"success","data":{"already_queued":true,"sync_id":"s1","type":"DELTA"}}"#;
        let sync = read_forced_sync(body, "FULL").unwrap();
        assert_eq!((sync.already_queued, sync.mode.as_str()), (true, "DELTA"));
        let unreadable = read_forced_sync(b"{}", "FULL").unwrap_err();
        assert_eq!(unreadable.code, "MIRROR.UNREADABLE_ANSWER");
    }
}
