//! What Kombo's answers say beside their body: its clock, its rate budget, how long to wait.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};

use super::budget::Left;
use super::error::Remedy;

/// When a request was made and answered, by Kombo's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Never later than the request truly began.
    pub started_at: DateTime<Utc>,
    /// When the answer was made, cut to a second.
    pub answered_at: DateTime<Utc>,
}

/// No wish to wait is honoured for longer: beyond it a number is a mistake, and added to a moment it would
/// leave the calendar.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// What is left of the rate limit (`ratelimit-limit`, `ratelimit-remaining`, `ratelimit-reset`), told in
/// answer to a request made at `asked_at`.
pub(super) fn budget(headers: &HeaderMap, asked_at: DateTime<Utc>) -> Option<Left> {
    let number = |name: &'static str| -> Option<u64> {
        header(headers, &HeaderName::from_static(name))?
            .parse()
            .ok()
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(Left {
        limit: number("ratelimit-limit").map(count),
        remaining: count(number("ratelimit-remaining")?),
        reset: Duration::from_secs(number("ratelimit-reset")?).min(LONGEST_WISH),
        asked_at,
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `retry-after-ms`, then `Retry-After` (seconds or a date, read against Kombo's own clock), and where the
/// rate limit is the reason, `ratelimit-reset` (seconds left).
pub(super) fn asked_to_wait(headers: &HeaderMap, remedy: Remedy) -> Option<Duration> {
    wish(headers, remedy).map(|wait| wait.min(LONGEST_WISH))
}

fn wish(headers: &HeaderMap, remedy: Remedy) -> Option<Duration> {
    let named = |name: &'static str| header(headers, &HeaderName::from_static(name));
    if let Some(wait) = named("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(wait));
    }
    if let Some(text) = header(headers, &RETRY_AFTER) {
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
        return (until - server_time(headers)?).to_std().ok();
    }
    let reset = named("ratelimit-reset").and_then(|text| text.parse().ok());
    reset
        .filter(|_| remedy == Remedy::SlowDown)
        .map(Duration::from_secs)
}

fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = header(headers, &reqwest::header::DATE)?;
    DateTime::parse_from_rfc2822(text)
        .ok()
        .map(|date| date.to_utc())
}

/// The `Date` header tells when the answer was made, cut to a second, and the request began at most
/// `waited` before that (F06).
pub(super) fn times(headers: &HeaderMap, waited: Duration) -> Option<Times> {
    let answered_at = server_time(headers)?;
    Some(Times {
        started_at: (answered_at - waited).trunc_subsecs(3),
        answered_at,
    })
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
        entries
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_most_exact_wish_to_wait_is_honoured() {
        let all = headers(&[
            ("retry-after-ms", "1500"),
            ("retry-after", "9"),
            ("ratelimit-reset", "57"),
        ]);
        let wait = |headers: &HeaderMap| asked_to_wait(headers, Remedy::SlowDown);
        assert_eq!(wait(&all), Some(Duration::from_millis(1500)));
        let seconds = headers(&[("retry-after", "9"), ("ratelimit-reset", "57")]);
        assert_eq!(wait(&seconds), Some(Duration::from_secs(9)));
        let dated = headers(&[
            ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT"),
        ]);
        assert_eq!(wait(&dated), Some(Duration::from_secs(30)));
        let reset = headers(&[("ratelimit-reset", "57")]);
        assert_eq!(wait(&reset), Some(Duration::from_secs(57)));
        assert_eq!(asked_to_wait(&reset, Remedy::RetryLater), None);
    }

    // Never panic on input: what is waited for is added to a moment.
    #[test]
    fn an_absurd_wish_to_wait_stays_within_the_calendar() {
        let absurd = u64::MAX.to_string();
        for name in ["retry-after-ms", "retry-after", "ratelimit-reset"] {
            let wait = asked_to_wait(&headers(&[(name, &absurd)]), Remedy::SlowDown);
            assert_eq!(wait, Some(LONGEST_WISH), "{name}");
        }
        let told = headers(&[
            ("ratelimit-limit", &absurd),
            ("ratelimit-remaining", &absurd),
            ("ratelimit-reset", &absurd),
        ]);
        let asked_at = DateTime::UNIX_EPOCH;
        let expected = Left {
            limit: Some(i64::MAX),
            remaining: i64::MAX,
            reset: LONGEST_WISH,
            asked_at,
        };
        assert_eq!(budget(&told, asked_at), Some(expected));
    }

    // F06: the mark comes from Kombo's clock and never lies after the true start.
    #[test]
    fn the_start_of_a_request_is_told_by_kombos_clock() {
        let dated = headers(&[("date", "Sun, 22 Nov 2026 10:00:05 GMT")]);
        let start = times(&dated, Duration::from_secs(2)).unwrap().started_at;
        assert_eq!(
            start.to_rfc3339_opts(SecondsFormat::Millis, true),
            "2026-11-22T10:00:03.000Z"
        );
        assert_eq!(times(&HeaderMap::new(), Duration::ZERO), None);
    }
}
