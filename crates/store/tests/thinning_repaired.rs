//! A record that was thinned out and then broke: what was thinned out is not taken for lost, and what a backup from before
//! still has comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod traded;

use common::*;
use neo_store::backup::{Retention, take};
use neo_store::repair::{Outcome, Repaired, Whose, repair};
use neo_store::verify::Severity;
use neo_store::{restore, verify};
use traded::*;

const PAGE: i64 = 4_096;

/// Zeros in the place of a leaf of a table.
fn break_leaf_of(place: &Place, table: &str) {
    use std::io::{Seek, SeekFrom, Write};
    let conn = place.sql();
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 2";
    let page: i64 = conn.query_row(sql, [table], |row| row.get(0)).unwrap();
    conn.close().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&place.path).unwrap();
    file.seek(SeekFrom::Start(u64::try_from((page - 1) * PAGE).unwrap())).unwrap();
    file.write_all(&[0; 4_096]).unwrap();
}

fn mended(place: &Place) -> Repaired {
    match repair(&place.path, &Whose::Only(identity()), after(LEDGERS), &mut |_| {}).unwrap() {
        Outcome::Repaired(done) => *done,
        Outcome::Sound { .. } => panic!("it was not damaged"),
    }
}

/// Nothing weighs but what the repair itself left to fetch.
fn weighs(place: &Place) -> Vec<String> {
    let findings = verify(&place.path).unwrap().findings;
    findings.into_iter().filter(|one| one.severity == Severity::Error).map(|one| one.text).collect()
}

#[test]
fn what_was_thinned_out_is_not_lost_where_no_backup_has_it() {
    let place = traded();
    thin(&place);
    let (left, gone) = (snapshots(&place), thinned_rows(&place));
    break_leaf_of(&place, "intents");
    let done = mended(&place);
    assert!(done.backup.is_none() && done.missing_rows > 0 && done.missing_rows < 40, "{done:?}");
    assert_eq!((snapshots(&place), thinned_rows(&place)), (left, gone));
    assert_eq!(weighs(&place), [""; 0]);
    assert_eq!(verify(&place.path).unwrap().facts.thinned, u64::try_from(gone).unwrap());
}

#[test]
fn what_a_backup_from_before_has_is_there_again_and_not_called_thinned_out() {
    let place = traded();
    let all = snapshots(&place);
    take(&place.path, &Retention::default(), at(0), &mut |_| {}).unwrap();
    thin(&place);
    break_leaf_of(&place, "intents");
    let done = mended(&place);
    assert!(done.backup.is_some() && done.missing_rows == 0, "{done:?}");
    assert_eq!((snapshots(&place), thinned_rows(&place)), (all, 0));
    assert_eq!(weighs(&place), [""; 0]);
}

/// A backup from the middle: the hours that it has thinned out stay so.
#[test]
fn of_what_was_thinned_out_before_and_after_a_backup_only_the_later_part_comes_back() {
    let place = traded();
    thin_at(&place, after(1_000));
    let (then, gone) = (snapshots(&place), thinned_rows(&place));
    assert!(gone > 0);
    take(&place.path, &Retention::default(), at(0), &mut |_| {}).unwrap();
    thin(&place);
    assert!(thinned_rows(&place) > gone);
    break_leaf_of(&place, "valuation_snapshots");
    mended(&place);
    assert_eq!((snapshots(&place), thinned_rows(&place)), (then, gone));
    assert_eq!(weighs(&place), [""; 0]);
}

#[test]
fn a_list_that_cannot_be_true_is_not_taken_over() {
    let place = traded();
    thin(&place);
    let gone = thinned_rows(&place);
    sql(
        &place,
        "UPDATE thinned SET steps = replace(steps, '[', '[9') WHERE first_seq = (SELECT min(first_seq) FROM thinned)",
    );
    break_leaf_of(&place, "intents");
    let done = mended(&place);
    let refused = done.tables.iter().find(|account| account.table == "thinned").unwrap().refused;
    assert_eq!(refused, 1);
    assert!(thinned_rows(&place) < gone);
    // What it named is a loss that the repair wrote down.
    assert!(done.missing_rows > 100, "{}", done.missing_rows);
    assert_eq!(weighs(&place), [""; 0]);
}

#[test]
fn a_restore_brings_the_rows_back_and_counts_none_of_them_as_lost() {
    let place = traded();
    let all = snapshots(&place);
    take(&place.path, &Retention::default(), at(0), &mut |_| {}).unwrap();
    thin(&place);
    let done = restore::restore(&place.path, "latest", at(50), &mut |_| {}).unwrap();
    let restore::Present::Readable { lost, .. } = &done.former else { panic!("{:?}", done.former) };
    assert!(lost.is_nothing(), "{lost:?}");
    assert_eq!(snapshots(&place), all);
    assert_eq!(weighs(&place), [""; 0]);
}
