//! Every way in which data of an integration can change, and what each change re-delivers.
//!
//! The rules of nested updates live here and nowhere else. Strictly read, only a change of a revision (or
//! of the list of revisions) shows its course again. Loosely read, a course also comes back with its
//! provider, skills and assignments, and a progression with its user, revision or course.
//!
//! Every function takes `at`, the moment of the change, and notes the touched models. None of them
//! touches a model whose rows stayed as they were: a false answer means that nothing happened.
//!
//! Must never announce anything or read the clock.

use super::integration::{Integration, RETENTION_MS};
use super::rows::{
    Assignment, Course, Model, Progression, ProgressionStatus, Provider, Revision, Skill, User,
};

impl Integration {
    /// Notes that a row changed and re-delivers what contains it.
    pub(super) fn note_change(&mut self, model: Model, number: u32, at: i64) {
        self.touched.insert(model);
        match model {
            Model::Users => {
                for &progression in &self.users.get(number).body.progressions {
                    self.progressions.redeliver_loosely(progression, at);
                }
            }
            Model::Courses => {
                for &revision in &self.courses.get(number).body.revisions {
                    redeliver_progressions(&self.revisions, &mut self.progressions, revision, at);
                }
            }
            Model::Revisions => {
                redeliver_progressions(&self.revisions, &mut self.progressions, number, at);
                if let Some(course) = self.revisions.get(number).body.course {
                    self.courses.redeliver(course, at);
                }
            }
            Model::Providers => {
                for &course in &self.providers.get(number).body.courses {
                    if self.courses.get(course).body.provider == Some(number) {
                        self.courses.redeliver_loosely(course, at);
                    }
                }
            }
            Model::Skills => {
                for &assignment in &self.skills.get(number).body.assignments {
                    if self.assignments.is_live(assignment) {
                        let revision = self.assignments.get(assignment).body.revision;
                        if let Some(course) = self.revisions.get(revision).body.course {
                            self.courses.redeliver_loosely(course, at);
                        }
                    }
                }
            }
            Model::Assignments => {
                let revision = self.assignments.get(number).body.revision;
                if let Some(course) = self.revisions.get(revision).body.course {
                    self.courses.redeliver_loosely(course, at);
                }
            }
            Model::Progressions => {}
        }
    }

    fn note_deletion(&mut self, model: Model, number: u32, at: i64) {
        self.expiries.push_back((at + RETENTION_MS, model, number));
        self.note_change(model, number, at);
    }

    pub(super) fn insert_user(&mut self, user: User, at: i64) -> u32 {
        let number = self.users.insert(self.kombo_id(&user.remote_id), at, user);
        self.note_change(Model::Users, number, at);
        number
    }

    pub(super) fn rename_user(&mut self, user: u32, last_name: Box<str>, at: i64) -> bool {
        if !self.users.is_live(user) {
            return false;
        }
        self.users.get_mut(user).body.last_name = Some(last_name);
        self.users.change(user, at);
        self.note_change(Model::Users, user, at);
        true
    }

    pub(super) fn insert_course(&mut self, course: Course, at: i64) -> u32 {
        let provider = course.provider;
        let number = self
            .courses
            .insert(self.kombo_id(&course.remote_id), at, course);
        if let Some(provider) = provider {
            self.providers.get_mut(provider).body.courses.push(number);
        }
        self.note_change(Model::Courses, number, at);
        number
    }

    pub(super) fn set_origin(&mut self, course: u32, origin_id: Box<str>, at: i64) -> bool {
        if !self.courses.is_live(course) {
            return false;
        }
        self.courses.get_mut(course).body.origin_id = Some(origin_id);
        self.courses.change(course, at);
        self.note_change(Model::Courses, course, at);
        true
    }

    /// Gives a course another provider. `provider_id` is a column of the course, so the course itself changes.
    pub(super) fn switch_provider(&mut self, course: u32, provider: Option<u32>, at: i64) -> bool {
        if !self.courses.is_live(course) || self.courses.get(course).body.provider == provider {
            return false;
        }
        self.courses.get_mut(course).body.provider = provider;
        if let Some(provider) = provider {
            let courses = &mut self.providers.get_mut(provider).body.courses;
            if !courses.contains(&course) {
                courses.push(course);
            }
        }
        self.courses.change(course, at);
        self.note_change(Model::Courses, course, at);
        true
    }

    pub(super) fn insert_revision(&mut self, revision: Revision, at: i64) -> u32 {
        let course = revision.course;
        let id = self.kombo_id(&revision.remote_id);
        let number = self.revisions.insert(id, at, revision);
        if let Some(course) = course {
            self.courses.get_mut(course).body.revisions.push(number);
        }
        self.note_change(Model::Revisions, number, at);
        number
    }

    pub(super) fn retitle_revision(&mut self, revision: u32, title: Box<str>, at: i64) -> bool {
        if !self.revisions.is_live(revision) {
            return false;
        }
        self.revisions.get_mut(revision).body.title = title;
        self.revisions.change(revision, at);
        self.note_change(Model::Revisions, revision, at);
        true
    }

    pub(super) fn insert_provider(&mut self, provider: Provider, at: i64) -> u32 {
        let id = self.kombo_id(&provider.remote_id);
        let number = self.providers.insert(id, at, provider);
        self.note_change(Model::Providers, number, at);
        number
    }

    pub(super) fn rename_provider(&mut self, provider: u32, name: Box<str>, at: i64) -> bool {
        if self.providers.get(provider).body.name == name {
            return false;
        }
        self.providers.get_mut(provider).body.name = name;
        self.providers.change(provider, at);
        self.note_change(Model::Providers, provider, at);
        true
    }

    pub(super) fn insert_skill(&mut self, skill: Skill, at: i64) -> u32 {
        let key = match &skill.remote_id {
            Some(remote_id) => remote_id.to_string(),
            None => format!("skill named {}", skill.name),
        };
        let number = self.skills.insert(self.kombo_id(&key), at, skill);
        self.note_change(Model::Skills, number, at);
        number
    }

    pub(super) fn rename_skill(&mut self, skill: u32, name: Box<str>, at: i64) -> bool {
        if !self.skills.is_live(skill) || self.skills.get(skill).body.name == name {
            return false;
        }
        self.skills.get_mut(skill).body.name = name;
        self.skills.change(skill, at);
        self.note_change(Model::Skills, skill, at);
        true
    }

    pub(super) fn assign_skill(&mut self, revision: u32, skill: u32, at: i64) -> bool {
        if !self.revisions.is_live(revision) || !self.skills.is_live(skill) {
            return false;
        }
        let id = self.assignment_id(revision, skill);
        let number = match self.assignments.number_of(id) {
            Some(number) if !self.assignments.undelete(number, at) => return false,
            Some(number) => number,
            None => {
                let number = self
                    .assignments
                    .insert(id, at, Assignment { revision, skill });
                self.revisions
                    .get_mut(revision)
                    .body
                    .assignments
                    .push(number);
                self.skills.get_mut(skill).body.assignments.push(number);
                number
            }
        };
        self.note_change(Model::Assignments, number, at);
        true
    }

    pub(super) fn unassign_skill(&mut self, assignment: u32, at: i64) -> bool {
        if !self.assignments.delete(assignment, at) {
            return false;
        }
        self.note_change(Model::Assignments, assignment, at);
        true
    }

    pub(super) fn assignment_id(&self, revision: u32, skill: u32) -> super::table::KomboId {
        let revision = self.revisions.get(revision).id;
        let skill = self.skills.get(skill).id;
        self.kombo_id(&format!("{}|{}", revision.as_str(), skill.as_str()))
    }

    /// Enrols a user; taking a revision again is another attempt.
    pub(super) fn insert_progression(&mut self, mut progression: Progression, at: i64) -> u32 {
        let id = loop {
            let id = self.kombo_id(&self.progression_remote_id(&progression));
            if self.progressions.number_of(id).is_none() {
                break id;
            }
            progression.attempt += 1;
        };
        let (user, revision) = (progression.user, progression.revision);
        let number = self.progressions.insert(id, at, progression);
        self.users.get_mut(user).body.progressions.push(number);
        self.revisions
            .get_mut(revision)
            .body
            .progressions
            .push(number);
        self.note_change(Model::Progressions, number, at);
        number
    }

    /// Moves a progression one step on; a completed one is certified anew.
    pub(super) fn advance_progression(&mut self, progression: u32, at: i64) -> bool {
        if !self.progressions.is_live(progression) {
            return false;
        }
        let body = &mut self.progressions.get_mut(progression).body;
        body.status = match body.status {
            ProgressionStatus::Enrolled | ProgressionStatus::Dropped => {
                ProgressionStatus::InProgress
            }
            ProgressionStatus::InProgress => ProgressionStatus::Completed,
            // Certified twice in one millisecond would be no change, and must not be announced.
            ProgressionStatus::Completed if body.completed == at => ProgressionStatus::Dropped,
            ProgressionStatus::Completed => ProgressionStatus::Completed,
        };
        if body.status == ProgressionStatus::Completed {
            body.completed = at;
        }
        self.progressions.change(progression, at);
        self.note_change(Model::Progressions, progression, at);
        true
    }

    /// Sets a row's deletion mark, and that of what cannot exist without it: the revisions of a course,
    /// the assignments of a skill. Progressions stay, whoever is gone.
    pub(super) fn delete(&mut self, model: Model, number: u32, at: i64) -> bool {
        let deleted = match model {
            Model::Users => self.users.delete(number, at),
            Model::Courses => self.courses.delete(number, at),
            Model::Revisions => self.revisions.delete(number, at),
            Model::Skills => self.skills.delete(number, at),
            Model::Progressions => self.progressions.delete(number, at),
            Model::Providers | Model::Assignments => false,
        };
        if !deleted {
            return false;
        }
        self.note_deletion(model, number, at);
        if model == Model::Courses {
            for revision in self.courses.get(number).body.revisions.clone() {
                self.delete(Model::Revisions, revision, at);
            }
        }
        if model == Model::Skills {
            for assignment in self.skills.get(number).body.assignments.clone() {
                self.unassign_skill(assignment, at);
            }
        }
        true
    }

    /// Takes a deletion mark away. A course comes back with the revisions that went with it; a revision
    /// cannot come back while its course is deleted.
    pub(super) fn undelete(&mut self, model: Model, number: u32, at: i64) -> bool {
        let since = match model {
            Model::Courses => self.courses.get(number).deleted,
            _ => 0,
        };
        let undeleted = match model {
            Model::Users => self.users.undelete(number, at),
            Model::Courses => self.courses.undelete(number, at),
            Model::Revisions => {
                let course = self.revisions.get(number).body.course;
                course.is_none_or(|course| self.courses.is_live(course))
                    && self.revisions.undelete(number, at)
            }
            Model::Skills => self.skills.undelete(number, at),
            Model::Progressions => self.progressions.undelete(number, at),
            Model::Providers | Model::Assignments => false,
        };
        if !undeleted {
            return false;
        }
        self.note_change(model, number, at);
        if model == Model::Courses {
            for revision in self.courses.get(number).body.revisions.clone() {
                if self.revisions.get(revision).deleted == since {
                    self.undelete(Model::Revisions, revision, at);
                }
            }
        }
        true
    }
}

fn redeliver_progressions(
    revisions: &super::table::Table<Revision>,
    progressions: &mut super::table::Table<Progression>,
    revision: u32,
    at: i64,
) {
    for &progression in &revisions.get(revision).body.progressions {
        progressions.redeliver_loosely(progression, at);
    }
}
