//! The values of variables: their defaults, those that an operation cannot do without, and whether each is of its type.
//!
//! The library notices an absence only where it executes, and forgets defaults in directives. A missing one is a fault of the request (section 6.1.2 of
//! the GraphQL specification): nothing is executed.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, VariableDefinition};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{Name, Positioned, Request, Value, Variables};

use super::errors::{Code, Refusal};

/// Gives the variables of the operation that would run their defaults, which the library forgets in directives, and
/// refuses a request that lacks one of a non-null type (section 6.1.2, CoerceVariableValues). Which operation that is, if
/// any, is otherwise left to execution, and so are the types of values.
pub(super) fn complete(request: &mut Request) -> Result<(), Refusal> {
    let name = request.operation_name.clone();
    let mut variables = std::mem::take(&mut request.variables);
    let completed = match request.parsed_query() {
        Ok(document) => operation(document, name.as_deref()).map_or(Ok(()), |operation| {
            let mut definitions = operation.node.variable_definitions.iter();
            definitions.try_for_each(|definition| complete_one(&mut variables, definition))
        }),
        Err(_) => Ok(()),
    };
    request.variables = variables;
    completed
}

fn complete_one(
    variables: &mut Variables,
    definition: &Positioned<VariableDefinition>,
) -> Result<(), Refusal> {
    let VariableDefinition {
        name,
        var_type,
        default_value,
        ..
    } = &definition.node;
    if !variables.contains_key(&name.node)
        && let Some(default) = default_value
    {
        variables.insert(name.node.clone(), default.node.clone());
    }
    let is_there = variables
        .get(&name.node)
        .is_some_and(|value| *value != Value::Null);
    if var_type.node.nullable || is_there {
        return Ok(());
    }
    let message = format!(
        "the variable ${} of the type {} has no value",
        name.node, var_type.node
    );
    Err(Refusal::new(Code::BadUserInput, message).at(definition.pos))
}

/// The operation that would run, if only one comes into question.
fn operation<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Option<&'d Positioned<OperationDefinition>> {
    let mut operations = document
        .operations
        .iter()
        .filter(|(known, _)| name.is_none() || known.map(Name::as_str) == name);
    let (_, operation) = operations.next()?;
    operations.next().is_none().then_some(operation)
}

/// Whether every value that is given is of the type that its variable declares, by the rules of the library's
/// validation, which looks at values where they stand in the document. Null is never sure to fit: where a default
/// takes its place, only the library can tell.
pub(super) fn fit(
    registry: &Registry,
    document: &ExecutableDocument,
    name: Option<&str>,
    variables: &Variables,
) -> bool {
    let Some(operation) = operation(document, name) else {
        return false;
    };
    let definitions = &operation.node.variable_definitions;
    variables.iter().all(|(name, value)| {
        let mut named = definitions.iter().filter(|one| one.node.name.node == *name);
        // what no operation declares is never looked at
        named.next().is_none_or(|definition| {
            *value != Value::Null
                && is_of(registry, &definition.node.var_type.node.to_string(), value)
        })
    })
}

fn is_of(registry: &Registry, ty: &str, value: &Value) -> bool {
    match MetaTypeName::create(ty) {
        MetaTypeName::NonNull(ty) => *value != Value::Null && is_of(registry, ty, value),
        MetaTypeName::List(ty) => match value {
            Value::List(items) => items.iter().all(|item| is_of(registry, ty, item)),
            Value::Null => true,
            // a single value stands for a list of it
            _ => is_of(registry, ty, value),
        },
        MetaTypeName::Named(_) if *value == Value::Null => true,
        MetaTypeName::Named(ty) => match registry.types.get(ty) {
            Some(MetaType::Scalar { is_valid, .. }) => {
                is_valid.as_ref().is_some_and(|is_valid| is_valid(value))
            }
            Some(MetaType::Enum { enum_values, .. }) => match value {
                Value::Enum(word) => enum_values.contains_key(word.as_str()),
                Value::String(word) => enum_values.contains_key(word),
                _ => false,
            },
            Some(MetaType::InputObject {
                input_fields,
                oneof: false,
                ..
            }) => match value {
                Value::Object(members) => {
                    let knows = |name: &Name| input_fields.contains_key(name.as_str());
                    members.keys().all(knows)
                        && input_fields
                            .values()
                            .all(|field| has(registry, members.get(field.name.as_str()), field))
                }
                _ => false,
            },
            _ => false,
        },
    }
}

fn has(registry: &Registry, value: Option<&Value>, field: &MetaInputValue) -> bool {
    match value {
        Some(value) => is_of(registry, &field.ty, value),
        None => !MetaTypeName::create(&field.ty).is_non_null() || field.default_value.is_some(),
    }
}
