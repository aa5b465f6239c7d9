//! Relay cursor connections over keyset pages.
//!
//! A page begins after the keys in its cursor, never at an offset: rows that are written meanwhile neither
//! shift nor repeat it (F67). A count costs its query only where it is asked for.

use async_graphql::ServerResult;
use chrono::DateTime;

use super::events::WEBHOOK_EVENT;
use super::ids;
use super::plan::{Plan, iso, json_object};
use super::select::Selected;
use super::types;
use crate::models::object::{Object, Relation, Target};

/// Records of a page when nothing else is asked for.
pub(super) const DEFAULT_PAGE: i32 = 50;
/// Records of a page at most; more is an error (F68).
pub(super) const LARGEST_PAGE: i32 = 500;

/// Which rows a connection runs over.
pub(super) enum Scope<'a> {
    /// All that the viewer may see.
    All,
    /// Those related to a row.
    Related {
        relation: &'a Relation,
        parent: &'a str,
        /// The parent's column that names its integration.
        integration: &'static str,
    },
}

/// The order of a connection: unique, so that a cursor names one place.
struct Order {
    /// Bound into the cursor.
    name: &'static str,
    /// Columns, most significant first, each with its type.
    keys: &'static [(&'static str, &'static str)],
    direction: &'static str,
    /// Rows behind a cursor compare so with it.
    comparison: &'static str,
}

const BY_KOMBO_ID: Order = Order {
    name: "KOMBO_ID",
    keys: &[("id", "text"), ("integration_id", "text")],
    direction: "ASC",
    comparison: ">",
};

const BY_ID: Order = Order {
    name: "ID",
    keys: &[("id", "text")],
    direction: "ASC",
    comparison: ">",
};

const NEWEST_FIRST: Order = Order {
    name: "NEWEST",
    keys: &[("id", "bigint")],
    direction: "DESC",
    comparison: "<",
};

const NEWEST_EVENT_FIRST: Order = Order {
    name: "NEWEST_EVENT",
    keys: &[("received_at", "timestamptz"), ("id", "text")],
    direction: "DESC",
    comparison: "<",
};

impl Order {
    fn of(target: Target) -> &'static Self {
        match target {
            Target::Mirrored(_) => &BY_KOMBO_ID,
            Target::Plain(shape) if shape.name == "Integration" => &BY_ID,
            Target::Plain(shape) if shape.name == WEBHOOK_EVENT.name => &NEWEST_EVENT_FIRST,
            Target::Plain(_) => &NEWEST_FIRST,
        }
    }

    /// Whether the keys of a cursor, which a client may have made up, have the types of the columns.
    fn accepts(&self, keys: &[String]) -> bool {
        self.keys.iter().zip(keys).all(|((_, ty), key)| match *ty {
            "bigint" => key.parse::<i64>().is_ok(),
            "timestamptz" => DateTime::parse_from_rfc3339(key).is_ok(),
            _ => true,
        })
    }

    fn columns(&self, alias: &str) -> Vec<String> {
        self.keys
            .iter()
            .map(|(column, _)| format!("{alias}.{column}"))
            .collect()
    }

    fn order_by(&self, alias: &str) -> String {
        self.columns(alias)
            .iter()
            .map(|column| format!("{column} {}", self.direction))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The arguments of a connection.
struct Page {
    first: i64,
    after: Option<Vec<String>>,
    include_deleted: bool,
}

impl Page {
    fn read<'q>(plan: &Plan<'q>, order: &Order, selected: &Selected<'q>) -> ServerResult<Self> {
        let first = plan.argument::<i32>(selected, "first")?;
        let first = first.unwrap_or(DEFAULT_PAGE);
        if !(0..=LARGEST_PAGE).contains(&first) {
            let message = format!("first must be from 0 to {LARGEST_PAGE}, not {first}");
            return Err(plan.refuse(selected, message));
        }
        let after = plan
            .argument::<String>(selected, "after")?
            .map(|cursor| {
                let keys = ids::read_cursor(&cursor, order.name, order.keys.len());
                keys.filter(|keys| order.accepts(keys)).ok_or_else(|| {
                    plan.refuse(selected, "after is no cursor of a connection in this order")
                })
            })
            .transpose()?;
        let include_deleted = plan.argument::<bool>(selected, "includeDeleted")?;
        Ok(Self {
            first: i64::from(first),
            after,
            include_deleted: include_deleted.unwrap_or(false),
        })
    }
}

/// SQL of a connection as a JSON object.
pub(super) fn connection<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    selected: &Selected<'q>,
) -> ServerResult<String> {
    let order = Order::of(target);
    let page = Page::read(plan, order, selected)?;
    let alias = plan.alias();
    let mut members = Vec::new();
    let mut reads_rows = false;
    let type_name = format!("{}Connection", types::name(target));
    for asked in plan.selected(&[&type_name], &selected.below) {
        reads_rows |= matches!(asked.name(), "nodes" | "edges" | "pageInfo");
        let value = match asked.name() {
            "__typename" => format!("'{type_name}'"),
            "totalCount" => total_count(plan, target, scope, &page),
            "freshness" => freshness(plan, target, scope, &asked),
            "nodes" => {
                let node = plan.object(target, &alias, &asked.below)?;
                page_list(&node, &alias, &page)
            }
            "edges" => edges(plan, target, order, &alias, &page, &asked)?,
            _ => page_info(plan, order, &alias, &page, &asked),
        };
        members.push((asked.response_name, value));
    }
    let object = json_object(&members);
    if !reads_rows {
        return Ok(format!("(SELECT {object})"));
    }
    let rows = rows(plan, target, scope, order, &page);
    let place = order.order_by("q");
    Ok(format!(
        "(SELECT {object} FROM (SELECT q.*, row_number() OVER (ORDER BY {place}) AS place_in_page \
         FROM ({rows}) q) {alias})"
    ))
}

/// The rows of a page, and one more that tells whether there is a next page.
fn rows(
    plan: &mut Plan<'_>,
    target: Target,
    scope: &Scope<'_>,
    order: &Order,
    page: &Page,
) -> String {
    let limit = page.first + 1;
    let inner = plan.alias();
    let mut conditions = vec![after(plan, order, &inner, page)];
    conditions.push(listed(target, &inner, page));
    let by = order.order_by(&inner);
    match scope {
        Scope::Related {
            relation, parent, ..
        } => {
            let rows = plan.related_rows(relation, &inner, parent);
            let conditions = conditions.concat();
            format!("SELECT {inner}.* FROM {rows}{conditions} ORDER BY {by} LIMIT {limit}")
        }
        Scope::All => {
            let conditions = conditions.concat();
            all_rows(plan, target, &inner, &conditions, &by, limit)
        }
    }
}

/// Rows over all visible integrations. Each integration gives its own first rows by its index, and the few
/// are merged: every index leads with `integration_id`, so that the tables can be distributed by it.
fn all_rows(
    plan: &mut Plan<'_>,
    target: Target,
    inner: &str,
    conditions: &str,
    by: &str,
    limit: i64,
) -> String {
    match target {
        Target::Mirrored(object) => {
            let visible = plan.visible("i.id");
            let table = object.table.name;
            let own_order = format!("{inner}.id");
            let merged = by.replace(&format!("{inner}."), "m.");
            format!(
                "SELECT m.* FROM integrations i CROSS JOIN LATERAL (SELECT {inner}.* FROM {table} {inner} \
                 WHERE {inner}.integration_id = i.id{conditions} \
                 ORDER BY {own_order} LIMIT {limit}) m WHERE {visible} ORDER BY {merged} LIMIT {limit}"
            )
        }
        Target::Plain(shape) => {
            let (table, integration) = types::root_table(shape);
            let visible = plan.visible(&format!("{inner}.{integration}"));
            format!(
                "SELECT {inner}.* FROM {table} {inner} WHERE {visible}{conditions} ORDER BY {by} LIMIT {limit}"
            )
        }
    }
}

/// Only rows behind the cursor. The leading key stands alone as well, since an index can be entered by it.
fn after(plan: &mut Plan<'_>, order: &Order, alias: &str, page: &Page) -> String {
    let Some(keys) = &page.after else {
        return String::new();
    };
    let bound: Vec<String> = keys
        .iter()
        .zip(order.keys)
        .map(|(key, (_, ty))| format!("{}::{ty}", plan.statement.text(key)))
        .collect();
    let columns = order.columns(alias);
    format!(
        " AND {} {}= {} AND ({}) {} ({})",
        columns[0],
        order.comparison,
        bound[0],
        columns.join(", "),
        order.comparison,
        bound.join(", "),
    )
}

/// Stubs are in no list, and deleted records only where they are asked for.
fn listed(target: Target, alias: &str, page: &Page) -> String {
    match target {
        Target::Mirrored(_) if page.include_deleted => format!(" AND NOT {alias}.incomplete"),
        Target::Mirrored(object) => {
            format!(
                " AND NOT {alias}.incomplete AND {}",
                object_alive(object, alias)
            )
        }
        Target::Plain(_) => String::new(),
    }
}

fn object_alive(object: &Object, alias: &str) -> String {
    if object.table.has_tombstones() {
        format!("{alias}.missing_since IS NULL AND {alias}.remote_deleted_at IS NULL")
    } else {
        format!("{alias}.missing_since IS NULL")
    }
}

fn page_list(item: &str, alias: &str, page: &Page) -> String {
    format!(
        "coalesce(json_agg({item} ORDER BY {alias}.place_in_page) \
         FILTER (WHERE {alias}.place_in_page <= {}), '[]'::json)",
        page.first
    )
}

fn edges<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    order: &Order,
    alias: &str,
    page: &Page,
    selected: &Selected<'q>,
) -> ServerResult<String> {
    let type_name = format!("{}Edge", types::name(target));
    let mut members = Vec::new();
    for asked in plan.selected(&[&type_name], &selected.below) {
        let value = match asked.name() {
            "__typename" => format!("'{type_name}'"),
            "cursor" => ids::cursor_sql(order.name, &order.columns(alias)),
            _ => plan.object(target, alias, &asked.below)?,
        };
        members.push((asked.response_name, value));
    }
    Ok(page_list(&json_object(&members), alias, page))
}

fn page_info<'q>(
    plan: &Plan<'q>,
    order: &Order,
    alias: &str,
    page: &Page,
    selected: &Selected<'q>,
) -> String {
    let cursor = ids::cursor_sql(order.name, &order.columns(alias));
    let end = |direction: &str| {
        format!(
            "(array_agg({cursor} ORDER BY {alias}.place_in_page {direction}) \
             FILTER (WHERE {alias}.place_in_page <= {}))[1]",
            page.first
        )
    };
    let members: Vec<(&str, String)> = plan
        .selected(&["PageInfo"], &selected.below)
        .into_iter()
        .map(|asked| {
            let value = match asked.name() {
                "__typename" => "'PageInfo'".to_owned(),
                "hasNextPage" => format!("count(*) > {}", page.first),
                // what lies before a cursor is at least the row that the cursor names
                "hasPreviousPage" => page.after.is_some().to_string(),
                "startCursor" => end("ASC"),
                _ => end("DESC"),
            };
            (asked.response_name, value)
        })
        .collect();
    json_object(&members)
}

fn total_count(plan: &mut Plan<'_>, target: Target, scope: &Scope<'_>, page: &Page) -> String {
    let alias = plan.alias();
    let listed = listed(target, &alias, page);
    match (scope, target) {
        (
            Scope::Related {
                relation, parent, ..
            },
            _,
        ) => {
            let rows = plan.related_rows(relation, &alias, parent);
            format!("(SELECT count(*) FROM {rows}{listed})")
        }
        (Scope::All, Target::Mirrored(object)) => {
            let visible = plan.visible(&format!("{alias}.integration_id"));
            let table = object.table.name;
            format!("(SELECT count(*) FROM {table} {alias} WHERE {visible}{listed})")
        }
        (Scope::All, Target::Plain(shape)) => {
            let (table, integration) = types::root_table(shape);
            let visible = plan.visible(&format!("{alias}.{integration}"));
            format!("(SELECT count(*) FROM {table} {alias} WHERE {visible})")
        }
    }
}

/// Seconds since a watermark by Kombo's clock, which may be a little ahead of ours; null without one.
fn lag_seconds(now: &str, watermark: &str) -> String {
    format!(
        "(CASE WHEN {watermark} > {now} THEN 0 ELSE extract(epoch FROM {now} - {watermark}) END)::float8"
    )
}

/// How old the answer may be: the oldest of the endpoints and integrations that it is read from. What a
/// connector does not have is never fetched and makes no answer older.
fn freshness<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    selected: &Selected<'q>,
) -> String {
    let endpoints: Vec<String> = match target {
        Target::Mirrored(object) => object
            .endpoints
            .iter()
            .map(|name| format!("'{name}'"))
            .collect(),
        Target::Plain(_) => Vec::new(),
    };
    let of = match scope {
        Scope::All => plan.visible("s.integration_id"),
        Scope::Related {
            parent,
            integration,
            ..
        } => format!("s.integration_id = {parent}.{integration}"),
    };
    let now = plan.fill("{now}", "", "");
    let oldest = "CASE WHEN count(*) = count(s.watermark) THEN min(s.watermark) END";
    let members: Vec<(&str, String)> = plan
        .selected(&["Freshness"], &selected.below)
        .into_iter()
        .map(|asked| {
            let value = match asked.name() {
                "__typename" => "'Freshness'".to_owned(),
                "asOf" => iso(&format!("({oldest})")),
                "lagSeconds" => lag_seconds(&now, &format!("({oldest})")),
                _ => "coalesce(bool_and(s.watermark IS NOT NULL AND s.error_code IS NULL \
                      AND s.removals_held_back = 0), true)"
                    .to_owned(),
            };
            (asked.response_name, value)
        })
        .collect();
    format!(
        "(SELECT {} FROM endpoint_states s JOIN integrations f ON f.id = s.integration_id \
         WHERE f.deleted_at IS NULL AND s.available AND s.endpoint IN ({}) AND {of})",
        json_object(&members),
        endpoints.join(", "),
    )
}
