//! Measures a parsed document in one walk that follows fragments.
//!
//! It must never become the attack itself (F64): every fragment is measured once and its measure used wherever it
//! is spread, so that the walk is as long as the document and no longer, however often fragments spread each
//! other. A cycle ends the walk. It believes nothing of the document: it runs before validation.

use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Variables};

use super::super::errors::{Code, Refusal};
use super::index::{FieldOf, Index, Times};
use super::pages;

/// Selection sets within each other at most, fragments followed. No setting lifts it: the library recurses so.
pub(in crate::graphql) const MOST_LEVELS: usize = 64;
/// Selections of a document at most, each as often as it is spread. No setting lifts it: so many the library visits.
const MOST_SELECTIONS: u64 = 50_000;
/// Names that the schema does not know at most. No setting lifts it: for each the library looks for like ones.
const MOST_UNKNOWN: usize = 20;
/// Lists of the introspection within each other, of those that lead from type to type; as in graphql-js.
const MOST_INTROSPECTED_LISTS: usize = 2;
/// Values of an introspection at most; GraphiQL and its like need less than half of it. No setting lifts it.
const MOST_INTROSPECTED: u64 = 250_000;

/// What a document asks for, the largest of its operations where it has several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// Levels of fields.
    pub(super) depth: u64,
    /// Fields at the top, fragments followed.
    pub(super) root_fields: u64,
    /// Values in the answer if every page is full.
    pub(super) complexity: u64,
}

/// What a selection set asks for.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// Levels of fields.
    depth: u64,
    /// Fields of the set itself.
    fields: u64,
    /// Values in the answer.
    values: u64,
    /// Values for each record of the page around the set.
    per_record: u64,
    /// Values of introspections.
    introspected: u64,
    /// Lists of the introspection that lead from type to type, within each other.
    introspected_lists: usize,
    /// Selections, each as often as it is spread.
    selections: u64,
    /// Selection sets within each other.
    levels: usize,
}

impl Measured {
    /// Both beside each other.
    fn and(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            fields: self.fields.saturating_add(other.fields),
            values: self.values.saturating_add(other.values),
            per_record: self.per_record.saturating_add(other.per_record),
            introspected: self.introspected.saturating_add(other.introspected),
            introspected_lists: self.introspected_lists.max(other.introspected_lists),
            selections: self.selections.saturating_add(other.selections),
            levels: self.levels.max(other.levels),
        }
    }
}

/// Measures a document. Names of fragments, types and fields need not exist.
pub(super) fn measure(
    index: &Index,
    document: &ExecutableDocument,
    variables: &Variables,
    introspection: bool,
) -> Result<Document, Refusal> {
    let mut walk = Walk {
        index,
        variables,
        introspection,
        fragments: &document.fragments,
        measured: HashMap::new(),
        operation: None,
        unknown: 0,
    };
    let mut whole = Document::default();
    let mut selections = 0_u64;
    for (_, operation) in document.operations.iter() {
        let measured = walk.operation(&operation.node)?;
        selections = selections.saturating_add(measured.selections);
        if selections > MOST_SELECTIONS {
            let message = format!(
                "the document makes more than {MOST_SELECTIONS} selections, counting fragments where they are spread"
            );
            return Err(Refusal::too_complex(message));
        }
        whole.depth = whole.depth.max(measured.depth);
        whole.root_fields = whole.root_fields.max(measured.fields);
        whole.complexity = whole.complexity.max(measured.values);
    }
    // what no operation spreads is validated, too
    for name in document.fragments.keys() {
        walk.fragment(name, 0, Pos::default())?;
    }
    Ok(whole)
}

/// The measure of a fragment, while and after it is taken.
#[derive(Clone, Copy)]
enum Fragment {
    Begun,
    Done(Measured),
}

struct Walk<'d> {
    index: &'d Index,
    variables: &'d Variables,
    introspection: bool,
    fragments: &'d HashMap<Name, Positioned<FragmentDefinition>>,
    measured: HashMap<&'d str, Fragment>,
    /// Whose fields are being measured.
    operation: Option<&'d OperationDefinition>,
    unknown: usize,
}

impl<'d> Walk<'d> {
    fn operation(&mut self, operation: &'d OperationDefinition) -> Result<Measured, Refusal> {
        // defaults of variables are the operation's, so that a fragment may measure differently
        self.measured.clear();
        self.operation = Some(operation);
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let set = &operation.selection_set;
        let measured = self.set(root, &set.node, 0)?;
        if measured.introspected_lists > MOST_INTROSPECTED_LISTS
            || measured.introspected > MOST_INTROSPECTED
        {
            let message =
                "the introspection goes from types to types too often, or over too many of them";
            return Err(Refusal::too_complex(message).at(set.pos));
        }
        Ok(measured)
    }

    /// Measures a selection set on a type that lies below `level` others.
    fn set(&mut self, ty: &str, set: &'d SelectionSet, level: usize) -> Result<Measured, Refusal> {
        if level >= MOST_LEVELS {
            let message =
                format!("the document is more than {MOST_LEVELS} levels deep, counting fragments");
            let at = set.items.first().map_or_else(Pos::default, |item| item.pos);
            return Err(Refusal::too_complex(message).at(at));
        }
        let mut whole = Measured::default();
        for item in &set.items {
            let measured = match &item.node {
                Selection::Field(field) => self.field(ty, field, level)?,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let ty = condition.map_or(ty, |condition| condition.node.on.node.as_str());
                    self.set(ty, &fragment.node.selection_set.node, level + 1)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1, item.pos)?
                }
            };
            whole = whole.and(measured);
            whole.selections = whole.selections.saturating_add(1);
        }
        whole.levels += 1;
        Ok(whole)
    }

    /// The measure of a fragment that is spread below `level` selection sets.
    fn fragment(&mut self, name: &str, level: usize, at: Pos) -> Result<Measured, Refusal> {
        // validation names those that do not exist
        let Some((name, fragment)) = self.fragments.get_key_value(name) else {
            return Ok(Measured::default());
        };
        match self.measured.get(name.as_str()) {
            Some(Fragment::Begun) => {
                let message = format!("the fragment {name} spreads itself");
                return Err(Refusal::new(Code::BadUserInput, message).at(at));
            }
            Some(Fragment::Done(measured)) if level + measured.levels <= MOST_LEVELS => {
                return Ok(*measured);
            }
            // not yet, or it lay less deep before: then the walk ends at what is too deep
            _ => {}
        }
        self.measured.insert(name.as_str(), Fragment::Begun);
        let ty = fragment.node.type_condition.node.on.node.as_str();
        let measured = self.set(ty, &fragment.node.selection_set.node, level)?;
        self.measured
            .insert(name.as_str(), Fragment::Done(measured));
        Ok(measured)
    }

    fn field(
        &mut self,
        parent: &str,
        field: &'d Positioned<Field>,
        level: usize,
    ) -> Result<Measured, Refusal> {
        let name = field.node.name.node.as_str();
        let set = &field.node.selection_set.node;
        if let Some(ty) = Index::introspection(name) {
            if !self.introspection {
                let message =
                    format!("{name} is not answered: introspection is off (GRAPHQL_INTROSPECTION)");
                return Err(Refusal::new(Code::Forbidden, message).at(field.pos));
            }
            return Ok(introspected(self.below(ty, set, level)?));
        }
        let index = self.index;
        let known = index.field(parent, name);
        self.count_unknown(parent, field, known)?;
        let page = match known {
            Some(known) if known.is_paged => pages::size(field, self.operation, self.variables)?,
            _ => pages::DEFAULT,
        };
        let below = self.below(known.map_or("", |known| known.ty.as_str()), set, level)?;
        let below_once = below
            .values
            .saturating_add(below.per_record.saturating_mul(page));
        let (values, per_record) = match known.map_or(Times::Once, |known| known.times) {
            Times::Once => (below_once, 0),
            Times::PerRecord => (0, below_once),
            Times::Plain(times) => (below_once.saturating_mul(times), 0),
            Times::PerId => {
                let ids = pages::ids(field, self.operation, self.variables);
                (below_once.saturating_mul(ids), 0)
            }
        };
        let leads_on = parent == "__Type"
            && matches!(
                name,
                "fields" | "interfaces" | "possibleTypes" | "inputFields"
            );
        Ok(Measured {
            depth: below.depth + 1,
            fields: 1,
            values: values.saturating_add(1),
            per_record,
            introspected_lists: below.introspected_lists + usize::from(leads_on),
            ..below
        })
    }

    fn below(
        &mut self,
        ty: &str,
        set: &'d SelectionSet,
        level: usize,
    ) -> Result<Measured, Refusal> {
        if set.items.is_empty() {
            return Ok(Measured::default());
        }
        self.set(ty, set, level + 1)
    }

    /// Ends the walk when too many names are unknown to be looked up among like ones.
    fn count_unknown(
        &mut self,
        parent: &str,
        field: &Positioned<Field>,
        known: Option<&FieldOf>,
    ) -> Result<(), Refusal> {
        let name = field.node.name.node.as_str();
        let arguments = field.node.arguments.iter();
        self.unknown += match known {
            Some(known) => arguments
                .filter(|(argument, _)| !known.arguments.contains(argument.node.as_str()))
                .count(),
            None if name == "__typename" || !self.index.knows(parent) => 0,
            None => 1,
        };
        if self.unknown <= MOST_UNKNOWN {
            return Ok(());
        }
        let message = format!(
            "more than {MOST_UNKNOWN} fields and arguments do not exist, among them some of {parent}.{name}"
        );
        Err(Refusal::new(Code::BadUserInput, message).at(field.pos))
    }
}

/// What stands below `__schema` or `__type` counts for itself, not for the answer of the mirror.
fn introspected(below: Measured) -> Measured {
    Measured {
        depth: below.depth + 1,
        fields: 1,
        values: 1,
        per_record: 0,
        introspected: below
            .introspected
            .saturating_add(below.values)
            .saturating_add(1),
        ..below
    }
}
