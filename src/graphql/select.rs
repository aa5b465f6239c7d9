//! Reading a selection: which fields of a type are asked for, under which names.
//!
//! Fragments are followed, and fields with one response name are merged, as the GraphQL specification
//! says (section 6.3.2, CollectFields). `@skip` and `@include` were applied by the library before.

use std::collections::HashMap;

use async_graphql::parser::types::{Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned};

/// A field that is asked for.
pub(super) struct Selected<'q> {
    /// The name in the answer: the alias, or the field's own.
    pub(super) response_name: &'q str,
    /// The first mention.
    pub(super) field: &'q Positioned<Field>,
    /// A mention that asks for something else under the same name. The library sees those of one selection set only.
    pub(super) contradicted_by: Option<&'q Positioned<Field>>,
    /// What is asked for below, of all mentions.
    pub(super) below: Vec<&'q SelectionSet>,
}

impl Selected<'_> {
    /// The field's name in the schema.
    pub(super) fn name(&self) -> &str {
        &self.field.node.name.node
    }
}

/// The fragments of the document.
pub(super) type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The fields that `sets` ask of a type that answers to `type_names` (its own name and its interfaces), in
/// the order of the answer.
pub(super) fn fields<'q>(
    fragments: &'q Fragments,
    type_names: &[&str],
    sets: &[&'q SelectionSet],
) -> Vec<Selected<'q>> {
    let mut selected = Vec::new();
    for set in sets {
        collect(fragments, type_names, set, &mut selected);
    }
    selected
}

fn collect<'q>(
    fragments: &'q Fragments,
    type_names: &[&str],
    set: &'q SelectionSet,
    selected: &mut Vec<Selected<'q>>,
) {
    let applies = |condition: &Name| type_names.contains(&condition.as_str());
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => add(field, selected),
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                if condition.is_none_or(|condition| applies(&condition.node.on.node)) {
                    let below = &fragment.node.selection_set.node;
                    collect(fragments, type_names, below, selected);
                }
            }
            Selection::FragmentSpread(spread) => {
                let fragment = fragments.get(&spread.node.fragment_name.node);
                if let Some(fragment) = fragment
                    && applies(&fragment.node.type_condition.node.on.node)
                {
                    let below = &fragment.node.selection_set.node;
                    collect(fragments, type_names, below, selected);
                }
            }
        }
    }
}

fn add<'q>(field: &'q Positioned<Field>, selected: &mut Vec<Selected<'q>>) {
    let response_name = field.node.response_key().node.as_str();
    let below = &field.node.selection_set.node;
    let known = selected
        .iter_mut()
        .find(|known| known.response_name == response_name);
    match known {
        Some(known) => {
            known.below.push(below);
            if !is_same(&known.field.node, &field.node) {
                known.contradicted_by = Some(field);
            }
        }
        None => selected.push(Selected {
            response_name,
            field,
            contradicted_by: None,
            below: vec![below],
        }),
    }
}

/// Whether two mentions ask for the same: section 5.3.2 of the specification.
pub(super) fn is_same(one: &Field, other: &Field) -> bool {
    one.name.node == other.name.node
        && one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| {
            let given = other.get_argument(&name.node);
            given.is_some_and(|given| given.node == value.node)
        })
}
