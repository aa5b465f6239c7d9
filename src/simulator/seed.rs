//! The data an integration begins with.
//!
//! Moments of the remote system are fixed dates; Kombo's own (`changed_at`) lie in the weeks before the
//! start, in an order in which everything nested is older than what contains it.
//!
//! Must never depend on anything but the options, the number of the integration and the moment of the start.

use fastrand::Rng;

use super::Options;
use super::connector::CONNECTORS;
use super::fiction::{self, DAY_MS};
use super::integration::{Integration, IntegrationState};
use super::rows::Model;

/// How many revisions no course lists; progressions refer to them nevertheless.
const UNLISTED_REVISIONS: usize = 2;
/// One row in so many begins with a deletion mark.
const ROWS_PER_TOMBSTONE: u32 = 80;

/// Builds the `number`th integration.
pub(super) fn integration(options: &Options, number: usize, start: i64) -> Integration {
    let mut rng = Rng::with_seed(options.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9));
    let connector = &CONNECTORS[number % CONNECTORS.len()];
    let opaque: String = (0..24).map(|_| rng.alphanumeric()).collect();
    let mut integration = Integration::new(
        format!("{}:{opaque}", connector.tool),
        connector,
        fiction::company(number),
        start - 100 * DAY_MS,
        options.progressions,
    );
    if options.initial_setup_pending {
        integration.state = IntegrationState::SETUP_PENDING;
    }
    seed_users(&mut integration, options.users, &mut rng, start);
    seed_skills(&mut integration, options.skills, &mut rng, start);
    seed_courses(&mut integration, options.courses, &mut rng, start);
    seed_progressions(&mut integration, options.progressions, &mut rng, start);
    seal(&mut integration);
    seed_tombstones(&mut integration, &mut rng, start);
    integration.touched.clear();
    integration
}

/// A moment between two numbers of days before the start.
fn days_ago(rng: &mut Rng, start: i64, oldest: i64, newest: i64) -> i64 {
    start - rng.i64(newest * DAY_MS..oldest * DAY_MS)
}

fn seed_users(integration: &mut Integration, count: usize, rng: &mut Rng, start: i64) {
    for _ in 0..count {
        let number = integration.users.len() + 1;
        let created = fiction::past_moment(rng);
        let user = fiction::user(rng, integration.connector, number, created);
        let at = days_ago(rng, start, 90, 60);
        integration.insert_user(user, at);
    }
}

fn seed_skills(integration: &mut Integration, count: usize, rng: &mut Rng, start: i64) {
    if !integration.connector.has_model(Model::Skills) {
        return;
    }
    for _ in 0..count {
        let number = integration.skills.len() + 1;
        let created = fiction::past_moment(rng);
        let skill = fiction::skill(rng, integration.connector, number, created);
        let at = days_ago(rng, start, 90, 80);
        integration.insert_skill(skill, at);
    }
}

fn seed_courses(integration: &mut Integration, count: usize, rng: &mut Rng, start: i64) {
    if integration.connector.has_model(Model::Providers) {
        for number in 1..=count.div_ceil(20) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let provider = fiction::provider(rng, integration.connector, number);
            let at = days_ago(rng, start, 90, 80);
            integration.insert_provider(provider, at);
        }
    }
    for index in 0..count {
        let at = days_ago(rng, start, 80, 60);
        let course = new_course(integration, rng, at);
        // Every seventeenth course has no revision yet.
        let revisions = if index % 17 == 16 {
            0
        } else {
            rng.usize(1..=3)
        };
        for _ in 0..revisions {
            let revision = new_revision(integration, rng, Some(course), at);
            for _ in 0..rng.u8(..3) {
                assign_any_skill(integration, rng, revision, at);
            }
        }
    }
    if count > 0 {
        for _ in 0..UNLISTED_REVISIONS {
            let at = days_ago(rng, start, 80, 60);
            new_revision(integration, rng, None, at);
        }
    }
}

/// Adds a course without revisions. Every fifth or so has no provider.
pub(super) fn new_course(integration: &mut Integration, rng: &mut Rng, at: i64) -> u32 {
    let providers = integration.providers.len();
    let provider = (providers > 0 && rng.u8(..5) != 0).then(|| rng.u32(..providers));
    let created = fiction::past_moment(rng);
    let number = integration.courses.len() + 1;
    let course = fiction::course(rng, integration.connector, number, provider, created);
    integration.insert_course(course, at)
}

/// Adds a version to a course, or a revision that no course lists.
pub(super) fn new_revision(
    integration: &mut Integration,
    rng: &mut Rng,
    course: Option<u32>,
    at: i64,
) -> u32 {
    let created = fiction::past_moment(rng);
    let revision = match course {
        Some(number) => {
            let parent = &integration.courses.get(number).body;
            let version = parent.revisions.len() + 1;
            fiction::revision(rng, Some((number, &parent.remote_id)), version, created)
        }
        None => fiction::revision(rng, None, integration.revisions.rows.len() + 1, created),
    };
    integration.insert_revision(revision, at)
}

pub(super) fn assign_any_skill(
    integration: &mut Integration,
    rng: &mut Rng,
    revision: u32,
    at: i64,
) -> bool {
    let skills = integration.skills.len();
    if skills == 0 {
        return false;
    }
    let skill = rng.u32(..skills);
    integration.assign_skill(revision, skill, at)
}

fn seed_progressions(integration: &mut Integration, count: usize, rng: &mut Rng, start: i64) {
    let users = integration.users.len();
    let revisions = integration.revisions.len();
    if users == 0 || revisions == 0 {
        return;
    }
    for _ in 0..count {
        let enrolled = fiction::past_moment(rng);
        let user = rng.u32(..users);
        let revision = rng.u32(..revisions);
        let progression = fiction::progression(rng, user, revision, 1, enrolled);
        let at = days_ago(rng, start, 60, 13);
        integration.insert_progression(progression, at);
    }
}

fn seal(integration: &mut Integration) {
    integration.users.seal();
    integration.courses.seal();
    integration.revisions.seal();
    integration.providers.seal();
    integration.skills.seal();
    integration.assignments.seal();
    integration.progressions.seal();
}

/// Deletes a few rows during the last twelve days, so that none has reached its fourteenth yet.
fn seed_tombstones(integration: &mut Integration, rng: &mut Rng, start: i64) {
    let mut doomed = Vec::new();
    for (model, rows) in [
        (Model::Users, integration.users.len()),
        (Model::Courses, integration.courses.len()),
        (Model::Revisions, integration.revisions.len()),
        (Model::Skills, integration.skills.len()),
        (Model::Progressions, integration.progressions.len()),
    ] {
        for _ in 0..rows / ROWS_PER_TOMBSTONE {
            doomed.push((model, rng.u32(..rows)));
        }
    }
    rng.shuffle(&mut doomed);
    let step = 11 * DAY_MS / (doomed.len() as i64 + 1);
    let mut at = start - 12 * DAY_MS;
    for (model, number) in doomed {
        at += step;
        integration.delete(model, number, at);
    }
}
