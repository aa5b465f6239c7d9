//! The door for Kombo's webhooks: verify, store, answer.
//!
//! The signature is checked over the body's raw bytes before anything is read from it. The answer is 200
//! only after the event and what follows from it are committed. This room must never know the models nor
//! call Kombo, so it answers within milliseconds whatever the rest is doing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::inbox::{Content, Event};
use crate::integrations::Details;

/// The header that carries the signature (Kombo's webhook guide).
pub const SIGNATURE_HEADER: &str = "x-kombo-signature";

/// Kombo's events have a few hundred bytes; a body beyond this is refused unread.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// Bytes of an id, at most; Kombo's have 24. Postgres indexes them, and an entry of an index has its limit.
const LONGEST_ID: usize = 800;

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

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Map<String, Value>,
}

/// Reads a body whose signature was good.
///
/// # Errors
/// It is not JSON, or lacks what every event or this kind of event must have.
pub fn read_event(body: &[u8]) -> Result<Event, Malformed> {
    let payload = std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8"))?;
    let envelope: Envelope = serde_json::from_str(payload).map_err(|_| {
        Malformed("the body must be a JSON object with id and type (texts) and data (object)")
    })?;
    if !is_id(&envelope.id) {
        return Err(Malformed("id is empty or too long"));
    }
    let content = read_content(&envelope.kind, &envelope.data)?;
    Ok(Event {
        id: storable(&envelope.id),
        kind: storable(&envelope.kind),
        payload: payload.to_owned(),
        content,
    })
}

/// Some kinds name the integration `integration_id`, others plain `id` (API reference, webhooks).
fn read_content(kind: &str, data: &Map<String, Value>) -> Result<Content, Malformed> {
    Ok(match kind {
        "data-changed" => Content::DataChanged {
            integration_id: required(data, "integration_id")?,
            details: details(data, "integration_tool", "integration_category"),
            models: changed_models(data)?,
        },
        "integration-created" => Content::IntegrationMoved {
            integration_id: required(data, "id")?,
            details: details(data, "tool", "category"),
        },
        "integration-deleted" => Content::IntegrationDeleted {
            integration_id: required(data, "id")?,
        },
        "integration-state-changed" => Content::IntegrationMoved {
            integration_id: required(data, "integration_id")?,
            details: Details {
                state: text(data, "state"),
                setup_status: text(data, "setup_status"),
                ..details(data, "integration_tool", "integration_category")
            },
        },
        "sync-finished" => Content::IntegrationMoved {
            integration_id: required(data, "integration_id")?,
            details: details(data, "integration_tool", "integration_category"),
        },
        _ => Content::Other {
            integration_id: text(data, "integration_id"),
        },
    })
}

fn details(data: &Map<String, Value>, tool: &str, category: &str) -> Details {
    let end_user = data.get("end_user").and_then(Value::as_object);
    let of_end_user = |name| end_user.and_then(|end_user| text(end_user, name));
    Details {
        tool: text(data, tool),
        category: text(data, category),
        organization_name: of_end_user("organization_name"),
        origin_id: of_end_user("origin_id"),
        ..Details::default()
    }
}

fn changed_models(data: &Map<String, Value>) -> Result<Vec<String>, Malformed> {
    const SHAPE: Malformed = Malformed("data.changed_models must be a list of objects with a name");
    data.get("changed_models")
        .and_then(Value::as_array)
        .ok_or(SHAPE)?
        .iter()
        .map(|model| {
            let name = model.get("name").and_then(Value::as_str).ok_or(SHAPE)?;
            Ok(storable(name))
        })
        .collect()
}

fn required(data: &Map<String, Value>, name: &str) -> Result<String, Malformed> {
    text(data, name)
        .filter(|text| is_id(text))
        .ok_or(Malformed("data lacks a usable id of the integration"))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID
}

fn text(data: &Map<String, Value>, name: &str) -> Option<String> {
    data.get(name).and_then(Value::as_str).map(storable)
}

/// Postgres stores no U+0000; the payload keeps it as the escape that it came as.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
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
        let Content::DataChanged {
            models, details, ..
        } = event.content
        else {
            panic!("{event:?}");
        };
        assert_eq!(models, ["lms_courses", "lms_join_revisions_skills"]);
        assert_eq!(details.category.as_deref(), Some("LMS"));
    }

    // F58
    #[test]
    fn what_lacks_its_members_is_malformed_and_unknown_types_are_not() {
        for body in [
            "",
            "hello",
            "[]",
            r#"{"type":"data-changed","data":{}}"#,
            r#"{"id":"1","data":{}}"#,
            r#"{"id":"1","type":"data-changed"}"#,
            r#"{"id":"1","type":"data-changed","data":{}}"#,
            r#"{"id":"1","type":"data-changed","data":{"integration_id":"a:b"}}"#,
            r#"{"id":"1","type":"data-changed","data":{"integration_id":"a:b","changed_models":["lms_users"]}}"#,
            r#"{"id":"","type":"x","data":{}}"#,
        ] {
            assert!(read_event(body.as_bytes()).is_err(), "{body}");
        }
        let unknown = read_event(br#"{"id":"1","type":"tea-ready","data":{"a":1},"more":2}"#);
        assert!(matches!(unknown.unwrap().content, Content::Other { .. }));
    }
}
