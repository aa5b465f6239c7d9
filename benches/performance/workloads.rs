//! The six queries that are measured, each in GraphQL and as one statement written by hand.
//!
//! Both are files beside this one, as a user would write them. The statements know what the server must find out
//! (that there is one integration, how deep the answer is), and Postgres formats their answers.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::load::{Connection, Requests, Source, post};
use crate::postgres::Session;

/// How many different requests a workload draws from.
const DIFFERENT: u32 = 1000;

/// The page that is asked for by its cursor, and the last of those that follow.
const PAGES: std::ops::RangeInclusive<u32> = 20..=39;
/// Records of each.
const PAGE: u32 = 20;

/// A text in the words of each schema.
#[derive(Clone, Copy)]
pub(crate) struct Texts {
    ours: &'static str,
    postgraphile: &'static str,
}

macro_rules! texts {
    ($file:literal) => {
        Texts {
            ours: include_str!(concat!("workloads/", $file, ".graphql")),
            postgraphile: include_str!(concat!(
                "../peers/postgraphile/queries/",
                $file,
                ".graphql"
            )),
        }
    };
}

macro_rules! script {
    ($file:literal) => {
        include_str!(concat!("workloads/", $file, ".sql"))
    };
}

/// Whose schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// The mirror's; the server written by hand for Node speaks it, too.
    Ours,
    /// What PostGraphile makes of the tables, with aliases so that the answers look alike.
    Postgraphile,
}

/// A query that is measured.
pub(crate) struct Workload {
    /// For people.
    pub(crate) name: &'static str,
    /// In GraphQL.
    query: Texts,
    /// For pgbench.
    pub(crate) script: &'static str,
    /// What its variables are.
    variables: Variables,
    /// How many records the answer has.
    records: usize,
    /// The ratio to pgbench that is wanted at 16 connections.
    pub(crate) goal: f64,
    /// How many times the best peer is wanted.
    pub(crate) goal_beside_peers: f64,
}

/// What a query is asked with; pgbench draws the same `:number`.
enum Variables {
    /// The variable's name, and the record of this kind with a number up to this one.
    Record(&'static str, &'static str, u32),
    /// `$after`: the cursor of such a record in a list of all; the list and the kind.
    Place(Texts, &'static str),
    /// `$after`: the cursor before one of [`PAGES`].
    Page,
}

/// All of them.
pub(crate) fn all() -> Vec<Workload> {
    let users = texts!("all_users");
    let progressions = texts!("all_progressions");
    vec![
        Workload {
            name: "one record by id",
            query: texts!("one_record"),
            script: script!("one_record"),
            variables: Variables::Record("id", "user", 100_000),
            records: 1,
            goal: 0.35,
            goal_beside_peers: 2.5,
        },
        Workload {
            name: "50 records, 5 fields",
            query: texts!("fifty_records"),
            script: script!("fifty_records"),
            variables: Variables::Place(users, "user"),
            records: 50,
            goal: 0.60,
            goal_beside_peers: 2.0,
        },
        Workload {
            name: "50 progressions with user, revision, course",
            query: texts!("nested"),
            script: script!("nested"),
            variables: Variables::Place(progressions, "progression"),
            records: 4 * 50,
            goal: 0.70,
            goal_beside_peers: 2.5,
        },
        Workload {
            name: "filtered, ordered page of 100 with totalCount",
            query: texts!("filtered"),
            script: script!("filtered"),
            variables: Variables::Record("course", "course", 1000),
            records: 100,
            goal: 0.90,
            goal_beside_peers: 1.7,
        },
        Workload {
            name: "one course with revisions, skills, provider",
            query: texts!("one_course"),
            script: script!("one_course"),
            variables: Variables::Record("id", "course", 1000),
            records: 1 + 1 + 3 + 3 * 4,
            goal: 0.60,
            goal_beside_peers: 3.0,
        },
        Workload {
            name: "page 20 by cursor",
            query: texts!("page_twenty"),
            script: script!("page_twenty"),
            variables: Variables::Page,
            records: PAGE as usize,
            goal: 0.45,
            goal_beside_peers: 1.6,
        },
    ]
}

/// A request, and the number that pgbench's script would draw for the same answer.
pub(crate) struct Asked {
    pub(crate) number: u32,
    pub(crate) body: String,
}

impl Texts {
    fn of(self, words: Words) -> &'static str {
        match words {
            Words::Ours => self.ours,
            Words::Postgraphile => self.postgraphile,
        }
    }
}

impl Workload {
    /// Requests with different variables.
    pub(crate) fn asked(
        &self,
        door: &mut Door,
        words: Words,
        session: &Session<'_>,
    ) -> anyhow::Result<Vec<Asked>> {
        let query = self.query.of(words);
        let pairs = match self.variables {
            Variables::Record(variable, kind, count) => {
                let mut random = fastrand::Rng::with_seed(1);
                let numbers: Vec<u32> = (0..DIFFERENT).map(|_| random.u32(1..=count)).collect();
                let ids = ids(session, kind, &numbers)?.into_iter();
                let variables = ids.map(|id| json!({ variable: id }));
                numbers.into_iter().zip(variables).collect()
            }
            Variables::Place(list, kind) => {
                let numbers: Vec<u32> = (1..=DIFFERENT).collect();
                let ids = ids(session, kind, &numbers)?;
                let cursors = door.cursors(list.of(words))?;
                let all = numbers.into_iter().zip(ids);
                let found = all.filter_map(|(number, id)| {
                    Some((number, json!({ "after": cursors.get(&id)? })))
                });
                found.collect()
            }
            Variables::Page => door.pages(query)?,
        };
        ensure!(!pairs.is_empty(), "there is nothing to ask for");
        let asked = pairs.into_iter().map(|(number, variables)| Asked {
            number,
            body: json!({ "query": query, "variables": variables }).to_string(),
        });
        Ok(asked.collect())
    }

    /// The same, ready to be sent.
    pub(crate) fn requests(&self, asked: &[Asked], headers: &str) -> Requests {
        let posts = asked.iter().map(|one| post("/graphql", headers, &one.body));
        Requests {
            source: Source::Any(posts.collect()),
            mark: "\"komboId\"".to_owned(),
            marks: Some(self.records),
        }
    }

    /// The statement of pgbench's script for one number.
    pub(crate) fn statement(&self, number: u32) -> String {
        let lines = self.script.lines().filter(|line| !line.starts_with('\\'));
        let sql: Vec<&str> = lines.collect();
        sql.join("\n").replace(":number", &number.to_string())
    }
}

/// Kombo's ids of records of a kind, as `data.sql` makes them.
fn ids(session: &Session<'_>, kind: &str, numbers: &[u32]) -> anyhow::Result<Vec<String>> {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    session.texts(&format!(
        "SELECT substr(md5('{kind}' || n), 1, 24) \
         FROM unnest(ARRAY[{}]) WITH ORDINALITY AS a (n, place) ORDER BY place",
        numbers.join(",")
    ))
}

/// A server's door for questions that are not measured.
pub(crate) struct Door {
    pub(crate) connection: Connection,
    pub(crate) headers: String,
}

impl Door {
    /// The `data` of an answer.
    ///
    /// # Errors
    /// The answer has errors.
    pub(crate) fn ask(&mut self, body: &str) -> anyhow::Result<Value> {
        let request = post("/graphql", &self.headers, body);
        let answer = self.connection.exchange(&request)?;
        let text = String::from_utf8_lossy(answer.body);
        let mut value: Value = serde_json::from_str(&text).with_context(|| text.to_string())?;
        ensure!(
            value.get("errors").is_none(),
            "an answer with errors: {text}"
        );
        Ok(value["data"].take())
    }

    /// The cursor of each record of a list of all, by Kombo's id, found by paging through it. The last page is
    /// left out, so that a whole page comes after each.
    fn cursors(&mut self, query: &str) -> anyhow::Result<HashMap<String, String>> {
        let mut cursors = HashMap::new();
        let mut after = Value::Null;
        loop {
            let body = json!({ "query": query, "variables": { "after": after } });
            let list = self.ask(&body.to_string())?["list"].take();
            if list["pageInfo"]["hasNextPage"] != true {
                return Ok(cursors);
            }
            for edge in list["edges"].as_array().into_iter().flatten() {
                if let (Some(id), Some(cursor)) =
                    (edge["node"]["komboId"].as_str(), edge["cursor"].as_str())
                {
                    cursors.insert(id.to_owned(), cursor.to_owned());
                }
            }
            after = list["pageInfo"]["endCursor"].clone();
        }
    }

    /// The cursors before [`PAGES`], found by paging to them, each with the number of records before it.
    fn pages(&mut self, query: &str) -> anyhow::Result<Vec<(u32, Value)>> {
        // the first page has no cursor before it
        let query = query.replace("!) {", ") {");
        let mut after = Value::Null;
        let mut pages = Vec::new();
        for page in 1..=*PAGES.end() {
            let variables = json!({ "after": after });
            let body = json!({ "query": query, "variables": variables }).to_string();
            if PAGES.contains(&page) {
                pages.push(((page - 1) * PAGE, variables));
            }
            after = self.ask(&body)?["courseProgressions"]["pageInfo"]["endCursor"].take();
        }
        Ok(pages)
    }
}
