//! One table of Kombo's own database: rows in the order they were first seen, and the order they changed in.
//!
//! Why two orders: a page has to cost the same on the first and on the thousandth page, also with a million
//! rows. Without `updated_after` a page continues at a row number; with it, at a place in the change log.
//! Rows are never moved and never taken out, so that a cursor keeps its meaning while data changes.
//!
//! Must never know a model, JSON or the clock.

use std::collections::HashMap;

/// A Kombo id: 24 letters and digits, derived from the integration and the remote id.
///
/// The model is deliberately no part of it: a user `1` and a course `1` of one integration share an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KomboId([u8; 24]);

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// FNV-1a over `text`, continued from `start`: quick without compiler optimisation, and stable for ever.
pub(super) fn fingerprint(start: u64, text: &str) -> u64 {
    text.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where a [`fingerprint`] begins.
pub(super) const FINGERPRINT_START: u64 = 0xcbf2_9ce4_8422_2325;

fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl KomboId {
    /// The id of the row called `key` in the integration with this fingerprint.
    pub(super) fn derive(integration: u64, key: &str) -> KomboId {
        let mut state = fingerprint(integration, key);
        let mut id = [0; 24];
        for part in id.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut digits = scramble(state);
            for letter in part {
                *letter = ALPHABET[(digits % 62) as usize];
                digits /= 62;
            }
        }
        KomboId(id)
    }

    /// Reads an id back from text; `None` where the text cannot be one.
    pub(super) fn parse(text: &str) -> Option<KomboId> {
        let bytes: [u8; 24] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(KomboId(bytes))
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is made of ASCII letters and digits")
    }
}

/// What every row has, whatever its model. Moments are milliseconds since 1970; 0 stands for "not".
pub(super) struct Row<T> {
    pub(super) id: KomboId,
    /// When a property of the row itself last changed: Kombo's `changed_at`.
    pub(super) changed: i64,
    /// Kombo's `remote_deleted_at`.
    pub(super) deleted: i64,
    /// What `updated_after` is compared with under the strict reading of nested updates.
    pub(super) strict: i64,
    /// The same under the loose reading; never before `strict`.
    pub(super) loose: i64,
    /// Deleted for more than 14 days.
    pub(super) expired: bool,
    pub(super) body: T,
}

/// Rows of one model of one integration.
pub(super) struct Table<T> {
    pub(super) rows: Vec<Row<T>>,
    by_id: HashMap<KomboId, u32>,
    /// (moment, row), ascending. An entry counts only while the row's mark still equals its moment;
    /// otherwise the row changed again and stands further down.
    pub(super) log: Vec<(i64, u32)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            rows: Vec::new(),
            by_id: HashMap::new(),
            log: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Table {
            rows: Vec::with_capacity(rows),
            by_id: HashMap::with_capacity(rows),
            log: Vec::with_capacity(rows),
        }
    }

    pub(super) fn get(&self, number: u32) -> &Row<T> {
        &self.rows[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Row<T> {
        &mut self.rows[number as usize]
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).expect("a table has fewer than four billion rows")
    }

    pub(super) fn find(&self, id: &str) -> Option<u32> {
        self.number_of(KomboId::parse(id)?)
    }

    pub(super) fn number_of(&self, id: KomboId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn is_live(&self, number: u32) -> bool {
        self.get(number).deleted == 0
    }

    /// Adds a row and returns its number.
    pub(super) fn insert(&mut self, id: KomboId, at: i64, body: T) -> u32 {
        let number = self.len();
        self.by_id.insert(id, number);
        self.rows.push(Row {
            id,
            changed: at,
            deleted: 0,
            strict: at,
            loose: at,
            expired: false,
            body,
        });
        self.log.push((at, number));
        number
    }

    /// A property of the row itself changed.
    pub(super) fn change(&mut self, number: u32, at: i64) {
        self.get_mut(number).changed = at;
        self.redeliver(number, at);
    }

    /// Something inside the row changed that re-delivers it under both readings.
    pub(super) fn redeliver(&mut self, number: u32, at: i64) {
        self.redeliver_loosely(number, at);
        self.get_mut(number).strict = at;
    }

    /// Something inside the row changed that re-delivers it under the loose reading only.
    pub(super) fn redeliver_loosely(&mut self, number: u32, at: i64) {
        let row = &mut self.rows[number as usize];
        if row.loose != at {
            row.loose = at;
            self.log.push((at, number));
        }
    }

    /// Makes the last change of a row look older than it is. The entry that it leaves in the log counts no
    /// more, since it is not the row's mark.
    pub(super) fn backdate(&mut self, number: u32, by: i64) {
        let row = self.get_mut(number);
        row.changed -= by;
        row.strict -= by;
        row.loose -= by;
        let at = row.loose;
        self.log.push((at, number));
        self.log.sort_by_key(|(at, _)| *at);
    }

    /// Sets the deletion mark; false if it was set already.
    pub(super) fn delete(&mut self, number: u32, at: i64) -> bool {
        if !self.is_live(number) {
            return false;
        }
        self.get_mut(number).deleted = at;
        self.change(number, at);
        true
    }

    /// Takes the deletion mark away; false if there was none.
    pub(super) fn undelete(&mut self, number: u32, at: i64) -> bool {
        if self.is_live(number) {
            return false;
        }
        let row = self.get_mut(number);
        row.deleted = 0;
        row.expired = false;
        self.change(number, at);
        true
    }

    /// Brings the log into order after rows with moments of the past were inserted.
    pub(super) fn seal(&mut self) {
        self.log = (0..)
            .zip(&self.rows)
            .map(|(n, row)| (row.loose, n))
            .collect();
        self.log.sort_unstable();
    }
}
