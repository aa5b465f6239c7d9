//! Reading the body of a list answer.
//!
//! Strict about the envelope, since "no next page" is what completeness rests on; careless about nothing
//! inside the records, which are handed on as text.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::Error;
use crate::escapes;

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
        let text = escapes::replace_unstorable(&text);
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

#[cfg(test)]
mod tests {
    use super::*;

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
