//! Who sees what: two integrations whose records have equal ids, and a viewer of one of them who asks everything that
//! can be asked.
//!
//! The measure is the same everywhere: every answer is, byte for byte, what it is where the other integration does not
//! exist. That is more than not to see its rows: no count, no age, no error and no null may tell of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel_async::SimpleAsyncConnection as _;
use futures_util::{StreamExt as _, stream};
use kombo_mirror::auth::{Authenticator, Viewer};
use kombo_mirror::config::{AuthSettings, GraphqlSettings, JwtSettings, Limit};
use kombo_mirror::db::{self, Behind, Pool, ReadError, Reads, Statement};
use kombo_mirror::graphql::{Schema, Walls};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use crate::auth::{SECRET, signed};
use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::database::TestDatabase;
use crate::support::walk::{Graph, Words, texts_under};
use crate::support::world::{output, program};

/// The other integration.
const OTHER: &str = "other:SECRET-B-integration";
/// In every text of the other integration.
const MARK: &str = "SECRET-B";

/// Columns that say what a row is or what it belongs to: equal in both integrations.
const STRUCTURE: &[&str] = &[
    "endpoint",
    "id",
    "kind",
    "lane",
    "linked_id",
    "mode",
    "model",
    "status",
    "table_name",
    "trigger",
    "user_id",
    "course_id",
    "provider_id",
    "course_revision_id",
    "skill_id",
    "outcome",
];

fn authenticator(app: &TestApp) -> Authenticator {
    let settings = AuthSettings::Tokens {
        read: Vec::new(),
        admin: Vec::new(),
        jwt: Some(JwtSettings {
            secret: Some(SECRET.into()),
            ..JwtSettings::default()
        }),
    };
    Authenticator::new(&settings, app.engine.clock.clone()).expect("an authenticator")
}

/// A world with one integration of everything, and the other that can be put beside it.
struct Tenants {
    app: TestApp,
    schema: Schema,
    graph: Graph,
    one: Viewer,
    all: Viewer,
}

impl Tenants {
    async fn new() -> Self {
        let app = TestApp::with(Setup {
            simulator: kombo_mirror::simulator::Options {
                users: 6,
                courses: 4,
                skills: 4,
                progressions: 12,
                ..Setup::default().simulator
            },
            ..Setup::default()
        })
        .await;
        app.work().await;
        add_what_went_wrong(&app).await;
        // else ages would differ from question to question
        let mut engine = app.engine.clone();
        let now = (engine.clock)();
        engine.clock = Arc::new(move || now);
        let nothing_is_too_much = GraphqlSettings {
            aliases: Limit::of(usize::MAX),
            complexity: Limit::of(usize::MAX),
            depth: Limit::of(usize::MAX),
            tokens: Limit::of(usize::MAX),
            ..GraphqlSettings::default()
        };
        let schema = Schema::new(Some(engine), &nothing_is_too_much);
        let claims = |integrations: Value| json!({ "sub": "tenant", "scope": "admin", "exp": now.timestamp() + 600, "integrations": integrations });
        let authenticator = authenticator(&app);
        let viewer = async |integrations| {
            let token = signed(&claims(integrations));
            let header = format!("Bearer {token}");
            authenticator.viewer(Some(&header)).await.expect("a viewer")
        };
        let one = viewer(json!([app.integration()])).await;
        let all = viewer(json!("*")).await;
        let described = schema
            .execute(Request::new(Graph::QUESTION), all.clone())
            .await;
        let described = serde_json::to_value(&described.data).expect("an answer");
        Self {
            graph: Graph::read(&described),
            app,
            schema,
            one,
            all,
        }
    }

    async fn ask(&self, viewer: &Viewer, walls: Walls, question: &str) -> String {
        let request = Request::new(question).data(walls);
        let answer = self.schema.execute(request, viewer.clone()).await;
        serde_json::to_string(&answer).expect("an answer")
    }

    /// The answers, in the order of the questions.
    async fn ask_all(&self, viewer: &Viewer, walls: Walls, questions: &[String]) -> Vec<String> {
        let answers = questions
            .iter()
            .map(|question| self.ask(viewer, walls, question));
        stream::iter(answers).buffered(4).collect().await
    }

    /// What can be asked for: first what the other integration has, then what both have, then what nobody has.
    async fn words(&self) -> Words {
        let mine = self.app.integration();
        let mut ids = vec![OTHER.to_owned()];
        for table in ["users", "course_revisions"] {
            ids.push(self.app.some_id(table).await);
        }
        for table in [
            "courses",
            "course_providers",
            "skills",
            "course_progressions",
        ] {
            ids.push(self.app.some_id(table).await);
        }
        ids.push(mine.clone());
        ids.push("nothing".to_owned());
        let mut found = BTreeSet::new();
        let mut cursors = BTreeSet::new();
        let none = Words {
            ids: ids.clone(),
            cursors: vec!["nowhere".to_owned()],
            texts: vec![MARK.to_owned()],
        };
        for way in self.graph.arguments("Query", &none) {
            let answer = self.ask(&self.all, Walls::Both, &way).await;
            let answer = serde_json::from_str(&answer).expect("JSON");
            texts_under(&answer, &["id"], &mut found);
            texts_under(&answer, &["cursor"], &mut cursors);
        }
        ids.extend(some_of_each(&found, &mine));
        let cursors = one_of_each_order(&cursors);
        assert!(ids.len() > 20 && cursors.len() > 8, "{ids:?} {cursors:?}");
        Words {
            ids,
            cursors,
            texts: vec![MARK.to_owned()],
        }
    }

    /// Puts the other integration beside the one: every row of it, with the same ids and other contents.
    async fn add_the_other(&self) {
        let mine = self.app.integration();
        for table in self.tables().await {
            let columns = self
                .app
                .rows(&format!(
                    "SELECT column_name AS name, data_type AS type FROM information_schema.columns \
                     WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
                ))
                .await;
            let (names, values): (Vec<String>, Vec<String>) = columns
                .iter()
                .map(|column| {
                    let name = column["name"].as_str().expect("a name");
                    let ty = column["type"].as_str().expect("a type");
                    (name.to_owned(), other_value(&table, name, ty))
                })
                .unzip();
            let owner = owner_of(&table);
            self.app
                .sql(&format!(
                    "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {table} WHERE {owner} = '{mine}'",
                    names.join(", "),
                    values.join(", ")
                ))
                .await;
        }
        let rows = "SELECT count(*) AS count FROM users WHERE integration_id = 'other:SECRET-B-integration'";
        assert!(self.app.count(rows).await > 0);
    }

    async fn remove_the_other(&self) {
        for table in self.tables().await {
            let owner = owner_of(&table);
            self.app
                .sql(&format!("DELETE FROM {table} WHERE {owner} = '{OTHER}'"))
                .await;
        }
    }

    /// Every table that names integrations; the integrations last, for those are what others are read by.
    async fn tables(&self) -> Vec<String> {
        let rows = self
            .app
            .rows(
                "SELECT table_name AS name FROM information_schema.columns WHERE table_schema = 'public' \
                 AND column_name = 'integration_id' ORDER BY table_name",
            )
            .await;
        let names = rows
            .iter()
            .map(|row| row["name"].as_str().expect("a name").to_owned());
        names.chain(["integrations".to_owned()]).collect()
    }

    /// Everything of the other integration, as one text.
    async fn all_of_the_other(&self) -> String {
        let mut all = String::new();
        for table in self.tables().await {
            let owner = owner_of(&table);
            let rows = self
                .app
                .rows(&format!(
                    "SELECT * FROM {table} WHERE {owner} = '{OTHER}' ORDER BY {table}::text"
                ))
                .await;
            all.push_str(&format!("{table} {}\n", Value::from(rows)));
        }
        all
    }

    /// Asserts that the viewer of one integration is answered as if there were no other.
    async fn assert_nothing_tells_of_the_other(&self, walls: Walls, questions: &[String]) {
        self.add_the_other().await;
        let beside = self.ask_all(&self.one, walls, questions).await;
        let seen = self.ask_all(&self.all, walls, questions).await;
        self.remove_the_other().await;
        let alone = self.ask_all(&self.one, walls, questions).await;
        let mut told = Vec::new();
        for ((question, beside), alone) in questions.iter().zip(&beside).zip(&alone) {
            if beside != alone {
                told.push(format!("{question}\n  beside: {beside}\n  alone:  {alone}"));
            }
            let refused_internally = beside.contains("\"INTERNAL\"");
            assert!(!refused_internally, "{question}: {beside}");
        }
        assert!(
            told.is_empty(),
            "{} of {} answers tell of the other integration, for instance:\n{}",
            told.len(),
            questions.len(),
            told[..told.len().min(5)].join("\n")
        );
        for (question, answer) in questions.iter().zip(&beside) {
            assert!(!answer.contains(MARK), "{question}: {answer}");
        }
        // the walk would pass where there is nothing to see
        let field_of = |question: &String| {
            let name = question.trim_start_matches("{ ").split(['(', ' ']).next();
            name.expect("a field").to_owned()
        };
        let asked: BTreeSet<String> = questions.iter().map(field_of).collect();
        let shown = questions.iter().zip(&seen);
        let shown = shown.filter(|(_, answer)| answer.contains(MARK));
        let shown: BTreeSet<String> = shown.map(|(question, _)| field_of(question)).collect();
        assert_eq!(
            asked, shown,
            "each shows the other integration to whom may see it"
        );
    }
}

/// The column that names the integration.
fn owner_of(table: &str) -> &'static str {
    match table {
        "integrations" => "id",
        _ => "integration_id",
    }
}

/// The value of a column in the other integration.
fn other_value(table: &str, name: &str, ty: &str) -> String {
    match (table, name, ty) {
        ("integrations", "id", _) | (_, "integration_id", _) => format!("'{OTHER}'"),
        // these are unique over all integrations; what refers to runs goes on naming the first integration's
        ("sync_runs", "id", _) => "id + 1000000".to_owned(),
        ("webhook_events", "id", _) => format!("'{MARK} ' || id"),
        (_, name, _)
            if STRUCTURE.contains(&name) && !(name == "status" && table != "sync_runs") =>
        {
            name.to_owned()
        }
        (_, _, "text") => format!("CASE WHEN {name} IS NOT NULL THEN '{MARK} ' || {name} END"),
        (_, "reasons", "jsonb") => format!("'[\"{MARK}\"]'"),
        (_, "integration_fields", "jsonb") => {
            format!(
                "'[{{\"id\": \"{MARK}\", \"key\": \"{MARK}\", \"label\": \"{MARK}\", \"value\": \"{MARK}\"}}]'"
            )
        }
        (_, _, "jsonb") => format!("'{{\"text\": \"{MARK}\"}}'"),
        (_, "run_ids", _) => name.to_owned(),
        (_, _, "ARRAY") => format!("ARRAY['{MARK}']"),
        // times and numbers of its own, so that an oldest, a newest and a sum would tell
        (
            _,
            "deleted_at" | "purged_at" | "remote_deleted_at" | "missing_since" | "lease_until",
            _,
        ) => name.to_owned(),
        (_, _, "timestamp with time zone") => format!("{name} - interval '400 days'"),
        (_, "sequence", _) | (_, "run_id", _) | (_, "lease_token", _) => name.to_owned(),
        (_, _, "bigint" | "integer") => format!("{name} + 77"),
        _ => name.to_owned(),
    }
}

/// What a sync that went wrong leaves behind, so that every list has something in it.
async fn add_what_went_wrong(app: &TestApp) {
    let integration = app.integration();
    let user = app.some_id("users").await;
    let run = app.last_run("users").await["id"].clone();
    for sql in [
        format!(
            "INSERT INTO parked_records (integration_id, endpoint, id, record, error, run_id, first_seen_at, last_seen_at) \
             VALUES ('{integration}', 'users', 'parked', '{{}}', 'no object', {run}, now(), now())"
        ),
        format!(
            "INSERT INTO schema_drift (integration_id, table_name, kind, name, first_seen_at, last_seen_at, sightings) \
             VALUES ('{integration}', 'users', 'MEMBER', 'nickname', now(), now(), 3)"
        ),
        format!(
            "INSERT INTO held_back_removals (integration_id, table_name, id, run_id) \
             VALUES ('{integration}', 'users', '{user}', {run})"
        ),
        format!(
            "INSERT INTO webhook_events (id, type, integration_id, received_at, changed_models, outcome, run_ids, payload) \
             VALUES ('event', 'data-changed', '{integration}', now(), '{{lms_users}}', 'QUEUED_SYNC', ARRAY[{run}], '{{}}')"
        ),
        format!(
            "UPDATE sync_runs SET error_code = 'E', error_message = 'failed', error_at = now(), error_log_url = 'https://kombo', \
             removals_held_back = 1, requested_by = 'somebody' WHERE id = {run}"
        ),
        format!(
            "UPDATE endpoint_states SET error_code = 'E', error_message = 'failed', error_at = now() \
             WHERE integration_id = '{integration}' AND endpoint = 'users'"
        ),
        format!(
            "UPDATE integrations SET tool = 'moodle', organization_name = 'One', origin_id = 'one', last_kombo_sync_state = 'SUCCEEDED' \
             WHERE id = '{integration}'"
        ),
    ] {
        assert_eq!(app.sql(&sql).await, 1, "{sql}");
    }
    app.sql(
        "UPDATE users SET integration_fields = '[{\"id\": \"1\", \"key\": \"k\", \"value\": 1}]'",
    )
    .await;
}

fn decoded(opaque: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(opaque).ok()?).ok()
}

/// Node ids: of each type some of the other integration, and one of one's own.
fn some_of_each(found: &BTreeSet<String>, mine: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut seen = BTreeSet::new();
    for id in found {
        let Some(text) = decoded(id) else { continue };
        let Some((name, rest)) = text.split_once('\n') else {
            continue;
        };
        let is_mine =
            rest.starts_with(mine) || rest.parse::<u64>().is_ok_and(|run| run < 1_000_000);
        if seen.insert((name.to_owned(), is_mine)) {
            kept.push(id.clone());
        }
    }
    kept
}

/// One cursor of each order that there is.
fn one_of_each_order(found: &BTreeSet<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let is_new = |cursor: &&String| {
        let text = decoded(cursor).expect("a cursor");
        // beside the order a label has a digest of the filter
        let label = text.split([',', ' ']).next().expect("an order").to_owned();
        seen.insert(label)
    };
    found.iter().filter(is_new).cloned().collect()
}

async fn walk(walls: Walls, deepest: usize) {
    let tenants = Tenants::new().await;
    tenants.add_the_other().await;
    let words = tenants.words().await;
    tenants.remove_the_other().await;
    let mut ways = tenants.graph.ways("Query", deepest, &words);
    ways.extend(tenants.graph.by_ids("Query", &words));
    assert!(ways.len() > 100, "{}", ways.len());
    tenants
        .assert_nothing_tells_of_the_other(walls, &ways)
        .await;
}

// F70: every edge of the graph, as it is served
#[tokio::test(flavor = "multi_thread")]
async fn no_way_through_the_graph_leads_to_another_integration() {
    walk(Walls::Both, 4).await;
}

// F70: the predicates alone
#[tokio::test(flavor = "multi_thread")]
async fn the_first_wall_holds_without_the_second() {
    walk(Walls::OnlyFirst, 4).await;
}

// F70: row-level security alone
#[tokio::test(flavor = "multi_thread")]
async fn the_second_wall_holds_without_the_first() {
    walk(Walls::OnlySecond, 4).await;
}

// F70: the policies themselves
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_second_wall_each_table_has_the_rows_of_the_named_integrations_only() {
    let tenants = Tenants::new().await;
    let mine = tenants.app.integration();
    tenants.add_the_other().await;
    let behind = async |table: &str, integrations: &[String]| {
        let mut statement = Statement::planned();
        statement.push(&format!(
            "SELECT convert_to((SELECT count(*) FROM {table})::text, 'UTF8') AS answer"
        ));
        let reads = &tenants.app.engine.reads;
        let answer = reads.answer(&statement, Behind::Wall(integrations)).await;
        answer
            .expect("an answer")
            .map(|text| String::from_utf8(text).expect("a text"))
            .expect("a number")
            .parse::<i64>()
            .expect("a number")
    };
    let both = [mine.clone(), OTHER.to_owned()];
    for table in tenants.tables().await {
        let owner = owner_of(&table);
        let own = format!("SELECT count(*) AS count FROM {table} WHERE {owner} = '{mine}'");
        let own = tenants.app.count(&own).await;
        assert!(own > 0, "{table} has rows");
        assert_eq!(behind(&table, &both[..1]).await, own, "{table}");
        assert_eq!(behind(&table, &both).await, 2 * own, "{table}");
        assert_eq!(behind(&table, &[]).await, 0, "{table}");
        assert_eq!(behind(&table, &["nobody".to_owned()]).await, 0, "{table}");
    }
}

// F70: ids, cursors, filters and orders
#[tokio::test(flavor = "multi_thread")]
async fn no_argument_finds_anything_of_another_integration() {
    let tenants = Tenants::new().await;
    tenants.add_the_other().await;
    let words = tenants.words().await;
    tenants.remove_the_other().await;
    let questions = tenants.graph.arguments("Query", &words);
    assert!(questions.len() > 500, "{}", questions.len());
    tenants
        .assert_nothing_tells_of_the_other(Walls::Both, &questions)
        .await;
}

// F70, F74: whoever may change things may change their own
#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_touches_another_integration_or_tells_of_it() {
    let tenants = Tenants::new().await;
    tenants.add_the_other().await;
    let words = tenants.words().await;
    // only what is not the viewer's: what is theirs would really be done
    let mine = tenants.app.integration();
    let is_strange = |id: &&String| {
        let named = decoded(id).unwrap_or_else(|| (*id).clone());
        **id != mine
            && !named.contains(&mine)
            && (!named.starts_with("SyncRun") || named.len() > 14)
    };
    let words = Words {
        ids: words.ids.iter().filter(is_strange).cloned().collect(),
        ..words
    };
    assert!(words.ids.iter().any(|id| id == OTHER));
    let runs = |id: &String| decoded(id).is_some_and(|text| text.starts_with("SyncRun"));
    assert!(words.ids.iter().any(runs));
    let mutations = tenants.graph.mutations(&words);
    assert!(mutations.len() > 50, "{mutations:#?}");
    let before = tenants.all_of_the_other().await;
    let mut beside = Vec::new();
    for mutation in &mutations {
        beside.push(tenants.ask(&tenants.one, Walls::Both, mutation).await);
    }
    assert_eq!(tenants.all_of_the_other().await, before);
    tenants.remove_the_other().await;
    for (mutation, beside) in mutations.iter().zip(&beside) {
        if !mutation.contains("triggerResync") || mutation.contains("integrationKomboId") {
            let alone = tenants.ask(&tenants.one, Walls::Both, mutation).await;
            assert_eq!(*beside, alone, "{mutation}");
            assert!(
                beside.contains("NOT_FOUND") || beside.contains("BAD_USER_INPUT"),
                "{mutation}: {beside}"
            );
        }
        let told = beside.replace(OTHER, "");
        assert!(!told.contains(MARK), "{mutation}: {beside}");
    }
    let all = "mutation { triggerResync(input: {}) { runs { integration { komboId } } } }";
    tenants.add_the_other().await;
    let answer = tenants.ask(&tenants.one, Walls::Both, all).await;
    assert!(answer.contains(&mine) && !answer.contains(MARK), "{answer}");
}

/// A database whose owner may make no roles.
struct Modest {
    url: String,
    user: String,
    _database: TestDatabase,
}

impl Modest {
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let url = database.url();
        let name = name_of(&url);
        let user = format!("owner_of_{name}");
        let admin = db::pool(&url.as_str().into(), 1).expect("a pool");
        run(&admin, &format!("CREATE ROLE {user} LOGIN; ALTER DATABASE {name} OWNER TO {user}; ALTER SCHEMA public OWNER TO {user}")).await;
        Self {
            url: url.replacen("postgres@", &format!("{user}@"), 1),
            user,
            _database: database,
        }
    }

    fn pool(&self) -> Pool {
        db::pool(&self.url.as_str().into(), 1).expect("a pool")
    }

    /// What an administrator of the database runs.
    async fn administer(&self, sql: &str) {
        let admin = db::pool(&self._database.url().into(), 1).expect("a pool");
        run(&admin, sql).await;
    }
}

/// The name of a database.
fn name_of(url: &str) -> String {
    let path = Url::parse(url).expect("a URL").path()[1..].to_owned();
    percent_encoding::percent_decode_str(&path)
        .decode_utf8()
        .expect("a name")
        .into_owned()
}

async fn run(pool: &Pool, sql: &str) {
    let mut connection = pool.get().await.expect("a connection");
    connection
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

// who may make no roles may still migrate, and is told what an administrator must do before a JWT is believed
#[tokio::test(flavor = "multi_thread")]
async fn without_the_readers_role_no_jwt_is_served() {
    // so that the role is in the cluster
    let _other = TestDatabase::migrated().await;
    let modest = Modest::new().await;
    let pool = modest.pool();
    assert!(db::migrate(&pool).await.expect("migrating works") > 0);
    let refused = db::wall::check(&pool)
        .await
        .expect_err("the role is not there")
        .to_string();
    let remedy = format!("GRANT kombo_mirror_reader TO \"{}\"", modest.user);
    assert!(refused.contains(&remedy), "{refused}");
    let mut command = program(&["serve"]);
    command
        .env("DATABASE_URL", &modest.url)
        .env("KOMBO_API_KEY", "ks")
        .env("KOMBO_WEBHOOK_SECRET", "secret")
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("JWT_SECRET", SECRET);
    let ended = output(command).await;
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains(&remedy), "{said}");
    modest.administer(&remedy).await;
    // what is said: run it once and start again
    db::migrate(&pool).await.expect("nothing is pending");
    db::wall::check(&pool).await.expect("the wall stands");
    modest
        .administer(&format!("REVOKE kombo_mirror_reader FROM {}", modest.user))
        .await;
}

// a mirror that looks empty would be worse than an error
#[tokio::test(flavor = "multi_thread")]
async fn a_database_user_from_whom_rows_are_hidden_is_refused_and_never_answered_with_less() {
    let app = TestApp::loaded().await;
    let url = app.database_url().expose_secret().to_owned();
    let name = name_of(&url);
    let user = format!("reader_of_{name}");
    let admin = db::pool(&url.as_str().into(), 1).expect("a pool");
    run(
        &admin,
        &format!("CREATE ROLE {user} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"),
    )
    .await;
    let theirs = url.replacen("postgres@", &format!("{user}@"), 1);
    let reads = Reads::open(&theirs.as_str().into(), 1, Duration::from_secs(5)).expect("a door");
    let their_pool = db::pool(&theirs.as_str().into(), 1).expect("a pool");
    let refused = db::wall::check_owner(&their_pool)
        .await
        .expect_err("rows are hidden")
        .to_string();
    assert!(
        refused.contains(&format!("ALTER ROLE \"{user}\" BYPASSRLS")),
        "{refused}"
    );
    let mut count = Statement::planned();
    count.push("SELECT convert_to((SELECT count(*) FROM users)::text, 'UTF8') AS answer");
    let answer = reads.answer(&count, Behind::NoWall).await;
    assert!(matches!(answer, Err(ReadError::Failed(_))), "{answer:?}");
    run(&admin, &format!("ALTER ROLE {user} BYPASSRLS")).await;
    db::wall::check_owner(&their_pool)
        .await
        .expect("nothing is hidden");
    let answer = reads.answer(&count, Behind::NoWall).await;
    assert_eq!(answer.expect("an answer").as_deref(), Some(&b"60"[..]));
    run(&admin, &format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
}
