//! `node` and `nodes`: anything by its opaque id, whatever its type, in one statement.

use async_graphql::{ID, ServerResult};

use super::form::{Form, Part};
use super::paging::LARGEST_PAGE;
use super::plan::Plan;
use super::records::INTEGRATION;
use super::select::Selected;
use super::status::SYNC_RUN;
use super::{ids, types};
use crate::models;
use crate::models::object::{Object, Target};

/// What an id names.
enum Named {
    Record {
        object: &'static Object,
        integration: String,
        id: String,
    },
    Integration(String),
    SyncRun(i64),
}

impl Named {
    /// Reads an id; `None`: no id that this server makes.
    fn read(id: &str) -> Option<Self> {
        if let Some(run) = sync_run_id(id) {
            return Some(Self::SyncRun(run));
        }
        if let Some(parts) = ids::read_node_id(id, 1)
            && parts[0] == INTEGRATION.name
        {
            return Some(Self::Integration(parts[1].clone()));
        }
        let [name, integration, id] = <[String; 3]>::try_from(ids::read_node_id(id, 2)?).ok()?;
        Some(Self::Record {
            object: types::mirrored(&name)?,
            integration,
            id,
        })
    }
}

/// The number of a run, by its opaque id.
pub(super) fn sync_run_id(id: &str) -> Option<i64> {
    let parts = ids::read_node_id(id, 1)?;
    (parts[0] == SYNC_RUN.name).then(|| parts[1].parse().ok())?
}

/// What one id names, or null.
pub(super) fn node<'q>(plan: &mut Plan<'q>, selected: &Selected<'q>) -> ServerResult<Part<'q>> {
    let id = plan.argument::<ID>(selected, "id")?.unwrap_or_default();
    let named = named(plan, selected, &id)?;
    let (query, form) = listed(plan, &[named], selected)?;
    Ok(Part::record(format!("({query})"), form))
}

/// What the ids name, in their order.
pub(super) fn nodes<'q>(plan: &mut Plan<'q>, selected: &Selected<'q>) -> ServerResult<Part<'q>> {
    let ids = plan
        .argument::<Vec<ID>>(selected, "ids")?
        .unwrap_or_default();
    if ids.len() > LARGEST_PAGE.unsigned_abs() as usize {
        return Err(plan.refuse(
            selected,
            format!("ids has more than {LARGEST_PAGE} entries"),
        ));
    }
    let mut all = Vec::with_capacity(ids.len());
    for id in &ids {
        all.push(named(plan, selected, id)?);
    }
    let (query, form) = listed(plan, &all, selected)?;
    Ok(Part::list(&query, form))
}

fn named<'q>(plan: &Plan<'q>, selected: &Selected<'q>, id: &str) -> ServerResult<Named> {
    Named::read(id).ok_or_else(|| plan.refuse(selected, "an id is none of this server's"))
}

/// One look-up for each type that is named, and their answers put into the order of the ids.
fn listed<'q>(
    plan: &mut Plan<'q>,
    named: &[Named],
    selected: &Selected<'q>,
) -> ServerResult<(String, Form<'q>)> {
    let (mut found, mut forms) = (Vec::new(), Vec::new());
    for object in models::OBJECTS.iter().copied() {
        found.extend(records(plan, object, named, selected, &mut forms)?);
    }
    found.extend(integrations(plan, named, selected, &mut forms)?);
    found.extend(sync_runs(plan, named, selected, &mut forms)?);
    let form = Form::Choice(forms);
    if found.is_empty() {
        return Ok(("SELECT ROW() WHERE false".to_owned(), form));
    }
    let query = format!(
        "SELECT f.node FROM generate_series(0, {}) AS p(place) LEFT JOIN ({}) f ON f.place = p.place ORDER BY p.place",
        named.len() - 1,
        found.join(" UNION ALL "),
    );
    Ok((query, form))
}

fn records<'q>(
    plan: &mut Plan<'q>,
    object: &'static Object,
    named: &[Named],
    selected: &Selected<'q>,
    forms: &mut Vec<Form<'q>>,
) -> ServerResult<Option<String>> {
    let (mut places, mut integrations, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (place, one) in named.iter().enumerate() {
        if let Named::Record {
            object: of,
            integration,
            id,
        } = one
            && of.name == object.name
        {
            places.push(place.to_string());
            integrations.push(integration.clone());
            ids.push(id.clone());
        }
    }
    if places.is_empty() {
        return Ok(None);
    }
    let alias = plan.alias();
    let node = plan.object(Target::Mirrored(object), &alias, &selected.below)?;
    let row = plan.row(&node.chosen(forms))?;
    let visible = plan.visible(&format!("{alias}.integration_id"));
    let table = object.table.name;
    let places = plan.statement.texts(places);
    let integrations = plan.statement.texts(integrations);
    let ids = plan.statement.texts(ids);
    Ok(Some(format!(
        "SELECT n.place::int AS place, {row} AS node \
         FROM unnest({places}::text[], {integrations}::text[], {ids}::text[]) AS n(place, integration_id, id) \
         CROSS JOIN LATERAL (SELECT r.* FROM {table} r WHERE r.integration_id = n.integration_id \
           AND r.id = n.id OFFSET 0) {alias} WHERE {visible}"
    )))
}

fn integrations<'q>(
    plan: &mut Plan<'q>,
    named: &[Named],
    selected: &Selected<'q>,
    forms: &mut Vec<Form<'q>>,
) -> ServerResult<Option<String>> {
    let (places, ids): (Vec<String>, Vec<String>) = named
        .iter()
        .enumerate()
        .filter_map(|(place, one)| match one {
            Named::Integration(id) => Some((place.to_string(), id.clone())),
            _ => None,
        })
        .unzip();
    if places.is_empty() {
        return Ok(None);
    }
    let alias = plan.alias();
    let node = plan.object(Target::Plain(&INTEGRATION), &alias, &selected.below)?;
    let row = plan.row(&node.chosen(forms))?;
    let visible = plan.visible(&format!("{alias}.id"));
    let (places, ids) = (plan.statement.texts(places), plan.statement.texts(ids));
    Ok(Some(format!(
        "SELECT n.place::int AS place, {row} AS node \
         FROM unnest({places}::text[], {ids}::text[]) AS n(place, id) \
         JOIN integrations {alias} ON {alias}.id = n.id WHERE {visible}"
    )))
}

fn sync_runs<'q>(
    plan: &mut Plan<'q>,
    named: &[Named],
    selected: &Selected<'q>,
    forms: &mut Vec<Form<'q>>,
) -> ServerResult<Option<String>> {
    // numbers are written into the text: no text of a request can hide in them
    let values: Vec<String> = named
        .iter()
        .enumerate()
        .filter_map(|(place, one)| match one {
            Named::SyncRun(id) => Some(format!("({place}, '{id}'::bigint)")),
            _ => None,
        })
        .collect();
    if values.is_empty() {
        return Ok(None);
    }
    let alias = plan.alias();
    let node = plan.object(Target::Plain(&SYNC_RUN), &alias, &selected.below)?;
    let row = plan.row(&node.chosen(forms))?;
    let visible = plan.visible(&format!("{alias}.integration_id"));
    Ok(Some(format!(
        "SELECT n.place AS place, {row} AS node FROM (VALUES {}) AS n(place, id) \
         JOIN sync_runs {alias} ON {alias}.id = n.id WHERE {visible}",
        values.join(", ")
    )))
}
