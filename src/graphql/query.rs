//! The query root: what can be asked first.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::registry::{MetaTypeId, Registry};
use async_graphql::resolver_utils::{ContainerType, resolve_container};
use async_graphql::{
    Context, ContextSelectionSet, Json, Name, ObjectType, OutputType, Positioned, ServerResult,
    Value,
};
use chrono::{DateTime, Utc};

use super::connection::{self, Scope};
use super::errors::{self, Code};
use super::form::{Form, Part};
use super::ids;
use super::plan::{Plan, Query};
use super::records::INTEGRATION;
use super::roots::{Reads, roots};
use super::select::{self, Selected};
use super::status::{ENDPOINT_SYNC_STATUS, SYNC_RUN};
use super::words::{KomboEndpoint, SyncMode};
use super::{nodes, read, summary, types};
use crate::auth::{self, Viewer};
use crate::db::Statement;
use crate::models::object::{Object, Target};

/// What a field answers where it was mentioned before; no field of GraphQL can have this name.
const MENTIONED: &str = "$mentioned";

/// Takes the marks of later mentions out of an answer. The library merges mentions in the order of their
/// completion, so a mark may stand alone where the answer itself is null.
pub(super) fn forget_mentions(data: &mut Value) {
    let Value::Object(members) = data else {
        return;
    };
    for value in members.values_mut() {
        if let Value::Object(answer) = value
            && answer.swap_remove(MENTIONED).is_some()
            && answer.is_empty()
        {
            *value = Value::Null;
        }
    }
}

/// The type `Query`. It has no fields of its own in Rust: [`roots`] lists them.
pub(super) struct QueryRoot;

impl OutputType for QueryRoot {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("Query")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <DateTime<Utc> as OutputType>::create_type_info(registry);
        <Json<serde_json::Value> as OutputType>::create_type_info(registry);
        <KomboEndpoint as OutputType>::create_type_info(registry);
        <SyncMode as OutputType>::create_type_info(registry);
        types::register(registry);
        registry.create_output_type::<Self, _>(MetaTypeId::Object, |_| {
            let fields = roots().iter().map(|root| root.field.clone());
            types::object("Query", "What can be asked.", fields)
        })
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        _field: &Positioned<async_graphql::parser::types::Field>,
    ) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

impl ObjectType for QueryRoot {}

impl ContainerType for QueryRoot {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let name = ctx.item.node.name.node.as_str();
        let Some(root) = roots().iter().find(|root| root.field.name == name) else {
            return Ok(None);
        };
        let statement = {
            // mentions of one field under one name are one answer (section 5.3.2 of the specification)
            let operation = &ctx.query_env.operation.node.selection_set.node;
            let response_name = ctx.item.node.response_key().node.as_str();
            let selected = select::fields(&ctx.query_env.fragments, &["Query"], &[operation])
                .into_iter()
                .find(|selected| selected.response_name == response_name);
            let Some(selected) = selected else {
                return Ok(None);
            };
            if !std::ptr::eq(selected.field, ctx.item) {
                // a later mention: the first one asks for what all of them want
                let mention = IndexMap::from_iter([(Name::new(MENTIONED), Value::Null)]);
                return Ok(Some(Value::Object(mention)));
            }
            let viewer = ctx
                .data::<Viewer>()
                .map_err(|error| error.into_server_error(ctx.item.pos))?;
            let now = read::now(ctx);
            statement(ctx, viewer, now, root.reads, &selected)
        };
        let answer = match statement {
            Ok(Some((statement, form))) => read::answer(ctx, statement, &form).await,
            Ok(None) => Ok(Value::Null),
            Err(error) => Err(error),
        };
        match answer {
            // section 6.4.4 of the specification; the library would leave the member out
            Err(error) if !root.field.ty.ends_with('!') => {
                ctx.add_error(error);
                Ok(Some(Value::Null))
            }
            Err(error) => Err(ctx.set_error_path(error)),
            Ok(value) => Ok(Some(value)),
        }
    }
}

/// The statement that answers a root field; `None`: the answer is null without asking the database.
fn statement<'q>(
    query: &'q Query<'q>,
    viewer: &'q Viewer,
    now: DateTime<Utc>,
    reads: Reads,
    selected: &Selected<'q>,
) -> ServerResult<Option<(Statement, Form<'q>)>> {
    let mut plan = Plan::new(query, viewer, now);
    let answer = match reads {
        Reads::Connection(target) => Some(connection::connection(
            &mut plan,
            target,
            &Scope::All,
            selected,
        )?),
        Reads::Admins(_) if viewer.scope != auth::Scope::Admin => {
            let error = errors::error(Code::Forbidden, "this needs a token with the admin scope");
            return Err(query.set_error_path(error.into_server_error(selected.field.pos)));
        }
        Reads::Admins(target) => Some(connection::connection(
            &mut plan,
            target,
            &Scope::All,
            selected,
        )?),
        Reads::Record(object) => {
            let kombo_id = required(&plan, selected, "komboId")?;
            let integration = optional(&plan, selected, "integrationKomboId")?;
            Some(record(&mut plan, object, &kombo_id, integration, selected)?)
        }
        Reads::Integration => {
            let kombo_id = required(&plan, selected, "komboId")?;
            Some(integration(&mut plan, &kombo_id, selected)?)
        }
        Reads::SyncStatus => Some(sync_status(&mut plan, selected)?),
        Reads::SyncRun => {
            let id = required(&plan, selected, "id")?;
            match nodes::sync_run_id(&id) {
                Some(id) => Some(sync_runs(&mut plan, &[id], selected)?),
                None => None,
            }
        }
        Reads::Node => Some(nodes::node(&mut plan, selected)?),
        Reads::Nodes => Some(nodes::nodes(&mut plan, selected)?),
        Reads::Summary => Some(summary::summary(&mut plan, selected)?),
    };
    answer.map(|answer| plan.finished(answer)).transpose()
}

fn required<'q>(plan: &Plan<'q>, selected: &Selected<'q>, name: &str) -> ServerResult<String> {
    optional(plan, selected, name)?
        .ok_or_else(|| plan.refuse(selected, format!("{name} is missing")))
}

fn optional<'q>(
    plan: &Plan<'q>,
    selected: &Selected<'q>,
    name: &str,
) -> ServerResult<Option<String>> {
    let id = plan.argument::<async_graphql::ID>(selected, name)?;
    match id {
        Some(id) if !ids::is_storable(&id) => {
            Err(plan.refuse(selected, format!("{name} contains U+0000, which no id has")))
        }
        id => Ok(id.map(|id| id.0)),
    }
}

fn record<'q>(
    plan: &mut Plan<'q>,
    object: &'static Object,
    kombo_id: &str,
    integration_id: Option<String>,
    selected: &Selected<'q>,
) -> ServerResult<Part<'q>> {
    let alias = plan.alias();
    let object_of_row = plan.object(Target::Mirrored(object), &alias, &selected.below)?;
    let row = plan.row(&object_of_row.columns)?;
    let visible = plan.visible("i.id");
    let id = plan.statement.text(kombo_id);
    let which = match integration_id {
        Some(integration_id) => format!("i.id = {}", plan.statement.text(integration_id)),
        None => "true".to_owned(),
    };
    // by key in each integration, since every index leads with integration_id
    let sql = format!(
        "(SELECT {row} FROM {table} {alias} WHERE {alias}.id = {id} AND {alias}.integration_id = ANY(ARRAY(\
         SELECT i.id FROM integrations i WHERE {visible} AND {which})) ORDER BY {alias}.integration_id LIMIT 1)",
        table = object.table.name,
    );
    Ok(Part::record(sql, object_of_row.form))
}

fn integration<'q>(
    plan: &mut Plan<'q>,
    id: &str,
    selected: &Selected<'q>,
) -> ServerResult<Part<'q>> {
    let alias = plan.alias();
    let object = plan.object(Target::Plain(&INTEGRATION), &alias, &selected.below)?;
    let row = plan.row(&object.columns)?;
    let visible = plan.visible(&format!("{alias}.id"));
    let id = plan.statement.text(id);
    let sql =
        format!("(SELECT {row} FROM integrations {alias} WHERE {alias}.id = {id} AND {visible})");
    Ok(Part::record(sql, object.form))
}

fn sync_status<'q>(plan: &mut Plan<'q>, selected: &Selected<'q>) -> ServerResult<Part<'q>> {
    let alias = plan.alias();
    let target = Target::Plain(&ENDPOINT_SYNC_STATUS);
    let object = plan.object(target, &alias, &selected.below)?;
    let row = plan.row(&object.columns)?;
    let visible = plan.visible("i.id");
    let which = match optional(plan, selected, "integrationKomboId")? {
        Some(id) => format!("i.id = {}", plan.statement.text(id)),
        None => "i.deleted_at IS NULL".to_owned(),
    };
    let query = format!(
        "SELECT {row} FROM endpoint_states {alias} JOIN integrations i ON i.id = {alias}.integration_id \
         WHERE {visible} AND {which} ORDER BY {alias}.integration_id, {alias}.endpoint"
    );
    Ok(Part::list(&query, object.form))
}

/// The first of some runs.
fn sync_runs<'q>(
    plan: &mut Plan<'q>,
    ids: &[i64],
    selected: &Selected<'q>,
) -> ServerResult<Part<'q>> {
    let alias = plan.alias();
    let object = plan.object(Target::Plain(&SYNC_RUN), &alias, &selected.below)?;
    let row = plan.row(&object.columns)?;
    let visible = plan.visible(&format!("{alias}.integration_id"));
    let ids = bigints(ids);
    let sql = format!(
        "(SELECT {row} FROM sync_runs {alias} WHERE {alias}.id IN ({ids}) AND {visible} LIMIT 1)"
    );
    Ok(Part::record(sql, object.form))
}

/// Numbers are written into the text: no text of a request can hide in them.
pub(super) fn bigints(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    if ids.is_empty() {
        "NULL".to_owned()
    } else {
        ids.join(", ")
    }
}

/// Keeps `MirroredRecord` in the schema: the library drops interfaces that no field returns.
pub(super) struct Interfaces;

impl OutputType for Interfaces {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("MirroredRecord")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        types::add_interfaces(registry);
        Self::qualified_type_name()
    }

    async fn resolve(
        &self,
        _ctx: &ContextSelectionSet<'_>,
        _field: &Positioned<async_graphql::parser::types::Field>,
    ) -> ServerResult<Value> {
        Ok(Value::Null)
    }
}
