//! Documents that are wrong in one place.

use async_graphql::Name;
use async_graphql_value::Value as Literal;

use super::document::{Document, Field, Selection};

/// Each takes a document that is valid, and what it makes of it must be refused.
const FAULTS: [fn(&mut Field); 7] = [
    |field| field.name = "noSuchField".to_owned(),
    |field| {
        field
            .arguments
            .push(("noSuchArgument".to_owned(), Literal::Null))
    },
    |field| {
        let undefined = Literal::Variable(Name::new("undefined"));
        field
            .arguments
            .push(("noSuchArgument".to_owned(), undefined));
    },
    |field| {
        let condition = Literal::String("yes".to_owned());
        let name = "skip";
        field.directives = vec![super::document::Directive { name, condition }];
    },
    |field| {
        let on = Some("Mutation".to_owned());
        let set = vec![Selection::Field(leaf("__typename"))];
        let fragment = Selection::Inline {
            on,
            directives: Vec::new(),
            set,
        };
        // of a leaf nothing can be selected, and no other type is one of these
        field.set.push(fragment);
    },
    |field| match field.set.is_empty() {
        true => field.set.push(Selection::Field(leaf("__typename"))),
        false => field.set.clear(),
    },
    |field| {
        field.set.push(Selection::Spread {
            name: "NoSuchFragment".to_owned(),
            directives: Vec::new(),
        });
    },
];

fn leaf(name: &str) -> Field {
    Field {
        alias: None,
        name: name.to_owned(),
        arguments: Vec::new(),
        directives: Vec::new(),
        set: Vec::new(),
    }
}

impl Document {
    /// The same with one fault somewhere.
    pub(crate) fn with_a_fault(mut self, rng: &mut fastrand::Rng) -> Self {
        let fault = FAULTS[rng.usize(..FAULTS.len())];
        let chosen = self.chosen;
        let mut fields = Vec::new();
        collect(&mut self.operations[chosen].set, &mut fields);
        let field = rng.usize(..fields.len().max(1));
        match fields.into_iter().nth(field) {
            Some(field) => fault(field),
            None => self.operations[chosen]
                .set
                .push(Selection::Field(leaf("noSuchField"))),
        }
        self
    }

    /// The same without the value of a variable that must have one; `None`: it has no such.
    pub(crate) fn without_a_value(mut self) -> Option<Self> {
        let variables = &mut self.operations[self.chosen].variables;
        let mut required = variables.iter_mut();
        let required = required.find(|one| one.ty.ends_with('!') && one.default.is_none())?;
        required.given = None;
        Some(self)
    }
}

fn collect<'s>(set: &'s mut [Selection], fields: &mut Vec<&'s mut Field>) {
    for selection in set {
        match selection {
            // one or the other: a field cannot be borrowed together with what is below it
            Selection::Field(field) => {
                if field.set.len() > 1 {
                    collect(&mut field.set, fields);
                } else if field.name != "__typename" {
                    fields.push(field);
                }
            }
            Selection::Inline { set, .. } => collect(set, fields),
            Selection::Spread { .. } => {}
        }
    }
}
