//! docs/settings.md: what `--help` says of each setting, and beside it the unit and what is seen at the limit.
//!
//! Names, meanings and defaults come from the command line's own description, so they cannot differ from it. A test
//! holds the file equal to this, and finds a setting that is missing here.

use std::fmt::Write as _;

use clap::{Arg, Args as _, Command};

use super::RawSettings;

/// What the command line's description has no place for.
struct Described {
    name: &'static str,
    /// Unit, form and range.
    unit: &'static str,
    /// What is seen at the limit, or without the setting.
    at_limit: &'static str,
}

const fn of(name: &'static str, unit: &'static str, at_limit: &'static str) -> Described {
    Described {
        name,
        unit,
        at_limit,
    }
}

struct Group {
    title: &'static str,
    settings: &'static [Described],
}

const REFUSED: &str = "the server does not start";
const TOO_COMPLEX: &str = "the error QUERY_TOO_COMPLEX";

const GROUPS: &[Group] = &[
    Group {
        title: "The process",
        settings: &[
            of("ROLE", "`all`, `api` or `worker`", ""),
            of(
                "LISTEN_ADDR",
                "address:port",
                "a port in use: the server does not start",
            ),
            of(
                "MIGRATE",
                "`auto` or `wait`",
                "`wait`: not ready until the migrations are there, and after 15 min it ends",
            ),
            of(
                "SHUTDOWN_GRACE",
                "duration, 100ms to 10m",
                "requests that are not answered by then are cut off",
            ),
            of("LOG_FORMAT", "`text` or `json`", ""),
            of(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http(s) URL",
                "a collector that is away: spans are dropped, with one warning",
            ),
            of("OTEL_EXPORTER_OTLP_HEADERS", "list with commas", ""),
            of("OTEL_SERVICE_NAME", "text", ""),
            of(
                "OTEL_TRACES_SAMPLER_ARG",
                "number, 0 to 1",
                "other traces are not sent",
            ),
        ],
    },
    Group {
        title: "The database",
        settings: &[
            of("DATABASE_URL", "URL", REFUSED),
            of("DATABASE_READ_URL", "URL", ""),
            of(
                "DATABASE_READ_MAX_LAG",
                "duration, 2s to 1d",
                "the standby is left out until it has caught up, and the metric `kombo_mirror_standbys` says so",
            ),
            of(
                "DATABASE_POOL_SIZE",
                "number, 4 to 1000",
                "who gets no connection within 10 s fails: a webhook is answered 503, a query with the error TIMEOUT",
            ),
            of(
                "GRAPHQL_STATEMENT_TIMEOUT",
                "duration, 10ms to 10m",
                "the error TIMEOUT",
            ),
        ],
    },
    Group {
        title: "Kombo",
        settings: &[
            of("KOMBO_API_URL", "http(s) URL", ""),
            of("KOMBO_API_KEY", "text", REFUSED),
            of(
                "KOMBO_WEBHOOK_SECRET",
                "list with commas",
                "without it the server does not start; a webhook signed with another is answered 401",
            ),
            of("KOMBO_INTEGRATION_IDS", "list with commas", ""),
        ],
    },
    Group {
        title: "Who may ask",
        settings: &[
            of(
                "API_READ_TOKENS",
                "list with commas",
                "one of this, `API_ADMIN_TOKENS`, `JWT_SECRET` and `JWT_JWKS_URL` is required unless `AUTH=off`; another token is answered 401",
            ),
            of(
                "API_ADMIN_TOKENS",
                "list with commas",
                "without this scope: the error FORBIDDEN",
            ),
            of(
                "JWT_SECRET",
                "text, at least 32 bytes",
                "a shorter one: the server does not start",
            ),
            of(
                "JWT_JWKS_URL",
                "http(s) URL",
                "until its keys have come JWTs are answered 401",
            ),
            of(
                "JWT_ISSUER",
                "text",
                "a JWT of another issuer is answered 401",
            ),
            of(
                "JWT_AUDIENCE",
                "list with commas",
                "a JWT for others is answered 401",
            ),
            of(
                "AUTH",
                "`on` or `off`",
                "`off` beside tokens, JWTs or an address that is not loopback: the server does not start",
            ),
            of(
                "CORS_ORIGINS",
                "list with commas, or `*`",
                "browsers keep pages of other origins out",
            ),
        ],
    },
    Group {
        title: "What a request of GraphQL may ask for",
        settings: &[
            of(
                "GRAPHQL_MAX_BODY",
                "bytes, 1 to 16777216, *warn*",
                "the error PAYLOAD_TOO_LARGE, status 413 or 414",
            ),
            of(
                "GRAPHQL_MAX_TOKENS",
                "number, 1 to 1000000, *warn*",
                TOO_COMPLEX,
            ),
            of("GRAPHQL_MAX_DEPTH", "number, 1 to 60, *warn*", TOO_COMPLEX),
            of(
                "GRAPHQL_MAX_ROOT_FIELDS",
                "number, 1 to 10000, *warn*",
                TOO_COMPLEX,
            ),
            of(
                "GRAPHQL_MAX_ALIASES",
                "number, 1 to 100000, *warn*",
                TOO_COMPLEX,
            ),
            of(
                "GRAPHQL_MAX_DIRECTIVES",
                "number, 1 to 100000, *warn*",
                TOO_COMPLEX,
            ),
            of(
                "GRAPHQL_MAX_COMPLEXITY",
                "number, 1 to 1000000000, *warn*",
                TOO_COMPLEX,
            ),
            of(
                "GRAPHQL_MAX_CONCURRENT",
                "number, 1 to 100000, *warn*",
                "16 for each place wait in line; one more, and who waits too long, gets the error TIMEOUT",
            ),
            of(
                "GRAPHQL_TIMEOUT",
                "duration, 100ms to 5m",
                "the error TIMEOUT",
            ),
            of(
                "GRAPHQL_INTROSPECTION",
                "`on` or `off`",
                "`off`: the error FORBIDDEN",
            ),
            of(
                "GRAPHQL_SAFELIST",
                "path",
                "other operations: the error FORBIDDEN",
            ),
            of(
                "SOCKET_CONNECTIONS",
                "number, 1 to 1000000",
                "one more is answered 503",
            ),
            of("SOCKET_OPERATIONS", "number, 1 to 1000", TOO_COMPLEX),
        ],
    },
    Group {
        title: "When and how far to fetch",
        settings: &[
            of("FULL_FETCH_INTERVAL", "duration, 1s to 13d", ""),
            of("CATCH_UP_INTERVAL", "duration, 1s to 13d", ""),
            of("WATERMARK_OVERLAP", "duration, 0s to 13d", ""),
            of(
                "SYNC_WORKERS",
                "number, 1 to 64",
                "more runs wait in the queue",
            ),
            of("SYNC_LEASE", "duration, 1s to 10m", ""),
            of(
                "REMOVAL_GUARD_ROWS",
                "rows",
                "beyond this and the percentage removals are held back and wait for `approveRemovals`",
            ),
            of("REMOVAL_GUARD_PERCENT", "percent, 0 to 100", "the same"),
        ],
    },
    Group {
        title: "How long what is kept",
        settings: &[
            of("INTEGRATION_RETENTION", "duration, 1d to 36500d", ""),
            of("RUN_RETENTION", "duration, 1d to 36500d", ""),
            of(
                "CHANGE_RETENTION",
                "duration, 1d to 36500d",
                "what is older is in no list: who stayed away for longer has to read everything anew",
            ),
        ],
    },
];

const HEAD: &str = "# Settings

Each is an environment variable and a flag of the same name: `DATABASE_URL` is `--database-url`. Where a second name ends
with `_FILE`, the value may be in a file that this one names, as secrets of containers are. Durations are written like
`90s`, `5m`, `1h` or `7d`. A server that is given a wrong value does not start, and names all that are wrong at once.

This file is made from the code, and a test holds it equal; `UPDATE=1 cargo test --test it settings` writes it anew.
";

const FOOT: &str = "
A limit marked *warn* can be tried out first: `GRAPHQL_MAX_DEPTH=12:warn` logs the requests that are over it, by name of
limit, number and operation, and executes them.

## Of the program, and of single commands

| name | meaning | default |
| --- | --- | --- |
| `RUST_LOG` (`--log`) | what is logged, to standard error: a level, or levels by module such as `warn,kombo_mirror::sync=debug` | `info`; of `sync` `warn` |
| `LISTEN_ADDR` | `demo`: where to listen, on loopback; `health`: which server to ask | `127.0.0.1:8080` |
| `PG_BIN_DIR` | `demo`: the folder with `initdb` and `postgres` | looked for |

## Of a build

`KOMBO_MIRROR_GRAPHIQL=plain` skips GraphiQL. `KOMBO_MIRROR_COMMIT` is the commit that `--version` tells, where the build
cannot ask git: a release build without either tells `unknown`, any other build `debug build`.
";

/// The whole file.
///
/// # Panics
/// A setting is described and does not exist; the test that writes the file would have found it.
#[must_use]
pub fn markdown() -> String {
    let command = RawSettings::augment_args(Command::new("settings"));
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        let _ = write!(
            text,
            "\n## {}\n\n| name | meaning | unit | default | at the limit |\n| --- | --- | --- | --- | --- |\n",
            group.title
        );
        for setting in group.settings {
            let argument =
                argument(&command, setting.name).expect("what is described is a setting");
            text += &row(&command, setting, argument);
        }
    }
    text + FOOT
}

/// The settings that the command line knows, and those that are described; a `_FILE` belongs to its setting.
#[must_use]
pub fn names() -> (Vec<String>, Vec<String>) {
    let command = RawSettings::augment_args(Command::new("settings"));
    let known = command.get_arguments().filter_map(name);
    let is_file = |name: &String| {
        let setting = name.strip_suffix("_FILE");
        setting.is_some_and(|setting| argument(&command, setting).is_some())
    };
    let known = known.filter(|name| !is_file(name)).collect();
    let described = GROUPS.iter().flat_map(|group| group.settings);
    let described = described.map(|setting| setting.name.to_owned()).collect();
    (known, described)
}

fn name(argument: &Arg) -> Option<String> {
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

fn argument<'c>(command: &'c Command, wanted: &str) -> Option<&'c Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|argument| name(argument).as_deref() == Some(wanted))
}

fn row(command: &Command, setting: &Described, argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string);
    let (meaning, default) = split_default(&help.unwrap_or_default());
    let long = argument.get_long_help().map(ToString::to_string);
    let more = long.as_deref().and_then(|long| long.split_once("\n\n"));
    let meaning = match more {
        Some((_, more)) => format!("{meaning}. {more}"),
        None => meaning,
    };
    let file = format!("{}_FILE", setting.name);
    let name = if self::argument(command, &file).is_some() {
        format!("`{}`, `{file}`", setting.name)
    } else {
        format!("`{}`", setting.name)
    };
    let Described { unit, at_limit, .. } = setting;
    let meaning = meaning.replace('\n', " ").replace('|', "\\|");
    format!("| {name} | {meaning} | {unit} | {default} | {at_limit} |\n")
}

/// What a help text says before its default, and the default.
fn split_default(help: &str) -> (String, String) {
    if let Some((meaning, default)) = help.rsplit_once(" [default: ") {
        let default = default.trim_end_matches(']');
        let is_value = !default.contains(' ') && default != "none" && default != "any";
        let default = if is_value {
            format!("`{default}`")
        } else {
            default.to_owned()
        };
        return (meaning.to_owned(), default);
    }
    match help.strip_suffix(" (required)") {
        Some(meaning) => (meaning.to_owned(), "required".to_owned()),
        None => (help.to_owned(), "none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_tells_its_default() {
        let split = |help| {
            let (meaning, default) = split_default(help);
            format!("{meaning}|{default}")
        };
        assert_eq!(split("Time [default: 7d]"), "Time|`7d`");
        assert_eq!(split("Who [default: any]"), "Who|any");
        assert_eq!(split("Key (required)"), "Key|required");
        assert_eq!(split("Tokens"), "Tokens|none");
    }
}
