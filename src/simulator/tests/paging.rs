//! Pages, cursors and filters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Options;
use super::{Fixture, ids, small};

#[tokio::test]
async fn pages_of_every_size_hold_every_row_once() {
    let fixture = Fixture::start(small()).await;
    for size in ["1", "7", "100", "250"] {
        let query = [("page_size", size), ("include_deleted", "true")];
        let users = ids(&fixture.all("/lms/users", &query).await);
        assert_eq!(users.len(), 60, "page_size {size}");
        assert_eq!(users.iter().collect::<BTreeSet<_>>().len(), 60);
    }
}

#[tokio::test]
async fn a_cursor_is_bound_to_endpoint_integration_and_filters() {
    let fixture = Fixture::start(Options {
        integrations: 2,
        ..small()
    })
    .await;
    let first = fixture.get("/lms/users", &[("page_size", "5")]).await;
    let cursor = first.next().unwrap();
    let again = [("page_size", "5"), ("cursor", cursor.as_str())];
    assert_eq!(fixture.get("/lms/users", &again).await.status, 200);
    assert_eq!(fixture.get("/lms/courses", &again).await.status, 400);
    let other_size = [("page_size", "6"), ("cursor", cursor.as_str())];
    assert_eq!(fixture.get("/lms/users", &other_size).await.status, 400);
    for filter in [
        ("include_deleted", "true"),
        ("updated_after", "2020-01-01"),
        ("ignore_unsupported_filters", "true"),
        ("work_emails", "a@example.com"),
        ("ids", "x"),
    ] {
        let query = [again[0], again[1], filter];
        assert_eq!(
            fixture.get("/lms/users", &query).await.status,
            400,
            "{filter:?}"
        );
    }
    let other = fixture.simulator.integration_ids().remove(1);
    let reply = fixture
        .get_as(&fixture.key, Some(&other), "/lms/users", &again)
        .await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn an_unencoded_cursor_with_a_plus_sign_is_refused() {
    let fixture = Fixture::start(small()).await;
    let url = format!("{}/lms/users?cursor=ab+cd==", fixture.simulator.base_url());
    let request = fixture.client.get(url).bearer_auth(&fixture.key);
    let reply = super::read(request.header("X-Integration-Id", &fixture.integration_id)).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_row_that_changes_during_paging_is_never_missed() {
    let fixture = Fixture::start(small()).await;
    for updated_after in [None, Some("2020-01-01")] {
        let mut query = vec![("page_size", "10"), ("include_deleted", "true")];
        query.extend(updated_after.map(|after| ("updated_after", after)));
        let expected: BTreeSet<String> = fixture.simulator.truth(&fixture.integration_id)["users"]
            .keys()
            .cloned()
            .collect();
        let mut seen = BTreeSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.clone();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = fixture.get("/lms/users", &query).await;
            seen.extend(page.ids());
            if seen.len() < 50 {
                for user in page.ids().iter().take(2).chain(expected.last()) {
                    fixture.simulator.update_user(&fixture.integration_id, user);
                }
            }
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
        }
        assert!(expected.is_subset(&seen), "{updated_after:?}");
    }
}

#[tokio::test]
async fn updated_after_is_exclusive() {
    let fixture = Fixture::start(small()).await;
    let user = fixture.row("users", |_| true);
    fixture.mark();
    fixture
        .simulator
        .update_user(&fixture.integration_id, &user);
    let truth = fixture.simulator.truth(&fixture.integration_id);
    let changed_at = truth["users"][&user]["changed_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let at = fixture
        .get("/lms/users", &[("updated_after", &changed_at)])
        .await;
    assert!(!at.ids().contains(&user));
    let before = chrono::DateTime::parse_from_rfc3339(&changed_at)
        .unwrap()
        .to_utc()
        - chrono::TimeDelta::milliseconds(1);
    let before = before.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let after = fixture
        .get("/lms/users", &[("updated_after", &before)])
        .await;
    assert!(after.ids().contains(&user));
}

#[tokio::test]
async fn ids_and_remote_ids_are_ored_within_and_anded_between() {
    let fixture = Fixture::start(small()).await;
    let users = fixture.all("/lms/users", &[]).await;
    let id = |number: usize| users[number]["id"].as_str().unwrap().to_owned();
    let remote = |number: usize| users[number]["remote_id"].as_str().unwrap().to_owned();
    let two = format!("{},{}", id(3), id(5));
    let reply = fixture.get("/lms/users", &[("ids", &two)]).await;
    assert_eq!(reply.ids(), [id(3), id(5)]);
    let query = [("ids", two.as_str()), ("remote_ids", &remote(5))];
    assert_eq!(fixture.get("/lms/users", &query).await.ids(), [id(5)]);
    // The same with a comma that is not encoded.
    let url = format!("{}/lms/users?ids={two}", fixture.simulator.base_url());
    let request = fixture.client.get(url).bearer_auth(&fixture.key);
    let reply = super::read(request.header("X-Integration-Id", &fixture.integration_id)).await;
    assert_eq!(reply.ids(), [id(3), id(5)]);
}

#[tokio::test]
async fn work_emails_match_whatever_their_case() {
    let fixture = Fixture::start(small()).await;
    let users = fixture.all("/lms/users", &[]).await;
    let user = users
        .iter()
        .find(|user| user["work_email"].is_string())
        .unwrap();
    let email = user["work_email"].as_str().unwrap().to_uppercase();
    let reply = fixture.get("/lms/users", &[("work_emails", &email)]).await;
    assert_eq!(reply.records(), std::slice::from_ref(user));
}

#[tokio::test]
async fn an_unsupported_filter_matches_nothing_unless_it_is_ignored() {
    let fixture = Fixture::start(Options {
        integrations: 4,
        ..small()
    })
    .await;
    let moodle = fixture.simulator.integration_ids().remove(3);
    let filter = ("work_emails", "a@example.com");
    let reply = fixture
        .get_as(&fixture.key, Some(&moodle), "/lms/users", &[filter])
        .await;
    assert!(reply.records().is_empty());
    let query = [filter, ("ignore_unsupported_filters", "true")];
    let reply = fixture
        .get_as(&fixture.key, Some(&moodle), "/lms/users", &query)
        .await;
    assert!(!reply.records().is_empty());
    assert!(
        reply
            .records()
            .iter()
            .all(|user| user["work_email"].is_null())
    );
}

#[tokio::test]
async fn progressions_can_be_filtered_by_user_and_course() {
    let fixture = Fixture::start(small()).await;
    let all = fixture.all("/lms/course-progressions", &[]).await;
    let course_of = |record: &Value| record["course_revision"]["course"]["id"].clone();
    let some = all
        .iter()
        .find(|record| course_of(record).is_string())
        .unwrap();
    let user = some["user_id"].as_str().unwrap();
    let course = course_of(some);
    let query = [
        ("user_ids", user),
        ("course_ids", course.as_str().unwrap()),
        ("page_size", "1"),
    ];
    let found = fixture.all("/lms/course-progressions", &query).await;
    let expected = all
        .iter()
        .filter(|r| r["user_id"] == user && course_of(r) == course);
    assert_eq!(found, expected.cloned().collect::<Vec<_>>());
    let remote_id = some["remote_id"].as_str().unwrap();
    let found = fixture
        .all("/lms/course-progressions", &[("remote_ids", remote_id)])
        .await;
    assert_eq!(found, std::slice::from_ref(some));
}

#[tokio::test]
async fn what_changes_after_an_answer_is_later_than_the_answer() {
    let fixture = Fixture::start(small()).await;
    let user = fixture.row("users", |_| true);
    for _ in 0..50 {
        // No margin at all: the moment just before the request is the mark for the next one.
        let before = fixture.simulator.now();
        fixture.get("/lms/users", &[]).await;
        fixture
            .simulator
            .update_user(&fixture.integration_id, &user);
        let before = before.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let found = fixture
            .get("/lms/users", &[("updated_after", &before)])
            .await;
        assert_eq!(found.ids(), std::slice::from_ref(&user));
    }
}
