//! The messages of `graphql-transport-ws`, and the codes that end a socket.

use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    ConnectionInit {
        payload: Option<Value>,
    },
    Ping {
        payload: Option<Value>,
    },
    Pong,
    Subscribe {
        id: String,
        payload: Map<String, Value>,
    },
    Complete {
        id: String,
    },
}

impl Said {
    /// Reads a message; the error says in a few words what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let said = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &said {
            Self::Subscribe { id, .. } if id.is_empty() => Err("id is empty".to_owned()),
            _ => Ok(said),
        }
    }

    /// The bearer token of a `connection_init`, as the header `Authorization` would bring it.
    pub(super) fn authorization(payload: Option<&Value>) -> Option<String> {
        let members = payload?.as_object()?;
        let member = |name: &str| {
            let found = members
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str())
        };
        let within = members.get("headers");
        member("authorization")
            .map(str::to_owned)
            .or_else(|| {
                ["token", "authToken"]
                    .into_iter()
                    .find_map(member)
                    .map(|token| format!("Bearer {token}"))
            })
            .or_else(|| Self::authorization(within))
    }
}

/// A message to a client, as text.
#[derive(Serialize)]
struct Answer<'a, T: Serialize> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a T>,
}

fn written<T: Serialize>(id: Option<&str>, kind: &'static str, payload: Option<&T>) -> String {
    // nothing that is sent has a map with keys that are no text, the only thing JSON cannot say
    serde_json::to_string(&Answer { id, kind, payload }).unwrap_or_default()
}

pub(super) fn acknowledged() -> String {
    written::<()>(None, "connection_ack", None)
}

pub(super) fn pong(payload: Option<&Value>) -> String {
    written(None, "pong", payload)
}

pub(super) fn next(id: &str, response: &Response) -> String {
    written(Some(id), "next", Some(response))
}

pub(super) fn error(id: &str, errors: &[ServerError]) -> String {
    written(Some(id), "error", Some(&errors))
}

pub(super) fn complete(id: &str) -> String {
    written::<()>(Some(id), "complete", None)
}

/// Why a socket is closed: a code of the protocol's or of RFC 6455, and a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) code: u16,
    pub(super) reason: String,
}

/// Bytes that a closing frame has room for.
const LONGEST_REASON: usize = 123;

impl Closing {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        while reason.len() > LONGEST_REASON {
            reason.pop();
        }
        Self { code, reason }
    }

    pub(super) fn going_away() -> Self {
        Self::new(1001, "the server is going away")
    }

    pub(super) fn too_big(most: usize) -> Self {
        Self::new(1009, format!("a message has at most {most} bytes"))
    }

    pub(super) fn malformed(what: &str) -> Self {
        Self::new(4400, format!("Invalid message: {what}"))
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    pub(super) fn forbidden() -> Self {
        Self::new(4403, "Forbidden")
    }

    pub(super) fn other_protocol() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    pub(super) fn init_too_late() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    pub(super) fn subscriber_exists(id: &str) -> Self {
        Self::new(4409, format!("Subscriber for {id} already exists"))
    }

    pub(super) fn init_again() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_found_under_the_names_that_clients_use() {
        for payload in [
            json!({ "Authorization": "Bearer t" }),
            json!({ "authorization": "Bearer t" }),
            json!({ "token": "t" }),
            json!({ "authToken": "t" }),
            json!({ "headers": { "Authorization": "Bearer t" } }),
        ] {
            let found = Said::authorization(Some(&payload));
            assert_eq!(found.as_deref(), Some("Bearer t"), "{payload}");
        }
        for payload in [json!(null), json!("t"), json!({}), json!({ "token": 7 })] {
            assert_eq!(Said::authorization(Some(&payload)), None, "{payload}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "",
            "7",
            "{}",
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":7,"payload":{"query":"{a}"}}"#,
            r#"{"type":"complete"}"#,
        ] {
            assert!(Said::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_fits_into_its_frame() {
        let closing = Closing::subscriber_exists(&"ü".repeat(500));
        assert!(closing.reason.len() <= LONGEST_REASON);
    }
}
