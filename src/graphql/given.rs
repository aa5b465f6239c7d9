//! An argument as the client gave it, with variables put in.
//!
//! The library puts null where a variable was left out; by the specification (section 6.4.1, CoerceArgumentValues)
//! such a member is not there at all, and `{ status: { eq: $status } }` without `$status` filters nothing.

use async_graphql::parser::types::VariableDefinition;
use async_graphql::{Name, Positioned, Value, Variables};
use async_graphql_value::Value as Literal;

/// What a literal stands for; `None`: a variable that was left out.
pub(super) fn resolve(
    literal: &Literal,
    definitions: &[Positioned<VariableDefinition>],
    variables: &Variables,
) -> Option<Value> {
    let below = |literal: &Literal| resolve(literal, definitions, variables);
    Some(match literal {
        Literal::Variable(name) => return variable(name, definitions, variables),
        Literal::List(items) => Value::List(
            items
                .iter()
                .map(|item| below(item).unwrap_or(Value::Null))
                .collect(),
        ),
        Literal::Object(members) => Value::Object(
            members
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), below(value)?)))
                .collect(),
        ),
        Literal::Null => Value::Null,
        Literal::Number(number) => Value::Number(number.clone()),
        Literal::String(text) => Value::String(text.clone()),
        Literal::Boolean(boolean) => Value::Boolean(*boolean),
        Literal::Binary(bytes) => Value::Binary(bytes.clone()),
        Literal::Enum(word) => Value::Enum(word.clone()),
    })
}

fn variable(
    name: &Name,
    definitions: &[Positioned<VariableDefinition>],
    variables: &Variables,
) -> Option<Value> {
    let definition = definitions.iter().find(|one| one.node.name.node == *name)?;
    variables
        .get(name)
        .or_else(|| {
            definition
                .node
                .default_value
                .as_ref()
                .map(|value| &value.node)
        })
        .cloned()
}
