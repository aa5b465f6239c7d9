//! Which rows are on a page.
//!
//! Rows come in the order in which they were first seen, or, with `updated_after`, in the order in which
//! they changed: a row that changes while somebody pages moves behind the reader and is met again, never
//! missed. A page costs what it holds, not what the table holds; only `work_emails` looks at all users.
//!
//! Must never change a row.

use serde_json::Value;

use super::integration::{Disguise, Integration};
use super::query::{Cursor, ListQuery};
use super::render::{Members, Renderer};
use super::rows::{Endpoint, Model};
use super::table::{KomboId, Row, Table};
use super::{After14Days, NestedUpdates, Paging};

/// How the undecided parts of Kombo's documentation are read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) nested_updates: NestedUpdates,
    pub(super) after_14_days: After14Days,
    pub(super) paging: Paging,
}

/// Records, and the cursor to the next ones.
pub(super) struct Page {
    pub(super) records: Vec<Value>,
    pub(super) next: Option<String>,
}

/// Builds one page of an endpoint.
pub(super) fn page(
    integration: &Integration,
    endpoint: Endpoint,
    query: &ListQuery,
    reading: Reading,
) -> Page {
    let renderer = Renderer {
        integration,
        after_14_days: reading.after_14_days,
    };
    let walk = Walk {
        renderer: &renderer,
        query,
        loose: reading.nested_updates == NestedUpdates::Loose,
        by_offset: reading.paging == Paging::ByOffset,
    };
    let (numbers, next) = match endpoint {
        Endpoint::Users => users(&walk),
        Endpoint::Courses => walk.rows(
            &integration.courses,
            walk.named(&integration.courses, |c| &c.remote_id),
        ),
        Endpoint::CourseProgressions => progressions(&walk),
        Endpoint::Skills => {
            let named = walk.named(&integration.skills, |skill| {
                skill.remote_id.as_deref().unwrap_or_default()
            });
            walk.rows(&integration.skills, named)
        }
    };
    let records = numbers
        .into_iter()
        .map(|number| record(&renderer, endpoint, number, query));
    let page = query.cursor.map_or(1, |cursor| cursor.page);
    Page {
        records: records.collect(),
        next: next.map(|position| {
            Cursor {
                position,
                page: page + 1,
            }
            .encode(query.binding)
        }),
    }
}

fn record(renderer: &Renderer<'_>, endpoint: Endpoint, number: u32, query: &ListQuery) -> Value {
    let integration = renderer.integration;
    let (id, members): (KomboId, Members) = match endpoint {
        Endpoint::Users => (integration.users.get(number).id, renderer.user(number)),
        Endpoint::Courses => (
            integration.courses.get(number).id,
            renderer.course_record(number, query.include_deleted),
        ),
        Endpoint::CourseProgressions => (
            integration.progressions.get(number).id,
            renderer.progression_record(number),
        ),
        Endpoint::Skills => (integration.skills.get(number).id, renderer.skill(number)),
    };
    let mut members = members;
    match integration.disguises.get(&(endpoint, id)) {
        None => Value::Object(members),
        Some(Disguise::Replaced(value)) => value.clone(),
        Some(Disguise::Merged(extra)) => {
            members.extend(extra.clone());
            Value::Object(members)
        }
    }
}

/// Row numbers of a page, and where the next one begins.
type Found = (Vec<u32>, Option<u64>);

struct Walk<'a> {
    renderer: &'a Renderer<'a>,
    query: &'a ListQuery,
    loose: bool,
    by_offset: bool,
}

fn users(walk: &Walk<'_>) -> Found {
    let users = &walk.renderer.integration.users;
    let supported = walk
        .renderer
        .integration
        .connector
        .has_field(Model::Users, "work_email");
    let mut candidates = walk.named(users, |user| &user.remote_id);
    if let Some(emails) = &walk.query.work_emails {
        if !supported && !walk.query.ignore_unsupported_filters {
            return (Vec::new(), None);
        }
        if supported {
            let matching = (0..users.len()).filter(|number| {
                let row = users.get(*number);
                let email = row.body.work_email.as_deref().map(str::to_lowercase);
                !row.expired && email.is_some_and(|email| emails.contains(&email))
            });
            candidates = Some(both(candidates, matching.collect()));
        }
    }
    walk.rows(users, candidates)
}

fn progressions(walk: &Walk<'_>) -> Found {
    let integration = walk.renderer.integration;
    let table = &integration.progressions;
    let mut candidates = walk.query.ids.as_ref().map(|ids| numbers_of(table, ids));
    if let Some(remote_ids) = &walk.query.remote_ids {
        let keys = remote_ids
            .iter()
            .filter_map(|key| table.number_of(integration.kombo_id(key)));
        let matching = keys.filter(|number| {
            let row = table.get(*number);
            !row.expired && remote_ids.contains(&integration.progression_remote_id(&row.body))
        });
        candidates = Some(both(candidates, matching.collect()));
    }
    if let Some(ids) = &walk.query.user_ids {
        let users = ids.iter().filter_map(|id| integration.users.find(id));
        let matching = users.flat_map(|user| &integration.users.get(user).body.progressions);
        candidates = Some(both(candidates, matching.copied().collect()));
    }
    if let Some(ids) = &walk.query.course_ids {
        let courses = ids.iter().filter_map(|id| integration.courses.find(id));
        let matching = courses
            .flat_map(|course| &integration.courses.get(course).body.revisions)
            .flat_map(|revision| &integration.revisions.get(*revision).body.progressions);
        candidates = Some(both(candidates, matching.copied().collect()));
    }
    walk.rows(table, candidates)
}

fn numbers_of<T>(table: &Table<T>, ids: &[String]) -> Vec<u32> {
    ordered(ids.iter().filter_map(|id| table.find(id)).collect())
}

fn ordered(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Rows that satisfy an earlier filter, if there was one, and this one.
fn both(earlier: Option<Vec<u32>>, matching: Vec<u32>) -> Vec<u32> {
    let mut matching = ordered(matching);
    if let Some(earlier) = earlier {
        matching.retain(|number| earlier.binary_search(number).is_ok());
    }
    matching
}

impl Walk<'_> {
    /// The rows that `ids` and `remote_ids` leave; `None` where neither was given.
    fn named<T>(&self, table: &Table<T>, remote_id: impl Fn(&T) -> &str) -> Option<Vec<u32>> {
        let mut candidates = self.query.ids.as_ref().map(|ids| numbers_of(table, ids));
        if let Some(remote_ids) = &self.query.remote_ids {
            let integration = self.renderer.integration;
            let keys = remote_ids
                .iter()
                .filter_map(|key| table.number_of(integration.kombo_id(key)));
            let matching = keys.filter(|number| {
                let row = table.get(*number);
                let key = remote_id(&row.body);
                !row.expired && !key.is_empty() && remote_ids.iter().any(|wanted| wanted == key)
            });
            candidates = Some(both(candidates, matching.collect()));
        }
        candidates
    }

    fn rows<T>(&self, table: &Table<T>, candidates: Option<Vec<u32>>) -> Found {
        let position = self.query.cursor.map_or(0, |cursor| cursor.position);
        if self.by_offset {
            return self.numbered(table, candidates, position);
        }
        match (candidates, self.query.updated_after) {
            (Some(numbers), _) => {
                let start = numbers.partition_point(|number| u64::from(*number) < position);
                let rows = numbers[start..]
                    .iter()
                    .map(|number| (u64::from(*number), *number));
                self.collect(table, rows)
            }
            (None, Some(after)) => {
                let earliest = table.log.partition_point(|(at, _)| *at <= after);
                let start = earliest.max(usize::try_from(position).unwrap_or(usize::MAX));
                let entries = table.log.iter().zip(0_u64..).skip(start);
                let current =
                    entries.filter(|((at, number), _)| self.mark(table.get(*number)) == *at);
                self.collect(table, current.map(|((_, number), place)| (place, *number)))
            }
            (None, None) => {
                let start = u32::try_from(position).unwrap_or(u32::MAX).min(table.len());
                let rows = (start..table.len()).map(|number| (u64::from(number), number));
                self.collect(table, rows)
            }
        }
    }

    /// The rows in the order of their last change, `position` of them left out. What changes between two
    /// pages moves to the end, and everything behind it moves up by one.
    fn numbered<T>(&self, table: &Table<T>, candidates: Option<Vec<u32>>, position: u64) -> Found {
        let mut rows = candidates.unwrap_or_else(|| (0..table.len()).collect());
        rows.retain(|number| self.belongs(table.get(*number)));
        rows.sort_by_key(|number| (self.mark(table.get(*number)), *number));
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(rows.len());
        let end = rows.len().min(start + self.query.page_size);
        let next = (end < rows.len()).then_some(end as u64);
        (rows[start..end].to_vec(), next)
    }

    /// Whether a row is among those that were asked for.
    fn belongs<T>(&self, row: &Row<T>) -> bool {
        let recent = self
            .query
            .updated_after
            .is_none_or(|after| self.mark(row) > after);
        let shown = self.query.include_deleted || row.deleted == 0;
        recent && shown && !self.renderer.is_gone(row)
    }

    /// What `updated_after` is compared with.
    fn mark<T>(&self, row: &Row<T>) -> i64 {
        if self.loose { row.loose } else { row.strict }
    }

    fn collect<T>(&self, table: &Table<T>, rows: impl Iterator<Item = (u64, u32)>) -> Found {
        let mut numbers = Vec::with_capacity(self.query.page_size);
        for (place, number) in rows {
            if !self.belongs(table.get(number)) {
                continue;
            }
            if numbers.len() == self.query.page_size {
                return (numbers, Some(place));
            }
            numbers.push(number);
        }
        (numbers, None)
    }
}
