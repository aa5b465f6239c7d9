//! Input types: the filters and orders of lists, made from the descriptions of the models.

use async_graphql::indexmap::IndexMap;
use async_graphql::registry::{MetaInputValue, MetaType, Registry};

use super::listing::filters_of;
use super::paging::{DEFAULT_PAGE, LARGEST_PAGE};
use super::types::{self, argument};
use crate::models;
use crate::models::filters::{Compared, Filter};
use crate::models::object::{Shape, Target};

/// Adds the input types of all lists.
pub(super) fn register(registry: &mut Registry, shapes: &[&'static Shape]) {
    add_operators(registry);
    types::add_words(
        registry,
        "OrderDirection",
        "Which end of an order comes first.",
        &[
            ("ASC", "The smallest first."),
            ("DESC", "The largest first."),
        ],
    );
    let records = models::OBJECTS
        .iter()
        .map(|object| Target::Mirrored(object));
    let others = shapes.iter().map(|shape| Target::Plain(shape));
    for target in records.chain(others) {
        let filters = filters_of(target);
        if !filters.is_empty() {
            add_filter(registry, types::name(target), filters);
        }
        if let Target::Mirrored(object) = target {
            add_order(registry, object.name, object.orders);
        }
    }
}

/// The arguments of a connection; `is_top`: of Query or an integration, where an answer's age can be limited.
pub(super) fn connection_arguments(target: Target, is_top: bool) -> Vec<MetaInputValue> {
    let name = types::name(target);
    let count = |which: &str| {
        format!(
            "The {which} records, from 0 to {LARGEST_PAGE}; {DEFAULT_PAGE} when neither first nor last is given."
        )
    };
    let mut arguments = vec![
        argument("first", "Int", None, &count("first")),
        argument(
            "after",
            "String",
            None,
            "Only what comes after this cursor.",
        ),
        argument("last", "Int", None, &count("last")),
        argument(
            "before",
            "String",
            None,
            "Only what comes before this cursor.",
        ),
    ];
    if !filters_of(target).is_empty() {
        arguments.push(argument(
            "filter",
            &format!("{name}Filter"),
            None,
            "Only records that fulfil this.",
        ));
    }
    if matches!(target, Target::Mirrored(_)) {
        arguments.push(argument(
            "orderBy",
            &format!("{name}Order"),
            None,
            "In which order; by Kombo's id when it is not given.",
        ));
        arguments.push(argument(
            "includeDeleted",
            "Boolean",
            Some("false"),
            "Also records that are deleted, by Kombo's word or by their absence.",
        ));
        if is_top {
            arguments.push(argument(
                "maxStalenessSeconds",
                "Int",
                None,
                "Data older than this is the error STALE_DATA instead of an answer.",
            ));
        }
    }
    arguments
}

fn add_order(registry: &mut Registry, name: &str, orders: &[models::filters::Order]) {
    let words: Vec<(&str, &str)> = orders
        .iter()
        .map(|order| (order.name, order.description))
        .collect();
    let field_type = format!("{name}OrderField");
    types::add_words(
        registry,
        &field_type,
        &format!("What `{name}` records can be ordered by."),
        &words,
    );
    add_input(
        registry,
        &format!("{name}Order"),
        "An order. Records that are equal in it follow by Kombo's id, so that each has one place.",
        [
            argument(
                "field",
                &format!("{field_type}!"),
                Some("KOMBO_ID"),
                "By what.",
            ),
            argument(
                "direction",
                "OrderDirection!",
                Some("ASC"),
                "Which end comes first.",
            ),
        ],
    );
}

fn add_filter(registry: &mut Registry, name: &str, filters: &[Filter]) {
    let own = format!("{name}Filter");
    let list = format!("[{own}!]");
    let combinators = [
        argument(
            "and",
            &list,
            None,
            "All of these; an empty list asks for nothing.",
        ),
        argument(
            "or",
            &list,
            None,
            "Any of these; an empty list is fulfilled by no record.",
        ),
        argument("not", &own, None, "The opposite of this."),
    ];
    let members = filters.iter().map(|filter| {
        let ty = operators(&filter.compared);
        argument(filter.name, &ty, None, filter.description)
    });
    add_input(
        registry,
        &own,
        "What a record must fulfil: all members that are given. A null equals nothing: `ne`, `notIn` and `not` are fulfilled by it.",
        combinators.into_iter().chain(members),
    );
    for filter in filters {
        let enum_name = match &filter.compared {
            Compared::Word(_, words) => words.name,
            Compared::Renamed(_, renamed) => renamed.name,
            _ => continue,
        };
        let list = format!("[{enum_name}!]");
        add_input(
            registry,
            &format!("{enum_name}Filter"),
            &format!("Tests of a `{enum_name}`; all that are given must hold."),
            [
                argument("eq", enum_name, None, "Equal."),
                argument("in", &list, None, "One of these."),
                argument("notIn", &list, None, "None of these."),
                is_null(),
            ],
        );
    }
}

/// The input type that tests a column.
fn operators(compared: &Compared) -> String {
    match compared {
        Compared::Id(_) => "IDFilter".to_owned(),
        Compared::Text(_) | Compared::TextIgnoringCase(_) => "StringFilter".to_owned(),
        Compared::Time(_) | Compared::Moment(_) => "DateTimeFilter".to_owned(),
        Compared::Flag(_) => "Boolean".to_owned(),
        Compared::Word(_, words) => format!("{}Filter", words.name),
        Compared::Renamed(_, renamed) => format!("{}Filter", renamed.name),
    }
}

fn is_null() -> MetaInputValue {
    argument(
        "isNull",
        "Boolean",
        None,
        "true: there is no value; false: there is one.",
    )
}

fn add_operators(registry: &mut Registry) {
    let equality = |ty: &str| {
        let list = format!("[{ty}!]");
        vec![
            argument("eq", ty, None, "Equal."),
            argument("ne", ty, None, "Not equal; a null is not equal."),
            argument("in", &list, None, "One of these, at most 500."),
            argument("notIn", &list, None, "None of these, at most 500."),
        ]
    };
    let mut of_ids = equality("ID");
    of_ids.push(is_null());
    add_input(
        registry,
        "IDFilter",
        "Tests of an id; all that are given must hold.",
        of_ids,
    );
    let mut of_texts = equality("String");
    of_texts.extend([
        argument("startsWith", "String", None, "Begins so."),
        argument(
            "containsIgnoreCase",
            "String",
            None,
            "Contains this, in upper or lower case; three or more characters are found by index.",
        ),
        is_null(),
    ]);
    add_input(
        registry,
        "StringFilter",
        "Tests of a text; all that are given must hold. Upper and lower case differ where nothing else is said.",
        of_texts,
    );
    let than = |name: &str, description: &str| argument(name, "DateTime", None, description);
    add_input(
        registry,
        "DateTimeFilter",
        "Tests of a moment; all that are given must hold.",
        [
            than("eq", "At this moment."),
            than("gt", "Later."),
            than("gte", "Later, or then."),
            than("lt", "Earlier."),
            than("lte", "Earlier, or then."),
            is_null(),
        ],
    );
}

fn add_input(
    registry: &mut Registry,
    name: &str,
    description: &str,
    fields: impl IntoIterator<Item = MetaInputValue>,
) {
    let input_fields: IndexMap<String, MetaInputValue> = fields
        .into_iter()
        .map(|field| (field.name.clone(), field))
        .collect();
    registry.types.insert(
        name.to_owned(),
        MetaType::InputObject {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            input_fields,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: None,
            oneof: false,
            directive_invocations: Vec::new(),
        },
    );
}
