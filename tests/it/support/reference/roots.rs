//! What the fields of `Query` have.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::parser::types::FieldDefinition;

use super::data::Row;
use super::execute::Execution;
use super::lists::Scope;
use super::request::{Arguments, text};
use super::{Found, Outcome, Thing, Trouble};
use crate::support::sdl::{Sdl, named};

/// Lists that only admins see.
const FOR_ADMINS: [&str; 3] = ["webhookEvents", "parkedRecords", "schemaDrift"];

impl Execution<'_> {
    pub(super) fn root_field(
        &self,
        definition: &FieldDefinition,
        arguments: &Arguments,
    ) -> Outcome<Found> {
        let name = definition.name.node.as_str();
        if FOR_ADMINS.contains(&name) && !self.asker.is_admin {
            return Err(Trouble::Refused);
        }
        let ty = named(&definition.ty.node);
        if let Some(ty) = ty.strip_suffix("Connection") {
            let rows = self.reference.world.rows(&Sdl::table(ty)).iter();
            let rows = rows.filter(|row| self.may_see(row)).cloned().collect();
            let scope = Scope::of_all(self.seen_integrations(), rows);
            return self.page(ty, scope, arguments);
        }
        let id = |name: &str| arguments.text(name).unwrap_or_default();
        match name {
            "node" => self.node(&id("id")).map(Found::One),
            "nodes" => {
                let ids = arguments.list("ids");
                let nodes = ids.iter().map(|id| self.node(&text(id)));
                nodes.collect::<Outcome<_>>().map(Found::Many)
            }
            "syncRun" => {
                let run = self.node(&id("id")).unwrap_or_default();
                Ok(Found::One(run.filter(|run| run.ty == "SyncRun")))
            }
            "integration" => Ok(Found::row(
                ty,
                self.visible(ty, |one| one.id("id") == id("komboId")),
            )),
            "syncStatus" => Ok(Found::rows(
                ty,
                self.states(arguments.text("integrationKomboId")),
            )),
            "courseProgressionSummary" => Ok(self.summary(arguments)),
            _ => {
                let integration = arguments.text("integrationKomboId");
                let record = self.visible(ty, |one| {
                    let of = one.id("integration_id");
                    one.id("id") == id("komboId") && integration.as_ref().is_none_or(|id| id == of)
                });
                Ok(Found::row(ty, record))
            }
        }
    }

    /// Whether the viewer may see a row.
    pub(super) fn may_see(&self, row: &Row) -> bool {
        let is_integration = row.0.contains_key("registered_at");
        self.asker.sees(row.text(if is_integration {
            "id"
        } else {
            "integration_id"
        }))
    }

    /// The first row by integration that the viewer may see.
    fn visible(&self, ty: &str, picks: impl Fn(&Row) -> bool) -> Option<Arc<Row>> {
        let found = self
            .reference
            .world
            .some(&Sdl::table(ty), |row| self.may_see(row) && picks(row));
        found.into_iter().min_by(|one, other| {
            one.text("integration_id")
                .cmp(&other.text("integration_id"))
        })
    }

    /// The types of what the arguments name by opaque ids.
    pub(super) fn named_types(&self, arguments: &Arguments) -> Vec<String> {
        let ids = arguments
            .list("ids")
            .into_iter()
            .chain(arguments.list("id"));
        let types: BTreeSet<String> = ids
            .filter_map(|id| Some(self.register.node(&text(&id))?.0.clone()))
            .collect();
        types.into_iter().collect()
    }

    fn node(&self, id: &str) -> Outcome<Option<Thing>> {
        let (ty, ids) = self.register.node(id).ok_or(Trouble::Refused)?;
        let is_it = |row: &Row| {
            let id = row.get("id");
            let id = id.as_text().map_or_else(|| id.to_string(), str::to_owned);
            let of = row.text("integration_id").unwrap_or("null");
            of == ids[0] && id == ids[1]
        };
        Ok(self.visible(ty, is_it).map(|row| Thing::row(ty, row)))
    }

    fn states(&self, integration: Option<String>) -> Vec<Arc<Row>> {
        let world = &self.reference.world;
        let mut states = world.some("endpoint_states", |state| {
            let id = state.id("integration_id");
            let is_live = || {
                let integration = world.one("integrations", |one| one.id("id") == id);
                integration.is_some_and(|one| one.get("deleted_at").is_null())
            };
            self.may_see(state)
                && integration
                    .as_ref()
                    .map_or_else(is_live, |wanted| wanted == id)
        });
        states.sort_by_key(|state| {
            (
                state.id("integration_id").to_owned(),
                state.id("endpoint").to_owned(),
            )
        });
        states
    }
}
