//! Which fields are asked for, in which fragments.

use async_graphql::parser::types::{FieldDefinition, Type};
use async_graphql_value::Value as Literal;

use super::Maker;
use super::document::{Directive, Field, Fragment, Selection};
use crate::support::sdl::{item, named};

/// Objects of one kind in an answer, about.
const WIDEST: usize = 3000;
/// Levels of objects.
const DEEPEST: usize = 11;

/// Where selections are made.
#[derive(Clone, Copy)]
struct Here<'t> {
    ty: &'t str,
    depth: usize,
    /// Objects that there are of it, about.
    width: usize,
    /// The interface of which it is one of several types: what these do not share needs a name of its own.
    among: Option<&'t str>,
}

impl Maker<'_> {
    pub(super) fn root(&mut self) -> Vec<Selection> {
        let here = Here {
            ty: "Query",
            depth: 0,
            width: 1,
            among: None,
        };
        let fields = self.definitions("Query");
        let mut items = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            let field = self.one_of(&fields);
            items.push(self.field(here, &field));
        }
        if self.one_in(12) {
            items.push(leaf("__typename"));
        }
        if self.one_in(15) {
            items.push(described());
        }
        self.dressed(here, items)
    }

    fn definitions(&self, ty: &str) -> Vec<FieldDefinition> {
        let fields = self.reference.sdl.fields(ty).iter();
        fields.map(|field| field.node.clone()).collect()
    }

    fn set(&mut self, here: Here<'_>) -> Vec<Selection> {
        let fields = self.definitions(here.ty);
        let is_leaf = |field: &FieldDefinition| self.reference.sdl.is_leaf(named(&field.ty.node));
        let (leaves, others): (Vec<_>, Vec<_>) = fields.into_iter().partition(is_leaf);
        let mut items = Vec::new();
        for _ in 0..self.rng.usize(0..5).min(leaves.len() * 2) {
            let field = self.one_of(&leaves);
            items.push(self.field(here, &field));
        }
        let may_go_on = here.depth < DEEPEST && self.fields_left > 0;
        let wanted = match here.ty.ends_with("Connection") {
            _ if !may_go_on || others.is_empty() => 0,
            true => self.rng.usize(1..4),
            false => self.rng.usize(0..3),
        };
        for _ in 0..wanted {
            let field = self.one_of(&others);
            let target = named(&field.ty.node);
            if !target.ends_with("Connection") || here.width * 5 <= WIDEST {
                let selection = self.field(here, &field);
                let at = self.rng.usize(..=items.len());
                items.insert(at, selection);
            }
        }
        let possible: Vec<String> = self
            .reference
            .sdl
            .possible(here.ty)
            .into_iter()
            .map(str::to_owned)
            .collect();
        for _ in 0..self.rng.usize(0..4).min(possible.len()) {
            let ty = self.one_of(&possible);
            items.push(self.of_type(here, &ty));
        }
        if items.is_empty() || self.one_in(8) {
            items.push(leaf("__typename"));
        }
        self.dressed(here, items)
    }

    /// What is asked of one type of those that an interface stands for.
    fn of_type(&mut self, here: Here<'_>, ty: &str) -> Selection {
        let below = Here {
            ty,
            depth: here.depth + 1,
            among: Some(here.ty),
            ..here
        };
        let set = self.set(below);
        self.wrapped(below, Some(ty.to_owned()), set)
    }

    fn field(&mut self, here: Here<'_>, field: &FieldDefinition) -> Selection {
        self.fields_left = self.fields_left.saturating_sub(1);
        let name = field.name.node.to_string();
        let target = named(&field.ty.node).to_owned();
        let (arguments, page) = self.arguments(here.ty, field, here.depth);
        let asked = format!("{}.{name}", here.ty);
        let with = arguments
            .iter()
            .map(|(argument, _)| format!("{asked}.{argument}"));
        self.memory.asked.extend(with);
        self.memory.asked.insert(asked);
        let is_shared = here
            .among
            .is_none_or(|among| self.reference.sdl.field(among, &name).is_some());
        let takes_arguments = !field.arguments.is_empty();
        let place = (here.ty.to_owned(), name.clone());
        let needs_alias = !is_shared || (takes_arguments && !self.unaliased.insert(place));
        let alias = match name.as_str() {
            "komboId" if self.is_swapped && is_shared => Some("id".to_owned()),
            "id" if self.is_swapped && is_shared => Some("komboId".to_owned()),
            _ if needs_alias || self.one_in(8) => {
                let start = self.one_of(&["a", "Z_", "_"]);
                Some(self.fresh_name(start))
            }
            _ => None,
        };
        let set = if self.reference.sdl.is_leaf(&target) {
            Vec::new()
        } else {
            let items = if item(&field.ty.node).is_some() { 3 } else { 1 };
            let below = Here {
                ty: &target,
                depth: here.depth + 1,
                width: here.width * page.unwrap_or(items),
                among: None,
            };
            self.set(below)
        };
        let directives = self.directives();
        Selection::Field(Field {
            alias,
            name,
            arguments,
            directives,
            set,
        })
    }

    /// Puts some of the selections into fragments, and mentions some again.
    fn dressed(&mut self, here: Here<'_>, mut items: Vec<Selection>) -> Vec<Selection> {
        if self.one_in(5) {
            let from = self.rng.usize(..items.len());
            let to = self.rng.usize(from..items.len()) + 1;
            let chunk: Vec<Selection> = items.drain(from..to).collect();
            let on = self.condition(here.ty, &chunk);
            let wrapped = self.wrapped(here, on, chunk);
            items.insert(from, wrapped);
        }
        if here.among.is_none() && self.one_in(5) {
            let known = self.fragments.iter().filter(|fragment| {
                let fits = fragment.on == here.ty && fragment.width >= here.width;
                fits && fragment.is_shared && (fragment.is_constant || !self.is_constant)
            });
            let known: Vec<String> = known.map(|fragment| fragment.name.clone()).collect();
            if !known.is_empty() {
                let name = self.one_of(&known);
                let directives = self.directives();
                items.push(Selection::Spread { name, directives });
            }
        }
        if self.one_in(8) {
            let again = self.one_of(&items);
            let again = self.again(here, again);
            items.push(again);
        }
        items
    }

    /// The same field once more, with another selection below: both are merged.
    fn again(&mut self, here: Here<'_>, selection: Selection) -> Selection {
        let Selection::Field(mut field) = selection else {
            return selection;
        };
        let definition = self.reference.sdl.field(here.ty, &field.name).cloned();
        if let Some(definition) = definition
            && !field.set.is_empty()
        {
            let target = named(&definition.ty.node).to_owned();
            let below = Here {
                ty: &target,
                depth: here.depth + 1,
                // who knows how long the list is
                width: here.width * 50,
                among: None,
            };
            field.set = self.set(below);
        }
        // the library does not see variables in a directive of `__typename` and its like
        if !field.name.starts_with("__") {
            field.directives = self.directives();
        }
        Selection::Field(field)
    }

    /// A type on which a fragment of some selections may be: the type itself, nothing, or an interface that has them.
    fn condition(&mut self, ty: &str, items: &[Selection]) -> Option<String> {
        let has_all = |interface: &str| {
            items.iter().all(|item| match item {
                Selection::Field(field) => {
                    self.reference.sdl.field(interface, &field.name).is_some()
                }
                _ => false,
            })
        };
        let is_one =
            |interface: &&str| self.reference.sdl.is_a(ty, interface) && has_all(interface);
        let interfaces = ["MirroredRecord", "Node"].into_iter().filter(is_one);
        let mut choices: Vec<Option<String>> = interfaces.map(|one| Some(one.to_owned())).collect();
        choices.extend([None, Some(ty.to_owned())]);
        self.one_of(&choices)
    }

    /// An inline fragment or a named one.
    fn wrapped(&mut self, here: Here<'_>, on: Option<String>, set: Vec<Selection>) -> Selection {
        let directives = self.directives();
        if let Some(on) = &on
            && self.rng.bool()
        {
            let name = self.fresh_name("F");
            let is_constant = set.iter().all(is_constant);
            self.fragments.push(Fragment {
                name: name.clone(),
                on: on.clone(),
                set,
                width: here.width,
                is_constant,
                is_shared: here.among.is_none(),
            });
            return Selection::Spread { name, directives };
        }
        Selection::Inline {
            on,
            directives,
            set,
        }
    }

    fn directives(&mut self) -> Vec<Directive> {
        if self.directives_left == 0 || !self.one_in(14) {
            return Vec::new();
        }
        self.directives_left -= 1;
        let name = self.one_of(&["skip", "include"]);
        let ty = Type::new("Boolean!").expect("a type");
        // more is seen where more is asked for
        let is_seen = self.rng.u8(..3) != 0;
        let condition = self.place(&ty, false, false, "if", &mut |maker| {
            let is_seen = is_seen ^ maker.one_in(3);
            Literal::Boolean(is_seen == (name == "include"))
        });
        vec![Directive { name, condition }]
    }
}

fn leaf(name: &str) -> Selection {
    Selection::Field(Field {
        alias: None,
        name: name.to_owned(),
        arguments: Vec::new(),
        directives: Vec::new(),
        set: Vec::new(),
    })
}

/// Something of the schema itself, beside the data.
fn described() -> Selection {
    Selection::Field(Field {
        alias: None,
        name: "__type".to_owned(),
        arguments: vec![("name".to_owned(), Literal::String("Course".to_owned()))],
        directives: Vec::new(),
        set: vec![leaf("name"), leaf("__typename")],
    })
}

/// Whether a selection uses no variables; what a spread has is not known here.
fn is_constant(selection: &Selection) -> bool {
    let are_constant = |directives: &[Directive]| {
        let mut directives = directives.iter();
        directives.all(|one| !one.condition.to_string().contains('$'))
    };
    match selection {
        Selection::Field(field) => {
            let mut arguments = field.arguments.iter();
            arguments.all(|(_, value)| !value.to_string().contains('$'))
                && are_constant(&field.directives)
                && field.set.iter().all(is_constant)
        }
        Selection::Inline {
            directives, set, ..
        } => are_constant(directives) && set.iter().all(is_constant),
        Selection::Spread { .. } => false,
    }
}
