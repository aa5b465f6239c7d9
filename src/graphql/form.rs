//! How a statement's binary answer becomes JSON: the other half of a plan.
//!
//! Why not JSON from Postgres: making it costs the database several times what reading the rows costs, and it is the
//! database that all requests share. A [`Part`] is what a piece of the selection needs: SQL of some columns, and the
//! [`Form`] that writes them. Forms read the columns in the order in which the plan wrote them, so nothing is looked up
//! by name for a row. It must never decide what is shown: a form only writes.

use super::binary::{self, Column, Malformed, Record, write_text};
use super::ids;
use super::page::PageForm;

/// Columns of a row, and how they are written.
pub(super) struct Part<'q> {
    pub(super) columns: Vec<String>,
    pub(super) form: Form<'q>,
}

/// How columns are written. Each form reads as many columns as its [`Part`] has.
pub(super) enum Form<'q> {
    /// A value by its type.
    Plain,
    /// The same whatever the row is; no column.
    Constant(String),
    /// A word of a closed set; what is not in it reads as UNKNOWN.
    Word(&'static [(&'static str, &'static str)]),
    /// The opaque id of the row: so many columns make it unique within its type.
    NodeId {
        type_name: &'static str,
        parts: usize,
    },
    /// Members, each with its own columns.
    Object(Vec<(&'q str, Form<'q>)>),
    /// A record, or null.
    Record(Box<Form<'q>>),
    /// Records, one after the other.
    List(Box<Form<'q>>),
    /// A number that says which form the rest has.
    Choice(Vec<Form<'q>>),
    /// A page of a list.
    Page(Box<PageForm<'q>>),
    /// A column that stops the statement or says nothing, and the rest.
    Checked(Box<Form<'q>>),
}

/// SQL of all records of a query as one value, which [`binary::records`] reads.
///
/// Why not an array: Postgres takes a kilobyte for each value that it sends, and gives it back with the row. An array's
/// elements are all of one row, the statement's, so that fifty small records cost half a megabyte; an aggregate sends
/// each record while its own row is at hand.
pub(super) fn records(row: &str) -> String {
    format!("string_agg(coalesce(record_send({row}), int4send(-1)), '')")
}

impl<'q> Part<'q> {
    /// A value that is written by its type.
    pub(super) fn plain(sql: impl Into<String>) -> Self {
        Self {
            columns: vec![sql.into()],
            form: Form::Plain,
        }
    }

    /// A text that no row changes.
    pub(super) fn constant(text: &str) -> Self {
        let mut json = Vec::new();
        write_text(&mut json, text);
        Self {
            columns: Vec::new(),
            form: Form::Constant(String::from_utf8_lossy(&json).into_owned()),
        }
    }

    /// An object.
    pub(super) fn object(members: Vec<(&'q str, Self)>) -> Self {
        let mut columns = Vec::new();
        let mut forms = Vec::with_capacity(members.len());
        for (name, part) in members {
            columns.extend(part.columns);
            forms.push((name, part.form));
        }
        Self {
            columns,
            form: Form::Object(forms),
        }
    }

    /// `of` as a record: SQL whose only value is the row of its columns, or null.
    pub(super) fn record(sql: String, of: Form<'q>) -> Self {
        Self {
            columns: vec![sql],
            form: Form::Record(Box::new(of)),
        }
    }

    /// Several of them: a query whose only column is the row of `of`.
    pub(super) fn list(query: &str, of: Form<'q>) -> Self {
        Self {
            columns: vec![format!(
                "(SELECT {} FROM ({query}) l(row))",
                records("l.row")
            )],
            form: Form::List(Box::new(of)),
        }
    }

    /// The same as one of several: its form joins theirs, and a first column says which it is.
    pub(super) fn chosen(mut self, forms: &mut Vec<Form<'q>>) -> Vec<String> {
        self.columns.insert(0, forms.len().to_string());
        forms.push(self.form);
        self.columns
    }

    /// The same behind a condition: `check` stops the statement where it must.
    pub(super) fn checked(mut self, check: String) -> Self {
        self.columns.insert(0, check);
        Self {
            columns: self.columns,
            form: Form::Checked(Box::new(self.form)),
        }
    }
}

impl Form<'_> {
    /// Writes the next columns of a record.
    ///
    /// # Errors
    /// The record is not of this form.
    pub(super) fn write(
        &self,
        json: &mut Vec<u8>,
        columns: &mut Record<'_>,
    ) -> Result<(), Malformed> {
        match self {
            Self::Plain => columns.next()?.write(json),
            Self::Constant(text) => {
                json.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Self::Word(known) => write_word(json, columns.next()?, known),
            Self::NodeId { type_name, parts } => write_node_id(json, columns, type_name, *parts),
            Self::Object(members) => write_object(json, members, |json, form: &Form<'_>| {
                form.write(json, columns)
            }),
            Self::Record(form) => form.write_record(json, columns.next()?.value),
            Self::List(form) => form.write_list(json, columns.next()?),
            Self::Choice(forms) => {
                let which = usize::try_from(columns.next()?.integer()?);
                let form = which.ok().and_then(|which| forms.get(which));
                form.ok_or(Malformed::Value)?.write(json, columns)
            }
            Self::Page(form) => form.write(json, columns),
            Self::Checked(form) => {
                columns.skip(1)?;
                form.write(json, columns)
            }
        }
    }

    /// Whether an answer of this form has any number of records.
    pub(super) fn has_lists(&self) -> bool {
        match self {
            Self::Plain | Self::Constant(_) | Self::Word(_) | Self::NodeId { .. } => false,
            Self::List(_) | Self::Page(_) => true,
            Self::Object(members) => members.iter().any(|(_, form)| form.has_lists()),
            Self::Choice(forms) => forms.iter().any(Self::has_lists),
            Self::Record(form) | Self::Checked(form) => form.has_lists(),
        }
    }

    /// Writes a record of this form, or null.
    ///
    /// # Errors
    /// As [`Form::write`].
    pub(super) fn write_record(
        &self,
        json: &mut Vec<u8>,
        record: Option<&[u8]>,
    ) -> Result<(), Malformed> {
        match record {
            Some(record) => self.write(json, &mut Record::read(record)?),
            None => {
                json.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn write_list(&self, json: &mut Vec<u8>, list: Column<'_>) -> Result<(), Malformed> {
        let records = binary::records(list.value.unwrap_or_default())?;
        write_items(json, records, |json, record| {
            self.write_record(json, record)
        })
    }
}

/// Writes a JSON object whose members' names are GraphQL names, which have nothing that JSON escapes.
pub(super) fn write_object<M>(
    json: &mut Vec<u8>,
    members: &[(&str, M)],
    mut write: impl FnMut(&mut Vec<u8>, &M) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    json.push(b'{');
    for (position, (name, member)) in members.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(b"\":");
        write(json, member)?;
    }
    json.push(b'}');
    Ok(())
}

/// Writes a JSON list.
pub(super) fn write_items<I>(
    json: &mut Vec<u8>,
    items: impl IntoIterator<Item = I>,
    mut write: impl FnMut(&mut Vec<u8>, I) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    json.push(b'[');
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        write(json, item)?;
    }
    json.push(b']');
    Ok(())
}

fn write_word(
    json: &mut Vec<u8>,
    column: Column<'_>,
    known: &[(&str, &str)],
) -> Result<(), Malformed> {
    match column.text()? {
        Some(word) if !known.iter().any(|(known, _)| *known == word) => write_text(json, "UNKNOWN"),
        _ => return column.write(json),
    }
    Ok(())
}

fn write_node_id(
    json: &mut Vec<u8>,
    columns: &mut Record<'_>,
    type_name: &str,
    parts: usize,
) -> Result<(), Malformed> {
    let mut id = type_name.to_owned();
    for _ in 0..parts {
        id.push('\n');
        columns.next()?.push_to(&mut id)?;
    }
    write_text(json, &ids::encode(id.as_bytes()));
    Ok(())
}
