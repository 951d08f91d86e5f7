//! One bit that is not what was written, in a page of each type. SQLite has no checksum of its pages, so not every flip
//! can be seen; but one that changes an amount must be, and a backup's SHA-256 sees all of them.

use std::collections::BTreeMap;
use std::path::Path;

use neo_store::verify::{Check, Severity};
use neo_store::{backup, verify};
use rusqlite::{Connection, OpenFlags};

use crate::common::at;
use crate::pages::{PageType, by_type};
use crate::trader;

/// Flips in each type of page; `FLIPS=1000` for more.
const FLIPS: u64 = 40;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Who saw a flip first.
fn seen_by(path: &Path) -> Option<Check> {
    match verify(path) {
        // The file is refused or cannot be read to its end.
        Err(_) => Some(Check::Integrity),
        Ok(verification) => {
            verification.findings.iter().find(|finding| finding.severity != Severity::Note).map(|finding| finding.check)
        }
    }
}

/// Every amount and every number of the record, as text.
fn amounts(path: &Path) -> Vec<String> {
    const AMOUNTS: [&str; 5] = [
        "SELECT quote(seq), quote(session), quote(offer_sequence), quote(role), quote(side), quote(xrp_drops), \
         quote(rlusd), quote(ledger_index) FROM fills ORDER BY seq",
        "SELECT quote(seq), quote(session), quote(xrp_drops), quote(rlusd), quote(ledger_index), '', '', '' FROM flows \
         ORDER BY seq",
        "SELECT quote(seq), quote(session), quote(xrp_drops), quote(rlusd), quote(total_value_rlusd), \
         quote(mark_price), quote(ledger_index), '' FROM valuation_snapshots ORDER BY seq",
        "SELECT quote(number), quote(starting_value_rlusd), quote(ending_value_rlusd), quote(ended_at IS NULL), '', '', \
         '', '' FROM sessions ORDER BY number",
        "SELECT quote(seq), quote(state), quote(offer_sequence), '', '', '', '', '' FROM orders ORDER BY seq",
    ];
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut all = Vec::new();
    for sql in AMOUNTS {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            let columns =
                (0..8).map(|column| row.get_ref(column)?.as_bytes().map(String::from_utf8_lossy).map_err(Into::into));
            Ok(columns.collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
        });
        // Where a row cannot be read, that is the difference.
        all.extend(rows.unwrap().map(|row| row.unwrap_or_else(|error| error.to_string())));
    }
    all
}

#[test]
fn a_flipped_bit_that_changes_an_amount_is_found_whatever_page_it_is_in() {
    let flips = std::env::var("FLIPS").map_or(FLIPS, |text| text.parse().expect("FLIPS is a number"));
    let place = trader::record();
    assert_eq!(seen_by(&place.path), None, "the record is whole before anybody touches it");
    let (types, bytes, whole) = (by_type(&place.path), std::fs::read(&place.path).unwrap(), amounts(&place.path));
    assert_eq!(types.len(), 8, "pages of every type: {:?}", types.keys());
    let folder = tempfile::tempdir().unwrap();
    let mut unseen = Vec::new();
    let (mut chance, mut tally): (Chance, BTreeMap<(PageType, &str), u32>) = (Chance(7), BTreeMap::new());
    for (page_type, bytes_of_type) in &types {
        for n in 0..flips {
            let (byte, bit) = (bytes_of_type[chance.below(bytes_of_type.len())], chance.below(8));
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1 << bit;
            // A folder of its own each: no -shm of the one before.
            let path = folder.path().join(format!("{page_type:?}-{n}.db"));
            std::fs::write(&path, &flipped).unwrap();
            let seen = seen_by(&path);
            if seen.is_none()
                && let Some((was, is)) = whole.iter().zip(amounts(&path)).find(|(was, is)| *was != is)
            {
                unseen.push(format!("bit {bit} of byte {byte} ({page_type:?}): {was} became {is}"));
            }
            *tally.entry((*page_type, seen.map_or("none", Check::as_str))).or_default() += 1;
            std::fs::remove_file(&path).unwrap();
        }
    }
    for ((page_type, seen), count) in &tally {
        eprintln!("{page_type:?}: {count} of {flips} found by {seen}");
    }
    assert!(unseen.is_empty(), "{} flips changed an amount unseen: {unseen:#?}", unseen.len());
}

#[test]
fn a_flipped_bit_in_a_backup_is_always_found() {
    let place = trader::record();
    let taken = backup::take(&place.path, &backup::Retention::default(), at(9_000), &mut |_| {}).unwrap();
    let (path, bytes) = (taken.file.path, std::fs::read(&place.path).unwrap());
    assert!(backup::verify(&path).unwrap().sha256_checked);
    let copy = std::fs::read(&path).unwrap();
    let mut chance = Chance(11);
    for bytes_of_type in by_type(&place.path).values() {
        for _ in 0..5 {
            let mut flipped = copy.clone();
            flipped[bytes_of_type[chance.below(bytes_of_type.len())] % bytes.len()] ^= 1 << chance.below(8);
            std::fs::write(&path, &flipped).unwrap();
            assert!(matches!(backup::verify(&path), Err(backup::BackupError::Sha256 { .. })));
        }
    }
    std::fs::write(&path, &copy).unwrap();
    assert!(backup::verify(&path).unwrap().sha256_checked);
}
