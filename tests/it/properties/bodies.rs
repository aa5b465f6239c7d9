//! The readers of what comes over the wire: any bytes, and real bodies damaged.

use std::path::Path;

use kombo_mirror::inbox::{Content, News};
use kombo_mirror::kombo::{Page, Remedy};
use kombo_mirror::models::page::PageRows;
use kombo_mirror::models::{self, Endpoint};
use kombo_mirror::webhook::read_event;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::mutation::{damaged, damages};

/// The recorded bodies of a folder, by name.
pub(super) fn recorded(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder);
    let mut bodies: Vec<_> = std::fs::read_dir(path)
        .expect("the folder is there")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    bodies.sort();
    assert!(bodies.len() >= 4, "{folder}");
    bodies
}

/// The recorded page of each endpoint.
pub(super) fn pages() -> Vec<(&'static Endpoint, Vec<u8>)> {
    let of = |name: &str| {
        models::ALL
            .iter()
            .copied()
            .find(|endpoint| endpoint.path.trim_start_matches("/lms/") == name)
    };
    let pages = recorded("lms").into_iter();
    pages
        .map(|(name, body)| {
            let endpoint = of(name.trim_end_matches(".json"));
            (endpoint.expect("an endpoint's page"), body)
        })
        .collect()
}

/// Any bytes, and what looks like a body until it does not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        "[\\[\\]{}\",:\\\\ue0-9a-z ]{0,300}".prop_map(String::into_bytes),
    ]
}

/// Reads a page as the sync does.
fn read_page(body: &[u8], endpoint: &Endpoint) -> Result<(), TestCaseError> {
    let page = match Page::read(body) {
        Ok(page) => page,
        Err(error) => {
            prop_assert_eq!(&error.code, "MIRROR.UNREADABLE_ANSWER");
            prop_assert_eq!(error.remedy, Remedy::RetryLater);
            return Ok(());
        }
    };
    let rows = PageRows::read(endpoint, &page.records);
    let own = rows
        .batch(endpoint.tables[0])
        .map_or(0, |batch| batch.len());
    let duplicates = usize::try_from(rows.duplicates).expect("a small number");
    prop_assert!(
        own + rows.parked.len() <= page.records.len(),
        "more rows than records"
    );
    prop_assert!(
        own + rows.parked.len() + duplicates >= page.records.len(),
        "a record is neither stored, nor parked, nor a duplicate"
    );
    for parked in &rows.parked {
        prop_assert!(!parked.error.is_empty());
    }
    Ok(())
}

proptest! {
    // Rule 13, F17, F43: any bytes are a page, or an answer worth repeating.
    #[test]
    fn any_bytes_are_a_page_or_unreadable(body in bytes()) {
        for endpoint in models::ALL {
            read_page(&body, endpoint)?;
        }
    }

    // Rule 14: every record of a damaged page is stored, parked or a duplicate.
    #[test]
    fn no_record_of_a_damaged_page_is_lost(page in select(pages()), damages in damages()) {
        let (endpoint, body) = page;
        read_page(&damaged(&body, &damages), endpoint)?;
    }

    // Rule 1, F58: any bytes are an event, or malformed.
    #[test]
    fn any_bytes_are_an_event_or_malformed(body in bytes()) {
        if let Ok(event) = read_event(&body) {
            prop_assert!(!event.id.is_empty());
        }
    }

    // Rule 1, F58, F60: what is accepted can be stored.
    #[test]
    fn a_damaged_event_is_malformed_or_can_be_stored(event in select(recorded("webhooks")), damages in damages()) {
        let body = damaged(&event.1, &damages);
        let Ok(event) = read_event(&body) else {
            return Ok(());
        };
        prop_assert!(!event.id.is_empty() && event.id.len() <= 800);
        prop_assert!(!event.id.contains('\0') && !event.kind.contains('\0'));
        prop_assert_eq!(event.payload.as_bytes(), &body[..]);
        match event.content {
            Content::News { integration_id, news, .. } => {
                prop_assert!(!integration_id.is_empty() && integration_id.len() <= 255);
                if let News::DataChanged(Some(models)) = news {
                    prop_assert!(models.iter().all(|name| !name.contains('\0')));
                }
            }
            Content::Other { .. } => {}
        }
    }
}
