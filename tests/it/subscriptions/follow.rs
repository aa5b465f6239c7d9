//! What followers of runs and changes are told, and what not.

use futures_util::stream::StreamExt as _;
use kombo_mirror::config::{GraphqlSettings, SafeOperation};
use kombo_mirror::graphql::Schema;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::Options;
use serde_json::json;

use super::{CHANGES, CUT, RUN, next};
use crate::support::TestApp;
use crate::support::app::{READER, Setup};
use crate::support::look::{eventually, text};
use crate::support::socket::Socket;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_process_is_followed_from_where_it_is_to_its_end() {
    let world = World::with(Options {
        progressions: 2_100,
        ..Setup::default().simulator
    })
    .await;
    let server = world.start_with(&[("ROLE", "api")]).await;
    let answer = server
        .ask("mutation { triggerResync(input: { endpoints: [COURSE_PROGRESSIONS] }) { runs { id } } }")
        .await;
    let id = text(&answer["data"]["triggerResync"]["runs"][0]["id"]);
    let mut socket = Socket::of(server.address, READER).await;
    let query = format!("subscription {{ syncRunUpdated(runId: \"{id}\") {RUN} }}");
    socket.subscribe("1", &query).await;
    let first = socket.event("1").await;
    assert_eq!(first["syncRunUpdated"]["status"], "QUEUED");
    let _worker = world.start_beside(&[("ROLE", "worker")]).await;
    let mut states = Vec::new();
    loop {
        let heard = socket.hear().await;
        if heard["type"] == "complete" {
            break;
        }
        states.push(heard["payload"]["data"]["syncRunUpdated"].clone());
    }
    let pages: Vec<i64> = states
        .iter()
        .filter_map(|run| run["pagesFetched"].as_i64())
        .collect();
    assert!(pages.is_sorted(), "{pages:?}");
    assert!(
        pages.iter().any(|page| (1..9).contains(page)),
        "on its way: {pages:?}"
    );
    let (last, before) = states.split_last().expect("it moved");
    assert_eq!(
        (&last["status"], &last["pagesFetched"]),
        (&json!("SUCCEEDED"), &json!(9))
    );
    assert!(
        // once more QUEUED where the worker's own start asks for the same
        before
            .iter()
            .all(|run| run["status"] == "RUNNING" || run["status"] == "QUEUED"),
        "{states:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_ended_is_shown_once() {
    let app = TestApp::loaded().await;
    let run = app.query("{ syncRuns(first: 1) { nodes { id } } }").await;
    let id = text(&run["syncRuns"]["nodes"][0]["id"]);
    let mut socket = app.socket(READER).await;
    let query = format!("subscription {{ syncRunUpdated(runId: \"{id}\") {RUN} }}");
    socket.subscribe("a", &query).await;
    assert_eq!(socket.event("a").await["syncRunUpdated"]["id"], id);
    assert_eq!(
        socket.hear().await,
        json!({ "id": "a", "type": "complete" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_an_integration_are_followed_without_asking_for_one() {
    let app = TestApp::loaded().await;
    let mut socket = app.socket(READER).await;
    let query = format!(
        "subscription {{ syncRunUpdated(integrationKomboId: \"{}\") {{ endpoint status }} }}",
        app.integration()
    );
    socket.subscribe("a", &query).await;
    app.wait_for_followers((1, 0)).await;
    app.enqueue(&app.integration(), "skills", Mode::Full).await;
    let run = socket.event("a").await;
    assert_eq!(
        run,
        json!({ "syncRunUpdated": { "endpoint": "SKILLS", "status": "QUEUED" } })
    );
    app.work().await;
    loop {
        let run = socket.event("a").await;
        if run["syncRunUpdated"]["status"] == "SUCCEEDED" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_comes_once_and_in_the_order_of_the_feed() {
    let app = TestApp::start().await;
    let mut socket = app.socket(READER).await;
    socket.subscribe("a", CHANGES).await;
    app.wait_for_followers((0, 1)).await;
    app.work().await;
    let feed = app.feed().await;
    assert!(feed.len() > 400, "{} changes", feed.len());
    for sequence in &feed {
        let change = socket.event("a").await["recordChanged"].take();
        assert_eq!(text(&change["sequence"]), *sequence);
        assert_eq!(change["komboId"], change["record"]["komboId"]);
    }
    // and nothing more: the next to come is a new one
    let user = app.some_id("users").await;
    assert!(app.simulator.delete_user(&app.integration(), &user));
    app.settle().await;
    let change = socket.event("a").await["recordChanged"].take();
    assert_eq!(change["komboId"], user);
    assert_eq!(change["kind"], "DELETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_lets_through_what_the_list_would_show() {
    let app = TestApp::start().await;
    let mut socket = app.socket(READER).await;
    let filter = "filter: { or: [{ model: { eq: SKILL } }, { model: { eq: USER }, not: { kind: { eq: INSERTED } } }] }";
    let query = format!("subscription {{ recordChanged({filter}) {{ sequence }} }}");
    socket.subscribe("a", &query).await;
    app.wait_for_followers((0, 1)).await;
    app.work().await;
    let listed = format!("{{ recordChanges(first: 500, {filter}) {{ nodes {{ sequence }} }} }}");
    let listed = app.query(&listed).await["recordChanges"]["nodes"].take();
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), 15, "the skills");
    for change in listed {
        assert_eq!(socket.event("a").await["recordChanged"], *change);
    }
}

// what happens while nobody can hear it is found when somebody can
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_listening_connection_is_cut() {
    let app = TestApp::start().await;
    let mut changes = app.socket(READER).await;
    changes
        .subscribe("a", "subscription { recordChanged { sequence } }")
        .await;
    let mut runs = app.socket(READER).await;
    runs.subscribe("a", "subscription { syncRunUpdated { endpoint status } }")
        .await;
    app.wait_for_followers((1, 1)).await;
    let mut ended = 0;
    while app.step().await.is_some() {
        eventually("a listener to cut", async || app.count(CUT).await >= 1).await;
        ended += 1;
    }
    app.work().await;
    for sequence in app.feed().await {
        let change = changes.event("a").await;
        assert_eq!(text(&change["recordChanged"]["sequence"]), sequence);
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < ended {
        let run = runs.event("a").await["syncRunUpdated"].take();
        if run["status"] == "SUCCEEDED" {
            seen.insert(text(&run["endpoint"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_nobody_costs_no_statement_and_what_does_one_for_many() {
    let app = TestApp::start().await;
    let mut sockets = Vec::new();
    for n in 0..10 {
        let mut socket = app.socket(READER).await;
        let query = "subscription { recordChanged(filter: { komboId: { eq: \"nobody\" } }) { sequence record { id } } }";
        socket.subscribe("a", query).await;
        let query = "subscription { syncRunUpdated(integrationKomboId: \"nobody\") { id } }";
        socket.subscribe("b", query).await;
        sockets.push(socket);
        app.wait_for_followers((n + 1, n + 1)).await;
    }
    let mut all = app.socket(READER).await;
    all.subscribe(
        "a",
        "subscription { recordChanged { sequence record { id } } }",
    )
    .await;
    app.wait_for_followers((10, 11)).await;
    let log = app.note_statements().await;
    app.work().await;
    let changes = app.feed().await;
    for _ in &changes {
        all.event("a").await;
    }
    let read = log.take();
    let read: Vec<&String> = read
        .iter()
        .filter(|one| one.contains(" AS answer"))
        .collect();
    // a page brings 300 changes at most, and a statement reads 100
    assert!(
        (1..=changes.len() / 20).contains(&read.len()),
        "{} for {}",
        read.len(),
        changes.len()
    );
    assert!(read.iter().all(|one| !one.contains("nobody")), "{read:#?}");
}

// one word for each commit, and none where nothing was changed that anybody sees
#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_each_of_its_steps_once() {
    use kombo_mirror::db::Listener;
    use kombo_mirror::queue::PROGRESS;
    let app = TestApp::loaded().await;
    let mut listener = Listener::connect(&app.database_url(), PROGRESS)
        .await
        .expect("a listener");
    let integration = app.integration();
    app.enqueue(&integration, "users", Mode::Full).await;
    app.enqueue(&integration, "users", Mode::Delta).await;
    app.step().await;
    app.sql("UPDATE sync_runs SET lease_until = now()").await;
    app.sql("SELECT pg_notify('kombo_mirror_progress', 'the end')")
        .await;
    let run = app.last_run("users").await;
    let word = format!("{} {integration}", run["id"]);
    // queued, claimed, and its only page
    for step in 0..3 {
        assert_eq!(listener.heard().await.expect("a word"), word, "{step}");
    }
    assert_eq!(listener.heard().await.expect("a word"), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safelist_holds_for_sockets_and_may_list_subscriptions() {
    let body = "subscription Follow { recordChanged { sequence } }";
    let graphql = GraphqlSettings {
        safelist: Some(vec![SafeOperation {
            id: "c0ffee".to_owned(),
            body: body.to_owned(),
        }]),
        ..GraphqlSettings::default()
    };
    assert_eq!(
        Schema::safelist_problems(&graphql).await,
        Vec::<String>::new()
    );
    let app = TestApp::with(Setup {
        graphql,
        ..Setup::default()
    })
    .await;
    let mut socket = app.socket(READER).await;
    socket.subscribe("1", CHANGES).await;
    let refused = socket.hear().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"], "FORBIDDEN",
        "{refused}"
    );
    let named = json!({ "type": "subscribe", "id": "1", "payload": { "documentId": "c0ffee" } });
    socket.say(&named).await;
    app.wait_for_followers((0, 1)).await;
    app.work().await;
    assert!(socket.event("1").await["recordChanged"]["sequence"].is_string());
}

// F71: the memory is bounded, and the reader is told where to go on
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_far_behind_is_told_where_to_go_on() {
    let app = TestApp::start().await;
    let integration = app.integration();
    let mut all = app.socket(READER).await;
    all.subscribe("a", "subscription { recordChanged { sequence } }")
        .await;
    let mut few = app.socket(READER).await;
    let query = "subscription { recordChanged(filter: { komboId: { in: [\"u7\", \"u10001\"] } }) { komboId } }";
    few.subscribe("a", query).await;
    app.wait_for_followers((0, 2)).await;
    app.sql(&format!(
        "INSERT INTO record_changes (integration_id, at, model, id, kind, run_id) \
         SELECT '{integration}', now(), 'users', 'u' || n, 'INSERTED', 1 FROM generate_series(1, 10001) n"
    ))
    .await;
    let told = all.hear().await;
    assert_eq!(told["type"], "error", "{told}");
    let cursor = text(&told["payload"][0]["extensions"]["after"]);
    let query =
        format!("{{ recordChanges(first: 1, after: \"{cursor}\") {{ nodes {{ komboId }} }} }}");
    let list = app.query(&query).await;
    assert_eq!(list["recordChanges"]["nodes"], json!([{ "komboId": "u1" }]));
    // whoever wanted few of them has lost none
    for id in ["u7", "u10001"] {
        assert_eq!(
            few.event("a").await,
            json!({ "recordChanged": { "komboId": id } })
        );
    }
    app.wait_for_followers((0, 1)).await;
}

// F65, F70
#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_what_belongs_to_others() {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    let [own, other] = &app.simulator.integration_ids()[..] else {
        panic!("two integrations");
    };
    let mut changes = app.follow(
        &[own],
        "subscription { recordChanged { integration { komboId } } }",
    );
    let mut runs = app.follow(
        &[own],
        "subscription { syncRunUpdated { integration { komboId } status } }",
    );
    let others =
        format!("subscription {{ syncRunUpdated(integrationKomboId: \"{other}\") {{ id }} }}");
    let mut others = app.follow(&[own], &others);
    let id = own.clone();
    let heard = tokio::spawn(async move {
        for _ in 0..100 {
            let change = next(&mut changes).await;
            assert_eq!(
                change["data"]["recordChanged"]["integration"]["komboId"],
                id
            );
        }
    });
    let id = own.clone();
    let ended = tokio::spawn(async move {
        let mut ended = 0;
        while ended < 4 {
            let run = next(&mut runs).await["data"]["syncRunUpdated"].take();
            assert_eq!(run["integration"]["komboId"], id);
            ended += i32::from(run["status"] == "SUCCEEDED");
        }
    });
    let silent = tokio::spawn(async move { others.next().await });
    app.wait_for_followers((2, 1)).await;
    app.work().await;
    heard.await.expect("only the viewer's own");
    ended.await.expect("only the viewer's own");
    assert!(!silent.is_finished());
    silent.abort();

    let of_other = app
        .query(&format!("{{ syncRuns(first: 1, filter: {{ integrationKomboId: {{ eq: \"{other}\" }} }}) {{ nodes {{ id }} }} }}"))
        .await;
    let of_other = text(&of_other["syncRuns"]["nodes"][0]["id"]);
    for id in [of_other.as_str(), "U3luY1J1bgo5OTk5OTk", "nonsense"] {
        let query = format!("subscription {{ syncRunUpdated(runId: \"{id}\") {{ id }} }}");
        let mut stream = app.follow(&[own], &query);
        let told = next(&mut stream).await;
        assert_eq!(
            told["errors"][0]["extensions"]["code"], "NOT_FOUND",
            "{id}: {told}"
        );
        assert_eq!(
            told["errors"][0]["message"],
            "there is no sync run with this id"
        );
        assert!(stream.next().await.is_none(), "it has ended");
    }
}
