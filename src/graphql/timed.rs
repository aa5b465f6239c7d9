//! How long requests take, told to the metrics by the names of their operations.
//!
//! A request whose operation is known costs two looks at the clock and two additions, and no memory. It must never
//! make a name known that was not executed: anybody can write any name.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::DocumentOperations;
use async_graphql::{Request, Response};

use super::documents::{self, Known};
use super::errors::was_executed;
use crate::metrics::{Operations, Timing};

/// The time of one request.
pub(super) struct Timed {
    begun: Instant,
    whose: Whose,
}

/// Where it is counted.
enum Whose {
    /// An operation that was executed before, or has no name.
    Known(Timing),
    /// The only operation of a document.
    Only(Arc<Known>),
    /// One of several; its name.
    OneOf(String),
    /// Nobody knows what was asked for.
    Nobodys,
}

impl Timed {
    /// Begins with a request that was admitted.
    pub(super) fn begin(request: &Request, operations: &Operations) -> Self {
        Self {
            begun: Instant::now(),
            whose: whose(request, operations),
        }
    }

    /// Ends with its answer.
    pub(super) fn end(self, response: &Response, operations: &Operations) {
        let was_executed = was_executed(response);
        let timing = match self.whose {
            Whose::Known(timing) => timing,
            Whose::Only(known) if was_executed => {
                let name = only_name(&known).unwrap_or_default();
                let timing = known.timing.get_or_init(|| operations.named(name));
                timing.clone()
            }
            Whose::OneOf(name) if was_executed => operations.named(&name),
            Whose::Only(_) | Whose::OneOf(_) | Whose::Nobodys => operations.other(),
        };
        timing.observe(self.begun.elapsed());
    }
}

fn whose(request: &Request, operations: &Operations) -> Whose {
    let Some(known) = documents::known(request) else {
        return Whose::Nobodys;
    };
    if let Some(timing) = known.timing.get() {
        return Whose::Known(timing.clone());
    }
    let DocumentOperations::Multiple(several) = &known.document.operations else {
        return Whose::Known(operations.anonymous());
    };
    if several.len() == 1 {
        return Whose::Only(known.clone());
    }
    let name = request.operation_name.as_deref();
    match name.filter(|name| several.contains_key(*name)) {
        Some(name) => operations
            .known(name)
            .map_or_else(|| Whose::OneOf(name.to_owned()), Whose::Known),
        None => Whose::Nobodys,
    }
}

/// The name of a document's only operation.
fn only_name(known: &Known) -> Option<&str> {
    match &known.document.operations {
        DocumentOperations::Multiple(several) if several.len() == 1 => {
            several.keys().next().map(|name| name.as_str())
        }
        _ => None,
    }
}
