//! Asking both, and comparing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use kombo_mirror::auth::Authenticator;
use kombo_mirror::config::{AuthSettings, GraphqlSettings, JwtSettings, Limit, SocketSettings};
use kombo_mirror::graphql::Schema;
use kombo_mirror::http::{self, App, Sockets};
use kombo_mirror::live::Live;
use serde_json::json;
use tokio::net::TcpListener;

use crate::auth::{SECRET, signed};
use crate::support::TestApp;
use crate::support::maker::document::Document;
use crate::support::maker::{Maker, Memory};
use crate::support::reference::{Asker, Json, Reference, Register, Request, Trouble};

/// A viewer and their token.
pub(crate) struct Viewer {
    asker: Asker,
    token: String,
}

/// The server's HTTP door, at one moment for ever.
pub(crate) struct Server {
    pub(crate) now: DateTime<Utc>,
    address: SocketAddr,
    http: reqwest::Client,
    viewers: Vec<Viewer>,
}

impl Server {
    /// A door to the rows of `app`, for viewers of these integrations, `None` for all.
    pub(crate) async fn start(app: &TestApp, viewers: Vec<Option<Vec<String>>>) -> Self {
        let mut engine = app.engine.clone();
        let now = (engine.clock)();
        // else ages would differ from request to request
        engine.clock = Arc::new(move || now);
        let settings = AuthSettings::Tokens {
            read: Vec::new(),
            admin: Vec::new(),
            jwt: Some(JwtSettings {
                secret: Some(SECRET.into()),
                ..JwtSettings::default()
            }),
        };
        let graphql = GraphqlSettings {
            complexity: Limit::of(usize::MAX),
            depth: Limit::of(usize::MAX),
            ..GraphqlSettings::default()
        };
        let routes = http::routes(App {
            schema: Schema::new(Some(engine.clone()), &graphql),
            auth: Authenticator::new(&settings, engine.clock.clone()).expect("an authenticator"),
            intake: engine.pool.clone(),
            engine,
            live: Live::default(),
            sockets: Sockets::new(SocketSettings::default()),
            webhook_secrets: Arc::new(Vec::new()),
            refused_webhooks: Arc::new(AtomicU64::new(0)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port is known");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let viewers = viewers
            .into_iter()
            .flat_map(|integrations| [(integrations.clone(), false), (integrations, true)])
            .map(|(integrations, is_admin)| {
                let scope = if is_admin { "admin" } else { "read" };
                let sees = integrations.as_ref().map_or(json!("*"), |ids| json!(ids));
                let claims = json!({ "sub": "viewer", "scope": scope, "exp": now.timestamp() + 3600, "integrations": sees });
                Viewer {
                    token: signed(&claims),
                    asker: Asker {
                        is_admin,
                        integrations,
                    },
                }
            });
        Self {
            now,
            address,
            http: reqwest::Client::new(),
            viewers: viewers.collect(),
        }
    }

    /// Who sees everything.
    fn admin(&self) -> usize {
        let is_it = |one: &Viewer| one.asker.is_admin && one.asker.integrations.is_none();
        self.viewers.iter().position(is_it).expect("an admin")
    }

    async fn ask(&self, viewer: usize, request: &Request) -> Json {
        let body = json!({
            "query": request.query,
            "operationName": request.operation,
            "variables": request.variables,
        });
        let response = self
            .http
            .post(format!("http://{}/graphql", self.address))
            .bearer_auth(&self.viewers[viewer].token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("the server answers");
        Json::read(&response.text().await.expect("the answer is text"))
    }
}

/// One way to send a document.
#[derive(Debug, Clone)]
struct Way {
    viewer: usize,
    /// Which of the document's operations.
    operation: usize,
    has_other_variables: bool,
    /// The seed of its white space.
    odd: Option<u64>,
}

impl Way {
    fn usual(viewer: usize, document: &Document) -> Self {
        Self {
            viewer,
            operation: document.chosen,
            has_other_variables: false,
            odd: None,
        }
    }

    fn request(&self, document: &Document) -> Request {
        let operation = self.operation.min(document.operations.len() - 1);
        let query = match self.odd {
            Some(seed) => document.odd_text(&mut fastrand::Rng::with_seed(seed)),
            None => document.text(),
        };
        Request {
            query,
            operation: document.operation(operation),
            variables: if self.has_other_variables {
                document.other_variables(operation)
            } else {
                document.variables(operation)
            },
        }
    }
}

/// Both, and what was learnt of them.
pub(crate) struct Asks {
    pub(crate) app: TestApp,
    pub(crate) server: Server,
    pub(crate) reference: Reference,
    pub(crate) register: Register,
    pub(crate) memory: Memory,
    pub(crate) seed: u64,
    pub(crate) asked: usize,
    pub(crate) undecided: usize,
    pub(crate) refused: usize,
}

impl Asks {
    /// Learns the ids of everything.
    pub(crate) async fn learn(&mut self) {
        let types = self.reference.sdl.fields("Query").iter();
        let lists = types.filter_map(|field| {
            let name = &field.node.name.node;
            let ty = field.node.ty.node.to_string();
            let node = ty.trim_end_matches("Connection!");
            let arguments = match self.reference.sdl.records().contains(&node) {
                true => "(first: 500, includeDeleted: true)",
                false => "(first: 500)",
            };
            let is_node = self.reference.sdl.is_a(node, "Node");
            (ty.ends_with("Connection!") && is_node)
                .then(|| format!("{name}{arguments} {{ edges {{ cursor node {{ id }} }} }}"))
        });
        let query = format!("{{ {} }}", lists.collect::<Vec<_>>().join(" "));
        let request = Request {
            query,
            operation: None,
            variables: json!({}),
        };
        let admin = self.server.admin();
        let found = self.server.ask(admin, &request).await;
        let difference = self.difference(admin, &request, &found);
        assert_eq!(difference, None, "{}", request.query);
        assert!(self.register.ids(None).len() > 50, "there are rows");
    }

    pub(crate) fn document(&mut self, rng: &mut fastrand::Rng) -> Document {
        Maker::new(&self.reference, &self.register, &mut self.memory, rng).document()
    }

    pub(crate) async fn compare_one(&mut self, rng: &mut fastrand::Rng) {
        let document = self.document(rng);
        self.compare(&document, rng).await;
    }

    /// Sends a document as it is, then in several other ways at once, and compares all answers.
    pub(crate) async fn compare(&mut self, document: &Document, rng: &mut fastrand::Rng) {
        let ways = self.ways(document, rng);
        let requests: Vec<Request> = ways.iter().map(|way| way.request(document)).collect();
        let mut sent = ways.iter().zip(&requests);
        let ask = |(way, request): (&Way, _)| self.server.ask(way.viewer, request);
        // alone, so that what is kept of it is there for the others
        let mut answers = join_all(sent.next().map(ask)).await;
        answers.extend(join_all(sent.map(ask)).await);
        for ((way, request), found) in ways.iter().zip(&requests).zip(&answers) {
            if let Some(difference) = self.difference(way.viewer, request, found) {
                self.report(document, way, &difference, found).await;
            }
        }
    }

    fn ways(&self, document: &Document, rng: &mut fastrand::Rng) -> Vec<Way> {
        let usual = Way::usual(self.server.admin(), document);
        let with_other_variables = Way {
            has_other_variables: true,
            ..usual.clone()
        };
        let odd = Way {
            odd: Some(rng.u64(..)),
            ..usual.clone()
        };
        let other_operations = (0..document.operations.len()).filter(|one| *one != usual.operation);
        let other_operations = other_operations.map(|operation| Way {
            operation,
            ..usual.clone()
        });
        let mut ways = vec![usual.clone(), with_other_variables, odd];
        ways.extend(other_operations);
        for _ in 0..2 {
            ways.push(Way {
                viewer: rng.usize(..self.server.viewers.len()),
                has_other_variables: rng.bool(),
                ..usual.clone()
            });
        }
        ways
    }

    /// Sends a document with one fault.
    pub(crate) async fn refuses_one(&mut self, rng: &mut fastrand::Rng) {
        let document = self.document(rng);
        let wrong = match rng.u8(..4) {
            0 => document.clone().without_a_value(),
            _ => None,
        };
        let wrong = wrong.unwrap_or_else(|| document.clone().with_a_fault(rng));
        // first the one without the fault, which may have left something behind
        self.compare(&document, rng).await;
        let way = Way::usual(self.server.admin(), &wrong);
        let request = way.request(&wrong);
        let found = self.server.ask(way.viewer, &request).await;
        assert!(
            is_refused(&found),
            "{}\n{}\n{found}",
            request.query,
            request.variables
        );
    }

    /// What is wrong with an answer; `None`: nothing.
    fn difference(&mut self, viewer: usize, request: &Request, found: &Json) -> Option<String> {
        self.asked += 1;
        let asker = &self.server.viewers[viewer].asker;
        let expected = match self.reference.answer(asker, request, &self.register) {
            Ok(expected) => expected,
            Err(Trouble::Undecided) => {
                self.undecided += 1;
                return None;
            }
            Err(Trouble::Refused) => {
                self.refused += 1;
                return (!is_refused(found)).then(|| " is not refused".to_owned());
            }
        };
        self.refused += usize::from(expected.errors > 0);
        let errors = found.get("errors").map_or(0, |errors| errors.items().len());
        if (errors > 0) != (expected.errors > 0) {
            return Some(format!(
                ": expected {} errors: {}",
                expected.errors, expected.data
            ));
        }
        let data = found.get("data").cloned().unwrap_or(Json::Null);
        self.register.difference(&expected.data, &data)
    }

    /// Ends the test with the smallest request that shows the difference.
    async fn report(&self, document: &Document, way: &Way, difference: &str, found: &Json) -> ! {
        let looks = async |document: &Document| {
            let request = way.request(document);
            let found = self.server.ask(way.viewer, &request).await;
            let asker = &self.server.viewers[way.viewer].asker;
            let expected = self.reference.answer(asker, &request, &self.register);
            (request, found, expected)
        };
        let was_invalid = is_invalid(found);
        let still_fails = async |document: &Document| {
            let (_, found, expected) = looks(document).await;
            match expected {
                Err(_) => false,
                Ok(expected) => {
                    let data = found.get("data").cloned().unwrap_or(Json::Null);
                    let mut register = self.register.clone();
                    if is_invalid(&found) && !was_invalid {
                        return false;
                    }
                    found.get("errors").is_some() != (expected.errors > 0)
                        || register.difference(&expected.data, &data).is_some()
                }
            }
        };
        let first = way.request(document);
        let small = document.clone().shrunk(still_fails).await;
        let (request, small_found, expected) = looks(&small).await;
        panic!(
            "seed {}, viewer {:?}{difference}\n\n{}\n{}\n\nanswered {found}\n\nsmaller:\n{}\n{}\noperation {:?}\n\
             answered {small_found}\nexpected {expected:?}",
            self.seed,
            self.server.viewers[way.viewer].asker,
            first.query,
            first.variables,
            request.query,
            request.variables,
            request.operation,
        );
    }
}

/// Refused as a whole.
fn is_refused(found: &Json) -> bool {
    let has_data = found.get("data").is_some_and(|data| !data.is_null());
    !has_data
        && found
            .get("errors")
            .is_some_and(|errors| !errors.items().is_empty())
}

/// Refused before anything was executed.
fn is_invalid(found: &Json) -> bool {
    let errors = found.get("errors").map_or(&[][..], Json::items);
    errors.iter().any(|error| error.get("path").is_none())
}
