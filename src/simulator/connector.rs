//! What each learning system can tell Kombo: which models it has and which columns stay null.
//!
//! A mirror that only ever met the sandbox would rely on columns that most customers do not have.
//!
//! Must never hold data of an integration.

use super::rows::Model;

/// One learning system.
pub(super) struct Connector {
    /// Kombo's slug.
    pub(super) tool: &'static str,
    pub(super) label: &'static str,
    /// The models this system does not have.
    pub(super) missing_models: &'static [Model],
    /// Columns that are null in every row.
    pub(super) missing_fields: &'static [(Model, &'static str)],
    /// What its remote ids begin with; plain numbers where empty, and then ids repeat across models.
    pub(super) remote_prefixes: bool,
}

/// The systems in the order in which integrations are dealt out. The first knows everything; the first
/// four have all models.
pub(super) const CONNECTORS: [Connector; 6] = [
    Connector {
        tool: "sandbox",
        label: "Kombo Sandbox",
        missing_models: &[],
        missing_fields: &[],
        remote_prefixes: false,
    },
    Connector {
        tool: "workday",
        label: "Workday Learning",
        missing_models: &[],
        missing_fields: &[
            (Model::Users, "remote_created_at"),
            (Model::Skills, "remote_created_at"),
            (Model::Skills, "custom_fields"),
        ],
        remote_prefixes: true,
    },
    Connector {
        tool: "docebo",
        label: "Docebo",
        missing_models: &[],
        missing_fields: &[
            (Model::Courses, "remote_created_at"),
            (Model::Revisions, "remote_created_at"),
        ],
        remote_prefixes: false,
    },
    Connector {
        tool: "moodle",
        label: "Moodle",
        missing_models: &[],
        missing_fields: &[
            (Model::Users, "remote_created_at"),
            (Model::Users, "work_email"),
        ],
        remote_prefixes: false,
    },
    Connector {
        tool: "talentlms",
        label: "TalentLMS",
        missing_models: &[Model::Providers, Model::Skills, Model::Assignments],
        missing_fields: &[
            (Model::Users, "custom_fields"),
            (Model::Courses, "provider_id"),
            (Model::Courses, "custom_fields"),
            (Model::Revisions, "remote_url"),
            (Model::Progressions, "enrolled_at"),
        ],
        remote_prefixes: false,
    },
    Connector {
        tool: "successfactors",
        label: "SAP SuccessFactors Learning",
        missing_models: &[Model::Skills, Model::Assignments],
        missing_fields: &[
            (Model::Users, "remote_created_at"),
            (Model::Revisions, "remote_url"),
        ],
        remote_prefixes: true,
    },
];

impl Connector {
    pub(super) fn has_model(&self, model: Model) -> bool {
        !self.missing_models.contains(&model)
    }

    pub(super) fn has_field(&self, model: Model, field: &str) -> bool {
        !self
            .missing_fields
            .iter()
            .any(|(missing, name)| *missing == model && *name == field)
    }

    /// The remote id of the `number`th row of a model.
    pub(super) fn remote_id(&self, model: Model, number: u32) -> String {
        if !self.remote_prefixes {
            return number.to_string();
        }
        let prefix = match model {
            Model::Users => "person",
            Model::Courses => "course",
            Model::Providers => "provider",
            _ => "item",
        };
        format!("{prefix}-{number:05}")
    }
}
