//! The data: its truth, its identity, its deletions, and what a change re-delivers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::super::{After14Days, NestedUpdates, Options, Truth};
use super::{Fixture, assert_same, mirrored, small};

const FOURTEEN_DAYS: Duration = Duration::from_secs(14 * 86_400);

#[tokio::test]
async fn a_full_read_of_all_pages_gives_the_truth() {
    let fixture = Fixture::start(small()).await;
    assert_same(
        &mirrored(&fixture).await,
        &fixture.simulator.truth(&fixture.integration_id),
    );
    for after in [After14Days::NullFields, After14Days::Remove] {
        fixture.simulator.set_after_14_days(after);
        fixture.simulator.change(300);
        fixture.simulator.advance_clock(FOURTEEN_DAYS);
        fixture.simulator.change(50);
        assert_same(
            &mirrored(&fixture).await,
            &fixture.simulator.truth(&fixture.integration_id),
        );
    }
}

/// Rows without the columns that the clock stamps at changes.
fn unstamped(truth: Truth) -> Vec<(String, Value)> {
    let stamps = [
        "changed_at",
        "remote_deleted_at",
        "remote_created_at",
        "enrolled_at",
        "completed_at",
    ];
    let rows = truth.into_values().flatten();
    rows.map(|(key, mut row)| {
        row.retain(|name, _| !stamps.contains(&name.as_str()));
        (key, Value::Object(row))
    })
    .collect()
}

#[tokio::test]
async fn the_same_seed_and_changes_give_the_same_data() {
    let options = || Options {
        integrations: 3,
        seed: 11,
        ..small()
    };
    let (one, two) = (
        Fixture::start(options()).await,
        Fixture::start(options()).await,
    );
    let other = Fixture::start(Options {
        seed: 12,
        ..options()
    })
    .await;
    assert_eq!(
        one.simulator.integration_ids(),
        two.simulator.integration_ids()
    );
    assert_ne!(
        one.simulator.integration_ids(),
        other.simulator.integration_ids()
    );
    let changes = one.simulator.change(400);
    assert_eq!(changes.len(), 400);
    assert_eq!(changes, two.simulator.change(400));
    for id in one.simulator.integration_ids() {
        let (first, second) = (one.simulator.truth(&id), two.simulator.truth(&id));
        assert_eq!(unstamped(first), unstamped(second));
    }
}

#[tokio::test]
async fn equal_ids_occur_in_different_models() {
    let fixture = Fixture::start(small()).await;
    let truth = fixture.simulator.truth(&fixture.integration_id);
    let user = truth["users"]
        .iter()
        .find(|(_, row)| row["remote_id"] == "1")
        .unwrap();
    assert_eq!(truth["courses"][user.0]["remote_id"], "1");
    assert!(user.0.len() == 24 && user.0.bytes().all(|b| b.is_ascii_alphanumeric()));
}

#[tokio::test]
async fn the_data_contains_every_awkward_case() {
    let fixture = Fixture::start(Options {
        integrations: 6,
        ..small()
    })
    .await;
    let truth = fixture.simulator.truth(&fixture.integration_id);
    let skills = &truth["skills"];
    assert!(skills.values().any(|row| row["remote_id"].is_null()));
    assert!(
        truth["courses"]
            .values()
            .any(|row| row["provider_id"].is_null())
    );
    let with_revisions: BTreeSet<_> = truth["course_revisions"]
        .values()
        .map(|row| row["course_id"].as_str().unwrap())
        .collect();
    assert!(with_revisions.len() < truth["courses"].len());
    let progressions = &truth["course_progressions"];
    assert!(
        progressions
            .values()
            .all(|row| row["remote_id"].as_str().unwrap().contains('|'))
    );
    let listed = &truth["course_revisions"];
    let known = |row: &&serde_json::Map<String, Value>| {
        listed.contains_key(row["course_revision_id"].as_str().unwrap())
    };
    assert!(progressions.values().any(|row| !known(&row)));
    assert!(
        truth["users"]
            .values()
            .any(|row| row["remote_deleted_at"].is_string())
            || progressions
                .values()
                .any(|row| row["remote_deleted_at"].is_string())
    );
    let talentlms = fixture
        .simulator
        .truth(&fixture.simulator.integration_ids()[4]);
    assert!(
        talentlms["course_progressions"]
            .values()
            .all(|row| row["enrolled_at"].is_null())
    );
    assert!(talentlms["skills"].is_empty() && talentlms["course_providers"].is_empty());
}

#[tokio::test]
async fn a_deletion_is_hidden_unless_asked_for_and_can_be_undone() {
    let fixture = Fixture::start(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let user = fixture.row("users", |_| true);
    let before = fixture.mark();
    assert!(simulator.delete_user(id, &user));
    assert!(!simulator.delete_user(id, &user));
    let hidden = fixture
        .get("/lms/users", &[("updated_after", &before)])
        .await;
    assert!(hidden.records().is_empty());
    let query = [
        ("updated_after", before.as_str()),
        ("include_deleted", "true"),
    ];
    let shown = fixture.get("/lms/users", &query).await.records();
    assert_eq!(shown[0]["id"], user);
    assert_eq!(shown[0]["remote_deleted_at"], shown[0]["changed_at"]);
    fixture.mark();
    assert!(simulator.undelete_user(id, &user));
    let back = fixture.get("/lms/users", &[("ids", &user)]).await.records();
    assert!(back[0]["remote_deleted_at"].is_null());
}

#[tokio::test]
async fn after_14_days_a_deleted_row_is_blank_or_gone() {
    let fixture = Fixture::start(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let user = fixture.row("users", |row| row["last_name"].is_string());
    simulator.delete_user(id, &user);
    let deleted = simulator.truth(id)["users"][&user].clone();
    simulator.advance_clock(FOURTEEN_DAYS - Duration::from_secs(60));
    assert_eq!(simulator.truth(id)["users"][&user], deleted);
    simulator.advance_clock(Duration::from_secs(61));
    let blank = simulator.truth(id)["users"][&user].clone();
    assert!(blank["last_name"].is_null() && blank["remote_id"].is_null());
    assert_eq!(blank["remote_deleted_at"], deleted["remote_deleted_at"]);
    assert_eq!(blank["changed_at"], deleted["changed_at"]);
    simulator.set_after_14_days(After14Days::Remove);
    assert!(!simulator.truth(id)["users"].contains_key(&user));
    let query = [("ids", user.as_str()), ("include_deleted", "true")];
    assert!(fixture.get("/lms/users", &query).await.records().is_empty());
    assert!(simulator.undelete_user(id, &user));
    assert!(simulator.truth(id)["users"][&user]["last_name"].is_string());
}

#[tokio::test]
async fn the_end_of_14_days_can_count_as_a_change() {
    let options = Options {
        after_14_days_bumps_changed_at: true,
        ..small()
    };
    let fixture = Fixture::start(options).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let user = fixture.row("users", |_| true);
    simulator.delete_user(id, &user);
    let redelivered = fixture
        .redelivered("/lms/users", |simulator| {
            simulator.advance_clock(FOURTEEN_DAYS)
        })
        .await;
    assert!(redelivered.contains(&user));
}

#[tokio::test]
async fn strictly_read_only_revisions_redeliver_what_contains_them() {
    nested_updates(NestedUpdates::Strict).await;
}

#[tokio::test]
async fn loosely_read_everything_nested_redelivers_what_contains_it() {
    nested_updates(NestedUpdates::Loose).await;
}

async fn nested_updates(reading: NestedUpdates) {
    let fixture = Fixture::start(Options {
        nested_updates: reading,
        ..small()
    })
    .await;
    let id = fixture.integration_id.as_str();
    let loose = reading == NestedUpdates::Loose;
    let truth = fixture.simulator.truth(id);
    let live = |table: &str, id: &str| truth[table][id]["remote_deleted_at"].is_null();
    let text =
        |row: &serde_json::Map<String, Value>, name: &str| row[name].as_str().unwrap().to_owned();
    let taken = &truth["course_revision_skills"];
    let joined = taken.values().find(|row| {
        let revision = text(row, "course_revision_id");
        let mut progressions = truth["course_progressions"].values();
        live("course_revisions", &revision)
            && progressions.any(|p| p["course_revision_id"] == revision)
            && truth["courses"][&text(&truth["course_revisions"][&revision], "course_id")]["provider_id"].is_string()
    });
    let (revision, skill) = (
        text(joined.unwrap(), "course_revision_id"),
        text(joined.unwrap(), "skill_id"),
    );
    let course = text(&truth["course_revisions"][&revision], "course_id");
    let provider = text(&truth["courses"][&course], "provider_id");
    let user = fixture.row("users", |row| {
        truth["course_progressions"]
            .values()
            .any(|p| p["user_id"] == row["id"])
    });
    let courses = "/lms/courses";
    let progressions = "/lms/course-progressions";
    let found = fixture
        .redelivered(courses, |s| assert!(s.update_revision(id, &revision)))
        .await;
    assert_eq!(found, std::slice::from_ref(&course));
    let found = fixture
        .redelivered(courses, |s| {
            assert!(s.insert_revision(id, &course).is_some())
        })
        .await;
    assert_eq!(found, std::slice::from_ref(&course));
    let found = fixture
        .redelivered(courses, |s| assert!(s.update_skill(id, &skill)))
        .await;
    assert_eq!(found.contains(&course), loose);
    let found = fixture
        .redelivered(courses, |s| {
            assert!(s.unassign_skill(id, &revision, &skill))
        })
        .await;
    assert_eq!(found.contains(&course), loose);
    let found = fixture
        .redelivered(courses, |s| assert!(s.assign_skill(id, &revision, &skill)))
        .await;
    assert_eq!(found.contains(&course), loose);
    let found = fixture
        .redelivered(courses, |s| assert!(s.rename_provider(id, &provider)))
        .await;
    assert_eq!(found.contains(&course), loose);
    let found = fixture
        .redelivered(progressions, |s| assert!(s.update_user(id, &user)))
        .await;
    assert_eq!(!found.is_empty(), loose);
    let found = fixture
        .redelivered(progressions, |s| assert!(s.update_revision(id, &revision)))
        .await;
    assert_eq!(!found.is_empty(), loose);
    let found = fixture
        .redelivered(progressions, |s| assert!(s.update_course(id, &course)))
        .await;
    assert_eq!(!found.is_empty(), loose);
    let found = fixture
        .redelivered("/lms/users", |s| assert!(s.update_user(id, &user)))
        .await;
    assert_eq!(found, [user]);
}

#[tokio::test]
async fn deltas_alone_follow_every_own_change_of_users_skills_and_progressions() {
    let fixture = Fixture::start(small()).await;
    let mut mirror = mirrored(&fixture).await;
    for _ in 0..10 {
        let before = fixture.mark();
        fixture.simulator.change(40);
        let query = [
            ("updated_after", before.as_str()),
            ("include_deleted", "true"),
        ];
        for (path, table) in [
            ("/lms/users", "users"),
            ("/lms/skills", "skills"),
            ("/lms/course-progressions", "course_progressions"),
        ] {
            for record in fixture.all(path, &query).await {
                let id = record["id"].as_str().unwrap().to_owned();
                let row = super::columns(&record, &["user", "course_revision"]);
                mirror
                    .entry(table)
                    .or_insert_with(BTreeMap::new)
                    .insert(id, row);
            }
        }
    }
    let truth = fixture.simulator.truth(&fixture.integration_id);
    for table in ["users", "skills", "course_progressions"] {
        assert!(mirror[table] == truth[table], "{table}");
    }
}

#[tokio::test]
async fn a_course_takes_its_revisions_along_and_brings_them_back() {
    let fixture = Fixture::start(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let revision = fixture.row("course_revisions", |_| true);
    let row = |table: &str, key: &str| simulator.truth(id)[table][key].clone();
    let course = row("course_revisions", &revision)["course_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(simulator.delete_course(id, &course));
    assert!(row("course_revisions", &revision)["remote_deleted_at"].is_string());
    assert!(!simulator.undelete_revision(id, &revision));
    assert!(simulator.undelete_course(id, &course));
    assert!(row("course_revisions", &revision)["remote_deleted_at"].is_null());
}

#[tokio::test]
async fn a_record_can_be_disguised_and_restored() {
    let fixture = Fixture::start(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let skill = fixture.row("skills", |_| true);
    let endpoint = super::super::Endpoint::Skills;
    let members = serde_json::json!({ "level": 3 })
        .as_object()
        .unwrap()
        .clone();
    let found = fixture
        .redelivered("/lms/skills", |s| {
            assert!(s.merge_into_record(id, endpoint, &skill, members))
        })
        .await;
    assert_eq!(found, std::slice::from_ref(&skill));
    let query = [("ids", skill.as_str())];
    assert_eq!(
        fixture.get("/lms/skills", &query).await.records()[0]["level"],
        3
    );
    assert!(!simulator.truth(id)["skills"][&skill].contains_key("level"));
    simulator.replace_record(id, endpoint, &skill, serde_json::json!("not an object"));
    assert_eq!(
        fixture.get("/lms/skills", &query).await.records()[0],
        "not an object"
    );
    simulator.restore_record(id, endpoint, &skill);
    assert_eq!(
        fixture.get("/lms/skills", &query).await.records()[0]["id"],
        skill
    );
}
