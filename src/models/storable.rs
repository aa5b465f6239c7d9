//! What Postgres can hold of what JSON can say.
//!
//! JSON has no limits; `jsonb`, an index entry and a timestamp have. A value beyond them would fail the
//! statement of its whole page, again at every try, so it is told apart before Postgres is asked and its
//! record is parked (rule 14). Must never refuse what a real system sends.

use chrono::{DateTime, Datelike as _, Utc};

/// Bytes of an id, at most: three of them (the key of a skill assignment) are one entry of an index, which
/// holds 2,704. Kombo's have 24.
pub const LONGEST_ID: usize = 800;

/// Lists and objects within each other, at most: Postgres reads JSON by recursion on a stack of 2 MB.
pub const DEEPEST_JSON: usize = 500;

/// Digits of a number with its exponent written out, at most: `jsonb` keeps numbers exactly, with up to
/// 16,383 digits after the point. Those of other readers end at 10^308.
pub const LONGEST_NUMBER: usize = 16_000;

/// Whether an id can be part of an index entry.
#[must_use]
pub fn is_storable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID
}

/// Whether a moment has a year of four digits, as every form of it that is written has.
#[must_use]
pub fn is_storable_time(time: DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

/// Whether `jsonb` can hold a JSON text; of a text that is no JSON nothing is said.
#[must_use]
pub fn is_storable_json(json: &str) -> bool {
    let bytes = json.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST_JSON {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let length = length_of_number(&bytes[at..]);
                if !is_storable_number(&bytes[at..at + length]) {
                    return false;
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    true
}

/// The position of the quote that ends the text which begins at `start`.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn length_of_number(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    bytes.iter().take_while(|byte| is_part(byte)).count()
}

fn is_storable_number(number: &[u8]) -> bool {
    let exponent = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let Some(exponent) = exponent else {
        return number.len() <= LONGEST_NUMBER;
    };
    // an exponent too long to read is too large, unless it is zeros
    let written_out = std::str::from_utf8(&number[exponent + 1..])
        .ok()
        .and_then(|digits| digits.parse::<i32>().ok())
        .map(|digits| digits.unsigned_abs() as usize);
    written_out.is_some_and(|digits| exponent.saturating_add(digits) <= LONGEST_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_only_json_can_say_are_told_apart() {
        for fine in [
            "0",
            "-12.5e10",
            "1e308",
            "1E-324",
            "[1e+5,2]",
            r#"{"1e400000":"1e400000"}"#,
            r#""\"1e400000""#,
        ] {
            assert!(is_storable_json(fine), "{fine}");
        }
        for beyond in [
            "1e400000",
            "-1e-400000",
            "[1,{\"a\":9e99999999999999999999}]",
        ] {
            assert!(!is_storable_json(beyond), "{beyond}");
        }
        assert!(!is_storable_json(&"9".repeat(LONGEST_NUMBER + 1)));
    }

    #[test]
    fn depth_is_counted_and_breadth_is_not() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_storable_json(&nested(DEEPEST_JSON)));
        assert!(!is_storable_json(&nested(DEEPEST_JSON + 1)));
        assert!(is_storable_json(&format!("[{}1]", "[1],".repeat(10_000))));
        assert!(is_storable_json(&format!("\"{}\"", "[".repeat(10_000))));
    }

    #[test]
    fn what_is_cut_off_does_not_disturb_the_reader() {
        for text in ["\"", "\"\\", "-", "1e", "]]", ""] {
            let _ = is_storable_json(text);
        }
        assert!(!is_storable_id(""));
        assert!(!is_storable_id(&"x".repeat(LONGEST_ID + 1)));
    }
}
