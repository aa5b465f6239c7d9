//! Real bodies, damaged: bytes changed, left out and repeated, and values replaced by hostile ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One damage.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    /// One byte is another.
    Byte(Index, u8),
    /// Some bytes are missing.
    Hole(Index, usize),
    /// Some bytes are there twice.
    Twice(Index, usize),
    /// A value of the JSON text is another.
    Value(Index, &'static str),
    /// It ends here.
    End(Index),
}

/// Values that are JSON, and that nobody expects.
const HOSTILE: [&str; 22] = [
    "null",
    "true",
    "0",
    "-1",
    "1e400000",
    "1e-400000",
    "99999999999999999999999999",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\u{202e}\u{feff}\"",
    "\"+12026-01-01T00:00:00Z\"",
    "\"-5000-01-01\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"9999-12-31T23:59:59.999Z\"",
    "[]",
    "{}",
    "[null]",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    "[{\"id\":\"1\"},{\"id\":\"1\"}]",
    "{\"id\":null,\"id\":\"twice\"}",
];

/// Up to six damages.
pub(super) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let any_damage = prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Hole(at, length)),
        1 => (any::<Index>(), 1..200_usize).prop_map(|(at, length)| Damage::Twice(at, length)),
        8 => (any::<Index>(), select(&HOSTILE[..])).prop_map(|(at, value)| Damage::Value(at, value)),
        1 => any::<Index>().prop_map(Damage::End),
    ];
    vec(any_damage, 0..6)
}

/// Damages that leave JSON what it is.
pub(super) fn replacements() -> impl Strategy<Value = Vec<Damage>> {
    let value = (any::<Index>(), select(&HOSTILE[..]));
    vec(value.prop_map(|(at, value)| Damage::Value(at, value)), 0..6)
}

/// The body after all damages.
pub(super) fn damaged(body: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut body = body.to_vec();
    for damage in damages {
        if body.is_empty() {
            return body;
        }
        let range = |at: &Index, length: usize| {
            let start = at.index(body.len());
            start..(start + length).min(body.len())
        };
        match damage {
            Damage::Byte(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Damage::Hole(at, length) => {
                let range = range(at, *length);
                body.drain(range);
            }
            Damage::Twice(at, length) => {
                let range = range(at, *length);
                let again = body[range.clone()].to_vec();
                body.splice(range.end..range.end, again);
            }
            Damage::Value(at, value) => replace_value(&mut body, at, value),
            Damage::End(at) => body.truncate(at.index(body.len())),
        }
    }
    body
}

/// Replaces what follows some colon, up to the next comma or closing bracket on its level.
fn replace_value(body: &mut Vec<u8>, at: &Index, value: &str) {
    let colons: Vec<usize> = (0..body.len()).filter(|at| body[*at] == b':').collect();
    if colons.is_empty() {
        return;
    }
    let start = at.get(&colons) + 1;
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut end = start;
    while let Some(&byte) = body.get(end) {
        match byte {
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' | b',' if depth == 0 => break,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        end += 1;
    }
    body.splice(start..end, value.bytes());
}
