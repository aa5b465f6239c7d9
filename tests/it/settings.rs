//! docs/settings.md is what the code says, and the files of docs/deploy name settings that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kombo_mirror::config::{guide, guide_names};

use crate::support::world::{output, program};

/// Variables of others in the files that set ours.
const OF_OTHERS: [&str; 6] = [
    // the image of Postgres
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD_FILE",
    // a build, and the compose file's own
    "KOMBO_MIRROR_COMMIT",
    "KOMBO_MIRROR_SECRETS",
    "CMD",
];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_settings_page_is_what_the_code_says() {
    let page = root("docs/settings.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, guide()).expect("docs/settings.md is written");
    }
    assert!(
        read("docs/settings.md") == guide(),
        "docs/settings.md is not what the code says; run this test with UPDATE=1 and look at the difference"
    );
}

#[test]
fn every_setting_is_described_once_and_nothing_else() {
    let (mut known, mut described) = guide_names();
    known.sort();
    described.sort();
    assert_eq!(known, described);
}

/// Every variable that the page has in the first column of a table.
fn on_the_page() -> BTreeSet<String> {
    let page = read("docs/settings.md");
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells.flat_map(upper_case_words).collect()
}

/// Words such as `DATABASE_URL`.
fn upper_case_words(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 2 && word.chars().all(is_part))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_variable_that_help_names_and_no_other() {
    let mut helped = BTreeSet::new();
    for command in [
        "serve", "sync", "migrate", "verify", "demo", "simulate", "schema", "health",
    ] {
        let output = output(program(&[command, "--help"])).await;
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = help.split("[env: ").skip(1);
        helped.extend(named.filter_map(|rest| rest.split(['=', ']']).next().map(str::to_owned)));
    }
    assert_eq!(helped, on_the_page());
}

/// What a file sets: the upper-case words of its lines that are no comments.
fn set_in(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let lines = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default())
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(upper_case_words);
    words
        .filter(|word| word.contains('_') || word == "ROLE" || word == "MIGRATE")
        .collect()
}

#[test]
fn what_is_deployed_sets_only_what_exists() {
    let known = on_the_page();
    let mut seen = 0;
    for path in [
        "compose.yaml",
        "docs/deploy/systemd/kombo-mirror.service",
        "docs/deploy/kubernetes/config.yaml",
        "docs/deploy/kubernetes/migrate.yaml",
        "docs/deploy/kubernetes/api.yaml",
        "docs/deploy/kubernetes/worker.yaml",
    ] {
        for word in set_in(path) {
            let is_ours = known.contains(&word);
            // AF_UNIX and the like
            let is_systemds = path.ends_with(".service") && word.starts_with("AF_");
            assert!(
                is_ours || is_systemds || OF_OTHERS.contains(&word.as_str()),
                "{path} sets {word}"
            );
            seen += usize::from(is_ours);
        }
    }
    assert!(seen > 20, "only {seen} settings were found");
}

#[test]
fn what_the_readme_tells_to_set_exists() {
    let known = on_the_page();
    let readme = read("README.md");
    let settings = readme.split("\n## Settings\n").nth(1);
    let settings = settings.and_then(|rest| rest.split("\n## ").next());
    let rows = settings.expect("the section").lines();
    let named = rows.filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let exported = readme
        .lines()
        .filter_map(|line| line.strip_prefix("export "));
    let exported = exported.filter_map(|line| line.split('=').next());
    let words: Vec<_> = named.chain(exported).flat_map(upper_case_words).collect();
    assert!(words.len() > 12, "{words:?}");
    for word in words {
        assert!(known.contains(&word), "the README sets {word}");
    }
}

/// The number behind a word of a file.
fn number(path: &str, word: &str) -> u64 {
    let text = read(path);
    let rest = text
        .split(word)
        .nth(1)
        .unwrap_or_else(|| panic!("{word} is not in {path}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{word} in {path} has no number"))
}

// Whoever kills a server before its grace is over cuts off what it was about to finish.
#[test]
fn everybody_who_stops_the_server_waits_for_its_grace() {
    let kubernetes = "docs/deploy/kubernetes/";
    let grace = number(&format!("{kubernetes}config.yaml"), "SHUTDOWN_GRACE: ");
    let page = read("docs/settings.md");
    let row = page
        .lines()
        .find(|line| line.starts_with("| `SHUTDOWN_GRACE`"));
    assert!(
        row.is_some_and(|row| row.contains(&format!("| `{grace}s` |"))),
        "{row:?}"
    );
    let sockets = 5;
    let pause = number(&format!("{kubernetes}api.yaml"), "sleep: { seconds: ");
    for (path, word, before) in [
        (
            "docs/deploy/kubernetes/api.yaml",
            "terminationGracePeriodSeconds: ",
            pause,
        ),
        (
            "docs/deploy/kubernetes/worker.yaml",
            "terminationGracePeriodSeconds: ",
            0,
        ),
        (
            "docs/deploy/systemd/kombo-mirror.service",
            "TimeoutStopSec=",
            0,
        ),
        ("compose.yaml", "stop_grace_period: ", 0),
    ] {
        let waits = number(path, word);
        assert!(waits > before + grace + sockets, "{path} waits {waits} s");
    }
}

// The trial's simulator and mirror must know each other.
#[test]
fn the_trial_has_one_key_and_one_secret() {
    let compose = read("compose.yaml");
    for (flag, file) in [
        ("--api-key=", "kombo-api-key"),
        ("--webhook-secret=", "kombo-webhook-secret"),
    ] {
        let secret = read(&format!("docs/deploy/compose/trial/{file}"));
        assert!(
            compose.contains(&format!("{flag}{}\n", secret.trim())),
            "{file}"
        );
    }
    let password = read("docs/deploy/compose/trial/postgres-password");
    let url = read("docs/deploy/compose/trial/database-url");
    assert!(url.contains(&format!(":{}@postgres/", password.trim())));
}

// A placeholder that somebody forgets must stop the server, not become a password.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_secret_starts_no_server() {
    assert!(
        read("docs/deploy/kubernetes/secret.example.yaml").contains("database-url: REPLACE-ME\n")
    );
    let mut command = program(&["serve"]);
    for name in [
        "DATABASE_URL",
        "KOMBO_API_KEY",
        "KOMBO_WEBHOOK_SECRET",
        "API_READ_TOKENS",
    ] {
        command.env(name, "REPLACE-ME");
    }
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("DATABASE_URL cannot be used"), "{said}");
}

// `kubectl apply -k` takes what the list names and nothing else.
#[test]
fn every_manifest_but_the_example_is_in_the_list() {
    let list = read("docs/deploy/kubernetes/kustomization.yaml");
    let mut files = 0;
    for entry in fs::read_dir(root("docs/deploy/kubernetes")).expect("the folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        let listed = list.contains(&format!("  - {name}\n"));
        let is_manifest = name != "kustomization.yaml" && name != "secret.example.yaml";
        assert_eq!(listed, is_manifest, "{name}");
        files += 1;
    }
    assert!(files >= 6);
}
