//! `GET /lms/skills`: what courses teach.

use super::filters::{
    BY_KOMBO_ID, INTEGRATION_KOMBO_ID, KOMBO_ID, REMOTE_ID, by_text, text_filter,
};
use super::object::{
    CUSTOM_FIELDS, Field, INTEGRATION_FIELDS, Kind, Object, REMOTE_CREATED_AT, REMOTE_DATA,
    connection, relation, text_field,
};
use super::page::PageRows;
use super::record::{Record, Unreadable};
use super::table::{Table, json, text, time};
use super::{Endpoint, Mode, courses};

/// The tables as diesel sees them; a test holds them equal to the migrated database.
#[expect(
    missing_docs,
    reason = "the columns are Kombo's; migrations and [`Table`] say what they are"
)]
pub mod schema {
    diesel::table! {
        /// Skills.
        skills (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            name -> Nullable<Text>,
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
}

/// Kombo's columns of `skills`.
pub static SKILLS: Table = Table {
    name: "skills",
    columns: &[
        text("remote_id"),
        text("name"),
        time("remote_created_at"),
        time("remote_deleted_at"),
        time("changed_at"),
        json("remote_data"),
        json("custom_fields"),
        json("integration_fields"),
    ],
    referred_by: &[("course_revision_skills", "skill_id")],
};

/// `GET /lms/skills` (API reference: get-skills; the fetching guide's table forgets it).
pub static ENDPOINT: Endpoint = Endpoint {
    name: "skills",
    graphql_name: "SKILLS",
    description: "`GET /lms/skills`: skills.",
    path: "/lms/skills",
    webhook_models: &[
        ("lms_skills", Mode::Delta),
        ("lms_join_revisions_skills", Mode::Delta),
    ],
    tables: &[&SKILLS],
    links: &[],
    read,
};

fn read(record: &Record<'_>, page: &mut PageRows) -> Result<(), Unreadable> {
    page.push(&SKILLS, record.row(&SKILLS, &[])?);
    Ok(())
}

/// The GraphQL type `Skill`.
pub static SKILL: Object = Object {
    name: "Skill",
    plural: "skills",
    singular: "skill",
    description: "A skill that course revisions teach, from Kombo's `GET /lms/skills`.",
    table: &SKILLS,
    endpoints: &["skills"],
    fields: &[
        text_field("name", "name", "Name of the skill."),
        REMOTE_CREATED_AT,
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
        REMOTE_DATA,
        Field {
            name: "courseRevisions",
            ty: "CourseRevisionConnection!",
            description: "Revisions that teach the skill.",
            kind: Kind::Connection(connection(
                &courses::COURSE_REVISION,
                relation(
                    "course_revisions {t}",
                    "{t}.integration_id = {m}.integration_id AND {t}.id = {m}.course_revision_id",
                )
                .through(
                    "course_revision_skills {m}",
                    "{m}.integration_id = {p}.integration_id AND {m}.skill_id = {p}.id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        text_filter("name", "name", "Name of the skill."),
    ],
    orders: &[
        BY_KOMBO_ID,
        by_text(
            "NAME",
            "name",
            "Name, by code point; null is like an empty one.",
        ),
    ],
};
