//! The seven models as Kombo stores them, and the four endpoints that show them.
//!
//! Compact structs instead of JSON: a benchmark holds a million progressions. Columns that follow from
//! other columns (a progression's remote id, custom fields) are worked out when a page is built.
//!
//! Must never say how a row looks on the wire; that is `render.rs`.

/// A model, under the names of the webhook and of the mirror's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Model {
    Users,
    Courses,
    Revisions,
    Providers,
    Skills,
    Assignments,
    Progressions,
}

impl Model {
    pub(super) const ALL: [Model; 7] = [
        Model::Users,
        Model::Courses,
        Model::Revisions,
        Model::Providers,
        Model::Skills,
        Model::Assignments,
        Model::Progressions,
    ];

    /// The name in `changed_models`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Model::Users => "lms_users",
            Model::Courses => "lms_courses",
            Model::Revisions => "lms_course_revisions",
            Model::Providers => "lms_course_providers",
            Model::Skills => "lms_skills",
            Model::Assignments => "lms_join_revisions_skills",
            Model::Progressions => "lms_course_progressions",
        }
    }

    pub(super) fn named(name: &str) -> Option<Model> {
        Model::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The key in [`Truth`](super::Truth).
    pub(super) fn table(self) -> &'static str {
        match self {
            Model::Users => "users",
            Model::Courses => "courses",
            Model::Revisions => "course_revisions",
            Model::Providers => "course_providers",
            Model::Skills => "skills",
            Model::Assignments => "course_revision_skills",
            Model::Progressions => "course_progressions",
        }
    }
}

/// One of the four list endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// `GET /lms/users`
    Users,
    /// `GET /lms/courses`
    Courses,
    /// `GET /lms/course-progressions`
    CourseProgressions,
    /// `GET /lms/skills`
    Skills,
}

impl Endpoint {
    pub(super) const ALL: [Endpoint; 4] = [
        Endpoint::Users,
        Endpoint::Courses,
        Endpoint::CourseProgressions,
        Endpoint::Skills,
    ];

    /// The path below the version prefix.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Users => "/lms/users",
            Endpoint::Courses => "/lms/courses",
            Endpoint::CourseProgressions => "/lms/course-progressions",
            Endpoint::Skills => "/lms/skills",
        }
    }

    pub(super) fn model(self) -> Model {
        match self {
            Endpoint::Users => Model::Users,
            Endpoint::Courses => Model::Courses,
            Endpoint::CourseProgressions => Model::Progressions,
            Endpoint::Skills => Model::Skills,
        }
    }
}

pub(super) struct User {
    pub(super) remote_id: Box<str>,
    pub(super) first_name: Option<Box<str>>,
    pub(super) last_name: Option<Box<str>>,
    pub(super) work_email: Option<Box<str>>,
    pub(super) status: Option<&'static str>,
    pub(super) created: i64,
    pub(super) extra: u32,
    pub(super) progressions: Vec<u32>,
}

pub(super) struct Course {
    pub(super) remote_id: Box<str>,
    pub(super) provider: Option<u32>,
    pub(super) origin_id: Option<Box<str>>,
    pub(super) created: i64,
    pub(super) extra: u32,
    pub(super) revisions: Vec<u32>,
}

pub(super) struct Revision {
    pub(super) remote_id: Box<str>,
    pub(super) course: Option<u32>,
    pub(super) title: Box<str>,
    pub(super) description: Option<Box<str>>,
    pub(super) status: Option<&'static str>,
    pub(super) created: i64,
    pub(super) extra: u32,
    pub(super) assignments: Vec<u32>,
    pub(super) progressions: Vec<u32>,
}

pub(super) struct Provider {
    pub(super) remote_id: Box<str>,
    pub(super) name: Box<str>,
    /// Every course that ever had this provider; the course says whether it still does.
    pub(super) courses: Vec<u32>,
}

pub(super) struct Skill {
    pub(super) remote_id: Option<Box<str>>,
    pub(super) name: Box<str>,
    pub(super) created: i64,
    pub(super) extra: u32,
    pub(super) assignments: Vec<u32>,
}

/// A skill assigned to a revision: the join row, which Kombo never shows as such.
pub(super) struct Assignment {
    pub(super) revision: u32,
    pub(super) skill: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgressionStatus {
    Enrolled,
    InProgress,
    Completed,
    Dropped,
}

impl ProgressionStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            ProgressionStatus::Enrolled => "ENROLLED",
            ProgressionStatus::InProgress => "IN_PROGRESS",
            ProgressionStatus::Completed => "COMPLETED",
            ProgressionStatus::Dropped => "DROPPED",
        }
    }
}

pub(super) struct Progression {
    pub(super) user: u32,
    pub(super) revision: u32,
    /// Above 1 where a user takes the same revision again; then part of the remote id.
    pub(super) attempt: u16,
    pub(super) status: ProgressionStatus,
    pub(super) extra: u8,
    pub(super) enrolled: i64,
    pub(super) completed: i64,
}
