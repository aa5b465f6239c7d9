//! JSON escapes that Postgres cannot store, replaced before anything reads them (F60).
//!
//! Neither `text` nor `jsonb` holds U+0000 or half a surrogate pair, and Kombo passes on what people typed: an
//! organisation's name that was cut in the middle of an emoji is enough. It must change nothing else.

use std::borrow::Cow;

/// What stands for a character that Postgres cannot store, as an escape.
const REPLACEMENT: &str = "\\ufffd";

/// Replaces the JSON escapes that neither `text` nor `jsonb` can hold: `\u0000` and surrogates without
/// their other half (F60). Everything else stays byte for byte.
#[must_use]
pub fn replace_unstorable(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        let start = at + found;
        // the escape's own letter is skipped, so that the second of two backslashes begins nothing
        at = (start + 2).min(bytes.len());
        let Some(unit) = code_unit(bytes, start) else {
            continue;
        };
        at = start + 6;
        let unstorable = match unit {
            0 | 0xdc00..=0xdfff => true,
            0xd800..=0xdbff => match code_unit(bytes, start + 6) {
                Some(0xdc00..=0xdfff) => {
                    at = start + 12;
                    false
                }
                _ => true,
            },
            _ => false,
        };
        if unstorable {
            out.push_str(&json[copied..start]);
            out.push_str(REPLACEMENT);
            copied = start + 6;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The code unit of a `\uXXXX` escape at `start`.
fn code_unit(bytes: &[u8], start: usize) -> Option<u16> {
    let escape = bytes.get(start..start + 6)?;
    if !escape.starts_with(b"\\u") {
        return None;
    }
    let digits = std::str::from_utf8(&escape[2..]).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // F60: neither text nor jsonb can store these.
    #[test]
    fn nul_and_lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, expected) in [
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""\ud800x""#, r#""\ufffdx""#),
            (r#""\udc00""#, r#""\ufffd""#),
            (r#""\ud800\ud800""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ude00\u0000""#, r#""\ud83d\ude00\ufffd""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\u00e9""#, r#""\u00e9""#),
            (r#""\u00""#, r#""\u00""#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(replace_unstorable(json), expected, "{json}");
        }
    }
}
