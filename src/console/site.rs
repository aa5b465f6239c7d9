//! How a page and its files are served: one route for each, headers that let nothing in but what this server serves.
//!
//! It must never read a file at run time: everything that can be asked for is in the binary and in a list.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Sent with every file, not only with the page: a worker obeys the policy of its own script's answer.
const HEADERS: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Asked for again at every visit: after an upgrade the page names other assets.
const CACHE_REVALIDATED: &str = "no-cache";
/// The name of such an asset holds a hash of its content, so it never changes.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// A page and the files it loads.
#[derive(Clone, Copy)]
pub(super) struct Site {
    /// Where the page is, by all its names.
    pub(super) paths: &'static [&'static str],
    /// The Content-Security-Policy of the page and of its files.
    pub(super) policy: &'static str,
    pub(super) page: &'static str,
    pub(super) assets: &'static [Asset],
}

/// A file that a page loads.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) form: Form,
    pub(super) body: &'static [u8],
}

/// What is known of an asset's bytes and name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it was written by hand, under a name that stays while the content changes.
    Written,
    /// Named by its content.
    Hashed,
    /// Named by its content, and gzip'ed at build time.
    Packed,
}

/// One route per file: a path that is not listed does not exist, so nothing can be asked for beside the list.
pub(super) fn serve<S: Clone + Send + Sync + 'static>(site: Site) -> Router<S> {
    let router = site.paths.iter().fold(Router::new(), |router, path| {
        router.route(path, get(move || async move { page(site) }))
    });
    site.assets.iter().fold(router, |router, asset| {
        router.route(
            asset.path,
            get(move |headers: HeaderMap| async move { file(site.policy, asset, &headers) }),
        )
    })
}

fn page(site: Site) -> Response {
    let own = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE_REVALIDATED),
    ];
    (HEADERS, policy(site.policy), own, site.page).into_response()
}

fn policy(policy: &'static str) -> [(HeaderName, &'static str); 1] {
    [(header::CONTENT_SECURITY_POLICY, policy)]
}

fn file(site_policy: &'static str, asset: &'static Asset, request: &HeaderMap) -> Response {
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    let cached = match asset.form {
        Form::Written => CACHE_REVALIDATED,
        Form::Hashed | Form::Packed => CACHE_FOREVER,
    };
    let cached = [(header::CACHE_CONTROL, cached)];
    let guards = (HEADERS, policy(site_policy));
    if asset.form != Form::Packed {
        return (guards.0, guards.1, content_type, cached, asset.body).into_response();
    }
    let vary = [(header::VARY, "accept-encoding")];
    if !accepts_gzip(request) {
        let refusal = "this file exists gzip'ed only: send `accept-encoding: gzip`\n";
        return (
            StatusCode::NOT_ACCEPTABLE,
            guards.0,
            guards.1,
            vary,
            refusal,
        )
            .into_response();
    }
    let encoding = [(header::CONTENT_ENCODING, "gzip")];
    (
        guards.0,
        guards.1,
        content_type,
        cached,
        encoding,
        vary,
        asset.body,
    )
        .into_response()
}

/// RFC 9110, 12.5.3: a request without the header takes any encoding; `q=0` refuses one; `*` stands for those not named.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut named = request.get_all(header::ACCEPT_ENCODING).iter().peekable();
    if named.peek().is_none() {
        return true;
    }
    let (mut gzip, mut any) = (None, None);
    for coding in named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.parse::<f32>().ok());
        let wanted = weight.is_none_or(|q| q > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(wanted),
            "*" => any = Some(wanted),
            _ => {}
        }
    }
    gzip.or(any).unwrap_or(false)
}
