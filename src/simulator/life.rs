//! What happens in a learning system day by day: random but repeatable changes.
//!
//! Must never count a change that changed nothing: every call of [`happen`] answers with one that did.

use fastrand::Rng;

use super::Change;
use super::fiction;
use super::integration::Integration;
use super::rows::Model;
use super::seed;
use super::table::Table;

/// How often a random row is drawn before another kind of change is tried.
const DRAWS: usize = 50;

/// Something that can happen, and its share in a hundred.
#[derive(Clone, Copy)]
enum Event {
    Insert(Model),
    Update(Model),
    Delete(Model),
    Undelete,
    SwitchProvider,
}

const SHARES: [(u32, Event); 20] = [
    (33, Event::Update(Model::Progressions)),
    (15, Event::Insert(Model::Progressions)),
    (4, Event::Delete(Model::Progressions)),
    (6, Event::Undelete),
    (8, Event::Update(Model::Users)),
    (5, Event::Insert(Model::Users)),
    (2, Event::Delete(Model::Users)),
    (2, Event::Update(Model::Courses)),
    (3, Event::Insert(Model::Courses)),
    (1, Event::Delete(Model::Courses)),
    (2, Event::SwitchProvider),
    (4, Event::Update(Model::Revisions)),
    (2, Event::Insert(Model::Revisions)),
    (1, Event::Delete(Model::Revisions)),
    (2, Event::Update(Model::Skills)),
    (1, Event::Insert(Model::Skills)),
    (1, Event::Delete(Model::Skills)),
    (4, Event::Insert(Model::Assignments)),
    (2, Event::Delete(Model::Assignments)),
    (2, Event::Update(Model::Providers)),
];

/// One change at `at`; `None` only where the integration has next to no data.
pub(super) fn happen(integration: &mut Integration, rng: &mut Rng, at: i64) -> Option<Change> {
    let total: u32 = SHARES.iter().map(|(share, _)| share).sum();
    for _ in 0..200 {
        let mut ticket: u32 = rng.u32(..total);
        let event = SHARES.iter().find_map(|(share, event)| {
            let hit = ticket < *share;
            ticket = ticket.saturating_sub(*share);
            hit.then_some(*event)
        })?;
        let happened = match event {
            Event::Insert(model) => insert(integration, rng, model, at),
            Event::Update(model) => update(integration, rng, model, at),
            Event::Delete(model) => delete(integration, rng, model, at),
            Event::Undelete => undelete(integration, rng, at),
            Event::SwitchProvider => switch_provider(integration, rng, at),
        };
        if let Some((action, model, number)) = happened {
            return Some(Change {
                integration_id: integration.id.clone(),
                model: model.name(),
                action,
                id: id_of(integration, model, number),
            });
        }
    }
    None
}

type Happened = Option<(&'static str, Model, u32)>;

fn id_of(integration: &Integration, model: Model, number: u32) -> String {
    let id = match model {
        Model::Users => integration.users.get(number).id,
        Model::Courses => integration.courses.get(number).id,
        Model::Revisions => integration.revisions.get(number).id,
        Model::Providers => integration.providers.get(number).id,
        Model::Skills => integration.skills.get(number).id,
        Model::Assignments => integration.assignments.get(number).id,
        Model::Progressions => integration.progressions.get(number).id,
    };
    id.as_str().to_owned()
}

fn any_live<T>(table: &Table<T>, rng: &mut Rng) -> Option<u32> {
    let rows = table.len();
    if rows == 0 {
        return None;
    }
    (0..DRAWS)
        .map(|_| rng.u32(..rows))
        .find(|number| table.is_live(*number))
}

fn insert(integration: &mut Integration, rng: &mut Rng, model: Model, at: i64) -> Happened {
    let number = match model {
        Model::Users => {
            let number = integration.users.len() + 1;
            let user = fiction::user(rng, integration.connector, number, at);
            integration.insert_user(user, at)
        }
        Model::Courses => {
            let course = seed::new_course(integration, rng, at);
            let revision = seed::new_revision(integration, rng, Some(course), at);
            seed::assign_any_skill(integration, rng, revision, at);
            course
        }
        Model::Revisions => {
            let course = any_live(&integration.courses, rng)?;
            seed::new_revision(integration, rng, Some(course), at)
        }
        Model::Skills if integration.connector.has_model(Model::Skills) => {
            let number = integration.skills.len() + 1;
            let skill = fiction::skill(rng, integration.connector, number, at);
            integration.insert_skill(skill, at)
        }
        Model::Assignments => {
            let revision = listed_revision(integration, rng)?;
            let skill = any_live(&integration.skills, rng)?;
            if !integration.assign_skill(revision, skill, at) {
                return None;
            }
            let id = integration.assignment_id(revision, skill);
            integration.assignments.number_of(id)?
        }
        Model::Progressions => {
            let user = any_live(&integration.users, rng)?;
            let revision = any_live(&integration.revisions, rng)?;
            let progression = fiction::progression(rng, user, revision, 1, at);
            integration.insert_progression(progression, at)
        }
        Model::Providers | Model::Skills => return None,
    };
    Some(("inserted", model, number))
}

/// A live revision that some course lists: changes elsewhere would be invisible.
fn listed_revision(integration: &Integration, rng: &mut Rng) -> Option<u32> {
    any_live(&integration.revisions, rng)
        .filter(|number| integration.revisions.get(*number).body.course.is_some())
}

fn update(integration: &mut Integration, rng: &mut Rng, model: Model, at: i64) -> Happened {
    let number = match model {
        Model::Users => {
            let number = any_live(&integration.users, rng)?;
            let current = integration.users.get(number).body.last_name.as_deref();
            let name = fiction::other_last_name(rng, current);
            integration.rename_user(number, name, at).then_some(number)
        }
        Model::Courses => {
            let number = any_live(&integration.courses, rng)?;
            let origin = fiction::origin_id(rng);
            integration.set_origin(number, origin, at).then_some(number)
        }
        Model::Revisions => {
            let number = listed_revision(integration, rng)?;
            let title = fiction::other_title(rng, &integration.revisions.get(number).body.title);
            integration
                .retitle_revision(number, title, at)
                .then_some(number)
        }
        Model::Providers => {
            let number = any_live(&integration.providers, rng)?;
            let name = fiction::other_academy(rng, &integration.providers.get(number).body.name);
            integration
                .rename_provider(number, name, at)
                .then_some(number)
        }
        Model::Skills => {
            let number = any_live(&integration.skills, rng)?;
            let name = fiction::other_skill_name(rng, &integration.skills.get(number).body.name);
            integration.rename_skill(number, name, at).then_some(number)
        }
        Model::Progressions => {
            let number = any_live(&integration.progressions, rng)?;
            integration
                .advance_progression(number, at)
                .then_some(number)
        }
        Model::Assignments => None,
    };
    number.map(|number| ("updated", model, number))
}

fn delete(integration: &mut Integration, rng: &mut Rng, model: Model, at: i64) -> Happened {
    let number = match model {
        Model::Users => any_live(&integration.users, rng),
        Model::Courses => any_live(&integration.courses, rng),
        Model::Revisions => listed_revision(integration, rng),
        Model::Skills => any_live(&integration.skills, rng),
        Model::Progressions => any_live(&integration.progressions, rng),
        Model::Assignments => {
            let number = any_live(&integration.assignments, rng)?;
            integration.unassign_skill(number, at);
            return Some(("unassigned", model, number));
        }
        Model::Providers => None,
    }?;
    let deleted = integration.delete(model, number, at);
    deleted.then_some(("deleted", model, number))
}

fn undelete(integration: &mut Integration, rng: &mut Rng, at: i64) -> Happened {
    let tombstones = integration.expiries.len();
    if tombstones == 0 {
        return None;
    }
    let (_, model, number) = integration.expiries[rng.usize(..tombstones)];
    let undeleted = integration.undelete(model, number, at);
    undeleted.then_some(("undeleted", model, number))
}

fn switch_provider(integration: &mut Integration, rng: &mut Rng, at: i64) -> Happened {
    let course = any_live(&integration.courses, rng)?;
    let provider = any_live(&integration.providers, rng)?;
    let switched = integration.switch_provider(course, Some(provider), at);
    switched.then_some(("switched provider", Model::Courses, course))
}
