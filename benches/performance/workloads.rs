//! The six queries that are measured, each in GraphQL and as one statement written by hand.
//!
//! Both are files beside this one, as a user would write them. The statements know what the server must find out
//! (that there is one integration, how deep the answer is), and Postgres formats their answers.

use std::collections::HashMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::load::{Connection, Requests, post};

/// How many different requests a workload draws from.
const DIFFERENT: usize = 1000;

/// What a page of all records is asked with while cursors are collected.
const LARGEST_PAGE: usize = 500;

/// A query that is measured.
pub(crate) struct Workload {
    /// For people.
    pub(crate) name: &'static str,
    /// In GraphQL.
    pub(crate) query: &'static str,
    /// For pgbench.
    pub(crate) script: &'static str,
    /// What its variables are.
    pub(crate) variables: Variables,
    /// How many records the answer has.
    pub(crate) records: usize,
    /// The ratio to pgbench that is wanted at 16 connections.
    pub(crate) goal: f64,
}

/// What a query is asked with; pgbench draws the same `:number`.
pub(crate) enum Variables {
    /// `$id`: the record of this kind with a number up to this one.
    Record(&'static str, &'static str, u32),
    /// `$after`: the cursor of such a record in a list of all; the list and the kind.
    Place(&'static str, &'static str),
    /// `$after`: the cursor that the nineteenth and the following pages of this list end with.
    Page,
}

macro_rules! workload {
    ($file:literal) => {
        (
            include_str!(concat!("workloads/", $file, ".graphql")),
            include_str!(concat!("workloads/", $file, ".sql")),
        )
    };
}

/// All of them.
pub(crate) fn all() -> Vec<Workload> {
    let workload = |name, (query, script), variables, records, goal| Workload {
        name,
        query,
        script,
        variables,
        records,
        goal,
    };
    use Variables::{Page, Place, Record};
    vec![
        workload(
            "one record by id",
            workload!("one_record"),
            Record("id", "user", 100_000),
            1,
            0.35,
        ),
        workload(
            "50 records, 5 fields",
            workload!("fifty_records"),
            Place("users", "user"),
            50,
            0.60,
        ),
        workload(
            "50 progressions with user, revision, course",
            workload!("nested"),
            Place("courseProgressions", "progression"),
            200,
            0.70,
        ),
        workload(
            "filtered, ordered page of 100 with totalCount",
            workload!("filtered"),
            Record("course", "course", 1000),
            100,
            0.90,
        ),
        workload(
            "one course with revisions, skills, provider",
            workload!("one_course"),
            Record("id", "course", 1000),
            17,
            0.60,
        ),
        workload(
            "page 20 by cursor",
            workload!("page_twenty"),
            Page,
            20,
            0.45,
        ),
    ]
}

/// A request with the number that pgbench's script would draw for the same answer.
pub(crate) struct Asked {
    pub(crate) number: u32,
    pub(crate) body: String,
}

/// Kombo's id of the record of a kind with this number, as `data.sql` makes it.
pub(crate) type Ids<'a> = &'a dyn Fn(&str, &[u32]) -> anyhow::Result<Vec<String>>;

impl Workload {
    /// Requests with different variables.
    pub(crate) fn asked(&self, door: &mut Door, ids: Ids<'_>) -> anyhow::Result<Vec<Asked>> {
        let mut random = fastrand::Rng::with_seed(1);
        let pairs: Vec<(u32, Value)> = match self.variables {
            Variables::Record(variable, kind, count) => {
                let numbers: Vec<u32> = (0..DIFFERENT).map(|_| random.u32(1..=count)).collect();
                let ids = ids(kind, &numbers)?.into_iter();
                numbers
                    .into_iter()
                    .zip(ids.map(|id| json!({ variable: id })))
                    .collect()
            }
            Variables::Place(list, kind) => {
                let numbers: Vec<u32> = (1..=u32::try_from(DIFFERENT)?).collect();
                let ids = ids(kind, &numbers)?;
                let cursors = door.cursors(list)?;
                let found = numbers.into_iter().zip(ids).filter_map(|(number, id)| {
                    Some((number, json!({ "after": cursors.get(&id)? })))
                });
                found.collect()
            }
            Variables::Page => door.pages(self.query)?,
        };
        let asked = pairs.into_iter().map(|(number, variables)| Asked {
            number,
            body: json!({ "query": self.query, "variables": variables }).to_string(),
        });
        Ok(asked.collect())
    }

    /// The same, ready to be sent.
    pub(crate) fn requests(&self, asked: &[Asked], headers: &str) -> Requests {
        Requests {
            texts: asked
                .iter()
                .map(|one| post("/graphql", headers, &one.body))
                .collect(),
            mark: "\"komboId\"".to_owned(),
            marks: Some(self.records),
        }
    }
}

/// The server's door for questions that are not measured.
pub(crate) struct Door {
    pub(crate) connection: Connection,
    pub(crate) headers: String,
}

impl Door {
    /// The `data` of an answer.
    pub(crate) fn ask(&mut self, body: &str) -> anyhow::Result<Value> {
        let request = post("/graphql", &self.headers, body);
        let answer = self.connection.exchange(&request)?;
        let text = String::from_utf8_lossy(answer.body);
        let mut value: Value = serde_json::from_str(&text).with_context(|| text.to_string())?;
        anyhow::ensure!(
            value.get("errors").is_none(),
            "an answer with errors: {text}"
        );
        Ok(value["data"].take())
    }

    /// The cursor of each record of a list of all, by Kombo's id, found by paging through it. The last page is
    /// left out, so that something comes after each.
    fn cursors(&mut self, list: &str) -> anyhow::Result<HashMap<String, String>> {
        let query = format!(
            "query ($after: String) {{ list: {list}(first: {LARGEST_PAGE}, after: $after) \
             {{ edges {{ cursor node {{ komboId }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let mut cursors = HashMap::new();
        let mut after = Value::Null;
        loop {
            let body = json!({ "query": query, "variables": { "after": after } });
            let data = self.ask(&body.to_string())?;
            if data["list"]["pageInfo"]["hasNextPage"] != true {
                return Ok(cursors);
            }
            for edge in data["list"]["edges"].as_array().into_iter().flatten() {
                let (id, cursor) = (&edge["node"]["komboId"], &edge["cursor"]);
                if let (Some(id), Some(cursor)) = (id.as_str(), cursor.as_str()) {
                    cursors.insert(id.to_owned(), cursor.to_owned());
                }
            }
            after = data["list"]["pageInfo"]["endCursor"].clone();
        }
    }

    /// The cursors behind the 19th page and those that follow, with the number of records before them.
    fn pages(&mut self, query: &str) -> anyhow::Result<Vec<(u32, Value)>> {
        let first = query.replace("String!", "String");
        let mut after = Value::Null;
        let mut pages = Vec::new();
        for page in 1..=38 {
            let body = json!({ "query": first, "variables": { "after": after } });
            let data = self.ask(&body.to_string())?;
            after = data["courseProgressions"]["pageInfo"]["endCursor"].clone();
            if page >= 19 {
                pages.push((page * 20, json!({ "after": after })));
            }
        }
        Ok(pages)
    }
}
