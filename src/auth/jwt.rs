//! What a checked token says: whether it holds now and here, and what its bearer may do and see.
//!
//! Nothing is guessed: a claim that is missing or that is not understood never widens what may be seen.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{JWT, Refused, Scope, Viewer};
use crate::integrations;

/// How far the issuer's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// Characters of a viewer's name.
const LONGEST_NAME: usize = 100;

/// The last moment that the calendar can write down safely: the year 9999.
const LAST_MOMENT: f64 = 253_402_300_799.0;

/// What a token must say of where it comes from and for whom it is.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMore>,
    exp: Option<f64>,
    nbf: Option<f64>,
    scope: Option<String>,
    integrations: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// The viewer that a token's payload speaks of; its signature was checked before.
pub(super) fn viewer(
    payload: &[u8],
    expected: &Expected,
    now: DateTime<Utc>,
) -> Result<Viewer, Refused> {
    let claims: Claims = serde_json::from_slice(payload)
        .map_err(|_| Refused::BadToken("the token has a claim of the wrong type"))?;
    let expires_at = moment(claims.exp)?.ok_or(Refused::BadToken("the token has no exp"))?;
    if now >= expires_at + LEEWAY {
        return Err(Refused::BadToken("the token has expired"));
    }
    if moment(claims.nbf)?.is_some_and(|begin| now + LEEWAY < begin) {
        return Err(Refused::BadToken("the token is not valid yet (nbf)"));
    }
    if expected.issuer.is_some() && claims.iss != expected.issuer {
        return Err(Refused::BadToken("the token is of another issuer (iss)"));
    }
    check_audience(claims.aud.as_ref(), &expected.audiences)?;
    Ok(Viewer {
        scope: scope(claims.scope.as_deref())?,
        integrations: visible(claims.integrations)?,
        name: name(claims.sub.as_deref()),
        expires_at: Some(expires_at),
    })
}

/// A NumericDate (RFC 7519, section 2): seconds, perhaps with a fraction.
fn moment(seconds: Option<f64>) -> Result<Option<DateTime<Utc>>, Refused> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked, and a fraction of a second is none of ours"
    )]
    (0.0..=LAST_MOMENT)
        .contains(&seconds)
        .then(|| DateTime::from_timestamp(seconds as i64, 0))
        .flatten()
        .map(Some)
        .ok_or(Refused::BadToken("the token has an impossible date"))
}

/// Who is not named by a token that names somebody must refuse it (RFC 7519, section 4.1.3): an issuer signs for
/// many services, and what it gives one of them must not open the others.
fn check_audience(aud: Option<&OneOrMore>, ours: &[String]) -> Result<(), Refused> {
    let theirs = match aud {
        None => &[],
        Some(OneOrMore::One(one)) => std::slice::from_ref(one),
        Some(OneOrMore::More(more)) => more.as_slice(),
    };
    if aud.is_none() && ours.is_empty() || theirs.iter().any(|one| ours.contains(one)) {
        return Ok(());
    }
    Err(Refused::BadToken("the token is for another audience (aud)"))
}

/// OAuth's form: words with spaces between them (RFC 8693, section 4.2); others may stand beside ours.
fn scope(words: Option<&str>) -> Result<Scope, Refused> {
    let has = |wanted: &str| {
        let mut words = words.unwrap_or_default().split(' ');
        words.any(|word| word == wanted)
    };
    if has("admin") {
        Ok(Scope::Admin)
    } else if has("read") {
        Ok(Scope::Read)
    } else {
        Err(Refused::BadToken(
            "the token's scope must contain read or admin",
        ))
    }
}

/// The integrations; `None`: all.
fn visible(claim: Option<Value>) -> Result<Option<Vec<String>>, Refused> {
    let wrong = Refused::BadToken(
        "the token's integrations must be a list of Kombo integration ids, or the text *",
    );
    match claim {
        Some(Value::String(all)) if all == "*" => Ok(None),
        Some(Value::Array(ids)) => ids
            .into_iter()
            .map(|id| match id {
                // else two ids could stand in one
                Value::String(id) if integrations::is_usable_id(&id) => Ok(id),
                _ => Err(wrong),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        _ => Err(wrong),
    }
}

/// Never to be mistaken for a token of the settings, nor for several lines of a log.
fn name(subject: Option<&str>) -> String {
    let subject: String = subject
        .unwrap_or("without sub")
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_NAME)
        .collect();
    format!("{JWT}{subject}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn good() -> Value {
        json!({ "sub": "alice", "scope": "read", "integrations": ["moodle:1"], "exp": 1_800_000_060 })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut claims = good();
        claims[member] = value;
        claims
    }

    fn without(member: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(member);
        claims
    }

    fn read(claims: &Value, expected: &Expected) -> Result<Viewer, Refused> {
        viewer(claims.to_string().as_bytes(), expected, now())
    }

    fn of(claims: &Value) -> Result<Viewer, Refused> {
        read(claims, &Expected::default())
    }

    #[test]
    fn a_token_says_who_may_do_and_see_what_until_when() {
        let viewer = of(&good()).unwrap();
        assert_eq!(viewer.scope, Scope::Read);
        assert_eq!(viewer.integrations, Some(vec!["moodle:1".to_owned()]));
        assert_eq!(viewer.name, "jwt alice");
        assert_eq!(viewer.expires_at.unwrap().timestamp(), 1_800_000_060);
        assert_eq!(
            of(&with("integrations", json!("*"))).unwrap().integrations,
            None
        );
        let nobody = of(&with("integrations", json!([]))).unwrap();
        assert!(!nobody.sees("moodle:1"));
        let admin = of(&with("scope", json!("openid read admin"))).unwrap();
        assert_eq!(admin.scope, Scope::Admin);
    }

    // fail closed: less said is less seen
    #[test]
    fn a_claim_that_is_missing_or_strange_refuses_the_token() {
        for bad in [
            without("scope"),
            without("integrations"),
            without("exp"),
            with("scope", json!("")),
            with("scope", json!("write")),
            with("scope", json!("ADMIN")),
            with("scope", json!("readadmin")),
            with("scope", json!(["admin"])),
            with("integrations", json!(null)),
            with("integrations", json!("moodle:1")),
            with("integrations", json!({})),
            with("integrations", json!([1])),
            with("integrations", json!(["moodle:1", null])),
            with("integrations", json!(["a\nb"])),
            with("integrations", json!([""])),
            with("exp", json!("1800000060")),
            with("exp", json!(null)),
            with("exp", json!(1e300)),
            with("exp", json!(-1)),
            with("nbf", json!("soon")),
            with("nbf", json!(1e300)),
        ] {
            assert!(of(&bad).is_err(), "{bad}");
        }
        let twice = r#"{"scope":"read","scope":"admin","integrations":"*","exp":1800000060}"#;
        assert!(viewer(twice.as_bytes(), &Expected::default(), now()).is_err());
    }

    #[test]
    fn a_list_with_a_star_in_it_is_no_star() {
        let viewer = of(&with("integrations", json!(["*"]))).unwrap();
        assert!(!viewer.sees("moodle:1"));
    }

    #[test]
    fn a_token_holds_from_its_beginning_to_its_end_and_half_a_minute_more() {
        let moment = now().timestamp();
        for (claim, value, is_good) in [
            ("exp", moment - 29, true),
            ("exp", moment - 30, false),
            ("nbf", moment + 30, true),
            ("nbf", moment + 31, false),
        ] {
            assert_eq!(
                of(&with(claim, json!(value))).is_ok(),
                is_good,
                "{claim} {value}"
            );
        }
    }

    #[test]
    fn issuer_and_audience_must_be_the_expected_ones() {
        let expected = Expected {
            issuer: Some("https://issuer".to_owned()),
            audiences: vec!["mirror".to_owned(), "other".to_owned()],
        };
        let mut claims = good();
        claims["iss"] = json!("https://issuer");
        for (aud, is_good) in [
            (json!("mirror"), true),
            (json!(["billing", "other"]), true),
            (json!("billing"), false),
            (json!([]), false),
            (json!(null), false),
            (json!(7), false),
        ] {
            claims["aud"] = aud;
            assert_eq!(read(&claims, &expected).is_ok(), is_good, "{claims}");
        }
        claims["aud"] = json!("mirror");
        claims["iss"] = json!("https://issuer/");
        assert!(read(&claims, &expected).is_err());
        assert!(
            of(&with("aud", json!("mirror"))).is_err(),
            "for somebody, and not for us"
        );
        assert!(of(&with("iss", json!("https://issuer"))).is_ok());
    }

    #[test]
    fn a_name_is_one_short_line_and_never_that_of_another_kind_of_token() {
        let viewer = of(&with(
            "sub",
            json!(format!("admin token 1\r\n{}", "x".repeat(500))),
        ))
        .unwrap();
        assert!(viewer.name.starts_with("jwt admin token 1xx"));
        assert_eq!(viewer.name.chars().count(), 4 + LONGEST_NAME);
    }
}
