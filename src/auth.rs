//! Who asks: a bearer token becomes a [`Viewer`].

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::config::AuthSettings;

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Queries.
    Read,
    /// Queries, what the inbox received, and mutations.
    Admin,
}

/// Who asks, and what they may see.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// What they may do.
    pub scope: Scope,
    /// Kombo ids of the integrations that they may see; `None`: all.
    pub integrations: Option<Vec<String>>,
    /// A name for the record of who asked for what; never the token.
    pub name: String,
}

impl Viewer {
    /// Whether they may see an integration.
    #[must_use]
    pub fn sees(&self, integration_id: &str) -> bool {
        self.integrations
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|id| id == integration_id))
    }
}

/// Finds the viewer of a request by its `Authorization` header; `None`: nobody we know.
#[must_use]
pub fn viewer(settings: &AuthSettings, authorization: Option<&str>) -> Option<Viewer> {
    let (read, admin) = match settings {
        AuthSettings::Off => return Some(named(Scope::Admin, "anybody (AUTH=off)".to_owned())),
        AuthSettings::Tokens { read, admin } => (read, admin),
    };
    let (scheme, token) = authorization?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.trim();
    let admin = position(admin, token).map(|place| (Scope::Admin, format!("admin token {place}")));
    let read = position(read, token).map(|place| (Scope::Read, format!("read token {place}")));
    admin.or(read).map(|(scope, name)| named(scope, name))
}

fn named(scope: Scope, name: String) -> Viewer {
    Viewer {
        scope,
        integrations: None,
        name,
    }
}

/// The place (from 1) of the token that equals `given`; all are compared, each in constant time.
fn position(tokens: &[SecretString], given: &str) -> Option<usize> {
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| equal(token.expose_secret().as_bytes(), given.as_bytes()))
        .map(|(place, _)| place + 1)
        .max()
}

/// Compares keyed digests, so that the time tells nothing about the texts, not even their lengths.
fn equal(known: &[u8], given: &[u8]) -> bool {
    let digest = |text: &[u8]| {
        Hmac::<Sha256>::new_from_slice(b"kombo-mirror token comparison").map(|mut mac| {
            mac.update(text);
            mac
        })
    };
    match (digest(known), digest(given)) {
        (Ok(known), Ok(given)) => known.verify(&given.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AuthSettings {
        AuthSettings::Tokens {
            read: vec!["reader".into()],
            admin: vec!["old".into(), "boss".into()],
        }
    }

    #[test]
    fn a_token_gives_its_scope_and_a_name_without_the_token() {
        let viewer = viewer(&settings(), Some("Bearer boss")).unwrap();
        assert_eq!(viewer.scope, Scope::Admin);
        assert_eq!(viewer.name, "admin token 2");
        let reader = super::viewer(&settings(), Some("bearer reader")).unwrap();
        assert_eq!(reader.scope, Scope::Read);
    }

    #[test]
    fn anything_else_is_nobody() {
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer boss2"),
            Some("Basic boss"),
            Some("boss"),
        ] {
            assert!(viewer(&settings(), header).is_none(), "{header:?}");
        }
    }
}
