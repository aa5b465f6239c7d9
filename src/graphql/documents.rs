//! Documents that were asked for before: they are parsed, measured and validated once.
//!
//! Why: for a usual request these three cost several times what the rest of its execution costs. A document is
//! known by its text, and nothing of a request is kept with it: neither values, nor who asked, nor an answer. It must
//! never let pass what the library's validation would refuse. That looks at a document and at the values of its
//! variables, so the latter are looked at anew each time ([`variables::fit`]), and whatever is unusual about them is
//! left to the library.

use std::any::TypeId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::registry::Registry;
use async_graphql::{CacheControl, Request, ServerError, ValidationResult, async_trait};
use lru::LruCache;

use super::variables;
use crate::metrics::Timing;

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
    /// Where the time of its only operation is counted, once that was executed.
    pub(super) timing: OnceLock<Timing>,
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
            timing: OnceLock::new(),
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

/// The document of a request that was admitted.
pub(super) fn known(request: &Request) -> Option<&Arc<Known>> {
    let ticket = request.data.get(&TypeId::of::<Ticket>())?;
    ticket.downcast_ref::<Ticket>().map(|ticket| &ticket.known)
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

#[cfg(test)]
mod tests {
    use async_graphql::Variables;
    use serde_json::json;

    use super::super::Schema;
    use super::*;
    use crate::auth::{Scope, Viewer};
    use crate::config::GraphqlSettings;

    fn request(text: &str, variables: serde_json::Value) -> Request {
        Request::new(text).variables(Variables::from_json(variables))
    }

    /// What a schema without a database says: the first error, which is of validation or of the missing database.
    async fn said(schema: &Schema, request: Request) -> String {
        let viewer = Viewer {
            scope: Scope::Read,
            integrations: None,
            name: "a test".to_owned(),
            expires_at: None,
        };
        let answer = schema.execute(request, viewer).await;
        answer
            .errors
            .first()
            .map_or_else(String::new, |error| error.message.clone())
    }

    #[tokio::test]
    async fn a_document_that_was_valid_is_refused_with_values_that_are_not() {
        let schema = Schema::new(None, &GraphqlSettings::default());
        let text = "query ($n: Int, $w: CourseProgressionStatus, $f: UserFilter) { users(first: $n, filter: $f) \
                    { totalCount } courseProgressions(filter: { status: { eq: $w, in: [COMPLETED] } }) { totalCount } }";
        let good = [
            json!({}),
            json!({ "n": 1 }),
            json!({ "n": 1, "w": "COMPLETED", "f": { "komboId": { "eq": "a" } } }),
        ];
        let bad = [
            json!({ "n": "1" }),
            json!({ "n": 1.5 }),
            json!({ "n": [1, 2] }),
            json!({ "w": "NOWHERE" }),
            json!({ "w": 1 }),
            json!({ "f": { "nobody": {} } }),
            json!({ "f": { "komboId": { "eq": 1.5 } } }),
            json!({ "f": { "and": [null] } }),
        ];
        let fresh: Vec<String> = {
            let mut said_by_fresh = Vec::new();
            for variables in &bad {
                let schema = Schema::new(None, &GraphqlSettings::default());
                said_by_fresh.push(said(&schema, request(text, variables.clone())).await);
            }
            said_by_fresh
        };
        for _ in 0..3 {
            for variables in &good {
                let said = said(&schema, request(text, variables.clone())).await;
                assert!(said.contains("Engine"), "{variables}: {said}");
            }
            for (variables, fresh) in bad.iter().zip(&fresh) {
                let said = said(&schema, request(text, variables.clone())).await;
                assert_eq!(said, *fresh, "{variables}");
                assert!(!said.contains("Engine"), "{variables}: {said}");
            }
        }
    }

    // beside a variable without a value the library looks at nothing
    #[tokio::test]
    async fn what_was_not_looked_at_is_not_called_valid() {
        let schema = Schema::new(None, &GraphqlSettings::default());
        let text =
            "query ($id: ID) { users(filter: { komboId: { eq: $id, in: [1.5] } }) { totalCount } }";
        let fresh = said(
            &Schema::new(None, &GraphqlSettings::default()),
            request(text, json!({ "id": "a" })),
        )
        .await;
        for _ in 0..2 {
            let _ = said(&schema, request(text, json!({}))).await;
            assert_eq!(
                said(&schema, request(text, json!({ "id": "a" }))).await,
                fresh
            );
        }
    }

    #[test]
    fn documents_beyond_what_is_kept_are_forgotten() {
        let documents = Documents::new();
        let parsed = async_graphql::parser::parse_query("{ a }").unwrap();
        for number in 0..100 {
            documents.keep(&format!("{number} {}", "x".repeat(10_000)), &parsed);
        }
        documents.keep(&"y".repeat(LONGEST_KEPT + 1), &parsed);
        let kept = documents.kept();
        assert!(kept.bytes <= KEPT_BYTES);
        assert_eq!(
            kept.bytes,
            kept.by_text
                .iter()
                .map(|(text, _)| text.len())
                .sum::<usize>()
        );
        assert!(kept.by_text.iter().next().unwrap().0.starts_with("99 "));
    }
}
