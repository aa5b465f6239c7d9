//! The published schema, as data: which fields, arguments and words there are. Read from `schema.graphql`, which
//! another test holds equal to the server's, so that what is added to the schema is known here.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::Positioned;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeKind, TypeSystemDefinition,
};

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql"));

/// The types by name.
pub(crate) struct Sdl {
    types: BTreeMap<String, TypeKind>,
}

/// A type without its lists and exclamation marks.
pub(crate) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// What a list has, one by one; `None`: no list.
pub(crate) fn item(ty: &Type) -> Option<&Type> {
    match &ty.base {
        BaseType::Named(_) => None,
        BaseType::List(inner) => Some(inner),
    }
}

/// `courseRevision` or `CourseRevision` as Postgres would call it: `course_revision`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl Sdl {
    pub(crate) fn read() -> Self {
        let document = parse_schema(TEXT).expect("the schema is read");
        let definitions = document.definitions.into_iter();
        let types = definitions.filter_map(|definition| match definition {
            TypeSystemDefinition::Type(ty) => Some((ty.node.name.node.to_string(), ty.node.kind)),
            _ => None,
        });
        Self {
            types: types.collect(),
        }
    }

    /// The fields of an object or an interface.
    pub(crate) fn fields(&self, ty: &str) -> &[Positioned<FieldDefinition>] {
        match self.types.get(ty) {
            Some(TypeKind::Object(object)) => &object.fields,
            Some(TypeKind::Interface(interface)) => &interface.fields,
            _ => &[],
        }
    }

    pub(crate) fn field(&self, ty: &str, name: &str) -> Option<&FieldDefinition> {
        let mut fields = self.fields(ty).iter();
        let field = fields.find(|field| field.node.name.node == name)?;
        Some(&field.node)
    }

    /// The members of an input object.
    pub(crate) fn members(&self, ty: &str) -> &[Positioned<InputValueDefinition>] {
        match self.types.get(ty) {
            Some(TypeKind::InputObject(input)) => &input.fields,
            _ => &[],
        }
    }

    /// The words of an enum; none of anything else.
    pub(crate) fn words(&self, ty: &str) -> Vec<&str> {
        match self.types.get(ty) {
            Some(TypeKind::Enum(words)) => words
                .values
                .iter()
                .map(|value| value.node.value.node.as_str())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a fragment on `condition` concerns an object of the type `ty`.
    pub(crate) fn is_a(&self, ty: &str, condition: &str) -> bool {
        let interfaces = match self.types.get(ty) {
            Some(TypeKind::Object(object)) => object.implements.as_slice(),
            _ => &[],
        };
        ty == condition || interfaces.iter().any(|one| one.node == condition)
    }

    /// The objects that an interface stands for; none of anything else.
    pub(crate) fn possible(&self, interface: &str) -> Vec<&str> {
        match self.types.get(interface) {
            Some(TypeKind::Interface(_)) => self
                .types
                .keys()
                .filter(|ty| *ty != interface && self.is_a(ty, interface))
                .map(String::as_str)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The objects that a field of a type can have.
    pub(crate) fn objects<'s>(&'s self, ty: &'s str) -> Vec<&'s str> {
        match self.types.get(ty) {
            Some(TypeKind::Interface(_)) => self.possible(ty),
            _ => vec![ty],
        }
    }

    /// Whether nothing can be selected of it.
    pub(crate) fn is_leaf(&self, ty: &str) -> bool {
        self.fields(ty).is_empty()
    }

    /// What can be asked for below a type: `Type.field`, `Type.field.argument`, `TypeFilter.member`,
    /// `TypeFilter.member.test`.
    pub(crate) fn askable(&self, root: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut types = vec![root.to_owned()];
        let mut seen: BTreeSet<String> = types.iter().cloned().collect();
        while let Some(ty) = types.pop() {
            for field in self.fields(&ty) {
                let field = &field.node;
                let name = format!("{ty}.{}", field.name.node);
                for argument in &field.arguments {
                    let argument = &argument.node;
                    found.insert(format!("{name}.{}", argument.name.node));
                    found.extend(self.tests(named(&argument.ty.node)));
                }
                found.insert(name);
                let target = named(&field.ty.node);
                for object in self.objects(target).into_iter().chain([target]) {
                    if !self.is_leaf(object) && seen.insert(object.to_owned()) {
                        types.push(object.to_owned());
                    }
                }
            }
        }
        found
    }

    /// The members of a filter, and the tests of each.
    fn tests(&self, filter: &str) -> Vec<String> {
        let mut found = Vec::new();
        for member in self
            .members(filter)
            .iter()
            .filter(|_| filter.ends_with("Filter"))
        {
            let name = format!("{filter}.{}", member.node.name.node);
            let ty = named(&member.node.ty.node);
            let tests = self.members(ty).iter().filter(|_| ty != filter);
            found.extend(tests.map(|test| format!("{name}.{}", test.node.name.node)));
            found.push(name);
        }
        found
    }

    /// The table behind a type of rows.
    pub(crate) fn table(ty: &str) -> String {
        match ty {
            "EndpointSyncStatus" => "endpoint_states".to_owned(),
            "SchemaDrift" => "schema_drift".to_owned(),
            _ => format!("{}s", snake(ty)),
        }
    }

    /// The types that mirror records of Kombo.
    pub(crate) fn records(&self) -> Vec<&str> {
        self.possible("MirroredRecord")
    }
}
