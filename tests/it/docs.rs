//! The pages for people: what they link to and name exists, and the README leads to all of them.
//!
//! Whether a sentence is true no test can tell. Whether the function, the file or the test that it rests on is still
//! there, one can; a page that names what is gone is the first sign that it describes what was.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::database::sources;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page and its text, code blocks taken out.
struct Page {
    path: PathBuf,
    prose: String,
}

/// Every page of the repository.
fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    for folder in ["", "migrations", "benches"] {
        markdown(&root().join(folder), false, &mut found);
    }
    markdown(&root().join("docs"), true, &mut found);
    assert!(found.len() > 10, "the pages are there");
    let page = |path: PathBuf| Page {
        prose: prose(&fs::read_to_string(&path).expect("a page")),
        path,
    };
    found.into_iter().map(page).collect()
}

fn markdown(folder: &Path, and_below: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && and_below {
            markdown(&path, true, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
}

fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Page {
    fn name(&self) -> String {
        let name = self.path.strip_prefix(root()).expect("below the root");
        name.display().to_string()
    }

    /// What stands between backticks.
    fn code_spans(&self) -> Vec<&str> {
        let parts: Vec<&str> = self.prose.split('`').collect();
        assert_eq!(parts.len() % 2, 1, "{}: a backtick is open", self.name());
        parts.into_iter().skip(1).step_by(2).collect()
    }

    /// The targets of its links into the repository.
    fn links(&self) -> Vec<&str> {
        // the words of a link may be code, its target is not
        let targets = self.prose.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split([')', ' ', '\n']).next());
        targets.filter(|target| !target.contains(':')).collect()
    }

    /// The file that a link from here leads to.
    fn at(&self, target: &str) -> PathBuf {
        if target.is_empty() {
            return self.path.clone();
        }
        let mut path = self.path.clone();
        path.pop();
        for part in Path::new(target).components() {
            match part {
                Component::ParentDir => assert!(path.pop(), "{target} leads out"),
                part => path.push(part),
            }
        }
        path
    }
}

/// The anchors that GitHub gives to a page's headings.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = prose(&fs::read_to_string(path).expect("a page"));
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let letters = words.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
            _ => None,
        });
        letters.collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        for link in page.links() {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = page.at(target);
            let is_there = path.exists() && (anchor.is_empty() || anchors(&path).contains(anchor));
            if !is_there {
                wrong.push(format!("{}: {link}", page.name()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_readme_leads_to_every_page() {
    let pages = pages();
    let readme = pages.iter().find(|page| page.name() == "README.md");
    let readme = readme.expect("the README");
    let led_to: BTreeSet<PathBuf> = readme
        .links()
        .into_iter()
        .map(|link| readme.at(link.split('#').next().unwrap_or_default()))
        .collect();
    let forgotten: Vec<String> = pages
        .iter()
        .filter(|page| page.name().starts_with("docs/") && !led_to.contains(&page.path))
        .map(Page::name)
        .collect();
    assert_eq!(forgotten, Vec::<String>::new());
}

// Whoever is new reads it to its end in five minutes.
#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("the README");
    let lines = text.lines().count();
    assert!(lines <= 220, "the README has {lines} lines");
}

#[test]
fn every_path_that_is_named_exists() {
    const BEGINS: [&str; 6] = ["src/", "tests/", "docs/", "migrations/", "benches/", ".ci/"];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for span in page.code_spans() {
            let is_path = BEGINS.iter().any(|begin| span.starts_with(begin))
                && !span.contains([' ', '*', '<', '…', '{']);
            let is_there = is_path && root().join(span).exists();
            seen += usize::from(is_there);
            if is_path && !is_there {
                wrong.push(format!("{}: {span}", page.name()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 30, "only {seen} paths were found");
}

/// Path below the root and code of every source, comments taken out.
fn code() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        sources(&root().join(folder), &mut files);
    }
    let code = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let below = path.strip_prefix(root()).expect("below the root");
        (below.to_owned(), lines.collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().map(code).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
    })
}

fn defines(code: &str, name: &str) -> bool {
    const KINDS: [&str; 8] = [
        "fn", "struct", "enum", "trait", "type", "const", "static", "mod",
    ];
    KINDS
        .iter()
        .any(|kind| has_word(code, &format!("{kind} {name}")))
}

/// Whether a file is the module, or lies in it.
fn is_in(path: &Path, module: &str) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == module || part.strip_suffix(".rs") == Some(module)
    })
}

/// Whether `place::name` is in the code: something of a module, or a member of a type.
fn is_known(code: &[(PathBuf, String)], place: &str, name: &str) -> bool {
    if place.starts_with(char::is_uppercase) {
        let of_type = |text: &str| defines(text, place) || has_word(text, &format!("impl {place}"));
        return code
            .iter()
            .any(|(_, text)| of_type(text) && has_word(text, name));
    }
    code.iter()
        .any(|(path, text)| is_in(path, place) && defines(text, name))
}

#[test]
fn every_function_that_is_named_exists() {
    let code = code();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for span in page.code_spans() {
            let name = span.strip_suffix("()").unwrap_or(span);
            let mut parts = name.rsplit("::");
            let (Some(last), Some(place)) = (parts.next(), parts.next()) else {
                continue;
            };
            let is_name = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
            };
            if !name.split("::").all(is_name) || place == "kombo_mirror" {
                continue;
            }
            seen += 1;
            if !is_known(&code, place, last) {
                wrong.push(format!("{}: {span}", page.name()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 20, "only {seen} names were found");
}

// A promise names the test that holds it. Tests have long names, and so have metrics, which are no concern of this.
#[test]
fn every_test_that_is_named_exists() {
    let code = code();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for span in page.code_spans() {
            let is_lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_long = span.matches('_').count() >= 3 && span.chars().all(is_lower);
            if !is_long || span.starts_with("kombo_mirror_") {
                continue;
            }
            seen += 1;
            if !code.iter().any(|(_, text)| has_word(text, span)) {
                wrong.push(format!("{}: {span}", page.name()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 40, "only {seen} names were found");
}

#[test]
fn the_reader_of_pages_sees_links_names_and_anchors() {
    let page = Page {
        path: root().join("docs/page.md"),
        prose: prose(
            "[a](../b.md#c), [`d`](#e) [f](https://g.h)\n```\n[no](y)\n```\n`queue::claim`",
        ),
    };
    assert_eq!(page.links(), ["../b.md#c", "#e"]);
    assert_eq!(page.code_spans(), ["d", "queue::claim"]);
    assert_eq!(page.at("../b.md"), root().join("b.md"));
    assert_eq!(page.at(""), page.path);
    assert!(anchors(&root().join("docs/operations.md")).contains("backup-and-restore"));
    let code = [(
        PathBuf::from("src/queue/mod.rs"),
        "pub fn claim() {}\nimpl Run { fn mode(&self) {} }".to_owned(),
    )];
    assert!(is_known(&code, "queue", "claim"));
    assert!(is_known(&code, "Run", "mode"));
    assert!(!is_known(&code, "queue", "clai"));
    assert!(!is_known(&code, "inbox", "claim"));
}
