//! Kombo's HTTP interface: every check in the order in which a request meets it.
//!
//! Budget, key, integration, its state, parameters, faults, data. All of it happens under the lock and
//! without waiting; slow answers wait afterwards.
//!
//! Must never answer anything that the documentation rules out, unless a fault was injected.

use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use super::answer::{Answer, RateBudget};
use super::faults::{self, FaultKind, Target};
use super::integration::{Integration, ModelSwitch, QaStatus, RunningSync, SetupStatus, Status};
use super::liars::Border;
use super::listing;
use super::query::{self, ListQuery};
use super::render::instant;
use super::rows::{Endpoint, Model};
use super::state::{FORCED_SYNC_MS, State};

const MINUTE_MS: i64 = 60_000;

/// A request, as far as the interface looks at it.
pub(super) struct Request {
    pub(super) method: Method,
    /// Below `/v1`, percent-decoded.
    pub(super) path: String,
    pub(super) pairs: Vec<(String, String)>,
    pub(super) integration_id: Option<String>,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl Request {
    /// `None` for paths outside the version prefix.
    pub(super) fn read(
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Request> {
        let path = uri.path().strip_prefix("/v1")?;
        if !path.starts_with('/') {
            return None;
        }
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let query = uri.query().unwrap_or_default().as_bytes();
        Some(Request {
            method,
            path: percent_encoding::percent_decode_str(path)
                .decode_utf8_lossy()
                .into_owned(),
            pairs: url::form_urlencoded::parse(query).into_owned().collect(),
            integration_id: header("x-integration-id").filter(|id| !id.is_empty()),
            authorization: header("authorization"),
            body: body.to_vec(),
        })
    }
}

/// Answers a request and says what is left of the rate budget.
pub(super) fn answer(state: &mut State, request: &Request, now: i64) -> (Answer, RateBudget) {
    let (within, budget) = spend(state, now);
    if !within {
        return (Answer::rate_limited(), budget);
    }
    let expected = format!("Bearer {}", state.options.api_key);
    if request.authorization.as_deref() != Some(expected.as_str()) {
        return (Answer::authentication_invalid(), budget);
    }
    let answer = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/check-api-key") => Answer::success(&json!({
            "environment_id": "SimulatorEnvironment0001",
            "customer_id": "SimulatorEnvironment0001",
        })),
        ("POST", "/force-sync") => force_sync(state, request, now),
        ("GET", path) => match Endpoint::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
        {
            Some(endpoint) => {
                state.step_past(now);
                list(state, request, endpoint)
            }
            None => integration_details(state, path),
        },
        _ => no_such_route(),
    };
    (answer, budget)
}

/// Counts a request; false if it is one too many for this minute.
fn spend(state: &mut State, now: i64) -> (bool, RateBudget) {
    let window = now.div_euclid(MINUTE_MS);
    if state.rate_window != window {
        state.rate_window = window;
        state.rate_used = 0;
    }
    let limit = state.options.rate_limit_per_minute;
    let within = state.rate_used < limit;
    state.rate_used = state.rate_used.saturating_add(1);
    let budget = RateBudget {
        limit,
        remaining: limit.saturating_sub(state.rate_used),
        reset_seconds: (MINUTE_MS - now.rem_euclid(MINUTE_MS) + 999) / 1_000,
    };
    (within, budget)
}

fn no_such_route() -> Answer {
    Answer::error(404, "PLATFORM.INPUT_INVALID", "There is no such route.")
}

/// The integration that the header names, if its data can be read.
fn addressed<'s>(state: &'s State, request: &Request) -> Result<&'s Integration, Answer> {
    let Some(id) = &request.integration_id else {
        return Err(Answer::input_invalid(
            "The header X-Integration-Id is required.",
        ));
    };
    let number = state.find(id).ok_or_else(Answer::integration_not_found)?;
    Ok(&state.integrations[number])
}

fn readable(integration: &Integration, endpoint: Endpoint) -> Result<(), Answer> {
    let state = integration.state;
    if state.status == Status::Inactive {
        return Err(Answer::error(
            403,
            "INTEGRATION.INACTIVE",
            "The integration is switched off.",
        ));
    }
    if state.qa_status == QaStatus::Failed {
        return Err(Answer::qa_failed());
    }
    match state.setup_status {
        SetupStatus::Incomplete => return Err(Answer::setup_incomplete()),
        SetupStatus::FinalSyncPending => return Err(Answer::setup_sync_pending()),
        SetupStatus::Completed => {}
    }
    if !integration.connector.has_model(endpoint.model()) {
        return Err(Answer::model_not_available());
    }
    if !integration.is_on(endpoint.model()) {
        return Err(Answer::model_disabled());
    }
    Ok(())
}

fn list(state: &mut State, request: &Request, endpoint: Endpoint) -> Answer {
    let checked = addressed(state, request).and_then(|integration| {
        readable(integration, endpoint)?;
        query::parse(endpoint, &integration.id, &request.pairs)
            .map_err(|message| Answer::input_invalid(&message))
    });
    let mut query = match checked {
        Ok(query) => query,
        Err(answer) => return answer,
    };
    query.page_size = query.page_size.min(state.options.largest_page);
    if state.options.border == Border::Inclusive {
        query.updated_after = query.updated_after.map(|after| after - 1);
    }
    let target = Target {
        endpoint,
        integration_id: request.integration_id.as_deref().unwrap_or_default(),
        page: query.cursor.map_or(1, |cursor| cursor.page),
    };
    let fault = faults::take(&mut state.faults, &target);
    if let Some(answer) = fault.as_ref().and_then(faults::instead) {
        return answer;
    }
    match addressed(state, request) {
        Ok(integration) => page_answer(state, integration, &query, endpoint, fault, request),
        Err(answer) => answer,
    }
}

fn page_answer(
    state: &State,
    integration: &Integration,
    query: &ListQuery,
    endpoint: Endpoint,
    fault: Option<FaultKind>,
    request: &Request,
) -> Answer {
    let page = listing::page(integration, endpoint, query, state.reading());
    let mut data = json!({ "next": page.next, "results": null });
    data["results"] = Value::Array(page.records);
    let Some(fault) = fault else {
        return Answer::success(&data);
    };
    let sent = request.pairs.iter().find(|(name, _)| name == "cursor");
    let sent = sent.map(|(_, cursor)| cursor.as_str());
    faults::spoil_data(&fault, endpoint, sent, &mut data);
    let mut answer = Answer::success(&data);
    faults::spoil_answer(&fault, &mut answer);
    answer
}

fn force_sync(state: &mut State, request: &Request, now: i64) -> Answer {
    if let Err(answer) = addressed(state, request) {
        return answer;
    }
    let body: Value = match request.body.as_slice() {
        [] => json!({}),
        body => match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) => return Answer::input_invalid("The body is not JSON."),
        },
    };
    let kind = match body.get("type").map(Value::as_str) {
        None | Some(Some("FULL")) => "FULL",
        Some(Some("DELTA")) => "DELTA",
        Some(_) => return Answer::input_invalid("type must be FULL or DELTA."),
    };
    let sync_id = state.random_id();
    let id = request.integration_id.as_deref().unwrap_or_default();
    let sync = state.edit(id, now, |integration, now| {
        let already_queued = integration.running_sync.is_some();
        let sync = integration.running_sync.get_or_insert_with(|| RunningSync {
            id: sync_id,
            kind,
            started: now,
            ends: now + FORCED_SYNC_MS,
        });
        json!({ "already_queued": already_queued, "sync_id": sync.id, "type": sync.kind })
    });
    sync.map_or_else(Answer::integration_not_found, |data| Answer::success(&data))
}

fn integration_details(state: &State, path: &str) -> Answer {
    let Some(id) = path
        .strip_prefix("/integrations/")
        .filter(|id| !id.contains('/'))
    else {
        return no_such_route();
    };
    let Some(number) = state.find(id) else {
        return Answer::integration_not_found();
    };
    let integration = &state.integrations[number];
    let connector = integration.connector;
    let assets = format!(
        "https://storage.example.com/integrations/{}",
        connector.tool
    );
    Answer::success(&json!({
        "id": integration.id,
        "tool": {
            "id": connector.tool,
            "label": connector.label,
            "internal_label": null,
            "logo_url": format!("{assets}/logo.svg"),
            "icon_url": format!("{assets}/icon.svg"),
        },
        "category": "LMS",
        "status": integration.state.status,
        "setup_status": integration.state.setup_status,
        "end_user": integration.end_user(),
        "scope_config": { "id": "SimulatorScopeConfig0001", "name": "Default" },
        "data_expired_at": instant(integration.data_expired),
        "created_at": instant(integration.created),
        "beta": false,
        "read_models": Model::ALL.map(|model| read_model(integration, model)),
        "write_actions": [],
    }))
}

fn read_model(integration: &Integration, model: Model) -> Value {
    let supported = integration.connector.has_model(model);
    let switch = integration.switch(model);
    let available = supported && switch == ModelSwitch::On;
    let setting = match switch {
        ModelSwitch::Disabled => "DISABLED",
        _ => "ENABLED",
    };
    let coverage = |available| {
        if available {
            "SUPPORTED"
        } else {
            "UNSUPPORTED"
        }
    };
    let fields = fields_of(model).iter().map(|field| {
        let available = available && integration.connector.has_field(model, field);
        json!({
            "id": field,
            "is_available": available,
            "coverage_status": coverage(available),
            "scope_config_setting": "ENABLED",
            "opted_out_by_customer": false,
        })
    });
    json!({
        "id": model.name(),
        "label": model.table().replace('_', " "),
        "is_available": available,
        "coverage_status": coverage(supported),
        "scope_config_setting": setting,
        "opted_out_by_customer": switch == ModelSwitch::OptedOut,
        "fields": fields.collect::<Vec<_>>(),
    })
}

fn fields_of(model: Model) -> &'static [&'static str] {
    match model {
        Model::Users => &[
            "first_name",
            "last_name",
            "work_email",
            "status",
            "remote_created_at",
            "custom_fields",
        ],
        Model::Courses => &[
            "provider_id",
            "origin_id",
            "remote_created_at",
            "custom_fields",
        ],
        Model::Revisions => &[
            "title",
            "description",
            "remote_url",
            "status",
            "remote_created_at",
        ],
        Model::Providers => &["name"],
        Model::Skills => &["name", "remote_created_at", "custom_fields"],
        Model::Assignments => &[],
        Model::Progressions => &["status", "enrolled_at", "completed_at"],
    }
}
