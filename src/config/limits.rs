//! What one GraphQL request may ask for, and who may send it: the settings of the API, and their ranges.
//!
//! Every limit that counts something can be tried out first: a value that ends with `:warn` logs what is over it
//! and lets it pass.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::read::{Check, list};
use super::safelist::{SafeOperation, safe_operations};
use super::{AuthSettings, RawSettings};

/// The settings of the GraphQL API as typed.
#[derive(Args, Clone, Default)]
pub struct RawGraphqlSettings {
    /// Bytes of a request's body or query string [default: 262144]
    #[arg(long, env = "GRAPHQL_MAX_BODY")]
    pub graphql_max_body: Option<String>,
    /// Tokens of a document: names, numbers, texts and signs [default: 5000]
    ///
    /// They are counted before the document is parsed.
    #[arg(long, env = "GRAPHQL_MAX_TOKENS")]
    pub graphql_max_tokens: Option<String>,
    /// Levels of fields of an operation [default: 20]
    ///
    /// Introspection by the usual tools needs 15.
    #[arg(long, env = "GRAPHQL_MAX_DEPTH")]
    pub graphql_max_depth: Option<String>,
    /// Root fields of an operation [default: 20]
    ///
    /// Each is a statement of its own.
    #[arg(long, env = "GRAPHQL_MAX_ROOT_FIELDS")]
    pub graphql_max_root_fields: Option<String>,
    /// Aliases in a document [default: 500]
    #[arg(long, env = "GRAPHQL_MAX_ALIASES")]
    pub graphql_max_aliases: Option<String>,
    /// Directives in a document [default: 50]
    #[arg(long, env = "GRAPHQL_MAX_DIRECTIVES")]
    pub graphql_max_directives: Option<String>,
    /// Values in an answer whose pages are all full [default: 1000000]
    ///
    /// A field counts 1, and what is below a list as often as the list may be long: a page by its first or last,
    /// another list 10 times. 100 users with 20 progressions of 5 values each count 10 000.
    #[arg(long, env = "GRAPHQL_MAX_COMPLEXITY")]
    pub graphql_max_complexity: Option<String>,
    /// Requests of one viewer that are answered at the same time; more wait in line [default: 64]
    #[arg(long, env = "GRAPHQL_MAX_CONCURRENT")]
    pub graphql_max_concurrent: Option<String>,
    /// How long a request may take, its time in line included [default: 30s]
    #[arg(long, env = "GRAPHQL_TIMEOUT")]
    pub graphql_timeout: Option<String>,
    /// "off" hides the schema: no __schema, no __type, no suggestions in errors [default: on]
    ///
    /// GraphiQL knows no fields then.
    #[arg(long, env = "GRAPHQL_INTROSPECTION")]
    pub graphql_introspection: Option<String>,
    /// File of the only operations that may run: Apollo's persisted query manifest or Relay's persisted queries
    /// [default: none, any may]
    ///
    /// They are the only ones for admins, too.
    #[arg(long, env = "GRAPHQL_SAFELIST")]
    pub graphql_safelist: Option<String>,
    /// Origins whose pages may call the API from a browser, comma-separated, or * [default: none]
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
}

/// A limit, and what happens beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is still allowed.
    pub most: usize,
    /// More is logged and let pass instead of refused.
    pub only_warns: bool,
}

impl Limit {
    /// A limit that refuses.
    #[must_use]
    pub const fn of(most: usize) -> Self {
        Self {
            most,
            only_warns: false,
        }
    }
}

/// Pages of other origins that may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// These; none by default.
    Named(Vec<String>),
    /// All.
    Any,
}

/// What one GraphQL request may ask for. Beyond a limit a client sees the error QUERY_TOO_COMPLEX where nothing
/// else is said.
#[derive(Debug, Clone)]
pub struct GraphqlSettings {
    /// Bytes of a body, or of a query string; then the error is PAYLOAD_TOO_LARGE with status 413 or 414.
    pub body: Limit,
    /// Tokens of a document, counted before it is parsed.
    pub tokens: Limit,
    /// Levels of fields of an operation. Introspection by the usual tools needs 15.
    pub depth: Limit,
    /// Root fields of an operation, fragments followed.
    pub root_fields: Limit,
    /// Aliases in a document.
    pub aliases: Limit,
    /// Directives in a document.
    pub directives: Limit,
    /// Values in the answer of an operation if every page is full: a field counts one, and what is in a list as
    /// often as the list may be long. 100 users with 20 progressions of 5 values each count 10 000.
    pub complexity: Limit,
    /// Requests of one viewer at the same time; more wait, and see TIMEOUT after `timeout`.
    pub concurrent: Limit,
    /// How long a request may take; then it is given up with TIMEOUT.
    pub timeout: Duration,
    /// Whether the schema may be asked for; otherwise `__schema` and `__type` are FORBIDDEN.
    pub introspection: bool,
    /// The only operations that may run, for every viewer; others are FORBIDDEN. `None`: any may run.
    pub safelist: Option<Vec<SafeOperation>>,
    /// Whose pages may read answers in a browser.
    pub origins: Origins,
}

impl Default for GraphqlSettings {
    fn default() -> Self {
        Self {
            body: Limit::of(256 * 1024),
            tokens: Limit::of(5000),
            depth: Limit::of(20),
            root_fields: Limit::of(20),
            aliases: Limit::of(500),
            directives: Limit::of(50),
            complexity: Limit::of(1_000_000),
            concurrent: Limit::of(64),
            timeout: Duration::from_secs(30),
            introspection: true,
            safelist: None,
            origins: Origins::Named(Vec::new()),
        }
    }
}

/// Request times that are neither a mistake in the unit nor longer than proxies wait.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// Deeper documents are refused whatever the setting: the parser recurses.
const DEEPEST: usize = 60;

impl Check {
    pub(super) fn graphql(&mut self, raw: &RawSettings, auth: &AuthSettings) -> GraphqlSettings {
        let raw = &raw.graphql;
        let default = GraphqlSettings::default();
        let mut limit = |name, value: &Option<String>, default: Limit, most| {
            self.limit(name, value.as_ref(), default, most)
        };
        let settings = GraphqlSettings {
            body: limit(
                "GRAPHQL_MAX_BODY",
                &raw.graphql_max_body,
                default.body,
                16 * 1024 * 1024,
            ),
            tokens: limit(
                "GRAPHQL_MAX_TOKENS",
                &raw.graphql_max_tokens,
                default.tokens,
                1_000_000,
            ),
            depth: limit(
                "GRAPHQL_MAX_DEPTH",
                &raw.graphql_max_depth,
                default.depth,
                DEEPEST,
            ),
            root_fields: limit(
                "GRAPHQL_MAX_ROOT_FIELDS",
                &raw.graphql_max_root_fields,
                default.root_fields,
                10_000,
            ),
            aliases: limit(
                "GRAPHQL_MAX_ALIASES",
                &raw.graphql_max_aliases,
                default.aliases,
                100_000,
            ),
            directives: limit(
                "GRAPHQL_MAX_DIRECTIVES",
                &raw.graphql_max_directives,
                default.directives,
                100_000,
            ),
            complexity: limit(
                "GRAPHQL_MAX_COMPLEXITY",
                &raw.graphql_max_complexity,
                default.complexity,
                1_000_000_000,
            ),
            concurrent: limit(
                "GRAPHQL_MAX_CONCURRENT",
                &raw.graphql_max_concurrent,
                default.concurrent,
                100_000,
            ),
            ..default
        };
        GraphqlSettings {
            timeout: self.graphql_timeout(raw, settings.timeout),
            introspection: self.introspection(raw),
            safelist: self.safelist(raw.graphql_safelist.as_deref()),
            origins: self.origins(raw.cors_origins.as_deref(), auth),
            ..settings
        }
    }

    /// A whole number of at least one, with `:warn` behind it or not.
    fn limit(&mut self, name: &str, value: Option<&String>, default: Limit, most: usize) -> Limit {
        let Some(text) = value else { return default };
        let (number, only_warns) = match text.strip_suffix(":warn") {
            Some(number) => (number, true),
            None => (text.as_str(), false),
        };
        match number.parse() {
            Ok(number) if (1..=most).contains(&number) => Limit {
                most: number,
                only_warns,
            },
            _ => {
                self.problems.push(format!(
                    "{name} must be a whole number from 1 to {most}, with or without :warn behind it, not {text:?}"
                ));
                default
            }
        }
    }

    fn graphql_timeout(&mut self, raw: &RawGraphqlSettings, default: Duration) -> Duration {
        let timeout = self.duration("GRAPHQL_TIMEOUT", raw.graphql_timeout.as_ref(), default);
        if !TIMEOUTS.contains(&timeout) {
            self.problems
                .push("GRAPHQL_TIMEOUT must be from 100ms to 5m".to_owned());
        }
        timeout
    }

    fn introspection(&mut self, raw: &RawGraphqlSettings) -> bool {
        match raw.graphql_introspection.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => {
                self.problems.push(format!(
                    "GRAPHQL_INTROSPECTION must be on or off, not {other:?}"
                ));
                true
            }
        }
    }

    fn safelist(&mut self, path: Option<&str>) -> Option<Vec<SafeOperation>> {
        let path = path?;
        let read = std::fs::read_to_string(Path::new(path)).map_err(|error| error.to_string());
        let operations = read.and_then(|text| safe_operations(&text));
        operations
            .map_err(|problem| {
                self.problems
                    .push(format!("GRAPHQL_SAFELIST={path} cannot be used: {problem}"));
            })
            .ok()
    }

    fn origins(&mut self, text: Option<&str>, auth: &AuthSettings) -> Origins {
        let named = list(text.unwrap_or_default());
        if named == ["*"] {
            if matches!(auth, AuthSettings::Off) {
                self.problems.push(
                    "CORS_ORIGINS=* contradicts AUTH=off: every page that you open could read and change everything"
                        .to_owned(),
                );
            }
            return Origins::Any;
        }
        for origin in &named {
            let is_origin = Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && !origin.contains('*')
                    && url.origin().ascii_serialization() == *origin
            });
            if !is_origin {
                self.problems.push(format!(
                    "CORS_ORIGINS must be * alone or origins such as https://app.example.com, without a path; {origin:?} is none"
                ));
            }
        }
        Origins::Named(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(raw: RawGraphqlSettings) -> (GraphqlSettings, Vec<String>) {
        let raw = RawSettings {
            graphql: raw,
            ..RawSettings::default()
        };
        let mut check = Check::default();
        let settings = check.graphql(&raw, &AuthSettings::Off);
        (settings, check.problems)
    }

    #[test]
    fn a_limit_may_only_warn() {
        let (settings, problems) = checked(RawGraphqlSettings {
            graphql_max_depth: Some("12:warn".to_owned()),
            graphql_max_tokens: Some("500".to_owned()),
            ..RawGraphqlSettings::default()
        });
        assert_eq!(problems, Vec::<String>::new());
        assert!(settings.depth.only_warns && settings.depth.most == 12);
        assert_eq!(settings.tokens, Limit::of(500));
    }

    #[test]
    fn what_is_no_limit_is_named() {
        for wrong in ["0", "-1", "many", "12:log", "61", ":warn", ""] {
            let (_, problems) = checked(RawGraphqlSettings {
                graphql_max_depth: Some(wrong.to_owned()),
                ..RawGraphqlSettings::default()
            });
            assert_eq!(problems.len(), 1, "{wrong:?}");
            assert!(problems[0].starts_with("GRAPHQL_MAX_DEPTH"), "{problems:?}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_no_star() {
        let origins = |text: &str| {
            checked(RawGraphqlSettings {
                cors_origins: Some(text.to_owned()),
                ..RawGraphqlSettings::default()
            })
        };
        let (settings, problems) = origins("https://a.example, http://localhost:3000");
        assert_eq!(problems, Vec::<String>::new());
        let named = ["https://a.example", "http://localhost:3000"].map(str::to_owned);
        assert_eq!(settings.origins, Origins::Named(named.to_vec()));
        for wrong in [
            "https://a.example/",
            "https://a.example/app",
            "a.example",
            "https://*.example",
            "*, https://a.example",
            "null",
        ] {
            assert_eq!(origins(wrong).1.len(), 1, "{wrong}");
        }
        assert!(origins("*").1[0].contains("AUTH=off"));
    }

    #[test]
    fn a_safelist_that_cannot_be_read_is_named() {
        let (_, problems) = checked(RawGraphqlSettings {
            graphql_safelist: Some("/nowhere/manifest.json".to_owned()),
            ..RawGraphqlSettings::default()
        });
        assert!(problems[0].starts_with("GRAPHQL_SAFELIST=/nowhere/manifest.json"));
    }
}
