//! Made-up people, courses and skills that look like those of a real company.
//!
//! Everything comes from the generator passed in, so the same seed tells the same story.
//!
//! Must never read the clock: moments are worked out from fixed dates or passed in.

use fastrand::Rng;

use super::connector::Connector;
use super::rows::{Course, Model, Progression, ProgressionStatus, Provider, Revision, Skill, User};

/// 2022-01-01, the day on which the oldest remote rows were created.
const FIRST_DAY_MS: i64 = 1_640_995_200_000;
pub(super) const DAY_MS: i64 = 86_400_000;

const FIRST_NAMES: [&str; 32] = [
    "Ada", "Amara", "Björn", "Carlos", "Chiara", "Daniel", "Elif", "Emma", "Farid", "Grace",
    "Hana", "Ingrid", "Jamal", "Jonas", "Kofi", "Lena", "Liam", "Łukasz", "Maja", "Mei", "Mateo",
    "Nadia", "Noah", "Olga", "Priya", "Renée", "Sofia", "Tariq", "Uma", "Yuki", "Zoë", "Wei",
];
const LAST_NAMES: [&str; 32] = [
    "Adeyemi",
    "Almeida",
    "Becker",
    "Bianchi",
    "Chen",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kaya",
    "Kowalska",
    "Lindqvist",
    "Martin",
    "Mbeki",
    "Müller",
    "Nguyen",
    "O'Brien",
    "Okafor",
    "Patel",
    "Petrov",
    "Quinn",
    "Rossi",
    "Sato",
    "Schmidt",
    "Silva",
    "Tanaka",
    "Usman",
    "Vargas",
    "Weber",
];
const TOPICS: [&str; 30] = [
    "Fire safety",
    "Data protection",
    "First aid",
    "Phishing awareness",
    "Anti-bribery",
    "Project management",
    "Spreadsheets",
    "Public speaking",
    "Negotiation",
    "Onboarding",
    "Forklift operation",
    "Food hygiene",
    "Time management",
    "Coaching",
    "Diversity at work",
    "Export control",
    "Rust programming",
    "SQL",
    "Cloud operations",
    "Incident response",
    "Customer service",
    "Cash handling",
    "Quality audits",
    "Lean production",
    "Manual handling",
    "Working at height",
    "Design thinking",
    "Conflict resolution",
    "Report writing",
    "Statistics",
];
const LEVELS: [&str; 6] = [
    "basics",
    "refresher",
    "in practice",
    "for managers",
    "advanced",
    "annual test",
];
const ACADEMIES: [&str; 12] = [
    "Northwind Academy",
    "Contoso Learning",
    "Harbour Institute",
    "Blue Oak Training",
    "Lumen Campus",
    "Fabrikam College",
    "Alpine Skills",
    "Meridian School",
    "Internal academy",
    "Copper & Pine",
    "Tailspin Lessons",
    "Åland Courses",
];
const COMPANIES: [&str; 8] = [
    "Acme",
    "Globex",
    "Initech",
    "Umbrella Logistics",
    "Hooli",
    "Stark Foods",
    "Wayne Textiles",
    "Wonka Retail",
];

fn pick(rng: &mut Rng, words: &[&'static str]) -> &'static str {
    words[rng.usize(..words.len())]
}

/// A moment in the past of the remote system, the same for the same seed.
pub(super) fn past_moment(rng: &mut Rng) -> i64 {
    FIRST_DAY_MS + rng.i64(0..1_200 * DAY_MS)
}

pub(super) fn company(number: usize) -> String {
    let name = COMPANIES[number % COMPANIES.len()];
    match number / COMPANIES.len() {
        0 => name.to_owned(),
        again => format!("{name} {}", again + 1),
    }
}

fn letters(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_lowercase()
}

fn status(rng: &mut Rng) -> Option<&'static str> {
    match rng.u8(..20) {
        0 => None,
        1 | 2 => Some("INACTIVE"),
        _ => Some("ACTIVE"),
    }
}

/// A seed for custom fields, integration fields and the remote payload; most rows have none of them.
fn extra(rng: &mut Rng) -> u32 {
    match rng.u8(..3) {
        0 => rng.u32(..),
        _ => 0,
    }
}

pub(super) fn user(rng: &mut Rng, connector: &Connector, number: u32, created: i64) -> User {
    let first = pick(rng, &FIRST_NAMES);
    let last = pick(rng, &LAST_NAMES);
    let email = format!("{}.{}{number}@example.com", letters(first), letters(last));
    User {
        remote_id: connector.remote_id(Model::Users, number).into(),
        first_name: (rng.u8(..40) != 0).then(|| first.into()),
        last_name: (rng.u8(..40) != 0).then(|| last.into()),
        work_email: (rng.u8(..25) != 0).then(|| email.into()),
        status: status(rng),
        created,
        extra: extra(rng),
        progressions: Vec::new(),
    }
}

/// A last name that differs from `current`.
pub(super) fn other_last_name(rng: &mut Rng, current: Option<&str>) -> Box<str> {
    loop {
        let name = pick(rng, &LAST_NAMES);
        if Some(name) != current {
            return name.into();
        }
    }
}

pub(super) fn course(
    rng: &mut Rng,
    connector: &Connector,
    number: u32,
    provider: Option<u32>,
    created: i64,
) -> Course {
    Course {
        remote_id: connector.remote_id(Model::Courses, number).into(),
        provider,
        origin_id: (rng.u8(..10) == 0).then(|| origin_id(rng)),
        created,
        extra: extra(rng),
        revisions: Vec::new(),
    }
}

/// The id under which the customer's own system knows a course.
pub(super) fn origin_id(rng: &mut Rng) -> Box<str> {
    format!("catalogue-{:08x}", rng.u32(..)).into()
}

/// A version of a course; without a course it is one that no endpoint lists.
pub(super) fn revision(
    rng: &mut Rng,
    course: Option<(u32, &str)>,
    version: usize,
    created: i64,
) -> Revision {
    let topic = pick(rng, &TOPICS);
    let level = pick(rng, &LEVELS);
    let parent = course.map_or("unlisted", |(_, remote_id)| remote_id);
    Revision {
        remote_id: format!("{parent}:v{version}").into(),
        course: course.map(|(number, _)| number),
        title: format!("{topic} {level}").into(),
        description: (rng.u8(..3) != 0)
            .then(|| format!("<p>{topic}: what everybody has to know.</p>").into()),
        status: status(rng),
        created,
        extra: extra(rng),
        assignments: Vec::new(),
        progressions: Vec::new(),
    }
}

/// A title that differs from `current`.
pub(super) fn other_title(rng: &mut Rng, current: &str) -> Box<str> {
    loop {
        let title = format!("{} {}", pick(rng, &TOPICS), pick(rng, &LEVELS));
        if title != current {
            return title.into();
        }
    }
}

pub(super) fn provider(rng: &mut Rng, connector: &Connector, number: u32) -> Provider {
    Provider {
        remote_id: connector.remote_id(Model::Providers, number).into(),
        name: pick(rng, &ACADEMIES).into(),
        courses: Vec::new(),
    }
}

/// A provider's name that differs from `current`.
pub(super) fn other_academy(rng: &mut Rng, current: &str) -> Box<str> {
    loop {
        let name = pick(rng, &ACADEMIES);
        if name != current {
            return name.into();
        }
    }
}

/// Every seventh skill has no remote id: Kombo derived it from course data.
pub(super) fn skill(rng: &mut Rng, connector: &Connector, number: u32, created: i64) -> Skill {
    Skill {
        remote_id: (!number.is_multiple_of(7))
            .then(|| connector.remote_id(Model::Skills, number).into()),
        name: format!("{} {number}", pick(rng, &TOPICS)).into(),
        created,
        extra: extra(rng),
        assignments: Vec::new(),
    }
}

/// A skill's name that differs from `current`.
pub(super) fn other_skill_name(rng: &mut Rng, current: &str) -> Box<str> {
    loop {
        let name = format!("{} {}", pick(rng, &TOPICS), rng.u16(..));
        if name != current {
            return name.into();
        }
    }
}

pub(super) fn progression(
    rng: &mut Rng,
    user: u32,
    revision: u32,
    attempt: u16,
    enrolled: i64,
) -> Progression {
    let status = match rng.u8(..20) {
        0..=3 => ProgressionStatus::Enrolled,
        4..=8 => ProgressionStatus::InProgress,
        9..=18 => ProgressionStatus::Completed,
        _ => ProgressionStatus::Dropped,
    };
    let completed = if status == ProgressionStatus::Completed {
        enrolled + rng.i64(1..90 * DAY_MS)
    } else {
        0
    };
    Progression {
        user,
        revision,
        attempt,
        status,
        extra: if rng.u8(..8) == 0 { rng.u8(1..) } else { 0 },
        enrolled,
        completed,
    }
}
