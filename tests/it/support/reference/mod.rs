//! A second execution of GraphQL, as plain as possible: every row in memory, a loop for every list, no SQL, no cache.
//!
//! It says what an answer must be, so that the server's may be made in whatever clever way. It must know nothing of the
//! server's execution: its sources are the published schema, the rows, and what documentation and schema say of them.
//! A field is the column of its name, a relation the column `…_id`, unless [`fields`] says otherwise, so that most of a
//! new model is known without a word here.

pub(crate) mod data;
mod execute;
mod fields;
mod filter;
pub(crate) mod json;
pub(crate) mod lists;
pub(crate) mod opaque;
mod request;
mod roots;
mod status;
mod summary;

use std::sync::Arc;

pub(crate) use data::World;
pub(crate) use execute::{Asker, Request};
pub(crate) use json::Json;
pub(crate) use opaque::Register;
pub(crate) use request::{Variables, value as resolved};

use super::sdl::Sdl;
use data::Row;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server must refuse it.
    Refused,
    /// The server may answer or refuse: a cursor is used in another list than its own.
    Undecided,
}

pub(crate) type Outcome<T> = Result<T, Trouble>;

/// The schema and the data.
pub(crate) struct Reference {
    pub(crate) sdl: Sdl,
    pub(crate) world: World,
}

/// What a selection is made of.
#[derive(Clone)]
struct Thing {
    ty: String,
    what: What,
}

#[derive(Clone)]
enum What {
    /// A row, or something that looks like one.
    Row(Arc<Row>),
    Page(Arc<lists::Page>),
    Edge(Arc<lists::Page>, usize),
    PageInfo(Arc<lists::Page>),
    Freshness(Arc<lists::Page>),
}

impl Thing {
    fn row(ty: &str, row: Arc<Row>) -> Self {
        let what = What::Row(row);
        Self {
            ty: ty.to_owned(),
            what,
        }
    }
}

/// What a field has.
enum Found {
    Leaf(Json),
    One(Option<Thing>),
    Many(Vec<Option<Thing>>),
}

impl Found {
    fn rows(ty: &str, rows: Vec<Arc<Row>>) -> Self {
        Self::Many(
            rows.into_iter()
                .map(|row| Some(Thing::row(ty, row)))
                .collect(),
        )
    }

    fn row(ty: &str, row: Option<Arc<Row>>) -> Self {
        Self::One(row.map(|row| Thing::row(ty, row)))
    }
}
