//! What stands in arguments, and which of it comes by variables.

use async_graphql::Name;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{FieldDefinition, InputValueDefinition, Type};
use async_graphql_value::Value as Literal;
use serde_json::Value;

use super::Maker;
use super::document::Variable;
use crate::support::reference::lists::name_of_list;
use crate::support::reference::{Variables, resolved};
use crate::support::sdl::{Sdl, named};

/// Makes a value; twice for a variable.
pub(super) type Make<'f, 'm> = &'f mut dyn FnMut(&mut Maker<'m>) -> Literal;

pub(super) fn object(members: impl IntoIterator<Item = (String, Literal)>) -> Literal {
    let members = members.into_iter();
    Literal::Object(
        members
            .map(|(name, value)| (Name::new(name), value))
            .collect::<IndexMap<_, _>>(),
    )
}

pub(super) fn text(text: impl Into<String>) -> Literal {
    Literal::String(text.into())
}

fn json(value: &Literal) -> Option<Value> {
    value.clone().into_json().ok()
}

impl<'m> Maker<'m> {
    /// Arguments of a field, and the records of a page, if it is a list.
    pub(super) fn arguments(
        &mut self,
        ty: &str,
        field: &FieldDefinition,
        depth: usize,
    ) -> (Vec<(String, Literal)>, Option<usize>) {
        let target = named(&field.ty.node);
        let mut given = Vec::new();
        let Some(of) = target.strip_suffix("Connection") else {
            for argument in &field.arguments {
                let argument = &argument.node;
                if !argument.ty.node.nullable || self.one_in(3) {
                    let value = self.argument(target, argument);
                    given.push((argument.name.node.to_string(), value));
                }
            }
            self.rng.shuffle(&mut given);
            return (given, None);
        };
        for argument in &field.arguments {
            let argument = &argument.node;
            let chances = match argument.name.node.as_str() {
                "filter" | "orderBy" => 2,
                "includeDeleted" => 3,
                "maxStalenessSeconds" => 25,
                _ => continue,
            };
            if self.one_in(chances) {
                let value = self.argument(of, argument);
                given.push((argument.name.node.to_string(), value));
            }
        }
        let size = self.page(ty, field, depth, &mut given);
        self.cursors(of, &mut given);
        self.rng.shuffle(&mut given);
        (given, Some(size))
    }

    fn argument(&mut self, of: &str, argument: &InputValueDefinition) -> Literal {
        let name = argument.name.node.as_str();
        let has_default = argument.default_value.is_some();
        let may_be_null = argument.ty.node.nullable;
        let place = format!("{of}.{name}");
        let of = of.to_owned();
        let ty = argument.ty.node.clone();
        self.place(&ty, has_default, may_be_null, &place, &mut |maker| {
            maker.value(&of, name, named(&ty))
        })
    }

    fn value(&mut self, of: &str, name: &str, ty: &str) -> Literal {
        match (name, ty) {
            ("filter", _) => self.filter(ty.trim_end_matches("Filter")),
            ("orderBy", _) => self.order(ty),
            ("includeDeleted", _) => Literal::Boolean(self.rng.u8(..4) != 0),
            ("maxStalenessSeconds", _) => {
                let seconds = self.one_of(&[1_000_000_000, 1_000_000_000, 0, 60]);
                Literal::Number(seconds.into())
            }
            ("komboId", _) => text(self.kombo_id(&Sdl::table(of), "id")),
            ("integrationKomboId", _) => text(self.kombo_id("integrations", "id")),
            ("id", _) => self.node(if of == "SyncRun" { Some(of) } else { None }),
            ("ids", _) => {
                let ids = (0..self.rng.usize(0..6)).map(|_| self.node(None));
                Literal::List(ids.collect())
            }
            ("groupBy", _) => {
                let words: Vec<String> = self.words(ty);
                let keys = (0..self.rng.usize(0..4))
                    .map(|_| Literal::Enum(Name::new(self.one_of(&words))));
                let mut keys: Vec<Literal> = keys.collect();
                match (keys.len(), self.one_in(4)) {
                    // a single value stands for a list of it
                    (1, true) => keys.remove(0),
                    _ => Literal::List(keys),
                }
            }
            (name, ty) => {
                panic!("no value for the argument {name} of the type {ty} is known; add one")
            }
        }
    }

    pub(super) fn words(&self, ty: &str) -> Vec<String> {
        let words = self.reference.sdl.words(ty).into_iter();
        words.map(str::to_owned).collect()
    }

    /// A column of some row.
    fn kombo_id(&mut self, table: &str, column: &str) -> String {
        let rows = self.reference.world.rows(table);
        if rows.is_empty() || self.one_in(25) {
            return "nothing".to_owned();
        }
        let row = self.rng.usize(..rows.len());
        rows[row].id(column).to_owned()
    }

    fn node(&mut self, ty: Option<&str>) -> Literal {
        let ty = ty.filter(|_| self.rng.u8(..10) != 0);
        let ids = self.register.ids(ty);
        if ids.is_empty() || self.rng.u8(..50) == 0 {
            return text("nothing");
        }
        text(ids[self.rng.usize(..ids.len())])
    }

    fn order(&mut self, ty: &str) -> Literal {
        let members: Vec<InputValueDefinition> = self
            .reference
            .sdl
            .members(ty)
            .iter()
            .map(|member| member.node.clone())
            .collect();
        let mut given = Vec::new();
        for member in members {
            if self.rng.u8(..4) != 0 {
                let name = member.name.node.to_string();
                let words = self.words(named(&member.ty.node));
                let place = format!("{ty}.{name}");
                let value = self.place(&member.ty.node, true, false, &place, &mut |maker| {
                    Literal::Enum(Name::new(maker.one_of(&words)))
                });
                given.push((name, value));
            }
        }
        self.rng.shuffle(&mut given);
        object(given)
    }

    /// `first`, `last` or neither.
    fn page(
        &mut self,
        ty: &str,
        field: &FieldDefinition,
        depth: usize,
        given: &mut Vec<(String, Literal)>,
    ) -> usize {
        // the whole list is short enough at the top, and where few parents are
        let sizes: &[i32] = if depth == 0 || ty == "Integration" {
            &[0, 1, 2, 3, 5, 7, 20, 500]
        } else {
            &[0, 1, 2, 3, 5]
        };
        let name = match self.rng.u8(..10) {
            0..=2 => return 20,
            3..=6 => "first",
            _ => "last",
        };
        let argument = field
            .arguments
            .iter()
            .find(|one| one.node.name.node == name);
        let Some(argument) = argument else { return 20 };
        let ty = argument.node.ty.node.clone();
        let size = self.place(
            &ty,
            false,
            true,
            &format!("{name} {}", sizes.len()),
            &mut |maker| Literal::Number(maker.one_of(sizes).into()),
        );
        let about = match &size {
            Literal::Number(size) => size
                .as_u64()
                .map_or(20, |size| usize::try_from(size).unwrap_or(20)),
            _ => 20,
        };
        given.push((name.to_owned(), size));
        about.min(20)
    }

    /// `after` and `before`, where the list was seen already; seldom a cursor of another list.
    fn cursors(&mut self, of: &str, given: &mut Vec<(String, Literal)>) {
        let value = |name: &str| {
            let (_, literal) = given.iter().find(|one| one.0 == name)?;
            resolved(literal, &self.given())
        };
        let includes_deleted = value("includeDeleted") == Some(async_graphql::Value::Boolean(true));
        let (order, filter) = (value("orderBy"), value("filter"));
        let list = name_of_list(
            self.reference,
            of,
            order.as_ref(),
            filter.as_ref(),
            includes_deleted,
        );
        let known = self.register.cursors(&list).to_vec();
        for name in ["after", "before"] {
            if self.one_in(60) {
                given.push((name.to_owned(), text("nothing")));
            } else if !known.is_empty() && self.one_in(2) {
                let ty = Type::new("String").expect("a type");
                let value = self.place(&ty, false, true, &list, &mut |maker| {
                    text(maker.one_of(&known))
                });
                given.push((name.to_owned(), value));
            }
        }
    }

    /// The variables as they are given.
    fn given(&self) -> Variables {
        let variables = self.variables.iter();
        let given = variables.filter_map(|variable| {
            let value = match (&variable.given, &variable.default) {
                (Some(given), _) => async_graphql::Value::from_json(given.clone()).ok()?,
                (None, default) => default.clone()?.into_const()?,
            };
            Some((Name::new(&variable.name), value))
        });
        given.collect()
    }

    /// A value where a type is expected, by a variable now and then. `place` says where a variable may be used again.
    pub(super) fn place(
        &mut self,
        ty: &Type,
        has_default: bool,
        may_be_null: bool,
        place: &str,
        make: Make<'_, 'm>,
    ) -> Literal {
        if self.is_constant || self.rng.u8(..100) >= 22 {
            return make(self);
        }
        let known = self.variables.iter().filter(|known| known.place == place);
        let known: Vec<String> = known.map(|known| known.name.clone()).collect();
        if !known.is_empty() && self.rng.bool() {
            return Literal::Variable(Name::new(self.one_of(&known)));
        }
        self.is_constant = true;
        let (value, other) = (make(self), make(self));
        self.is_constant = false;
        let may_be_left_out = ty.nullable || has_default;
        let nullable = ty.to_string().trim_end_matches('!').to_owned();
        let strict = format!("{nullable}!");
        let loose = if may_be_left_out {
            nullable.clone()
        } else {
            strict.clone()
        };
        let (one, two) = (json(&value), json(&other));
        let (ty, default, given, other) = match self.rng.u8(..10) {
            0..=2 => (strict, None, one, two),
            3 => (nullable, Some(other), one, None),
            4 => (nullable, Some(value), None, two),
            5 if may_be_left_out => (nullable, None, None, one),
            6 if may_be_null => (nullable, None, Some(Value::Null), one),
            7 if may_be_null => (nullable, Some(value), Some(Value::Null), None),
            8 if may_be_left_out => (nullable, None, one, None),
            _ => (loose, None, one, two),
        };
        let name = self.fresh_name("v");
        self.variables.push(Variable {
            name: name.clone(),
            ty,
            default,
            given,
            other,
            place: place.to_owned(),
        });
        Literal::Variable(Name::new(name))
    }
}
