//! Variables that an operation cannot do without: the library notices their absence only where it executes.
//!
//! A missing one is a fault of the request (section 6.1.2 of the GraphQL specification): nothing is executed.

use async_graphql::{Request, Value};

use super::errors::{Code, Refusal};

/// Refuses a request whose operation lacks a variable of a non-null type. Which operation that is, if any, is
/// otherwise left to execution, and so are the types of values.
pub(super) fn check(request: &mut Request) -> Result<(), Refusal> {
    let name = request.operation_name.clone();
    let variables = std::mem::take(&mut request.variables);
    let missing = request.parsed_query().ok().and_then(|document| {
        let mut operations = document.operations.iter().filter(|(known, _)| {
            name.is_none() || known.map(|known| known.as_str()) == name.as_deref()
        });
        let (_, operation) = operations.next()?;
        if operations.next().is_some() {
            return None;
        }
        let mut definitions = operation.node.variable_definitions.iter();
        definitions.find_map(|definition| {
            let definition_node = &definition.node;
            let ty = &definition_node.var_type.node;
            let is_there = match variables.get(&definition_node.name.node) {
                Some(value) => *value != Value::Null,
                None => definition_node.default_value.is_some(),
            };
            let name = &definition_node.name.node;
            (!ty.nullable && !is_there).then(|| {
                let message = format!("the variable ${name} of the type {ty} has no value");
                Refusal::new(Code::BadUserInput, message).at(definition.pos)
            })
        })
    });
    request.variables = variables;
    missing.map_or(Ok(()), Err)
}
