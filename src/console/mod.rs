//! The pages of the server itself, embedded in the binary: the operator's console at `/`, and at `/graphiql` the page on
//! which people try queries.
//!
//! They must work without any other host (no CDN), and they must never hold data or a secret of their own: they are
//! served to everybody, ask for a token, and the token stays in the browser tab and in requests to the GraphQL API of
//! this origin. The console uses that API and nothing else, as any other client would.
//!
//! How each page gets into the binary:
//!
//! * The console's sources are in `operator/`, and what Vite made of them is committed in `operator/built/`: three small
//!   files, so that a build on a machine without Node has the whole console. `build.rs` beside this file lists them.
//!   Whoever changes the sources runs `npm run build` in `operator/`; `npm run check` there, which CI runs, fails when
//!   the two differ.
//! * GraphiQL is large, and is built by `build.rs` with Node. A binary that was built without Node has the page in
//!   `plain/` instead: the same routes, the same headers, fewer comforts.

mod site;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::Router;
use site::{Asset, Form, Site, serve};

/// Nothing runs, connects or is shown that this server did not serve; no inline script and no inline style. `'self'` in
/// connect-src covers the WebSocket of the same origin; `data:` is the empty icon, without which browsers ask for one.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same, but for what GraphiQL's editor (Monaco) needs: inline styles, fonts that are `data:`, and workers.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; worker-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const GRAPHIQL_PATHS: &[&str] = &["/graphiql", "/graphiql/"];

/// What is committed in `operator/built/`.
const CONSOLE: Site = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// What `build.rs` made: `None` without Node.
const GRAPHIQL: Option<Site> = include!(concat!(env!("OUT_DIR"), "/graphiql.rs"));

const PLAIN: Site = Site {
    paths: GRAPHIQL_PATHS,
    policy: GRAPHIQL_POLICY,
    page: include_str!("plain/index.html"),
    assets: &[
        written(
            "/graphiql/assets/plain.css",
            CSS,
            include_bytes!("plain/plain.css"),
        ),
        written(
            "/graphiql/assets/plain.js",
            JS,
            include_bytes!("plain/plain.js"),
        ),
        written(
            "/graphiql/assets/token.css",
            CSS,
            include_bytes!("plain/token.css"),
        ),
        written(
            "/graphiql/assets/token.js",
            JS,
            include_bytes!("plain/token.js"),
        ),
        written(
            "/graphiql/assets/examples.js",
            JS,
            include_bytes!("plain/examples.js"),
        ),
    ],
};

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const fn written(path: &'static str, content_type: &'static str, body: &'static [u8]) -> Asset {
    Asset {
        path,
        content_type,
        form: Form::Written,
        body,
    }
}

/// The pages where no token is asked for, in the order of [`sites`]. A page says whether one is, so that it need not ask
/// without one only to be refused.
static OPEN_PAGES: LazyLock<[String; 2]> = LazyLock::new(|| {
    let auth = |word: &str| format!("name=\"kombo-mirror-auth\" content=\"{word}\"");
    sites().map(|site| site.page.replace(&auth("on"), &auth("off")))
});

fn sites() -> [Site; 2] {
    [CONSOLE, GRAPHIQL.unwrap_or(PLAIN)]
}

/// `GET /`, `GET /graphiql` and what they load. They need no state and no token: there is no data in them.
pub fn routes<S: Clone + Send + Sync + 'static>(asks_for_token: bool) -> Router<S> {
    let [mut console, mut graphiql] = sites();
    if !asks_for_token {
        [console.page, graphiql.page] = OPEN_PAGES.each_ref().map(String::as_str);
    }
    serve(console).merge(serve(graphiql))
}
