//! How long a list may be, by the arguments of its field: literals, or variables with their defaults.
//!
//! A page outside the limits is refused here, before anything is executed: of several root fields none would be
//! read in vain (F68).

use async_graphql::parser::types::{Field, OperationDefinition};
use async_graphql::{Positioned, Value, Variables};

use super::super::errors::{Code, Refusal};
use super::super::paging::{DEFAULT_PAGE, LARGEST_PAGE};

/// Records of a page that is not asked for by number.
pub(super) const DEFAULT: u64 = DEFAULT_PAGE as u64;

/// Records of a field's page at most.
pub(super) fn size(
    field: &Positioned<Field>,
    operation: Option<&OperationDefinition>,
    variables: &Variables,
) -> Result<u64, Refusal> {
    let mut size = None;
    for name in ["first", "last"] {
        let Some(Value::Number(given)) = argument(field, name, operation, variables) else {
            continue;
        };
        // what is no whole number at all is for validation to refuse
        let records = given.as_i64().map(i128::from);
        let Some(records) = records.or(given.as_u64().map(i128::from)) else {
            continue;
        };
        if !(0..=i128::from(LARGEST_PAGE)).contains(&records) {
            let message = format!("{name} must be from 0 to {LARGEST_PAGE}, not {records}");
            return Err(Refusal::new(Code::BadUserInput, message).at(field.pos));
        }
        size = size.max(u64::try_from(records).ok());
    }
    Ok(size.unwrap_or(DEFAULT))
}

/// How many ids a field is given; what is no list yet counts one.
pub(super) fn ids(
    field: &Positioned<Field>,
    operation: Option<&OperationDefinition>,
    variables: &Variables,
) -> u64 {
    match argument(field, "ids", operation, variables) {
        Some(Value::List(ids)) => u64::try_from(ids.len()).unwrap_or(u64::MAX),
        _ => 1,
    }
}

/// An argument's value; `None` where it is not given, or names a variable without a value.
fn argument(
    field: &Positioned<Field>,
    name: &str,
    operation: Option<&OperationDefinition>,
    variables: &Variables,
) -> Option<Value> {
    let default = |name| {
        let definitions = operation?.variable_definitions.iter();
        let mut definitions = definitions.filter(|definition| definition.node.name.node == name);
        Some(
            definitions
                .next()?
                .node
                .default_value
                .as_ref()?
                .node
                .clone(),
        )
    };
    let value = field.node.get_argument(name)?.node.clone();
    value
        .into_const_with(|name| {
            variables
                .get(&name)
                .cloned()
                .or_else(|| default(name))
                .ok_or(())
        })
        .ok()
}
