//! Moments, plans, signatures and cursors.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, SecondsFormat};
use kombo_mirror::models::record::parse_time;
use kombo_mirror::models::{self, Mode};
use kombo_mirror::simulator::sign;
use kombo_mirror::sync::plan;
use kombo_mirror::webhook::is_signed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const NAMES: [&str; 10] = [
    "lms_users",
    "lms_courses",
    "lms_course_revisions",
    "lms_course_providers",
    "lms_skills",
    "lms_join_revisions_skills",
    "lms_course_progressions",
    "lms_badges",
    "lms_",
    "hris_employees",
];

fn planned(names: &[&str]) -> BTreeMap<&'static str, Mode> {
    let runs = plan::runs_for(names).into_iter();
    runs.map(|(endpoint, mode)| (endpoint.name, mode)).collect()
}

proptest! {
    // Rule 2, F31: nothing of one model is forgotten because of another, and FULL wins.
    #[test]
    fn a_plan_is_the_union_of_the_plans_of_its_models(names in vec(select(&NAMES[..]), 0..12)) {
        let mut union = BTreeMap::new();
        for name in &names {
            for (endpoint, mode) in planned(&[name]) {
                let strongest = union.entry(endpoint).or_insert(mode);
                *strongest = mode.max(*strongest);
            }
        }
        prop_assert_eq!(planned(&names), union);
    }

    // Rule 2
    #[test]
    fn the_order_and_repetition_of_models_changes_no_plan(names in vec(select(&NAMES[..]), 0..12), by in any::<Index>()) {
        let mut turned = names.clone();
        if !turned.is_empty() {
            turned.rotate_left(by.index(names.len()));
            turned.extend_from_slice(&names);
        }
        prop_assert_eq!(planned(&names), planned(&turned));
    }

    // Rule 1: the safe reading.
    #[test]
    fn an_unknown_name_of_the_lms_adds_every_endpoint_and_any_other_none(name in "[a-z_]{0,12}") {
        let unknown = format!("lms_x{name}");
        prop_assert_eq!(planned(&[&unknown]).len(), models::ALL.len());
        let foreign = format!("x{name}");
        prop_assert!(planned(&[&foreign]).is_empty());
    }

    // Rule 14, F05: a text that is no moment is refused, and never a panic.
    #[test]
    fn any_text_is_a_moment_with_a_year_of_four_digits_or_none(text in prop_oneof![
        any::<String>(),
        "[+-]?[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9:.,]{0,16})?([Zz]|[+-][0-9:]{0,6})*",
    ]) {
        if let Some(time) = parse_time(&text) {
            prop_assert!((1..=9999).contains(&time.year()), "{}", time);
            // and it is written and read again as the same
            let written = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
            prop_assert_eq!(parse_time(&written), Some(time));
        }
    }

    // F04, F05: every moment that Kombo can write is read as that moment, whatever the offset.
    #[test]
    fn a_moment_survives_every_way_of_writing_it(
        milliseconds in -62_135_596_800_000_i64..253_402_300_800_000,
        offset in -23 * 60..24 * 60_i32,
    ) {
        let time = DateTime::from_timestamp_millis(milliseconds).expect("a year of four digits");
        let written = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        prop_assert_eq!(parse_time(&written), Some(time));
        prop_assert_eq!(parse_time(written.trim_end_matches('Z')), Some(time));
        let zone = chrono::FixedOffset::east_opt(offset * 60).expect("less than a day");
        let there = time.with_timezone(&zone);
        if (1..=9999).contains(&there.year()) {
            let there = there.to_rfc3339_opts(SecondsFormat::Millis, false);
            prop_assert_eq!(parse_time(&there), Some(time), "{}", there);
        }
    }

    // Rule 1, F55, F57: what any of the secrets signed is accepted, whatever its bytes are.
    #[test]
    fn what_was_signed_is_accepted(body in vec(any::<u8>(), 0..400), secrets in vec(any::<String>(), 1..4), which in any::<Index>()) {
        let signature = sign(&secrets[which.index(secrets.len())], &body);
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        prop_assert!(is_signed(&secrets, &body, Some(&signature)));
    }

    // Rule 1, F55
    #[test]
    fn one_bit_of_the_body_spoils_the_signature(mut body in vec(any::<u8>(), 1..400), secret in any::<String>(), at in any::<Index>(), bit in 0..8_u8) {
        let signature = sign(&secret, &body);
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        prop_assert!(!is_signed(&[secret.into()], &body, Some(&signature)));
    }

    // Rule 1, F55
    #[test]
    fn one_bit_of_the_signature_spoils_it(body in vec(any::<u8>(), 0..400), secret in any::<String>(), at in any::<Index>(), bit in 0..7_u8) {
        let mut signature = sign(&secret, &body).into_bytes();
        let at = at.index(signature.len());
        signature[at] ^= 1 << bit;
        let signature = String::from_utf8(signature).expect("the eighth bit was left alone");
        prop_assert!(!is_signed(&[secret.into()], &body, Some(&signature)));
    }

    // Rule 1, F55
    #[test]
    fn any_text_that_is_not_the_signature_is_refused(body in vec(any::<u8>(), 0..100), text in any::<String>()) {
        prop_assert!(!is_signed(&["secret".into()], &body, Some(&text)));
    }
}
