//! SQL put together at run time, with its values bound.
//!
//! Why not `diesel::sql_query`: it numbers binds by position and forbids caching the prepared statement.
//! Here a value is bound where the text needs it, in whatever order the parts are composed, and the
//! statements of the write path are prepared once per connection.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz, Untyped};
use tokio_postgres::types::{ToSql, Type};

/// Encloses a bind's index inside the text; SQL itself can contain no NUL.
const MARK: char = '\0';

/// A value to bind, one variant for each Postgres type in use.
#[derive(Debug, Clone)]
enum Bind {
    Text(String),
    BigInt(i64),
    Bool(bool),
    Double(f64),
    Time(Option<DateTime<Utc>>),
    Texts(Vec<String>),
    NullableTexts(Vec<Option<String>>),
    NullableTimes(Vec<Option<DateTime<Utc>>>),
}

/// SQL text with bound values; a value is written into the text as the marker that a bind method returned.
#[derive(Debug, Clone)]
pub struct Statement {
    sql: String,
    binds: Vec<Bind>,
    prepared_once: bool,
}

impl Statement {
    /// A statement whose text differs from call to call (reads planned from a GraphQL query): preparing
    /// each of them for ever would let clients fill the server's memory.
    #[must_use]
    pub fn planned() -> Self {
        Self::new(false)
    }

    /// A statement of which few different texts exist: prepared once per connection.
    #[must_use]
    pub fn fixed() -> Self {
        Self::new(true)
    }

    fn new(prepared_once: bool) -> Self {
        Self {
            sql: String::new(),
            binds: Vec::new(),
            prepared_once,
        }
    }

    /// Appends text.
    pub fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// The text so far, with markers where values are bound.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// How many values are bound so far.
    #[must_use]
    pub fn values(&self) -> usize {
        self.binds.len()
    }

    fn bind(&mut self, value: Bind) -> String {
        self.binds.push(value);
        format!("{MARK}{}{MARK}", self.binds.len() - 1)
    }

    /// Binds a text and returns its marker.
    pub fn text(&mut self, value: impl Into<String>) -> String {
        self.bind(Bind::Text(value.into()))
    }

    /// Binds a bigint and returns its marker.
    pub fn bigint(&mut self, value: i64) -> String {
        self.bind(Bind::BigInt(value))
    }

    /// Binds a boolean and returns its marker.
    pub fn boolean(&mut self, value: bool) -> String {
        self.bind(Bind::Bool(value))
    }

    /// Binds a double and returns its marker.
    pub fn double(&mut self, value: f64) -> String {
        self.bind(Bind::Double(value))
    }

    /// Binds a timestamptz and returns its marker.
    pub fn time(&mut self, value: Option<DateTime<Utc>>) -> String {
        self.bind(Bind::Time(value))
    }

    /// Binds a text array without nulls and returns its marker.
    pub fn texts(&mut self, value: Vec<String>) -> String {
        self.bind(Bind::Texts(value))
    }

    /// Binds a text array and returns its marker.
    pub fn nullable_texts(&mut self, value: Vec<Option<String>>) -> String {
        self.bind(Bind::NullableTexts(value))
    }

    /// Binds a timestamptz array and returns its marker.
    pub fn nullable_times(&mut self, value: Vec<Option<DateTime<Utc>>>) -> String {
        self.bind(Bind::NullableTimes(value))
    }
}

/// A statement as tokio-postgres sends it.
pub(super) struct Wire<'s> {
    /// With `$1`, `$2`, … where values are bound.
    pub(super) sql: String,
    pub(super) values: Vec<(&'s (dyn ToSql + Sync), Type)>,
}

impl Statement {
    /// The same for a connection that is not diesel's.
    ///
    /// # Errors
    /// A marker names no bound value.
    pub(super) fn wire(&self) -> anyhow::Result<Wire<'_>> {
        let mut sql = String::with_capacity(self.sql.len());
        for (position, part) in self.sql.split(MARK).enumerate() {
            if position % 2 == 0 {
                sql.push_str(part);
                continue;
            }
            let index = part.parse::<usize>().ok();
            let index = index.filter(|index| *index < self.binds.len());
            let index = index.ok_or_else(unknown_marker)?;
            // writing to a string cannot fail
            let _ = write!(sql, "${}", index + 1);
        }
        let values = self.binds.iter().map(Bind::wire).collect();
        Ok(Wire { sql, values })
    }
}

impl Bind {
    fn wire(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(value) => (value, Type::TEXT),
            Self::BigInt(value) => (value, Type::INT8),
            Self::Bool(value) => (value, Type::BOOL),
            Self::Double(value) => (value, Type::FLOAT8),
            Self::Time(value) => (value, Type::TIMESTAMPTZ),
            Self::Texts(value) => (value, Type::TEXT_ARRAY),
            Self::NullableTexts(value) => (value, Type::TEXT_ARRAY),
            Self::NullableTimes(value) => (value, Type::TIMESTAMPTZ_ARRAY),
        }
    }
}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.prepared_once {
            out.unsafe_to_cache_prepared();
        }
        for (position, part) in self.sql.split(MARK).enumerate() {
            // text and markers alternate: the split's odd parts are indexes
            if position % 2 == 0 {
                out.push_sql(part);
                continue;
            }
            let bind = part.parse::<usize>().ok().and_then(|i| self.binds.get(i));
            match bind {
                Some(Bind::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                Some(Bind::BigInt(value)) => out.push_bind_param::<BigInt, _>(value)?,
                Some(Bind::Bool(value)) => out.push_bind_param::<Bool, _>(value)?,
                Some(Bind::Double(value)) => out.push_bind_param::<Double, _>(value)?,
                Some(Bind::Time(value)) => {
                    out.push_bind_param::<Nullable<Timestamptz>, _>(value)?;
                }
                Some(Bind::Texts(value)) => out.push_bind_param::<Array<Text>, _>(value)?,
                Some(Bind::NullableTexts(value)) => {
                    out.push_bind_param::<Array<Nullable<Text>>, _>(value)?;
                }
                Some(Bind::NullableTimes(value)) => {
                    out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(value)?;
                }
                None => return Err(unknown_marker()),
            }
        }
        Ok(())
    }
}

fn unknown_marker() -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError("a bind marker names no bound value".into())
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bound_where_its_marker_stands() {
        let mut statement = Statement::fixed();
        let first = statement.text("a");
        let second = statement.bigint(7);
        statement.push(&format!("SELECT {second}, {first}, {second}"));
        let shown = diesel::debug_query::<Pg, _>(&statement).to_string();
        assert!(
            shown.starts_with("SELECT $1, $2, $3 -- binds: [7, \"a\", 7]"),
            "{shown}"
        );
    }
}
