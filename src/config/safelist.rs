//! The files that name the operations which may run, as build tools write them.

use std::collections::HashSet;

use serde_json::Value;

/// An operation that a safelist names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeOperation {
    /// What clients ask for it by.
    pub id: String,
    /// The document, as clients may send it instead.
    pub body: String,
}

/// The operations of a file in one of the two forms: Apollo's
/// `{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id", "body", …}]}`, or Relay's
/// `{"id": "text", …}`.
pub(super) fn safe_operations(text: &str) -> Result<Vec<SafeOperation>, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(members) = file else {
        return Err("it is no JSON object".to_owned());
    };
    let operations = if let Some(format) = members.get("format") {
        if format != "apollo-persisted-query-manifest" || members.get("version") != Some(&1.into())
        {
            return Err(
                "of manifests with a format only apollo-persisted-query-manifest, version 1, is known"
                    .to_owned(),
            );
        }
        let listed = members.get("operations").and_then(Value::as_array);
        let listed = listed.ok_or("its operations are no list")?;
        let member = |operation: &Value, name| operation[name].as_str().map(str::to_owned);
        listed
            .iter()
            .enumerate()
            .map(|(place, operation)| {
                let id = member(operation, "id");
                let body = member(operation, "body");
                id.zip(body).ok_or_else(|| {
                    format!("its operation {} has no id and body as texts", place + 1)
                })
            })
            .collect::<Result<Vec<_>, _>>()?
    } else {
        members
            .into_iter()
            .map(|(id, body)| match body {
                Value::String(body) => Ok((id, body)),
                _ => Err(format!("what it has under {id:?} is no text")),
            })
            .collect::<Result<Vec<_>, _>>()?
    };
    if operations.is_empty() {
        return Err("it names no operation".to_owned());
    }
    let mut ids = HashSet::new();
    if let Some((id, _)) = operations.iter().find(|(id, _)| !ids.insert(id)) {
        return Err(format!("it names {id:?} twice"));
    }
    Ok(operations
        .into_iter()
        .map(|(id, body)| SafeOperation { id, body })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safelist_is_read_in_both_forms() {
        let one = vec![SafeOperation {
            id: "a1".to_owned(),
            body: "{ users { totalCount } }".to_owned(),
        }];
        let apollo = r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":[
            {"id":"a1","body":"{ users { totalCount } }","name":"","type":"query"}]}"#;
        assert_eq!(safe_operations(apollo), Ok(one.clone()));
        assert_eq!(
            safe_operations(r#"{"a1":"{ users { totalCount } }"}"#),
            Ok(one)
        );
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"a1":7}"#,
            r#"{"format":"apollo-persisted-query-manifest","version":2,"operations":[]}"#,
            r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a"}]}"#,
            r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":[
                {"id":"a","body":"{a}"},{"id":"a","body":"{b}"}]}"#,
        ] {
            assert!(safe_operations(wrong).is_err(), "{wrong}");
        }
    }
}
