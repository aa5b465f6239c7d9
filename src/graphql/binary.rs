//! Values as Postgres sends them in binary, and as JSON shows them.
//!
//! A record says of each column which type it has, so a value is written by its type and nobody has to know it before.
//! Numbers are big-endian; a length of -1 is null (Postgres: `record_send`, `array_send`, and the send function of each
//! type). It must never panic or read beyond what it was given, whatever that is.

use std::io::Write as _;

use chrono::{DateTime, Datelike as _, Timelike as _};

/// Types by their numbers in `pg_type`, which never change.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const JSON: u32 = 114;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const UNKNOWN: u32 = 705;
    pub(super) const TEXT_ARRAY: u32 = 1009;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const JSONB: u32 = 3802;
}

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH: i64 = 946_684_800_000_000;

/// Why an answer cannot be read: a defect of this server or of the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the database's answer ends too early")]
    Short,
    #[error("the database's answer has a value of the type {0}, which is not known")]
    Type(u32),
    #[error("the database's answer has a value that its type cannot have")]
    Value,
}

/// A value and its type.
#[derive(Clone, Copy)]
pub(super) struct Column<'b> {
    ty: u32,
    /// `None`: null.
    pub(super) value: Option<&'b [u8]>,
}

/// The columns of a record, one after the other.
pub(super) struct Record<'b>(Bytes<'b>);

#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(fixed(self.take(4)?)?))
    }

    /// A length and as many bytes; null.
    fn value(&mut self) -> Result<Option<&'b [u8]>, Malformed> {
        match self.number()? {
            u32::MAX => Ok(None),
            length => self.take(length as usize).map(Some),
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::Value)
}

impl<'b> Record<'b> {
    /// Reads a value of a record's type.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut bytes = Bytes(bytes);
        bytes.number()?;
        Ok(Self(bytes))
    }

    pub(super) fn next(&mut self) -> Result<Column<'b>, Malformed> {
        Ok(Column {
            ty: self.0.number()?,
            value: self.0.value()?,
        })
    }

    /// Passes over columns.
    pub(super) fn skip(&mut self, columns: usize) -> Result<(), Malformed> {
        (0..columns).try_for_each(|_| self.next().map(|_| ()))
    }
}

/// The elements of an array of one dimension.
pub(super) fn elements(bytes: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut bytes = Bytes(bytes);
    let dimensions = bytes.number()?;
    bytes.take(8)?;
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    let count = bytes.number()? as usize;
    bytes.take(4)?;
    // what is claimed is not believed: each element has at least its length
    let mut elements = Vec::with_capacity(count.min(bytes.0.len() / 4));
    for _ in 0..count {
        elements.push(bytes.value()?);
    }
    Ok(elements)
}

impl<'b> Column<'b> {
    /// Writes the value as JSON.
    pub(super) fn write(&self, json: &mut Vec<u8>) -> Result<(), Malformed> {
        let Some(value) = self.value else {
            json.extend_from_slice(b"null");
            return Ok(());
        };
        match self.ty {
            oid::TEXT | oid::VARCHAR | oid::NAME | oid::UNKNOWN => write_text(json, text(value)?),
            oid::BOOL => {
                let word: &[u8] = if value == [0] { b"false" } else { b"true" };
                json.extend_from_slice(word);
            }
            oid::INT2 | oid::INT4 | oid::INT8 => write_shown(json, self.integer()?),
            oid::FLOAT8 => write_float(json, f64::from_be_bytes(fixed(value)?)),
            oid::TIMESTAMPTZ => write_moment(json, i64::from_be_bytes(fixed(value)?)),
            oid::JSON => json.extend_from_slice(value),
            // the version of the format comes first
            oid::JSONB => json.extend_from_slice(value.get(1..).ok_or(Malformed::Short)?),
            oid::TEXT_ARRAY => write_texts(json, value)?,
            other => return Err(Malformed::Type(other)),
        }
        Ok(())
    }

    /// The value of a text.
    pub(super) fn text(&self) -> Result<Option<&'b str>, Malformed> {
        self.value.map(text).transpose()
    }

    /// The value of an integer.
    pub(super) fn integer(&self) -> Result<i64, Malformed> {
        let value = self.value.ok_or(Malformed::Value)?;
        match self.ty {
            oid::INT2 => Ok(i16::from_be_bytes(fixed(value)?).into()),
            oid::INT4 => Ok(i32::from_be_bytes(fixed(value)?).into()),
            oid::INT8 => Ok(i64::from_be_bytes(fixed(value)?)),
            other => Err(Malformed::Type(other)),
        }
    }

    /// The value as a part of an id: a text or a number.
    pub(super) fn push_to(&self, id: &mut String) -> Result<(), Malformed> {
        match self.text_or_none() {
            Some(text) => id.push_str(text?),
            None => id.push_str(&self.integer()?.to_string()),
        }
        Ok(())
    }

    fn text_or_none(&self) -> Option<Result<&'b str, Malformed>> {
        let is_text = matches!(self.ty, oid::TEXT | oid::VARCHAR | oid::NAME | oid::UNKNOWN);
        is_text.then(|| text(self.value.unwrap_or_default()))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Value)
}

/// Writes a text with its quotes.
pub(super) fn write_text(json: &mut Vec<u8>, text: &str) {
    // writing to a vector cannot fail
    let _ = serde_json::to_writer(&mut *json, text);
}

fn write_shown(json: &mut Vec<u8>, shown: impl std::fmt::Display) {
    let _ = write!(json, "{shown}");
}

/// JSON has no word for what is not finite.
fn write_float(json: &mut Vec<u8>, float: f64) {
    if float.is_finite() {
        write_shown(json, float);
    } else {
        json.extend_from_slice(b"null");
    }
}

fn write_texts(json: &mut Vec<u8>, value: &[u8]) -> Result<(), Malformed> {
    json.push(b'[');
    for (position, element) in elements(value)?.into_iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        match element {
            Some(bytes) => write_text(json, text(bytes)?),
            None => json.extend_from_slice(b"null"),
        }
    }
    json.push(b']');
    Ok(())
}

/// `MM-DDTHH:MM:SS.` and microseconds.
const DIGITS: usize = 21;

/// Kombo's own form of a moment: UTC with milliseconds and `Z`; microseconds only where there are some.
fn write_moment(json: &mut Vec<u8>, since_2000: i64) {
    let moment = match since_2000 {
        i64::MAX => return json.extend_from_slice(b"\"infinity\""),
        i64::MIN => return json.extend_from_slice(b"\"-infinity\""),
        micros => DateTime::from_timestamp_micros(micros.saturating_add(EPOCH)),
    };
    let Some(moment) = moment else {
        // Postgres holds years that chrono does not
        return json.extend_from_slice(b"null");
    };
    // as Postgres writes a year before the first
    let year = if moment.year() > 0 {
        moment.year()
    } else {
        1 - moment.year()
    };
    let mut digits = [0; DIGITS];
    let fixed = put(
        &mut digits,
        &[
            (moment.month(), 2, b'-'),
            (moment.day(), 2, b'T'),
            (moment.hour(), 2, b':'),
            (moment.minute(), 2, b':'),
            (moment.second(), 2, b'.'),
        ],
    );
    let micros = moment.nanosecond() / 1_000;
    let end = if micros % 1_000 == 0 {
        put_from(&mut digits, fixed, micros / 1_000, 3)
    } else {
        put_from(&mut digits, fixed, micros, 6)
    };
    let _ = write!(json, "\"{year:04}-");
    json.extend_from_slice(&digits[..end]);
    json.extend_from_slice(b"Z\"");
}

/// Numbers of fixed widths, each with what follows it; returns where they end.
fn put(digits: &mut [u8; DIGITS], numbers: &[(u32, usize, u8)]) -> usize {
    let mut at = 0;
    for (number, width, then) in numbers {
        at = put_from(digits, at, *number, *width);
        digits[at] = *then;
        at += 1;
    }
    at
}

fn put_from(digits: &mut [u8; DIGITS], at: usize, mut number: u32, width: usize) -> usize {
    for place in (at..at + width).rev() {
        digits[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    at + width
}
