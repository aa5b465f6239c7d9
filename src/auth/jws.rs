//! A signed token taken apart (RFC 7515, compact form), before anything in it is believed.
//!
//! Why not the crate `jsonwebtoken`: behind it stands aws-lc or the crate `rsa` with its open advisory
//! (RUSTSEC-2023-0071), and it asks the machine's clock. What is left is small, and the signatures are checked by
//! ring, which TLS brings anyway. It must never accept `none` or a header that demands what is not understood.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Bytes; a longer token is no token. A list of a hundred integrations has five thousand.
const LONGEST_TOKEN: usize = 32 * 1024;

/// How a token is signed (RFC 7518, 8037 and 9864).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of a name in a header or in a key.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Whether who can check can sign as well: only ever with the secret of the settings.
    pub(super) fn is_symmetric(self) -> bool {
        self == Self::Hs256
    }
}

/// A token in its parts.
pub(super) struct Signed<'t> {
    pub(super) algorithm: Algorithm,
    /// Which of the issuer's keys it names.
    pub(super) key_id: Option<String>,
    /// What is signed: header and payload as they were sent.
    pub(super) message: &'t [u8],
    pub(super) signature: Vec<u8>,
    /// What it says, decoded.
    pub(super) payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
    /// The payload is not encoded (RFC 7797).
    b64: Option<serde_json::Value>,
}

/// Takes a token apart; `None`: it is none that could be good.
pub(super) fn read(token: &str) -> Option<Signed<'_>> {
    if token.len() > LONGEST_TOKEN {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    if header.crit.is_some() || header.b64.is_some() {
        return None;
    }
    Some(Signed {
        algorithm: Algorithm::named(&header.alg)?,
        key_id: header.kid,
        message: message.as_bytes(),
        signature: decode(signature)?,
        // a second dot in it is no base64url
        payload: decode(payload)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part("{}"), part("signature"))
    }

    #[test]
    fn only_known_algorithms_are_read() {
        assert!(read(&token(r#"{"alg":"ES256"}"#)).is_some());
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"HS384"}"#,
            r#"{"alg":"es256"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"ES256","crit":["exp"]}"#,
            r#"{"alg":"ES256","b64":false}"#,
            r#"{"alg":"none","alg":"ES256"}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            "[]",
        ] {
            assert!(read(&token(header)).is_none(), "{header}");
        }
    }

    #[test]
    fn a_token_has_three_parts() {
        let good = token(r#"{"alg":"ES256"}"#);
        for bad in ["", ".", "..", "a.b.c", &good[..10], &format!("{good}.e30")] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".*", header in ".*") {
            let _ = read(&text);
            let _ = read(&token(&header));
        }
    }
}
