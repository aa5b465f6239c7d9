//! What a connection was asked for: how many records, from where, in which order, and which.
//!
//! Everything of a client is checked here, before a statement is made.

use std::fmt::Write as _;

use async_graphql::{ServerResult, Value};
use chrono::{DateTime, Datelike as _, SecondsFormat};
use sha2::{Digest as _, Sha256};

use super::filter::Condition;
use super::ids;
use super::listing::{Ordering, filters_of};
use super::plan::Plan;
use super::select::Selected;
use crate::models::object::Target;

/// Records of a page when nothing else is asked for.
pub(super) const DEFAULT_PAGE: i32 = 50;
/// Records of a page at most; more is an error (F68).
pub(super) const LARGEST_PAGE: i32 = 500;

/// A page as asked for.
pub(super) struct Page {
    /// Records at most.
    pub(super) size: i64,
    /// Read from its end: the last records before a place.
    pub(super) backward: bool,
    /// The keys of the record before the page.
    pub(super) after: Option<Vec<String>>,
    /// The keys of the record behind it.
    pub(super) before: Option<Vec<String>>,
    pub(super) include_deleted: bool,
    pub(super) filter: Condition,
    pub(super) ordering: Ordering,
    /// What a cursor of this list begins with.
    pub(super) label: String,
}

impl Page {
    /// Reads the arguments of a connection.
    ///
    /// # Errors
    /// One sentence that names the argument that is wrong.
    pub(super) fn read<'q>(
        plan: &Plan<'q>,
        target: Target,
        selected: &Selected<'q>,
    ) -> ServerResult<Self> {
        let include_deleted = plan.argument::<bool>(selected, "includeDeleted")?;
        let include_deleted = include_deleted.unwrap_or(false);
        let filter = filter(plan, target, selected)?;
        let ordering = ordering(plan, target, selected)?;
        let label = label(target, &ordering, &filter, include_deleted);
        let first = size(plan, selected, "first")?;
        let last = size(plan, selected, "last")?;
        let cursor = |name| cursor(plan, selected, name, &ordering, &label);
        let (after, before) = (cursor("after")?, cursor("before")?);
        if first.is_some() && last.is_some() {
            return Err(plan.refuse(selected, "give first or last, not both"));
        }
        // a client that only says what the page comes before goes backward
        let backward = last.is_some() || (first.is_none() && before.is_some() && after.is_none());
        Ok(Self {
            size: i64::from(first.or(last).unwrap_or(DEFAULT_PAGE)),
            backward,
            after,
            before,
            include_deleted,
            filter,
            ordering,
            label,
        })
    }
}

fn size<'q>(plan: &Plan<'q>, selected: &Selected<'q>, name: &str) -> ServerResult<Option<i32>> {
    let size = plan.argument::<i32>(selected, name)?;
    if let Some(size) = size
        && !(0..=LARGEST_PAGE).contains(&size)
    {
        let message = format!("{name} must be from 0 to {LARGEST_PAGE}, not {size}");
        return Err(plan.refuse(selected, message));
    }
    Ok(size)
}

/// The argument `filter`, as a condition.
pub(super) fn filter<'q>(
    plan: &Plan<'q>,
    target: Target,
    selected: &Selected<'q>,
) -> ServerResult<Condition> {
    match plan.given(selected, "filter") {
        None => Ok(Condition::always()),
        Some(value) => Condition::read(filters_of(target), &value)
            .map_err(|message| plan.refuse(selected, format!("filter: {message}"))),
    }
}

fn ordering<'q>(
    plan: &Plan<'q>,
    target: Target,
    selected: &Selected<'q>,
) -> ServerResult<Ordering> {
    let object = match target {
        Target::Mirrored(object) => object,
        Target::Plain(shape) => return Ok(Ordering::of_shape(shape)),
    };
    let given = plan.given(selected, "orderBy");
    let members = match &given {
        None | Some(Value::Null) => None,
        Some(Value::Object(members)) => Some(members),
        // the library does not look at what a variable of an input type holds
        Some(_) => return Err(plan.refuse(selected, "orderBy is an object")),
    };
    let member = |name: &str| members?.get(name).and_then(word);
    let order = match member("field") {
        None => object.orders.first(),
        Some(field) => object.orders.iter().find(|order| order.name == field),
    };
    let order = order.ok_or_else(|| plan.refuse(selected, "orderBy names no field"))?;
    let descending = member("direction").is_some_and(|direction| direction == "DESC");
    Ok(Ordering::of_records(order, descending))
}

/// An enum's value, as a literal or from a variable.
pub(super) fn word(value: &Value) -> Option<&str> {
    match value {
        Value::Enum(word) => Some(word.as_str()),
        Value::String(word) => Some(word),
        _ => None,
    }
}

/// Order and filter, so that no cursor is used for another list than its own (F19, F67). A place in the change
/// feed stays good for any filter: whoever narrows or widens it goes on from where they were.
fn label(target: Target, ordering: &Ordering, filter: &Condition, include_deleted: bool) -> String {
    let is_bound = matches!(target, Target::Mirrored(_));
    if !is_bound || (filter.is_always() && !include_deleted) {
        return ordering.name.clone();
    }
    let asked = format!("{include_deleted} {}", filter.text());
    let digest = Sha256::digest(asked.as_bytes());
    let mut label = format!("{} ", ordering.name);
    for byte in &digest[..6] {
        // writing to a string cannot fail
        let _ = write!(label, "{byte:02x}");
    }
    label
}

fn cursor<'q>(
    plan: &Plan<'q>,
    selected: &Selected<'q>,
    name: &str,
    ordering: &Ordering,
    label: &str,
) -> ServerResult<Option<Vec<String>>> {
    let Some(cursor) = plan.argument::<String>(selected, name)? else {
        return Ok(None);
    };
    let keys = ids::read_cursor(&cursor, label, ordering.keys.len());
    let keys = keys.and_then(|keys| typed(ordering, keys));
    keys.map(Some).ok_or_else(|| {
        plan.refuse(
            selected,
            format!("{name} is no cursor of a list in this order with this filter"),
        )
    })
}

/// The keys of a cursor, which a client may have made up, as Postgres reads them; `None`: one is not of its column's
/// type.
fn typed(ordering: &Ordering, keys: Vec<String>) -> Option<Vec<String>> {
    let typed = ordering
        .keys
        .iter()
        .zip(keys)
        .map(|(known, key)| match known.ty {
            "bigint" => key.parse().ok().map(|number: i64| number.to_string()),
            "timestamptz" => moment(key),
            _ => Some(key),
        });
    typed.collect()
}

/// A moment that Postgres can hold: it knows other offsets than RFC 3339 has, and no year 0.
fn moment(key: String) -> Option<String> {
    if key == "-infinity" {
        return Some(key);
    }
    let moment = DateTime::parse_from_rfc3339(&key).ok()?.to_utc();
    (1..=9999)
        .contains(&moment.year())
        .then(|| moment.to_rfc3339_opts(SecondsFormat::Micros, true))
}
