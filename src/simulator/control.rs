//! What another process may tell the simulator to do: the routes under `/simulator`.
//!
//! No key is asked for; the simulator listens on the loopback interface and holds invented data only.
//!
//! Must never be part of what a client of Kombo sees: nothing here exists at Kombo.

use axum::extract::{Path, State as Handle};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Fault;
use super::webhooks::Mischief;
use super::{Change, ModelSwitch, NestedUpdates, RequestLog, Simulator};

/// All control routes. Orders are JSON and need `Content-Type: application/json`; those that answer
/// nothing answer 204, and 404 where they name what does not exist.
///
/// | route | body | answer |
/// | --- | --- | --- |
/// | `GET /simulator/integrations` | | `["sandbox:…"]` |
/// | `POST /simulator/integrations` | | `{"integration_id": "…"}`, after `integration-created` |
/// | `GET /simulator/truth/{integration_id}/{table}` | | the rows, or 404 |
/// | `POST /simulator/changes` | `{"count": 5, "integration_id": "…"}`, the id optional | the changes |
/// | `GET /simulator/clock` | | `{"now": "…"}` |
/// | `POST /simulator/clock` | `{"advance_seconds": 60}` | `{"now": "…"}` |
/// | `POST /simulator/faults` | a [`Fault`], such as `{"kind": {"slow": 500}, "page": 2}` | |
/// | `DELETE /simulator/faults` | | |
/// | `POST /simulator/mischief` | a [`Mischief`], such as `{"duplicate": 0.1}` | |
/// | `POST /simulator/flush-webhooks` | | |
/// | `POST /simulator/data-expired` | `{"integration_id": "…", "expired": true}` | |
/// | `POST /simulator/models` | `{"integration_id": "…", "model": "lms_skills", "switch": "disabled"}`, or `opted_out`, `on` | |
/// | `GET /simulator/requests` | | the requests |
/// | `POST /simulator/nested-updates` | `{"nested_updates": "loose"}` | |
pub(super) fn routes() -> Router<Simulator> {
    Router::new()
        .route(
            "/simulator/integrations",
            get(integrations).post(add_integration),
        )
        .route("/simulator/truth/{integration_id}/{table}", get(truth))
        .route("/simulator/changes", post(change))
        .route("/simulator/clock", get(read_clock).post(advance_clock))
        .route("/simulator/faults", post(inject).delete(clear_faults))
        .route("/simulator/mischief", post(set_mischief))
        .route("/simulator/flush-webhooks", post(flush))
        .route("/simulator/data-expired", post(set_data_expired))
        .route("/simulator/models", post(set_model))
        .route("/simulator/requests", get(requests))
        .route("/simulator/nested-updates", post(set_nested_updates))
}

async fn integrations(Handle(simulator): Handle<Simulator>) -> Json<Value> {
    Json(json!(simulator.integration_ids()))
}

async fn add_integration(Handle(simulator): Handle<Simulator>) -> Json<Value> {
    Json(json!({ "integration_id": simulator.add_integration() }))
}

async fn truth(
    Handle(simulator): Handle<Simulator>,
    Path((integration_id, table)): Path<(String, String)>,
) -> Result<Json<Value>, StatusCode> {
    let mut truth = simulator.truth(&integration_id);
    let rows = truth.remove(table.as_str()).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(rows.into_values().map(Value::Object).collect()))
}

#[derive(Deserialize)]
struct Changes {
    count: usize,
    integration_id: Option<String>,
}

async fn change(
    Handle(simulator): Handle<Simulator>,
    Json(order): Json<Changes>,
) -> Json<Vec<Change>> {
    Json(match order.integration_id {
        Some(id) => simulator.change_integration(&id, order.count),
        None => simulator.change(order.count),
    })
}

async fn read_clock(Handle(simulator): Handle<Simulator>) -> Json<Value> {
    Json(json!({ "now": simulator.now() }))
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

async fn advance_clock(
    Handle(simulator): Handle<Simulator>,
    Json(order): Json<Advance>,
) -> Json<Value> {
    simulator.advance_clock(std::time::Duration::from_secs(order.advance_seconds));
    Json(json!({ "now": simulator.now() }))
}

async fn inject(Handle(simulator): Handle<Simulator>, Json(fault): Json<Fault>) -> StatusCode {
    simulator.inject(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(Handle(simulator): Handle<Simulator>) -> StatusCode {
    simulator.clear_faults();
    StatusCode::NO_CONTENT
}

async fn set_mischief(
    Handle(simulator): Handle<Simulator>,
    Json(mischief): Json<Mischief>,
) -> StatusCode {
    simulator.set_mischief(mischief);
    StatusCode::NO_CONTENT
}

async fn flush(Handle(simulator): Handle<Simulator>) -> StatusCode {
    simulator.flush_webhooks().await;
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Expired {
    integration_id: String,
    expired: bool,
}

async fn set_data_expired(
    Handle(simulator): Handle<Simulator>,
    Json(order): Json<Expired>,
) -> StatusCode {
    found(simulator.set_data_expired(&order.integration_id, order.expired))
}

#[derive(Deserialize)]
struct Switched {
    integration_id: String,
    model: String,
    switch: ModelSwitch,
}

async fn set_model(
    Handle(simulator): Handle<Simulator>,
    Json(order): Json<Switched>,
) -> StatusCode {
    found(simulator.set_model(&order.integration_id, &order.model, order.switch))
}

fn found(found: bool) -> StatusCode {
    if found {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn requests(Handle(simulator): Handle<Simulator>) -> Json<Vec<RequestLog>> {
    Json(simulator.requests())
}

#[derive(Deserialize)]
struct Nested {
    nested_updates: NestedUpdates,
}

async fn set_nested_updates(
    Handle(simulator): Handle<Simulator>,
    Json(order): Json<Nested>,
) -> StatusCode {
    simulator.set_nested_updates(order.nested_updates);
    StatusCode::NO_CONTENT
}
