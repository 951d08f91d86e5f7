use std::collections::BTreeSet;

use neo_market::Dec;
use proptest::prelude::*;

use super::numbers::{numbers, steps};
use super::rule::{Age, Seen, age, surplus};
use super::*;
use crate::record::SnapshotKind;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_776_000_000 + seconds, 0).unwrap()
}

fn seen(seq: i64, second: i64) -> Seen {
    Seen {
        seq,
        session: 1,
        kind: Some(SnapshotKind::Ledger),
        ledger_index: second,
        close_time: Some(at(second)),
        recorded_at: Some(at(second)),
        xrp_drops: 100,
        rlusd: Some(Dec::one()),
    }
}

/// A session of snapshots at these seconds, its ledgers numbered by them; the first is not the session's first.
fn hour(seconds: &[i64]) -> Vec<Seen> {
    (2..).zip(seconds).map(|(seq, second)| seen(seq, *second)).collect()
}

fn gone(hour: &[Seen], ends: bool, moved: &[i64]) -> Vec<i64> {
    surplus(Some(&seen(1, -1)), hour, ends, &moved.iter().copied().collect())
}

#[test]
fn of_each_minute_the_first_stays_and_of_each_session_the_first_and_the_last() {
    let rows = hour(&[0, 4, 8, 59, 60, 64, 130, 134]);
    assert_eq!(gone(&rows, false, &[]), [3, 4, 5, 7, 9]);
    assert_eq!(gone(&rows, true, &[]), [3, 4, 5, 7]);
    // The minute goes on from the hour's part before; a session begins with its first row.
    let rest = &rows[1..4];
    assert_eq!(surplus(Some(&rows[0]), rest, false, &BTreeSet::new()), [4, 5], "the least and the most are the first");
    let before = Seen { session: 0, ..seen(1, -1) };
    assert_eq!(surplus(Some(&before), rest, false, &BTreeSet::new()), [4, 5]);
    assert_eq!(surplus(None, rest, false, &BTreeSet::new()), [4, 5]);
}

#[test]
fn the_snapshot_that_first_has_a_fill_stays_even_where_its_ledger_has_none() {
    let rows = hour(&[0, 4, 8, 12, 16, 20]);
    assert_eq!(gone(&rows, false, &[8]), [3, 5, 6, 7]);
    assert_eq!(gone(&rows, false, &[9, 11]), [3, 4, 6, 7]);
    assert_eq!(gone(&rows, false, &[0, 21]), [3, 4, 5, 6, 7]);
}

#[test]
fn the_least_and_the_most_of_the_hour_stay() {
    let mut rows = hour(&[0, 4, 8, 12, 16, 20, 24]);
    for (row, drops) in rows.iter_mut().zip([50, 49, 48, 52, 48, 52, 50]) {
        row.xrp_drops = drops;
    }
    assert_eq!(gone(&rows, false, &[]), [3, 6, 7, 8]);
    rows[5].rlusd = Some(Dec::zero());
    rows[6].rlusd = Some("2".parse().unwrap());
    assert_eq!(gone(&rows, false, &[]), [3, 6]);
}

#[test]
fn what_is_no_plain_snapshot_or_cannot_be_read_stays() {
    let changes: [fn(&mut Seen); 6] = [
        |row| row.kind = Some(SnapshotKind::Opening),
        |row| row.kind = Some(SnapshotKind::Closing),
        |row| row.kind = None,
        |row| row.close_time = None,
        |row| row.recorded_at = None,
        |row| row.rlusd = None,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut rows = hour(&[0, 4, 8, 12]);
        change(&mut rows[2]);
        assert!(!gone(&rows, false, &[]).contains(&4), "change {n}");
        assert!(gone(&rows, false, &[]).contains(&3), "change {n}");
    }
}

#[test]
fn an_hour_is_old_when_all_of_it_is_and_of_no_age_when_the_clock_was_wrong() {
    let rows = hour(&[0, 4, 8]);
    assert_eq!(age(&rows, at(9), at(100)), Age::Old);
    assert_eq!(age(&rows, at(8), at(100)), Age::Young);
    assert_eq!(age(&rows, at(0), at(7)), Age::Unknown);
    assert!(rows[0].same_hour(&rows[2]));
    let other = Seen { session: 2, ..rows[0].clone() };
    let dateless = Seen { close_time: None, ..rows[0].clone() };
    assert!(!rows[0].same_hour(&other) && !rows[0].same_hour(&dateless) && !dateless.same_hour(&dateless));
    assert!(!rows[0].same_hour(&seen(9, 3_600)));
}

#[test]
fn the_writer_looks_when_nobody_waits_and_each_hour_where_nothing_is_old() {
    let mut pace = Pace::new(14);
    assert!(pace.due(at(0), true).is_some());
    let busy: Vec<bool> = (0..32).map(|_| pace.due(at(0), false).is_some()).collect();
    assert_eq!(busy.iter().filter(|due| **due).count(), 2, "{busy:?}");
    pace.went_on(7);
    assert!(pace.due(at(1), true).is_some(), "the next hour may be old as well");
    pace.found_nothing(at(1));
    assert!(pace.due(at(2), true).is_none() && pace.due(at(3_600), true).is_none());
    assert_eq!((pace.due(at(3_601), true).map(|limit| limit.keep_days), pace.after_seq), (Some(14), Some(7)));
    assert!(pace.due(at(0), true).is_some(), "a clock that was set back is not waited for");
    pace.end();
    assert!(pace.due(at(9_999), true).is_none());
    assert!(Pace::new(0).due(at(0), true).is_none());
}

#[test]
fn a_list_of_numbers_that_was_changed_names_none() {
    let text = steps(&[7, 9, 15]);
    assert_eq!(text, "[2,6]");
    assert_eq!(numbers(7, 15, 3, &text), Some(vec![7, 9, 15]));
    for (first, last, rows, text) in [
        (8, 15, 3, "[2,6]"),
        (7, 16, 3, "[2,6]"),
        (7, 15, 2, "[2,6]"),
        (7, 15, 3, "[2,7]"),
        (7, 15, 3, "[8,0]"),
        (7, 15, 3, "[9,-1]"),
        (7, 15, 3, "2,6"),
        (0, 8, 3, "[2,6]"),
        (7, i64::MAX, 3, "[2,9223372036854775807]"),
    ] {
        assert_eq!(numbers(first, last, rows, text), None, "{first} {last} {rows} {text}");
    }
}

prop_compose! {
    fn any_row()(gap in 0_i64..70, ledgers in 1_i64..4, kind in 0..20, xrp in 0_i64..6, rlusd in 0_i64..6)
        -> (i64, i64, Option<SnapshotKind>, i64, i64) {
        let kind = match kind { 0 => Some(SnapshotKind::Opening), 1 => Some(SnapshotKind::Closing), 2 => None,
            _ => Some(SnapshotKind::Ledger) };
        (gap, ledgers, kind, xrp, rlusd)
    }
}

fn rows_of(parts: &[(i64, i64, Option<SnapshotKind>, i64, i64)]) -> Vec<Seen> {
    let (mut second, mut ledger) = (0, 10);
    (2..)
        .zip(parts)
        .map(|(seq, (gap, ledgers, kind, xrp, rlusd))| {
            (second, ledger) = (second + gap, ledger + ledgers);
            let rlusd = Some(rlusd.to_string().parse().unwrap());
            Seen { ledger_index: ledger, kind: *kind, xrp_drops: *xrp, rlusd, ..seen(seq, second) }
        })
        .collect()
}

proptest! {
    #[test]
    fn what_goes_is_exactly_what_nothing_keeps(
        parts in prop::collection::vec(any_row(), 1..60),
        moved in prop::collection::btree_set(5_i64..200, 0..8),
        (ends, begins) in any::<(bool, bool)>(),
    ) {
        let rows = rows_of(&parts);
        let before = (!begins).then(|| Seen { ledger_index: 9, ..seen(1, -30) });
        let gone: BTreeSet<i64> = surplus(before.as_ref(), &rows, ends, &moved).into_iter().collect();
        let left: Vec<Seen> = rows.iter().filter(|row| !gone.contains(&row.seq)).cloned().collect();
        let minute = |row: &Seen| row.close_time.unwrap().timestamp().div_euclid(60);
        let span = |rows: &[Seen]| {
            let xrp = || rows.iter().map(|row| row.xrp_drops);
            let rlusd = || rows.iter().map(|row| row.rlusd);
            (xrp().min(), xrp().max(), rlusd().min(), rlusd().max())
        };
        prop_assert_eq!(span(&left), span(&rows));
        let all: Vec<&Seen> = before.iter().chain(&rows).collect();
        for (at, row) in rows.iter().enumerate() {
            let place = at + all.len() - rows.len();
            let earlier = &all[..place];
            let first_of_minute = !earlier.iter().any(|other| minute(other) == minute(row));
            let ends_it = ends && at + 1 == rows.len();
            // The first that is not before a ledger in which something moved, since the row before this part.
            let first_with = moved.iter().any(|ledger| {
                *ledger <= row.ledger_index && earlier.last().is_some_and(|other| other.ledger_index < *ledger)
            });
            let plain = row.kind == Some(SnapshotKind::Ledger);
            let needed = first_of_minute || ends_it || first_with || !plain || (begins && at == 0);
            if needed {
                prop_assert!(!gone.contains(&row.seq), "{:?}", row);
            } else if !gone.contains(&row.seq) {
                // Only an extreme stays besides, and of equals the first.
                let is = |of: fn(&Seen) -> (i64, Option<Dec>), least: bool| {
                    let beats = |other: &&Seen| if least { of(other) < of(row) } else { of(other) > of(row) };
                    !rows.iter().any(|other| beats(&other)) && !rows[..at].iter().any(|other| of(other) == of(row))
                };
                let xrp = |row: &Seen| (row.xrp_drops, None);
                let rlusd = |row: &Seen| (0, row.rlusd);
                prop_assert!(is(xrp, true) || is(xrp, false) || is(rlusd, true) || is(rlusd, false), "{:?}", row);
            }
        }
        prop_assert_eq!(surplus(before.as_ref(), &left, ends, &moved), Vec::<i64>::new(), "a second time nothing goes");
    }

    #[test]
    fn numbers_are_read_as_they_were_written(numbers_in in prop::collection::btree_set(1_i64..1_000_000, 1..200)) {
        let list: Vec<i64> = numbers_in.into_iter().collect();
        let read = numbers(list[0], list[list.len() - 1], i64::try_from(list.len()).unwrap(), &steps(&list));
        prop_assert_eq!(read, Some(list));
    }
}
