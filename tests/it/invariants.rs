//! The rules of the rooms: who may know whom, read off the sources.

use std::fs;
use std::path::Path;

use crate::database::sources;

/// Lines; a longer file has two things in it.
const LONGEST_FILE: usize = 450;

/// Path below `src` and text of every source.
fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources are there");
    files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).expect("below src");
            let name = name.to_str().expect("a text").to_owned();
            (name, fs::read_to_string(&file).expect("a source"))
        })
        .collect()
}

/// The code of a file, without comments.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the code names a module of this crate: `crate::name` or `use crate::{a, name}`.
fn names(code: &str, module: &str) -> bool {
    let is_word = |text: &str| {
        text.trim_start_matches(' ')
            .strip_prefix(module)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let paths = ["crate::", "kombo_mirror::", "super::super::"];
    paths.iter().any(|path| {
        code.split(path)
            .skip(1)
            .any(|rest| match rest.strip_prefix('{') {
                Some(list) => top_level(list).iter().any(|item| is_word(item.trim())),
                None => is_word(rest),
            })
    })
}

/// The items of a braced list whose opening brace is gone.
fn top_level(list: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0_i32;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            c if depth == 0 => {
                if let Some(item) = items.last_mut() {
                    item.push(c);
                }
            }
            _ => {}
        }
    }
    items
}

fn assert_unknown(room: &str, forbidden: &[&str]) {
    let mut seen = 0;
    for (name, text) in all() {
        if !name.starts_with(room) {
            continue;
        }
        seen += 1;
        for module in forbidden {
            assert!(!names(&code(&text), module), "{name} names {module}");
        }
    }
    assert!(seen > 0, "{room} is no room");
}

#[test]
fn the_reader_of_sources_sees_every_form_of_a_name() {
    for form in [
        "use crate::db;",
        "use crate::db::Pool;",
        "use crate::{auth, db};",
        "use crate::{auth::{Scope, Viewer}, db::{self, Pool}};",
        "let x = crate::db::pool();",
    ] {
        assert!(names(form, "db"), "{form}");
    }
    for form in [
        "use crate::dbx;",
        "use crate::auth::{db};",
        "let db = 1;",
        "use diesel::db;",
    ] {
        assert!(!names(form, "db"), "{form}");
    }
}

#[test]
fn the_client_of_kombo_touches_no_database() {
    assert_unknown("kombo/", &["budget", "db", "models", "queue", "sync"]);
    for (name, text) in all() {
        if name.starts_with("kombo/") {
            assert!(!code(&text).contains("diesel"), "{name}");
        }
    }
}

#[test]
fn the_webhook_door_knows_neither_models_nor_kombo() {
    assert_unknown("webhook.rs", &["models", "kombo", "sync"]);
}

#[test]
fn the_models_touch_neither_queue_nor_network_nor_clock() {
    assert_unknown("models/", &["queue", "kombo", "clock", "sync", "graphql"]);
    for (name, text) in all() {
        if name.starts_with("models/") {
            assert!(!code(&text).contains("Utc::now"), "{name}");
        }
    }
}

#[test]
fn the_sync_names_no_model() {
    let models = ["users", "courses", "skills", "course_progressions"];
    for (name, text) in all() {
        if !name.starts_with("sync/") {
            continue;
        }
        let text = code(&text);
        // tests at the foot of a file may look for a particular model
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for model in models {
            assert!(
                !text.contains(&format!("models::{model}")),
                "{name} names {model}"
            );
            assert!(
                !text.contains(&format!("{model}::ENDPOINT")),
                "{name} names {model}"
            );
        }
    }
}

#[test]
fn the_simulator_is_known_to_the_demo_and_the_command_line_only() {
    for (name, text) in all() {
        let may = name.starts_with("simulator/") || matches!(name.as_str(), "main.rs" | "demo.rs");
        assert!(may || !names(&code(&text), "simulator"), "{name}");
    }
}

#[test]
fn the_environment_is_read_in_few_places() {
    const MAY: [&str; 7] = [
        "build/commit.rs",
        "console/build.rs",
        // where the private Postgres finds its binaries and keeps its data
        "embedded/binaries.rs",
        "embedded/cluster.rs",
        "embedded/places.rs",
        "embedded/tests.rs",
        "main.rs",
    ];
    for (name, text) in all() {
        let reads = ["env::var", "env::vars", "option_env!"];
        let text = code(&text);
        let found = reads.iter().any(|read| text.contains(read));
        assert!(
            !found || MAY.contains(&name.as_str()),
            "{name} reads the environment"
        );
    }
}

#[test]
fn every_file_says_why_it_exists_and_is_short() {
    for (name, text) in all() {
        assert!(text.starts_with("//!"), "{name} begins without //!");
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{name} has {lines} lines, at most {LONGEST_FILE} are allowed"
        );
    }
}
