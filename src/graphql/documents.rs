//! Documents that were asked for before: they are parsed, measured and validated once.
//!
//! Why: for a usual request these three cost several times what the rest of its execution costs. A document is
//! known by its text, and nothing of a request is kept with it: neither values, nor who asked, nor an answer. It must
//! never let pass what the library's validation would refuse. That looks at a document and at the values of its
//! variables, so the latter are looked at anew each time ([`variables::fit`]), and whatever is unusual about them is
//! left to the library.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::registry::Registry;
use async_graphql::{CacheControl, Request, ServerError, ValidationResult, async_trait};
use lru::LruCache;

use super::variables;

/// Bytes of the kept documents' texts at most; parsed they take some thirty times as much.
const KEPT_BYTES: usize = 256 * 1024;
/// A document of more bytes is not kept.
const LONGEST_KEPT: usize = KEPT_BYTES / 8;
/// Ways of one document to be asked for (which operation, which variables) that are known to be valid at most.
const MOST_WAYS: usize = 16;

/// The documents that were asked for last.
pub(super) struct Documents(Mutex<Kept>);

struct Kept {
    by_text: LruCache<String, Arc<Known>>,
    bytes: usize,
}

/// A document that is within the limits of every request and has its values where they fit.
pub(super) struct Known {
    pub(super) document: ExecutableDocument,
    valid: Mutex<HashSet<Way>>,
}

/// How a document is asked for: the operation's name, and the variables that have a value. A value that is left out
/// keeps the library from looking at what is beside it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Way {
    operation_name: Option<String>,
    variables: Vec<String>,
}

impl Documents {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Kept {
            by_text: LruCache::unbounded(),
            bytes: 0,
        }))
    }

    /// The document of a text.
    pub(super) fn get(&self, text: &str) -> Option<Arc<Known>> {
        self.kept().by_text.get(text).cloned()
    }

    /// Keeps a document that every request may ask for.
    pub(super) fn keep(&self, text: &str, document: &ExecutableDocument) -> Arc<Known> {
        let known = Arc::new(Known {
            document: document.clone(),
            valid: Mutex::default(),
        });
        if text.len() <= LONGEST_KEPT {
            self.kept().put(text, known.clone());
        }
        known
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // whoever panicked has at most not counted a document
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, text: &str, known: Arc<Known>) {
        if self.by_text.put(text.to_owned(), known).is_none() {
            self.bytes += text.len();
        }
        while self.bytes > KEPT_BYTES {
            let Some((text, _)) = self.by_text.pop_lru() else {
                break;
            };
            self.bytes -= text.len();
        }
    }
}

/// What travels with a request to the library's validation.
struct Ticket {
    known: Arc<Known>,
    way: Way,
    /// The values are such that what was valid before is valid now.
    fits: bool,
}

/// Lets a request go without validation where its document was valid before.
pub(super) fn attach(request: &mut Request, known: Arc<Known>, registry: &Registry) {
    let way = Way {
        operation_name: request.operation_name.clone(),
        variables: request.variables.keys().map(ToString::to_string).collect(),
    };
    let name = way.operation_name.as_deref();
    let fits = variables::fit(registry, &known.document, name, &request.variables);
    request.data.insert(Ticket { known, way, fits });
}

impl Ticket {
    fn is_valid(&self) -> bool {
        self.fits && self.ways().contains(&self.way)
    }

    fn remember(&self) {
        let mut ways = self.ways();
        if ways.len() < MOST_WAYS {
            ways.insert(self.way.clone());
        }
    }

    fn ways(&self) -> std::sync::MutexGuard<'_, HashSet<Way>> {
        let valid = &self.known.valid;
        valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Validates what was not valid before.
pub(super) struct ValidateOnce;

impl ExtensionFactory for ValidateOnce {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for ValidateOnce {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let ticket = ctx.data_opt::<Ticket>();
        if ticket.is_some_and(Ticket::is_valid) {
            // this server sets no cache hints, and measures by itself
            return Ok(ValidationResult {
                cache_control: CacheControl::default(),
                complexity: 0,
                depth: 0,
            });
        }
        let validated = next.run(ctx).await?;
        if let Some(ticket) = ticket {
            ticket.remember();
        }
        Ok(validated)
    }
}
