//! One record of a page, read member by member.
//!
//! Lenient where Kombo may vary (absent members, new members, tombstones that kept nothing but their id)
//! and strict where guessing would corrupt: a member of the wrong JSON type makes the record
//! [`Unreadable`], and the caller parks it.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::table::{ColumnKind, Table};

/// Why a record could not be read: names members and types, never values, since it is logged and shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// Read without a fault, and yet the database has no place for it: a number beyond every limit, a
    /// nesting beyond every depth.
    #[must_use]
    pub fn refused() -> Self {
        Self("the database cannot store the record".to_owned())
    }

    /// `member` is not what it should be.
    #[must_use]
    pub fn member(member: &str, expected: &str) -> Self {
        Self(format!("{member} is not {expected}"))
    }
}

/// Kombo's ids have two dozen characters. Postgres refuses an index key beyond some 2,700 bytes, and several
/// ids may share one.
const LONGEST_ID: usize = 512;

/// The members of a JSON object in their order, values still as text.
#[derive(Debug)]
pub struct Record<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Key(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Record)
    }
}

/// Borrows a member's name unless it contains escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Cow<'de, str>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }
        }
        deserializer.deserialize_str(Name).map(Key)
    }
}

/// A value of a row, ready to bind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// For [`ColumnKind::Text`].
    Text(Option<String>),
    /// For [`ColumnKind::Time`].
    Time(Option<DateTime<Utc>>),
    /// For [`ColumnKind::Json`]: the JSON's text.
    Json(Option<String>),
}

/// One row to be: an id and a value for each of its table's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Kombo's id.
    pub id: String,
    /// In the order of [`Table::columns`].
    pub values: Vec<Value>,
    /// Members without a column, as a JSON object's text.
    pub unknown_fields: Option<String>,
    /// Their names.
    pub unknown_names: Vec<String>,
}

impl Row {
    /// A row of which nothing is known; the caller gives it its id.
    #[must_use]
    pub fn empty(table: &Table) -> Self {
        let values = table.columns.iter().map(|column| match column.kind {
            ColumnKind::Text => Value::Text(None),
            ColumnKind::Time => Value::Time(None),
            ColumnKind::Json => Value::Json(None),
        });
        Self {
            id: String::new(),
            values: values.collect(),
            unknown_fields: None,
            unknown_names: Vec::new(),
        }
    }

    /// The text in `column` of this row of `table`.
    #[must_use]
    pub fn text(&self, table: &Table, column: &str) -> Option<&str> {
        match self.values.get(table.position(column)?)? {
            Value::Text(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// `changed_at`, where the table has it.
    #[must_use]
    pub fn changed_at(&self, table: &Table) -> Option<DateTime<Utc>> {
        match self.values.get(table.position("changed_at")?)? {
            Value::Time(time) => *time,
            _ => None,
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// `json` is something else.
    pub fn parse(json: &'a RawValue) -> Result<Self, Unreadable> {
        serde_json::from_str(json.get()).map_err(|_| Unreadable::member("the record", "an object"))
    }

    /// A member's value; null and absent are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    /// The record's id: the only member that even a blanked tombstone must have.
    ///
    /// # Errors
    /// It is absent, empty, no string, or longer than any index takes.
    pub fn id(&self) -> Result<String, Unreadable> {
        self.get("id")
            .and_then(|value| serde_json::from_str::<String>(value.get()).ok())
            .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
            .ok_or_else(|| Unreadable::member("id", "a text of 1 to 512 bytes"))
    }

    /// A nested object.
    ///
    /// # Errors
    /// The member is there and is something else.
    pub fn object(&self, name: &str) -> Result<Option<Record<'a>>, Unreadable> {
        self.get(name)
            .map(|value| Record::parse(value).map_err(|_| Unreadable::member(name, "an object")))
            .transpose()
    }

    /// A nested list of objects; `None` when Kombo sent no list, which says nothing about its entries.
    ///
    /// # Errors
    /// The member is there and is something else.
    pub fn objects(&self, name: &str) -> Result<Option<Vec<Record<'a>>>, Unreadable> {
        self.get(name)
            .map(|value| {
                serde_json::from_str(value.get())
                    .map_err(|_| Unreadable::member(name, "a list of objects"))
            })
            .transpose()
    }

    /// The record as a row of `table`. `nested` names the members that the model reads itself; whatever
    /// is neither there nor a column is kept in `unknown_fields`.
    ///
    /// # Errors
    /// A member has the wrong JSON type.
    pub fn row(&self, table: &Table, nested: &[&str]) -> Result<Row, Unreadable> {
        let values = table
            .columns
            .iter()
            .map(|column| read(self.get(column.name), column.name, column.kind))
            .collect::<Result<_, _>>()?;
        let (unknown_fields, unknown_names) = self.unknown_fields(table, nested);
        Ok(Row {
            id: self.id()?,
            values,
            unknown_fields,
            unknown_names,
        })
    }

    fn unknown_fields(&self, table: &Table, nested: &[&str]) -> (Option<String>, Vec<String>) {
        let mut text = String::new();
        let mut names = Vec::new();
        for (name, value) in &self.0 {
            let known = name == "id" || nested.contains(&&**name) || table.position(name).is_some();
            if known {
                continue;
            }
            names.push(name.clone().into_owned());
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&serde_json::Value::from(&**name).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        ((!text.is_empty()).then(|| text + "}"), names)
    }
}

fn read(value: Option<&RawValue>, name: &str, kind: ColumnKind) -> Result<Value, Unreadable> {
    let text = |expected: &str| {
        value
            .map(|value| {
                serde_json::from_str::<String>(value.get())
                    .map_err(|_| Unreadable::member(name, expected))
            })
            .transpose()
    };
    match kind {
        ColumnKind::Text => Ok(Value::Text(text("a text")?)),
        ColumnKind::Json => Ok(Value::Json(value.map(|value| value.get().to_owned()))),
        ColumnKind::Time => text("a timestamp")?
            .map(|text| parse_time(&text).ok_or_else(|| Unreadable::member(name, "a timestamp")))
            .transpose()
            .map(Value::Time),
    }
}

/// Reads a timestamp of Kombo: ISO 8601 in UTC with milliseconds, as JavaScript writes it. Also accepted:
/// no fraction or more digits, an offset, no zone (UTC), a date alone. The year must have four digits: others
/// have no one form in which Postgres, GraphQL and JavaScript all read and write them.
#[must_use]
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    read_time(text).filter(|time| (1..=9999).contains(&time.year()))
}

fn read_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(time.and_utc());
    }
    let date = NaiveDate::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%d").ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::users;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn every_form_of_a_timestamp_means_the_same_moment() {
        let expected = parse_time("2026-04-02T07:41:12.500Z").unwrap();
        for form in [
            "2026-04-02T07:41:12.5Z",
            "2026-04-02T07:41:12.500000Z",
            "2026-04-02T09:41:12.5+02:00",
            "2026-04-02T07:41:12.5",
        ] {
            assert_eq!(parse_time(form), Some(expected), "{form}");
        }
        assert_eq!(parse_time("2026-04-02"), parse_time("2026-04-02T00:00:00Z"));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(parse_time("-5000-01-01"), None, "Postgres begins later");
        assert_eq!(parse_time("+12026-01-01T00:00:00"), None);
    }

    // F59: members that Kombo adds later are kept.
    #[test]
    fn unknown_members_are_kept_as_they_came() {
        let json = raw(r#"{"id":"1","nick\u006eame":"Ada","level":{"a":[1]},"status":"ON_LEAVE"}"#);
        let row = Record::parse(&json)
            .unwrap()
            .row(&users::USERS, &[])
            .unwrap();
        assert_eq!(
            row.unknown_fields.as_deref(),
            Some(r#"{"nickname":"Ada","level":{"a":[1]}}"#)
        );
        assert_eq!(row.text(&users::USERS, "status"), Some("ON_LEAVE"));
    }

    #[test]
    fn a_tombstone_needs_nothing_but_its_id() {
        let json = raw(r#"{"id":"1","remote_deleted_at":"2026-01-01T00:00:00.000Z"}"#);
        assert!(
            Record::parse(&json)
                .unwrap()
                .row(&users::USERS, &[])
                .is_ok()
        );
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named_without_its_value() {
        let json = raw(r#"{"id":"1","work_email":{"secret":"x"}}"#);
        let error = Record::parse(&json)
            .unwrap()
            .row(&users::USERS, &[])
            .unwrap_err();
        assert_eq!(error.to_string(), "work_email is not a text");
    }
}
