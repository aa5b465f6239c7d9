//! `GET /lms/course-progressions`: who is how far in which revision.
//!
//! The nested user and revision are partial. They fill a stub where the mirror knows nothing and never
//! overwrite a row that their own endpoint wrote (rule 9).

use super::filters::{
    BY_CHANGED_AT, BY_KOMBO_ID, CHANGED_AT, INTEGRATION_KOMBO_ID, KOMBO_ID, REMOTE_ID, by_time,
    id_filter, time_filter, word_filter,
};
use super::object::{
    EnumType, Field, Kind, Object, REMOTE_DATA, enumeration, relation, text_field, time_field,
    to_one,
};
use super::page::PageRows;
use super::record::{Record, Unreadable, Value};
use super::table::{Table, json, text, time, word};
use super::{Endpoint, Mode, courses, users};

/// The tables as diesel sees them; a test holds them equal to the migrated database.
#[expect(
    missing_docs,
    reason = "the columns are Kombo's; migrations and [`Table`] say what they are"
)]
pub mod schema {
    diesel::table! {
        /// Enrolments and their progress.
        course_progressions (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            user_id -> Nullable<Text>,
            course_revision_id -> Nullable<Text>,
            status -> Nullable<Text>,
            enrolled_at -> Nullable<Timestamptz>,
            completed_at -> Nullable<Timestamptz>,
            remote_deleted_at -> Nullable<Timestamptz>,
            changed_at -> Nullable<Timestamptz>,
            remote_data -> Nullable<Jsonb>,
            unknown_fields -> Nullable<Jsonb>,
            missing_since -> Nullable<Timestamptz>,
            observed_at -> Timestamptz,
            mirrored_at -> Timestamptz,
            incomplete -> Bool,
        }
    }
}

/// Kombo's columns of `course_progressions`.
pub static COURSE_PROGRESSIONS: Table = Table {
    name: "course_progressions",
    columns: &[
        text("remote_id"),
        text("user_id"),
        text("course_revision_id"),
        word("status", &COURSE_PROGRESSION_STATUS),
        time("enrolled_at"),
        time("completed_at"),
        time("remote_deleted_at"),
        time("changed_at"),
        json("remote_data"),
    ],
    referred_by: &[],
};

/// `GET /lms/course-progressions` (API reference: get-course-progressions).
pub static ENDPOINT: Endpoint = Endpoint {
    name: "course_progressions",
    graphql_name: "COURSE_PROGRESSIONS",
    description: "`GET /lms/course-progressions`: course progressions.",
    path: "/lms/course-progressions",
    webhook_models: &[("lms_course_progressions", Mode::Delta)],
    tables: &[&COURSE_PROGRESSIONS],
    links: &[],
    read,
};

const NESTED: &[&str] = &["user", "course_revision"];

fn read(record: &Record<'_>, page: &mut PageRows) -> Result<(), Unreadable> {
    let row = record.row(&COURSE_PROGRESSIONS, NESTED)?;
    let user = record.object("user")?;
    let revision = record.object("course_revision")?;
    if let Some(id) = row.text(&COURSE_PROGRESSIONS, "user_id") {
        let mut stub = stub(user.as_ref(), &users::USERS)?;
        // the column is what the progression refers to, whatever the nested object calls itself
        stub.id = id.to_owned();
        page.push_stub(&users::USERS, stub);
    }
    if let Some(id) = row.text(&COURSE_PROGRESSIONS, "course_revision_id") {
        let mut stub = stub(revision.as_ref(), &courses::COURSE_REVISIONS)?;
        stub.id = id.to_owned();
        let course = match &revision {
            Some(revision) => revision.object("course")?,
            None => None,
        };
        if let Some(course) = course {
            let course = course.row(&courses::COURSES, &[])?;
            if let Some(position) = courses::COURSE_REVISIONS.position("course_id") {
                stub.values[position] = Value::Text(Some(course.id.clone()));
            }
            page.push_stub(&courses::COURSES, course);
        }
        page.push_stub(&courses::COURSE_REVISIONS, stub);
    }
    page.push(&COURSE_PROGRESSIONS, row);
    Ok(())
}

/// What a partial object says about a row; an empty row where there is no object.
fn stub(partial: Option<&Record<'_>>, table: &Table) -> Result<super::record::Row, Unreadable> {
    match partial {
        Some(partial) => partial.row(table, &["course"]),
        None => Ok(super::record::Row::empty(table)),
    }
}

/// How far a user is.
pub static COURSE_PROGRESSION_STATUS: EnumType = EnumType {
    name: "CourseProgressionStatus",
    description: "How far a user is in a course revision.",
    values: &[
        ("ENROLLED", "Enrolled, not begun."),
        ("IN_PROGRESS", "Begun, not completed."),
        ("COMPLETED", "Completed."),
        ("DROPPED", "Given up or withdrawn."),
    ],
    is_kombos: true,
};

/// The GraphQL type `CourseProgression`.
pub static COURSE_PROGRESSION: Object = Object {
    name: "CourseProgression",
    plural: "courseProgressions",
    singular: "courseProgression",
    description: "How far one user is in one course revision, from Kombo's `GET /lms/course-progressions`.",
    table: &COURSE_PROGRESSIONS,
    endpoints: &["course_progressions"],
    fields: &[
        enumeration(
            "status",
            "CourseProgressionStatus",
            &COURSE_PROGRESSION_STATUS,
            "How far the user is; UNKNOWN where Kombo sent a value that this version does not know.",
        ),
        text_field("statusText", "status", "The status as Kombo sent it."),
        time_field("enrolledAt", "enrolled_at", "When the user was enrolled."),
        time_field(
            "completedAt",
            "completed_at",
            "When the user completed the revision.",
        ),
        REMOTE_DATA,
        Field {
            name: "user",
            ty: "User",
            description: "Who; null when the mirror does not know the user.",
            kind: Kind::One(to_one(
                &users::USER,
                relation(
                    "users {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.user_id",
                ),
            )),
        },
        Field {
            name: "courseRevision",
            ty: "CourseRevision",
            description: "In what; null when the mirror does not know the revision.",
            kind: Kind::One(to_one(
                &courses::COURSE_REVISION,
                relation(
                    "course_revisions {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.course_revision_id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        id_filter("userKomboId", "user_id", "Kombo's id of the user."),
        id_filter("courseKomboId", "course_id", "Kombo's id of the course.").of_any(
            "course_revisions {v}",
            "{v}.integration_id = {t}.integration_id AND {v}.id = {t}.course_revision_id",
        ),
        id_filter(
            "courseRevisionKomboId",
            "course_revision_id",
            "Kombo's id of the course revision.",
        ),
        word_filter("status", &COURSE_PROGRESSION_STATUS, "How far the user is."),
        time_filter("enrolledAt", "enrolled_at", "When the user was enrolled."),
        time_filter(
            "completedAt",
            "completed_at",
            "When the user completed the revision.",
        ),
        CHANGED_AT,
    ],
    orders: &[
        BY_KOMBO_ID,
        BY_CHANGED_AT,
        by_time(
            "ENROLLED_AT",
            "enrolled_at",
            "When the user was enrolled; null is the smallest.",
        ),
        by_time(
            "COMPLETED_AT",
            "completed_at",
            "When the user completed the revision; null is the smallest.",
        ),
    ],
};
