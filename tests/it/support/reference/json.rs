//! JSON as it stands in an answer: members in their order, numbers as they are written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::opaque::Opaque;

/// A value, of which nothing is lost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A text that the server may choose, as long as it always stands for this; only in what the reference says.
    Opaque(Opaque),
}

/// The members of an object in their order; two of one name stay two.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Json {
    /// Reads a text.
    ///
    /// # Panics
    /// It is no JSON.
    pub(crate) fn read(text: &str) -> Self {
        Self::try_read(text).unwrap_or_else(|error| panic!("no JSON: {error}: {text}"))
    }

    fn try_read(text: &str) -> serde_json::Result<Self> {
        let text = text.trim();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let members = members
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::try_read(value.get())?)));
                Self::Object(members.collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let items: Vec<Box<RawValue>> = serde_json::from_str(text)?;
                let items = items.iter().map(|item| Self::try_read(item.get()));
                Self::List(items.collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'n') => serde_json::from_str::<()>(text).map(|()| Self::Null)?,
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            _ => {
                serde_json::from_str::<serde_json::Number>(text)?;
                Self::Number(text.to_owned())
            }
        })
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn number(number: impl fmt::Display) -> Self {
        Self::Number(number.to_string())
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter();
                members.find(|(known, _)| known == name).map(|one| &one.1)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::List(items) => {
                for (position, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if position == 0 { "[" } else { ", " })?;
                }
                f.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Self::Object(members) => {
                for (position, (name, value)) in members.iter().enumerate() {
                    let before = if position == 0 { "{" } else { ", " };
                    write!(f, "{before}\"{name}\": {value}")?;
                }
                f.write_str(if members.is_empty() { "{}" } else { "}" })
            }
            Self::Opaque(opaque) => write!(f, "<{opaque:?}>"),
        }
    }
}
