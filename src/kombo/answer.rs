//! Reading the body of a list answer.
//!
//! Strict about the envelope, since "no next page" is what completeness rests on; careless about nothing
//! inside the records, which are handed on as text.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::Error;

/// One page of a list endpoint.
#[derive(Debug)]
pub struct Page {
    /// The records, each as its JSON text.
    pub records: Vec<Box<RawValue>>,
    /// Cursor of the next page; `None`: this was the last one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    // required: an answer that forgot it says nothing about being the last page
    #[serde(deserialize_with = "present_or_null")]
    next: Option<String>,
    results: Vec<Box<RawValue>>,
}

fn present_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The body is cut off, or no list envelope: the request is worth repeating.
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(body);
        let text = replace_unstorable_escapes(&text);
        let envelope: Envelope = serde_json::from_str(&text).map_err(|error| {
            // the error names a position, never content
            let place = format!("line {} column {}", error.line(), error.column());
            Error::unusable(
                "MIRROR.UNREADABLE_ANSWER",
                format!("kombo's answer is no list page ({place})"),
            )
        })?;
        if envelope.status != "success" {
            return Err(Error::unusable(
                "MIRROR.UNREADABLE_ANSWER",
                "kombo's answer has HTTP status 200 but does not say success",
            ));
        }
        Ok(Self {
            records: envelope.data.results,
            next: envelope.data.next,
        })
    }
}

/// What stands for a character that Postgres cannot store, as an escape.
const REPLACEMENT: &str = "\\ufffd";

/// Replaces the JSON escapes that neither `text` nor `jsonb` can hold: `\u0000` and surrogates without
/// their other half (F60). Everything else stays byte for byte.
fn replace_unstorable_escapes(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        let start = at + found;
        // the escape's own letter is skipped, so that the second of two backslashes begins nothing
        at = (start + 2).min(bytes.len());
        let Some(unit) = code_unit(bytes, start) else {
            continue;
        };
        at = start + 6;
        let unstorable = match unit {
            0 | 0xdc00..=0xdfff => true,
            0xd800..=0xdbff => match code_unit(bytes, start + 6) {
                Some(0xdc00..=0xdfff) => {
                    at = start + 12;
                    false
                }
                _ => true,
            },
            _ => false,
        };
        if unstorable {
            out.push_str(&json[copied..start]);
            out.push_str(REPLACEMENT);
            copied = start + 6;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The code unit of a `\uXXXX` escape at `start`.
fn code_unit(bytes: &[u8], start: usize) -> Option<u16> {
    let escape = bytes.get(start..start + 6)?;
    if !escape.starts_with(b"\\u") {
        return None;
    }
    let digits = std::str::from_utf8(&escape[2..]).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // F60: neither text nor jsonb can store these.
    #[test]
    fn nul_and_lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, expected) in [
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""\ud800x""#, r#""\ufffdx""#),
            (r#""\udc00""#, r#""\ufffd""#),
            (r#""\ud800\ud800""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ude00\u0000""#, r#""\ud83d\ude00\ufffd""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\u00e9""#, r#""\u00e9""#),
            (r#""\u00""#, r#""\u00""#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(replace_unstorable_escapes(json), expected, "{json}");
        }
    }

    // F17: completeness is `next: null`, never its absence.
    #[test]
    fn an_answer_without_next_is_no_last_page() {
        let page = br#"{"status":"success","data":{"results":[]}}"#;
        assert_eq!(
            Page::read(page).unwrap_err().code,
            "MIRROR.UNREADABLE_ANSWER"
        );
        let page = br#"{"status":"success","data":{"next":null,"results":[]},"more":1}"#;
        assert!(Page::read(page).unwrap().next.is_none());
    }

    #[test]
    fn cut_off_and_foreign_answers_are_worth_repeating() {
        for body in [
            &br#"{"status":"success","data":{"next":null,"results":[{"id""#[..],
            b"",
            b"<html>",
            br#"{"status":"error","data":{"next":null,"results":[]}}"#,
        ] {
            assert!(Page::read(body).unwrap_err().is_retryable());
        }
    }
}
