//! The GraphQL API: the schema put together, and requests executed.
//!
//! The way of a query: [`limits`] bound what it may ask for → async-graphql validates → [`query`] finds the root field → [`plan`] turns
//! the selection into one SQL statement → [`read`] runs it and has its answer written by a [`form`]. Nothing here knows what a
//! model means; it reads their descriptions.

mod answers;
mod binary;
mod connection;
mod documents;
mod errors;
mod events;
mod feed;
mod filter;
mod filter_sql;
mod form;
mod freshness;
mod given;
mod ids;
mod inputs;
mod life;
mod limits;
mod listing;
mod mutation;
mod nodes;
mod order;
mod page;
mod paging;
mod plan;
mod positions;
mod query;
mod read;
mod records;
mod roots;
mod safelist;
mod select;
mod status;
mod subscription;
mod summary;
mod timed;
mod types;
mod variables;
mod words;
mod written;

use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::OperationType;
use async_graphql::registry::Registry;
use async_graphql::{
    OutputType, Request, Response, SDLExportOptions, SchemaBuilder, ServerError, SubscriptionType,
    Value,
};
use futures_util::StreamExt as _;
use tracing::Span;
use tracing::field::Empty;

pub(crate) use errors::{Code, code_known, code_of, was_executed};
pub(crate) use limits::warn;
pub use safelist::DocumentId;
pub(crate) use written::copied;

use crate::auth::Viewer;
use crate::config::GraphqlSettings;
use crate::db::Reads;
use crate::metrics::Metrics;
use crate::sync::Engine;
use documents::{Documents, ValidateOnce};
use errors::Refusal;
use limits::{Full, Limits, Lines, Place};
use mutation::MutationRoot;
use order::Order;
pub use plan::Walls;
use positions::Positions;
use query::{Interfaces, QueryRoot};
use safelist::{OnlyValidate, Safelist};
use subscription::SubscriptionRoot;
use timed::Timed;

/// The executable schema; cheap to clone.
#[derive(Clone)]
pub struct Schema {
    executable: async_graphql::Schema<QueryRoot, MutationRoot, SubscriptionRoot>,
    settings: Arc<GraphqlSettings>,
    limits: Arc<Limits>,
    positions: Arc<Positions>,
    safelist: Option<Arc<Safelist>>,
    lines: Arc<Lines>,
    documents: Arc<Documents>,
    metrics: Arc<Metrics>,
    /// Where mutations make known that they wrote.
    reads: Option<Reads>,
}

impl Schema {
    /// The schema over an engine; without one it can only describe itself.
    #[must_use]
    pub fn new(engine: Option<Engine>, settings: &GraphqlSettings) -> Self {
        let mut builder = builder(settings).extension(ValidateOnce);
        let metrics = engine.as_ref().map(|engine| engine.metrics.clone());
        let metrics = metrics.unwrap_or_default();
        metrics.expect_graphql_errors(Code::ALL.iter().map(|code| code.as_str()));
        let reads = engine.as_ref().map(|engine| engine.reads.clone());
        if let Some(engine) = engine {
            builder = builder.data(engine);
        }
        Self {
            reads,
            ..Self::of(builder, settings, metrics)
        }
    }

    fn of(
        builder: SchemaBuilder<QueryRoot, MutationRoot, SubscriptionRoot>,
        settings: &GraphqlSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut registry = Registry::default();
        <QueryRoot as OutputType>::create_type_info(&mut registry);
        <MutationRoot as OutputType>::create_type_info(&mut registry);
        <SubscriptionRoot as SubscriptionType>::create_type_info(&mut registry);
        Self {
            executable: builder.finish(),
            limits: Arc::new(Limits::new(settings.clone(), &registry)),
            positions: Arc::new(Positions::new(registry)),
            safelist: settings
                .safelist
                .as_deref()
                .map(|operations| Arc::new(Safelist::new(operations))),
            lines: Lines::new(settings.concurrent),
            documents: Arc::new(Documents::new()),
            metrics,
            settings: Arc::new(settings.clone()),
            reads: None,
        }
    }

    /// What is wrong with the operations of the safelist, one sentence each: each must be valid for this schema and
    /// within the limits.
    pub async fn safelist_problems(settings: &GraphqlSettings) -> Vec<String> {
        let builder = builder(settings).extension(OnlyValidate);
        let validating = Self::of(builder, settings, Arc::default());
        let mut problems = Vec::new();
        for operation in settings.safelist.iter().flatten() {
            let mut request = Request::new(operation.body.as_str());
            // variables come with requests only
            let response = match validating.check_document(&mut request) {
                Ok(()) => validating.executable.execute_stream(request).next().await,
                Err(refusal) => Some(refusal.response()),
            };
            let errors = response.map_or_else(Vec::new, |response| response.errors);
            problems.extend(errors.into_iter().map(|error| {
                format!(
                    "GRAPHQL_SAFELIST has an operation {:?} that cannot run: {}",
                    operation.id, error.message
                )
            }));
        }
        problems
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &GraphqlSettings {
        &self.settings
    }

    /// The schema definition, as in the file `schema.graphql`.
    #[must_use]
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new()
            .sorted_enum_items()
            .include_specified_by();
        self.executable.sdl_with_options(options)
    }

    /// Checks a request before anything else is done with it, on whatever way it came: finds the document of one
    /// that only names it, and refuses what is not listed or asks for too much. Nothing touches the database.
    ///
    /// # Errors
    /// The answer to a request that may not be executed.
    pub fn admit(&self, request: &mut Request) -> Result<(), Box<Response>> {
        safelist::admit(self.safelist.as_deref(), request)
            .and_then(|()| self.check_document(request))
            .and_then(|()| variables::complete(request))
            .map_err(|refusal| {
                let refused = refusal.response();
                self.count_error(&refused);
                Box::new(refused)
            })
    }

    fn count_error(&self, response: &Response) {
        if let Some(code) = errors::code_known(response) {
            self.metrics.graphql_error(code.as_str());
        }
    }

    /// Within the limits, and with values only where they fit. What depends on the text alone is checked once.
    fn check_document(&self, request: &mut Request) -> Result<(), Refusal> {
        let known = match self.documents.get(&request.query) {
            Some(known) => {
                request.set_parsed_query(known.document.clone());
                self.limits.check_parsed(request)?;
                known
            }
            None => {
                self.limits.check(request)?;
                let text = request.query.clone();
                let document = request.parsed_query().map_err(errors::syntax)?;
                self.positions.check(document)?;
                self.documents.keep(&text, document)
            }
        };
        documents::attach(request, known, self.positions.registry());
        Ok(())
    }

    /// Executes a request for a viewer, within the limits.
    pub async fn execute(&self, mut request: Request, viewer: Viewer) -> Response {
        match self.admit(&mut request) {
            Ok(()) => self.execute_admitted(request, viewer).await,
            Err(refused) => *refused,
        }
    }

    /// Executes a request that [`Schema::admit`] let pass: waits in the viewer's line, and gives up in time.
    pub async fn execute_admitted(&self, request: Request, viewer: Viewer) -> Response {
        let timed = Timed::begin(&request, self.metrics.operations());
        let line = viewer.line();
        let answered = async {
            let place: Place = match self.lines.enter(&line).await {
                Ok(place) => place,
                Err(Full) => return too_late("too many of your requests wait already"),
            };
            let response = self.execute_at_once(request, viewer).await;
            drop(place);
            response
        };
        let limit = self.settings.timeout;
        let response = tokio::time::timeout(limit, answered)
            .await
            .unwrap_or_else(|_| too_late("the request took too long; ask for less"));
        timed.end(&response, self.metrics.operations());
        self.count_error(&response);
        response
    }

    async fn execute_at_once(&self, mut request: Request, viewer: Viewer) -> Response {
        note_operation(request.operation_name.as_deref());
        let order = Order::of(&mut request);
        let _wrote = may_write(&mut request).then(|| self.reads.clone().map(Wrote));
        let mut response = self.executable.execute(request.data(viewer)).await;
        query::forget_mentions(&mut response.data);
        errors::add_codes(&mut response);
        errors::shorten(&mut response);
        errors::propagate(&mut response);
        if let Some(order) = order {
            order.apply(&mut response.data);
        }
        if response.errors.is_empty() && response.data == Value::Null {
            // the library's answer where @skip has left no field
            response.data = Value::Object(IndexMap::default());
        }
        if let Some(code) = code_of(&response) {
            Span::current().record("graphql.error.code", code);
        }
        response
    }
}

fn may_write(request: &mut Request) -> bool {
    request.parsed_query().is_ok_and(|document| {
        let mut operations = document.operations.iter();
        operations.any(|(_, operation)| operation.node.ty == OperationType::Mutation)
    })
}

/// Makes known that something was written when it goes, also when nobody waited for the answer.
struct Wrote(Reads);

impl Drop for Wrote {
    fn drop(&mut self) {
        self.0.wrote();
    }
}

fn builder(settings: &GraphqlSettings) -> SchemaBuilder<QueryRoot, MutationRoot, SubscriptionRoot> {
    let builder = async_graphql::Schema::build(QueryRoot, MutationRoot, SubscriptionRoot)
        .register_output_type::<Interfaces>()
        .limit_recursive_depth(limits::MOST_LEVELS);
    if settings.introspection {
        builder
    } else {
        builder.disable_introspection().disable_suggestions()
    }
}

/// Names the operation in its span, where what the client sent is a name and no text of any kind.
fn note_operation(name: Option<&str>) {
    let is_name = |name: &&str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.len() <= LONGEST_NAME && name.chars().all(is_letter)
    };
    let span = Span::current();
    if let Some(name) = name.filter(is_name).filter(|_| !span.is_disabled()) {
        span.record("graphql.operation.name", name);
    }
}

/// Bytes of an operation's name that a span takes.
const LONGEST_NAME: usize = 100;

/// The span of an operation. Below what is logged by default: it costs nothing unless somebody wants it.
pub(crate) fn span() -> Span {
    tracing::debug_span!(
        "GraphQL request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.response.status_code = Empty,
        graphql.operation.name = Empty,
        graphql.error.code = Empty
    )
}

fn too_late(message: &str) -> Response {
    refused(Code::Timeout, message)
}

/// The answer to a request that a transport refuses.
pub(crate) fn refused(code: Code, message: &str) -> Response {
    Refusal::new(code, message).response()
}

/// The answer to a request that failed inside; its sender learns a request id only.
pub(crate) fn failed(cause: &anyhow::Error) -> Response {
    let error = errors::internal(cause).into_server_error(async_graphql::Pos::default());
    Response::from_errors(vec![ServerError {
        locations: Vec::new(),
        ..error
    }])
}
