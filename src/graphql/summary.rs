//! `courseProgressionSummary`: counts for dashboards, in one grouped statement.
//!
//! A group is a row like any other: its keys are columns, and what they refer to is found by the same relations.

use async_graphql::{ServerResult, Value};

use super::errors::Code;
use super::form::Part;
use super::plan::{self, Plan};
use super::records::{self, field, to_shape};
use super::select::Selected;
use super::{connection, filter_sql, paging};
use crate::models::course_progressions::{COURSE_PROGRESSION, COURSE_PROGRESSION_STATUS};
use crate::models::object::{Kind, Object, Shape, Target, relation, to_one};
use crate::models::{courses, users};

/// Groups of one answer at most; a summary has no pages.
const MOST_GROUPS: usize = 10_000;

/// Values of `CourseProgressionGroupKey`: what each means, and the columns that it groups by. Kombo's ids are
/// unique within an integration only, so a group by an id is one by its integration too.
pub(super) const GROUP_KEYS: &[(&str, &str, &[&str])] = &[
    ("STATUS", "By status.", &["status"]),
    ("USER", "By user.", &["integration_id", "user_id"]),
    ("COURSE", "By course.", &["integration_id", "course_id"]),
    (
        "COURSE_REVISION",
        "By course revision.",
        &["integration_id", "course_revision_id"],
    ),
    ("INTEGRATION", "By integration.", &["by_integration"]),
    (
        "COMPLETED_MONTH",
        "By the month of completion, in UTC; null where it is not completed.",
        &["completed_month"],
    ),
];

/// Every column that a group may have, with its value over the progression `r` and its revision `v`.
const COLUMNS: [(&str, &str); 7] = [
    ("status", ""),
    ("integration_id", "r.integration_id"),
    ("user_id", "r.user_id"),
    ("course_id", "v.course_id"),
    ("course_revision_id", "r.course_revision_id"),
    ("by_integration", "r.integration_id"),
    (
        "completed_month",
        "to_char(r.completed_at AT TIME ZONE 'UTC', 'YYYY-MM')",
    ),
];

const fn record(target: &'static Object, from: &'static str, on: &'static str) -> Kind {
    Kind::One(to_one(target, relation(from, on)))
}

/// The GraphQL type `CourseProgressionGroup`.
pub(super) static COURSE_PROGRESSION_GROUP: Shape = Shape {
    name: "CourseProgressionGroup",
    description: "Course progressions that are equal in the keys of a summary. What is no key is null.",
    is_node: false,
    fields: &[
        field(
            "status",
            "CourseProgressionStatus",
            "With the key STATUS.",
            Kind::Column("status"),
        ),
        field(
            "user",
            "User",
            "With the key USER.",
            record(
                &users::USER,
                "users {t}",
                "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.user_id",
            ),
        ),
        field(
            "course",
            "Course",
            "With the key COURSE; null where the mirror does not know the course.",
            record(
                &courses::COURSE,
                "courses {t}",
                "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.course_id",
            ),
        ),
        field(
            "courseRevision",
            "CourseRevision",
            "With the key COURSE_REVISION.",
            record(
                &courses::COURSE_REVISION,
                "course_revisions {t}",
                "{t}.integration_id = {p}.integration_id AND {t}.id = {p}.course_revision_id",
            ),
        ),
        field(
            "integration",
            "Integration",
            "With the key INTEGRATION.",
            Kind::One(to_shape(
                &records::INTEGRATION,
                relation("integrations {t}", "{t}.id = {p}.by_integration"),
            )),
        ),
        field(
            "completedMonth",
            "String",
            "With the key COMPLETED_MONTH: YYYY-MM in UTC.",
            Kind::Column("completed_month"),
        ),
        field(
            "count",
            "Int!",
            "Progressions of the group that are not deleted.",
            Kind::Column("progressions"),
        ),
    ],
};

/// The groups, the largest first.
pub(super) fn summary<'q>(plan: &mut Plan<'q>, selected: &Selected<'q>) -> ServerResult<Part<'q>> {
    let keys = keys(plan, selected)?;
    let filter = paging::filter(plan, Target::Mirrored(&COURSE_PROGRESSION), selected)?;
    let visible = plan.visible("i.id");
    let narrowed = plan.narrowed(&filter, "i.id");
    let alive = connection::alive(&COURSE_PROGRESSION, "r");
    let fulfilled = filter_sql::condition(&mut plan.statement, &filter, "r");
    let alias = plan.alias();
    let shape = Target::Plain(&COURSE_PROGRESSION_GROUP);
    let group = plan.object(shape, &alias, &selected.below)?;
    let status = plan::known_word("r.status", COURSE_PROGRESSION_STATUS.values);
    // what refers to nothing is one group, not one for each integration
    let ids = COLUMNS.iter().filter(|(name, _)| {
        name.ends_with("_id") && *name != "integration_id" && keys.contains(name)
    });
    let ids: Vec<&str> = ids.map(|(_, sql)| *sql).collect();
    let columns = COLUMNS.map(|(name, sql)| match (keys.contains(&name), name) {
        (false, _) => format!("NULL::text AS {name}"),
        (true, "status") => format!("{status} AS status"),
        (true, "integration_id") => {
            format!(
                "CASE WHEN coalesce({}) IS NOT NULL THEN {sql} END AS {name}",
                ids.join(", ")
            )
        }
        (true, _) => format!("{sql} AS {name}"),
    });
    // an id's course is known by its revision, which only this key has to look up
    let revisions = if keys.contains(&"course_id") {
        "LEFT JOIN course_revisions v ON v.integration_id = r.integration_id AND v.id = r.course_revision_id"
    } else {
        ""
    };
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let order = COLUMNS
        .map(|(name, _)| format!("{alias}.{name}"))
        .join(", ");
    let too_many = MOST_GROUPS + 1;
    let code = Code::QueryTooComplex.as_str();
    let row = plan.row(&group.columns)?;
    let list = Part::list(
        &format!("SELECT {row} FROM groups {alias} ORDER BY {alias}.progressions DESC, {order}"),
        group.form,
    );
    let list = list.checked(format!(
        "CASE WHEN (SELECT count(*) FROM groups) = {too_many} \
         THEN refuse('{code} the summary has more than {MOST_GROUPS} groups; filter, or group by less') END"
    ));
    let row = plan.row(&list.columns)?;
    let sql = format!(
        "(WITH groups AS MATERIALIZED (SELECT {names}, count(*) AS progressions FROM (SELECT {columns} \
           FROM integrations i JOIN course_progressions r ON r.integration_id = i.id {revisions} \
           WHERE {visible}{narrowed}{alive} AND {fulfilled}) p GROUP BY {names} LIMIT {too_many}) \
         SELECT {row})",
        columns = columns.join(", "),
    );
    Ok(Part::record(sql, list.form))
}

/// The columns that are grouped by.
fn keys<'q>(plan: &Plan<'q>, selected: &Selected<'q>) -> ServerResult<Vec<&'static str>> {
    let given = match plan.given(selected, "groupBy") {
        Some(Value::List(words)) => words,
        Some(word) => vec![word],
        None => Vec::new(),
    };
    let mut columns = Vec::new();
    for word in &given {
        let known = paging::word(word)
            .and_then(|word| GROUP_KEYS.iter().find(|(name, _, _)| *name == word))
            .ok_or_else(|| plan.refuse(selected, "groupBy has an unknown key"))?;
        columns.extend(known.2);
    }
    Ok(columns)
}
