//! Opaque ids and cursors: both are text that carries what it belongs to, encoded as base64url.
//!
//! Kombo's ids collide across models and integrations, so a node id carries type, integration and id, one a line (no
//! type and no integration id contains a line break: the latter travels in an HTTP header). A cursor is a JSON list of
//! the order it was made under, so that it cannot be used under another one (F19, F67), and of a row's keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of an id or a cursor.
pub(super) fn encode(content: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(content)
}

fn decode(text: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    is_storable(&text).then_some(text)
}

/// Whether Postgres can hold the text: it refuses U+0000, so no row has it in its id.
pub(super) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// What a node id says: the type's name, then its parts.
pub(super) fn read_node_id(id: &str, parts: usize) -> Option<Vec<String>> {
    let text = decode(id)?;
    let read: Vec<String> = text.splitn(parts + 1, '\n').map(str::to_owned).collect();
    (read.len() == parts + 1).then_some(read)
}

/// The cursor of a row whose only key is a number.
pub(super) fn cursor(order: &str, key: i64) -> String {
    encode(format!("[\"{order}\",{key}]").as_bytes())
}

/// The keys of a cursor that was made under `order`; `None` for any other text.
pub(super) fn read_cursor(cursor: &str, order: &str, keys: usize) -> Option<Vec<String>> {
    let values: Vec<serde_json::Value> = serde_json::from_str(&decode(cursor)?).ok()?;
    let mut texts = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    if texts.next()?? != order {
        return None;
    }
    let read: Option<Vec<String>> = texts.collect();
    read.filter(|read| read.len() == keys && read.iter().all(|key| is_storable(key)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    // F19, F67
    #[test]
    fn a_cursor_is_bound_to_its_order() {
        let cursor = encoded(r#"["KOMBO_ID", "a", "b"]"#);
        assert_eq!(
            read_cursor(&cursor, "KOMBO_ID", 2),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(read_cursor(&cursor, "TITLE", 2), None);
        assert_eq!(read_cursor(&cursor, "KOMBO_ID", 1), None);
    }

    #[test]
    fn a_node_id_keeps_line_breaks_of_its_last_part() {
        let id = encoded("User\nsandbox:1\na\nb");
        assert_eq!(
            read_node_id(&id, 2),
            Some(vec![
                "User".to_owned(),
                "sandbox:1".to_owned(),
                "a\nb".to_owned()
            ])
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in ".*") {
            let _ = read_cursor(&text, "KOMBO_ID", 2);
            let _ = read_node_id(&text, 2);
            let _ = read_cursor(&encoded(&text), "KOMBO_ID", 2);
        }
    }
}
