//! Connections: the rows of a list in their order, a page of them, and what is said about it.

use std::sync::Arc;

use async_graphql::Value;

use super::data::Row;
use super::execute::Execution;
use super::filter;
use super::opaque::{Key, Opaque, Place};
use super::request::{self, Arguments};
use super::status::Freshness;
use super::{Found, Json, Outcome, Thing, Trouble, What};

/// Records of a page when nothing else is said.
const DEFAULT_PAGE: usize = 50;
/// Records of a page at most.
const LARGEST_PAGE: i64 = 500;
/// Characters of a text that count in an order.
const ORDERED_CHARACTERS: usize = 200;

/// Over what a list runs.
pub(super) struct Scope {
    rows: Vec<Arc<Row>>,
    /// Whose data it is: what its freshness looks at.
    integrations: Vec<String>,
    /// Whether a filter by integration leaves fewer of them.
    is_narrowed: bool,
}

impl Scope {
    pub(super) fn of_one(integration: &str, rows: Vec<Arc<Row>>) -> Self {
        Self {
            rows,
            integrations: vec![integration.to_owned()],
            is_narrowed: false,
        }
    }

    pub(super) fn of_all(integrations: Vec<String>, rows: Vec<Arc<Row>>) -> Self {
        Self {
            rows,
            integrations,
            is_narrowed: true,
        }
    }
}

/// A page of a list.
pub(super) struct Page {
    ty: String,
    /// With what they are ordered by.
    rows: Vec<(Vec<Key>, Arc<Row>)>,
    total: usize,
    has_next: bool,
    has_previous: bool,
    order: Order,
    list: String,
    pub(super) freshness: Freshness,
}

/// In which order a list is.
pub(super) struct Order {
    /// The word that was asked for; empty where a list has one order only.
    word: String,
    descending: bool,
}

impl Order {
    /// The order of a list, by its argument.
    fn read(ty: &str, asked: Option<&Value>) -> Self {
        let member = |name: &str| match asked {
            Some(Value::Object(members)) => members.get(name).map(request::text),
            _ => None,
        };
        match ty {
            "SyncRun" | "WebhookEvent" => Self {
                word: String::new(),
                descending: true,
            },
            "Integration" | "RecordChange" | "ParkedRecord" | "SchemaDrift" | "HeldBackRemoval" => {
                Self {
                    word: String::new(),
                    descending: false,
                }
            }
            _ => Self {
                word: member("field").unwrap_or_else(|| "KOMBO_ID".to_owned()),
                descending: member("direction").is_some_and(|direction| direction == "DESC"),
            },
        }
    }

    /// As one word; a list without orders has one of its own.
    fn name(&self, ty: &str) -> String {
        let direction = if self.descending { "DESC" } else { "ASC" };
        let of = if self.word.is_empty() { ty } else { &self.word };
        format!("{of} {direction}")
    }
}

fn text(row: &Row, column: &str) -> Key {
    Key::Text(row.text(column).unwrap_or_default().to_owned())
}

fn number(row: &Row, column: &str) -> Key {
    Key::Number(row.number(column).unwrap_or(i64::MIN))
}

fn micros(row: &Row, column: &str) -> Key {
    let moment = row.moment(column);
    Key::Moment(moment.map_or(i64::MIN, |moment| moment.timestamp_micros()))
}

impl Execution<'_> {
    /// What a row is ordered by; unique within a list.
    fn keys(&self, ty: &str, order: &Order, row: &Row) -> Vec<Key> {
        let texts = |columns: &[&str]| columns.iter().map(|column| text(row, column)).collect();
        match ty {
            "Integration" => texts(&["id"]),
            "SyncRun" => vec![number(row, "id")],
            "WebhookEvent" => vec![micros(row, "received_at"), text(row, "id")],
            "RecordChange" => vec![number(row, "sequence")],
            "ParkedRecord" => texts(&["integration_id", "endpoint", "id"]),
            "SchemaDrift" => texts(&["integration_id", "table_name", "kind", "name"]),
            "HeldBackRemoval" => texts(&["table_name", "id", "linked_id"]),
            _ => {
                let by = self.leading_key(ty, &order.word, row);
                let own = [text(row, "id"), text(row, "integration_id")];
                by.into_iter().chain(own).collect()
            }
        }
    }

    /// Moments with null as the smallest; texts by code point, with null as an empty one.
    fn leading_key(&self, ty: &str, word: &str, row: &Row) -> Option<Key> {
        let column = word.to_lowercase();
        let title = self.title(row);
        let value = match (ty, word) {
            (_, "KOMBO_ID") => return None,
            (_, word) if word.ends_with("_AT") => return Some(micros(row, &column)),
            ("Course", "TITLE") => title.as_text().unwrap_or_default().to_owned(),
            (_, "WORK_EMAIL") => row.text(&column).unwrap_or_default().to_lowercase(),
            _ => row.text(&column).unwrap_or_default().to_owned(),
        };
        Some(Key::Text(value.chars().take(ORDERED_CHARACTERS).collect()))
    }

    /// Refuses what no list can be asked for.
    pub(super) fn check_arguments(&self, target: &str, arguments: &Arguments) -> Outcome<()> {
        let filter = arguments.get("filter").cloned().unwrap_or(Value::Null);
        filter::refuse_nulls(&filter)?;
        if arguments.number("maxStalenessSeconds")? < Some(0)
            && arguments.get("maxStalenessSeconds").is_some()
        {
            return Err(Trouble::Refused);
        }
        let Some(ty) = target.strip_suffix("Connection") else {
            return Ok(());
        };
        let is_record = self.reference.sdl.records().contains(&ty);
        let order = Order::read(ty, arguments.get("orderBy"));
        let includes_deleted = arguments.is("includeDeleted");
        let list = list_name(ty, is_record, &order, &filter, includes_deleted);
        Asked::read(self, ty, &order, &list, arguments).map(drop)
    }

    /// The page of a list that the arguments ask for.
    pub(super) fn page(&self, ty: &str, scope: Scope, arguments: &Arguments) -> Outcome<Found> {
        let filter = arguments.get("filter").cloned().unwrap_or(Value::Null);
        let is_record = self.reference.sdl.records().contains(&ty);
        let includes_deleted = arguments.is("includeDeleted");
        let order = Order::read(ty, arguments.get("orderBy"));
        let list = list_name(ty, is_record, &order, &filter, includes_deleted);
        let asked = Asked::read(self, ty, &order, &list, arguments)?;
        let mut integrations = scope.integrations;
        if scope.is_narrowed {
            filter::keep_integrations(&filter, &mut integrations);
        }
        let freshness = self.freshness(ty, &integrations);
        refuse_stale(&freshness, arguments)?;
        let mut rows = Vec::new();
        for row in scope.rows {
            let is_shown =
                !is_record || row.is_alive() || (includes_deleted && !row.is("incomplete"));
            if is_shown && self.fulfils(ty, &row, &filter) {
                rows.push((self.keys(ty, &order, &row), row));
            }
        }
        let total = rows.len();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        if order.descending {
            rows.reverse();
        }
        let is_behind = |keys: &[Key], place: &[Key]| {
            if order.descending {
                keys < place
            } else {
                keys > place
            }
        };
        rows.retain(|(keys, _)| {
            asked
                .after
                .as_ref()
                .is_none_or(|place| is_behind(keys, place))
                && asked
                    .before
                    .as_ref()
                    .is_none_or(|place| is_behind(place, keys))
        });
        let there_are_others = rows.len() > asked.size;
        if asked.is_backward {
            rows.drain(..rows.len().saturating_sub(asked.size));
        } else {
            rows.truncate(asked.size);
        }
        let page = Page {
            ty: ty.to_owned(),
            rows,
            total,
            // what lies beyond a cursor is at least the record that it names
            has_next: asked.before.is_some() || (there_are_others && !asked.is_backward),
            has_previous: asked.after.is_some() || (there_are_others && asked.is_backward),
            order,
            list,
            freshness,
        };
        Ok(Found::One(Some(Thing {
            ty: format!("{ty}Connection"),
            what: What::Page(Arc::new(page)),
        })))
    }
}

impl Page {
    /// What a field of the connection has.
    pub(super) fn field(self: &Arc<Self>, name: &str) -> Found {
        let one = |ty: &str, what: What| {
            let ty = ty.to_owned();
            Some(Thing { ty, what })
        };
        let positions = 0..self.rows.len();
        match name {
            "nodes" => Found::Many(
                positions
                    .map(|position| Some(self.node(position)))
                    .collect(),
            ),
            "edges" => {
                let ty = format!("{}Edge", self.ty);
                Found::Many(
                    positions
                        .map(|position| one(&ty, What::Edge(self.clone(), position)))
                        .collect(),
                )
            }
            "pageInfo" => Found::One(one("PageInfo", What::PageInfo(self.clone()))),
            "freshness" => Found::One(one("Freshness", What::Freshness(self.clone()))),
            _ => Found::Leaf(Json::number(self.total)),
        }
    }

    /// What a field of an edge has.
    pub(super) fn of_edge(&self, position: usize, name: &str) -> Found {
        match name {
            "node" => Found::One(Some(self.node(position))),
            _ => Found::Leaf(self.cursor(Some(position))),
        }
    }

    /// What a field of the page's info has.
    pub(super) fn info(&self, name: &str) -> Json {
        match name {
            "hasNextPage" => Json::Bool(self.has_next),
            "hasPreviousPage" => Json::Bool(self.has_previous),
            "startCursor" => self.cursor((!self.rows.is_empty()).then_some(0)),
            _ => self.cursor(self.rows.len().checked_sub(1)),
        }
    }

    fn node(&self, position: usize) -> Thing {
        Thing::row(&self.ty, self.rows[position].1.clone())
    }

    fn cursor(&self, position: Option<usize>) -> Json {
        position.map_or(Json::Null, |position| {
            Json::Opaque(Opaque::Cursor(Place {
                order: self.order.name(&self.ty),
                keys: self.rows[position].0.clone(),
                list: self.list.clone(),
            }))
        })
    }
}

/// What a page was asked for.
struct Asked {
    size: usize,
    is_backward: bool,
    after: Option<Vec<Key>>,
    before: Option<Vec<Key>>,
}

impl Asked {
    fn read(
        execution: &Execution<'_>,
        ty: &str,
        order: &Order,
        list: &str,
        arguments: &Arguments,
    ) -> Outcome<Self> {
        let size = |name| match arguments.number(name)? {
            Some(size) if !(0..=LARGEST_PAGE).contains(&size) => Err(Trouble::Refused),
            size => Ok(size),
        };
        let (first, last) = (size("first")?, size("last")?);
        if first.is_some() && last.is_some() {
            return Err(Trouble::Refused);
        }
        let place = |name| match arguments.text(name) {
            None => Ok(None),
            Some(cursor) => {
                let place = execution.register.place(&cursor, list);
                let (place, is_of_list) = place.ok_or(Trouble::Refused)?;
                match (place.order == order.name(ty), is_of_list) {
                    (false, _) => Err(Trouble::Refused),
                    (true, false) => Err(Trouble::Undecided),
                    (true, true) => Ok(Some(place.keys.clone())),
                }
            }
        };
        let (after, before) = (place("after")?, place("before")?);
        let size = first.or(last).and_then(|size| usize::try_from(size).ok());
        Ok(Self {
            size: size.unwrap_or(DEFAULT_PAGE),
            // who only says what the page comes before goes backward
            is_backward: last.is_some() || (first.is_none() && before.is_some() && after.is_none()),
            after,
            before,
        })
    }
}

/// What tells lists apart whose cursors may not be mixed.
fn list_name(
    ty: &str,
    is_record: bool,
    order: &Order,
    filter: &Value,
    includes_deleted: bool,
) -> String {
    if !is_record {
        return ty.to_owned();
    }
    let filter = match filter {
        Value::Object(members) if members.is_empty() => &Value::Null,
        filter => filter,
    };
    format!("{ty} {} {includes_deleted} {filter}", order.name(ty))
}

fn refuse_stale(freshness: &Freshness, arguments: &Arguments) -> Outcome<()> {
    let Some(most) = arguments.number("maxStalenessSeconds")? else {
        return Ok(());
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds of a 32-bit integer")]
    let is_stale = freshness.lag_seconds.is_some_and(|lag| lag > most as f64);
    if freshness.is_missing || is_stale {
        return Err(Trouble::Refused);
    }
    Ok(())
}

/// The name of a list of a type, for who wants a cursor of it.
pub(crate) fn name_of_list(
    reference: &super::Reference,
    ty: &str,
    order_by: Option<&Value>,
    filter: Option<&Value>,
    includes_deleted: bool,
) -> String {
    let is_record = reference.sdl.records().contains(&ty);
    let filter = filter.cloned().unwrap_or(Value::Null);
    let order = Order::read(ty, order_by);
    list_name(ty, is_record, &order, &filter, includes_deleted)
}
