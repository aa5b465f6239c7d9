//! Whether a row fulfils a filter, by a plain look at it.
//!
//! A filter is true or false, never unknown: a null equals nothing, and `ne`, `notIn` and `not` are plain opposites. Of
//! several related rows one must pass, and none for the opposites.

use std::sync::Arc;

use async_graphql::Value;

use super::data::{Row, moment, shown};
use super::execute::Execution;
use super::request::{each, text};
use super::{Json, Outcome, Reference, Trouble};
use crate::support::sdl::{named, snake};

/// How a member is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Upper and lower case are the same.
    Caseless,
    Time,
}

impl Execution<'_> {
    pub(super) fn fulfils(&self, ty: &str, row: &Arc<Row>, filter: &Value) -> bool {
        let Value::Object(members) = filter else {
            return true;
        };
        let mut members = members.iter().filter(|one| *one.1 != Value::Null);
        members.all(|(name, asked)| match name.as_str() {
            "and" => each(asked).iter().all(|one| self.fulfils(ty, row, one)),
            "or" => each(asked).iter().any(|one| self.fulfils(ty, row, one)),
            "not" => !self.fulfils(ty, row, asked),
            name => self.reference.passes_all(ty, name, row, asked),
        })
    }
}

/// Refuses a test that compares with null, whatever the rows.
pub(super) fn refuse_nulls(filter: &Value) -> Outcome<()> {
    let Value::Object(members) = filter else {
        return Ok(());
    };
    for (name, asked) in members {
        match (name.as_str(), asked) {
            (_, Value::Null) => {}
            ("and" | "or" | "not", _) => each(asked).iter().try_for_each(refuse_nulls)?,
            (_, Value::Object(tests)) if tests.values().any(|operand| *operand == Value::Null) => {
                return Err(Trouble::Refused);
            }
            _ => {}
        }
    }
    Ok(())
}

impl Reference {
    fn passes_all(&self, ty: &str, member: &str, row: &Arc<Row>, asked: &Value) -> bool {
        let values = self.values(ty, member, row);
        let tests = match asked {
            Value::Object(tests) => tests,
            // a flag is compared with itself
            flag => return values == [flag.to_string()],
        };
        let kind = match (member, ty) {
            ("workEmail", _) => Kind::Caseless,
            _ if self.filter_type(ty, member) == "DateTimeFilter" => Kind::Time,
            _ => Kind::Plain,
        };
        let mut tests = tests.iter();
        tests.all(|(test, operand)| passes(kind, &values, test, operand))
    }

    /// The type of a filter's member.
    pub(crate) fn filter_type(&self, ty: &str, member: &str) -> &str {
        let members = self.sdl.members(&format!("{ty}Filter")).iter();
        let mut members = members.filter(|one| one.node.name.node == member);
        let member = members.next().expect("a member of the filter");
        named(&member.node.ty.node)
    }

    /// What a member of a filter looks at, as it is shown; several where it looks at related rows. Nulls are left out.
    pub(crate) fn values(&self, ty: &str, member: &str, row: &Arc<Row>) -> Vec<String> {
        let beside = |table: &str, picks: &dyn Fn(&Row) -> bool| {
            self.world
                .some(table, |one| one.is_beside(row) && picks(one))
        };
        let (rows, column) = match (ty, member) {
            ("Course", "title") => {
                let is_of = |one: &Row| one.get("course_id") == row.get("id") && !one.is_deleted();
                (beside("course_revisions", &is_of), "title".to_owned())
            }
            ("CourseRevision", "skillKomboId") => {
                let is_of = |one: &Row| one.get("course_revision_id") == row.get("id");
                (
                    beside("course_revision_skills", &is_of),
                    "skill_id".to_owned(),
                )
            }
            ("CourseProgression", "courseKomboId") => {
                let is_of = |one: &Row| one.get("id") == row.get("course_revision_id");
                (beside("course_revisions", &is_of), "course_id".to_owned())
            }
            (_, "komboId") => (vec![row.clone()], "id".to_owned()),
            (_, member) => {
                let name = snake(member);
                let column = name.strip_suffix("_kombo_id").map(|of| format!("{of}_id"));
                (vec![row.clone()], column.unwrap_or(name))
            }
        };
        let ty = self.filter_type(ty, member);
        let words = self.sdl.words(ty.trim_end_matches("Filter"));
        let values = rows.iter().filter_map(|row| match row.get(&column) {
            Json::Null => None,
            Json::Text(_) if ty == "DateTimeFilter" => row
                .moment(&column)
                .and_then(|at| shown(at).as_text().map(str::to_owned)),
            Json::Text(table) if ty == "MirroredModelFilter" => Some(self.word_of_table(table)),
            Json::Text(endpoint) if ty == "KomboEndpointFilter" => Some(endpoint.to_uppercase()),
            Json::Text(word) if !words.is_empty() && !words.contains(&word.as_str()) => {
                Some("UNKNOWN".to_owned())
            }
            Json::Text(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        values.collect()
    }

    fn word_of_table(&self, table: &str) -> String {
        let is_of = |ty: &&str| crate::support::sdl::Sdl::table(ty) == table;
        let records = self.sdl.records();
        let ty = records.into_iter().find(is_of);
        ty.map_or_else(String::new, |ty| snake(ty).to_uppercase())
    }
}

fn passes(kind: Kind, values: &[String], test: &str, operand: &Value) -> bool {
    let any = |holds: &dyn Fn(&str) -> bool| values.iter().any(|value| holds(value));
    let folded = |text: &str| match kind {
        Kind::Caseless => text.to_lowercase(),
        _ => text.to_owned(),
    };
    let asked = || folded(&text(operand));
    let compared = |holds: &dyn Fn(std::cmp::Ordering) -> bool| {
        let asked = moment(&text(operand));
        any(&|value| holds(moment(value).cmp(&asked)))
    };
    match test {
        "eq" if kind == Kind::Time => compared(&std::cmp::Ordering::is_eq),
        "gt" => compared(&std::cmp::Ordering::is_gt),
        "gte" => compared(&std::cmp::Ordering::is_ge),
        "lt" => compared(&std::cmp::Ordering::is_lt),
        "lte" => compared(&std::cmp::Ordering::is_le),
        "eq" => any(&|value| folded(value) == asked()),
        "ne" => !passes(kind, values, "eq", operand),
        "in" => each(operand)
            .iter()
            .any(|one| passes(kind, values, "eq", one)),
        "notIn" => !passes(kind, values, "in", operand),
        "startsWith" => any(&|value| folded(value).starts_with(&asked())),
        "containsIgnoreCase" => {
            let part = text(operand).to_lowercase();
            any(&|value| value.to_lowercase().contains(&part))
        }
        "isNull" => values.is_empty() == (*operand == Value::Boolean(true)),
        _ => panic!("unknown test {test}"),
    }
}

/// Keeps the integrations that a filter leaves before any row is looked at.
pub(super) fn keep_integrations(filter: &Value, integrations: &mut Vec<String>) {
    let Value::Object(members) = filter else {
        return;
    };
    for (name, asked) in members {
        match (name.as_str(), asked) {
            ("and", Value::Null) => {}
            ("and", _) => each(asked)
                .iter()
                .for_each(|one| keep_integrations(one, integrations)),
            ("integrationKomboId", Value::Object(tests)) => {
                let tests = tests
                    .iter()
                    .filter(|(test, _)| matches!(test.as_str(), "eq" | "in"));
                for (_, operand) in tests {
                    let asked: Vec<String> = each(operand).iter().map(text).collect();
                    integrations.retain(|id| asked.contains(id));
                }
            }
            _ => {}
        }
    }
}
