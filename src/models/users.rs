//! `GET /lms/users`: the people who learn.

use super::filters::{
    BY_CHANGED_AT, BY_KOMBO_ID, CHANGED_AT, Compared, INTEGRATION_KOMBO_ID, KOMBO_ID, Order,
    REMOTE_ID, by_text, caseless_filter, text_filter, time_filter, word_filter,
};
use super::object::{
    CUSTOM_FIELDS, EnumType, Field, INTEGRATION_FIELDS, Kind, Object, REMOTE_CREATED_AT,
    REMOTE_DATA, connection, enumeration, relation, text_field,
};
use super::page::PageRows;
use super::record::{Record, Unreadable};
use super::table::{Table, json, text, time, word};
use super::{Endpoint, Mode, course_progressions};

/// The tables as diesel sees them; a test holds them equal to the migrated database.
#[expect(
    missing_docs,
    reason = "the columns are Kombo's; migrations and [`Table`] say what they are"
)]
pub mod schema {
    diesel::table! {
        /// People of the learning system.
        users (integration_id, id) {
            integration_id -> Text,
            id -> Text,
            remote_id -> Nullable<Text>,
            first_name -> Nullable<Text>,
            last_name -> Nullable<Text>,
            work_email -> Nullable<Text>,
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
}

/// Kombo's columns of `users`.
pub static USERS: Table = Table {
    name: "users",
    columns: &[
        text("remote_id"),
        text("first_name"),
        text("last_name"),
        text("work_email"),
        word("status", &USER_STATUS),
        time("remote_created_at"),
        time("remote_deleted_at"),
        time("changed_at"),
        json("remote_data"),
        json("custom_fields"),
        json("integration_fields"),
    ],
    referred_by: &[("course_progressions", "user_id")],
};

/// `GET /lms/users` (API reference: get-users).
pub static ENDPOINT: Endpoint = Endpoint {
    name: "users",
    graphql_name: "USERS",
    description: "`GET /lms/users`: users.",
    path: "/lms/users",
    webhook_models: &[("lms_users", Mode::Delta)],
    tables: &[&USERS],
    links: &[],
    read,
};

fn read(record: &Record<'_>, page: &mut PageRows) -> Result<(), Unreadable> {
    page.push(&USERS, record.row(&USERS, &[])?);
    Ok(())
}

/// Whether a person may learn.
pub static USER_STATUS: EnumType = EnumType {
    name: "UserStatus",
    description: "Whether a user is active in the learning system.",
    values: &[
        ("ACTIVE", "The user is active."),
        ("INACTIVE", "The user is switched off."),
    ],
    is_kombos: true,
};

/// The GraphQL type `User`.
pub static USER: Object = Object {
    name: "User",
    plural: "users",
    singular: "user",
    description: "A person of the learning system, from Kombo's `GET /lms/users`.",
    table: &USERS,
    endpoints: &["users"],
    fields: &[
        text_field("firstName", "first_name", "First name."),
        text_field("lastName", "last_name", "Last name."),
        text_field(
            "workEmail",
            "work_email",
            "Work e-mail address; Kombo does not promise that it is unique.",
        ),
        enumeration(
            "status",
            "UserStatus",
            &USER_STATUS,
            "Whether the user is active; UNKNOWN where Kombo sent a value that this version does not know.",
        ),
        text_field("statusText", "status", "The status as Kombo sent it."),
        REMOTE_CREATED_AT,
        CUSTOM_FIELDS,
        INTEGRATION_FIELDS,
        REMOTE_DATA,
        Field {
            name: "courseProgressions",
            ty: "CourseProgressionConnection!",
            description: "What the user is enrolled in.",
            kind: Kind::Connection(connection(
                &course_progressions::COURSE_PROGRESSION,
                relation(
                    "course_progressions {t}",
                    "{t}.integration_id = {p}.integration_id AND {t}.user_id = {p}.id",
                ),
            )),
        },
    ],
    filters: &[
        INTEGRATION_KOMBO_ID,
        KOMBO_ID,
        REMOTE_ID,
        caseless_filter(
            "workEmail",
            "work_email",
            "Work e-mail address; upper and lower case are the same in every comparison.",
        ),
        text_filter("firstName", "first_name", "First name."),
        text_filter("lastName", "last_name", "Last name."),
        word_filter("status", &USER_STATUS, "Whether the user is active."),
        CHANGED_AT,
        time_filter(
            "remoteCreatedAt",
            "remote_created_at",
            "When the user was created in the learning system.",
        ),
    ],
    orders: &[
        BY_KOMBO_ID,
        BY_CHANGED_AT,
        by_text(
            "LAST_NAME",
            "last_name",
            "Last name, by code point; null is like an empty one.",
        ),
        Order {
            name: "WORK_EMAIL",
            description: "Work e-mail address in lower case, by code point; null is like an empty one.",
            by: Some(Compared::TextIgnoringCase("work_email")),
        },
    ],
};
