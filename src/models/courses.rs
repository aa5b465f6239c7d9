//! `GET /lms/courses`: courses with their provider (partial) and their revisions (full records).
//!
//! Four tables come from this one endpoint. A revision has no endpoint of its own, a provider neither, and
//! a skill assignment is nothing but its presence in a revision's list: a revision or assignment that a
//! freshly read course does not list is gone.

use super::filters::{
    BY_CHANGED_AT, BY_KOMBO_ID, CHANGED_AT, INTEGRATION_KOMBO_ID, KOMBO_ID, REMOTE_ID, by_text,
    id_filter, text_filter, word_filter,
};
use super::object::{
    CUSTOM_FIELDS, EnumType, Field, INTEGRATION_FIELDS, Kind, Object, REMOTE_CREATED_AT,
    REMOTE_DATA, connection, enumeration, relation, text_field, to_one,
};
use super::page::PageRows;
use super::record::{Record, Row, Unreadable};
use super::table::{LinkTable, Table, json, text, time, word};
use super::{Endpoint, Mode, course_progressions, skills};

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
            title -> Nullable<Text>,
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

/// From a course to its revisions, the one to show first: live and active, newest first.
const CURRENT_REVISION_ORDER: &str = "({t}.status IS NOT DISTINCT FROM 'ACTIVE') DESC, {t}.remote_created_at DESC NULLS LAST, \
     {t}.changed_at DESC NULLS LAST, {t}.id DESC";

/// The GraphQL type `Course`.
pub static COURSE: Object = Object {
    name: "Course",
    plural: "courses",
    singular: "course",
    description: "A course, from Kombo's `GET /lms/courses`. Title, description and status live on its revisions.",
    table: &COURSES,
    endpoints: &["courses"],
    fields: &[
        text_field(
            "originId",
            "origin_id",
            "Your own id, set for courses that were created through Kombo.",
        ),
        REMOTE_CREATED_AT,
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
        REMOTE_DATA,
        Field {
            name: "provider",
            ty: "CourseProvider",
            description: "Who offers the course.",
            kind: Kind::One(to_one(
                &COURSE_PROVIDER,
                relation(
                    "course_providers {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.provider_id",
                ),
            )),
        },
        Field {
            name: "title",
            ty: "String",
            description: "Title of the current revision.",
            kind: Kind::Column("title"),
        },
        Field {
            name: "currentRevision",
            ty: "CourseRevision",
            description: "The newest live, active revision; without one, the newest live one.",
            kind: Kind::One(to_one(
                &COURSE_REVISION,
                relation(
                    "course_revisions {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.course_id = {p}.id \
                         AND {t}.remote_deleted_at IS NULL AND {t}.missing_since IS NULL",
                )
                .ordered(CURRENT_REVISION_ORDER),
            )),
        },
        Field {
            name: "revisions",
            ty: "CourseRevisionConnection!",
            description: "All revisions of the course.",
            kind: Kind::Connection(connection(
                &COURSE_REVISION,
                relation(
                    "course_revisions {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.course_id = {p}.id",
                ),
            )),
        },
        Field {
            name: "courseProgressions",
            ty: "CourseProgressionConnection!",
            description: "Who is how far in any revision of the course.",
            kind: Kind::Connection(connection(
                &course_progressions::COURSE_PROGRESSION,
                relation(
                    "course_progressions {t}",
                    "{t}.integration_id = {m}.integration_id AND {t}.course_revision_id = {m}.id",
                )
                .through(
                    "course_revisions {m}",
                    "{m}.integration_id = {p}.integration_id AND {m}.course_id = {p}.id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        text_filter(
            "originId",
            "origin_id",
            "Your own id, set for courses that were created through Kombo.",
        ),
        id_filter(
            "providerKomboId",
            "provider_id",
            "Kombo's id of the provider.",
        ),
        text_filter("title", "title", "Title of any live revision.").of_any(
            "course_revisions {v}",
            "{v}.integration_id = {t}.integration_id AND {v}.course_id = {t}.id \
             AND {v}.remote_deleted_at IS NULL AND {v}.missing_since IS NULL",
        ),
        CHANGED_AT,
    ],
    orders: &[
        BY_KOMBO_ID,
        BY_CHANGED_AT,
        by_text(
            "TITLE",
            "title",
            "Title of the current revision, by code point; null is like an empty one.",
        ),
    ],
};

/// The GraphQL type `CourseRevision`.
pub static COURSE_REVISION: Object = Object {
    name: "CourseRevision",
    plural: "courseRevisions",
    singular: "courseRevision",
    description: "A revision of a course, as nested in Kombo's `GET /lms/courses`.",
    table: &COURSE_REVISIONS,
    endpoints: &["courses"],
    fields: &[
        text_field("title", "title", "Title."),
        text_field(
            "description",
            "description",
            "Description; may contain HTML.",
        ),
        text_field(
            "remoteUrl",
            "remote_url",
            "Page of the course in the learning system, a URL.",
        ),
        enumeration(
            "status",
            "CourseRevisionStatus",
            &COURSE_REVISION_STATUS,
            "Whether the revision can be taken; UNKNOWN where Kombo sent a value that this version does not know.",
        ),
        text_field("statusText", "status", "The status as Kombo sent it."),
        REMOTE_CREATED_AT,
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
        REMOTE_DATA,
        Field {
            name: "course",
            ty: "Course",
            description: "The course; null for a revision that stands alone.",
            kind: Kind::One(to_one(
                &COURSE,
                relation(
                    "courses {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.course_id",
                ),
            )),
        },
        Field {
            name: "skills",
            ty: "[Skill!]!",
            description: "Skills that the revision teaches, by id.",
            kind: Kind::List(to_one(
                &skills::SKILL,
                relation(
                    "course_revision_skills l JOIN skills {t} \
                           ON {t}.integration_id = l.integration_id AND {t}.id = l.skill_id",
                    "l.integration_id = {p}.integration_id AND l.course_revision_id = {p}.id \
                         AND {t}.remote_deleted_at IS NULL AND {t}.missing_since IS NULL",
                )
                .ordered("{t}.id"),
            )),
        },
        Field {
            name: "courseProgressions",
            ty: "CourseProgressionConnection!",
            description: "Who is how far in the revision.",
            kind: Kind::Connection(connection(
                &course_progressions::COURSE_PROGRESSION,
                relation(
                    "course_progressions {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.course_revision_id = {p}.id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        id_filter("courseKomboId", "course_id", "Kombo's id of the course."),
        text_filter("title", "title", "Title."),
        word_filter(
            "status",
            &COURSE_REVISION_STATUS,
            "Whether the revision can be taken.",
        ),
        id_filter(
            "skillKomboId",
            "skill_id",
            "Kombo's id of any skill that the revision teaches.",
        )
        .of_any(
            "course_revision_skills {v}",
            "{v}.integration_id = {t}.integration_id AND {v}.course_revision_id = {t}.id",
        ),
        CHANGED_AT,
    ],
    orders: &[
        BY_KOMBO_ID,
        BY_CHANGED_AT,
        by_text(
            "TITLE",
            "title",
            "Title, by code point; null is like an empty one.",
        ),
    ],
};

/// The GraphQL type `CourseProvider`.
pub static COURSE_PROVIDER: Object = Object {
    name: "CourseProvider",
    plural: "courseProviders",
    singular: "courseProvider",
    description: "Who offers courses, as nested in Kombo's `GET /lms/courses`. Kombo shows no dates of providers.",
    table: &COURSE_PROVIDERS,
    endpoints: &["courses"],
    fields: &[
        text_field("name", "name", "Name of the provider."),
        Field {
            name: "courses",
            ty: "CourseConnection!",
            description: "Courses of the provider.",
            kind: Kind::Connection(connection(
                &COURSE,
                relation(
                    "courses {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.provider_id = {p}.id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        text_filter("name", "name", "Name of the provider."),
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
