//! Executes a document, by section 6 of the GraphQL specification.

use std::collections::HashMap;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    ExecutableDocument, Field, FieldDefinition, FragmentDefinition, OperationDefinition, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned};

use super::request::{self, Arguments, Variables};
use super::{Found, Json, Outcome, Reference, Register, Thing, Trouble};
use crate::support::sdl::named;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) is_admin: bool,
    /// What they may see; `None`: everything.
    pub(crate) integrations: Option<Vec<String>>,
}

impl Asker {
    pub(super) fn sees(&self, integration: Option<&str>) -> bool {
        match (&self.integrations, integration) {
            (None, _) => true,
            (Some(ids), Some(integration)) => ids.iter().any(|id| id == integration),
            (Some(_), None) => false,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) operation: Option<String>,
    pub(crate) variables: serde_json::Value,
}

/// What a valid request gets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Json,
    /// How many root fields were refused.
    pub(crate) errors: usize,
}

/// A field of an answer.
struct Asked<'d> {
    name: &'d str,
    /// The first mention; all ask for the same.
    field: &'d Field,
    below: Vec<&'d SelectionSet>,
}

/// One request in the making.
pub(super) struct Execution<'a> {
    pub(super) reference: &'a Reference,
    pub(super) asker: &'a Asker,
    pub(super) register: &'a Register,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    variables: Variables,
}

impl Reference {
    /// What a valid request gets.
    pub(crate) fn answer(
        &self,
        asker: &Asker,
        request: &Request,
        register: &Register,
    ) -> Outcome<Answer> {
        let document = parse_query(&request.query).map_err(|_| Trouble::Refused)?;
        let operation = operation(&document, request.operation.as_deref())?;
        let execution = Execution {
            reference: self,
            asker,
            register,
            fragments: &document.fragments,
            variables: request::variables(operation, &request.variables)?,
        };
        execution.root(&operation.selection_set.node)
    }
}

fn operation<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Outcome<&'d OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name == wanted)),
        None if operations.len() == 1 => operations.next(),
        None => None,
    };
    found
        .map(|(_, operation)| &operation.node)
        .ok_or(Trouble::Refused)
}

impl Execution<'_> {
    /// Each root field is answered or refused on its own; where a null may not stand, the whole answer is null.
    fn root(&self, set: &SelectionSet) -> Outcome<Answer> {
        let mut members = Vec::new();
        let (mut errors, mut is_null) = (0, false);
        let collected = self.collect("Query", &[set])?;
        // the server orders root fields by their first mention, even where that one is skipped
        let mut mentioned = Vec::new();
        self.mentioned(set, &mut mentioned);
        let place = |asked: &Asked<'_>| mentioned.iter().position(|name| *name == asked.name);
        if !collected.is_sorted_by_key(place) {
            return Err(Trouble::Undecided);
        }
        for asked in collected {
            if asked.field.name.node == "__typename" {
                members.push((asked.name.to_owned(), Json::text("Query")));
                continue;
            }
            if asked.field.name.node == "__type" {
                members.push((asked.name.to_owned(), self.description(&asked.below)?));
                continue;
            }
            let definition = self.definition("Query", asked.field);
            let arguments = self.arguments(definition, asked.field)?;
            let value = self
                .check_field(definition, &arguments, &asked.below)
                .and_then(|()| self.root_field(definition, &arguments))
                .and_then(|found| self.complete(found, &asked.below));
            let value = match value {
                Ok(value) => value,
                Err(Trouble::Undecided) => return Err(Trouble::Undecided),
                // the server does not let the null of a repeated mention through to the whole answer
                Err(Trouble::Refused) if asked.below.len() > 1 => return Err(Trouble::Undecided),
                Err(Trouble::Refused) => {
                    errors += 1;
                    is_null |= !definition.ty.node.nullable;
                    Json::Null
                }
            };
            members.push((asked.name.to_owned(), value));
        }
        let data = if is_null {
            Json::Null
        } else {
            Json::Object(members)
        };
        Ok(Answer { data, errors })
    }

    /// What `__type(name: "Course")` has: all that is asked of the schema itself.
    fn description(&self, below: &[&SelectionSet]) -> Outcome<Json> {
        let members = self.collect("__Type", below)?.into_iter().map(|asked| {
            let is_name = asked.field.name.node == "name";
            let text = if is_name { "Course" } else { "__Type" };
            (asked.name.to_owned(), Json::text(text))
        });
        Ok(Json::Object(members.collect()))
    }

    /// What is wrong in an argument is refused whether or not there is a row below which it would be needed.
    fn check(&self, ty: &str, sets: &[&SelectionSet]) -> Outcome<()> {
        let mut outcome = Ok(());
        for asked in self.collect(ty, sets)? {
            if asked.field.name.node == "__typename" {
                continue;
            }
            let definition = self.definition(ty, asked.field);
            let arguments = self.arguments(definition, asked.field)?;
            match self.check_field(definition, &arguments, &asked.below) {
                Err(Trouble::Refused) => return Err(Trouble::Refused),
                Err(Trouble::Undecided) => outcome = Err(Trouble::Undecided),
                Ok(()) => {}
            }
        }
        outcome
    }

    fn check_field(
        &self,
        definition: &FieldDefinition,
        arguments: &Arguments,
        below: &[&SelectionSet],
    ) -> Outcome<()> {
        let target = named(&definition.ty.node);
        let own = self.check_arguments(target, arguments);
        if own == Err(Trouble::Refused) || self.reference.sdl.is_leaf(target) {
            return own;
        }
        let types = match target {
            "Node" => self.named_types(arguments),
            _ => self
                .reference
                .sdl
                .objects(target)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let below = types.iter().map(|ty| self.check(ty, below));
        let all: Vec<Outcome<()>> = below.chain([own]).collect();
        let worst = [Err(Trouble::Refused), Err(Trouble::Undecided)];
        let worst = worst.into_iter().find(|trouble| all.contains(trouble));
        worst.unwrap_or(Ok(()))
    }

    fn definition(&self, ty: &str, field: &Field) -> &FieldDefinition {
        let name = field.name.node.as_str();
        let definition = self.reference.sdl.field(ty, name);
        definition.unwrap_or_else(|| panic!("{ty} has no field {name}"))
    }

    fn arguments(&self, definition: &FieldDefinition, field: &Field) -> Outcome<Arguments> {
        let mut arguments = Arguments(Default::default());
        for known in &definition.arguments {
            let known = &known.node;
            let name = known.name.node.as_str();
            let given = field.get_argument(name);
            let given = given.and_then(|given| request::value(&given.node, &self.variables));
            let default = known.default_value.as_ref();
            match given.or_else(|| default.map(|default| default.node.clone())) {
                Some(value) => arguments.0.insert(name.to_owned(), value),
                None if known.ty.node.nullable => None,
                None => return Err(Trouble::Refused),
            };
        }
        Ok(arguments)
    }

    fn complete(&self, found: Found, below: &[&SelectionSet]) -> Outcome<Json> {
        let one = |thing: Option<Thing>| match thing {
            Some(thing) => self.object(&thing, below),
            None => Ok(Json::Null),
        };
        match found {
            Found::Leaf(json) => Ok(json),
            Found::One(thing) => one(thing),
            Found::Many(things) => {
                let items: Outcome<Vec<Json>> = things.into_iter().map(one).collect();
                items.map(Json::List)
            }
        }
    }

    fn object(&self, thing: &Thing, sets: &[&SelectionSet]) -> Outcome<Json> {
        let mut members = Vec::new();
        for asked in self.collect(&thing.ty, sets)? {
            let value = if asked.field.name.node == "__typename" {
                Json::text(&thing.ty)
            } else {
                let definition = self.definition(&thing.ty, asked.field);
                let arguments = self.arguments(definition, asked.field)?;
                let found = self.field(thing, definition, &arguments)?;
                let is_leaf = self.reference.sdl.is_leaf(named(&definition.ty.node));
                assert_eq!(is_leaf, matches!(found, Found::Leaf(_)), "{}", asked.name);
                self.complete(found, &asked.below)?
            };
            members.push((asked.name.to_owned(), value));
        }
        Ok(Json::Object(members))
    }

    /// The fields that are asked of an object, mentions of one name together.
    fn collect<'d>(&'d self, ty: &str, sets: &[&'d SelectionSet]) -> Outcome<Vec<Asked<'d>>> {
        let mut asked = Vec::new();
        for set in sets {
            self.collect_set(ty, set, &mut asked)?;
        }
        Ok(asked)
    }

    fn collect_set<'d>(
        &'d self,
        ty: &str,
        set: &'d SelectionSet,
        asked: &mut Vec<Asked<'d>>,
    ) -> Outcome<()> {
        for selection in &set.items {
            if !request::is_included(selection.node.directives(), &self.variables)? {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => mention(&field.node, asked),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    if condition.is_none_or(|one| self.applies(ty, &one.node.on.node)) {
                        self.collect_set(ty, &fragment.node.selection_set.node, asked)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = self
                        .fragments
                        .get(name)
                        .unwrap_or_else(|| panic!("there is no fragment {name}"));
                    let fragment = &fragment.node;
                    if self.applies(ty, &fragment.type_condition.node.on.node) {
                        self.collect_set(ty, &fragment.selection_set.node, asked)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The names of the fields of a set, skipped ones among them.
    fn mentioned<'d>(&'d self, set: &'d SelectionSet, names: &mut Vec<&'d str>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => names.push(field.node.response_key().node.as_str()),
                Selection::InlineFragment(fragment) => {
                    self.mentioned(&fragment.node.selection_set.node, names);
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.fragments[&spread.node.fragment_name.node].node;
                    self.mentioned(&fragment.selection_set.node, names);
                }
            }
        }
    }

    fn applies(&self, ty: &str, condition: &Name) -> bool {
        self.reference.sdl.is_a(ty, condition)
    }
}

fn mention<'d>(field: &'d Field, asked: &mut Vec<Asked<'d>>) {
    let name = field.response_key().node.as_str();
    let below = &field.selection_set.node;
    match asked.iter_mut().find(|known| known.name == name) {
        Some(known) => known.below.push(below),
        None => asked.push(Asked {
            name,
            field,
            below: vec![below],
        }),
    }
}
