//! A document as it is made and shrunk, and its text.

use async_graphql_value::Value as Literal;
use serde_json::Value;

#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) operations: Vec<Operation>,
    pub(crate) fragments: Vec<Fragment>,
    /// The operation that is executed.
    pub(crate) chosen: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) name: Option<String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) set: Vec<Selection>,
}

#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) default: Option<Literal>,
    /// `None`: left out.
    pub(crate) given: Option<Value>,
    /// What a second request gives.
    pub(crate) other: Option<Value>,
    /// Where it may stand.
    pub(crate) place: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) name: String,
    pub(crate) on: String,
    pub(crate) set: Vec<Selection>,
    /// Objects that it was made for, about.
    pub(crate) width: usize,
    /// It has no variables.
    pub(crate) is_constant: bool,
    /// It may be spread again.
    pub(crate) is_shared: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Field(Field),
    Inline {
        on: Option<String>,
        directives: Vec<Directive>,
        set: Vec<Selection>,
    },
    Spread {
        name: String,
        directives: Vec<Directive>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) alias: Option<String>,
    pub(crate) name: String,
    pub(crate) arguments: Vec<(String, Literal)>,
    pub(crate) directives: Vec<Directive>,
    pub(crate) set: Vec<Selection>,
}

/// `@skip` or `@include`.
#[derive(Debug, Clone)]
pub(crate) struct Directive {
    pub(crate) name: &'static str,
    pub(crate) condition: Literal,
}

impl Document {
    /// The name of an operation; needed only where there are several.
    pub(crate) fn operation(&self, operation: usize) -> Option<String> {
        let name = self.operations[operation].name.clone();
        name.filter(|_| self.operations.len() > 1)
    }

    /// The values of an operation's variables.
    pub(crate) fn variables(&self, operation: usize) -> Value {
        self.values(operation, |variable| &variable.given)
    }

    /// Other values of them.
    pub(crate) fn other_variables(&self, operation: usize) -> Value {
        self.values(operation, |variable| &variable.other)
    }

    fn values(&self, operation: usize, value: impl Fn(&Variable) -> &Option<Value>) -> Value {
        let variables = self.operations[operation].variables.iter();
        let values = variables
            .filter_map(|variable| Some((variable.name.clone(), value(variable).clone()?)));
        Value::Object(values.collect())
    }

    /// The text, in the usual form.
    pub(crate) fn text(&self) -> String {
        self.tokens().join(" ")
    }

    /// The same with whatever may stand between two tokens.
    pub(crate) fn odd_text(&self, rng: &mut fastrand::Rng) -> String {
        const BETWEEN: [&str; 7] = [" ", "\n", "  ", "\t", ", ", "\r\n", " # } comment {\n"];
        let mut text = String::new();
        for token in self.tokens() {
            text.push_str(&token);
            text.push_str(BETWEEN[rng.usize(..BETWEEN.len())]);
        }
        text
    }

    fn tokens(&self) -> Vec<String> {
        let mut tokens = Vec::new();
        for operation in &self.operations {
            if operation.name.is_some() || !operation.variables.is_empty() {
                tokens.push("query".to_owned());
            }
            tokens.extend(operation.name.clone());
            if !operation.variables.is_empty() {
                tokens.push("(".to_owned());
                for variable in &operation.variables {
                    let Variable { name, ty, .. } = variable;
                    tokens.extend([format!("${name}"), ":".to_owned(), ty.clone()]);
                    if let Some(default) = &variable.default {
                        tokens.extend(["=".to_owned(), literal(default)]);
                    }
                }
                tokens.push(")".to_owned());
            }
            push_set(&operation.set, &mut tokens);
        }
        for fragment in &self.fragments {
            tokens.extend(["fragment".to_owned(), fragment.name.clone()]);
            tokens.push(format!("on {}", fragment.on));
            push_set(&fragment.set, &mut tokens);
        }
        tokens
    }

    /// Drops fragments and variables that nothing uses any more: they are not allowed.
    pub(crate) fn tidy(&mut self) {
        loop {
            let all: Vec<String> = self.tokens();
            let is_spread =
                |name: &str| all.windows(2).any(|two| two[0] == "..." && two[1] == name);
            let before = self.fragments.len();
            self.fragments.retain(|fragment| is_spread(&fragment.name));
            if self.fragments.len() == before {
                break;
            }
        }
        for position in 0..self.operations.len() {
            let mut used = Vec::new();
            push_set(&self.operations[position].set, &mut used);
            let mut looked_at = 0;
            while looked_at < used.len() {
                let name = used[looked_at].clone();
                looked_at += 1;
                let is_spread = looked_at >= 2 && used[looked_at - 2] == "...";
                let mut fragments = self.fragments.iter();
                // a fragment that is spread twice is looked at twice: fragments are few and never spread themselves
                if let Some(fragment) = fragments.find(|one| is_spread && one.name == name) {
                    push_set(&fragment.set, &mut used);
                }
            }
            let is_used = |name: &str| used.iter().any(|token| names(token, name));
            let operation = &mut self.operations[position];
            operation
                .variables
                .retain(|variable| is_used(&variable.name));
        }
    }
}

/// Whether a token names a variable.
fn names(token: &str, variable: &str) -> bool {
    token.split('$').skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())] == variable
    })
}

fn push_set(set: &[Selection], tokens: &mut Vec<String>) {
    tokens.push("{".to_owned());
    for selection in set {
        match selection {
            Selection::Field(field) => push_field(field, tokens),
            Selection::Inline {
                on,
                directives,
                set,
            } => {
                tokens.push("...".to_owned());
                // one token, since the parser takes nothing but white space after `on`
                tokens.extend(on.as_ref().map(|on| format!("on {on}")));
                push_directives(directives, tokens);
                push_set(set, tokens);
            }
            Selection::Spread { name, directives } => {
                tokens.extend(["...".to_owned(), name.clone()]);
                push_directives(directives, tokens);
            }
        }
    }
    tokens.push("}".to_owned());
}

fn push_field(field: &Field, tokens: &mut Vec<String>) {
    if let Some(alias) = &field.alias {
        tokens.extend([alias.clone(), ":".to_owned()]);
    }
    tokens.push(field.name.clone());
    if !field.arguments.is_empty() {
        tokens.push("(".to_owned());
        for (name, value) in &field.arguments {
            tokens.extend([name.clone(), ":".to_owned(), literal(value)]);
        }
        tokens.push(")".to_owned());
    }
    push_directives(&field.directives, tokens);
    if !field.set.is_empty() {
        push_set(&field.set, tokens);
    }
}

fn push_directives(directives: &[Directive], tokens: &mut Vec<String>) {
    for Directive { name, condition } in directives {
        tokens.extend([format!("@{name}"), format!("(if: {})", literal(condition))]);
    }
}

/// The text of a literal.
fn literal(value: &Literal) -> String {
    match value {
        // a text of GraphQL is one of JSON
        Literal::String(text) => Value::from(text.as_str()).to_string(),
        Literal::List(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Literal::Object(members) => {
            let members = members.iter();
            let members: Vec<String> = members
                .map(|(name, value)| format!("{name}: {}", literal(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
