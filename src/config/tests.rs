//! What is refused at the start, and in which words.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::{RawGraphqlSettings, RawSettings, Settings, trace_settings};

fn complete() -> RawSettings {
    RawSettings {
        database_url: Some("postgres://localhost/kombo".to_owned()),
        kombo_api_key: Some("ks_dev_1".to_owned()),
        kombo_webhook_secret: Some("old, new".to_owned()),
        api_read_tokens: Some("reader".to_owned()),
        ..RawSettings::default()
    }
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let raw = RawSettings {
        listen_addr: Some("everywhere".to_owned()),
        full_fetch_interval: Some("weekly".to_owned()),
        sync_workers: Some("0".to_owned()),
        sync_lease: Some("1ms".to_owned()),
        log_format: Some("xml".to_owned()),
        role: Some("leader".to_owned()),
        kombo_api_url: Some("api.kombo.dev".to_owned()),
        graphql: RawGraphqlSettings {
            graphql_max_aliases: Some("few".to_owned()),
            graphql_timeout: Some("1h".to_owned()),
            graphql_introspection: Some("perhaps".to_owned()),
            cors_origins: Some("app.example.com".to_owned()),
            ..RawGraphqlSettings::default()
        },
        ..RawSettings::default()
    };
    let problems = Settings::check(&raw).unwrap_err();
    for name in [
        "GRAPHQL_MAX_ALIASES",
        "GRAPHQL_TIMEOUT",
        "GRAPHQL_INTROSPECTION",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "KOMBO_API_KEY",
        "KOMBO_WEBHOOK_SECRET",
        "LISTEN_ADDR",
        "API_READ_TOKENS",
        "FULL_FETCH_INTERVAL",
        "SYNC_WORKERS",
        "SYNC_LEASE",
        "LOG_FORMAT",
        "ROLE",
        "KOMBO_API_URL",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(name)),
            "{name} is not named in {problems:?}"
        );
    }
}

// An absurd duration must not leave the calendar in the middle of a run, nor make one follow the other.
#[test]
fn absurd_intervals_are_refused() {
    for wrong in ["300000y", "20000y", "0s"] {
        let raw = RawSettings {
            full_fetch_interval: Some(wrong.to_owned()),
            catch_up_interval: Some(wrong.to_owned()),
            watermark_overlap: Some("300000y".to_owned()),
            ..complete()
        };
        let problems = Settings::check(&raw).unwrap_err().join(", ");
        for name in ["FULL_FETCH", "CATCH_UP", "WATERMARK_OVERLAP"] {
            assert!(problems.contains(name), "{wrong}: {problems}");
        }
    }
}

// F56: no secret, no server.
#[test]
fn an_empty_webhook_secret_is_refused() {
    let raw = RawSettings {
        kombo_webhook_secret: Some(" , ".to_owned()),
        ..complete()
    };
    let problems = Settings::check(&raw).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("KOMBO_WEBHOOK_SECRET"));
}

// A process needs what its role uses: a worker opens no door, an api process asks Kombo nothing.
#[test]
fn each_role_needs_only_what_it_uses() {
    let named = |role: &str| {
        let raw = RawSettings {
            role: Some(role.to_owned()),
            ..RawSettings::default()
        };
        Settings::check(&raw).unwrap_err().join(", ")
    };
    let needs = |role, names: &[&str]| {
        let problems = named(role);
        for name in [
            "DATABASE_URL",
            "KOMBO_API_KEY",
            "KOMBO_WEBHOOK_SECRET",
            "API_READ_TOKENS",
        ] {
            assert_eq!(
                problems.contains(name),
                names.contains(&name),
                "{role}: {problems}"
            );
        }
    };
    needs("worker", &["DATABASE_URL", "KOMBO_API_KEY"]);
    needs(
        "api",
        &["DATABASE_URL", "KOMBO_WEBHOOK_SECRET", "API_READ_TOKENS"],
    );
    let problems = Settings::check_for_sync(&RawSettings::default()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn auth_off_is_refused_beyond_loopback_and_beside_tokens() {
    let raw = RawSettings {
        auth: Some("off".to_owned()),
        listen_addr: Some("0.0.0.0:80".to_owned()),
        ..complete()
    };
    assert_eq!(Settings::check(&raw).unwrap_err().len(), 2);
}

#[test]
fn secrets_never_appear_in_debug() {
    let settings = Settings::check(&complete()).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("ks_dev_1") && !shown.contains("reader"));
    assert_eq!(settings.webhook_secrets.len(), 2);
}

#[test]
fn a_secret_may_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ks_dev_2\n").unwrap();
    let raw = RawSettings {
        kombo_api_key: None,
        kombo_api_key_file: Some(file.path().display().to_string()),
        ..complete()
    };
    let settings = Settings::check(&raw).unwrap();
    assert_eq!(settings.kombo.api_key.expose_secret(), "ks_dev_2");
}

const JWT_SECRET: &str = "thirty-two bytes or more of chance";

fn with_jwt() -> RawSettings {
    RawSettings {
        api_read_tokens: None,
        jwt_secret: Some(JWT_SECRET.to_owned()),
        ..complete()
    }
}

#[test]
fn one_way_to_know_viewers_is_enough_and_off_contradicts_each() {
    let by_url = RawSettings {
        api_read_tokens: None,
        jwt_jwks_url: Some("https://issuer.example.com/keys".to_owned()),
        ..complete()
    };
    for raw in [complete(), with_jwt(), by_url] {
        assert!(Settings::check(&raw).is_ok());
        let off = RawSettings {
            auth: Some("off".to_owned()),
            ..raw
        };
        assert_eq!(Settings::check(&off).unwrap_err().len(), 1);
    }
}

#[test]
fn settings_of_jwts_that_would_let_in_too_many_or_nobody_are_refused() {
    let problem = |change: fn(&mut RawSettings)| {
        let mut raw = with_jwt();
        change(&mut raw);
        Settings::check(&raw).unwrap_err().join(", ")
    };
    let short = problem(|raw| raw.jwt_secret = Some("x".repeat(31)));
    assert!(
        short.contains("JWT_SECRET") && short.contains("32 bytes"),
        "{short}"
    );
    for url in ["issuer.example.com", "file:///keys.json", "https://"] {
        let mut raw = with_jwt();
        raw.jwt_jwks_url = Some(url.to_owned());
        let problems = Settings::check(&raw).unwrap_err().join(", ");
        assert!(problems.contains("JWT_JWKS_URL"), "{url}: {problems}");
    }
    let unused = problem(|raw| {
        raw.jwt_secret = None;
        raw.api_read_tokens = Some("reader".to_owned());
        raw.jwt_issuer = Some("https://issuer.example.com".to_owned());
    });
    assert!(unused.contains("JWT_ISSUER"), "{unused}");
    let shown = format!("{:?}", Settings::check(&with_jwt()).unwrap());
    assert!(!shown.contains(JWT_SECRET));
}

#[test]
fn graphql_reads_the_same_database_unless_told_otherwise_and_never_without_a_limit() {
    let settings = Settings::check(&complete()).unwrap();
    assert_eq!(
        settings.database_read_url.expose_secret(),
        settings.database_url.expose_secret()
    );
    assert_eq!(settings.database_read_max_lag, Duration::from_secs(10));
    for wrong in ["0s", "1ms", "1h", "soon"] {
        let raw = RawSettings {
            database_read_max_lag: Some("1s".to_owned()),
            graphql_statement_timeout: Some(wrong.to_owned()),
            database_read_url: Some("mysql://standby/kombo".to_owned()),
            ..complete()
        };
        let problems = Settings::check(&raw).unwrap_err().join(", ");
        assert!(
            problems.contains("GRAPHQL_STATEMENT_TIMEOUT"),
            "{wrong}: {problems}"
        );
        assert!(problems.contains("DATABASE_READ_URL"), "{problems}");
        assert!(problems.contains("DATABASE_READ_MAX_LAG"), "{problems}");
    }
}

#[test]
fn spans_go_where_the_settings_say() {
    let given = RawSettings {
        otel_exporter_otlp_endpoint: Some("https://collector.example:4318/base/".to_owned()),
        otel_exporter_otlp_headers: Some("api-key=a%20key, x-tenant = 7".to_owned()),
        otel_service_name: Some("mirror".to_owned()),
        otel_traces_sampler_arg: Some("0.25".to_owned()),
        ..RawSettings::default()
    };
    let settings = trace_settings(&given);
    let endpoint = settings.endpoint.as_ref().map(|url| url.expose_secret());
    assert_eq!(endpoint, Some("https://collector.example:4318/base"));
    let headers = settings.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(headers, [("api-key", "a key"), ("x-tenant", "7")]);
    assert_eq!(
        (settings.service_name.as_str(), settings.share),
        ("mirror", 0.25)
    );
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("a key") && !shown.contains("collector"),
        "{shown}"
    );
    let nothing = trace_settings(&RawSettings::default());
    assert!(nothing.endpoint.is_none() && nothing.headers.is_empty());
}

#[test]
fn settings_of_spans_that_cannot_be_meant_are_named() {
    let wrong = RawSettings {
        otel_exporter_otlp_endpoint: Some("collector:4318".to_owned()),
        otel_exporter_otlp_headers: Some("a-secret-without-a-name".to_owned()),
        otel_traces_sampler_arg: Some("2".to_owned()),
        ..RawSettings::default()
    };
    let problems = Settings::check(&wrong).unwrap_err().join("\n");
    for name in [
        "OTEL_EXPORTER_OTLP_ENDPOINT must be",
        "OTEL_EXPORTER_OTLP_HEADERS must be",
        "OTEL_TRACES_SAMPLER_ARG must be from 0 to 1",
    ] {
        assert!(problems.contains(name), "{name} is not in: {problems}");
    }
    assert!(!problems.contains("a-secret"), "{problems}");
}
