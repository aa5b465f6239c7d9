//! The order of an answer's root members: that of the request (section 6.2.2 of the specification).
//!
//! Why: the library runs the root fields of a query at once and puts each into the answer as it completes.
//! Everything below a root field is one JSON text of Postgres and has its order already.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Selection};
use async_graphql::{Name, Request, Value};

use super::select;

/// What is needed to put the answer in order; `None` where there is at most one root field.
pub(super) struct Order {
    document: ExecutableDocument,
    operation: Option<String>,
}

impl Order {
    /// Keeps the document of a request with several root fields. Nothing is followed yet: before the
    /// library has validated it, fragments may form a cycle.
    pub(super) fn of(request: &mut Request) -> Option<Self> {
        let operation = request.operation_name.clone();
        let document = request.parsed_query().ok()?;
        let has_one_field = |items: &[async_graphql::Positioned<Selection>]| matches!(items, [only] if matches!(only.node, Selection::Field(_)));
        let is_settled = document
            .operations
            .iter()
            .all(|(_, operation)| has_one_field(&operation.node.selection_set.node.items));
        (!is_settled).then(|| Self {
            document: document.clone(),
            operation,
        })
    }

    /// Orders the members of an answer; the request was executed, so it is valid.
    pub(super) fn apply(&self, data: &mut Value) {
        let Value::Object(members) = data else {
            return;
        };
        let operation = self.document.operations.iter().find(|(name, _)| {
            self.operation.is_none() || name.map(Name::as_str) == self.operation.as_deref()
        });
        let Some((_, operation)) = operation else {
            return;
        };
        let set = &operation.node.selection_set.node;
        let roots = ["Query", "Mutation"];
        let mut ordered = IndexMap::with_capacity(members.len());
        for selected in select::fields(&self.document.fragments, &roots, &[set]) {
            if let Some((name, value)) = members.swap_remove_entry(selected.response_name) {
                ordered.insert(name, value);
            }
        }
        ordered.append(members);
        *members = ordered;
    }
}
