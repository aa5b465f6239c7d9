//! From the models of a `data-changed` webhook to the fetches that bring the change home (rule 2).
//!
//! The table itself stands on the endpoints; here is only its reading.

use crate::models::{self, Endpoint, Mode};

/// Names of LMS models begin so; others belong to other Kombo products.
const LMS_PREFIX: &str = "lms_";

/// The fewest fetches that are right for a change of `models`, in the order of [`models::ALL`].
///
/// An unknown LMS model might be part of any answer, so it leads to every endpoint.
#[must_use]
pub fn runs_for<S: AsRef<str>>(models: &[S]) -> Vec<(&'static Endpoint, Mode)> {
    let known = |name: &str| {
        models::ALL
            .iter()
            .any(|endpoint| mode_for(endpoint, name).is_some())
    };
    let unknown_lms_model = models
        .iter()
        .map(AsRef::as_ref)
        .any(|name| name.starts_with(LMS_PREFIX) && !known(name));
    models::ALL
        .iter()
        .filter_map(|endpoint| {
            let fallback = unknown_lms_model.then_some(Mode::Delta);
            models
                .iter()
                .filter_map(|name| mode_for(endpoint, name.as_ref()))
                .chain(fallback)
                .max()
                .map(|mode| (*endpoint, mode))
        })
        .collect()
}

/// The fetches that are right whatever changed.
#[must_use]
pub fn runs_for_anything() -> Vec<(&'static Endpoint, Mode)> {
    models::ALL
        .iter()
        .map(|endpoint| {
            let modes = endpoint.webhook_models.iter().map(|(_, mode)| *mode);
            (*endpoint, modes.max().unwrap_or(Mode::Full))
        })
        .collect()
}

fn mode_for(endpoint: &Endpoint, model: &str) -> Option<Mode> {
    endpoint
        .webhook_models
        .iter()
        .find(|(name, _)| *name == model)
        .map(|(_, mode)| *mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(models: &[&str]) -> Vec<(&'static str, &'static str)> {
        runs_for(models)
            .into_iter()
            .map(|(endpoint, mode)| (endpoint.name, mode.as_str()))
            .collect()
    }

    // Rule 2, F31
    #[test]
    fn each_model_leads_to_the_fewest_fetches_that_are_right_under_both_readings() {
        assert_eq!(plan(&["lms_users"]), [("users", "DELTA")]);
        assert_eq!(plan(&["lms_courses"]), [("courses", "DELTA")]);
        assert_eq!(plan(&["lms_course_revisions"]), [("courses", "DELTA")]);
        assert_eq!(
            plan(&["lms_course_progressions"]),
            [("course_progressions", "DELTA")]
        );
        assert_eq!(plan(&["lms_skills"]), [("skills", "DELTA")]);
        assert_eq!(plan(&["lms_course_providers"]), [("courses", "FULL")]);
        assert_eq!(
            plan(&["lms_join_revisions_skills"]),
            [("skills", "DELTA"), ("courses", "FULL")]
        );
    }

    #[test]
    fn full_absorbs_delta() {
        assert_eq!(
            plan(&["lms_courses", "lms_course_providers"]),
            [("courses", "FULL")]
        );
    }

    #[test]
    fn an_unknown_lms_model_queues_every_endpoint() {
        assert_eq!(plan(&["lms_badges"]).len(), models::ALL.len());
    }

    // F58: what cannot be read may have named any model.
    #[test]
    fn whatever_changed_is_brought_home() {
        let all = runs_for_anything();
        assert_eq!(all.len(), models::ALL.len());
        for endpoint in models::ALL {
            for (model, mode) in endpoint.webhook_models {
                let planned = all.iter().find(|(known, _)| known.name == endpoint.name);
                assert!(
                    planned.is_some_and(|(_, planned)| planned >= mode),
                    "{model}"
                );
            }
        }
    }

    #[test]
    fn models_of_other_products_queue_nothing() {
        assert!(plan(&["hris_employees"]).is_empty());
    }
}
