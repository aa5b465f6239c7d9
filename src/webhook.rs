//! The door for Kombo's webhooks: verify, store, answer.
//!
//! The signature is checked over the body's raw bytes before anything is read from it. The answer is 200
//! only after the event and what follows from it are committed. This room must never know the models nor
//! call Kombo, so it answers within milliseconds whatever the rest is doing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::escapes;
use crate::inbox::{Content, Event, News};
use crate::integrations::{self, Details};

/// The header that carries the signature (Kombo's webhook guide).
pub const SIGNATURE_HEADER: &str = "x-kombo-signature";

/// Kombo's events have a few hundred bytes; a body beyond this is refused unread.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// An id beyond this is none of Kombo's, and what is longer than a key of an index can be would be refused by
/// Postgres.
const LONGEST_EVENT_ID: usize = 255;

/// Whether `signature` is base64url (without padding) of the HMAC-SHA256 of `body` under one of `secrets`.
/// Compared in constant time.
#[must_use]
pub fn is_signed(secrets: &[SecretString], body: &[u8], signature: Option<&str>) -> bool {
    let Some(signature) = signature.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else {
        return false;
    };
    secrets.iter().any(|secret| {
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).is_ok_and(|mut mac| {
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        })
    })
}

/// Why a signed body is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Reads a body whose signature was good. An event is never refused for what it lacks: the sender would send
/// it again and again, so it is kept, and [`Content::Other`] says that nothing follows from it.
///
/// # Errors
/// It is no JSON object.
pub fn read_event(body: &[u8]) -> Result<Event, Malformed> {
    const NO_OBJECT: Malformed = Malformed("the body must be a JSON object");
    let payload = std::str::from_utf8(body).map_err(|_| NO_OBJECT)?;
    let envelope: Map<String, Value> =
        serde_json::from_str(&escapes::replace_unstorable(payload)).map_err(|_| NO_OBJECT)?;
    let kind = text(&envelope, "type").unwrap_or_default();
    let nothing = Map::new();
    let data = envelope.get("data").and_then(Value::as_object);
    Ok(Event {
        id: text(&envelope, "id")
            .filter(|id| !id.is_empty() && id.len() <= LONGEST_EVENT_ID)
            .unwrap_or_else(|| digest(body)),
        content: read_content(&kind, data.unwrap_or(&nothing)),
        kind,
        payload: payload.to_owned(),
    })
}

/// Stands for the id of an event without one, so that its second delivery is known (F58).
fn digest(body: &[u8]) -> String {
    let hex: String = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// Some kinds name the integration `integration_id`, others plain `id`, one has it as an object (API reference
/// and SDKs, webhooks).
fn read_content(kind: &str, data: &Map<String, Value>) -> Content {
    let nothing = Map::new();
    let inner = data.get("integration").and_then(Value::as_object);
    let inner = inner.unwrap_or(&nothing);
    match kind {
        "data-changed" => prefixed(data, News::DataChanged(changed_models(data))),
        "integration-state-changed" => prefixed(data, News::StateChanged),
        "sync-finished" => prefixed(
            data,
            News::SyncFinished {
                ended_at: moment(data, "sync_ended_at"),
                state: text(data, "sync_state"),
            },
        ),
        "integration-created" => plain(data, News::Created),
        "integration-deleted" => plain(data, News::Deleted),
        // null: an issue of the whole environment
        "issue-status-changed" if inner.is_empty() => other(data, None),
        "issue-status-changed" => plain(inner, News::IssueChanged),
        _ => other(data, None),
    }
}

/// News whose members begin with `integration_`.
fn prefixed(data: &Map<String, Value>, news: News) -> Content {
    let details = details(data, "integration_tool", "integration_category");
    content(data, "integration_id", details, news)
}

/// News whose members have no prefix.
fn plain(data: &Map<String, Value>, news: News) -> Content {
    content(data, "id", details(data, "tool", "category"), news)
}

fn content(data: &Map<String, Value>, id: &str, details: Details, news: News) -> Content {
    match text(data, id).filter(|id| integrations::is_usable_id(id)) {
        Some(integration_id) => Content::News {
            integration_id,
            details,
            news,
        },
        None => other(data, Some("it names no integration")),
    }
}

fn other(data: &Map<String, Value>, fault: Option<&'static str>) -> Content {
    Content::Other {
        integration_id: text(data, "integration_id").filter(|id| integrations::is_usable_id(id)),
        fault,
    }
}

/// Only `integration-state-changed` has a state, and says as of when.
fn details(data: &Map<String, Value>, tool: &str, category: &str) -> Details {
    let end_user = data.get("end_user").and_then(Value::as_object);
    let of_end_user = |name| end_user.and_then(|end_user| text(end_user, name));
    Details {
        tool: text(data, tool),
        category: text(data, category),
        organization_name: of_end_user("organization_name"),
        origin_id: of_end_user("origin_id"),
        state: text(data, "state"),
        setup_status: text(data, "setup_status"),
        state_as_of: moment(data, "updated_at"),
    }
}

/// The names, or `None` where one of them cannot be read.
fn changed_models(data: &Map<String, Value>) -> Option<Vec<String>> {
    let models = data.get("changed_models")?.as_array()?;
    let name = |model: &Value| Some(model.get("name")?.as_str()?.to_owned());
    models.iter().map(name).collect()
}

fn text(data: &Map<String, Value>, name: &str) -> Option<String> {
    data.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn moment(data: &Map<String, Value>, name: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(data.get(name)?.as_str()?).ok()?;
    Some(moment.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test_4f2b9c7d1e";
    const COMPACT: &str = r#"{"id":"Cbfk5sHtDxrSrJBRjsDtbaN9","type":"data-changed","data":{"integration_id":"sandbox:7C9M5sXAQx2cNMpVHLojrFpL","integration_tool":"sandbox","integration_category":"LMS","changed_models":[{"name":"lms_courses"},{"name":"lms_join_revisions_skills"}]}}"#;
    const COMPACT_SIGNATURE: &str = "g1Erswo9C609MZkfoR2jQEmNTb-955GwWY2FyotNDcA";

    fn secrets() -> Vec<SecretString> {
        vec![SECRET.into()]
    }

    fn signed(body: &str, signature: &str) -> bool {
        is_signed(&secrets(), body.as_bytes(), Some(signature))
    }

    #[test]
    fn a_compact_body_with_its_signature_is_accepted() {
        assert!(signed(COMPACT, COMPACT_SIGNATURE));
    }

    // F55: the same JSON written differently has another signature.
    #[test]
    fn the_signature_is_over_the_bytes_and_not_over_their_meaning() {
        let value: Value = serde_json::from_str(COMPACT).unwrap();
        let mut indented = String::from("{\n");
        indented.push_str("  \"id\": \"Cbfk5sHtDxrSrJBRjsDtbaN9\",\n  \"type\": \"data-changed\",\n  \"data\": {\n");
        indented.push_str("    \"integration_id\": \"sandbox:7C9M5sXAQx2cNMpVHLojrFpL\",\n    \"integration_tool\": \"sandbox\",\n    \"integration_category\": \"LMS\",\n");
        indented.push_str("    \"changed_models\": [\n      {\n        \"name\": \"lms_courses\"\n      },\n      {\n        \"name\": \"lms_join_revisions_skills\"\n      }\n    ]\n  }\n}");
        assert_eq!(indented.len(), 346);
        assert_eq!(serde_json::from_str::<Value>(&indented).unwrap(), value);
        assert!(signed(
            &indented,
            "wEAcR51YAxL_p3bpP8qyQfa3wm_QFcJgMxGLqBqAkjs"
        ));
        assert!(!signed(&indented, COMPACT_SIGNATURE));
    }

    #[test]
    fn a_body_beyond_ascii_is_signed_as_utf8() {
        let body = r#"{"id":"ev0","type":"integration-created","data":{"organization":"Zürich"}}"#;
        assert_eq!(body.len(), 75);
        assert!(signed(body, "qK2gqNzk3aw9A0wSZJshupNr-_J3FCx-1ncAkYYRarE"));
    }

    #[test]
    fn an_empty_body_has_a_signature_too() {
        assert!(signed("", "gAdStGvkBL60hma2hSaQFOXum9lk1exUNr-dzNGx-_I"));
    }

    // F55, F56
    #[test]
    fn every_other_form_of_the_signature_is_refused() {
        let hex = "83512bb30a3d0bad3d31991fa11da340498d4dbfbde791b0598d85ca8b4d0dc0";
        let padded = format!("{COMPACT_SIGNATURE}=");
        let standard = COMPACT_SIGNATURE.replace('-', "+");
        for wrong in [hex, &padded, &standard, "", "g1Er", &COMPACT_SIGNATURE[1..]] {
            assert!(!signed(COMPACT, wrong), "{wrong}");
        }
        let body = COMPACT.as_bytes();
        assert!(!is_signed(&secrets(), body, None));
        assert!(!is_signed(&["other".into()], body, Some(COMPACT_SIGNATURE)));
        assert!(!is_signed(&[], body, Some(COMPACT_SIGNATURE)));
    }

    // F57
    #[test]
    fn any_secret_of_a_rotation_is_accepted() {
        let rotating = ["new".into(), SECRET.into()];
        assert!(is_signed(
            &rotating,
            COMPACT.as_bytes(),
            Some(COMPACT_SIGNATURE)
        ));
    }

    #[test]
    fn a_data_changed_event_is_read() {
        let event = read_event(COMPACT.as_bytes()).unwrap();
        assert_eq!(event.id, "Cbfk5sHtDxrSrJBRjsDtbaN9");
        let Content::News { details, news, .. } = event.content else {
            panic!("{event:?}");
        };
        let models = ["lms_courses", "lms_join_revisions_skills"].map(str::to_owned);
        assert_eq!(news, News::DataChanged(Some(models.to_vec())));
        assert_eq!(details.category.as_deref(), Some("LMS"));
    }

    fn content_of(body: &str) -> Content {
        read_event(body.as_bytes()).unwrap().content
    }

    #[test]
    fn only_what_is_no_json_object_is_malformed() {
        for body in ["", "hello", "[]", "null", "{\"id\":", "7"] {
            assert!(read_event(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read_event(b"{\"id\":\"\xff\"}").is_err());
    }

    // F58: what cannot be used is an event all the same.
    #[test]
    fn known_kinds_that_name_no_integration_are_unusable_and_unknown_kinds_are_not() {
        for body in [
            r#"{"id":"1","type":"data-changed"}"#,
            r#"{"id":"1","type":"data-changed","data":[]}"#,
            r#"{"id":"1","type":"data-changed","data":{"integration_id":7,"changed_models":[]}}"#,
            r#"{"id":"1","type":"sync-finished","data":{"integration_id":""}}"#,
            r#"{"id":"1","type":"integration-created","data":{"integration_id":"a:b"}}"#,
            r#"{"id":"1","type":"integration-deleted","data":{"id":"a\nb"}}"#,
            r#"{"id":"1","type":"issue-status-changed","data":{"integration":{"tool":"x"}}}"#,
        ] {
            let content = content_of(body);
            assert!(
                matches!(content, Content::Other { fault: Some(_), .. }),
                "{body}: {content:?}"
            );
        }
        for body in [
            r#"{}"#,
            r#"{"id":"1","type":7,"data":{}}"#,
            r#"{"id":"1","type":"tea-ready","data":{"a":1},"more":2}"#,
            r#"{"id":"1","type":"issue-status-changed","data":{"integration":null}}"#,
        ] {
            let content = content_of(body);
            assert!(
                matches!(content, Content::Other { fault: None, .. }),
                "{body}: {content:?}"
            );
        }
    }

    // F58: the safe reading of names that cannot be read is that anything changed.
    #[test]
    fn one_unreadable_model_makes_all_of_them_unknown() {
        for models in [
            "7",
            "null",
            r#"["lms_users"]"#,
            r#"[{"name":"lms_users"},{}]"#,
        ] {
            let body = format!(
                r#"{{"id":"1","type":"data-changed","data":{{"integration_id":"a:b","changed_models":{models}}}}}"#
            );
            let Content::News { news, .. } = content_of(&body) else {
                panic!("{body}");
            };
            assert_eq!(news, News::DataChanged(None), "{body}");
        }
    }

    // F58: an event without a usable id has that of its bytes.
    #[test]
    fn an_event_without_an_id_is_known_by_its_body() {
        let id = |body: &str| read_event(body.as_bytes()).unwrap().id;
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(3000));
        for body in [r#"{"type":"x"}"#, r#"{"id":7}"#, r#"{"id":""}"#, &long] {
            assert!(id(body).starts_with("sha256:"), "{body}");
            assert_eq!(id(body), id(body));
        }
        assert_ne!(id(r#"{"type":"x"}"#), id(r#"{"type":"y"}"#));
    }

    // F60: half an emoji in a name costs the half, not the event.
    #[test]
    fn texts_that_cannot_be_stored_are_replaced() {
        let body = r#"{"id":"1","type":"integration-created","data":{"id":"a:b","end_user":{"organization_name":"A\ud83d\u0000"}}}"#;
        let Content::News { details, .. } = content_of(body) else {
            panic!("{body}");
        };
        assert_eq!(
            details.organization_name.as_deref(),
            Some("A\u{fffd}\u{fffd}")
        );
    }
}
