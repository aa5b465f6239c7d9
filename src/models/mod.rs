//! The mirrored models, one file per Kombo endpoint.
//!
//! Everything that is particular to an endpoint stands in its file as data: names, tables, how a record
//! becomes rows, and what GraphQL shows of them. The machinery (sync, reads, schema) walks [`ALL`] and the
//! lists it leads to; it never names a model. A model must never touch network, queue or clock.
//!
//! A new endpoint is one file here, one line in [`ALL`], a migration and a fixture.

pub mod compare;
pub mod course_progressions;
pub mod courses;
pub mod effect;
pub mod erasure;
pub mod filters;
pub mod lists;
pub mod object;
pub mod page;
pub mod record;
pub mod skills;
pub mod store;
mod stubs;
pub mod table;
pub mod users;

use object::{EnumType, Object};
use page::PageRows;
use record::{Record, Unreadable};
use table::{LinkTable, Table};

/// How far to fetch: what changed since the watermark, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// With `updated_after`.
    Delta,
    /// Without; the only mode that can notice an absence.
    Full,
}

impl Mode {
    /// The word in tables, logs and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "DELTA",
            Self::Full => "FULL",
        }
    }

    /// The mode that `as_str` wrote; anything else reads as the safe one, FULL.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if text == "DELTA" {
            Self::Delta
        } else {
            Self::Full
        }
    }
}

/// One list endpoint of Kombo's LMS API.
pub struct Endpoint {
    /// The word in tables and logs.
    pub name: &'static str,
    /// The value of the GraphQL enum `KomboEndpoint`.
    pub graphql_name: &'static str,
    /// What is fetched there, for descriptions.
    pub description: &'static str,
    /// Path below the base URL.
    pub path: &'static str,
    /// Names in `data-changed` webhooks that concern this endpoint, and how far to fetch for each.
    /// The modes are right under both of Kombo's contradicting readings of nested updates: the reference
    /// says that a provider or skill assignment re-delivers no course, so only a full fetch finds it.
    pub webhook_models: &'static [(&'static str, Mode)],
    /// Tables that a complete full fetch of this endpoint enumerates, the endpoint's own records first.
    pub tables: &'static [&'static Table],
    /// Links that its records list completely.
    pub links: &'static [&'static LinkTable],
    /// Adds one record of a page to the page's rows, all of it or nothing.
    pub read: fn(&Record<'_>, &mut PageRows) -> Result<(), Unreadable>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Every endpoint. The order is that of a first load: owners before the rows that refer to them.
pub const ALL: &[&Endpoint] = &[
    &users::ENDPOINT,
    &skills::ENDPOINT,
    &courses::ENDPOINT,
    &course_progressions::ENDPOINT,
];

/// Every mirrored GraphQL type.
pub const OBJECTS: &[&Object] = &[
    &users::USER,
    &courses::COURSE,
    &courses::COURSE_REVISION,
    &courses::COURSE_PROVIDER,
    &skills::SKILL,
    &course_progressions::COURSE_PROGRESSION,
];

/// Every enum of the mirrored types.
pub const ENUMS: &[&EnumType] = &[
    &users::USER_STATUS,
    &courses::COURSE_REVISION_STATUS,
    &course_progressions::COURSE_PROGRESSION_STATUS,
    &object::INTEGRATION_FIELD_TYPE,
];

/// The endpoint with this name in tables and logs.
#[must_use]
pub fn endpoint(name: &str) -> Option<&'static Endpoint> {
    ALL.iter().copied().find(|endpoint| endpoint.name == name)
}

/// The endpoint that enumerates `table`.
#[must_use]
pub fn owner_of(table: &Table) -> Option<&'static Endpoint> {
    ALL.iter()
        .copied()
        .find(|endpoint| endpoint.tables.iter().any(|owned| owned.name == table.name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_table_has_one_owner() {
        let names: HashSet<_> = ALL.iter().map(|endpoint| endpoint.name).collect();
        assert_eq!(names.len(), ALL.len());
        let tables: Vec<_> = ALL.iter().flat_map(|endpoint| endpoint.tables).collect();
        let unique: HashSet<_> = tables.iter().map(|table| table.name).collect();
        assert_eq!(unique.len(), tables.len());
    }

    #[test]
    fn every_model_name_of_a_webhook_leads_to_a_fetch() {
        let known: HashSet<_> = ALL
            .iter()
            .flat_map(|endpoint| endpoint.webhook_models)
            .map(|(name, _)| *name)
            .collect();
        for name in [
            "lms_users",
            "lms_courses",
            "lms_course_revisions",
            "lms_course_providers",
            "lms_skills",
            "lms_join_revisions_skills",
            "lms_course_progressions",
        ] {
            assert!(known.contains(name), "{name}");
        }
    }
}
