//! The operations that may run where only known ones may: named by their ids, or sent in full.
//!
//! It holds for every viewer, admins too: what nobody reviewed runs for nobody. It must never learn an operation
//! from a request, as automatic persisted queries do.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{Request, ServerError, ValidationResult, Value, async_trait};

use super::errors::{Code, Refusal};
use crate::config::SafeOperation;

/// The id of a document, where a transport has one beside the request: `documentId` or `id`.
pub struct DocumentId(pub String);

/// What the specification of persisted documents puts before a hash.
const SHA256: &str = "sha256:";

/// The operations that may run.
pub(super) struct Safelist {
    by_id: HashMap<String, String>,
    bodies: HashSet<String>,
}

impl Safelist {
    pub(super) fn new(operations: &[SafeOperation]) -> Self {
        Self {
            by_id: operations
                .iter()
                .map(|operation| (plain(&operation.id).to_owned(), operation.body.clone()))
                .collect(),
            bodies: operations
                .iter()
                .map(|operation| operation.body.clone())
                .collect(),
        }
    }

    /// Puts the document that a request asks for into it, or refuses what is not listed. A text counts more than
    /// an id beside it, which may be anything.
    fn fill(&self, request: &mut Request) -> Result<(), Refusal> {
        if !request.query.is_empty() {
            if self.bodies.contains(&request.query) {
                return Ok(());
            }
            return Err(Refusal::new(
                Code::Forbidden,
                "only operations of the safelist may run, and this text is none of them (GRAPHQL_SAFELIST)",
            ));
        }
        let id = document_id(request).ok_or_else(nothing_asked)?;
        let body = self.by_id.get(plain(&id)).ok_or_else(|| {
            Refusal::new(
                Code::Forbidden,
                "only operations of the safelist may run, and none has this id; ids are not registered by requests \
                 (GRAPHQL_SAFELIST)",
            )
        })?;
        request.query.clone_from(body);
        Ok(())
    }
}

/// Puts the document into a request that only names one; without a safelist any text may run, and no id is known.
pub(super) fn admit(safelist: Option<&Safelist>, request: &mut Request) -> Result<(), Refusal> {
    match safelist {
        Some(safelist) => safelist.fill(request),
        None if !request.query.is_empty() => Ok(()),
        // these words make Apollo's client send the text from now on
        None if document_id(request).is_some() => Err(Refusal::new(
            Code::BadUserInput,
            "PersistedQueryNotSupported",
        )),
        None => Err(nothing_asked()),
    }
}

fn nothing_asked() -> Refusal {
    Refusal::new(Code::BadUserInput, "query is missing")
}

fn plain(id: &str) -> &str {
    id.strip_prefix(SHA256).unwrap_or(id)
}

/// The id that a request names its document by: the transport's, or Apollo's in the extension `persistedQuery`.
fn document_id(request: &Request) -> Option<String> {
    let own = request.data.get(&TypeId::of::<DocumentId>());
    if let Some(DocumentId(id)) = own.and_then(|id| id.downcast_ref()) {
        return Some(id.clone());
    }
    let Value::Object(members) = request.extensions.get("persistedQuery")? else {
        return None;
    };
    let text = |name: &str| match members.get(name) {
        Some(Value::String(id)) => Some(id.clone()),
        _ => None,
    };
    text("sha256Hash").or_else(|| text("id"))
}

/// Ends a request before its execution: what is left is the library's validation.
pub(super) struct OnlyValidate;

impl ExtensionFactory for OnlyValidate {
    fn create(&self) -> std::sync::Arc<dyn Extension> {
        std::sync::Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for OnlyValidate {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        next.run(ctx).await?;
        // an end without an error, for subscriptions as well
        Err(Vec::new())
    }
}
