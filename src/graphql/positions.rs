//! Variables only where their type fits (section 5.8.5 of the GraphQL specification), and no text for a word of an
//! enum (section 3.9).
//!
//! Why here: the library has the first rule, and never hands it a value to look at; the second it leaves out, since
//! a variable's word is a text. It runs on a document that the limits have let pass, follows every fragment once for
//! an operation, and leaves what does not exist to validation.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, OperationType, Selection, SelectionSet, VariableDefinition,
};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{Pos, Positioned, Value};
use async_graphql_value::Value as Literal;

use super::errors::{Code, Refusal};

/// What the rule must know of the schema.
pub(super) struct Positions(Arc<Registry>);

impl Positions {
    pub(super) fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// The schema.
    pub(super) fn registry(&self) -> &Registry {
        &self.0
    }

    /// Refuses a document with a value that does not fit where it stands.
    pub(super) fn check(&self, document: &ExecutableDocument) -> Result<(), Refusal> {
        for (_, operation) in document.operations.iter() {
            let operation = &operation.node;
            let mut walk = Walk {
                registry: &self.0,
                document,
                variables: &operation.variable_definitions,
                seen: HashSet::new(),
            };
            let root = match operation.ty {
                OperationType::Query => "Query",
                OperationType::Mutation => "Mutation",
                OperationType::Subscription => "Subscription",
            };
            walk.directives(&operation.directives)?;
            walk.set(root, &operation.selection_set.node)?;
        }
        Ok(())
    }
}

struct Walk<'d> {
    registry: &'d Registry,
    document: &'d ExecutableDocument,
    variables: &'d [Positioned<VariableDefinition>],
    /// Fragments that were walked already.
    seen: HashSet<&'d str>,
}

impl<'d> Walk<'d> {
    fn set(&mut self, ty: &str, set: &'d SelectionSet) -> Result<(), Refusal> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    self.directives(&field.node.directives)?;
                    let meta = self.registry.types.get(ty);
                    let meta = meta.and_then(|ty| ty.field_by_name(&field.node.name.node));
                    let Some(meta) = meta else { continue };
                    for (name, value) in &field.node.arguments {
                        if let Some(argument) = meta.args.get(name.node.as_str()) {
                            self.value(&value.node, value.pos, argument)?;
                        }
                    }
                    let below = MetaTypeName::concrete_typename(&meta.ty);
                    self.set(below, &field.node.selection_set.node)?;
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.node.directives)?;
                    let condition = fragment.node.type_condition.as_ref();
                    let ty = condition.map_or(ty, |condition| condition.node.on.node.as_str());
                    self.set(ty, &fragment.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives)?;
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.seen.insert(name)
                    {
                        let ty = fragment.node.type_condition.node.on.node.as_str();
                        self.set(ty, &fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Of `@skip` and `@include`, the only ones that a request can use.
    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<(), Refusal> {
        let mut arguments = directives.iter().flat_map(|one| &one.node.arguments);
        arguments.try_for_each(|(name, value)| match name.node.as_str() {
            "if" => self.typed(&value.node, value.pos, "Boolean!", false),
            _ => Ok(()),
        })
    }

    fn value(&self, value: &Literal, at: Pos, place: &MetaInputValue) -> Result<(), Refusal> {
        let has_default = place.default_value.is_some();
        self.typed(value, at, &place.ty, has_default)
    }

    fn typed(&self, value: &Literal, at: Pos, ty: &str, has_default: bool) -> Result<(), Refusal> {
        match value {
            Literal::Variable(name) => {
                let definition = self
                    .variables
                    .iter()
                    .find(|one| one.node.name.node == *name);
                let Some(definition) = definition else {
                    return Ok(());
                };
                let given = definition.node.var_type.node.to_string();
                let default = definition.node.default_value.as_ref();
                let is_never_null = default.is_some_and(|default| default.node != Value::Null);
                if fits(&given, ty, has_default || is_never_null) {
                    return Ok(());
                }
                let message = format!(
                    "the variable ${name} of the type {given} stands where {ty} is expected"
                );
                Err(Refusal::new(Code::BadUserInput, message).at(at))
            }
            Literal::List(items) => {
                let of = without(ty, '!')
                    .strip_prefix('[')
                    .and_then(|of| of.strip_suffix(']'));
                let of = of.unwrap_or(ty);
                items
                    .iter()
                    .try_for_each(|item| self.typed(item, at, of, false))
            }
            Literal::Object(members) => {
                let ty = self.registry.types.get(MetaTypeName::concrete_typename(ty));
                let Some(MetaType::InputObject { input_fields, .. }) = ty else {
                    return Ok(());
                };
                members
                    .iter()
                    .try_for_each(|(name, value)| match input_fields.get(name.as_str()) {
                        Some(place) => self.value(value, at, place),
                        None => Ok(()),
                    })
            }
            Literal::String(_) if self.is_enum(ty) => {
                let message =
                    format!("a text stands where a word of {ty} is expected; leave out the quotes");
                Err(Refusal::new(Code::BadUserInput, message).at(at))
            }
            _ => Ok(()),
        }
    }

    fn is_enum(&self, ty: &str) -> bool {
        let ty = self.registry.types.get(MetaTypeName::concrete_typename(ty));
        matches!(ty, Some(MetaType::Enum { .. }))
    }
}

fn without(ty: &str, mark: char) -> &str {
    ty.strip_suffix(mark).unwrap_or(ty)
}

/// Whether a variable of the type `given` may stand where `expected` is; `has_value`: a default takes the place of
/// what is not given.
fn fits(given: &str, expected: &str, has_value: bool) -> bool {
    match (given.strip_suffix('!'), expected.strip_suffix('!')) {
        (None, Some(expected)) => has_value && is_compatible(given, expected),
        _ => is_compatible(given, expected),
    }
}

fn is_compatible(given: &str, expected: &str) -> bool {
    fn of(ty: &str) -> Option<&str> {
        ty.strip_prefix('[')?.strip_suffix(']')
    }
    match (given.strip_suffix('!'), expected.strip_suffix('!')) {
        (Some(given), Some(expected)) => is_compatible(given, expected),
        (None, Some(_)) => false,
        (Some(given), None) => is_compatible(given, expected),
        (None, None) => match (of(given), of(expected)) {
            (Some(given), Some(expected)) => is_compatible(given, expected),
            (None, None) => given == expected,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // the table of section 5.8.5
    #[test]
    fn a_variable_fits_where_it_can_never_be_less_than_expected() {
        for (given, expected, has_value, is_fine) in [
            ("Int", "Int", false, true),
            ("Int!", "Int", false, true),
            ("Int", "Int!", false, false),
            ("Int", "Int!", true, true),
            ("String", "Int", true, false),
            ("[ID!]!", "[ID!]!", false, true),
            ("[ID!]!", "[ID]", false, true),
            ("[ID]", "[ID!]", true, false),
            ("[ID]!", "[ID!]!", false, false),
            ("ID", "[ID]", false, false),
            ("[ID]", "ID", false, false),
        ] {
            assert_eq!(
                fits(given, expected, has_value),
                is_fine,
                "{given} for {expected}"
            );
        }
    }
}
