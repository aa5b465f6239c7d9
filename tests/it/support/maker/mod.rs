//! Random requests that are valid for the schema: made from it, so that what is added to the schema is asked for.
//!
//! Every field that takes arguments has a name of its own in the answer, unless it is mentioned once only; so no two
//! mentions contradict each other, whichever fragments they meet in.

mod arguments;
pub(crate) mod document;
mod filters;
mod selections;
pub(crate) mod shrink;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};

use async_graphql_value::Value as Literal;

use super::reference::{Reference, Register};
use document::{Document, Fragment, Operation, Variable};

/// Fields of one operation, about.
const FIELDS: usize = 45;
/// Names of operations: few, so that different texts have the same.
const NAMES: [&str; 4] = ["List", "Q", "a", "query"];

/// What requests have in common, so that later ones go on where earlier ones ended.
#[derive(Default)]
pub(crate) struct Memory {
    /// Filters by type.
    filters: BTreeMap<String, Vec<Literal>>,
    /// Every field, argument and test that was asked for, as `Type.field`, `Type.field.argument`.
    pub(crate) asked: BTreeSet<String>,
}

/// A document in the making.
pub(crate) struct Maker<'m> {
    reference: &'m Reference,
    register: &'m Register,
    memory: &'m mut Memory,
    rng: &'m mut fastrand::Rng,
    variables: Vec<Variable>,
    fragments: Vec<Fragment>,
    /// Fields with arguments that are in the answer under their own name.
    unaliased: BTreeSet<(String, String)>,
    names: usize,
    fields_left: usize,
    directives_left: usize,
    /// No variable may be used.
    is_constant: bool,
    /// `id` and `komboId` change names.
    is_swapped: bool,
}

impl<'m> Maker<'m> {
    pub(crate) fn new(
        reference: &'m Reference,
        register: &'m Register,
        memory: &'m mut Memory,
        rng: &'m mut fastrand::Rng,
    ) -> Self {
        let is_swapped = rng.u8(..20) == 0;
        Self {
            reference,
            register,
            memory,
            rng,
            variables: Vec::new(),
            fragments: Vec::new(),
            unaliased: BTreeSet::new(),
            names: 0,
            fields_left: 0,
            directives_left: 20,
            is_constant: false,
            is_swapped,
        }
    }

    /// A document of one operation, sometimes of two.
    pub(crate) fn document(mut self) -> Document {
        let mut operations = vec![self.operation()];
        if self.one_in(8) {
            // fragments with variables belong to the operation that has these
            for fragment in &mut self.fragments {
                fragment.is_shared &= fragment.is_constant;
            }
            operations.push(self.operation());
        }
        let are_several = operations.len() > 1;
        for (position, operation) in operations.iter_mut().enumerate() {
            if are_several || self.rng.bool() {
                let name = self.rng.usize(..NAMES.len() - 1) + position;
                operation.name = Some(NAMES[name].to_owned());
            }
        }
        if are_several && operations[0].name == operations[1].name {
            operations[1].name = Some("Other".to_owned());
        }
        let chosen = self.rng.usize(..operations.len());
        let mut document = Document {
            operations,
            fragments: self.fragments,
            chosen,
        };
        document.tidy();
        document
    }

    fn operation(&mut self) -> Operation {
        self.fields_left = self.rng.usize(3..FIELDS);
        let set = self.root();
        Operation {
            name: None,
            variables: std::mem::take(&mut self.variables),
            set,
        }
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.rng.u32(..chances) == 0
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())].clone()
    }

    fn fresh_name(&mut self, start: &str) -> String {
        self.names += 1;
        format!("{start}{}", self.names)
    }
}
