//! A subscription's one root field, put where the library looks for it.
//!
//! Why: the library runs the fields that stand directly in the operation, all of them, and passes over those in
//! fragments without a word. The specification (section 5.2.3.1) allows exactly one field, wherever it stands.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Pos, Positioned, Request, ServerError};

use super::super::errors::{self, Code};
use super::super::select;

/// Fragments in fragments beyond this are a cycle, or are meant to look like one.
const DEEPEST: usize = 10;

/// Replaces the fragments at the root of subscriptions by what is in them.
///
/// # Errors
/// A subscription has not exactly one root field.
pub(super) fn put_field_at_root(request: &mut Request) -> Result<(), ServerError> {
    let mut document = request.parsed_query()?.clone();
    let fragments = document.clone();
    let operations: Vec<&mut Positioned<OperationDefinition>> = match &mut document.operations {
        DocumentOperations::Single(operation) => vec![operation],
        DocumentOperations::Multiple(operations) => operations.values_mut().collect(),
    };
    for operation in operations {
        if operation.node.ty != OperationType::Subscription {
            continue;
        }
        let pos = operation.pos;
        let set = &mut operation.node.selection_set.node;
        let mut items = Vec::new();
        flatten(&fragments, set, 0, &mut items).ok_or_else(|| not_one(pos))?;
        let mut names = items.iter().map(|item| match &item.node {
            Selection::Field(field) => field.node.response_key().node.as_str(),
            _ => "",
        });
        let first = names.next();
        if first.is_none() || names.any(|name| Some(name) != first) {
            return Err(not_one(pos));
        }
        set.items = merged(items).ok_or_else(|| not_one(pos))?;
    }
    // they could only be used at a root, and would be found unused now
    let is_of_root = |name: &str| name == "Subscription";
    document
        .fragments
        .retain(|_, fragment| !is_of_root(&fragment.node.type_condition.node.on.node));
    request.set_parsed_query(document);
    Ok(())
}

/// Takes the fields out of fragments; `None`: a fragment is unknown, under a condition, or in itself.
fn flatten(
    document: &ExecutableDocument,
    set: &SelectionSet,
    depth: usize,
    items: &mut Vec<Positioned<Selection>>,
) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    for item in &set.items {
        let (below, directives) = match &item.node {
            Selection::Field(_) => {
                items.push(item.clone());
                continue;
            }
            Selection::InlineFragment(fragment) => {
                (&fragment.node.selection_set.node, &fragment.node.directives)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
                (&fragment.node.selection_set.node, &spread.node.directives)
            }
        };
        if !directives.is_empty() {
            return None;
        }
        flatten(document, below, depth + 1, items)?;
    }
    Some(())
}

/// Mentions of one field are one field that asks for everything below them (section 5.3.2); `None`: they are not of
/// one field, or differ in their arguments.
fn merged(items: Vec<Positioned<Selection>>) -> Option<Vec<Positioned<Selection>>> {
    let mut items = items.into_iter();
    let mut first = items.next()?;
    if let Selection::Field(field) = &mut first.node {
        for item in items {
            if let Selection::Field(other) = item.node {
                if !select::is_same(&field.node, &other.node) {
                    return None;
                }
                let below = other.node.selection_set.node.items;
                field.node.selection_set.node.items.extend(below);
            }
        }
    }
    Some(vec![first])
}

fn not_one(pos: Pos) -> ServerError {
    let message = "a subscription has exactly one root field, under no condition";
    errors::error(Code::BadUserInput, message).into_server_error(pos)
}
