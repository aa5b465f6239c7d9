//! Changes of rows that a test chooses, by their Kombo id.
//!
//! Each order also records its announcement, in the same step. It answers false, or `None`, where there is
//! no such row or nothing would change, and then nothing is announced.
//!
//! Must never change data in any other way than `edits.rs` does.

use fastrand::Rng;
use serde_json::{Map, Value};

use super::integration::{Disguise, Integration};
use super::rows::Model;
use super::table::KomboId;
use super::{Endpoint, Simulator, fiction, seed};

/// The number of the row with this id.
fn find(integration: &Integration, model: Model, id: &str) -> Option<u32> {
    match model {
        Model::Users => integration.users.find(id),
        Model::Courses => integration.courses.find(id),
        Model::Revisions => integration.revisions.find(id),
        Model::Providers => integration.providers.find(id),
        Model::Skills => integration.skills.find(id),
        Model::Assignments => integration.assignments.find(id),
        Model::Progressions => integration.progressions.find(id),
    }
}

impl Simulator {
    /// Changes a row; the generator depends only on the integration, so that orders do not disturb the
    /// random changes.
    fn order(
        &self,
        integration_id: &str,
        edit: impl FnOnce(&mut Integration, &mut Rng, i64) -> bool,
    ) -> bool {
        let edit = |integration: &mut Integration, now| {
            let mut rng = Rng::with_seed(integration.fingerprint);
            edit(integration, &mut rng, now)
        };
        self.with(|state, now| state.edit(integration_id, now, edit)) == Some(true)
    }

    fn insert(
        &self,
        integration_id: &str,
        edit: impl FnOnce(&mut Integration, &mut Rng, i64) -> Option<KomboId>,
    ) -> Option<String> {
        let edit = |integration: &mut Integration, now| {
            let rows = integration.users.len() + integration.courses.len();
            let mut rng = Rng::with_seed(integration.fingerprint ^ u64::from(rows));
            edit(integration, &mut rng, now)
        };
        let id = self.with(|state, now| state.edit(integration_id, now, edit))??;
        Some(id.as_str().to_owned())
    }

    fn delete(&self, integration_id: &str, model: Model, id: &str) -> bool {
        self.order(integration_id, |integration, _, now| {
            find(integration, model, id).is_some_and(|row| integration.delete(model, row, now))
        })
    }

    fn undelete(&self, integration_id: &str, model: Model, id: &str) -> bool {
        self.order(integration_id, |integration, _, now| {
            find(integration, model, id).is_some_and(|row| integration.undelete(model, row, now))
        })
    }
}

/// Users.
impl Simulator {
    /// Adds a user and returns its id.
    pub fn insert_user(&self, integration_id: &str) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let number = integration.users.len() + 1;
            let user = fiction::user(rng, integration.connector, number, now);
            let number = integration.insert_user(user, now);
            Some(integration.users.get(number).id)
        })
    }

    /// Gives a user another last name.
    pub fn update_user(&self, integration_id: &str, user: &str) -> bool {
        self.order(integration_id, |integration, rng, now| {
            integration.users.find(user).is_some_and(|number| {
                let current = integration.users.get(number).body.last_name.as_deref();
                let name = fiction::other_last_name(rng, current);
                integration.rename_user(number, name, now)
            })
        })
    }

    /// Marks a user as deleted; the progressions stay.
    pub fn delete_user(&self, integration_id: &str, user: &str) -> bool {
        self.delete(integration_id, Model::Users, user)
    }

    /// Brings a deleted user back under the same id.
    pub fn undelete_user(&self, integration_id: &str, user: &str) -> bool {
        self.undelete(integration_id, Model::Users, user)
    }
}

/// Courses, their revisions and providers.
impl Simulator {
    /// Adds a course with one revision and returns the course's id.
    pub fn insert_course(&self, integration_id: &str) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let course = seed::new_course(integration, rng, now);
            seed::new_revision(integration, rng, Some(course), now);
            Some(integration.courses.get(course).id)
        })
    }

    /// Gives a course another `origin_id`.
    pub fn update_course(&self, integration_id: &str, course: &str) -> bool {
        self.order(integration_id, |integration, rng, now| {
            integration.courses.find(course).is_some_and(|number| {
                let current = integration.courses.get(number).body.origin_id.clone();
                let mut origin = fiction::origin_id(rng);
                if Some(&origin) == current.as_ref() {
                    origin = fiction::origin_id(rng);
                }
                integration.set_origin(number, origin, now)
            })
        })
    }

    /// Marks a course and its revisions as deleted.
    pub fn delete_course(&self, integration_id: &str, course: &str) -> bool {
        self.delete(integration_id, Model::Courses, course)
    }

    /// Brings a course back, with the revisions that were deleted together with it.
    pub fn undelete_course(&self, integration_id: &str, course: &str) -> bool {
        self.undelete(integration_id, Model::Courses, course)
    }

    /// Adds a revision to a live course and returns its id.
    pub fn insert_revision(&self, integration_id: &str, course: &str) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let course = integration.courses.find(course)?;
            if !integration.courses.is_live(course) {
                return None;
            }
            let number = seed::new_revision(integration, rng, Some(course), now);
            Some(integration.revisions.get(number).id)
        })
    }

    /// Gives a revision another title.
    pub fn update_revision(&self, integration_id: &str, revision: &str) -> bool {
        self.order(integration_id, |integration, rng, now| {
            integration.revisions.find(revision).is_some_and(|number| {
                let current = &integration.revisions.get(number).body.title;
                let title = fiction::other_title(rng, current);
                integration.retitle_revision(number, title, now)
            })
        })
    }

    /// Marks a revision as deleted.
    pub fn delete_revision(&self, integration_id: &str, revision: &str) -> bool {
        self.delete(integration_id, Model::Revisions, revision)
    }

    /// Brings a revision of a live course back.
    pub fn undelete_revision(&self, integration_id: &str, revision: &str) -> bool {
        self.undelete(integration_id, Model::Revisions, revision)
    }

    /// Adds a provider, which no endpoint shows before a course has it, and returns its id.
    pub fn insert_provider(&self, integration_id: &str) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let number = integration.providers.len() + 1;
            let provider = fiction::provider(rng, integration.connector, number);
            let number = integration.insert_provider(provider, now);
            Some(integration.providers.get(number).id)
        })
    }

    /// Gives a provider another name.
    pub fn rename_provider(&self, integration_id: &str, provider: &str) -> bool {
        self.order(integration_id, |integration, rng, now| {
            integration.providers.find(provider).is_some_and(|number| {
                let current = &integration.providers.get(number).body.name;
                let name = fiction::other_academy(rng, current);
                integration.rename_provider(number, name, now)
            })
        })
    }

    /// Gives a course another provider, or none.
    pub fn switch_provider(
        &self,
        integration_id: &str,
        course: &str,
        provider: Option<&str>,
    ) -> bool {
        self.order(integration_id, |integration, _, now| {
            let Some(course) = integration.courses.find(course) else {
                return false;
            };
            let number = provider.and_then(|id| integration.providers.find(id));
            number.is_some() == provider.is_some()
                && integration.switch_provider(course, number, now)
        })
    }
}

/// Skills and their assignments.
impl Simulator {
    /// Adds a skill and returns its id.
    pub fn insert_skill(&self, integration_id: &str) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let number = integration.skills.len() + 1;
            let skill = fiction::skill(rng, integration.connector, number, now);
            let number = integration.insert_skill(skill, now);
            Some(integration.skills.get(number).id)
        })
    }

    /// Gives a skill another name.
    pub fn update_skill(&self, integration_id: &str, skill: &str) -> bool {
        self.order(integration_id, |integration, rng, now| {
            integration.skills.find(skill).is_some_and(|number| {
                let current = &integration.skills.get(number).body.name;
                let name = fiction::other_skill_name(rng, current);
                integration.rename_skill(number, name, now)
            })
        })
    }

    /// Marks a skill as deleted and takes it from all revisions.
    pub fn delete_skill(&self, integration_id: &str, skill: &str) -> bool {
        self.delete(integration_id, Model::Skills, skill)
    }

    /// Brings a skill back, assigned to nothing.
    pub fn undelete_skill(&self, integration_id: &str, skill: &str) -> bool {
        self.undelete(integration_id, Model::Skills, skill)
    }

    /// Assigns a live skill to a live revision.
    pub fn assign_skill(&self, integration_id: &str, revision: &str, skill: &str) -> bool {
        self.order(integration_id, |integration, _, now| {
            let revision = integration.revisions.find(revision);
            let skill = integration.skills.find(skill);
            let pair = revision.zip(skill);
            pair.is_some_and(|(revision, skill)| integration.assign_skill(revision, skill, now))
        })
    }

    /// Takes a skill from a revision.
    pub fn unassign_skill(&self, integration_id: &str, revision: &str, skill: &str) -> bool {
        self.order(integration_id, |integration, _, now| {
            let revision = integration.revisions.find(revision);
            let skill = integration.skills.find(skill);
            let assignment = revision.zip(skill).and_then(|(revision, skill)| {
                let id = integration.assignment_id(revision, skill);
                integration.assignments.number_of(id)
            });
            assignment.is_some_and(|number| integration.unassign_skill(number, now))
        })
    }
}

/// Progressions.
impl Simulator {
    /// Enrols a user for a revision and returns the progression's id.
    pub fn insert_progression(
        &self,
        integration_id: &str,
        user: &str,
        revision: &str,
    ) -> Option<String> {
        self.insert(integration_id, |integration, rng, now| {
            let user = integration.users.find(user)?;
            let revision = integration.revisions.find(revision)?;
            let progression = fiction::progression(rng, user, revision, 1, now);
            let number = integration.insert_progression(progression, now);
            Some(integration.progressions.get(number).id)
        })
    }

    /// Moves a progression one step on.
    pub fn update_progression(&self, integration_id: &str, progression: &str) -> bool {
        self.order(integration_id, |integration, _, now| {
            let number = integration.progressions.find(progression);
            number.is_some_and(|number| integration.advance_progression(number, now))
        })
    }

    /// Marks a progression as deleted.
    pub fn delete_progression(&self, integration_id: &str, progression: &str) -> bool {
        self.delete(integration_id, Model::Progressions, progression)
    }

    /// Brings a progression back.
    pub fn undelete_progression(&self, integration_id: &str, progression: &str) -> bool {
        self.undelete(integration_id, Model::Progressions, progression)
    }
}

/// Records that look different on the wire than the data says; the truth does not change.
impl Simulator {
    /// Sends `record` in place of a row's own record. Counts as a change of the row.
    pub fn replace_record(
        &self,
        integration_id: &str,
        endpoint: Endpoint,
        id: &str,
        record: Value,
    ) -> bool {
        self.disguise(
            integration_id,
            endpoint,
            id,
            Some(Disguise::Replaced(record)),
        )
    }

    /// Adds members to a row's record, or replaces some. Counts as a change of the row.
    pub fn merge_into_record(
        &self,
        integration_id: &str,
        endpoint: Endpoint,
        id: &str,
        members: Map<String, Value>,
    ) -> bool {
        self.disguise(
            integration_id,
            endpoint,
            id,
            Some(Disguise::Merged(members)),
        )
    }

    /// Shows a row's own record again. Counts as a change of the row.
    pub fn restore_record(&self, integration_id: &str, endpoint: Endpoint, id: &str) -> bool {
        self.disguise(integration_id, endpoint, id, None)
    }

    fn disguise(
        &self,
        integration_id: &str,
        endpoint: Endpoint,
        id: &str,
        disguise: Option<Disguise>,
    ) -> bool {
        self.order(integration_id, |integration, _, now| {
            let model = endpoint.model();
            let Some((number, key)) = find(integration, model, id).zip(KomboId::parse(id)) else {
                return false;
            };
            match disguise {
                Some(disguise) => integration.disguises.insert((endpoint, key), disguise),
                None => integration.disguises.remove(&(endpoint, key)),
            };
            match model {
                Model::Users => integration.users.change(number, now),
                Model::Courses => integration.courses.change(number, now),
                Model::Skills => integration.skills.change(number, now),
                _ => integration.progressions.change(number, now),
            }
            integration.note_change(model, number, now);
            true
        })
    }
}
