//! Values as Postgres sends them in binary, and as JSON shows them.
//!
//! A record says of each column which type it has, so a value is written by its type and nobody has to know it before.
//! Numbers are big-endian; a length of -1 is null (Postgres: `record_send`, `array_send`, and the send function of each
//! type; a moment is microseconds since 2000). It must never panic or read beyond what it was given, whatever that is.

use std::io::Write as _;

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

const MICROS_OF_DAY: i64 = 86_400_000_000;

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

    /// The bytes that another reader, who began here, has passed over.
    fn up_to(self, other: Self) -> &'b [u8] {
        &self.0[..self.0.len() - other.0.len()]
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

/// Records that follow each other, without anything between them. A count of columns of -1 is null.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut rest = Bytes(bytes);
    let mut records = Vec::new();
    while !rest.0.is_empty() {
        let begin = rest;
        let columns = rest.number()?;
        if columns == u32::MAX {
            records.push(None);
            continue;
        }
        for _ in 0..columns {
            rest.take(4)?;
            rest.value()?;
        }
        records.push(Some(begin.up_to(rest)));
    }
    Ok(records)
}

/// The elements of an array of one dimension.
fn elements(bytes: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
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
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    if text.as_bytes().iter().all(is_plain) {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        return;
    }
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
    let micros = match since_2000 {
        i64::MAX => return json.extend_from_slice(b"\"infinity\""),
        i64::MIN => return json.extend_from_slice(b"\"-infinity\""),
        micros => micros,
    };
    let (day, micros) = (
        micros.div_euclid(MICROS_OF_DAY),
        micros.rem_euclid(MICROS_OF_DAY),
    );
    let (year, month, date) = calendar(day);
    // less than a day, so it fits
    let (seconds, micros) = ((micros / 1_000_000) as u32, (micros % 1_000_000) as u32);
    let mut digits = [0; DIGITS];
    let fixed = put(
        &mut digits,
        &[
            (month, 2, b'-'),
            (date, 2, b'T'),
            (seconds / 3600, 2, b':'),
            (seconds / 60 % 60, 2, b':'),
            (seconds % 60, 2, b'.'),
        ],
    );
    let end = if micros.is_multiple_of(1_000) {
        put_from(&mut digits, fixed, micros / 1_000, 3)
    } else {
        put_from(&mut digits, fixed, micros, 6)
    };
    json.push(b'"');
    match u32::try_from(year) {
        Ok(year @ 1..=9999) => {
            let mut digits = [0; DIGITS];
            let end = put_from(&mut digits, 0, year, 4);
            json.extend_from_slice(&digits[..end]);
        }
        // as Postgres writes a year before the first
        _ => write_shown(
            json,
            format_args!("{:04}", if year > 0 { year } else { 1 - year }),
        ),
    }
    json.push(b'-');
    json.extend_from_slice(&digits[..end]);
    json.extend_from_slice(b"Z\"");
}

/// Year, month and day of a day since 2000-01-01. Years begin in March here, so that a leap day is a year's last, and
/// 400 of them always have as many days.
fn calendar(since_2000: i64) -> (i64, u32, u32) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // days since 0000-03-01
    let days = since_2000 + 730_425;
    let (era, day) = (
        days.div_euclid(DAYS_OF_400_YEARS),
        days.rem_euclid(DAYS_OF_400_YEARS),
    );
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    // both are small
    (era * 400 + year + turn, month as u32, date as u32)
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;

    fn moment(since_2000: i64) -> String {
        let mut json = Vec::new();
        write_moment(&mut json, since_2000);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn a_moment_has_milliseconds_and_microseconds_only_where_there_are_some() {
        assert_eq!(moment(0), "\"2000-01-01T00:00:00.000Z\"");
        assert_eq!(moment(-1), "\"1999-12-31T23:59:59.999999Z\"");
        assert_eq!(
            moment(59 * MICROS_OF_DAY + 120_000),
            "\"2000-02-29T00:00:00.120Z\""
        );
        assert_eq!(moment(i64::MAX), "\"infinity\"");
        assert_eq!(
            moment(-730_119 * MICROS_OF_DAY),
            "\"0001-01-01T00:00:00.000Z\""
        );
        assert_eq!(
            moment(-730_120 * MICROS_OF_DAY),
            "\"0001-12-31T00:00:00.000Z\""
        );
    }

    #[test]
    fn an_integer_a_float_and_a_text_are_written_as_json_has_them() {
        for (ty, value, json) in [
            (oid::INT2, &(-7_i16).to_be_bytes()[..], "-7"),
            (
                oid::INT8,
                &i64::MAX.to_be_bytes()[..],
                "9223372036854775807",
            ),
            (oid::FLOAT8, &1.5_f64.to_be_bytes()[..], "1.5"),
            (oid::FLOAT8, &f64::NAN.to_be_bytes()[..], "null"),
            (oid::BOOL, &[1], "true"),
            (oid::TEXT, "a\"\n\u{1}é".as_bytes(), "\"a\\\"\\n\\u0001é\""),
            (oid::JSONB, b"\x01{\"a\": 1}", "{\"a\": 1}"),
        ] {
            let mut written = Vec::new();
            let column = Column {
                ty,
                value: Some(value),
            };
            column.write(&mut written).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), json);
        }
    }

    #[test]
    fn records_are_told_apart_and_null_ones_kept() {
        let one = [0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 1, b'a'];
        let of_null = [0, 0, 0, 1, 0, 0, 0, 25, 255, 255, 255, 255];
        let empty = [0; 4];
        let null = [255; 4];
        let together = [&one[..], &null, &empty, &of_null].concat();
        let expected = vec![Some(&one[..]), None, Some(&empty[..]), Some(&of_null[..])];
        assert_eq!(records(&together).unwrap(), expected);
        assert!(records(&[]).unwrap().is_empty());
        assert!(records(&together[..together.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn a_moment_is_written_as_chrono_writes_it(micros in -63_000_000_000_000_000_i64..252_000_000_000_000_000) {
            let base: DateTime<Utc> = "2000-01-01T00:00:00Z".parse().unwrap();
            let then = base + TimeDelta::microseconds(micros);
            let format = if micros % 1_000 == 0 { SecondsFormat::Millis } else { SecondsFormat::Micros };
            prop_assert_eq!(moment(micros), format!("\"{}\"", then.to_rfc3339_opts(format, true)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), ty in 0_u32..4000) {
            let mut json = Vec::new();
            let _ = elements(&bytes);
            let _ = records(&bytes);
            let _ = Column { ty, value: Some(&bytes) }.write(&mut json);
            if let Ok(mut record) = Record::read(&bytes) {
                while let Ok(column) = record.next() {
                    let _ = column.write(&mut json);
                }
            }
        }
    }
}
