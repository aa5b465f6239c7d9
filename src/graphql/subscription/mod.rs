//! The subscription root: what can be followed.
//!
//! What is new is told by [`Live`]; what is shown of it is read by the same plan as queries, one statement for
//! everything that is new at once. A follower must never cost a statement while nothing happens.

mod changes;
mod document;
mod runs;
mod source;

use std::borrow::Cow;
use std::future::ready;
use std::pin::Pin;

use async_graphql::parser::types::OperationType;
use async_graphql::registry::{MetaField, MetaType, Registry};
use async_graphql::{Context, Request, Response, ServerResult, SubscriptionType};
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Schema, errors, types};
use crate::auth::Viewer;
use crate::live::Live;

/// The type `Subscription`.
pub(super) struct SubscriptionRoot;

/// What is sent for a subscription, one response at a time.
type Responses<'a> = Pin<Box<dyn futures_util::Stream<Item = Response> + Send + 'a>>;

impl Schema {
    /// Executes any operation: a query and a mutation are answered once, a subscription as long as it is followed.
    /// A response without data whose errors name no field says that the operation has ended.
    #[must_use]
    pub fn follow(
        &self,
        mut request: Request,
        viewer: Viewer,
        live: &Live,
    ) -> BoxStream<'static, Response> {
        let refused = |response| futures_util::stream::iter([response]).boxed();
        if let Err(response) = self.admit(&mut request) {
            return refused(*response);
        }
        if !is_subscription(&mut request) {
            let schema = self.clone();
            let answer = async move { schema.execute_admitted(request, viewer).await };
            return futures_util::stream::once(answer).boxed();
        }
        if let Err(error) = document::put_field_at_root(&mut request) {
            return refused(Response::from_errors(vec![error]));
        }
        let request = request.data(viewer).data(live.clone());
        self.executable
            .execute_stream(request)
            .map(|mut response| {
                errors::add_codes(&mut response);
                errors::shorten(&mut response);
                response
            })
            .boxed()
    }
}

/// Whether the operation that would run is a subscription; what cannot be read is left to execution.
fn is_subscription(request: &mut Request) -> bool {
    let name = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else {
        return false;
    };
    document.operations.iter().any(|(known, operation)| {
        let chosen = name.is_none() || known.map(|known| known.as_str()) == name.as_deref();
        chosen && operation.node.ty == OperationType::Subscription
    })
}

impl SubscriptionType for SubscriptionRoot {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("Subscription")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_subscription_type::<Self, _>(|_| {
            let fields = [runs::field(), changes::field()];
            let mut object = types::object("Subscription", "What can be followed, live.", fields);
            if let MetaType::Object {
                is_subscription, ..
            } = &mut object
            {
                *is_subscription = true;
            }
            object
        })
    }

    fn create_field_stream<'a>(&'a self, ctx: &'a Context<'_>) -> Option<Responses<'a>> {
        match ctx.item.node.name.node.as_str() {
            runs::NAME => Some(source::responses(ctx, ready(runs::follow(ctx)))),
            changes::NAME => Some(source::responses(ctx, changes::follow(ctx))),
            _ => None,
        }
    }
}

/// A field and its arguments.
fn described(
    name: &str,
    ty: &str,
    description: &str,
    arguments: impl IntoIterator<Item = async_graphql::registry::MetaInputValue>,
) -> MetaField {
    let mut field = types::simple(name, ty, description);
    for argument in arguments {
        field.args.insert(argument.name.clone(), argument);
    }
    field
}

/// What the request brought along.
fn brought<'a, T: std::any::Any + Send + Sync>(ctx: &'a Context<'_>) -> ServerResult<&'a T> {
    ctx.data::<T>()
        .map_err(|error| error.into_server_error(ctx.item.pos))
}
