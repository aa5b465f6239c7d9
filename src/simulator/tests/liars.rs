//! What a Kombo may do that breaks no promise and loses rows all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{Border, Endpoint, Options, Paging};
use super::{Fixture, small};

#[tokio::test]
async fn a_page_is_never_larger_than_the_largest_whatever_was_asked_for() {
    let fixture = Fixture::start(Options {
        largest_page: 7,
        ..small()
    })
    .await;
    let first = fixture.get("/lms/users", &[("page_size", "250")]).await;
    assert_eq!(first.records().len(), 7);
    let query = [("page_size", "250"), ("include_deleted", "true")];
    assert_eq!(fixture.all("/lms/users", &query).await.len(), 60);
    let smaller = fixture.get("/lms/users", &[("page_size", "3")]).await;
    assert_eq!(smaller.records().len(), 3);
}

#[tokio::test]
async fn the_border_of_updated_after_can_be_inclusive() {
    let fixture = Fixture::start(small()).await;
    let user = fixture.row("users", |_| true);
    fixture.mark();
    fixture
        .simulator
        .update_user(&fixture.integration_id, &user);
    let truth = fixture.simulator.truth(&fixture.integration_id);
    let changed_at = truth["users"][&user]["changed_at"].as_str().unwrap();
    let query = [("updated_after", changed_at)];
    assert!(fixture.get("/lms/users", &query).await.ids().is_empty());
    fixture.simulator.set_border(Border::Inclusive);
    assert_eq!(fixture.get("/lms/users", &query).await.ids(), [user]);
}

#[tokio::test]
async fn while_the_clock_is_held_everything_happens_in_one_millisecond() {
    let fixture = Fixture::start(small()).await;
    fixture.simulator.hold_clock();
    let mark = fixture.simulator.now();
    fixture.simulator.change(5);
    fixture.get("/lms/users", &[]).await;
    fixture.simulator.change(5);
    assert_eq!(fixture.simulator.now(), mark);
    fixture.simulator.advance_clock(Duration::from_millis(3));
    assert_eq!(
        (fixture.simulator.now() - mark).num_milliseconds(),
        3,
        "an order still moves it"
    );
    fixture.simulator.release_clock();
    fixture.get("/lms/users", &[]).await;
    assert!(fixture.simulator.now() > mark + chrono::TimeDelta::milliseconds(3));
}

#[tokio::test]
async fn a_backdated_change_becomes_visible_behind_those_who_asked_already() {
    let fixture = Fixture::start(small()).await;
    for (endpoint, table) in [
        (Endpoint::Users, "users"),
        (Endpoint::Courses, "courses"),
        (Endpoint::Skills, "skills"),
        (Endpoint::CourseProgressions, "course_progressions"),
    ] {
        let row = fixture.row(table, |_| true);
        let members = serde_json::Map::new();
        fixture
            .simulator
            .merge_into_record(&fixture.integration_id, endpoint, &row, members);
        let asked = fixture.mark();
        let by = Duration::from_secs(100);
        let late = |id: &str| {
            fixture
                .simulator
                .backdate(&fixture.integration_id, endpoint, id, by)
        };
        assert!(late(&row), "{table}");
        assert!(!late("nobody"), "{table}");
        let found = async |after: &str| {
            let query = [("updated_after", after)];
            fixture.get(endpoint.path(), &query).await.ids()
        };
        assert!(!found(&asked).await.contains(&row), "{table}");
        let before = fixture.simulator.now() - chrono::TimeDelta::seconds(110);
        let before = before.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        assert!(found(&before).await.contains(&row), "{table}");
    }
}

#[tokio::test]
async fn pages_by_offset_hold_every_row_once_while_nothing_changes() {
    let fixture = Fixture::start(small()).await;
    fixture.simulator.set_paging(Paging::ByOffset);
    for after in [None, Some("2020-01-01")] {
        let mut query = vec![("page_size", "7"), ("include_deleted", "true")];
        query.extend(after.map(|after| ("updated_after", after)));
        let users = super::ids(&fixture.all("/lms/users", &query).await);
        assert_eq!(users.len(), 60);
        assert_eq!(users.iter().collect::<BTreeSet<_>>().len(), 60);
    }
}

#[tokio::test]
async fn pages_by_offset_skip_a_row_when_one_before_it_changes() {
    let fixture = Fixture::start(small()).await;
    fixture.simulator.set_paging(Paging::ByOffset);
    let query = [("page_size", "10"), ("include_deleted", "true")];
    let expected = super::ids(&fixture.all("/lms/users", &query).await);
    let first = fixture.get("/lms/users", &query).await;
    let moved = &first.ids()[0];
    assert!(
        fixture
            .simulator
            .update_user(&fixture.integration_id, moved)
    );
    let mut seen: BTreeSet<String> = first.ids().into_iter().collect();
    let mut cursor = first.next();
    while let Some(next) = cursor {
        let query = [query[0], query[1], ("cursor", next.as_str())];
        let page = fixture.get("/lms/users", &query).await;
        seen.extend(page.ids());
        cursor = page.next();
    }
    let skipped: Vec<_> = expected.iter().filter(|id| !seen.contains(*id)).collect();
    assert_eq!(skipped, [&expected[10]]);
}
