//! Conditions as SQL, in the form that the indexes of the migration `lists` serve.
//!
//! Values are bound; of a request no text reaches the SQL.

use super::filter::{Condition, Test};
use crate::db::Statement;
use crate::models::filters::{Compared, Filter, INDEXED_CHARACTERS, Via};
use crate::models::object::EnumType;

/// The word for what this version does not know.
const UNKNOWN: &str = "UNKNOWN";

/// SQL of a condition over the row `alias`: true where it holds, false or null where it does not.
pub(super) fn condition(statement: &mut Statement, condition: &Condition, alias: &str) -> String {
    match condition {
        Condition::All(all) => joined(statement, all, alias, " AND ", "true"),
        Condition::Any(any) => joined(statement, any, alias, " OR ", "false"),
        Condition::Not(inner) => {
            format!("({}) IS NOT TRUE", self::condition(statement, inner, alias))
        }
        Condition::Holds(filter, test) => holds(statement, filter, test, alias),
    }
}

fn joined(
    statement: &mut Statement,
    conditions: &[Condition],
    alias: &str,
    word: &str,
    none: &str,
) -> String {
    let parts: Vec<String> = conditions
        .iter()
        .map(|one| condition(statement, one, alias))
        .collect();
    match parts.as_slice() {
        [] => none.to_owned(),
        [only] => only.clone(),
        _ => format!("({})", parts.join(word)),
    }
}

fn holds(statement: &mut Statement, filter: &Filter, test: &Test, alias: &str) -> String {
    let Some(Via { from, on }) = &filter.via else {
        return tested(statement, &filter.compared, test, alias);
    };
    let via = format!("{alias}_v");
    let fill = |sql: &str| sql.replace("{v}", &via).replace("{t}", alias);
    let (from, on) = (fill(from), fill(on));
    // none that has a value is the opposite of any that has one
    if matches!(test, Test::IsNull) {
        let column = filter.compared.column();
        return format!(
            "NOT EXISTS (SELECT FROM {from} WHERE {on} AND {via}.{column} IS NOT NULL)"
        );
    }
    let tested = tested(statement, &filter.compared, test, &via);
    format!("EXISTS (SELECT FROM {from} WHERE {on} AND {tested})")
}

/// The test on a column of the row `alias`.
pub(super) fn tested(
    statement: &mut Statement,
    compared: &Compared,
    test: &Test,
    alias: &str,
) -> String {
    let column = format!("{alias}.{}", compared.column());
    let key = compared.key(alias);
    match (test, compared) {
        (Test::In(words), Compared::Word(_, known)) => word_in(statement, words, known, &column),
        (Test::In(texts), Compared::Text(_)) => {
            let starts = texts.iter().map(|text| start(text)).collect();
            format!(
                "({key} {} AND {column} {})",
                any_of(statement, starts),
                any_of(statement, texts.clone())
            )
        }
        (Test::In(texts), Compared::TextIgnoringCase(_)) => {
            caseless_in(statement, texts, &key, &column)
        }
        (Test::In(texts), _) => format!("{column} {}", any_of(statement, texts.clone())),
        (Test::StartsWith(text), _) => starts_with(statement, compared, text, &key, &column),
        (Test::Contains(text), _) => {
            let pattern = statement.text(format!("%{}%", escaped(text)));
            format!("{column} ILIKE {pattern}")
        }
        (Test::Than(comparison, moment), _) => {
            let moment = statement.time(Some(*moment));
            // the key of a null is the smallest of all
            let not_null = if comparison.starts_with('<') {
                format!(" AND {column} IS NOT NULL")
            } else {
                String::new()
            };
            format!("({key} {comparison} {moment}{not_null})")
        }
        (Test::IsNull, Compared::Text(_) | Compared::TextIgnoringCase(_)) => {
            format!("({key} = '' AND {column} IS NULL)")
        }
        (Test::IsNull, Compared::Time(_)) => {
            format!("({key} = '-infinity' AND {column} IS NULL)")
        }
        (Test::IsNull, _) => format!("{column} IS NULL"),
        (Test::Is(true), _) => column,
        (Test::Is(false), _) => format!("NOT {column}"),
    }
}

/// `= …`: a single value is compared plainly, since an order by index survives only that.
fn any_of(statement: &mut Statement, mut texts: Vec<String>) -> String {
    match texts.len() {
        1 => format!("= {}", statement.text(texts.remove(0))),
        _ => format!("= ANY({}::text[])", statement.texts(texts)),
    }
}

fn word_in(statement: &mut Statement, words: &[String], known: &EnumType, column: &str) -> String {
    let asked = words.iter().filter(|word| *word != UNKNOWN).cloned();
    let stored = any_of(statement, asked.collect());
    let of_known = format!("{column} {stored}");
    if !known.is_kombos || !words.iter().any(|word| word == UNKNOWN) {
        return of_known;
    }
    let all: Vec<String> = known
        .values
        .iter()
        .map(|(word, _)| (*word).to_owned())
        .collect();
    let all = statement.texts(all);
    format!("({of_known} OR {column} <> ALL({all}::text[]))")
}

/// Lower case is the database's to make, as in the index: it and we need not agree on every letter. Several texts are
/// one value.
fn caseless_in(statement: &mut Statement, texts: &[String], key: &str, column: &str) -> String {
    if let [text] = texts {
        let text = statement.text(text);
        return format!(
            "({key} = left(lower({text}::text), {INDEXED_CHARACTERS}) AND lower({column}) = lower({text}::text))"
        );
    }
    let texts = statement.texts(texts.to_vec());
    format!(
        "({key} = ANY(ARRAY(SELECT left(lower(x), {INDEXED_CHARACTERS}) FROM unnest({texts}::text[]) x)) \
         AND lower({column}) = ANY(ARRAY(SELECT lower(x) FROM unnest({texts}::text[]) x)))"
    )
}

fn starts_with(
    statement: &mut Statement,
    compared: &Compared,
    text: &str,
    key: &str,
    column: &str,
) -> String {
    let whole = statement.text(text);
    let pattern = statement.text(format!("{}%", escaped(&start(text))));
    match compared {
        Compared::TextIgnoringCase(_) => format!(
            "({key} LIKE lower({pattern}::text) AND starts_with(lower({column}), lower({whole}::text)))"
        ),
        Compared::Text(_) => format!("({key} LIKE {pattern} AND starts_with({column}, {whole}))"),
        _ => format!("starts_with({column}, {whole})"),
    }
}

/// As much of a text as the index has.
fn start(text: &str) -> String {
    text.chars().take(INDEXED_CHARACTERS).collect()
}

/// A text that stands for itself in a LIKE pattern.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
