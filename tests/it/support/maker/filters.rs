//! Filters, whose operands are what the rows have, or nearly.

use async_graphql::Name;
use async_graphql::parser::types::{InputValueDefinition, Type};
use async_graphql_value::Value as Literal;
use chrono::{DateTime, FixedOffset, SecondsFormat};

use super::Maker;
use super::arguments::{object, text};
use crate::support::sdl::{Sdl, item, named};

/// How deep `and`, `or` and `not` are nested.
const DEEPEST: usize = 3;
/// Filters that are used again and again, for each type.
const KNOWN: usize = 4;

impl Maker<'_> {
    /// A filter, often one that was used before: its list has cursors.
    pub(super) fn filter(&mut self, ty: &str) -> Literal {
        let known = self.memory.filters.get(ty).cloned().unwrap_or_default();
        if known.len() == KNOWN && self.rng.bool() {
            return self.one_of(&known);
        }
        let filter = self.members(ty, 0);
        if known.len() < KNOWN && filter.clone().into_const().is_some() {
            let known = self.memory.filters.entry(ty.to_owned()).or_default();
            known.push(filter.clone());
        }
        filter
    }

    fn members(&mut self, ty: &str, depth: usize) -> Literal {
        let members: Vec<InputValueDefinition> = self
            .reference
            .sdl
            .members(&format!("{ty}Filter"))
            .iter()
            .map(|member| member.node.clone())
            .collect();
        let mut given: Vec<(String, Literal)> = Vec::new();
        for _ in 0..self.rng.usize(0..4) {
            let member = self.one_of(&members);
            let name = member.name.node.to_string();
            let is_known = given.iter().any(|(known, _)| *known == name);
            let is_nested = matches!(name.as_str(), "and" | "or" | "not");
            if is_known || (is_nested && depth == DEEPEST) {
                continue;
            }
            let value = self.member(ty, &member, depth);
            given.push((name, value));
        }
        object(given)
    }

    fn member(&mut self, ty: &str, member: &InputValueDefinition, depth: usize) -> Literal {
        let name = member.name.node.as_str();
        let place = format!("{ty}Filter.{name} {depth}");
        let of = named(&member.ty.node);
        let is_list = item(&member.ty.node).is_some();
        self.memory.asked.insert(format!("{ty}Filter.{name}"));
        self.place(
            &member.ty.node,
            false,
            true,
            &place,
            &mut |maker| match name {
                // one filter stands for a list of it
                "and" | "or" if is_list && maker.rng.u8(..6) != 0 => {
                    let length = maker.rng.usize(0..3);
                    Literal::List((0..length).map(|_| maker.members(ty, depth + 1)).collect())
                }
                "and" | "or" | "not" => maker.members(ty, depth + 1),
                _ if of == "Boolean" => Literal::Boolean(maker.rng.bool()),
                _ => maker.tests(ty, name, of),
            },
        )
    }

    fn tests(&mut self, ty: &str, member: &str, of: &str) -> Literal {
        let tests: Vec<InputValueDefinition> = self
            .reference
            .sdl
            .members(of)
            .iter()
            .map(|test| test.node.clone())
            .collect();
        let mut given: Vec<(String, Literal)> = Vec::new();
        for _ in 0..self.rng.usize(1..3) {
            let test = self.one_of(&tests);
            let name = test.name.node.to_string();
            if given.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let place = format!("{ty}.{member}.{name}");
            self.memory
                .asked
                .insert(format!("{ty}Filter.{member}.{name}"));
            // a test that compares with null is refused
            let may_be_null = self.one_in(20);
            let is_list = item(&test.ty.node).is_some();
            let value = self.place(&test.ty.node, false, may_be_null, &place, &mut |maker| {
                if name == "isNull" {
                    Literal::Boolean(maker.rng.bool())
                } else if is_list && maker.rng.u8(..6) != 0 {
                    maker.operands(ty, member, of, &test.ty.node)
                } else {
                    maker.operand(ty, member, of, &name)
                }
            });
            given.push((name, value));
        }
        object(given)
    }

    fn operands(&mut self, ty: &str, member: &str, of: &str, list: &Type) -> Literal {
        let length = self.rng.usize(0..4);
        let place = format!("{ty}.{member}.item");
        let each = item(list).expect("a list").clone();
        let items = (0..length).map(|_| {
            self.place(&each, false, false, &place, &mut |maker| {
                maker.operand(ty, member, of, "in")
            })
        });
        Literal::List(items.collect())
    }

    /// A value that a row has, or nearly.
    fn operand(&mut self, ty: &str, member: &str, of: &str, test: &str) -> Literal {
        let words = self.words(of.trim_end_matches("Filter"));
        if !words.is_empty() {
            return Literal::Enum(Name::new(self.one_of(&words)));
        }
        let value = self.some_value(ty, member);
        match of {
            "DateTimeFilter" => self.moment(value),
            "IDFilter" => match value.unwrap_or_else(|| "nothing".to_owned()) {
                // an id may be given as a number
                id if id
                    .parse::<i32>()
                    .is_ok_and(|number| number.to_string() == id)
                    && self.one_in(2) =>
                {
                    Literal::Number(id.parse::<i32>().unwrap_or_default().into())
                }
                id => text(id),
            },
            _ => {
                let whole = value.unwrap_or_else(|| "nothing".to_owned());
                self.text_like(&whole, test)
            }
        }
    }

    fn some_value(&mut self, ty: &str, member: &str) -> Option<String> {
        if self.one_in(8) {
            return None;
        }
        let rows = self.reference.world.rows(&Sdl::table(ty));
        // rows may have none
        for _ in 0..4 {
            let row = rows.get(self.rng.usize(..rows.len().max(1)))?;
            let values = self.reference.values(ty, member, row);
            if !values.is_empty() {
                return Some(self.one_of(&values));
            }
        }
        None
    }

    /// The same moment in one of the forms that it may have.
    fn moment(&mut self, value: Option<String>) -> Literal {
        let value = value.unwrap_or_else(|| {
            self.one_of(&["2026-06-01T00:00:00Z", "0001-01-01T00:00:00Z"])
                .to_owned()
        });
        let offset = self.one_of(&[0, 2 * 3600, -(9 * 3600 + 1800)]);
        let moment = DateTime::parse_from_rfc3339(&value).expect("a moment");
        let is_at_the_edge = !value.starts_with("20");
        match FixedOffset::east_opt(offset) {
            Some(offset) if !is_at_the_edge => {
                let there = moment.with_timezone(&offset);
                text(there.to_rfc3339_opts(SecondsFormat::Micros, self.rng.bool()))
            }
            _ => text(value),
        }
    }

    fn text_like(&mut self, whole: &str, test: &str) -> Literal {
        if matches!(test, "startsWith" | "containsIgnoreCase") && self.one_in(4) {
            // what patterns of SQL mean something else by
            return text(self.one_of(&["%", "_", "\\", "", "100%_", "'"]));
        }
        let letters: Vec<char> = whole.chars().collect();
        let (from, to) = match test {
            "startsWith" => (0, self.rng.usize(..=letters.len())),
            "containsIgnoreCase" => {
                let from = self.rng.usize(..=letters.len());
                (from, self.rng.usize(from..=letters.len()))
            }
            _ => (0, letters.len()),
        };
        let part: String = letters[from..to].iter().collect();
        if self.one_in(5) {
            return text(part.to_uppercase());
        }
        text(part)
    }
}
