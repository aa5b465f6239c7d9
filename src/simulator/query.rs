//! The query string of a list request, read as strictly as Kombo may read it.
//!
//! Strict on purpose: a client that only works because a server is lenient breaks against the real one.
//! Anything not understood is a 400, also parameters that do not exist.
//!
//! Must never look at data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::rows::Endpoint;
use super::table::{FINGERPRINT_START, fingerprint};

const DEFAULT_PAGE_SIZE: usize = 100;
const LARGEST_PAGE_SIZE: usize = 250;

/// A checked list request.
#[derive(Debug)]
pub(super) struct ListQuery {
    pub(super) page_size: usize,
    /// Milliseconds since 1970; rows changed later than this.
    pub(super) updated_after: Option<i64>,
    pub(super) include_deleted: bool,
    pub(super) ignore_unsupported_filters: bool,
    pub(super) ids: Option<Vec<String>>,
    pub(super) remote_ids: Option<Vec<String>>,
    /// Lower case.
    pub(super) work_emails: Option<Vec<String>>,
    pub(super) user_ids: Option<Vec<String>>,
    pub(super) course_ids: Option<Vec<String>>,
    pub(super) cursor: Option<Cursor>,
    /// What a cursor is bound to: endpoint, integration and every filter.
    pub(super) binding: u64,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// A row number, or a place in the change log when `updated_after` is set.
    pub(super) position: u64,
    /// Which page it leads to; the first page is 1 and needs no cursor.
    pub(super) page: u32,
}

impl Cursor {
    /// Opaque text; always with `=` at its end, so that a client which does not encode it is found out.
    pub(super) fn encode(self, binding: u64) -> String {
        let mut plain = format!(
            "{{\"at\":{},\"page\":{},\"for\":\"{binding:016x}\"}}",
            self.position, self.page
        );
        while plain.len() % 3 != 1 {
            plain.push(' ');
        }
        STANDARD.encode(plain)
    }

    fn decode(text: &str, binding: u64) -> Option<Cursor> {
        let plain = STANDARD.decode(text).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&plain).ok()?;
        let bound = value.get("for")?.as_str()? == format!("{binding:016x}");
        let cursor = Cursor {
            position: value.get("at")?.as_u64()?,
            page: value.get("page")?.as_u64()?.try_into().ok()?,
        };
        bound.then_some(cursor)
    }
}

fn extra_filters(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Users => &["work_emails"],
        Endpoint::CourseProgressions => &["user_ids", "course_ids"],
        Endpoint::Courses | Endpoint::Skills => &[],
    }
}

const COMMON_PARAMETERS: [&str; 7] = [
    "cursor",
    "page_size",
    "updated_after",
    "include_deleted",
    "ignore_unsupported_filters",
    "ids",
    "remote_ids",
];

/// Checks the parameters of a list request; the error is the message for the client.
pub(super) fn parse(
    endpoint: Endpoint,
    integration_id: &str,
    pairs: &[(String, String)],
) -> Result<ListQuery, String> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in pairs {
        let known = COMMON_PARAMETERS.contains(&name.as_str())
            || extra_filters(endpoint).contains(&name.as_str());
        if !known {
            return Err(format!("{name} is not a parameter of {}.", endpoint.path()));
        }
        if names.contains(&name.as_str()) {
            return Err(format!("{name} was given twice."));
        }
        names.push(name);
    }
    let value = |name: &str| {
        let pair = pairs.iter().find(|(given, _)| given == name);
        pair.map(|(_, value)| value.as_str())
    };
    let mut query = ListQuery {
        page_size: value("page_size").map_or(Ok(DEFAULT_PAGE_SIZE), page_size)?,
        updated_after: value("updated_after").map(updated_after).transpose()?,
        include_deleted: flag("include_deleted", value("include_deleted"))?,
        ignore_unsupported_filters: flag(
            "ignore_unsupported_filters",
            value("ignore_unsupported_filters"),
        )?,
        ids: list("ids", value("ids"))?,
        remote_ids: list("remote_ids", value("remote_ids"))?,
        work_emails: list(
            "work_emails",
            value("work_emails").map(str::to_lowercase).as_deref(),
        )?,
        user_ids: list("user_ids", value("user_ids"))?,
        course_ids: list("course_ids", value("course_ids"))?,
        cursor: None,
        binding: 0,
    };
    query.binding = binding(endpoint, integration_id, &query);
    query.cursor = match value("cursor") {
        None => None,
        Some(text) => Some(
            Cursor::decode(text, query.binding)
                .ok_or("cursor is not valid for this endpoint, integration and set of filters.")?,
        ),
    };
    Ok(query)
}

fn binding(endpoint: Endpoint, integration_id: &str, query: &ListQuery) -> u64 {
    let everything = format!(
        "{endpoint:?} {integration_id} {} {:?} {} {} {:?} {:?} {:?} {:?} {:?}",
        query.page_size,
        query.updated_after,
        query.include_deleted,
        query.ignore_unsupported_filters,
        query.ids,
        query.remote_ids,
        query.work_emails,
        query.user_ids,
        query.course_ids,
    );
    fingerprint(FINGERPRINT_START, &everything)
}

fn page_size(text: &str) -> Result<usize, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(size) if digits && (1..=LARGEST_PAGE_SIZE).contains(&size) => Ok(size),
        _ => Err(format!(
            "page_size must be an integer from 1 to {LARGEST_PAGE_SIZE}."
        )),
    }
}

fn flag(name: &str, text: Option<&str>) -> Result<bool, String> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(format!("{name} must be \"true\" or \"false\".")),
    }
}

fn list(name: &str, text: Option<&str>) -> Result<Option<Vec<String>>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    if text.is_empty() {
        return Err(format!("{name} must name at least one value."));
    }
    Ok(Some(text.split(',').map(str::to_owned).collect()))
}

/// `^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?)?Z?$`, and a moment that exists.
fn updated_after(text: &str) -> Result<i64, String> {
    moment(text).ok_or_else(|| {
        format!("updated_after must look like 2026-01-31T08:30:00.000Z, not like {text}.")
    })
}

fn moment(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    has_shape(day, "0000-00-00").then_some(())?;
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    let Some(time) = time else {
        return Some(
            NaiveDateTime::new(day, NaiveTime::MIN)
                .and_utc()
                .timestamp_millis(),
        );
    };
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (time, None),
    };
    has_shape(clock, "00:00:00").then_some(())?;
    let clock = NaiveTime::parse_from_str(clock, "%H:%M:%S").ok()?;
    let milliseconds = match fraction {
        None => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let padded = format!("{digits}000");
            padded[..3].parse().ok()?
        }
        Some(_) => return None,
    };
    Some(NaiveDateTime::new(day, clock).and_utc().timestamp_millis() + milliseconds)
}

/// Whether `text` is like `shape`, in which a 0 stands for any digit.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, expected)| match expected {
                b'0' => byte.is_ascii_digit(),
                _ => byte == expected,
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(endpoint: Endpoint, name: &str, value: &str) -> Result<ListQuery, String> {
        parse(
            endpoint,
            "sandbox:a",
            &[(name.to_owned(), value.to_owned())],
        )
    }

    #[test]
    fn a_page_size_outside_its_bounds_is_refused() {
        for bad in [
            "0",
            "251",
            "-1",
            "+5",
            "ten",
            "",
            "1.0",
            "99999999999999999999",
        ] {
            assert!(
                parse_one(Endpoint::Users, "page_size", bad).is_err(),
                "{bad}"
            );
        }
        for (good, size) in [("1", 1), ("250", 250), ("007", 7)] {
            assert_eq!(
                parse_one(Endpoint::Users, "page_size", good)
                    .unwrap()
                    .page_size,
                size
            );
        }
        assert_eq!(parse(Endpoint::Users, "a", &[]).unwrap().page_size, 100);
    }

    #[test]
    fn booleans_are_the_words_true_and_false_only() {
        for name in ["include_deleted", "ignore_unsupported_filters"] {
            for bad in ["True", "1", "yes", ""] {
                assert!(
                    parse_one(Endpoint::Skills, name, bad).is_err(),
                    "{name}={bad}"
                );
            }
            assert!(parse_one(Endpoint::Skills, name, "true").is_ok());
            assert!(parse_one(Endpoint::Skills, name, "false").is_ok());
        }
    }

    #[test]
    fn updated_after_follows_the_documented_pattern() {
        let good = [
            ("2026-01-02", 1_767_312_000_000),
            ("2026-01-02Z", 1_767_312_000_000),
            ("2026-01-02T03:04:05", 1_767_323_045_000),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
            ("2026-01-02T03:04:05.6Z", 1_767_323_045_600),
            ("2026-01-02T03:04:05.678901Z", 1_767_323_045_678),
        ];
        for (text, expected) in good {
            let query = parse_one(Endpoint::Users, "updated_after", text).unwrap();
            assert_eq!(query.updated_after, Some(expected), "{text}");
        }
        let bad = [
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04Z",
            "2026-1-2",
            "2026-13-02",
            "2026-01-02T25:00:00Z",
            "2026-01-02 03:04:05",
            "1767312000",
            "",
            "2026-01-02ZZ",
        ];
        for text in bad {
            assert!(
                parse_one(Endpoint::Users, "updated_after", text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_parameter_that_the_endpoint_does_not_have_is_refused() {
        assert!(parse_one(Endpoint::Users, "work_emails", "a@b.c").is_ok());
        assert!(parse_one(Endpoint::Courses, "work_emails", "a@b.c").is_err());
        assert!(parse_one(Endpoint::CourseProgressions, "user_ids", "a").is_ok());
        assert!(parse_one(Endpoint::Users, "user_ids", "a").is_err());
        assert!(parse_one(Endpoint::CourseProgressions, "status", "ACTIVE").is_err());
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let twice = [
            ("ids".to_owned(), "a".to_owned()),
            ("ids".to_owned(), "b".to_owned()),
        ];
        assert!(parse(Endpoint::Users, "a", &twice).is_err());
    }

    #[test]
    fn a_cursor_is_padded_base64_and_survives_the_round_trip() {
        for position in [0, 7, 1_000, 123_456_789] {
            let cursor = Cursor { position, page: 3 };
            let text = cursor.encode(42);
            assert!(text.ends_with('='), "{text}");
            assert_eq!(Cursor::decode(&text, 42), Some(cursor));
            assert_eq!(Cursor::decode(&text, 43), None);
        }
        assert_eq!(Cursor::decode("not base64!", 42), None);
        assert_eq!(Cursor::decode("e30=", 42), None);
    }
}
