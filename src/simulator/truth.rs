//! What a perfect mirror of an integration would hold at this moment.
//!
//! Must never be asked by a client under test: it is the answer sheet.

use std::collections::BTreeMap;

use serde_json::Value;

use super::After14Days;
use super::integration::Integration;
use super::render::{Members, Renderer, remaining};
use super::rows::Model;

/// Tables by name, rows by key, columns under Kombo's own names.
///
/// Keys are Kombo ids, except in `course_revision_skills`, where they are `revision id|skill id`. Values
/// are those that the API shows with `include_deleted=true`; nested objects are left out. Rows that no
/// endpoint lists in full are absent: revisions without a course, providers without a course, rows that
/// Kombo has removed.
pub type Truth = BTreeMap<&'static str, BTreeMap<String, Members>>;

/// Works out the truth.
pub(super) fn of(integration: &Integration, after_14_days: After14Days) -> Truth {
    let renderer = Renderer {
        integration,
        after_14_days,
    };
    let mut truth: Truth = Model::ALL
        .iter()
        .map(|model| (model.table(), BTreeMap::new()))
        .collect();
    let mut add = |model: Model, key: String, row: Members| {
        truth.entry(model.table()).or_default().insert(key, row);
    };
    for number in remaining(&renderer, &integration.users) {
        add(
            Model::Users,
            integration.users.get(number).id.as_str().to_owned(),
            renderer.user(number),
        );
    }
    for number in remaining(&renderer, &integration.skills) {
        add(
            Model::Skills,
            integration.skills.get(number).id.as_str().to_owned(),
            renderer.skill(number),
        );
    }
    for number in remaining(&renderer, &integration.progressions) {
        let id = integration.progressions.get(number).id.as_str().to_owned();
        add(Model::Progressions, id, renderer.progression(number));
    }
    for number in remaining(&renderer, &integration.courses) {
        let id = integration.courses.get(number).id.as_str().to_owned();
        add(Model::Courses, id, renderer.course(number));
        if let Some(provider) = renderer.provider_of(number) {
            let id = integration.providers.get(provider).id.as_str().to_owned();
            add(Model::Providers, id, renderer.provider(provider));
        }
        for revision in renderer.revisions_of(number, true) {
            let id = integration.revisions.get(revision).id.as_str();
            add(Model::Revisions, id.to_owned(), renderer.revision(revision));
            for assignment in renderer.assignments_of(revision) {
                let skill = integration.assignments.get(assignment).body.skill;
                let skill = integration.skills.get(skill).id.as_str();
                let row = [("course_revision_id", id), ("skill_id", skill)];
                let row = row.map(|(name, id)| (name.to_owned(), Value::from(id)));
                add(
                    Model::Assignments,
                    format!("{id}|{skill}"),
                    row.into_iter().collect(),
                );
            }
        }
    }
    truth
}
