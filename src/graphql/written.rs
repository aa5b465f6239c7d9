//! Answers as text: what Postgres wrote is copied, not read again.
//!
//! Why: the library's own way parses such a text once more, to be sure that it is JSON. It must never be used for
//! what a client sent.

use async_graphql::{Response, Value};

use super::read;

/// The JSON of an answer whose members are all Postgres's own texts or null; `None` for any other, which the library
/// writes.
pub(crate) fn copied(response: &Response) -> Option<String> {
    let Value::Object(members) = &response.data else {
        return None;
    };
    let texts: Option<Vec<(&str, &str)>> = members
        .iter()
        .map(|(name, value)| Some((name.as_str(), text(value)?)))
        .collect();
    let texts = texts.filter(|texts| !texts.is_empty() && response.errors.is_empty())?;
    let length = |(name, text): &(&str, &str)| name.len() + text.len() + 4;
    let mut json = String::with_capacity(16 + texts.iter().map(length).sum::<usize>());
    for (position, (name, text)) in texts.into_iter().enumerate() {
        json.push_str(if position == 0 {
            "{\"data\":{\""
        } else {
            ",\""
        });
        // a name of GraphQL has nothing that JSON escapes
        json.push_str(name);
        json.push_str("\":");
        json.push_str(text);
    }
    json.push_str("}}");
    Some(json)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Null => Some("null"),
        other => read::written(other),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Name, ServerError};

    use super::*;

    #[test]
    fn an_answer_is_written_as_the_library_would_write_it() {
        let data = Value::Object(
            [
                ("a", read::raw(r#"{"b":[1,"é\n"]}"#.to_owned())),
                ("c", Value::Null),
                ("e", read::raw("null".to_owned())),
            ]
            .map(|(name, value)| (Name::new(name), value))
            .into_iter()
            .collect(),
        );
        let mut answer = Response::new(data);
        let library = serde_json::to_string(&answer).unwrap();
        assert_eq!(copied(&answer), Some(library));
        answer.errors.push(ServerError::new("no", None));
        assert_eq!(copied(&answer), None);
    }

    #[test]
    fn what_postgres_did_not_write_is_left_to_the_library() {
        for data in [Value::Null, Value::Object(Default::default())] {
            assert_eq!(copied(&Response::new(data)), None);
        }
        let name = [(Name::new("__typename"), Value::from("Query"))];
        let data = Value::Object(name.into_iter().collect());
        assert_eq!(copied(&Response::new(data)), None);
    }
}
