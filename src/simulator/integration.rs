//! One connected learning system: its tables, its state, and how its rows age.
//!
//! Must never know HTTP or webhooks; it notes which models were touched and lets others announce them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::{Value, json};

use super::connector::Connector;
use super::fiction::DAY_MS;
use super::rows::{
    Assignment, Course, Endpoint, Model, Progression, Provider, Revision, Skill, User,
};
use super::table::{FINGERPRINT_START, KomboId, Table, fingerprint};

/// How long Kombo keeps the fields of a deleted row.
pub(super) const RETENTION_MS: i64 = 14 * DAY_MS;

/// `status` of an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Working.
    Active,
    /// Credentials broken; data can still be read.
    Invalid,
    /// Switched off; reads are refused with `INTEGRATION.INACTIVE`.
    Inactive,
}

/// `setup_status` of an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SetupStatus {
    /// The customer has not finished; reads are refused with `INTEGRATION.SETUP_INCOMPLETE`.
    Incomplete,
    /// The first sync is running; reads are refused with `INTEGRATION.SETUP_SYNC_PENDING`.
    FinalSyncPending,
    /// Done.
    Completed,
}

/// `qa_status` of an integration; not shown by `GET /integrations/{id}`, only by the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QaStatus {
    /// Not checked yet.
    Pending,
    /// The first data failed Kombo's checks; reads are refused with `INTEGRATION.QA_FAILED`.
    Failed,
    /// Fine.
    Passed,
}

/// The three states of an integration; together they decide whether its data can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IntegrationState {
    /// Whether the connection works.
    pub status: Status,
    /// How far the customer's set-up went.
    pub setup_status: SetupStatus,
    /// What Kombo's checks of the first data said.
    pub qa_status: QaStatus,
}

impl IntegrationState {
    /// Working, set up, checked.
    pub const READY: IntegrationState = IntegrationState {
        status: Status::Active,
        setup_status: SetupStatus::Completed,
        qa_status: QaStatus::Passed,
    };

    /// The first sync is still running.
    pub const SETUP_PENDING: IntegrationState = IntegrationState {
        status: Status::Active,
        setup_status: SetupStatus::FinalSyncPending,
        qa_status: QaStatus::Pending,
    };
}

/// Whether Kombo reads and shows a model of an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSwitch {
    /// As the connector has it.
    On,
    /// Switched off in the scope config.
    Disabled,
    /// The customer opted out of it.
    OptedOut,
}

/// A sync that somebody asked for and that is not finished yet.
pub(super) struct RunningSync {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) started: i64,
    pub(super) ends: i64,
}

/// What a test wants a record to look like instead of what the row says.
pub(super) enum Disguise {
    /// The whole record.
    Replaced(Value),
    /// These members on top of the record.
    Merged(serde_json::Map<String, Value>),
}

pub(super) struct Integration {
    pub(super) id: String,
    pub(super) fingerprint: u64,
    pub(super) connector: &'static Connector,
    pub(super) organization: String,
    pub(super) created: i64,
    pub(super) state: IntegrationState,
    pub(super) deleted: bool,
    pub(super) data_expired: i64,
    /// Models that are not [`ModelSwitch::On`].
    pub(super) switches: HashMap<Model, ModelSwitch>,
    pub(super) users: Table<User>,
    pub(super) courses: Table<Course>,
    pub(super) revisions: Table<Revision>,
    pub(super) providers: Table<Provider>,
    pub(super) skills: Table<Skill>,
    pub(super) assignments: Table<Assignment>,
    pub(super) progressions: Table<Progression>,
    /// (due, model, row) in order of time; an entry counts only if the row is still deleted since then.
    pub(super) expiries: VecDeque<(i64, Model, u32)>,
    /// Models changed since the last announcement.
    pub(super) touched: BTreeSet<Model>,
    pub(super) disguises: HashMap<(Endpoint, KomboId), Disguise>,
    pub(super) running_sync: Option<RunningSync>,
}

impl Integration {
    pub(super) fn new(
        id: String,
        connector: &'static Connector,
        organization: String,
        created: i64,
        progressions: usize,
    ) -> Integration {
        Integration {
            fingerprint: fingerprint(FINGERPRINT_START, &id),
            id,
            connector,
            organization,
            created,
            state: IntegrationState::READY,
            deleted: false,
            data_expired: 0,
            switches: HashMap::new(),
            users: Table::default(),
            courses: Table::default(),
            revisions: Table::default(),
            providers: Table::default(),
            skills: Table::default(),
            assignments: Table::default(),
            progressions: Table::with_capacity(progressions),
            expiries: VecDeque::new(),
            touched: BTreeSet::new(),
            disguises: HashMap::new(),
            running_sync: None,
        }
    }

    pub(super) fn switch(&self, model: Model) -> ModelSwitch {
        let switch = self.switches.get(&model).copied();
        switch.unwrap_or(ModelSwitch::On)
    }

    pub(super) fn is_on(&self, model: Model) -> bool {
        self.switch(model) == ModelSwitch::On
    }

    /// The Kombo id of the row that the remote system calls `key`.
    pub(super) fn kombo_id(&self, key: &str) -> KomboId {
        KomboId::derive(self.fingerprint, key)
    }

    /// The customer, as webhooks and `GET /integrations/{id}` show them.
    pub(super) fn end_user(&self) -> Value {
        json!({
            "organization_name": self.organization,
            "creator_email": "it@example.com",
            "origin_id": null,
        })
    }

    /// The remote id of a progression; several identifiers in one.
    pub(super) fn progression_remote_id(&self, progression: &Progression) -> String {
        let user = &self.users.get(progression.user).body.remote_id;
        let revision = &self.revisions.get(progression.revision).body.remote_id;
        match progression.attempt {
            1 => format!("{user}|{revision}"),
            attempt => format!("{user}|{revision}|{attempt}"),
        }
    }

    /// Lets rows age whose 14 days are over at `now`; `bump` makes that a change of the row.
    pub(super) fn expire(&mut self, now: i64, bump: bool) {
        while let Some(&(due, model, number)) = self.expiries.front() {
            if due > now {
                break;
            }
            self.expiries.pop_front();
            let since = due - RETENTION_MS;
            let aged = match model {
                Model::Users => age(&mut self.users, number, since, now, bump),
                Model::Courses => age(&mut self.courses, number, since, now, bump),
                Model::Revisions => age(&mut self.revisions, number, since, now, bump),
                Model::Skills => age(&mut self.skills, number, since, now, bump),
                Model::Progressions => age(&mut self.progressions, number, since, now, bump),
                Model::Providers | Model::Assignments => false,
            };
            if aged && bump {
                self.note_change(model, number, now);
            }
        }
    }
}

fn age<T>(table: &mut Table<T>, number: u32, since: i64, now: i64, bump: bool) -> bool {
    let row = table.get_mut(number);
    if row.deleted != since {
        return false;
    }
    row.expired = true;
    if bump {
        table.change(number, now);
    }
    true
}
