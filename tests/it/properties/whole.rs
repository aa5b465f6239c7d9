//! The same through the whole program: HTTP, Postgres and a simulated Kombo.

use std::sync::Arc;

use kombo_mirror::clock::Clock;
use kombo_mirror::kombo::PageRequest;
use kombo_mirror::kombo::budget::Lane;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, sign};
use kombo_mirror::sync::Ending;
use proptest::prelude::*;
use proptest::sample::select;

use super::bodies::{pages, recorded};
use super::check_on;
use super::mutation::{damaged, damages, replacements};
use crate::support::TestApp;
use crate::support::app::SECRET;
use crate::support::look::parameter;

// Rule 4: opaque means any text at all, from the last page's `next` to the next request's parameter.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_arrives_at_kombo_as_it_left_it() {
    let app = TestApp::start().await;
    let integration = app.integration();
    let clock: Clock = Arc::clone(&app.engine.clock);
    check_on(1, any::<String>(), async |cursor| {
        app.simulator.clear_requests();
        let request = PageRequest {
            integration_id: &integration,
            path: Endpoint::Users.path(),
            updated_after: None,
            cursor: Some(&cursor),
            ids: &[],
            lane: Lane::News,
        };
        // not one of Kombo's cursors, so it is refused; what counts is what was refused
        let refused = app.engine.kombo.page(request, &clock).await;
        assert!(refused.is_err());
        let requests = app.simulator.requests();
        assert_eq!(parameter(&requests[0], "cursor"), Some(cursor));
    });
}

// Rule 14: a page may say anything; the run ends or waits, and the database has not failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_bears_every_page() {
    let app = TestApp::start().await;
    app.simulator.set_webhook_target(None);
    let integration = app.integration();
    let input = (select(pages()), prop_oneof![replacements(), damages()]);
    check_on(4, input, async |((endpoint, body), damages)| {
        let body = damaged(&body, &damages);
        let text = String::from_utf8_lossy(&body).into_owned();
        app.simulator.clear_faults();
        app.simulator.inject(Fault::once(FaultKind::Verbatim(text)));
        app.enqueue(&integration, endpoint.name, Mode::Full).await;
        let ending = app.step().await;
        assert!(
            matches!(
                ending,
                Some(Ending::Succeeded | Ending::Postponed | Ending::Failed)
            ),
            "{ending:?}"
        );
        let run = app.last_run(endpoint.name).await;
        let number = |name: &str| run[name].as_i64().expect("a counter");
        let kinds = ["inserted", "updated", "unchanged", "parked"];
        let sum: i64 = kinds
            .iter()
            .map(|kind| number(&format!("records_{kind}")))
            .sum();
        assert_eq!(number("records_received"), sum);
        app.simulator.clear_faults();
        app.work_through().await;
    });
}

// Rule 1, F58, F60: what is signed is stored or refused for good; a 500 would be sent again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_door_answers_every_signed_body_with_200_or_400() {
    let app = TestApp::start().await;
    let input = (select(recorded("webhooks")), damages());
    check_on(2, input, async |((_, body), damages)| {
        let body = damaged(&body, &damages);
        let signature = sign(SECRET, &body);
        let (status, _) = app.post_webhook(body.clone(), Some(&signature)).await;
        assert!(matches!(status, 200 | 400), "{status}");
        let (status, _) = app.post_webhook(body, Some("unsigned")).await;
        assert_eq!(status, 401);
    });
}
