//! Which media type an answer has, and which a request's body may have (GraphQL over HTTP; RFC 9110, 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};

/// The media type of a GraphQL answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status says whether the request was executed.
    Modern,
    /// `application/json`: its clients take other statuses than 200 for a broken connection.
    Legacy,
}

impl Media {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Modern => "application/graphql-response+json; charset=utf-8",
            Self::Legacy => "application/json; charset=utf-8",
        }
    }

    fn subtype(self) -> &'static str {
        match self {
            Self::Modern => "graphql-response+json",
            Self::Legacy => "json",
        }
    }

    /// What the client likes best; `None`: it takes neither. Clients that do not say, and those to whom anything is
    /// right, get the older type: they may never have heard of the newer one.
    pub(super) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(ACCEPT).iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        let accept = lines.join(",");
        let ranges: Vec<Range<'_>> = split(&accept, ',').filter_map(Range::read).collect();
        if ranges.is_empty() {
            return Some(Self::Legacy);
        }
        let modern = Liking::of(Self::Modern, &ranges);
        let legacy = Liking::of(Self::Legacy, &ranges);
        let is_modern = modern.quality > legacy.quality
            || (modern.quality == legacy.quality && modern.is_named);
        match (modern.quality, legacy.quality) {
            (0, 0) => None,
            _ if is_modern => Some(Self::Modern),
            _ => Some(Self::Legacy),
        }
    }
}

/// How much a client likes a media type.
struct Liking {
    /// In thousandths; 0 is a refusal.
    quality: u16,
    /// By its whole name, not by a `*`.
    is_named: bool,
}

impl Liking {
    /// The most specific range counts, not the one that likes it most.
    fn of(media: Media, ranges: &[Range<'_>]) -> Self {
        let fitting = ranges
            .iter()
            .filter_map(|range| range.fits(media).map(|how| (how, range.quality)));
        let (how, quality) = fitting.max().unwrap_or((0, 0));
        Self {
            quality,
            is_named: how > 1,
        }
    }
}

/// An entry of an `Accept` header.
struct Range<'h> {
    main: &'h str,
    sub: &'h str,
    /// UTF-8 is all that is spoken here.
    is_utf8: bool,
    quality: u16,
}

impl<'h> Range<'h> {
    fn read(text: &'h str) -> Option<Self> {
        let mut parts = split(text, ';');
        let (main, sub) = parts.next()?.split_once('/')?;
        let mut range = Self {
            main: main.trim(),
            sub: sub.trim(),
            is_utf8: true,
            quality: 1000,
        };
        for part in parts {
            let (name, value) = part.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("q") {
                range.quality = quality(value.trim())?;
            } else if name.trim().eq_ignore_ascii_case("charset") {
                range.is_utf8 = is_utf8(value);
            }
        }
        Some(range)
    }

    /// How specifically it names a media type; `None` where it does not.
    fn fits(&self, media: Media) -> Option<u8> {
        let is_application = self.main.eq_ignore_ascii_case("application");
        match (self.main, self.sub) {
            _ if !self.is_utf8 => None,
            ("*", "*") => Some(0),
            (_, "*") if is_application => Some(1),
            (_, sub) if is_application && sub.eq_ignore_ascii_case(media.subtype()) => Some(2),
            _ => None,
        }
    }
}

/// A weight such as `0.8`, in thousandths.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    match whole {
        "1" if is_number && fraction.bytes().all(|digit| digit == b'0') => Some(1000),
        "0" if is_number => format!("{fraction:0<3}").parse().ok(),
        _ => None,
    }
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim().trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Splits outside quotes, and drops what is blank.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == at && !is_quoted
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

/// Whether a body is JSON as this server reads it; otherwise what is wrong. A plain HTML form can send neither this
/// type nor this header, so another site's page cannot make a browser post in somebody's name.
pub(super) fn check_content(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut parts = split(text(CONTENT_TYPE).unwrap_or_default(), ';');
    if !parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
    {
        return Err("Content-Type must be application/json");
    }
    let is_readable = parts.all(|part| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => is_utf8(charset),
        _ => true,
    });
    if !is_readable {
        return Err("the charset of a body must be utf-8");
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err("a body must not be compressed"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn negotiated(accept: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Media::negotiate(&headers)
    }

    #[test]
    fn the_media_type_is_what_the_client_likes_best() {
        use Media::{Legacy, Modern};
        assert_eq!(Media::negotiate(&HeaderMap::new()), Some(Legacy));
        for (accept, media) in [
            ("", Some(Legacy)),
            ("*/*", Some(Legacy)),
            ("application/*", Some(Legacy)),
            ("application/json", Some(Legacy)),
            ("application/graphql-response+json", Some(Modern)),
            ("Application/GraphQL-Response+JSON", Some(Modern)),
            (
                "application/graphql-response+json; charset=utf-8, application/json",
                Some(Modern),
            ),
            (
                "application/json, application/graphql-response+json",
                Some(Modern),
            ),
            (
                "application/graphql-response+json;q=0.8, application/json",
                Some(Legacy),
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(Modern),
            ),
            ("application/graphql-response+json;q=0, */*", Some(Legacy)),
            ("application/json;q=0, */*;q=0.1", Some(Modern)),
            ("application/json;q=0, application/*;q=0", None),
            ("*/*, application/json;q=0.5", Some(Modern)),
            ("text/html, */*;q=0.1", Some(Legacy)),
            ("text/html", None),
            ("text/*", None),
            ("*/*;q=0", None),
            ("*/*;q=0.000", None),
            ("application/json;charset=latin1", None),
            ("text/html;a=\"b,application/json\"", None),
            ("application/json;q=0.5;x=y", Some(Legacy)),
        ] {
            assert_eq!(negotiated(accept), media, "{accept}");
        }
    }

    #[test]
    fn several_header_lines_are_one() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("application/json;q=0.1"));
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/graphql-response+json"),
        );
        assert_eq!(Media::negotiate(&headers), Some(Media::Modern));
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        let checked = |content_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
            check_content(&headers).is_ok()
        };
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; boundary=x",
        ] {
            assert!(checked(fine), "{fine}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/jsonp",
            "application/graphql",
            "application/json; charset=latin1",
            "application/json; charset=utf-16",
            "text/plain; application/json",
        ] {
            assert!(!checked(wrong), "{wrong}");
        }
        assert!(check_content(&HeaderMap::new()).is_err());
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(accept in "[ -~]*") {
            let _ = negotiated(&accept);
        }
    }
}
