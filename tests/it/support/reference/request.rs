//! Variables and arguments, by sections 6.1.2 and 6.4.1 of the GraphQL specification.

use std::collections::BTreeMap;

use async_graphql::parser::types::{Directive, OperationDefinition};
use async_graphql::{Name, Positioned, Value};
use async_graphql_value::Value as Literal;

use super::{Outcome, Trouble};

/// The variables that have a value.
pub(crate) type Variables = BTreeMap<Name, Value>;

/// Values for an operation's variables.
pub(super) fn variables(
    operation: &OperationDefinition,
    given: &serde_json::Value,
) -> Outcome<Variables> {
    let mut variables = Variables::new();
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        let value = match (given.get(name.as_str()), &definition.default_value) {
            (Some(value), _) => Value::from_json(value.clone()).map_err(|_| Trouble::Refused)?,
            (None, Some(default)) => default.node.clone(),
            (None, None) if definition.var_type.node.nullable => continue,
            (None, None) => return Err(Trouble::Refused),
        };
        if value == Value::Null && !definition.var_type.node.nullable {
            return Err(Trouble::Refused);
        }
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

/// What a literal stands for; `None`: a variable without a value.
pub(crate) fn value(literal: &Literal, variables: &Variables) -> Option<Value> {
    Some(match literal {
        Literal::Variable(name) => return variables.get(name).cloned(),
        Literal::List(items) => {
            let items = items.iter();
            let items = items.map(|item| value(item, variables).unwrap_or(Value::Null));
            Value::List(items.collect())
        }
        Literal::Object(members) => {
            let members = members.iter();
            let members =
                members.filter_map(|(name, one)| Some((name.clone(), value(one, variables)?)));
            Value::Object(members.collect())
        }
        other => other.clone().into_const().unwrap_or_default(),
    })
}

/// Whether `@skip` and `@include` leave a selection.
pub(super) fn is_included(
    directives: &[Positioned<Directive>],
    variables: &Variables,
) -> Outcome<bool> {
    for directive in directives {
        let condition = directive.node.get_argument("if");
        let condition = condition.and_then(|condition| value(&condition.node, variables));
        let Some(Value::Boolean(condition)) = condition else {
            return Err(Trouble::Refused);
        };
        if condition == (directive.node.name.node == "skip") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Arguments that have a value, defaults among them.
pub(super) struct Arguments(pub(super) BTreeMap<String, Value>);

impl Arguments {
    /// What was given; null is like nothing.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let value = self.0.get(name)?;
        (*value != Value::Null).then_some(value)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(text)
    }

    pub(super) fn number(&self, name: &str) -> Outcome<Option<i64>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().ok_or(Trouble::Refused).map(Some),
            Some(_) => Err(Trouble::Refused),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Boolean(true))
    }

    /// A list; a single value stands for a list of it.
    pub(super) fn list(&self, name: &str) -> Vec<Value> {
        self.get(name).map_or_else(Vec::new, each)
    }
}

/// A value as a list; a single one stands for a list of it.
pub(super) fn each(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.clone(),
        single => vec![single.clone()],
    }
}

/// A text, a word or an id; an id may be given as a number.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Enum(word) => word.to_string(),
        other => other.to_string(),
    }
}
