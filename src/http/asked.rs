//! From a body or a query string to a GraphQL request, by the letter of GraphQL over HTTP: members of the right
//! types, unknown ones ignored. It must never look into what is asked.

use async_graphql::{Request, Variables};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::graphql::DocumentId;

/// What is wrong with a request, as a sentence for its sender.
pub(super) type Malformed = String;

/// Reads a body.
pub(super) fn by_post(body: &[u8]) -> Result<Request, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    // some editors put a byte order mark before what they send; RFC 8259 lets a reader skip it
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err("the body is empty; send a JSON object with query".to_owned());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => request(members),
        Ok(Value::Array(_)) => {
            Err("requests cannot be sent in batches; send each by itself".to_owned())
        }
        Ok(_) => Err("the body must be a JSON object".to_owned()),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

/// Reads a query string. A member with an empty value counts as missing.
pub(super) fn by_get(query_string: &str) -> Result<Request, Malformed> {
    let mut members = Map::new();
    for pair in query_string.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        if value.is_empty() {
            continue;
        }
        let value = match name.as_str() {
            "query" | "operationName" | "documentId" | "id" => Value::String(value),
            "variables" | "extensions" => serde_json::from_str(&value)
                .map_err(|error| format!("{name} is no JSON: {error}"))?,
            _ => continue,
        };
        if members.insert(name.clone(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    request(members)
}

fn decoded(text: &str) -> Result<String, Malformed> {
    let text = text.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8();
    Ok(text
        .map_err(|_| "the query string is not UTF-8")?
        .into_owned())
}

pub(super) fn request(mut members: Map<String, Value>) -> Result<Request, Malformed> {
    let query = text(&mut members, "query")?.unwrap_or_default();
    let document_id = if query.is_empty() {
        match text(&mut members, "documentId")? {
            None => text(&mut members, "id")?,
            id => id,
        }
    } else {
        None
    };
    let operation_name = text(&mut members, "operationName")?;
    let variables = object(&mut members, "variables")?;
    let extensions = object(&mut members, "extensions")?;
    if query.is_empty() && document_id.is_none() && !extensions.contains_key("persistedQuery") {
        return Err("query is missing".to_owned());
    }
    let mut request = Request::new(query).variables(Variables::from_json(Value::Object(variables)));
    request.operation_name = operation_name;
    request.extensions = serde_json::from_value(Value::Object(extensions))
        .map_err(|error| format!("extensions cannot be read: {error}"))?;
    if let Some(id) = document_id {
        request.data.insert(DocumentId(id));
    }
    Ok(request)
}

/// A text that is there and not empty.
fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Malformed> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("{name} must be a text")),
    }
}

fn object(members: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, Malformed> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(format!("{name} must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_string_is_decoded_as_forms_are() {
        let request = by_get(
            "query=query+Q(%24n%3AInt)%7Ba%7D&operationName=Q&variables=%7B%22n%22%3A1%7D&extensions=&x=y",
        )
        .unwrap();
        assert_eq!(request.query, "query Q($n:Int){a}");
        assert_eq!(request.operation_name.as_deref(), Some("Q"));
        assert_eq!(request.variables.len(), 1);
    }

    #[test]
    fn what_is_malformed_is_said() {
        for (query_string, words) in [
            ("", "query is missing"),
            ("query=", "query is missing"),
            ("query=%FF", "not UTF-8"),
            ("query=a&variables=x", "variables is no JSON"),
            ("query=a&variables=[]", "variables must be"),
            ("query=a&extensions=1", "extensions must be"),
            ("query=a&query=b", "given twice"),
        ] {
            let problem = by_get(query_string).unwrap_err();
            assert!(problem.contains(words), "{query_string}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let _ = by_post(&body);
            let _ = by_get(&text);
            let _ = by_post(text.as_bytes());
        }
    }
}
