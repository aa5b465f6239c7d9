//! Pages of other origins: which of them a browser lets read the API, and how a server without tokens keeps them out.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::config::Origins;

/// How long a browser need not ask again; browsers cut it to their own limits.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// What clients of other origins may send: what is needed, and what Apollo's clients add by themselves.
const HEADERS: [HeaderName; 9] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("apollo-require-preflight"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("graphql-require-preflight"),
    HeaderName::from_static("x-apollo-operation-id"),
    HeaderName::from_static("x-apollo-operation-name"),
];

/// Lets pages of the origins call the API; `None`: browsers keep all of them out, which needs no header at all.
/// Tokens travel in a header that a page sets itself, so nothing is sent in anybody's name without their token.
pub(super) fn cors(origins: &Origins) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(HEADERS)
        .max_age(PREFLIGHT_AGE);
    match origins {
        Origins::Any => Some(layer.allow_origin(Any)),
        Origins::Named(named) if named.is_empty() => None,
        Origins::Named(named) => {
            let named = named.iter();
            let named = named.filter_map(|origin| HeaderValue::from_str(origin).ok());
            Some(layer.allow_origin(AllowOrigin::list(named)))
        }
    }
}

/// Whether a request was sent to a loopback name. Without tokens this keeps out pages whose name was made to point
/// at this machine (DNS rebinding): for the browser they are of this origin, but the name is still theirs.
pub(super) fn is_local(headers: &HeaderMap) -> bool {
    // HTTP/1.1 has always one; a request without was made by no browser
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        let local = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            is_local(&headers)
        };
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.1",
            "[::2]",
            "evillocalhost",
        ] {
            assert!(!local(host), "{host}");
        }
        assert!(is_local(&HeaderMap::new()));
    }
}
