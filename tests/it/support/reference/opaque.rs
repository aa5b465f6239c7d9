//! Ids and cursors: texts whose form is the server's own. What is known of them is what the server used them for: each
//! text stands for one thing, and a thing that has an id has one.

use std::collections::{BTreeMap, BTreeSet};

use super::json::Json;

/// What an opaque text stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Opaque {
    /// The thing of a type with these ids.
    Node(String, Vec<String>),
    /// A place in lists.
    Cursor(Place),
}

/// A place in lists of one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The order, with its direction.
    pub(crate) order: String,
    /// The keys of the record there.
    pub(crate) keys: Vec<Key>,
    /// The list it was seen in: no part of what it is, but it may be refused in others.
    pub(crate) list: String,
}

/// A value by which lists are ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Number(i64),
    /// Microseconds; the smallest number where there is none.
    Moment(i64),
    Text(String),
}

/// What the server's texts stood for so far.
#[derive(Default, Clone)]
pub(crate) struct Register {
    nodes: BTreeMap<String, (String, Vec<String>)>,
    node_texts: BTreeMap<(String, Vec<String>), String>,
    /// Without the list.
    places: BTreeMap<String, Place>,
    /// The lists that a cursor was seen in.
    lists: BTreeMap<String, BTreeSet<String>>,
    cursors: BTreeMap<String, Vec<String>>,
}

impl Register {
    /// The thing that an id stands for.
    pub(crate) fn node(&self, text: &str) -> Option<&(String, Vec<String>)> {
        self.nodes.get(text)
    }

    /// Every id seen, of some type or of any.
    pub(crate) fn ids(&self, ty: Option<&str>) -> Vec<&str> {
        let nodes = self.nodes.iter();
        nodes
            .filter(|(_, (of, _))| ty.is_none_or(|ty| ty == of))
            .map(|(text, _)| text.as_str())
            .collect()
    }

    /// The place of a cursor, and whether it was seen in this list.
    pub(crate) fn place(&self, text: &str, list: &str) -> Option<(&Place, bool)> {
        let place = self.places.get(text)?;
        Some((place, self.lists[text].contains(list)))
    }

    /// The cursors seen in a list.
    pub(crate) fn cursors(&self, list: &str) -> &[String] {
        self.cursors.get(list).map_or(&[], Vec::as_slice)
    }

    /// Takes the server's text for a thing; false if it stood for another one, or the thing had another text.
    fn takes(&mut self, text: &str, opaque: &Opaque) -> bool {
        match opaque {
            Opaque::Node(ty, ids) => {
                let thing = (ty.clone(), ids.clone());
                let known = self.nodes.entry(text.to_owned());
                let is_same = *known.or_insert_with(|| thing.clone()) == thing;
                let known = self.node_texts.entry(thing);
                is_same && known.or_insert_with(|| text.to_owned()) == text
            }
            Opaque::Cursor(place) => {
                let list = place.list.clone();
                let place = Place {
                    list: String::new(),
                    ..place.clone()
                };
                let known = self.places.entry(text.to_owned());
                let is_same = *known.or_insert_with(|| place.clone()) == place;
                let lists = self.lists.entry(text.to_owned()).or_default();
                if is_same && lists.insert(list.clone()) {
                    self.cursors.entry(list).or_default().push(text.to_owned());
                }
                is_same
            }
        }
    }

    /// The first difference between what is expected and what the server says, with its path.
    pub(crate) fn difference(&mut self, expected: &Json, found: &Json) -> Option<String> {
        match (expected, found) {
            (Json::Opaque(opaque), Json::Text(text)) => (!self.takes(text, opaque))
                .then(|| format!(": {text} stands for {opaque:?} and for something else")),
            (Json::List(expected), Json::List(found)) if expected.len() == found.len() => expected
                .iter()
                .zip(found)
                .enumerate()
                .find_map(|(position, (expected, found))| {
                    let below = self.difference(expected, found)?;
                    Some(format!("[{position}]{below}"))
                }),
            (Json::Object(expected), Json::Object(found))
                if expected
                    .iter()
                    .map(|one| &one.0)
                    .eq(found.iter().map(|one| &one.0)) =>
            {
                expected.iter().zip(found).find_map(|(expected, found)| {
                    let below = self.difference(&expected.1, &found.1)?;
                    Some(format!(".{}{below}", expected.0))
                })
            }
            _ if expected == found => None,
            _ => Some(format!(": expected {expected}, found {found}")),
        }
    }
}
