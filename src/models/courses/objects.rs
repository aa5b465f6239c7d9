//! What GraphQL shows of courses, their revisions and their providers.

use super::{COURSE_PROVIDERS, COURSE_REVISION_STATUS, COURSE_REVISIONS, COURSES};
use crate::models::filters::{
    BY_CHANGED_AT, BY_KOMBO_ID, CHANGED_AT, INTEGRATION_KOMBO_ID, KOMBO_ID, REMOTE_ID, by_text,
    id_filter, text_filter, word_filter,
};
use crate::models::object::{
    CUSTOM_FIELDS, Field, INTEGRATION_FIELDS, Kind, Object, REMOTE_CREATED_AT, REMOTE_DATA,
    connection, enumeration, relation, text_field, to_one,
};
use crate::models::{course_progressions, skills};

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
            kind: Kind::Column("current_title"),
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
            "current_title",
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
