//! What the lists of a model can be filtered and ordered by.
//!
//! Data, like the fields: a filter names what it compares, and the one read path (`graphql/`) makes input types
//! and SQL from it. Every column named here has an index on exactly the key that [`Compared::key`] writes
//! (migration `lists`); one without must not be offered.

use super::object::EnumType;

/// Characters of a text that are in its index; equality beyond is checked on the row.
pub const INDEXED_CHARACTERS: usize = 200;

/// One member of a filter input.
#[derive(Debug)]
pub struct Filter {
    /// Name in GraphQL.
    pub name: &'static str,
    /// Meaning, for the schema.
    pub description: &'static str,
    /// What is compared.
    pub compared: Compared,
    /// Where the column is, if not in the row itself.
    pub via: Option<Via>,
}

/// A column and how it is compared.
#[derive(Debug, Clone, Copy)]
pub enum Compared {
    /// An id: `IDFilter`.
    Id(&'static str),
    /// A text: `StringFilter`.
    Text(&'static str),
    /// A text in which upper and lower case are the same: `StringFilter`.
    TextIgnoringCase(&'static str),
    /// A word of a closed set: the enum's filter.
    Word(&'static str, &'static EnumType),
    /// A word of a closed set that is stored by another name.
    Renamed(&'static str, &'static Renamed),
    /// A timestamp that may be null: `DateTimeFilter`.
    Time(&'static str),
    /// A timestamp that is always there: `DateTimeFilter`.
    Moment(&'static str),
    /// A boolean column, compared with `Boolean`.
    Flag(&'static str),
}

/// An enum whose words are stored by other names.
#[derive(Debug)]
pub struct Renamed {
    /// The enum's name in GraphQL.
    pub name: &'static str,
    /// The stored name of a word.
    pub stored: fn(&str) -> Option<String>,
}

/// A table beside the row's own; the condition holds if it holds for any of its rows.
#[derive(Debug)]
pub struct Via {
    /// The FROM item, with the alias `{v}`.
    pub from: &'static str,
    /// The condition between `{v}` and the row `{t}`; always names `integration_id`.
    pub on: &'static str,
}

/// One way to order a list: a value of its order enum.
#[derive(Debug)]
pub struct Order {
    /// The word, for instance `CHANGED_AT`.
    pub name: &'static str,
    /// Meaning, for the schema.
    pub description: &'static str,
    /// The leading key; Kombo's id follows, so that every row has one place. `None`: Kombo's id alone.
    pub by: Option<Compared>,
}

impl Compared {
    /// The column.
    #[must_use]
    pub fn column(&self) -> &'static str {
        match self {
            Self::Id(column)
            | Self::Text(column)
            | Self::TextIgnoringCase(column)
            | Self::Word(column, _)
            | Self::Renamed(column, _)
            | Self::Time(column)
            | Self::Moment(column)
            | Self::Flag(column) => column,
        }
    }

    /// SQL of what the index holds, over the table `alias`; never null but for ids and words.
    #[must_use]
    pub fn key(&self, alias: &str) -> String {
        match self {
            Self::Text(column) => format!(
                "(left(coalesce({alias}.{column}, ''), {INDEXED_CHARACTERS}) COLLATE \"C\")"
            ),
            Self::TextIgnoringCase(column) => format!(
                "(left(lower(coalesce({alias}.{column}, '')), {INDEXED_CHARACTERS}) COLLATE \"C\")"
            ),
            Self::Time(column) => format!(
                "(CASE WHEN {alias}.{column} IS NULL THEN '-infinity' ELSE {alias}.{column} END)"
            ),
            Self::Id(column)
            | Self::Word(column, _)
            | Self::Renamed(column, _)
            | Self::Moment(column)
            | Self::Flag(column) => format!("{alias}.{column}"),
        }
    }

    /// The key's type in Postgres.
    #[must_use]
    pub fn key_type(&self) -> &'static str {
        match self {
            Self::Time(_) | Self::Moment(_) => "timestamptz",
            _ => "text",
        }
    }
}

/// A column of the row itself.
#[must_use]
pub const fn filter(name: &'static str, description: &'static str, compared: Compared) -> Filter {
    Filter {
        name,
        description,
        compared,
        via: None,
    }
}

/// An id.
#[must_use]
pub const fn id_filter(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::Id(column))
}

/// A text.
#[must_use]
pub const fn text_filter(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::Text(column))
}

/// A text in which upper and lower case are the same.
#[must_use]
pub const fn caseless_filter(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::TextIgnoringCase(column))
}

/// A word of Kombo's, named like its column.
#[must_use]
pub const fn word_filter(
    name: &'static str,
    words: &'static EnumType,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::Word(name, words))
}

/// A timestamp that may be null.
#[must_use]
pub const fn time_filter(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::Time(column))
}

/// A timestamp that is always there.
#[must_use]
pub const fn moment_filter(
    name: &'static str,
    column: &'static str,
    description: &'static str,
) -> Filter {
    filter(name, description, Compared::Moment(column))
}

impl Filter {
    /// The same about another table's rows.
    #[must_use]
    pub const fn of_any(self, from: &'static str, on: &'static str) -> Self {
        Self {
            name: self.name,
            description: self.description,
            compared: self.compared,
            via: Some(Via { from, on }),
        }
    }
}

/// The integration that a row belongs to.
pub const INTEGRATION_KOMBO_ID: Filter = id_filter(
    "integrationKomboId",
    "integration_id",
    "Kombo's id of the integration.",
);

/// Kombo's id, wherever there is one.
pub const KOMBO_ID: Filter = id_filter("komboId", "id", "Kombo's id.");

/// The learning system's id, wherever there is one.
pub const REMOTE_ID: Filter = text_filter("remoteId", "remote_id", "Id in the learning system.");

/// `changedAt`, wherever there is one.
pub const CHANGED_AT: Filter = time_filter("changedAt", "changed_at", "Kombo's `changed_at`.");

/// By Kombo's id: the order of every list that asks for no other.
pub const BY_KOMBO_ID: Order = Order {
    name: "KOMBO_ID",
    description: "Kombo's id, by code point.",
    by: None,
};

/// By `changedAt`.
pub const BY_CHANGED_AT: Order = Order {
    name: "CHANGED_AT",
    description: "Kombo's `changed_at`; null is the smallest.",
    by: Some(Compared::Time("changed_at")),
};

/// An order by a text column.
#[must_use]
pub const fn by_text(name: &'static str, column: &'static str, description: &'static str) -> Order {
    Order {
        name,
        description,
        by: Some(Compared::Text(column)),
    }
}

/// An order by a timestamp column.
#[must_use]
pub const fn by_time(name: &'static str, column: &'static str, description: &'static str) -> Order {
    Order {
        name,
        description,
        by: Some(Compared::Time(column)),
    }
}
