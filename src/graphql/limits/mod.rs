//! What a request may ask for: checked on its text and its tree, before validation, execution or any SQL.
//!
//! The check must never cost more than what it saves: the text is read once by [`tokens`], the tree is walked once
//! by [`walk`]. Some bounds protect the process itself, its stack above all, and hold whatever the settings say;
//! the rest are settings, each of which may only warn.

mod index;
mod line;
mod marks;
mod pages;
#[cfg(test)]
mod tests;
mod tokens;
mod walk;

use async_graphql::registry::Registry;
use async_graphql::{Request, Value, Variables};

pub(super) use line::{Full, Lines, Place};
pub(super) use walk::MOST_LEVELS;

use super::errors::{self, Code, Refusal};
use crate::config::{GraphqlSettings, Limit};

/// Lists and objects within each other in a variable at most. No setting lifts it: reading them recurses.
const DEEPEST_VALUE: usize = 32;

/// The limits, and what the walk knows of the schema.
pub(super) struct Limits {
    settings: GraphqlSettings,
    index: index::Index,
}

impl Limits {
    pub(super) fn new(settings: GraphqlSettings, registry: &Registry) -> Self {
        Self {
            settings,
            index: index::Index::of(registry),
        }
    }

    /// Checks a request, and leaves it parsed.
    pub(super) fn check(&self, request: &mut Request) -> Result<(), Refusal> {
        self.check_tokens(&request.query)?;
        self.check_parsed(request)
    }

    /// Checks a request whose text was checked before.
    pub(super) fn check_parsed(&self, request: &mut Request) -> Result<(), Refusal> {
        check_depth_of(&request.variables)?;
        let operation_name = request.operation_name.clone();
        let variables = std::mem::take(&mut request.variables);
        let checked = self.check_document(request, &variables, operation_name.as_deref());
        request.variables = variables;
        checked
    }

    fn check_tokens(&self, source: &str) -> Result<(), Refusal> {
        let limit = self.settings.tokens;
        // what only warns is counted to its end
        let most = if limit.only_warns {
            usize::MAX
        } else {
            limit.most
        };
        let refuse = |message: String| Err(Refusal::too_complex(message));
        match tokens::count(source, most) {
            tokens::Counted::Tokens(measured) if measured <= limit.most => Ok(()),
            tokens::Counted::Tokens(measured) => {
                warn("GRAPHQL_MAX_TOKENS", measured, limit.most, None);
                Ok(())
            }
            tokens::Counted::TooMany => refuse(format!(
                "the document has more than {most} tokens (GRAPHQL_MAX_TOKENS)"
            )),
            tokens::Counted::TooDeep => refuse(format!(
                "the document has brackets within more than {} others",
                tokens::MOST_NESTED
            )),
            tokens::Counted::NameTooLong => refuse(format!(
                "the document has a name of more than {} characters",
                tokens::LONGEST_NAME
            )),
            tokens::Counted::Unterminated => Err(Refusal::new(
                Code::BadUserInput,
                "syntax error: a block string has no end",
            )),
        }
    }

    fn check_document(
        &self,
        request: &mut Request,
        variables: &Variables,
        operation_name: Option<&str>,
    ) -> Result<(), Refusal> {
        let document = request.parsed_query().map_err(errors::syntax)?;
        let settings = &self.settings;
        let marks = marks::count(document);
        let measured = walk::measure(&self.index, document, variables, settings.introspection)?;
        // a name that is no operation's may be any text, which the log shall not repeat
        let operation_name = operation_name.filter(|name| {
            let mut names = document.operations.iter();
            names.any(|(known, _)| known.is_some_and(|known| known == name))
        });
        for (what, name, limit, measured) in [
            (
                "levels",
                "GRAPHQL_MAX_DEPTH",
                settings.depth,
                measured.depth,
            ),
            (
                "root fields",
                "GRAPHQL_MAX_ROOT_FIELDS",
                settings.root_fields,
                measured.root_fields,
            ),
            (
                "aliases",
                "GRAPHQL_MAX_ALIASES",
                settings.aliases,
                marks.aliases,
            ),
            (
                "directives",
                "GRAPHQL_MAX_DIRECTIVES",
                settings.directives,
                marks.directives,
            ),
            (
                "values, if every page is full",
                "GRAPHQL_MAX_COMPLEXITY",
                settings.complexity,
                measured.complexity,
            ),
        ] {
            within(what, name, limit, measured, operation_name)?;
        }
        Ok(())
    }
}

fn within(
    what: &str,
    name: &'static str,
    limit: Limit,
    measured: u64,
    operation_name: Option<&str>,
) -> Result<(), Refusal> {
    let measured = usize::try_from(measured).unwrap_or(usize::MAX);
    if measured <= limit.most {
        return Ok(());
    }
    if limit.only_warns {
        warn(name, measured, limit.most, operation_name);
        return Ok(());
    }
    let most = limit.most;
    let message = format!("the request asks for {measured} {what}; {most} are allowed ({name})");
    Err(Refusal::too_complex(message))
}

/// Logs what a limit would have refused: numbers and an operation's name, no contents.
pub(crate) fn warn(limit: &'static str, measured: usize, most: usize, operation: Option<&str>) {
    tracing::warn!(
        limit,
        measured,
        most,
        operation,
        "a GraphQL request is over a limit that only warns"
    );
}

/// Refuses variables that are nested deeper than anything that this schema takes.
fn check_depth_of(variables: &Variables) -> Result<(), Refusal> {
    let mut level: Vec<&Value> = variables.values().collect();
    for _ in 0..DEEPEST_VALUE {
        level = level.into_iter().flat_map(members).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    let message = format!("the variables are nested deeper than {DEEPEST_VALUE} levels");
    Err(Refusal::too_complex(message))
}

fn members(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::List(values) => Box::new(values.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}
