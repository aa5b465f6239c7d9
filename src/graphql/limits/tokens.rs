//! Counts a document's tokens before anything parses it.
//!
//! Why apart from the parser: the parser builds a tree of everything first, and recurses as deep as the brackets
//! go. This looks at each byte once, stops at the limit and never recurses. It need not notice every mistake, the
//! parser will, but what the parser would accept it must count right.

/// Brackets within brackets at most, of whatever kind: as deep as the parser may recurse. No setting lifts it.
pub(super) const MOST_NESTED: usize = 64;

/// Bytes of a name at most. No setting lifts it: what is like an unknown name is found by its length squared.
pub(super) const LONGEST_NAME: usize = 200;

/// What the count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// All tokens.
    Tokens(usize),
    /// More tokens than asked to count.
    TooMany,
    /// Brackets within more than [`MOST_NESTED`] others.
    TooDeep,
    /// A name of more than [`LONGEST_NAME`] bytes.
    NameTooLong,
    /// A block string without its end: where it ends is a matter of opinion.
    Unterminated,
}

/// Counts up to `most` tokens.
pub(super) fn count(source: &str, most: usize) -> Counted {
    let mut rest = source.as_bytes();
    let mut tokens = 0;
    let mut nested = 0_usize;
    while let Some(&first) = rest.first() {
        let length = match first {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                rest = &rest[1..];
                continue;
            }
            b'#' => {
                rest = &rest[until(rest, |byte| matches!(byte, b'\n' | b'\r'))..];
                continue;
            }
            // a byte order mark, which counts as a blank
            0xEF if rest.starts_with(b"\xEF\xBB\xBF") => {
                rest = &rest[3..];
                continue;
            }
            b'"' => match text(rest) {
                Some(length) => length,
                None => return Counted::Unterminated,
            },
            b'.' if rest.starts_with(b"...") => 3,
            _ if is_name(first) => {
                let length = until(rest, |byte| !is_name(byte));
                if length > LONGEST_NAME {
                    return Counted::NameTooLong;
                }
                length
            }
            _ => 1,
        };
        match first {
            b'{' | b'(' | b'[' => nested += 1,
            b'}' | b')' | b']' => nested = nested.saturating_sub(1),
            _ => {}
        }
        if nested > MOST_NESTED {
            return Counted::TooDeep;
        }
        tokens += 1;
        if tokens > most {
            return Counted::TooMany;
        }
        rest = &rest[length..];
    }
    Counted::Tokens(tokens)
}

/// Names and numbers; a sign or a point of a number counts for itself, which errs on the safe side.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Bytes before the first that `ends`.
fn until(rest: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    rest.iter()
        .position(|byte| ends(*byte))
        .unwrap_or(rest.len())
}

/// Bytes of the text that begins here; `None`: a block string without an end.
fn text(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"\"\"\"") {
        let mut at = 3;
        while at < rest.len() {
            if rest[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if rest[at..].starts_with(b"\"\"\"") {
                return Some(at + 3);
            } else {
                at += 1;
            }
        }
        return None;
    }
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'"' => return Some(at + 1),
            // no text goes over the end of a line; the parser says so
            b'\n' | b'\r' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_comments_and_commas_are_counted_as_the_language_says() {
        for (source, tokens) in [
            ("", 0),
            ("\u{feff} \t\r\n,,,", 0),
            ("{ users { id } }", 6),
            ("{a,b,c}", 5),
            ("# { a } \n{a}# }", 3),
            ("# to the end", 0),
            (r#"{a(b:"c d { } \" # e")}"#, 8),
            (r#"{a(b:"c")}"#, 8),
            ("{a(b:\"\"\"c \" \"\" \\\"\"\" { # }\n\"\"\")}", 8),
            (r#"{a(b:"")}"#, 8),
            ("{...A ...on B{c}}", 10),
            ("query($a:[Int!]=[1,2]){b}", 18),
        ] {
            assert_eq!(count(source, 100), Counted::Tokens(tokens), "{source}");
        }
    }

    #[test]
    fn counting_ends_at_the_limit() {
        assert_eq!(count("{a b c}", 5), Counted::Tokens(5));
        assert_eq!(count("{a b c}", 4), Counted::TooMany);
        let name = "a".repeat(LONGEST_NAME + 1);
        assert_eq!(count(&name, 4), Counted::NameTooLong);
    }

    #[test]
    fn brackets_of_every_kind_nest() {
        let deep = |kind: &str| count(&kind.repeat(MOST_NESTED + 1), 1000);
        for kind in ["{", "[", "("] {
            assert_eq!(deep(kind), Counted::TooDeep);
        }
        assert_eq!(count(&"{}".repeat(100), 1000), Counted::Tokens(200));
        assert_eq!(count(&"}{".repeat(100), 1000), Counted::Tokens(200));
    }

    // The parser would take an unterminated block string for two texts and go on.
    #[test]
    fn nothing_hides_behind_a_block_string_without_an_end() {
        assert_eq!(
            count("{a(b:[\"\"\"c\"]) {d e f}}", 100),
            Counted::Unterminated
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(source in ".*", most in 0_usize..50) {
            let _ = count(&source, most);
        }

        #[test]
        fn signs_in_any_order_do_not_make_it_panic(source in "[{}()\\[\\]\"\\\\#.a,\n ]*") {
            let _ = count(&source, 1000);
        }
    }
}
