//! The page on which people try queries: GraphiQL, embedded in the binary.
//!
//! It must work without any other host (no CDN), and it must never hold data or a secret of its own: it is served to
//! everybody, asks for a token, and the token stays in the browser tab and in requests to `/graphql` of this origin.
//!
//! `build.rs` beside this file builds GraphiQL with Node. A binary that was built without Node has the page in `plain/`
//! instead: the same routes, the same headers, fewer comforts.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing runs or connects that this server did not serve. Inline styles are needed by GraphiQL's editor (Monaco), whose
/// fonts are `data:`; scripts are files. `'self'` in connect-src covers the WebSocket of the same origin.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; worker-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Sent with every file, not only with the page: a worker obeys the policy of its own script's answer.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Asked for again at every visit: after an upgrade the page names other assets.
const CACHE_REVALIDATED: &str = "no-cache";
/// The name of a packed asset holds a hash of its content, so it never changes.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// A page and the files it loads.
#[derive(Clone, Copy)]
struct Site {
    page: &'static str,
    assets: &'static [Asset],
}

struct Asset {
    path: &'static str,
    content_type: &'static str,
    /// gzip'ed at build time and named by content; the files of the plain page are neither.
    packed: bool,
    body: &'static [u8],
}

/// What `build.rs` made: `None` without Node.
const BUNDLE: Option<Site> = include!(concat!(env!("OUT_DIR"), "/graphiql.rs"));

const PLAIN: Site = Site {
    page: include_str!("plain/index.html"),
    assets: &[
        Asset {
            path: "/graphiql/assets/plain.css",
            content_type: "text/css; charset=utf-8",
            packed: false,
            body: include_bytes!("plain/plain.css"),
        },
        Asset {
            path: "/graphiql/assets/plain.js",
            content_type: "text/javascript; charset=utf-8",
            packed: false,
            body: include_bytes!("plain/plain.js"),
        },
        Asset {
            path: "/graphiql/assets/token.css",
            content_type: "text/css; charset=utf-8",
            packed: false,
            body: include_bytes!("plain/token.css"),
        },
        Asset {
            path: "/graphiql/assets/token.js",
            content_type: "text/javascript; charset=utf-8",
            packed: false,
            body: include_bytes!("plain/token.js"),
        },
    ],
};

/// `GET /graphiql` and its assets. They need no state and no token: there is no data in them.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    serve(BUNDLE.unwrap_or(PLAIN))
}

/// One route per file: a path that is not listed does not exist, so nothing can be asked for beside the list.
fn serve<S: Clone + Send + Sync + 'static>(site: Site) -> Router<S> {
    let page = move || async move { page(site.page) };
    let router = Router::new()
        .route("/graphiql", get(page))
        .route("/graphiql/", get(page));
    site.assets.iter().fold(router, |router, asset| {
        router.route(
            asset.path,
            get(move |headers: HeaderMap| async move { file(asset, &headers) }),
        )
    })
}

fn page(html: &'static str) -> Response {
    let own = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE_REVALIDATED),
    ];
    (HEADERS, own, html).into_response()
}

fn file(asset: &'static Asset, request: &HeaderMap) -> Response {
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    if !asset.packed {
        return (
            HEADERS,
            content_type,
            [(header::CACHE_CONTROL, CACHE_REVALIDATED)],
            asset.body,
        )
            .into_response();
    }
    if !accepts_gzip(request) {
        let refusal = "this file exists gzip'ed only: send `accept-encoding: gzip`\n";
        return (
            StatusCode::NOT_ACCEPTABLE,
            HEADERS,
            [(header::VARY, "accept-encoding")],
            refusal,
        )
            .into_response();
    }
    let packed = [
        (header::CACHE_CONTROL, CACHE_FOREVER),
        (header::CONTENT_ENCODING, "gzip"),
        (header::VARY, "accept-encoding"),
    ];
    (HEADERS, content_type, packed, asset.body).into_response()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    const LIMIT_BYTES: usize = 16 << 20;

    /// Both sites, whichever this build would serve.
    fn sites() -> Vec<Site> {
        BUNDLE.into_iter().chain([PLAIN]).collect()
    }

    async fn ask(router: Router<()>, path: &str, accept_encoding: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(value) = accept_encoding {
            request = request.header(header::ACCEPT_ENCODING, value);
        }
        router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    fn value(response: &Response, name: HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn assert_guarded(response: &Response) {
        assert_eq!(
            value(response, header::CONTENT_SECURITY_POLICY),
            CONTENT_SECURITY_POLICY
        );
        assert_eq!(value(response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(value(response, header::REFERRER_POLICY), "no-referrer");
    }

    /// The values of `src="…"` and `href="…"`.
    fn references(html: &str) -> BTreeSet<&str> {
        [" src=\"", " href=\""]
            .iter()
            .flat_map(|attribute| html.split(attribute).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .filter(|reference| !reference.starts_with("data:"))
            .collect()
    }

    #[tokio::test]
    async fn the_page_is_guarded_and_asked_for_again_at_every_visit() {
        for path in ["/graphiql", "/graphiql/"] {
            let response = ask(routes(), path, None).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_guarded(&response);
            assert_eq!(
                value(&response, header::CONTENT_TYPE),
                "text/html; charset=utf-8"
            );
            assert_eq!(value(&response, header::CACHE_CONTROL), "no-cache");
        }
    }

    #[test]
    fn the_policy_allows_neither_inline_scripts_nor_eval_nor_other_hosts() {
        let scripts = CONTENT_SECURITY_POLICY
            .split("; ")
            .find(|rule| rule.starts_with("script-src"));
        assert_eq!(scripts, Some("script-src 'self'"));
        assert!(!CONTENT_SECURITY_POLICY.contains("eval"));
        assert!(
            !CONTENT_SECURITY_POLICY.contains("//") && !CONTENT_SECURITY_POLICY.contains("ws:")
        );
    }

    #[tokio::test]
    async fn every_listed_asset_is_served_with_its_content_type() {
        for site in sites() {
            assert!(!site.assets.is_empty());
            for asset in site.assets {
                let response = ask(serve(site), asset.path, Some("gzip, deflate, br")).await;
                assert_eq!(response.status(), StatusCode::OK, "{}", asset.path);
                assert_guarded(&response);
                assert_eq!(value(&response, header::CONTENT_TYPE), asset.content_type);
                let forever = value(&response, header::CACHE_CONTROL).contains("immutable");
                assert_eq!(forever, asset.packed, "{}", asset.path);
                assert_eq!(
                    value(&response, header::CONTENT_ENCODING) == "gzip",
                    asset.packed
                );
                assert_eq!(
                    to_bytes(response.into_body(), LIMIT_BYTES).await.unwrap(),
                    asset.body
                );
            }
        }
    }

    #[test]
    fn packed_assets_are_gzip_and_have_a_hash_in_their_name() {
        for asset in BUNDLE
            .iter()
            .flat_map(|site| site.assets)
            .filter(|asset| asset.packed)
        {
            assert_eq!(asset.body[..2], [0x1f, 0x8b], "{}", asset.path);
            let stem = asset.path.rsplit_once('.').unwrap().0;
            assert!(
                stem.len() > 9 && stem.as_bytes()[stem.len() - 9] == b'-',
                "{}",
                asset.path
            );
        }
    }

    #[test]
    fn a_page_names_only_files_that_are_embedded() {
        for site in sites() {
            let listed: BTreeSet<_> = site.assets.iter().map(|asset| asset.path).collect();
            let named = references(site.page);
            assert!(named.len() >= 2, "{named:?}");
            assert!(
                named.is_subset(&listed),
                "{named:?} are not all in {listed:?}"
            );
            assert!(!site.page.contains("http://") && !site.page.contains("https://"));
        }
    }

    #[test]
    fn no_page_has_a_script_of_its_own() {
        for site in sites() {
            for script in site.page.split("<script").skip(1) {
                assert!(
                    script.contains("src=") && script.contains("></script>"),
                    "{script}"
                );
            }
            assert!(
                !site.page.contains(" on"),
                "an inline handler would be refused by the policy"
            );
        }
    }

    #[test]
    fn every_page_has_a_labelled_place_for_the_token_and_for_the_hint() {
        for site in sites() {
            assert!(
                site.page
                    .contains("<label for=\"token\">Bearer token</label>")
            );
            assert!(
                site.page
                    .contains("<input id=\"token\" type=\"password\" autocomplete=\"off\"")
            );
            assert!(
                site.page
                    .contains("<span id=\"token-hint\" role=\"status\">")
            );
        }
    }

    #[tokio::test]
    async fn the_plain_page_is_complete_without_the_bundle() {
        let response = ask(serve(PLAIN), "/graphiql", None).await;
        assert_guarded(&response);
        let body = to_bytes(response.into_body(), LIMIT_BYTES).await.unwrap();
        let html = String::from_utf8(body.to_vec()).unwrap();
        for id in ["token", "query", "variables", "run", "result"] {
            assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
        }
        for label in ["token", "query", "variables"] {
            assert!(
                html.contains(&format!("<label for=\"{label}\">")),
                "{label}"
            );
        }
    }

    #[test]
    fn the_plain_scripts_import_only_embedded_files() {
        let listed: BTreeSet<_> = PLAIN.assets.iter().map(|asset| asset.path).collect();
        for asset in PLAIN
            .assets
            .iter()
            .filter(|asset| asset.path.ends_with(".js"))
        {
            let script = std::str::from_utf8(asset.body).unwrap();
            for import in script.split(" from \"./").skip(1) {
                let path = format!("/graphiql/assets/{}", import.split('"').next().unwrap());
                assert!(listed.contains(path.as_str()), "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_refuses_gzip_is_told_so() {
        static PACKED: Asset = Asset {
            path: "/graphiql/assets/a-00000000.js",
            content_type: "text/javascript",
            packed: true,
            body: b"",
        };
        let site = Site {
            page: "",
            assets: std::slice::from_ref(&PACKED),
        };
        for (accept_encoding, status) in [
            (None, StatusCode::OK),
            (Some("*"), StatusCode::OK),
            (Some("br, GZIP;q=0.5"), StatusCode::OK),
            (Some("identity"), StatusCode::NOT_ACCEPTABLE),
            (Some("gzip;q=0, *"), StatusCode::NOT_ACCEPTABLE),
            (Some(""), StatusCode::NOT_ACCEPTABLE),
        ] {
            let response = ask(serve(site), PACKED.path, accept_encoding).await;
            assert_eq!(response.status(), status, "{accept_encoding:?}");
            assert_guarded(&response);
            assert_eq!(value(&response, header::VARY), "accept-encoding");
        }
    }

    #[tokio::test]
    async fn what_is_not_listed_does_not_exist() {
        for path in [
            "/graphiql/assets/",
            "/graphiql/assets/none.js",
            "/graphiql/assets/%2e%2e/mod.rs",
        ] {
            assert_eq!(
                ask(routes(), path, None).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}
