//! Old valuation snapshots are thinned out by their rule and by nothing else: what is gone is named, what was lost is still
//! found, a session's result stays to the last digit, and a thinning that is cut off goes on the next time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod traded;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use neo_store::record::*;
use neo_store::thin::preview;
use neo_store::verify::{Check, Severity};
use neo_store::{Options, Reader, Store, Thinned, schema, verify};
use traded::*;

#[test]
fn what_is_old_is_thinned_by_the_rule_and_the_session_says_what_it_said() {
    let place = traded();
    let before = results(&place);
    let all = snapshots(&place);
    let asked = preview(&place.path, 1, after(LEDGERS + 1_000)).unwrap();
    assert_eq!(snapshots(&place), all, "a look removes nothing");
    let done = thin(&place);
    assert_eq!(done, asked);
    assert!(done.finished && done.hours == 4, "{done:?}");

    let left = snapshots(&place);
    assert_eq!(left.len() as u64 + done.rows, all.len() as u64);
    assert!(left.len() * 5 < all.len(), "{} of {}", left.len(), all.len());
    for row in &all {
        let is_first_of_minute = all.iter().find(|other| other.minute() == row.minute()) == Some(row);
        let stays = row.kind != "ledger"
            || is_first_of_minute
            || FILLS.iter().any(|fill| i64::from(*fill) == row.ledger)
            || row.ledger == DEPOSIT;
        assert!(!stays || left.contains(row), "{row:?}");
    }
    assert_eq!(results(&place), before, "to the last digit");

    let verification = verify(&place.path).unwrap();
    assert!(verification.is_clean(), "{:#?}", verification.findings);
    assert_eq!(verification.facts.thinned, done.rows);
    let notes: Vec<_> = verification.findings.iter().map(|finding| (finding.check, finding.severity)).collect();
    assert_eq!(notes, [(Check::Thinned, Severity::Note)]);
    assert_eq!(thin(&place), Thinned { finished: true, ..Thinned::default() }, "a second time there is nothing");
}

#[test]
fn nothing_goes_that_is_young_and_hour_after_hour_is_as_all_at_once() {
    let at_once = traded();
    thin(&at_once);
    let place = traded();
    let mut gone = Vec::new();
    for ledger in (0..=LEDGERS + 900).step_by(300) {
        let young: BTreeSet<i64> =
            snapshots(&place).iter().filter(|row| row.ledger >= i64::from(ledger)).map(|row| row.seq).collect();
        gone.push(thin_at(&place, after(ledger)).rows);
        let left: BTreeSet<i64> = snapshots(&place).iter().map(|row| row.seq).collect();
        assert!(young.is_subset(&left), "older than a day is what was recorded before ledger {ledger}");
    }
    assert!(gone.iter().filter(|rows| **rows > 0).count() >= 3, "{gone:?}");
    assert_eq!(snapshots(&place), snapshots(&at_once));
    assert!(verify(&place.path).unwrap().is_clean());
}

#[test]
fn a_row_that_the_clock_put_into_the_future_is_of_no_age_and_in_nobody_s_way() {
    let place = traded();
    sql(&place, "UPDATE valuation_snapshots SET recorded_at = '2031-01-01T00:00:00.000Z' WHERE ledger_index = 30");
    let all = snapshots(&place);
    let done = thin(&place);
    assert_eq!(done.hours, 3, "{done:?}");
    let kept = |rows: &[Row]| rows.iter().filter(|row| row.hour() == all[29].hour()).count();
    assert_eq!(kept(&snapshots(&place)), kept(&all), "its hour is whole");
}

#[test]
fn what_is_missing_beside_what_was_thinned_is_found() {
    let whole = traded();
    thin(&whole);
    let rows = snapshots(&whole);
    let seq_of = |test: &dyn Fn(&Row) -> bool| rows.iter().find(|row| test(row)).unwrap().seq;
    let fill = i64::from(FILLS[1]);
    let kept = [
        ("the first of a minute", seq_of(&|row| row.kind == "ledger" && row.ledger > 100)),
        ("at a fill", seq_of(&|row| row.ledger == fill)),
        ("the opening one", seq_of(&|row| row.kind == "opening")),
        ("the closing one", seq_of(&|row| row.kind == "closing")),
    ];
    for (what, seq) in kept {
        let place = copy_of(&whole);
        sql(&place, &format!("DELETE FROM valuation_snapshots WHERE seq = {seq}"));
        let errors = errors(&place);
        assert_eq!(errors.len(), 1, "{what}: {errors:?}");
        assert!(errors[0].1.contains(&format!("row {seq} is missing")), "{what}: {errors:?}");
    }
    let place = copy_of(&whole);
    sql(&place, "DELETE FROM intents WHERE sequence = 55");
    assert!(errors(&place).iter().any(|(check, text)| *check == Check::Sequence && text.contains("deleted by hand")));
}

#[test]
fn a_list_that_was_changed_explains_nothing() {
    let whole = traded();
    thin(&whole);
    let other = snapshots(&whole)[40].seq;
    let cases = [
        ("UPDATE thinned SET rows_removed = rows_removed + 1".to_string(), Check::Thinned),
        ("UPDATE thinned SET steps = '[1]'".to_string(), Check::Thinned),
        ("DELETE FROM thinned WHERE first_seq = (SELECT max(first_seq) FROM thinned)".to_string(), Check::Sequence),
        ("UPDATE thinned SET session = 9".to_string(), Check::ForeignKeys),
        (
            format!("INSERT INTO thinned VALUES ({other}, {other}, 1, 1, 1, 1, '[]', 'r', 1, '{}')", "2026-05-01"),
            Check::Sequence,
        ),
        ("INSERT INTO thinned VALUES (1, 2, 1, 1, 1, 2, '[1]', 'r', 1, '')".to_string(), Check::Sequence),
    ];
    for (change, check) in cases {
        let place = copy_of(&whole);
        sql(&place, &format!("PRAGMA foreign_keys = OFF; {change}"));
        let errors = errors(&place);
        assert!(errors.iter().any(|(found, _)| *found == check), "{change}: {errors:?}");
    }
}

#[test]
fn a_running_session_is_thinned_between_its_commits_and_its_young_rows_stay() {
    fn later() -> DateTime<Utc> {
        after(LEDGERS + 1_000)
    }
    let at_once = traded();
    let place = copy_of(&at_once);
    thin(&at_once);
    let options = Options { snapshots_keep_days: 1, ..Options::new(later) };
    let running = place.start_with(&options);
    let mut n = 5_000;
    let opening = snapshot(SnapshotKind::Opening, n, 1, "1", None);
    running.durably(vec![Record::Valuation(ValuationSnapshot { recorded_at: later(), ..opening })]).unwrap();
    let wanted = thinned_rows(&at_once);
    while thinned_rows(&place) < wanted {
        n += 1;
        let young = ValuationSnapshot {
            recorded_at: later(),
            close_time: later(),
            ..snapshot(SnapshotKind::Ledger, n, 1, "1", None)
        };
        running.durably(vec![Record::Valuation(young)]).unwrap();
        assert!(n < 1_000_000, "it is never thinned");
    }
    assert!(running.writer.halted().is_none());
    running.vanish();
    let left = snapshots(&place);
    let (old, young): (Vec<Row>, Vec<Row>) = left.into_iter().partition(|row| row.ledger < 5_000);
    assert_eq!(old, snapshots(&at_once));
    assert_eq!(young.len(), usize::try_from(n - 5_000 + 1).unwrap());
}

#[test]
fn a_thinning_that_is_refused_is_a_fault_and_ends_nothing() {
    use std::sync::atomic::{AtomicI64, Ordering};
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    // Each look at the clock is later: two faults of one moment are one row.
    fn later() -> DateTime<Utc> {
        after(LEDGERS + 1_000) + TimeDelta::milliseconds(LOOKS.fetch_add(1, Ordering::SeqCst))
    }
    let place = traded();
    sql(&place, "CREATE TRIGGER no BEFORE DELETE ON valuation_snapshots BEGIN SELECT raise(ABORT, 'on purpose'); END");
    let all = snapshots(&place);
    let running = place.start_with(&Options { snapshots_keep_days: 1, ..Options::new(later) });
    let reader = Reader::open(&place.path).unwrap();
    let mut commits = 0;
    while reader.faults(running.session).unwrap().is_empty() {
        commits += 1;
        assert!(commits < 100_000, "nobody says so");
        running.flush();
    }
    // It is not tried again and again.
    for _ in 0..200 {
        running.flush();
        assert_eq!(reader.faults(running.session).unwrap().len(), 1);
    }
    running.durably(vec![Record::Fault(fault("after it"))]).unwrap();
    assert!(running.writer.halted().is_none(), "old rows are no reason to stop trading");
    let faults = reader.faults(running.session).unwrap();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].record.cause.contains("on purpose"), "{faults:?}");
    running.vanish();
    assert_eq!(snapshots(&place), all);
    let mut store = place.open_with(&thinning_options(1));
    assert!(store.thin(None).unwrap_err().to_string().contains("on purpose"));
    drop(store);
    assert_eq!(thinned_rows(&place), 0);
}

#[test]
fn a_limited_time_before_a_session_leaves_the_rest_to_the_writer() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CLOCK_US: AtomicU64 = AtomicU64::new(0);
    let place = traded();
    let ticking = Options { monotonic_us: || CLOCK_US.fetch_add(400, Ordering::SeqCst), ..thinning_options(1) };
    let done = place.open_with(&ticking).thin(Some(1)).unwrap();
    assert!(!done.finished && done.hours == 3, "{done:?}");
    assert!(verify(&place.path).unwrap().is_clean());
    let rest = thin(&place);
    assert!(rest.finished && rest.hours == 1, "{rest:?}");
    // However little time there is, each time something goes, or there is nothing left.
    let hasty = traded();
    let hours: Vec<u64> =
        (0..6).map(|_| hasty.open_with(&ticking).thin(Some(0)).unwrap()).map(|done| done.hours).collect();
    assert_eq!(hours, [1, 1, 1, 1, 0, 0]);
    let none = place.open_with(&thinning_options(0)).thin(None).unwrap();
    assert_eq!(none, Thinned { finished: true, ..Thinned::default() });
}

#[test]
fn a_record_of_the_schema_before_is_migrated_and_thinned() {
    let place = traded();
    let all = snapshots(&place);
    // The indexes of fills and flows went with their tables.
    sql(&place, BEFORE_ERAS);
    sql(
        &place,
        "DROP TABLE thinned; DROP TABLE refusals; DROP TABLE trips;
         ALTER TABLE valuation_snapshots DROP COLUMN mark_sources; PRAGMA user_version = 3",
    );
    assert!(Reader::open(&place.path).is_err(), "an older schema is not read");
    drop(Store::open(&place.path, &identity(), &options(), at(900)).unwrap());
    assert_eq!(neo_store::backup::list(&place.path).unwrap().len(), 1, "backed up before it is migrated");
    let version: i64 = place.sql().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::VERSION);
    assert_eq!(snapshots(&place), all);
    assert_eq!(verify(&place.path).unwrap().findings, []);
    assert!(thin(&place).rows > 0);
    assert!(verify(&place.path).unwrap().is_clean());
}

/// The space is used again: as many rows as were thinned out make the file no longer.
#[test]
fn the_pages_of_what_is_gone_are_used_again() {
    let place = traded();
    let pages = |place: &Place| -> (i64, i64) {
        let conn = place.sql();
        let number = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap();
        (number("page_count"), number("freelist_count"))
    };
    let (before, _) = pages(&place);
    thin(&place);
    let (after, free) = pages(&place);
    assert!(after - before <= 2 && free >= 40, "{before} pages, then {after} with {free} free");
    let running = place.start();
    let rows: Vec<Record> =
        (9_000..9_600).map(|n| Record::Valuation(snapshot(SnapshotKind::Ledger, n, 1, "1", None))).collect();
    running.durably(rows).unwrap();
    running.seal();
    assert!(pages(&place).0 - after <= 2, "{after} pages, then {:?}", pages(&place));
}

#[test]
fn a_day_is_a_day() {
    assert_eq!(after(0) - recorded(0), TimeDelta::days(1));
}
