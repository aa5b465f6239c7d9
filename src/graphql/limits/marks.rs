//! Counts what is written in a document, wherever it stands: aliases and directives.

use async_graphql::Positioned;
use async_graphql::parser::types::{Directive, ExecutableDocument, Selection, SelectionSet};

/// What is written in a document, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) aliases: u64,
    pub(super) directives: u64,
}

/// Counts the marks of a document. It recurses as deep as brackets go, which was bounded before it was parsed.
pub(super) fn count(document: &ExecutableDocument) -> Marks {
    let mut marks = Marks::default();
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        marks.add(&operation.directives);
        for definition in &operation.variable_definitions {
            marks.add(&definition.node.directives);
        }
        marks.set(&operation.selection_set.node);
    }
    for fragment in document.fragments.values() {
        marks.add(&fragment.node.directives);
        marks.set(&fragment.node.selection_set.node);
    }
    marks
}

impl Marks {
    fn add(&mut self, directives: &[Positioned<Directive>]) {
        self.directives += u64::try_from(directives.len()).unwrap_or(u64::MAX);
    }

    fn set(&mut self, set: &SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    self.aliases += u64::from(field.node.alias.is_some());
                    self.add(&field.node.directives);
                    self.set(&field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.add(&fragment.node.directives);
                    self.set(&fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => self.add(&spread.node.directives),
            }
        }
    }
}
