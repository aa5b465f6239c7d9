//! What is refused at the start, and in which words.

use secrecy::ExposeSecret as _;

use super::{RawGraphqlSettings, RawSettings, Settings};

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
