//! Keys that tokens are checked with, and what a published key says (RFC 7517, 7518 and 8037).
//!
//! A key is of one kind and checks only what that kind can sign: what a token's header says never chooses how a key
//! is used. Else a public RSA key, which everybody has, would pass for the secret of HS256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::jws::{Algorithm, Signed};

/// Keys of a published set at most; an issuer has a handful.
const MOST_KEYS: usize = 100;

/// A key that a token may be signed with.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The only algorithm it is meant for, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Secret(ring::hmac::Key),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of the curve, uncompressed.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// The key of HS256.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self {
            id: None,
            algorithm: Some(Algorithm::Hs256),
            material: Material::Secret(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret)),
        }
    }

    /// Whether it can have signed what a token's header says.
    pub(super) fn fits(&self, signed: &Signed<'_>) -> bool {
        let kind = match &self.material {
            Material::Secret(_) => [Algorithm::Hs256].as_slice(),
            Material::Rsa { .. } => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            Material::P256(_) => &[Algorithm::Es256],
            Material::P384(_) => &[Algorithm::Es384],
            Material::Ed25519(_) => &[Algorithm::EdDsa],
        };
        kind.contains(&signed.algorithm) && self.algorithm.is_none_or(|own| own == signed.algorithm)
    }

    /// Whether it has signed the token.
    pub(super) fn verifies(&self, signed: &Signed<'_>) -> bool {
        if !self.fits(signed) {
            return false;
        }
        let (message, signature) = (signed.message, signed.signature.as_slice());
        let by = |algorithm, key: &[u8]| {
            let key = UnparsedPublicKey::new(algorithm, key);
            key.verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Secret(key) => ring::hmac::verify(key, message, signature).is_ok(),
            Material::Rsa { n, e } => rsa(signed.algorithm).is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }),
            Material::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(key) => by(&signature::ED25519, key),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a published set that can check tokens; others are passed over. `None`: it is no set of keys.
pub(super) fn read_set(text: &[u8]) -> Option<Vec<Key>> {
    let set: Published = serde_json::from_slice(text).ok()?;
    let keys = set.keys.into_iter().take(MOST_KEYS);
    Some(
        keys.filter_map(|key| read(serde_json::from_value(key).ok()?))
            .collect(),
    )
}

fn read(jwk: Jwk) -> Option<Key> {
    let is_for_tokens = jwk
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == "sig")
        && jwk
            .key_ops
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !is_for_tokens {
        return None;
    }
    // a key for an algorithm that is not known here is not for tokens that are
    let algorithm = match jwk.alg {
        Some(name) => Some(Algorithm::named(&name)?),
        None => None,
    };
    let decode = |part: Option<String>| URL_SAFE_NO_PAD.decode(part?).ok();
    let point = |x: Option<String>, y: Option<String>, length: usize| {
        let (x, y) = (decode(x)?, decode(y)?);
        let is_full = x.len() == length && y.len() == length;
        is_full.then(|| [&[4], x.as_slice(), y.as_slice()].concat())
    };
    // a published secret (`oct`) is none
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", None) => Material::Rsa {
            n: decode(jwk.n)?,
            e: decode(jwk.e)?,
        },
        ("EC", Some("P-256")) => Material::P256(point(jwk.x, jwk.y, 32)?),
        ("EC", Some("P-384")) => Material::P384(point(jwk.x, jwk.y, 48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(decode(jwk.x)?),
        _ => return None,
    };
    Some(Key {
        id: jwk.kid,
        algorithm,
        material,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn count(key: &serde_json::Value) -> usize {
        let set = json!({ "keys": [key] }).to_string();
        read_set(set.as_bytes()).unwrap().len()
    }

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "kid": "1" });
        assert_eq!(count(&good), 1);
        for (member, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("ECDH-ES")),
            ("crv", json!("X25519")),
            ("kty", json!("oct")),
            ("x", json!("?")),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert_eq!(count(&bad), 0, "{bad}");
        }
        let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "1" });
        assert_eq!(count(&secret), 0);
        assert!(read_set(b"<html>").is_none());
    }

    // a public key, which everybody has, must not pass for the secret of HS256
    #[test]
    fn a_key_checks_only_what_its_kind_can_sign() {
        let public = [7; 32];
        let x = URL_SAFE_NO_PAD.encode(public);
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] }).to_string();
        let key = read_set(set.as_bytes()).unwrap().remove(0);
        let forged = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public);
        let signed = Signed {
            algorithm: Algorithm::Hs256,
            key_id: None,
            message: b"a.b",
            signature: ring::hmac::sign(&forged, b"a.b").as_ref().to_vec(),
            payload: Vec::new(),
        };
        assert!(Key::of_secret(&public).verifies(&signed));
        assert!(!key.verifies(&signed));
    }
}
