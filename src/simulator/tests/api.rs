//! Keys, headers, envelopes, the rate budget and the general endpoints.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{IntegrationState, ModelSwitch, Options, QaStatus, SetupStatus, Status};
use super::{Fixture, read, small};

#[tokio::test]
async fn a_wrong_key_is_refused_with_401() {
    let fixture = Fixture::start(small()).await;
    let id = fixture.integration_id.clone();
    for path in ["/lms/users", "/check-api-key", "/nowhere"] {
        let reply = fixture.get_as("wrong", Some(&id), path, &[]).await;
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(reply.code(), "PLATFORM.AUTHENTICATION_INVALID");
    }
    let error = fixture
        .get_as("wrong", None, "/lms/users", &[])
        .await
        .json();
    assert_eq!(error["status"], "error");
    assert!(error["error"]["message"].is_string() && error["error"]["log_url"].is_string());
}

#[tokio::test]
async fn the_integration_header_is_required_and_must_name_an_integration() {
    let fixture = Fixture::start(small()).await;
    let key = fixture.key.clone();
    let reply = fixture.get_as(&key, None, "/lms/users", &[]).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "PLATFORM.INPUT_INVALID")
    );
    let reply = fixture
        .get_as(&key, Some("sandbox:nobody"), "/lms/users", &[])
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (404, "PLATFORM.INTEGRATION_NOT_FOUND")
    );
}

#[tokio::test]
async fn invalid_parameters_are_answered_with_input_invalid() {
    let fixture = Fixture::start(small()).await;
    for query in [
        ("page_size", "251"),
        ("include_deleted", "1"),
        ("updated_after", "2026-01-01T00:00:00+00:00"),
        ("cursor", "bm9uc2Vuc2U="),
        ("colour", "red"),
    ] {
        let reply = fixture.get("/lms/courses", &[query]).await;
        assert_eq!(reply.status, 400, "{query:?}");
        assert_eq!(reply.code(), "PLATFORM.INPUT_INVALID");
    }
}

#[tokio::test]
async fn every_answer_tells_the_rate_budget_and_the_movable_clock() {
    let fixture = Fixture::start(Options {
        rate_limit_per_minute: 3,
        ..small()
    })
    .await;
    fixture
        .simulator
        .advance_clock(Duration::from_secs(400 * 86_400));
    // At the beginning of a minute, so that the budget is not renewed half way.
    let into_minute = fixture
        .simulator
        .now()
        .timestamp_millis()
        .rem_euclid(60_000);
    let rest = u64::try_from(60_000 - into_minute).unwrap();
    fixture.simulator.advance_clock(Duration::from_millis(rest));
    for remaining in ["2", "1", "0"] {
        let reply = fixture.get("/lms/skills", &[]).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("ratelimit-limit"), Some("3"));
        assert_eq!(reply.header("ratelimit-remaining"), Some(remaining));
        let date = reply.header("date").unwrap();
        let date = chrono::DateTime::parse_from_rfc2822(date).unwrap();
        assert!(
            (fixture.simulator.now() - date.to_utc())
                .num_seconds()
                .abs()
                < 60
        );
    }
    let reply = fixture.get("/lms/skills", &[]).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (429, "PLATFORM.RATE_LIMIT_EXCEEDED")
    );
    let reset: u64 = reply.header("ratelimit-reset").unwrap().parse().unwrap();
    assert!((1..=60).contains(&reset));
    fixture.simulator.advance_clock(Duration::from_secs(reset));
    assert_eq!(fixture.get("/lms/skills", &[]).await.status, 200);
}

#[tokio::test]
async fn the_general_endpoints_answer_as_documented() {
    let fixture = Fixture::start(Options {
        integrations: 5,
        ..small()
    })
    .await;
    let key = fixture.key.clone();
    let reply = fixture.get_as(&key, None, "/check-api-key", &[]).await;
    assert!(reply.json()["data"]["environment_id"].is_string());
    let talentlms = fixture.simulator.integration_ids().remove(4);
    let path = format!("/integrations/{}", talentlms.replace(':', "%3A"));
    let details = fixture.get_as(&key, None, &path, &[]).await.json()["data"].clone();
    assert_eq!(details["id"], talentlms);
    assert_eq!(details["tool"]["id"], "talentlms");
    assert_eq!(details["setup_status"], "COMPLETED");
    let models = details["read_models"].as_array().unwrap();
    let available = |name: &str| {
        models.iter().find(|model| model["id"] == name).unwrap()["is_available"].clone()
    };
    assert_eq!(available("lms_users"), true);
    assert_eq!(available("lms_skills"), false);
    let reply = fixture
        .get_as(&key, Some(&talentlms), "/lms/skills", &[])
        .await;
    assert_eq!(reply.code(), "INTEGRATION.MODEL_NOT_AVAILABLE");
    let reply = fixture
        .get_as(&key, None, "/integrations/nobody", &[])
        .await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn the_details_say_which_models_are_off_and_that_the_data_is_outdated() {
    let fixture = Fixture::start(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let path = format!("/integrations/{}", id.replace(':', "%3A"));
    let details = async || {
        let reply = fixture.get_as(&fixture.key, None, &path, &[]).await;
        reply.json()["data"].clone()
    };
    assert_eq!(details().await["data_expired_at"], Value::Null);
    assert!(simulator.set_data_expired(id, true));
    assert!(details().await["data_expired_at"].is_string());
    assert!(simulator.set_model(id, "lms_skills", ModelSwitch::Disabled));
    assert!(simulator.set_model(id, "lms_course_providers", ModelSwitch::OptedOut));
    assert!(!simulator.set_model(id, "lms_badges", ModelSwitch::Disabled));
    let models = details().await["read_models"].clone();
    let model = |name: &str| {
        let models = models.as_array().unwrap();
        let model = models.iter().find(|model| model["id"] == name).unwrap();
        [
            "is_available",
            "scope_config_setting",
            "opted_out_by_customer",
        ]
        .map(|member| model[member].clone())
    };
    assert_eq!(
        model("lms_users"),
        [json!(true), json!("ENABLED"), json!(false)]
    );
    assert_eq!(
        model("lms_skills"),
        [json!(false), json!("DISABLED"), json!(false)]
    );
    assert_eq!(
        model("lms_course_providers"),
        [json!(false), json!("ENABLED"), json!(true)]
    );
    let refused = fixture.get("/lms/skills", &[]).await;
    assert_eq!(refused.code(), "INTEGRATION.MODEL_DISABLED");
    let courses = fixture.all("/lms/courses", &[]).await;
    assert!(courses.iter().all(|course| course["provider"].is_null()));
    assert!(simulator.set_model(id, "lms_course_providers", ModelSwitch::On));
    let courses = fixture.all("/lms/courses", &[]).await;
    assert!(courses.iter().any(|course| course["provider"].is_object()));
}

#[tokio::test]
async fn a_forced_sync_runs_once_and_announces_its_end() {
    let fixture = Fixture::start(small()).await;
    let force = |body: Value| {
        let url = format!("{}/force-sync", fixture.simulator.base_url());
        let request = fixture.client.post(url).bearer_auth(&fixture.key);
        let request = request.header("X-Integration-Id", &fixture.integration_id);
        read(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
    };
    let first = force(json!({ "type": "DELTA" })).await.json()["data"].clone();
    assert_eq!(
        (&first["already_queued"], &first["type"]),
        (&json!(false), &json!("DELTA"))
    );
    let second = force(json!({})).await.json()["data"].clone();
    assert_eq!(second["already_queued"], true);
    assert_eq!(second["sync_id"], first["sync_id"]);
    assert_eq!(force(json!({ "type": "SOME" })).await.status, 400);
    fixture.simulator.advance_clock(Duration::from_secs(6));
    assert_eq!(
        force(json!({})).await.json()["data"]["already_queued"],
        false
    );
}

#[tokio::test]
async fn reads_wait_for_the_set_up_of_an_integration() {
    let fixture = Fixture::start(Options {
        initial_setup_pending: true,
        ..small()
    })
    .await;
    let id = fixture.integration_id.clone();
    let reply = fixture.get("/lms/users", &[]).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (409, "INTEGRATION.SETUP_SYNC_PENDING")
    );
    let incomplete = IntegrationState {
        setup_status: SetupStatus::Incomplete,
        ..IntegrationState::READY
    };
    let failed = IntegrationState {
        qa_status: QaStatus::Failed,
        ..IntegrationState::READY
    };
    let inactive = IntegrationState {
        status: Status::Inactive,
        ..IntegrationState::READY
    };
    for (state, code) in [
        (incomplete, "INTEGRATION.SETUP_INCOMPLETE"),
        (failed, "INTEGRATION.QA_FAILED"),
        (inactive, "INTEGRATION.INACTIVE"),
    ] {
        assert!(fixture.simulator.set_integration_state(&id, state));
        assert_eq!(fixture.get("/lms/users", &[]).await.code(), code);
    }
    fixture
        .simulator
        .set_integration_state(&id, IntegrationState::READY);
    assert_eq!(fixture.get("/lms/users", &[]).await.status, 200);
}

#[tokio::test]
async fn a_deleted_integration_is_not_found() {
    let fixture = Fixture::start(small()).await;
    assert!(
        fixture
            .simulator
            .delete_integration(&fixture.integration_id)
    );
    assert_eq!(fixture.get("/lms/users", &[]).await.status, 404);
    let added = fixture.simulator.add_integration();
    assert_eq!(fixture.simulator.integration_ids(), [added]);
}

#[tokio::test]
async fn requests_are_remembered_with_their_answers() {
    let fixture = Fixture::start(small()).await;
    fixture
        .get("/lms/users", &[("page_size", "7"), ("ids", "a,b")])
        .await;
    fixture.get("/lms/users", &[("page_size", "0")]).await;
    let requests = fixture.simulator.requests();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(requests[0].path, "/lms/users");
    assert_eq!(
        requests[0].query,
        [pair("page_size", "7"), pair("ids", "a,b")]
    );
    assert_eq!(
        requests[0].integration_id.as_ref(),
        Some(&fixture.integration_id)
    );
    assert_eq!((requests[0].status, requests[1].status), (200, 400));
}

#[tokio::test]
async fn another_process_can_give_orders() {
    let fixture = Fixture::start(small()).await;
    let base = fixture.simulator.base_url().replace("/v1", "/simulator");
    let get = |path: &str| read(fixture.client.get(format!("{base}{path}")));
    let post = |path: &str, body: Value| {
        let request = fixture.client.post(format!("{base}{path}"));
        read(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
    };
    assert_eq!(
        get("/integrations").await.json(),
        json!([fixture.integration_id])
    );
    let changes = post("/changes", json!({ "count": 5 })).await.json();
    assert_eq!(changes.as_array().unwrap().len(), 5);
    let before = fixture.simulator.now();
    post("/clock", json!({ "advance_seconds": 3_600 })).await;
    assert!((fixture.simulator.now() - before).num_seconds() >= 3_600);
    let fault = json!({ "kind": "too_many_requests", "endpoint": "course-progressions" });
    assert_eq!(post("/faults", fault).await.status, 204);
    assert_eq!(fixture.get("/lms/users", &[]).await.status, 200);
    assert_eq!(
        fixture.get("/lms/course-progressions", &[]).await.status,
        429
    );
    assert_eq!(
        post("/nested-updates", json!({ "nested_updates": "loose" }))
            .await
            .status,
        204
    );
    let expired = json!({ "integration_id": fixture.integration_id, "expired": true });
    assert_eq!(post("/data-expired", expired).await.status, 204);
    let off = json!({ "integration_id": fixture.integration_id, "model": "lms_skills", "switch": "opted_out" });
    assert_eq!(post("/models", off).await.status, 204);
    let unknown = json!({ "integration_id": "nobody", "model": "lms_skills", "switch": "on" });
    assert_eq!(post("/models", unknown).await.status, 404);
    assert_eq!(post("/flush-webhooks", json!({})).await.status, 204);
    let truth = get(&format!("/truth/{}/users", fixture.integration_id))
        .await
        .json();
    let users = &fixture.simulator.truth(&fixture.integration_id)["users"];
    assert_eq!(truth.as_array().unwrap().len(), users.len());
    assert_eq!(get("/requests").await.json().as_array().unwrap().len(), 2);
}
