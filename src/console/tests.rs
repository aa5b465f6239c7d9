//! What the pages may load, and what is served of them.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt;

use super::*;

const LIMIT_BYTES: usize = 16 << 20;

/// All sites, whichever this build would serve.
fn sites() -> Vec<Site> {
    GRAPHIQL.into_iter().chain([PLAIN, CONSOLE]).collect()
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

fn assert_guarded(response: &Response, policy: &str) {
    assert_eq!(value(response, header::CONTENT_SECURITY_POLICY), policy);
    assert_eq!(value(response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(value(response, header::REFERRER_POLICY), "no-referrer");
}

/// The values of `src="…"` and `href="…"`.
fn references(html: &str) -> BTreeSet<&str> {
    [" src=\"", " href=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        // an empty icon, and a link to the console
        .filter(|reference| !reference.starts_with("data:") && *reference != "/")
        .collect()
}

#[tokio::test]
async fn the_page_is_guarded_and_asked_for_again_at_every_visit() {
    for (path, policy) in [
        ("/", CONSOLE_POLICY),
        ("/graphiql", GRAPHIQL_POLICY),
        ("/graphiql/", GRAPHIQL_POLICY),
    ] {
        let response = ask(routes(true), path, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_guarded(&response, policy);
        assert_eq!(
            value(&response, header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
        assert_eq!(value(&response, header::CACHE_CONTROL), "no-cache");
    }
}

#[test]
fn no_policy_allows_inline_scripts_or_eval_or_other_hosts() {
    for policy in [CONSOLE_POLICY, GRAPHIQL_POLICY] {
        let rule = |name: &str| policy.split("; ").find(|rule| rule.starts_with(name));
        assert_eq!(rule("script-src"), Some("script-src 'self'"));
        assert_eq!(rule("connect-src"), Some("connect-src 'self'"));
        assert_eq!(rule("default-src"), Some("default-src 'none'"));
        assert!(!policy.contains("eval"));
        assert!(!policy.contains("//") && !policy.contains("ws:"));
    }
    assert!(!CONSOLE_POLICY.contains("unsafe"));
}

#[tokio::test]
async fn every_listed_asset_is_served_with_its_content_type() {
    for site in sites() {
        assert!(!site.assets.is_empty());
        for asset in site.assets {
            let response = ask(serve(site), asset.path, Some("gzip, deflate, br")).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", asset.path);
            assert_guarded(&response, site.policy);
            assert_eq!(value(&response, header::CONTENT_TYPE), asset.content_type);
            let forever = value(&response, header::CACHE_CONTROL).contains("immutable");
            assert_eq!(forever, asset.form != Form::Written, "{}", asset.path);
            assert_eq!(
                value(&response, header::CONTENT_ENCODING) == "gzip",
                asset.form == Form::Packed
            );
            assert_eq!(
                to_bytes(response.into_body(), LIMIT_BYTES).await.unwrap(),
                asset.body
            );
        }
    }
}

#[test]
fn assets_that_are_kept_forever_have_a_hash_in_their_name() {
    for asset in sites().iter().flat_map(|site| site.assets) {
        if asset.form == Form::Packed {
            assert_eq!(asset.body[..2], [0x1f, 0x8b], "{}", asset.path);
        }
        let stem = asset.path.rsplit_once('.').unwrap().0;
        let is_hashed = stem.len() > 9 && stem.as_bytes()[stem.len() - 9] == b'-';
        assert_eq!(is_hashed, asset.form != Form::Written, "{}", asset.path);
    }
}

// What is committed must not grow unseen.
#[test]
fn the_console_is_small() {
    let files = CONSOLE.assets.iter().map(|asset| asset.body.len());
    let bytes = files.sum::<usize>() + CONSOLE.page.len();
    assert!(bytes < 150_000, "{bytes} bytes");
    assert_eq!(CONSOLE.assets.len(), 2, "a script and a style sheet");
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
fn every_query_page_has_a_labelled_place_for_the_token_and_for_the_hint() {
    for site in GRAPHIQL.into_iter().chain([PLAIN]) {
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
    assert_guarded(&response, GRAPHIQL_POLICY);
    let body = to_bytes(response.into_body(), LIMIT_BYTES).await.unwrap();
    let html = String::from_utf8(body.to_vec()).unwrap();
    for id in ["token", "example", "query", "variables", "run", "result"] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for label in ["token", "example", "query", "variables"] {
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
        form: Form::Packed,
        body: b"",
    };
    let site = Site {
        paths: &[],
        policy: GRAPHIQL_POLICY,
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
        assert_guarded(&response, GRAPHIQL_POLICY);
        assert_eq!(value(&response, header::VARY), "accept-encoding");
    }
}

#[tokio::test]
async fn what_is_not_listed_does_not_exist() {
    for path in [
        "/console",
        "/console/assets/",
        "/console/assets/%2e%2e/index.html",
        "/graphiql/assets/",
        "/graphiql/assets/none.js",
        "/graphiql/assets/%2e%2e/mod.rs",
    ] {
        assert_eq!(
            ask(routes(true), path, None).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_pages_say_whether_a_token_is_asked_for() {
    for (asks, word) in [(true, "on"), (false, "off")] {
        for path in ["/", "/graphiql"] {
            let response = ask(routes(asks), path, None).await;
            let body = to_bytes(response.into_body(), LIMIT_BYTES).await.unwrap();
            let page = String::from_utf8(body.to_vec()).unwrap();
            let said = format!("<meta name=\"kombo-mirror-auth\" content=\"{word}\"");
            assert!(page.contains(&said), "{page}");
        }
    }
}
