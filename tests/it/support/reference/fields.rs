//! What a field of a row has: the column of its name, or the row that `…_id` names; everything else is listed here.

use std::sync::Arc;

use async_graphql::parser::types::FieldDefinition;

use super::data::{Row, shown};
use super::execute::Execution;
use super::lists::Scope;
use super::opaque::Opaque;
use super::request::Arguments;
use super::{Found, Json, Outcome, Thing, What};
use crate::support::sdl::{Sdl, named, snake};

impl Execution<'_> {
    pub(super) fn field(
        &self,
        thing: &Thing,
        definition: &FieldDefinition,
        arguments: &Arguments,
    ) -> Outcome<Found> {
        match &thing.what {
            What::Row(row) => self.of_row(&thing.ty, row, definition, arguments),
            What::Page(page) => Ok(page.field(&definition.name.node)),
            What::Edge(page, position) => Ok(page.of_edge(*position, &definition.name.node)),
            What::PageInfo(page) => Ok(Found::Leaf(page.info(&definition.name.node))),
            What::Freshness(page) => Ok(Found::Leaf(page.freshness.member(&definition.name.node))),
        }
    }

    fn of_row(
        &self,
        ty: &str,
        row: &Arc<Row>,
        definition: &FieldDefinition,
        arguments: &Arguments,
    ) -> Outcome<Found> {
        let name = definition.name.node.as_str();
        let target = named(&definition.ty.node);
        if target.ends_with("Connection") {
            let rows = self.related(ty, name, row);
            let integration = row.id(if ty == "Integration" {
                "id"
            } else {
                "integration_id"
            });
            let scope = Scope::of_one(integration, rows);
            return self.page(target.trim_end_matches("Connection"), scope, arguments);
        }
        if let Some(found) = self.exception(ty, name, row) {
            return Ok(found);
        }
        if !self.reference.sdl.is_leaf(target) {
            return Ok(Found::row(target, self.referred(row, name, target)));
        }
        Ok(Found::Leaf(self.leaf(row, &snake(name), target)))
    }

    /// A column as its type is shown.
    fn leaf(&self, row: &Row, column: &str, ty: &str) -> Json {
        let words = self.reference.sdl.words(ty);
        match (ty, row.get(column)) {
            ("DateTime", Json::Text(_)) => row.moment(column).map_or(Json::Null, shown),
            (_, Json::Text(word)) if words.contains(&"UNKNOWN") => {
                let is_known = words.contains(&word.as_str());
                Json::text(if is_known { word } else { "UNKNOWN" })
            }
            (_, value) => value.clone(),
        }
    }

    /// The row that a column named like the field refers to.
    fn referred(&self, row: &Row, name: &str, target: &str) -> Option<Arc<Row>> {
        let id = row.text(&format!("{}_id", snake(name)));
        let world = &self.reference.world;
        match name {
            "integration" => world.one("integrations", |one| {
                one.text("id").is_some_and(|own| Some(own) == id)
            }),
            _ => world.beside(row, &Sdl::table(target), id),
        }
    }

    /// The rows of a list below a row, before anybody asks for some of them.
    fn related(&self, ty: &str, name: &str, row: &Row) -> Vec<Arc<Row>> {
        let world = &self.reference.world;
        let id = row.get("id");
        let beside = |table: &str, column: &str| {
            world.some(table, |one| one.is_beside(row) && one.get(column) == id)
        };
        match (ty, name) {
            ("Integration", _) => world.some(&snake(name), |one| one.get("integration_id") == id),
            ("SyncRun", "heldBackRemovals") => beside("held_back_removals", "run_id"),
            ("CourseProvider", "courses") => beside("courses", "provider_id"),
            ("Course", "revisions") => beside("course_revisions", "course_id"),
            ("Course", "courseProgressions") => {
                let revisions = beside("course_revisions", "course_id");
                let is_of = |one: &Row, revision: &Row| {
                    one.is_beside(revision) && one.get("course_revision_id") == revision.get("id")
                };
                world.some("course_progressions", |one| {
                    revisions.iter().any(|revision| is_of(one, revision))
                })
            }
            ("Skill", "courseRevisions") => {
                let links = beside("course_revision_skills", "skill_id");
                let is_linked = |one: &Row, link: &Row| {
                    one.is_beside(link) && one.get("id") == link.get("course_revision_id")
                };
                world.some("course_revisions", |one| {
                    links.iter().any(|link| is_linked(one, link))
                })
            }
            _ => beside(&snake(name), &format!("{}_id", snake(ty))),
        }
    }

    fn exception(&self, ty: &str, name: &str, row: &Arc<Row>) -> Option<Found> {
        let world = &self.reference.world;
        let column = |column: &str| Found::Leaf(row.get(column).clone());
        Some(match (ty, name) {
            ("WebhookEvent" | "IntegrationField", "id") => column("id"),
            (_, "id") => Found::Leaf(node_id(ty, row)),
            ("ParkedRecord", "komboId") if row.id("id").starts_with('?') => Found::Leaf(Json::Null),
            (_, "komboId") => column("id"),
            (_, "statusText") => column("status"),
            (_, "isDeleted") => Found::Leaf(Json::Bool(row.is_deleted())),
            (_, "integrationFields") => integration_fields(row),
            ("Course", "title") => Found::Leaf(self.title(row)),
            ("Course", "currentRevision") => {
                Found::row("CourseRevision", self.current_revision(row))
            }
            ("CourseRevision", "skills") => Found::rows("Skill", self.skills(row)),
            ("CourseProgressionGroup", "integration") => {
                let id = row.get("by_integration");
                Found::row(
                    "Integration",
                    world.one("integrations", |one| one.get("id") == id),
                )
            }
            ("RecordChange" | "HeldBackRemoval", "record") => self.record(row),
            (_, "model") => Found::Leaf(self.model(row)),
            ("RecordChange", "sequence") => Found::Leaf(
                row.number("sequence")
                    .map_or(Json::Null, |n| Json::text(n.to_string())),
            ),
            ("RecordChange", "changedFields") => Found::Leaf(changed_fields(row)),
            ("RecordChange" | "ParkedRecord", "run") => {
                let run = row.get("run_id");
                let run = world.one("sync_runs", |one| {
                    one.is_beside(row) && one.get("id") == run
                });
                Found::row("SyncRun", run)
            }
            ("HeldBackRemoval", "linkedKomboId") => match row.id("linked_id") {
                "" => Found::Leaf(Json::Null),
                id => Found::Leaf(Json::text(id)),
            },
            ("SchemaDrift", "sightings") => {
                let sightings = row.number("sightings").unwrap_or_default();
                Found::Leaf(Json::number(sightings.min(i64::from(i32::MAX))))
            }
            ("WebhookEvent", "integrationKomboId") => column("integration_id"),
            ("WebhookEvent", "runs") => {
                let ids = row.get("run_ids").items();
                let mut runs = world.some("sync_runs", |one| {
                    one.is_beside(row) && ids.contains(one.get("id"))
                });
                runs.sort_by_key(|run| run.number("id"));
                Found::rows("SyncRun", runs)
            }
            _ => return self.exception_of_sync(ty, name, row),
        })
    }

    /// The live revision to show first: an active one, then the newest.
    pub(super) fn current_revision(&self, course: &Row) -> Option<Arc<Row>> {
        let revisions = self.reference.world.some("course_revisions", |one| {
            one.is_beside(course) && one.get("course_id") == course.get("id") && !one.is_deleted()
        });
        revisions.into_iter().max_by_key(|one| {
            let is_active = one.text("status") == Some("ACTIVE");
            let created = one.moment("remote_created_at");
            (
                is_active,
                created,
                one.moment("changed_at"),
                one.id("id").to_owned(),
            )
        })
    }

    pub(super) fn title(&self, course: &Row) -> Json {
        let revision = self.current_revision(course);
        revision.map_or(Json::Null, |revision| revision.get("title").clone())
    }

    fn skills(&self, revision: &Row) -> Vec<Arc<Row>> {
        let world = &self.reference.world;
        let links = world.some("course_revision_skills", |one| {
            one.is_beside(revision) && one.get("course_revision_id") == revision.get("id")
        });
        let mut skills: Vec<Arc<Row>> = links
            .iter()
            .filter_map(|link| world.beside(link, "skills", link.text("skill_id")))
            .filter(|skill| !skill.is_deleted())
            .collect();
        skills.sort_by(|one, other| one.id("id").cmp(other.id("id")));
        skills
    }

    /// The record that a row names by table and id.
    fn record(&self, row: &Row) -> Found {
        let table = table_of(row);
        let records = self.reference.sdl.records();
        let Some(ty) = records.into_iter().find(|ty| Sdl::table(ty) == table) else {
            return Found::One(None);
        };
        let record = self.reference.world.beside(row, table, row.text("id"));
        Found::row(ty, record)
    }

    /// The word for the type of the record that a row names.
    pub(super) fn model(&self, row: &Row) -> Json {
        let table = match table_of(row) {
            // a link belongs to its owner
            "course_revision_skills" => "course_revisions",
            table => table,
        };
        let records = self.reference.sdl.records();
        let ty = records.into_iter().find(|ty| Sdl::table(ty) == table);
        ty.map_or(Json::Null, |ty| Json::text(snake(ty).to_uppercase()))
    }
}

fn table_of(row: &Row) -> &str {
    row.text("model")
        .or_else(|| row.text("table_name"))
        .expect("a row that names a table")
}

/// The opaque id of a row: its type, and what it is found by.
fn node_id(ty: &str, row: &Row) -> Json {
    let ids = ["integration_id", "id"].map(|column| match row.get(column) {
        Json::Text(text) => text.clone(),
        // an integration has no other; a run's number is enough
        other => other.to_string(),
    });
    Json::Opaque(Opaque::Node(ty.to_owned(), ids.to_vec()))
}

/// The entries that are objects; what they lack is null, or empty where null may not be.
fn integration_fields(row: &Row) -> Found {
    let entries = row.get("integration_fields").items().iter();
    let entries = entries.filter(|entry| matches!(entry, Json::Object(_)));
    let fields = entries.map(|entry| {
        let text = |name: &str| match entry.get(name) {
            None | Some(Json::Null) => Json::Null,
            Some(Json::Text(text)) => Json::text(text),
            Some(other) => Json::text(other.to_string()),
        };
        let or_empty = |json: Json| if json.is_null() { Json::text("") } else { json };
        let columns = [
            ("id", or_empty(text("id"))),
            ("key", or_empty(text("key"))),
            ("type", or_empty(text("type"))),
            ("label", text("label")),
            ("value", entry.get("value").cloned().unwrap_or(Json::Null)),
        ];
        let columns = columns.map(|(name, value)| (name.to_owned(), value));
        Arc::new(Row(columns.into()))
    });
    Found::rows("IntegrationField", fields.collect())
}

/// Names of fields for names of columns: a relation for its id.
fn changed_fields(row: &Row) -> Json {
    let fields = row.get("changed_fields").items().iter().map(|column| {
        let column = column.as_text().expect("a column's name");
        let is_relation = !matches!(column, "remote_id" | "origin_id");
        let name = column.strip_suffix("_id").filter(|_| is_relation);
        let mut camel = String::new();
        let mut is_start = false;
        for letter in name.unwrap_or(column).chars() {
            match letter {
                '_' => is_start = true,
                _ if is_start => {
                    camel.extend(letter.to_uppercase());
                    is_start = false;
                }
                _ => camel.push(letter),
            }
        }
        Json::Text(camel)
    });
    Json::List(fields.collect())
}
