//! Tokens from the settings: random texts that open one scope over every integration.
//!
//! Comparing must never take a time that tells how much of a token was right.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::{Scope, Viewer};

/// The tokens of the settings.
#[derive(Default)]
pub(super) struct Tokens {
    read: Vec<SecretString>,
    admin: Vec<SecretString>,
}

impl Tokens {
    pub(super) fn new(read: &[SecretString], admin: &[SecretString]) -> Self {
        Self {
            read: read.to_vec(),
            admin: admin.to_vec(),
        }
    }

    /// Whose token it is; in both lists it is an admin's.
    pub(super) fn viewer(&self, token: &str) -> Option<Viewer> {
        let admin = position(&self.admin, token).map(|place| (Scope::Admin, "admin", place));
        let read = position(&self.read, token).map(|place| (Scope::Read, "read", place));
        let (scope, word, place) = admin.or(read)?;
        Some(Viewer::of_everything(
            scope,
            format!("{word} token {place}"),
        ))
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

    fn tokens() -> Tokens {
        Tokens::new(&["reader".into()], &["old".into(), "boss".into()])
    }

    #[test]
    fn a_token_gives_its_scope_and_a_name_without_the_token() {
        let viewer = tokens().viewer("boss").unwrap();
        assert_eq!(viewer.scope, Scope::Admin);
        assert_eq!(viewer.name, "admin token 2");
        assert_eq!(tokens().viewer("reader").unwrap().scope, Scope::Read);
    }

    #[test]
    fn anything_else_is_nobody() {
        for given in ["", "boss2", "bos", "Boss"] {
            assert!(tokens().viewer(given).is_none(), "{given:?}");
        }
    }
}
