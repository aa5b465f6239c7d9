//! The GraphQL API: the schema put together, and requests executed.
//!
//! The way of a query: async-graphql parses and validates → [`query`] finds the root field → [`plan`] turns
//! the selection into one SQL statement → [`read`] runs it and hands its JSON on. Nothing here knows what a
//! model means; it reads their descriptions.

mod answers;
mod connection;
mod errors;
mod events;
mod feed;
mod filter;
mod filter_sql;
mod freshness;
mod given;
mod ids;
mod inputs;
mod life;
mod listing;
mod mutation;
mod nodes;
mod order;
mod paging;
mod plan;
mod query;
mod read;
mod records;
mod roots;
mod select;
mod status;
mod summary;
mod types;
mod words;

use std::time::Duration;

use async_graphql::indexmap::IndexMap;
use async_graphql::{EmptySubscription, Request, Response, SDLExportOptions, Value};

use crate::auth::Viewer;
use crate::sync::Engine;
use errors::Code;
use mutation::MutationRoot;
use order::Order;
pub use plan::Walls;
use query::{Interfaces, QueryRoot};

/// A request that takes longer is answered with the error TIMEOUT.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Levels of a query at most: introspection by the usual tools needs 15.
const DEEPEST_QUERY: usize = 20;

/// The executable schema; cheap to clone.
#[derive(Clone)]
pub struct Schema(async_graphql::Schema<QueryRoot, MutationRoot, EmptySubscription>);

impl Schema {
    /// The schema over an engine; without one it can only describe itself.
    #[must_use]
    pub fn new(engine: Option<Engine>) -> Self {
        let mut builder = async_graphql::Schema::build(QueryRoot, MutationRoot, EmptySubscription)
            .register_output_type::<Interfaces>()
            .limit_depth(DEEPEST_QUERY);
        if let Some(engine) = engine {
            builder = builder.data(engine);
        }
        Self(builder.finish())
    }

    /// The schema definition, as in the file `schema.graphql`.
    #[must_use]
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new().sorted_enum_items();
        self.0.sdl_with_options(options)
    }

    /// Executes a request for a viewer.
    pub async fn execute(&self, mut request: Request, viewer: Viewer) -> Response {
        let order = Order::of(&mut request);
        let execution = self.0.execute(request.data(viewer));
        let Ok(mut response) = tokio::time::timeout(REQUEST_LIMIT, execution).await else {
            return errors::response(Code::Timeout, "the request took too long; ask for less");
        };
        query::forget_mentions(&mut response.data);
        errors::add_codes(&mut response);
        errors::propagate(&mut response);
        if let Some(order) = order {
            order.apply(&mut response.data);
        }
        if response.errors.is_empty() && response.data == Value::Null {
            // the library's answer where @skip has left no field
            response.data = Value::Object(IndexMap::default());
        }
        response
    }
}
