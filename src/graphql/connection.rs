//! Relay cursor connections over keyset pages.
//!
//! A page begins after the keys in its cursor, never at an offset: rows that are written meanwhile neither
//! shift nor repeat it (F67). A count costs its query only where it is asked for.

use async_graphql::ServerResult;

use super::freshness::{freshness, not_stale};
use super::listing::{ByIntegration, Place, place};
use super::paging::Page;
use super::plan::{Plan, json_object};
use super::select::Selected;
use super::{filter_sql, ids, types};
use crate::models::object::{Object, Relation, Target};

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

/// SQL of a connection as a JSON object.
pub(super) fn connection<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    selected: &Selected<'q>,
) -> ServerResult<String> {
    let page = Page::read(plan, target, selected)?;
    let alias = plan.alias();
    let mut members = Vec::new();
    let mut reads_rows = false;
    let type_name = format!("{}Connection", types::name(target));
    for asked in plan.selected(&[&type_name], &selected.below)? {
        reads_rows |= matches!(asked.name(), "nodes" | "edges" | "pageInfo");
        let value = match asked.name() {
            "__typename" => format!("'{type_name}'"),
            "totalCount" => total_count(plan, target, scope, &page),
            "freshness" => freshness(plan, target, scope, &page, &asked)?,
            "nodes" => {
                let node = plan.object(target, &alias, &asked.below)?;
                page_list(&node, &alias, &page)
            }
            "edges" => edges(plan, target, &alias, &page, &asked)?,
            _ => page_info(plan, &alias, &page, &asked)?,
        };
        members.push((asked.response_name, value));
    }
    let object = json_object(&members);
    let answer = if reads_rows {
        let rows = rows(plan, target, scope, &page);
        let place = page.ordering.order_by("q", page.backward);
        // one row even where nothing in it counts rows, such as `pageInfo { hasPreviousPage }`
        format!(
            "(SELECT {object} FROM (SELECT q.*, row_number() OVER (ORDER BY {place}) AS place_in_page \
             FROM ({rows}) q) {alias} HAVING true)"
        )
    } else {
        format!("(SELECT {object})")
    };
    not_stale(plan, target, scope, &page, selected, answer)
}

/// The rows of a page, and one more that tells whether there are others, in the order of reading.
fn rows(plan: &mut Plan<'_>, target: Target, scope: &Scope<'_>, page: &Page) -> String {
    let inner = plan.alias();
    let conditions = [
        behind(plan, page, &inner, page.after.as_deref(), true),
        behind(plan, page, &inner, page.before.as_deref(), false),
        listed(plan, target, &inner, page),
    ]
    .concat();
    match scope {
        Scope::All => all_rows(plan, target, page, &inner, &conditions),
        Scope::Related {
            relation, parent, ..
        } => related_rows(plan, relation, parent, page, &inner, &conditions),
    }
}

fn first(order_by: &str, page: &Page) -> String {
    // one more than asked for tells whether there are others
    format!("ORDER BY {order_by} LIMIT {}", page.size + 1)
}

fn related_rows(
    plan: &mut Plan<'_>,
    relation: &Relation,
    parent: &str,
    page: &Page,
    inner: &str,
    conditions: &str,
) -> String {
    let order = page.ordering.order_by(inner, page.backward);
    let Some(through) = &relation.through else {
        let rows = plan.related_rows(relation, inner, parent);
        let first = first(&order, page);
        return format!("SELECT {inner}.* FROM {rows}{conditions} {first}");
    };
    let between = plan.alias();
    let fill = |plan: &Plan<'_>, sql: &str| plan.fill(&sql.replace("{m}", &between), inner, parent);
    let (between_from, between_on) = (fill(plan, through.from), fill(plan, through.on));
    let (from, on) = (fill(plan, relation.from), fill(plan, relation.on));
    merged(
        &between_from,
        &format!("SELECT {inner}.* FROM {from} WHERE {on}{conditions}"),
        &order,
        &between_on,
        page,
    )
}

/// The first rows of each row of `outer`, by index, and of these few the first.
fn merged(outer: &str, inner: &str, order: &str, on: &str, page: &Page) -> String {
    let of_each = first(order, page);
    let of_all = first(&page.ordering.order_by("m", page.backward), page);
    format!("SELECT m.* FROM {outer} CROSS JOIN LATERAL ({inner} {of_each}) m WHERE {on} {of_all}")
}

/// Rows over all visible integrations. Each integration gives its own first rows by its index, and the few
/// are merged: every index leads with `integration_id`, so that the tables can be distributed by it.
fn all_rows(
    plan: &mut Plan<'_>,
    target: Target,
    page: &Page,
    inner: &str,
    conditions: &str,
) -> String {
    let place = place(target);
    let (table, integration) = (place.table, place.integration);
    let order = page.ordering.order_by(inner, page.backward);
    if goes_by_integration(plan, &place, page) {
        let visible = plan.visible("i.id");
        let narrowed = plan.narrowed(&page.filter, "i.id");
        return merged(
            "integrations i",
            &format!(
                "SELECT {inner}.* FROM {table} {inner} WHERE {inner}.integration_id = i.id{conditions}"
            ),
            &order,
            &format!("{visible}{narrowed}"),
            page,
        );
    }
    let visible = plan.visible(&format!("{inner}.{integration}"));
    let first = first(&order, page);
    format!("SELECT {inner}.* FROM {table} {inner} WHERE {visible}{conditions} {first}")
}

fn goes_by_integration(plan: &Plan<'_>, place: &Place, page: &Page) -> bool {
    match place.by_integration {
        ByIntegration::Always => true,
        ByIntegration::WhenNarrowed => plan.is_narrowed(&page.filter),
        ByIntegration::Never => false,
    }
}

/// Only rows behind a cursor, or before it. The leading key stands alone as well, since an index can be entered
/// by it.
fn behind(
    plan: &mut Plan<'_>,
    page: &Page,
    alias: &str,
    keys: Option<&[String]>,
    is_after: bool,
) -> String {
    let Some(keys) = keys else {
        return String::new();
    };
    let ordering = &page.ordering;
    let bound: Vec<String> = keys
        .iter()
        .zip(&ordering.keys)
        .map(|(key, known)| format!("{}::{}", plan.statement.text(key), known.ty))
        .collect();
    let columns = ordering.columns(alias);
    let comparison = if is_after == ordering.descending {
        "<"
    } else {
        ">"
    };
    format!(
        " AND {} {comparison}= {} AND ({}) {comparison} ({})",
        columns[0],
        bound[0],
        columns.join(", "),
        bound.join(", "),
    )
}

/// What a list shows: stubs never, deleted records only where they are asked for, and what fulfils the filter.
pub(super) fn listed(plan: &mut Plan<'_>, target: Target, alias: &str, page: &Page) -> String {
    let alive = match target {
        Target::Mirrored(_) if page.include_deleted => format!(" AND NOT {alias}.incomplete"),
        Target::Mirrored(object) => alive(object, alias),
        Target::Plain(_) => String::new(),
    };
    if page.filter.is_always() {
        return alive;
    }
    let filter = filter_sql::condition(&mut plan.statement, &page.filter, alias);
    format!("{alive} AND {filter}")
}

/// Only records that Kombo shows as they are.
pub(super) fn alive(object: &Object, alias: &str) -> String {
    let tombstones = if object.table.has_tombstones() {
        format!(" AND {alias}.remote_deleted_at IS NULL")
    } else {
        String::new()
    };
    format!(" AND NOT {alias}.incomplete AND {alias}.missing_since IS NULL{tombstones}")
}

fn page_list(item: &str, alias: &str, page: &Page) -> String {
    let direction = if page.backward { "DESC" } else { "ASC" };
    format!(
        "coalesce(json_agg({item} ORDER BY {alias}.place_in_page {direction}) \
         FILTER (WHERE {alias}.place_in_page <= {}), '[]'::json)",
        page.size
    )
}

fn edges<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    alias: &str,
    page: &Page,
    selected: &Selected<'q>,
) -> ServerResult<String> {
    let type_name = format!("{}Edge", types::name(target));
    let mut members = Vec::new();
    for asked in plan.selected(&[&type_name], &selected.below)? {
        let value = match asked.name() {
            "__typename" => format!("'{type_name}'"),
            "cursor" => ids::cursor_sql(&page.label, &page.ordering.columns(alias)),
            _ => plan.object(target, alias, &asked.below)?,
        };
        members.push((asked.response_name, value));
    }
    Ok(page_list(&json_object(&members), alias, page))
}

fn page_info<'q>(
    plan: &Plan<'q>,
    alias: &str,
    page: &Page,
    selected: &Selected<'q>,
) -> ServerResult<String> {
    let cursor = ids::cursor_sql(&page.label, &page.ordering.columns(alias));
    // in the order of reading, which for a backward page is from its end
    let read = |direction: &str| {
        format!(
            "(array_agg({cursor} ORDER BY {alias}.place_in_page {direction}) \
             FILTER (WHERE {alias}.place_in_page <= {}))[1]",
            page.size
        )
    };
    let there_are_others = format!("count(*) > {}", page.size);
    // what lies beyond a cursor is at least the row that the cursor names
    let beyond = |cursor: &Option<Vec<String>>| cursor.is_some().to_string();
    let either = |cursor| format!("({there_are_others} OR {})", beyond(cursor));
    let members: Vec<(&str, String)> = plan
        .selected(&["PageInfo"], &selected.below)?
        .into_iter()
        .map(|asked| {
            let value = match (asked.name(), page.backward) {
                ("__typename", _) => "'PageInfo'".to_owned(),
                ("hasNextPage", false) => either(&page.before),
                ("hasNextPage", true) => beyond(&page.before),
                ("hasPreviousPage", false) => beyond(&page.after),
                ("hasPreviousPage", true) => either(&page.after),
                ("startCursor", false) | ("endCursor", true) => read("ASC"),
                _ => read("DESC"),
            };
            (asked.response_name, value)
        })
        .collect();
    Ok(json_object(&members))
}

fn total_count(plan: &mut Plan<'_>, target: Target, scope: &Scope<'_>, page: &Page) -> String {
    let alias = plan.alias();
    let listed = listed(plan, target, &alias, page);
    match scope {
        Scope::Related {
            relation, parent, ..
        } => {
            let rows = plan.related_rows(relation, &alias, parent);
            format!("(SELECT count(*) FROM {rows}{listed})")
        }
        Scope::All => {
            let place = place(target);
            let (table, integration) = (place.table, place.integration);
            if !goes_by_integration(plan, &place, page) {
                let visible = plan.visible(&format!("{alias}.{integration}"));
                return format!("(SELECT count(*) FROM {table} {alias} WHERE {visible}{listed})");
            }
            let visible = plan.visible("i.id");
            let narrowed = plan.narrowed(&page.filter, "i.id");
            format!(
                "(SELECT coalesce(sum(n.rows), 0)::bigint FROM integrations i CROSS JOIN LATERAL \
                 (SELECT count(*) AS rows FROM {table} {alias} WHERE {alias}.integration_id = i.id{listed}) n \
                 WHERE {visible}{narrowed})"
            )
        }
    }
}
