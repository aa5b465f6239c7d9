//! A filter as a client gives it becomes a condition: checked, bounded, and without a trace of GraphQL.
//!
//! Conditions are true or false, never unknown: a null equals nothing, so `eq`, `in`, comparisons and substrings
//! do not match it, while `ne`, `notIn` and `not` are the plain opposites and do. Where a filter looks at several
//! rows (any revision, any skill), the positive tests ask for one that matches, and the opposites for none.

use async_graphql::{Name, Value};
use chrono::{DateTime, NaiveDate, Utc};

use super::ids;
use crate::models::filters::{Compared, Filter};

/// Entries of an `in` list, and of an `and` or `or` list, at most.
const LONGEST_LIST: usize = 500;
/// How deep `and`, `or` and `not` may be nested.
const DEEPEST: usize = 10;
/// Tests of one filter at most.
const MOST_TESTS: usize = 200;

/// What a row must fulfil.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Holds(&'static Filter, Test),
}

/// What is asked of one column.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// Any of these.
    In(Vec<String>),
    StartsWith(String),
    /// Somewhere, in upper or lower case.
    Contains(String),
    /// Compared so with a moment.
    Than(&'static str, DateTime<Utc>),
    IsNull,
    Is(bool),
}

impl Condition {
    /// Whatever the row.
    pub(super) fn always() -> Self {
        Self::All(Vec::new())
    }

    /// Reads a filter input over `filters`.
    ///
    /// # Errors
    /// One sentence that names the member that is wrong.
    pub(super) fn read(filters: &'static [Filter], value: &Value) -> Result<Self, String> {
        Reader { filters, tests: 0 }.condition(value, 0)
    }

    /// Whether nothing is asked.
    pub(super) fn is_always(&self) -> bool {
        matches!(self, Self::All(all) if all.iter().all(Self::is_always))
    }

    /// The tests that hold for every row, whatever else is asked.
    pub(super) fn necessary(&self) -> Vec<(&'static Filter, &Test)> {
        match self {
            Self::All(all) => all.iter().flat_map(Self::necessary).collect(),
            Self::Holds(filter, test) => vec![(filter, test)],
            Self::Any(_) | Self::Not(_) => Vec::new(),
        }
    }

    /// The condition as a text, the same in every process for the same condition.
    pub(super) fn text(&self) -> String {
        let list = |word: &str, conditions: &[Self]| {
            let texts: Vec<String> = conditions.iter().map(Self::text).collect();
            format!("{word}({})", texts.join(","))
        };
        match self {
            Self::All(all) => list("all", all),
            Self::Any(any) => list("any", any),
            Self::Not(inner) => format!("not({})", inner.text()),
            Self::Holds(filter, test) => format!("{}:{test:?}", filter.name),
        }
    }

    /// Decides without a database, for a row whose columns are at hand; `text` gives a column as stored.
    pub(super) fn holds<'r>(
        &self,
        text: &impl Fn(&str) -> Option<&'r str>,
        moment: &impl Fn(&str) -> Option<DateTime<Utc>>,
    ) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(text, moment)),
            Self::Any(any) => any.iter().any(|one| one.holds(text, moment)),
            Self::Not(inner) => !inner.holds(text, moment),
            Self::Holds(filter, test) => {
                let column = filter.compared.column();
                match test {
                    Test::In(values) => {
                        text(column).is_some_and(|text| values.iter().any(|value| value == text))
                    }
                    Test::StartsWith(start) => {
                        text(column).is_some_and(|text| text.starts_with(start.as_str()))
                    }
                    Test::Contains(part) => text(column)
                        .is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase())),
                    Test::Than(comparison, than) => {
                        moment(column).is_some_and(|moment| compare(moment, comparison, *than))
                    }
                    Test::IsNull => text(column).is_none() && moment(column).is_none(),
                    Test::Is(_) => false,
                }
            }
        }
    }
}

fn compare(moment: DateTime<Utc>, comparison: &str, than: DateTime<Utc>) -> bool {
    match comparison {
        "=" => moment == than,
        ">" => moment > than,
        ">=" => moment >= than,
        "<" => moment < than,
        _ => moment <= than,
    }
}

struct Reader {
    filters: &'static [Filter],
    tests: usize,
}

impl Reader {
    fn condition(&mut self, value: &Value, depth: usize) -> Result<Condition, String> {
        if depth > DEEPEST {
            return Err(format!("and, or and not are nested deeper than {DEEPEST}"));
        }
        let members = match value {
            Value::Object(members) => members,
            Value::Null => return Ok(Condition::always()),
            _ => return Err("a filter is an object".to_owned()),
        };
        let mut all = Vec::with_capacity(members.len());
        for (name, value) in members {
            if *value == Value::Null {
                continue;
            }
            all.push(match name.as_str() {
                "and" => Condition::All(self.list(name, value, depth)?),
                "or" => Condition::Any(self.list(name, value, depth)?),
                "not" => Condition::Not(Box::new(self.condition(value, depth + 1)?)),
                _ => self.member(name, value)?,
            });
        }
        Ok(Condition::All(all))
    }

    fn list(&mut self, name: &Name, value: &Value, depth: usize) -> Result<Vec<Condition>, String> {
        items(name, value)?
            .iter()
            .map(|item| self.condition(item, depth + 1))
            .collect()
    }

    fn member(&mut self, name: &Name, value: &Value) -> Result<Condition, String> {
        let filter = self
            .filters
            .iter()
            .find(|filter| filter.name == name.as_str())
            .ok_or_else(|| format!("there is no filter {name}"))?;
        if let (Compared::Flag(_), Value::Boolean(is)) = (&filter.compared, value) {
            return Ok(Condition::Holds(filter, Test::Is(*is)));
        }
        let Value::Object(tests) = value else {
            return Err(format!("{name} is an object such as {{eq: …}}"));
        };
        let mut all = Vec::with_capacity(tests.len());
        for (operator, operand) in tests {
            self.tests += 1;
            if self.tests > MOST_TESTS {
                return Err(format!("a filter has at most {MOST_TESTS} tests"));
            }
            if *operand == Value::Null {
                return Err(format!(
                    "{name}.{operator} is null; leave it out, or use isNull"
                ));
            }
            all.push(test(filter, operator, operand)?);
        }
        Ok(Condition::All(all))
    }
}

fn test(filter: &'static Filter, operator: &Name, operand: &Value) -> Result<Condition, String> {
    let holds = |test| Condition::Holds(filter, test);
    let opposite = |condition| Condition::Not(Box::new(condition));
    let text = || text(filter, operator, operand);
    let is_time = matches!(filter.compared, Compared::Time(_) | Compared::Moment(_));
    Ok(match operator.as_str() {
        "isNull" => {
            let is_null = holds(Test::IsNull);
            match operand {
                Value::Boolean(true) => is_null,
                Value::Boolean(false) => opposite(is_null),
                _ => return Err(format!("{}.isNull is true or false", filter.name)),
            }
        }
        "eq" | "gt" | "gte" | "lt" | "lte" if is_time => {
            let comparison = match operator.as_str() {
                "eq" => "=",
                "gt" => ">",
                "gte" => ">=",
                "lt" => "<",
                _ => "<=",
            };
            holds(Test::Than(comparison, moment(filter, operator, operand)?))
        }
        "eq" => holds(Test::In(storable(vec![text()?]))),
        "ne" => opposite(holds(Test::In(storable(vec![text()?])))),
        "in" => holds(Test::In(texts(filter, operator, operand)?)),
        "notIn" => opposite(holds(Test::In(texts(filter, operator, operand)?))),
        // no row has U+0000
        "startsWith" | "containsIgnoreCase" if !ids::is_storable(&text()?) => {
            Condition::Any(Vec::new())
        }
        "startsWith" => holds(Test::StartsWith(text()?)),
        "containsIgnoreCase" => holds(Test::Contains(text()?)),
        _ => return Err(format!("{} has no test {operator}", filter.name)),
    })
}

fn items<'v>(name: &Name, value: &'v Value) -> Result<&'v [Value], String> {
    let items = match value {
        Value::List(items) => items.as_slice(),
        // a single value stands for a list of it (specification, section 3.11)
        single => std::slice::from_ref(single),
    };
    if items.len() > LONGEST_LIST {
        return Err(format!("{name} has more than {LONGEST_LIST} entries"));
    }
    Ok(items)
}

fn texts(filter: &Filter, operator: &Name, value: &Value) -> Result<Vec<String>, String> {
    let texts: Result<Vec<String>, String> = items(operator, value)?
        .iter()
        .map(|item| text(filter, operator, item))
        .collect();
    texts.map(storable)
}

fn text(filter: &Filter, operator: &Name, value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Enum(word) => word.to_string(),
        // an ID may be given as a number
        Value::Number(number) if matches!(filter.compared, Compared::Id(_)) => number.to_string(),
        _ => return Err(format!("{}.{operator} is no text", filter.name)),
    };
    match &filter.compared {
        Compared::Renamed(_, renamed) => {
            (renamed.stored)(&text).ok_or_else(|| format!("{} knows no {text}", renamed.name))
        }
        _ => Ok(text),
    }
}

/// Without what Postgres cannot hold: no row has it.
fn storable(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| ids::is_storable(text));
    texts
}

fn moment(filter: &Filter, operator: &Name, value: &Value) -> Result<DateTime<Utc>, String> {
    let Value::String(text) = value else {
        return Err(format!("{}.{operator} is no text", filter.name));
    };
    let moment = DateTime::parse_from_rfc3339(text).map_err(|_| {
        format!(
            "{}.{operator} must be a moment such as 2026-01-31T12:00:00Z",
            filter.name
        )
    })?;
    Ok(moment.to_utc().max(earliest()))
}

/// Postgres knows no moment before 4713 BC; what is earlier compares the same with all that can be stored.
fn earliest() -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(-4000, 1, 1)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .unwrap_or_default()
        .and_utc()
}
