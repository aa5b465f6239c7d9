//! Whose pages may connect.
//!
//! A browser lets every page open a socket to every server and only says in `Origin` whose page it is. Without this
//! check any page that an operator opens could read a server on the operator's own machine that runs with AUTH=off.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use url::Url;

use crate::config::Origins;

/// Whether the request comes from no page, from one of this server's own, or from one that may read the API anyway.
pub(super) fn is_welcome(headers: &HeaderMap, others: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    match others {
        Origins::Any => return true,
        Origins::Named(named) if named.iter().any(|one| one == origin) => return true,
        Origins::Named(_) => {}
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| is_same(origin, host))
}

/// Whether a page's origin is this server under the name that the request used. The scheme does not count: TLS may
/// end before this server.
fn is_same(origin: &str, host: &str) -> bool {
    let Ok(origin) = Url::parse(origin) else {
        return false;
    };
    let Ok(host) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    origin.has_host()
        && origin.host_str() == host.host_str()
        && origin.port_or_known_default() == host.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_may_read_the_api_may_connect() {
        let mut headers = HeaderMap::new();
        let named = Origins::Named(vec!["https://app.example".to_owned()]);
        assert!(is_welcome(&headers, &named), "no page at all");
        headers.insert(HOST, "mirror.example".parse().unwrap());
        headers.insert(ORIGIN, "https://app.example".parse().unwrap());
        assert!(is_welcome(&headers, &named));
        assert!(is_welcome(&headers, &Origins::Any));
        assert!(!is_welcome(&headers, &Origins::Named(Vec::new())));
    }

    #[test]
    fn only_the_servers_own_pages_are_the_same() {
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("https://mirror.example", "mirror.example"),
            ("https://mirror.example", "mirror.example:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://localhost:3000", "localhost:8080"),
            ("http://evil.example", "localhost:8080"),
            ("http://localhost:8080.evil.example", "localhost:8080"),
            ("null", "localhost:8080"),
            ("file://", "localhost:8080"),
            ("", "localhost:8080"),
        ] {
            assert!(!is_same(origin, host), "{origin} {host}");
        }
    }
}
