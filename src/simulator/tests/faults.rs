//! Faults happen where, when and as often as they were asked for.

use std::time::{Duration, Instant};

use super::super::{Endpoint, Fault, FaultKind};
use super::{Fixture, ids, small};

#[tokio::test]
async fn every_fault_that_replaces_the_answer_does_so_once() {
    let fixture = Fixture::start(small()).await;
    let cases = [
        (
            FaultKind::TooManyRequests,
            429,
            Some("PLATFORM.RATE_LIMIT_EXCEEDED"),
        ),
        (FaultKind::InternalErrorText, 500, None),
        (FaultKind::BadGatewayText, 502, None),
        (FaultKind::UnavailableHtml, 503, None),
        (FaultKind::UnavailableWithoutCode, 503, None),
        (
            FaultKind::SetupSyncPending,
            409,
            Some("INTEGRATION.SETUP_SYNC_PENDING"),
        ),
        (
            FaultKind::SetupIncomplete,
            409,
            Some("INTEGRATION.SETUP_INCOMPLETE"),
        ),
        (FaultKind::QaFailed, 409, Some("INTEGRATION.QA_FAILED")),
        (
            FaultKind::AuthenticationInvalid,
            401,
            Some("PLATFORM.AUTHENTICATION_INVALID"),
        ),
        (
            FaultKind::PermissionMissing,
            403,
            Some("INTEGRATION.PERMISSION_MISSING"),
        ),
        (
            FaultKind::ModelNotAvailable,
            400,
            Some("INTEGRATION.MODEL_NOT_AVAILABLE"),
        ),
        (
            FaultKind::ModelDisabled,
            400,
            Some("INTEGRATION.MODEL_DISABLED"),
        ),
        (FaultKind::EmptyBody, 200, None),
        (FaultKind::Verbatim("anything".to_owned()), 200, None),
    ];
    for (kind, status, code) in cases {
        fixture.simulator.inject(Fault::once(kind.clone()));
        let reply = fixture.get("/lms/users", &[]).await;
        assert_eq!(reply.status, status, "{kind:?}");
        if let Some(code) = code {
            assert_eq!(reply.code(), code);
        }
        assert_eq!(
            fixture.get("/lms/users", &[]).await.records().len(),
            fixture.all("/lms/users", &[]).await.len()
        );
    }
}

#[tokio::test]
async fn a_429_can_hide_how_long_to_wait() {
    let fixture = Fixture::start(small()).await;
    fixture
        .simulator
        .inject(Fault::once(FaultKind::TooManyRequestsWithoutHeaders));
    let reply = fixture.get("/lms/users", &[]).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("ratelimit-reset"), None);
}

#[tokio::test]
async fn a_fault_keeps_to_its_endpoint_its_page_and_its_count() {
    let fixture = Fixture::start(small()).await;
    let fault = Fault::once(FaultKind::InternalErrorText)
        .on(Endpoint::Users)
        .on_page(2)
        .times(2);
    fixture.simulator.inject(fault.of(&fixture.integration_id));
    let size = ("page_size", "10");
    assert_eq!(fixture.get("/lms/courses", &[size]).await.status, 200);
    let first = fixture.get("/lms/users", &[size]).await;
    assert_eq!(first.status, 200);
    let second = [size, ("cursor", &first.next().unwrap())];
    assert_eq!(fixture.get("/lms/users", &second).await.status, 500);
    assert_eq!(fixture.get("/lms/users", &second).await.status, 500);
    assert_eq!(fixture.get("/lms/users", &second).await.status, 200);
}

#[tokio::test]
async fn cursor_faults_wait_for_a_cursor() {
    let fixture = Fixture::start(small()).await;
    fixture.simulator.inject(Fault::once(FaultKind::CursorLoop));
    fixture.simulator.inject(Fault::once(FaultKind::DeadCursor));
    let size = ("page_size", "10");
    let cursor = fixture.get("/lms/users", &[size]).await.next().unwrap();
    let second = [size, ("cursor", cursor.as_str())];
    assert_eq!(
        fixture.get("/lms/users", &second).await.next(),
        Some(cursor.clone())
    );
    assert_eq!(fixture.get("/lms/users", &second).await.status, 400);
    assert_eq!(fixture.get("/lms/users", &second).await.status, 200);
}

#[tokio::test]
async fn bodies_can_be_cut_off_or_late() {
    let fixture = Fixture::start(small()).await;
    fixture
        .simulator
        .inject(Fault::once(FaultKind::TruncatedJson));
    let reply = fixture.get("/lms/users", &[]).await;
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());
    fixture
        .simulator
        .inject(Fault::once(FaultKind::ConnectionClosed));
    let url = format!("{}/lms/users", fixture.simulator.base_url());
    let request = fixture.client.get(url).bearer_auth(&fixture.key);
    let request = request.header("X-Integration-Id", &fixture.integration_id);
    let broken = match request.send().await {
        Err(_) => true,
        Ok(response) => response.text().await.is_err(),
    };
    assert!(broken);
    fixture.simulator.inject(Fault::once(FaultKind::Slow(50)));
    let start = Instant::now();
    assert_eq!(fixture.get("/lms/users", &[]).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn one_record_of_a_page_can_be_hostile() {
    let fixture = Fixture::start(small()).await;
    let spoiled = async |kind| {
        fixture.simulator.inject(Fault::once(kind));
        fixture.get("/lms/users", &[]).await
    };
    let users = fixture.get("/lms/users", &[]).await.ids();
    assert!(spoiled(FaultKind::EmptyList).await.records().is_empty());
    let twice = ids(&spoiled(FaultKind::DuplicatedRecord).await.records());
    assert_eq!(twice.len(), users.len() + 1);
    assert_eq!(twice.first(), twice.last());
    assert_eq!(
        spoiled(FaultKind::UnknownEnumValue).await.records()[0]["status"],
        "SUSPENDED"
    );
    assert!(spoiled(FaultKind::ExtraMember).await.records()[0]["simulated_extra"].is_object());
    assert!(
        spoiled(FaultKind::NulCharacter)
            .await
            .text
            .contains("before\\u0000after")
    );
    assert!(
        spoiled(FaultKind::LoneSurrogate)
            .await
            .text
            .contains("before\\ud83dafter")
    );
    assert!(spoiled(FaultKind::WrongType).await.records()[0]["changed_at"].is_number());
    fixture.simulator.inject(Fault::once(FaultKind::EmptyBody));
    fixture.simulator.clear_faults();
    assert_eq!(fixture.get("/lms/users", &[]).await.ids(), users);
}

#[tokio::test]
async fn lists_can_be_empty_that_are_not() {
    let fixture = Fixture::start(small()).await;
    let size = ("page_size", "10");
    let right = fixture.get("/lms/courses", &[size]).await;
    fixture.simulator.inject(Fault::once(FaultKind::EmptyPage));
    let empty = fixture.get("/lms/courses", &[size]).await;
    assert!(empty.records().is_empty());
    assert_eq!(empty.next(), right.next(), "there are more pages");
    let lists = |records: &[serde_json::Value], pointer: &str| -> usize {
        let list = |record: &serde_json::Value| record[pointer].as_array().map_or(0, Vec::len);
        records.iter().map(list).sum()
    };
    fixture
        .simulator
        .inject(Fault::once(FaultKind::RevisionsEmptied));
    let courses = fixture.get("/lms/courses", &[size]).await.records();
    assert!(lists(&right.records(), "revisions") > 0);
    assert_eq!(lists(&courses, "revisions"), 0);
    fixture
        .simulator
        .inject(Fault::once(FaultKind::SkillAssignmentsEmptied));
    let courses = fixture.get("/lms/courses", &[size]).await.records();
    let revisions = |courses: &[serde_json::Value]| -> Vec<serde_json::Value> {
        let of = |course: &serde_json::Value| course["revisions"].as_array().unwrap().clone();
        courses.iter().flat_map(of).collect()
    };
    let honest = revisions(&right.records());
    assert!(lists(&honest, "skill_assignments") > 0);
    assert_eq!(revisions(&courses).len(), honest.len());
    assert_eq!(lists(&revisions(&courses), "skill_assignments"), 0);
}

#[tokio::test]
async fn one_record_of_a_page_can_be_more_than_a_database_holds() {
    let fixture = Fixture::start(small()).await;
    let spoiled = async |kind| {
        fixture.simulator.inject(Fault::once(kind));
        fixture.get("/lms/skills", &[]).await
    };
    let number = spoiled(FaultKind::HugeNumber).await.text;
    assert!(number.contains("\"remote_data\":{\"/size\":1e400000}"));
    let nesting = spoiled(FaultKind::DeepNesting).await.text;
    assert!(nesting.contains(&"[".repeat(20_000)));
    let id = spoiled(FaultKind::LongId).await;
    assert_eq!(id.ids()[0].len(), 10_000);
    let text = spoiled(FaultKind::LongText).await;
    assert_eq!(text.records()[0]["name"].as_str().unwrap().len(), 5_000_000);
}

#[tokio::test]
async fn the_date_of_an_answer_can_be_wrong_or_none() {
    let fixture = Fixture::start(small()).await;
    let date = async |kind| {
        fixture.simulator.inject(Fault::once(kind));
        let reply = fixture.get("/lms/users", &[]).await;
        assert_eq!((reply.status, reply.records().len()), (200, 60));
        reply.header("date").unwrap().to_owned()
    };
    assert_eq!(date(FaultKind::EmptyDate).await, "");
    let unreadable = date(FaultKind::UnreadableDate).await;
    assert!(chrono::DateTime::parse_from_rfc2822(&unreadable).is_err());
    for seconds in [3600, -3600] {
        let said = date(FaultKind::ShiftedDate(seconds)).await;
        let said = chrono::DateTime::parse_from_rfc2822(&said).unwrap();
        let off = (said.to_utc() - fixture.simulator.now()).num_seconds() - seconds;
        assert!((-60..=0).contains(&off), "{off}");
    }
}
