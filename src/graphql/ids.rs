//! Opaque ids and cursors: both are text that carries what it belongs to, encoded as base64url.
//!
//! Kombo's ids collide across models and integrations, so a node id carries type, integration and id; a
//! cursor carries the order it was made under, so that it cannot be used under another one (F19, F67).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SQL that encodes a text expression as base64url without padding, as [`decode`] reads it. Postgres breaks
/// base64 into lines; `translate` drops the breaks with the padding.
pub(super) fn encode_sql(expression: &str) -> String {
    format!("translate(encode(convert_to({expression}, 'UTF8'), 'base64'), E'+/=\\n', '-_')")
}

fn decode(text: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    is_storable(&text).then_some(text)
}

/// Whether Postgres can hold the text: it refuses U+0000, so no row has it in its id.
pub(super) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// SQL of the node id of a row: type, then `parts`, one a line. No type and no integration id contains a
/// line break (the latter travels in an HTTP header).
pub(super) fn node_id_sql(type_name: &str, parts: &[&str]) -> String {
    let parts: String = parts
        .iter()
        .map(|part| format!(" || E'\\n' || {part}"))
        .collect();
    encode_sql(&format!("'{type_name}'{parts}"))
}

/// What a node id says: the type's name, then its parts.
pub(super) fn read_node_id(id: &str, parts: usize) -> Option<Vec<String>> {
    let text = decode(id)?;
    let read: Vec<String> = text.splitn(parts + 1, '\n').map(str::to_owned).collect();
    (read.len() == parts + 1).then_some(read)
}

/// SQL of a cursor: the order's name and the row's keys under it.
pub(super) fn cursor_sql(order: &str, keys: &[String]) -> String {
    let keys = keys.join(", ");
    encode_sql(&format!("json_build_array('{order}', {keys})::text"))
}

/// The cursor that [`cursor_sql`] makes of one number.
pub(super) fn cursor(order: &str, key: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("[\"{order}\", {key}]"))
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
