//! How a row looks on the wire.
//!
//! A row's own columns are written in one place and serve both the pages and the truth, so that the two
//! can only differ in what they contain, never in how.
//!
//! Must never decide which rows belong on a page.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::After14Days;
use super::integration::Integration;
use super::rows::{Model, Progression};
use super::table::{KomboId, Row, Table};

pub(super) type Members = Map<String, Value>;

/// A moment as Kombo writes it; null for 0.
pub(super) fn instant(milliseconds: i64) -> Value {
    match DateTime::from_timestamp_millis(milliseconds) {
        Some(moment) if milliseconds != 0 => {
            Value::String(moment.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
        _ => Value::Null,
    }
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn id(id: &KomboId) -> Value {
    text(id.as_str())
}

fn optional(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}

fn members<const N: usize>(list: [(&str, Value); N]) -> Members {
    list.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What is left of a row after 14 days: its id, the deletion mark, the moment of the last change.
fn nulled(mut row: Members) -> Members {
    for (name, value) in &mut row {
        match name.as_str() {
            "id" | "changed_at" | "remote_deleted_at" => {}
            _ if value.is_array() => *value = json!([]),
            _ => *value = Value::Null,
        }
    }
    row
}

/// Reads rows of one integration under one setting of the 14-day rule.
pub(super) struct Renderer<'a> {
    pub(super) integration: &'a Integration,
    pub(super) after_14_days: After14Days,
}

impl Renderer<'_> {
    /// Whether Kombo has nothing left of the row.
    pub(super) fn is_gone<T>(&self, row: &Row<T>) -> bool {
        row.expired && self.after_14_days == After14Days::Remove
    }

    /// Whether the row can be read with its fields.
    pub(super) fn is_whole<T>(row: &Row<T>) -> bool {
        !row.expired
    }

    fn finish<T>(&self, model: Model, row: &Row<T>, mut columns: Members) -> Members {
        for (missing, field) in self.integration.connector.missing_fields {
            if *missing == model {
                columns.insert((*field).to_owned(), Value::Null);
            }
        }
        if row.expired {
            nulled(columns)
        } else {
            columns
        }
    }

    pub(super) fn user(&self, number: u32) -> Members {
        let row = self.integration.users.get(number);
        let body = &row.body;
        let mut columns = members([
            ("id", id(&row.id)),
            ("remote_id", text(&body.remote_id)),
            ("first_name", optional(body.first_name.as_deref())),
            ("last_name", optional(body.last_name.as_deref())),
            ("work_email", optional(body.work_email.as_deref())),
            ("status", optional(body.status)),
            ("remote_created_at", instant(body.created)),
            ("remote_deleted_at", instant(row.deleted)),
            ("changed_at", instant(row.changed)),
        ]);
        self.add_extras(&mut columns, "/users", body.extra);
        self.finish(Model::Users, row, columns)
    }

    pub(super) fn course(&self, number: u32) -> Members {
        let row = self.integration.courses.get(number);
        let body = &row.body;
        let provider = body
            .provider
            .filter(|_| self.integration.is_on(Model::Providers))
            .map(|provider| self.integration.providers.get(provider).id);
        let mut columns = members([
            ("id", id(&row.id)),
            ("remote_id", text(&body.remote_id)),
            ("provider_id", provider.as_ref().map_or(Value::Null, id)),
            ("origin_id", optional(body.origin_id.as_deref())),
            ("remote_created_at", instant(body.created)),
            ("remote_deleted_at", instant(row.deleted)),
            ("changed_at", instant(row.changed)),
        ]);
        self.add_extras(&mut columns, "/courses", body.extra);
        self.finish(Model::Courses, row, columns)
    }

    pub(super) fn revision(&self, number: u32) -> Members {
        let row = self.integration.revisions.get(number);
        let body = &row.body;
        let course = body
            .course
            .map(|course| self.integration.courses.get(course).id);
        let url = format!("https://lms.example.com/courses/{}", body.remote_id);
        let mut columns = members([
            ("id", id(&row.id)),
            ("remote_id", text(&body.remote_id)),
            ("course_id", course.as_ref().map_or(Value::Null, id)),
            ("title", text(&body.title)),
            ("description", optional(body.description.as_deref())),
            ("remote_url", Value::String(url)),
            ("status", optional(body.status)),
            ("remote_created_at", instant(body.created)),
            ("remote_deleted_at", instant(row.deleted)),
            ("changed_at", instant(row.changed)),
        ]);
        self.add_extras(&mut columns, "/course-versions", body.extra);
        self.finish(Model::Revisions, row, columns)
    }

    pub(super) fn provider(&self, number: u32) -> Members {
        let row = self.integration.providers.get(number);
        members([
            ("id", id(&row.id)),
            ("remote_id", text(&row.body.remote_id)),
            ("name", text(&row.body.name)),
        ])
    }

    /// The provider that a course shows, if it shows one.
    pub(super) fn provider_of(&self, course: u32) -> Option<u32> {
        let row = self.integration.courses.get(course);
        let shown = self
            .integration
            .connector
            .has_field(Model::Courses, "provider_id");
        let shown = shown && self.integration.is_on(Model::Providers);
        row.body.provider.filter(|_| shown && Self::is_whole(row))
    }

    pub(super) fn skill(&self, number: u32) -> Members {
        let row = self.integration.skills.get(number);
        let body = &row.body;
        let mut columns = members([
            ("id", id(&row.id)),
            ("remote_id", optional(body.remote_id.as_deref())),
            ("name", text(&body.name)),
            ("remote_created_at", instant(body.created)),
            ("remote_deleted_at", instant(row.deleted)),
            ("changed_at", instant(row.changed)),
        ]);
        self.add_extras(&mut columns, "/skills", body.extra);
        self.finish(Model::Skills, row, columns)
    }

    pub(super) fn progression(&self, number: u32) -> Members {
        let row = self.integration.progressions.get(number);
        let body = &row.body;
        let remote_data = match body.extra {
            0 => Value::Null,
            score => json!({ "/enrolments": { "score": score, "attempt": body.attempt } }),
        };
        let columns = members([
            ("id", id(&row.id)),
            (
                "remote_id",
                Value::String(self.integration.progression_remote_id(body)),
            ),
            ("user_id", id(&self.integration.users.get(body.user).id)),
            (
                "course_revision_id",
                id(&self.integration.revisions.get(body.revision).id),
            ),
            ("status", text(body.status.name())),
            ("enrolled_at", instant(body.enrolled)),
            ("completed_at", instant(body.completed)),
            ("changed_at", instant(row.changed)),
            ("remote_deleted_at", instant(row.deleted)),
            ("remote_data", remote_data),
        ]);
        self.finish(Model::Progressions, row, columns)
    }

    /// Live assignments of a revision, as numbers.
    pub(super) fn assignments_of(&self, revision: u32) -> impl Iterator<Item = u32> + '_ {
        let row = self.integration.revisions.get(revision);
        let shown = self.integration.is_on(Model::Assignments);
        let live = move |number: &u32| {
            shown && Self::is_whole(row) && self.integration.assignments.is_live(*number)
        };
        row.body.assignments.iter().copied().filter(live)
    }

    /// Revisions of a course that Kombo still has, deleted ones only if asked for.
    pub(super) fn revisions_of(
        &self,
        course: u32,
        include_deleted: bool,
    ) -> impl Iterator<Item = u32> + '_ {
        let revisions = &self.integration.courses.get(course).body.revisions;
        let shown = self.integration.is_on(Model::Revisions);
        revisions.iter().copied().filter(move |number| {
            let row = self.integration.revisions.get(*number);
            shown && !self.is_gone(row) && (include_deleted || row.deleted == 0)
        })
    }

    /// A course as `/lms/courses` lists it.
    pub(super) fn course_record(&self, number: u32, include_deleted: bool) -> Members {
        let mut record = self.course(number);
        let provider = self.provider_of(number);
        let provider = provider.map_or(Value::Null, |provider| {
            Value::Object(self.provider(provider))
        });
        record.insert("provider".to_owned(), provider);
        let revisions = self
            .revisions_of(number, include_deleted)
            .map(|revision| Value::Object(self.revision_record(revision)))
            .collect();
        record.insert("revisions".to_owned(), Value::Array(revisions));
        record
    }

    fn revision_record(&self, number: u32) -> Members {
        let mut record = self.revision(number);
        let assignments = self.assignments_of(number).map(|assignment| {
            let skill = self.integration.assignments.get(assignment).body.skill;
            let skill = self.integration.skills.get(skill);
            json!({ "skill": {
                "id": skill.id.as_str(),
                "remote_id": skill.body.remote_id.as_deref(),
                "name": &*skill.body.name,
            } })
        });
        record.insert("skill_assignments".to_owned(), assignments.collect());
        record
    }

    /// A progression as `/lms/course-progressions` lists it.
    pub(super) fn progression_record(&self, number: u32) -> Members {
        let mut record = self.progression(number);
        let row = self.integration.progressions.get(number);
        let (user, revision) = if row.expired {
            (Value::Null, Value::Null)
        } else {
            (
                self.partial_user(&row.body),
                self.partial_revision(&row.body),
            )
        };
        record.insert("user".to_owned(), user);
        record.insert("course_revision".to_owned(), revision);
        record
    }

    fn partial_user(&self, progression: &Progression) -> Value {
        let row = self.integration.users.get(progression.user);
        let email = self
            .integration
            .connector
            .has_field(Model::Users, "work_email");
        let body = (!row.expired).then_some(&row.body);
        Value::Object(members([
            ("id", id(&row.id)),
            ("remote_id", optional(body.map(|body| &*body.remote_id))),
            (
                "first_name",
                optional(body.and_then(|body| body.first_name.as_deref())),
            ),
            (
                "last_name",
                optional(body.and_then(|body| body.last_name.as_deref())),
            ),
            (
                "work_email",
                optional(
                    body.and_then(|body| body.work_email.as_deref())
                        .filter(|_| email),
                ),
            ),
        ]))
    }

    fn partial_revision(&self, progression: &Progression) -> Value {
        let row = self.integration.revisions.get(progression.revision);
        let body = (!row.expired).then_some(&row.body);
        let course = body
            .and_then(|body| body.course)
            .map_or(Value::Null, |course| {
                let course = self.integration.courses.get(course);
                let remote_id = (!course.expired).then_some(&*course.body.remote_id);
                json!({ "id": course.id.as_str(), "remote_id": remote_id })
            });
        Value::Object(members([
            ("id", id(&row.id)),
            ("remote_id", optional(body.map(|body| &*body.remote_id))),
            ("title", optional(body.map(|body| &*body.title))),
            ("course", course),
        ]))
    }

    /// The open-ended columns, grown from the row's own number: a third of the rows have some of them.
    fn add_extras(&self, columns: &mut Members, path: &str, extra: u32) {
        let custom = match extra & 1 {
            0 => Value::Null,
            _ => {
                json!({ "cost_center": (4_000 + (extra >> 8) % 90).to_string(), "union": extra & 16 != 0 })
            }
        };
        let remote = match extra & 2 {
            0 => Value::Null,
            _ => json!({ path: { "etag": format!("{extra:08x}"), "revision": extra >> 20 } }),
        };
        let fields = match extra & 4 {
            0 => json!([]),
            _ => json!([self.integration_field(path, extra)]),
        };
        columns.insert("custom_fields".to_owned(), custom);
        columns.insert("remote_data".to_owned(), remote);
        columns.insert("integration_fields".to_owned(), fields);
    }

    /// An integration field; its value is of any type, or missing altogether.
    fn integration_field(&self, path: &str, extra: u32) -> Value {
        let field_id = self
            .integration
            .kombo_id(&format!("field region of {path}"));
        let mut field = json!({
            "id": field_id.as_str(),
            "key": "region",
            "type": if extra & 32 == 0 { "CUSTOM" } else { "DEFAULT" },
            "label": if extra & 64 == 0 { Value::Null } else { text("Region") },
        });
        let value = match (extra >> 8) % 4 {
            0 => None,
            1 => Some(text("EMEA")),
            2 => Some(json!(extra >> 24)),
            _ => Some(json!({ "code": "DE-BE", "primary": true })),
        };
        if let Some(value) = value {
            field["value"] = value;
        }
        field
    }
}

/// The rows of a table that Kombo still has.
pub(super) fn remaining<'a, T>(
    renderer: &'a Renderer<'_>,
    table: &'a Table<T>,
) -> impl Iterator<Item = u32> + 'a {
    (0..table.len()).filter(|number| !renderer.is_gone(table.get(*number)))
}
