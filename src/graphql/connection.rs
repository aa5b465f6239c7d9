//! Relay cursor connections over keyset pages.
//!
//! A page begins after the keys in its cursor, never at an offset: rows that are written meanwhile neither
//! shift nor repeat it (F67). A count costs its query only where it is asked for.

use std::collections::BTreeSet;

use async_graphql::ServerResult;

use super::feed::not_forgotten;
use super::form::{Form, Part, records};
use super::freshness::{freshness, not_stale};
use super::listing::{ByIntegration, Place, place};
use super::page::{Fact, Layout, Member, OfEdge, PageForm};
use super::paging::Page;
use super::plan::Plan;
use super::select::Selected;
use super::{filter_sql, types};
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

/// A connection: a column with its rows, where they are asked for, and one for each member that is none of them.
pub(super) fn connection<'q>(
    plan: &mut Plan<'q>,
    target: Target,
    scope: &Scope<'_>,
    selected: &Selected<'q>,
) -> ServerResult<Part<'q>> {
    plan.check_size()?;
    let page = Page::read(plan, target, selected)?;
    let mut rows = Rows::new(plan);
    let (mut columns, mut members) = (Vec::new(), Vec::new());
    let type_name = format!("{}Connection", types::name(target));
    for asked in plan.selected(&[&type_name], &selected.below)? {
        let member = match asked.name() {
            "nodes" => rows.nodes(plan.object(target, &rows.alias, &asked.below)?),
            "edges" => rows.edges(plan, target, &asked)?,
            "pageInfo" => Member::PageInfo(rows.facts(plan, &asked)?),
            of_list => {
                let part = match of_list {
                    "__typename" => Part::constant(&type_name),
                    "totalCount" => Part::plain(total_count(plan, target, scope, &page)),
                    _ => freshness(plan, target, scope, &page, &asked)?,
                };
                columns.extend(part.columns);
                Member::OfList(part.form)
            }
        };
        members.push((asked.response_name, member));
    }
    let has_rows = rows.are_read;
    if has_rows {
        columns.insert(0, rows.sql(plan, target, scope, &page)?);
    }
    let layout = Layout {
        size: usize::try_from(page.size).unwrap_or_default(),
        backward: page.backward,
        after: page.after.is_some(),
        before: page.before.is_some(),
        keys: if rows.have_keys {
            page.ordering.keys.len()
        } else {
            0
        },
        label: page.label.clone(),
    };
    let form = PageForm {
        members,
        has_rows,
        layout,
    };
    let part = Part {
        columns,
        form: Form::Page(Box::new(form)),
    };
    let part = not_stale(plan, target, scope, &page, selected, part)?;
    Ok(not_forgotten(plan, target, &page, part))
}

/// What is read of each row of a page: first the keys of its order where a cursor is asked for, then the columns of
/// every member in turn.
struct Rows {
    alias: String,
    are_read: bool,
    have_keys: bool,
    /// Whether anybody wants to know if there are others.
    and_one_more: bool,
    columns: Vec<String>,
}

impl Rows {
    fn new(plan: &mut Plan<'_>) -> Self {
        Self {
            alias: plan.alias(),
            are_read: false,
            have_keys: false,
            and_one_more: false,
            columns: Vec::new(),
        }
    }

    /// Takes the columns of a record; returns how many come before them, the keys not counted.
    fn take<'q>(&mut self, node: Part<'q>) -> (usize, Form<'q>) {
        self.are_read = true;
        let before = self.columns.len();
        self.columns.extend(node.columns);
        (before, node.form)
    }

    fn nodes<'q>(&mut self, node: Part<'q>) -> Member<'q> {
        let (before, form) = self.take(node);
        Member::Nodes(before, form)
    }

    fn edges<'q>(
        &mut self,
        plan: &mut Plan<'q>,
        target: Target,
        selected: &Selected<'q>,
    ) -> ServerResult<Member<'q>> {
        self.are_read = true;
        let type_name = format!("{}Edge", types::name(target));
        let mut members = Vec::new();
        for asked in plan.selected(&[&type_name], &selected.below)? {
            let member = match asked.name() {
                "__typename" => OfEdge::TypeName(type_name.clone()),
                "cursor" => {
                    self.have_keys = true;
                    OfEdge::Cursor
                }
                _ => {
                    let node = plan.object(target, &self.alias, &asked.below)?;
                    let (before, form) = self.take(node);
                    OfEdge::Node(before, form)
                }
            };
            members.push((asked.response_name, member));
        }
        Ok(Member::Edges(members))
    }

    fn facts<'q>(
        &mut self,
        plan: &Plan<'q>,
        selected: &Selected<'q>,
    ) -> ServerResult<Vec<(&'q str, Fact)>> {
        let asked = plan.selected(&["PageInfo"], &selected.below)?;
        let facts = asked.into_iter().map(|asked| {
            let fact = match asked.name() {
                "__typename" => Fact::TypeName,
                "hasNextPage" => Fact::HasNextPage,
                "hasPreviousPage" => Fact::HasPreviousPage,
                "startCursor" => Fact::StartCursor,
                _ => Fact::EndCursor,
            };
            self.have_keys |= matches!(fact, Fact::StartCursor | Fact::EndCursor);
            self.and_one_more |= matches!(fact, Fact::HasNextPage | Fact::HasPreviousPage);
            (asked.response_name, fact)
        });
        let facts = facts.collect();
        self.are_read |= self.have_keys || self.and_one_more;
        Ok(facts)
    }

    /// SQL of the rows as records, in the order of reading.
    fn sql(
        &self,
        plan: &mut Plan<'_>,
        target: Target,
        scope: &Scope<'_>,
        page: &Page,
    ) -> ServerResult<String> {
        let alias = &self.alias;
        let ordered = page.ordering.columns(alias);
        let read = Read {
            page,
            limit: page.size + i64::from(self.and_one_more),
            columns: columns_of(alias, self.columns.iter().chain(&ordered)),
        };
        let rows = rows(plan, target, scope, &read);
        let keys = if self.have_keys { ordered } else { Vec::new() };
        let row = plan.row(&[keys, self.columns.clone()].concat())?;
        let records = records(&row);
        Ok(format!("(SELECT {records} FROM ({rows}) {alias})"))
    }
}

/// What is read of the rows of a page.
struct Read<'p> {
    page: &'p Page,
    /// Rows at most.
    limit: i64,
    /// Names of columns. Postgres sorts whole rows if it is not told which columns it can do without.
    columns: BTreeSet<String>,
}

impl Read<'_> {
    /// The columns of the row `alias`.
    fn of(&self, alias: &str) -> String {
        let columns = self.columns.iter();
        let columns: Vec<String> = columns.map(|column| format!("{alias}.{column}")).collect();
        columns.join(", ")
    }

    /// The first of the rows `alias`, in the order of reading.
    fn first(&self, alias: &str) -> String {
        let order_by = self.page.ordering.order_by(alias, self.page.backward);
        format!("ORDER BY {order_by} LIMIT {}", self.limit)
    }
}

/// The columns of the row `alias` that some SQL names. What it names is a model's: nothing of a request is in it.
fn columns_of<'s>(alias: &str, sql: impl IntoIterator<Item = &'s String>) -> BTreeSet<String> {
    let prefix = format!("{alias}.");
    let is_in_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut columns = BTreeSet::new();
    for text in sql {
        for (at, _) in text.match_indices(&prefix) {
            let rest = &text[at + prefix.len()..];
            let end = rest.find(|next: char| !is_in_name(next));
            if !text[..at].ends_with(is_in_name) {
                columns.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
    columns
}

/// The first rows of a page, in the order of reading.
fn rows(plan: &mut Plan<'_>, target: Target, scope: &Scope<'_>, read: &Read<'_>) -> String {
    let (inner, page) = (plan.alias(), read.page);
    let conditions = [
        behind(plan, page, &inner, page.after.as_deref(), true),
        behind(plan, page, &inner, page.before.as_deref(), false),
        listed(plan, target, &inner, page),
    ]
    .concat();
    match scope {
        Scope::All => all_rows(plan, target, read, &inner, &conditions),
        Scope::Related {
            relation, parent, ..
        } => related_rows(plan, relation, parent, read, &inner, &conditions),
    }
}

fn related_rows(
    plan: &mut Plan<'_>,
    relation: &Relation,
    parent: &str,
    read: &Read<'_>,
    inner: &str,
    conditions: &str,
) -> String {
    let Some(through) = &relation.through else {
        let rows = plan.related_rows(relation, inner, parent);
        let (columns, first) = (read.of(inner), read.first(inner));
        return format!("SELECT {columns} FROM {rows}{conditions} {first}");
    };
    let between = plan.alias();
    let fill = |plan: &Plan<'_>, sql: &str| plan.fill(&sql.replace("{m}", &between), inner, parent);
    let (between_from, between_on) = (fill(plan, through.from), fill(plan, through.on));
    let (from, on) = (fill(plan, relation.from), fill(plan, relation.on));
    let (columns, first) = (read.of(inner), read.first(inner));
    let of_each = format!("SELECT {columns} FROM {from} WHERE {on}{conditions} {first}");
    merged(&between_from, &of_each, &between_on, read)
}

/// The first rows of each row of `outer`, by index, and of these few the first.
fn merged(outer: &str, of_each: &str, on: &str, read: &Read<'_>) -> String {
    let (columns, first) = (read.of("m"), read.first("m"));
    format!("SELECT {columns} FROM {outer} CROSS JOIN LATERAL ({of_each}) m WHERE {on} {first}")
}

/// Rows over all visible integrations. Each integration gives its own first rows by its index, and the few
/// are merged: every index leads with `integration_id`, so that the tables can be distributed by it.
fn all_rows(
    plan: &mut Plan<'_>,
    target: Target,
    read: &Read<'_>,
    inner: &str,
    conditions: &str,
) -> String {
    let place = place(target);
    let (table, integration) = (place.table, place.integration);
    let (columns, first) = (read.of(inner), read.first(inner));
    if goes_by_integration(plan, &place, read.page) {
        let visible = plan.visible("i.id");
        let narrowed = plan.narrowed(&read.page.filter, "i.id");
        let of_each = format!(
            "SELECT {columns} FROM {table} {inner} WHERE {inner}.integration_id = i.id{conditions} {first}"
        );
        let on = format!("{visible}{narrowed}");
        return merged("integrations i", &of_each, &on, read);
    }
    let visible = plan.visible(&format!("{inner}.{integration}"));
    format!("SELECT {columns} FROM {table} {inner} WHERE {visible}{conditions} {first}")
}

fn goes_by_integration(plan: &Plan<'_>, place: &Place, page: &Page) -> bool {
    match place.by_integration {
        ByIntegration::Always => true,
        ByIntegration::WhenNarrowed => plan.is_narrowed(&page.filter),
        ByIntegration::Never => false,
    }
}

/// Only rows behind a cursor, or before it. The leading key stands alone as well, since an index can be entered
/// by it. Where the page lies changes nothing about the best way to it, so the planner is not shown the place: it would
/// take every page for cheaper than the last and plan each anew, which costs more than reading it.
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
        .map(|(key, known)| format!("(SELECT {}::{})", plan.statement.text(key), known.ty))
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
