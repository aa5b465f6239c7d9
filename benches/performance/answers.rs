//! Answers compared, so that nothing is faster than ours by answering something else.

use anyhow::ensure;
use chrono::DateTime;
use serde_json::Value;

/// Refuses two answers that differ. Moments are equal when they are the same moment; cursors are opaque, so they
/// only have to be there.
pub(crate) fn equal(ours: Value, theirs: Value) -> anyhow::Result<()> {
    let (ours, theirs) = (plain(ours), plain(theirs));
    ensure!(ours == theirs, "the answers differ:\n{ours}\n{theirs}");
    Ok(())
}

/// Refuses two answers that have other records, or the same in another order.
pub(crate) fn same_records(ours: &Value, theirs: &Value) -> anyhow::Result<()> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    records(ours, &mut left);
    records(theirs, &mut right);
    ensure!(left == right, "the records differ:\n{ours}\n{theirs}");
    Ok(())
}

fn records<'v>(value: &'v Value, ids: &mut Vec<&'v Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| records(item, ids)),
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "komboId" => ids.push(value),
                    _ => records(value, ids),
                }
            }
        }
        _ => {}
    }
}

fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => match DateTime::parse_from_rfc3339(&text) {
            Ok(moment) => Value::from(moment.timestamp_micros()),
            Err(_) => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, value)| match name.as_str() {
                    "endCursor" => (name, Value::Bool(value.is_string())),
                    _ => (name, plain(value)),
                });
            members.collect()
        }
        other => other,
    }
}
