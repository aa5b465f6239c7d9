//! Everything that can go wrong between a client and Kombo, on demand.
//!
//! Must never happen by itself: without an injected [`Fault`] every answer is right.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Answer, Body, Date};
use super::rows::Endpoint;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 with the `ratelimit-*` headers.
    TooManyRequests,
    /// 429 without any header that says how long to wait.
    TooManyRequestsWithoutHeaders,
    /// 500, plain text.
    InternalErrorText,
    /// 502, plain text.
    BadGatewayText,
    /// 503, an HTML page of a load balancer.
    UnavailableHtml,
    /// 503, Kombo's envelope with `code: null`.
    UnavailableWithoutCode,
    /// 409 `INTEGRATION.SETUP_SYNC_PENDING`.
    SetupSyncPending,
    /// 409 `INTEGRATION.SETUP_INCOMPLETE`.
    SetupIncomplete,
    /// 409 `INTEGRATION.QA_FAILED`.
    QaFailed,
    /// 401 `PLATFORM.AUTHENTICATION_INVALID`.
    AuthenticationInvalid,
    /// 403 `INTEGRATION.PERMISSION_MISSING`.
    PermissionMissing,
    /// 400 `INTEGRATION.MODEL_NOT_AVAILABLE`.
    ModelNotAvailable,
    /// 400 `INTEGRATION.MODEL_DISABLED`.
    ModelDisabled,
    /// The right answer, this many milliseconds of real time later.
    Slow(u64),
    /// 200, cut off in the middle of the JSON text, under a matching `Content-Length`.
    TruncatedJson,
    /// 200 without a body.
    EmptyBody,
    /// The connection breaks before the body is complete.
    ConnectionClosed,
    /// 200 with no records and no next page.
    EmptyList,
    /// `next` is the cursor that was sent. Waits for a request with a cursor.
    CursorLoop,
    /// 400 for the cursor. Waits for a request with a cursor.
    DeadCursor,
    /// The first record of the page appears again at its end.
    DuplicatedRecord,
    /// The first record has a status that the documentation does not know; skills have none.
    UnknownEnumValue,
    /// The first record has a member `simulated_extra`.
    ExtraMember,
    /// A text of the first record contains U+0000.
    NulCharacter,
    /// A text of the first record contains an escape that is half a surrogate pair.
    LoneSurrogate,
    /// `changed_at` of the first record is a number.
    WrongType,
    /// 200 without the records of this page; `next` leads on to the others.
    EmptyPage,
    /// Every course of the page says that it has no revisions.
    RevisionsEmptied,
    /// Every revision of the page says that it has no skills.
    SkillAssignmentsEmptied,
    /// `remote_data` of the first record holds a number with 400,001 digits.
    HugeNumber,
    /// `remote_data` of the first record is 20,000 lists deep.
    DeepNesting,
    /// The id of the first record has 10,000 characters.
    LongId,
    /// A text of the first record has five million characters.
    LongText,
    /// 200 with this text instead of the answer.
    Verbatim(String),
    /// The answer's `Date` has no value. (Where there is no such header at all, the HTTP server adds one.)
    EmptyDate,
    /// The answer's `Date` is no date.
    UnreadableDate,
    /// The answer's `Date` is wrong by so many seconds, negative ones lie in the past.
    ShiftedDate(i64),
}

/// A fault that waits for the requests it applies to. As JSON only `kind` is needed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only on this endpoint; `None`: on every one of the four.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// Only for this integration.
    #[serde(default)]
    pub integration_id: Option<String>,
    /// Only on this page of an enumeration; the first is 1.
    #[serde(default)]
    pub page: Option<u32>,
    /// How many requests it spoils before it is used up; default 1.
    #[serde(default = "once")]
    pub count: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// The next list request goes wrong, whichever it is.
    #[must_use]
    pub fn once(kind: FaultKind) -> Fault {
        Fault {
            kind,
            endpoint: None,
            integration_id: None,
            page: None,
            count: 1,
        }
    }

    /// Limits the fault to one endpoint.
    #[must_use]
    pub fn on(mut self, endpoint: Endpoint) -> Fault {
        self.endpoint = Some(endpoint);
        self
    }

    /// Limits the fault to one integration.
    #[must_use]
    pub fn of(mut self, integration_id: &str) -> Fault {
        self.integration_id = Some(integration_id.to_owned());
        self
    }

    /// Limits the fault to one page number.
    #[must_use]
    pub fn on_page(mut self, page: u32) -> Fault {
        self.page = Some(page);
        self
    }

    /// Lets the fault happen more than once.
    #[must_use]
    pub fn times(mut self, count: u32) -> Fault {
        self.count = count;
        self
    }
}

/// The list request that a fault is looked up for.
pub(super) struct Target<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) integration_id: &'a str,
    pub(super) page: u32,
}

/// Takes the first fault that applies, and uses it up by one.
pub(super) fn take(faults: &mut Vec<Fault>, target: &Target<'_>) -> Option<FaultKind> {
    let position = faults.iter().position(|fault| {
        let needs_cursor = matches!(fault.kind, FaultKind::CursorLoop | FaultKind::DeadCursor);
        fault.count > 0
            && fault
                .endpoint
                .is_none_or(|endpoint| endpoint == target.endpoint)
            && fault
                .integration_id
                .as_deref()
                .is_none_or(|id| id == target.integration_id)
            && fault.page.is_none_or(|page| page == target.page)
            && (!needs_cursor || target.page > 1)
    })?;
    let fault = &mut faults[position];
    fault.count -= 1;
    let kind = fault.kind.clone();
    faults.retain(|fault| fault.count > 0);
    Some(kind)
}

/// The answer that takes the place of the right one, for faults that do that.
pub(super) fn instead(kind: &FaultKind) -> Option<Answer> {
    let answer = match kind {
        FaultKind::TooManyRequests => Answer::rate_limited(),
        FaultKind::TooManyRequestsWithoutHeaders => {
            let mut answer = Answer::rate_limited();
            answer.rate_headers = false;
            answer
        }
        FaultKind::InternalErrorText => Answer::plain(500, "text/plain", "Internal Server Error"),
        FaultKind::BadGatewayText => Answer::plain(502, "text/plain", "Bad Gateway"),
        FaultKind::UnavailableHtml => Answer::plain(
            503,
            "text/html",
            "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
        ),
        FaultKind::UnavailableWithoutCode => Answer::json(
            503,
            &json!({
                "status": "error",
                "error": { "code": null, "title": null, "message": "Try again later.", "log_url": null },
            }),
        ),
        FaultKind::SetupSyncPending => Answer::setup_sync_pending(),
        FaultKind::SetupIncomplete => Answer::setup_incomplete(),
        FaultKind::QaFailed => Answer::qa_failed(),
        FaultKind::AuthenticationInvalid => Answer::authentication_invalid(),
        FaultKind::PermissionMissing => Answer::error(
            403,
            "INTEGRATION.PERMISSION_MISSING",
            "The credentials may not read this model.",
        ),
        FaultKind::ModelNotAvailable => Answer::model_not_available(),
        FaultKind::ModelDisabled => Answer::error(
            400,
            "INTEGRATION.MODEL_DISABLED",
            "This model is switched off in the scope configuration.",
        ),
        FaultKind::DeadCursor => Answer::input_invalid("cursor has expired."),
        FaultKind::EmptyList => Answer::success(&json!({ "next": null, "results": [] })),
        FaultKind::EmptyBody => Answer::plain(200, "application/json", ""),
        FaultKind::Verbatim(text) => Answer::plain(200, "application/json", text),
        _ => return None,
    };
    Some(answer)
}

/// Spoils the right `data` of a list answer; `sent` is the cursor of the request.
pub(super) fn spoil_data(
    kind: &FaultKind,
    endpoint: Endpoint,
    sent: Option<&str>,
    data: &mut Value,
) {
    if *kind == FaultKind::CursorLoop {
        data["next"] = json!(sent);
    }
    let Some(records) = data["results"].as_array_mut() else {
        return;
    };
    match kind {
        FaultKind::EmptyPage => records.clear(),
        FaultKind::RevisionsEmptied => empty_lists(records, "revisions"),
        FaultKind::SkillAssignmentsEmptied => {
            for course in records.iter_mut() {
                if let Some(revisions) = course["revisions"].as_array_mut() {
                    empty_lists(revisions, "skill_assignments");
                }
            }
        }
        _ => {}
    }
    let Some(first) = records.first_mut() else {
        return;
    };
    match kind {
        FaultKind::DuplicatedRecord => {
            let again = first.clone();
            records.push(again);
        }
        FaultKind::UnknownEnumValue => {
            let revised = first.pointer("/revisions/0").is_some();
            match endpoint {
                Endpoint::Courses if revised => first["revisions"][0]["status"] = json!("ARCHIVED"),
                Endpoint::Users | Endpoint::CourseProgressions => {
                    first["status"] = json!("SUSPENDED")
                }
                Endpoint::Courses | Endpoint::Skills => {}
            }
        }
        FaultKind::ExtraMember => first["simulated_extra"] = json!({ "since": "today" }),
        FaultKind::NulCharacter => *text_of(first, endpoint) = json!("before\u{0}after"),
        FaultKind::LoneSurrogate => *text_of(first, endpoint) = json!(SURROGATE_PLACE),
        FaultKind::WrongType => first["changed_at"] = json!(1_767_312_000),
        FaultKind::HugeNumber => first["remote_data"] = json!({ "/size": NUMBER_PLACE }),
        FaultKind::DeepNesting => first["remote_data"] = json!({ "/tree": LISTS_PLACE }),
        FaultKind::LongId => first["id"] = json!(noise(10_000)),
        FaultKind::LongText => *text_of(first, endpoint) = json!(noise(5_000_000)),
        _ => {}
    }
}

/// Gives every record that has this list an empty one.
fn empty_lists(records: &mut [Value], name: &str) {
    for record in records {
        if record[name].is_array() {
            record[name] = json!([]);
        }
    }
}

/// Text that a database cannot compress into something short.
fn noise(length: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..length).map(|_| rng.alphanumeric()).collect()
}

/// A text column of a record that a mirror keeps.
fn text_of(record: &mut Value, endpoint: Endpoint) -> &mut Value {
    match endpoint {
        Endpoint::Users => &mut record["first_name"],
        Endpoint::Courses => &mut record["origin_id"],
        Endpoint::CourseProgressions => &mut record["remote_id"],
        Endpoint::Skills => &mut record["name"],
    }
}

/// A JSON value cannot hold half a surrogate pair, so its place is marked and filled in the finished text.
const SURROGATE_PLACE: &str = "before(half a pair)after";
/// Nor can it hold a number beyond a float's, or lists deeper than the stack.
const NUMBER_PLACE: &str = "(a huge number)";
const LISTS_PLACE: &str = "(lists in lists)";

/// Spoils the finished answer.
pub(super) fn spoil_answer(kind: &FaultKind, answer: &mut Answer) {
    let Body::Text(text) = &mut answer.body else {
        return;
    };
    match kind {
        FaultKind::LoneSurrogate => {
            *text = text.replace(SURROGATE_PLACE, "before\\ud83dafter");
        }
        FaultKind::HugeNumber => {
            *text = text.replace(&json!(NUMBER_PLACE).to_string(), "1e400000");
        }
        FaultKind::DeepNesting => {
            let lists = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
            *text = text.replace(&json!(LISTS_PLACE).to_string(), &lists);
        }
        FaultKind::TruncatedJson => {
            let mut half = text.len() / 2;
            while !text.is_char_boundary(half) {
                half -= 1;
            }
            text.truncate(half);
        }
        FaultKind::ConnectionClosed => {
            let text = std::mem::take(text);
            answer.body = Body::BrokenOff(text);
        }
        FaultKind::EmptyDate => answer.date = Date::Text(""),
        FaultKind::UnreadableDate => answer.date = Date::Text("the day after tomorrow"),
        FaultKind::ShiftedDate(seconds) => answer.date = Date::Shifted(*seconds),
        FaultKind::Slow(milliseconds) => answer.delay = Some(Duration::from_millis(*milliseconds)),
        _ => {}
    }
}
