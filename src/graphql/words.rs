//! The closed sets of words in which the sync is spoken of.

use async_graphql::Enum;

use super::events::WEBHOOK_OUTCOME;
use crate::models::filters::Renamed;
use crate::models::object::EnumType;
use crate::models::{self, Mode};

/// How far a sync run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum SyncMode {
    /// What changed since the watermark.
    Delta,
    /// Everything; the only mode that notices an absence and repairs drift.
    Full,
}

impl From<SyncMode> for Mode {
    fn from(mode: SyncMode) -> Self {
        match mode {
            SyncMode::Delta => Self::Delta,
            SyncMode::Full => Self::Full,
        }
    }
}

impl From<Mode> for SyncMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Delta => Self::Delta,
            Mode::Full => Self::Full,
        }
    }
}

/// A list endpoint of Kombo's LMS API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum KomboEndpoint {
    /// `GET /lms/users`: users.
    Users,
    /// `GET /lms/courses`: courses with their providers, revisions and skill assignments.
    Courses,
    /// `GET /lms/skills`: skills.
    Skills,
    /// `GET /lms/course-progressions`: course progressions.
    CourseProgressions,
}

impl KomboEndpoint {
    /// The endpoint's description.
    #[must_use]
    pub fn endpoint(self) -> &'static models::Endpoint {
        match self {
            Self::Users => &models::users::ENDPOINT,
            Self::Courses => &models::courses::ENDPOINT,
            Self::Skills => &models::skills::ENDPOINT,
            Self::CourseProgressions => &models::course_progressions::ENDPOINT,
        }
    }
}

/// `KomboEndpoint` as stored.
pub(super) static KOMBO_ENDPOINT: Renamed = Renamed {
    name: "KomboEndpoint",
    stored: |word| {
        let endpoint = models::ALL.iter().find(|one| one.graphql_name == word)?;
        Some(endpoint.name.to_owned())
    },
};

/// `SyncMode` as stored.
pub(super) static SYNC_MODE: Renamed = Renamed {
    name: "SyncMode",
    stored: |word| Some(word.to_owned()),
};

/// Enums of the sync, as stored.
pub(super) const ENUMS: &[&EnumType] = &[
    &SYNC_TRIGGER,
    &SYNC_RUN_STATUS,
    &SYNC_HEALTH,
    &INTEGRATION_STATE,
    &INTEGRATION_SETUP_STATUS,
    &CHANGE_KIND,
    &SCHEMA_DRIFT_KIND,
    &WEBHOOK_OUTCOME,
];

pub(super) static CHANGE_KIND: EnumType = EnumType {
    name: "ChangeKind",
    description: "What happened to a record.",
    values: &[
        ("INSERTED", "It was unknown, or known only in part."),
        (
            "UPDATED",
            "Its content changed, or the list of what it is linked to.",
        ),
        (
            "DELETED",
            "It was alive and is not any more, by Kombo's mark or by its absence.",
        ),
        ("RESTORED", "It was deleted and is alive again."),
    ],
    is_kombos: false,
};

pub(super) static SCHEMA_DRIFT_KIND: EnumType = EnumType {
    name: "SchemaDriftKind",
    description: "What Kombo sends beyond its documentation.",
    values: &[
        (
            "MEMBER",
            "A member of a record; kept beside the known ones.",
        ),
        (
            "VALUE",
            "A word that an enum does not have; shown as UNKNOWN, the text is kept.",
        ),
    ],
    is_kombos: false,
};

pub(super) static SYNC_TRIGGER: EnumType = EnumType {
    name: "SyncTrigger",
    description: "Why a sync run exists.",
    values: &[
        ("INITIAL", "The endpoint had never been fetched completely."),
        (
            "WEBHOOK",
            "A `data-changed` webhook named a model of the endpoint.",
        ),
        (
            "SCHEDULE",
            "The periodic full fetch was due, or the integration came back, or its data at Kombo is good again.",
        ),
        (
            "CATCH_UP",
            "A periodic delta that looks for what no webhook announced, or for records known only in part.",
        ),
        ("MANUAL", "Somebody asked, by `triggerResync`."),
    ],
    is_kombos: false,
};

pub(super) static SYNC_RUN_STATUS: EnumType = EnumType {
    name: "SyncRunStatus",
    description: "Where a sync run stands.",
    values: &[
        ("QUEUED", "Waiting for a worker."),
        (
            "RUNNING",
            "Begun; also while it waits for Kombo, then `error` says why, and while its integration is paused.",
        ),
        (
            "SUCCEEDED",
            "All pages are stored and the watermark has moved.",
        ),
        (
            "FAILED",
            "Given up; `error` says why, and the watermark is where it was.",
        ),
        (
            "CANCELLED",
            "Taken out of the queue, by `cancelSyncRun` or because the integration was deleted.",
        ),
    ],
    is_kombos: false,
};

pub(super) static SYNC_HEALTH: EnumType = EnumType {
    name: "SyncHealth",
    description: "How an endpoint of an integration is doing.",
    values: &[
        (
            "UP_TO_DATE",
            "The last fetch was complete and the next one is not overdue.",
        ),
        ("SYNCING", "A fetch is going on."),
        ("STALE", "The hourly catch-up is overdue."),
        ("FAILING", "The last attempts failed; `lastError` says why."),
        ("AWAITING_FIRST_SYNC", "Nothing was fetched completely yet."),
        ("PAUSED", "The integration is paused or deleted."),
        (
            "UNAVAILABLE",
            "Kombo says that this connector has no such model, or that it is switched off.",
        ),
    ],
    is_kombos: false,
};

pub(super) static INTEGRATION_STATE: EnumType = EnumType {
    name: "IntegrationState",
    description: "An integration's state at Kombo.",
    values: &[
        ("ACTIVE", "Kombo syncs it."),
        (
            "INVALID",
            "Its credentials are broken; Kombo has stopped syncing it.",
        ),
        ("INACTIVE", "It is switched off."),
        (
            "DELETED",
            "It was deleted at Kombo; the mirror fetches it no more.",
        ),
    ],
    is_kombos: true,
};

pub(super) static INTEGRATION_SETUP_STATUS: EnumType = EnumType {
    name: "IntegrationSetupStatus",
    description: "How far the set-up of an integration has come at Kombo.",
    values: &[
        ("INCOMPLETE", "The end customer has not finished it."),
        ("FINAL_SYNC_PENDING", "Kombo's first sync is still running."),
        ("COMPLETED", "Done."),
    ],
    is_kombos: true,
};
