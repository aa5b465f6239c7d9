//! `GET /lms/courses`: courses with their provider (partial) and their revisions (full records).
//!
//! Four tables come from this one endpoint. A revision has no endpoint of its own, a provider neither, and
//! a skill assignment is nothing but its presence in a revision's list: a revision or assignment that a
//! freshly read course does not list is gone.

mod objects;

use super::object::EnumType;
use super::page::PageRows;
use super::record::{Record, Row, Unreadable};
use super::table::{LinkTable, Table, json, text, time, word};
use super::{Endpoint, Mode, skills};

pub use objects::{COURSE, COURSE_PROVIDER, COURSE_REVISION};

/// The tables as diesel sees them; a test holds them equal to the migrated database.
#[expect(
    missing_docs,
    reason = "the columns are Kombo's; migrations and [`Table`] say what they are"
)]
pub mod schema {
    diesel::table! {
        /// Courses.
        courses (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            provider_id -> Nullable<Text>,
            origin_id -> Nullable<Text>,
            remote_created_at -> Nullable<Timestamptz>,
            remote_deleted_at -> Nullable<Timestamptz>,
            changed_at -> Nullable<Timestamptz>,
            remote_data -> Nullable<Jsonb>,
            custom_fields -> Nullable<Jsonb>,
            integration_fields -> Nullable<Jsonb>,
            unknown_fields -> Nullable<Jsonb>,
            missing_since -> Nullable<Timestamptz>,
            observed_at -> Timestamptz,
            mirrored_at -> Timestamptz,
            incomplete -> Bool,
            current_title -> Nullable<Text>,
        }
    }

    diesel::table! {
        /// Revisions of courses: title, description and status live here.
        course_revisions (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            course_id -> Nullable<Text>,
            title -> Nullable<Text>,
            description -> Nullable<Text>,
            remote_url -> Nullable<Text>,
            status -> Nullable<Text>,
            remote_created_at -> Nullable<Timestamptz>,
            remote_deleted_at -> Nullable<Timestamptz>,
            changed_at -> Nullable<Timestamptz>,
            remote_data -> Nullable<Jsonb>,
            custom_fields -> Nullable<Jsonb>,
            integration_fields -> Nullable<Jsonb>,
            unknown_fields -> Nullable<Jsonb>,
            missing_since -> Nullable<Timestamptz>,
            observed_at -> Timestamptz,
            mirrored_at -> Timestamptz,
            incomplete -> Bool,
        }
    }

    diesel::table! {
        /// Providers of courses.
        course_providers (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            name -> Nullable<Text>,
            unknown_fields -> Nullable<Jsonb>,
            missing_since -> Nullable<Timestamptz>,
            observed_at -> Timestamptz,
            mirrored_at -> Timestamptz,
            incomplete -> Bool,
        }
    }

    diesel::table! {
        /// Which skills a revision teaches.
        course_revision_skills (integration_id, course_revision_id, skill_id) {
            integration_id -> Text,
            course_revision_id -> Text,
            skill_id -> Text,
            observed_at -> Timestamptz,
            mirrored_at -> Timestamptz,
        }
    }
}

/// Kombo's columns of `courses`.
pub static COURSES: Table = Table {
    name: "courses",
    columns: &[
        text("remote_id"),
        text("provider_id"),
        text("origin_id"),
        time("remote_created_at"),
        time("remote_deleted_at"),
        time("changed_at"),
        json("remote_data"),
        json("custom_fields"),
        json("integration_fields"),
    ],
    referred_by: &[("course_revisions", "course_id")],
};

/// Kombo's columns of `course_revisions`.
pub static COURSE_REVISIONS: Table = Table {
    name: "course_revisions",
    columns: &[
        text("remote_id"),
        text("course_id"),
        text("title"),
        text("description"),
        text("remote_url"),
        word("status", &COURSE_REVISION_STATUS),
        time("remote_created_at"),
        time("remote_deleted_at"),
        time("changed_at"),
        json("remote_data"),
        json("custom_fields"),
        json("integration_fields"),
    ],
    referred_by: &[("course_progressions", "course_revision_id")],
};

/// Kombo's visible columns of `course_providers`; it keeps more, but no endpoint returns them.
pub static COURSE_PROVIDERS: Table = Table {
    name: "course_providers",
    columns: &[text("remote_id"), text("name")],
    referred_by: &[("courses", "provider_id")],
};

/// `skill_assignments` of `revisions[]`.
pub static COURSE_REVISION_SKILLS: LinkTable = LinkTable {
    name: "course_revision_skills",
    from: "course_revision_id",
    to: "skill_id",
    owner: &COURSE_REVISIONS,
    field: "skills",
};

/// `GET /lms/courses` (API reference: get-courses).
pub static ENDPOINT: Endpoint = Endpoint {
    name: "courses",
    graphql_name: "COURSES",
    description: "`GET /lms/courses`: courses with their providers, revisions and skill assignments.",
    path: "/lms/courses",
    webhook_models: &[
        ("lms_courses", Mode::Delta),
        ("lms_course_revisions", Mode::Delta),
        // by the reference neither of these re-delivers a course to `updated_after`
        ("lms_course_providers", Mode::Full),
        ("lms_join_revisions_skills", Mode::Full),
    ],
    tables: &[&COURSES, &COURSE_REVISIONS, &COURSE_PROVIDERS],
    links: &[&COURSE_REVISION_SKILLS],
    read,
};

fn read(record: &Record<'_>, page: &mut PageRows) -> Result<(), Unreadable> {
    let course = record.row(&COURSES, &["provider", "revisions"])?;
    let provider = record
        .object("provider")?
        .map(|provider| provider.row(&COURSE_PROVIDERS, &[]))
        .transpose()?;
    let revisions = record
        .objects("revisions")?
        .map(|revisions| {
            revisions
                .iter()
                .map(Revision::read)
                .collect::<Result<Vec<_>, _>>()
        })
        .transpose()?;
    // everything is readable: from here on nothing fails, so a record is stored whole or not at all
    if let Some(provider) = provider {
        page.push_repeated(&COURSE_PROVIDERS, provider);
    }
    if let Some(revisions) = revisions {
        page.push_complete_list(&COURSE_REVISIONS, "course_id", course.id.clone());
        for revision in revisions {
            revision.push(page);
        }
    }
    page.push(&COURSES, course);
    Ok(())
}

/// A revision as nested in its course.
struct Revision {
    row: Row,
    /// `None` when Kombo sent no list, which says nothing about the assignments.
    skills: Option<Vec<Row>>,
}

impl Revision {
    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        let row = record.row(&COURSE_REVISIONS, &["skill_assignments"])?;
        let skills = record
            .objects("skill_assignments")?
            .map(|assignments| {
                assignments
                    .iter()
                    .map(|assignment| {
                        assignment
                            .object("skill")?
                            .ok_or_else(|| Unreadable::member("skill", "an object"))?
                            .row(&skills::SKILLS, &[])
                    })
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()?;
        Ok(Self { row, skills })
    }

    fn push(self, page: &mut PageRows) {
        if let Some(skills) = self.skills {
            let ids = skills.iter().map(|skill| skill.id.clone()).collect();
            page.push_link_list(&COURSE_REVISION_SKILLS, self.row.id.clone(), ids);
            for skill in skills {
                page.push_stub(&skills::SKILLS, skill);
            }
        }
        page.push(&COURSE_REVISIONS, self.row);
    }
}

/// Whether a revision can be taken.
pub static COURSE_REVISION_STATUS: EnumType = EnumType {
    name: "CourseRevisionStatus",
    description: "Whether a course revision can be taken.",
    values: &[
        ("ACTIVE", "The revision is offered."),
        ("INACTIVE", "The revision is switched off."),
    ],
    is_kombos: true,
};
