//! A thinning that the power cuts off, or the disk refuses, at each of its operations: the record is whole, an hour is
//! thinned and named or neither, and the next time goes on to the same end.
//!
//! `CUTS=10` for more images of each cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures of the run")]
#![cfg(unix)]

mod common;
mod traded;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::*;
use neo_disk::{Chance, Disk, Fault, How, Kind, Lasting, Timeline};
use neo_store::Store;
use traded::*;

/// The last ledgers of the two sessions.
const CUT: u32 = 300;
const LAST: u32 = 500;

fn folder(place: &Place) -> PathBuf {
    place.path.parent().unwrap().parent().unwrap().canonicalize().unwrap()
}

/// What must be true whenever it stopped; then it is brought to its end.
fn goes_on(place: &Place, all: &[Row], end: &[Row]) {
    drop(Store::open(&place.path, &identity(), &options(), at(900)).expect("the next start"));
    assert_eq!(errors(place), [], "cut off");
    let left: BTreeSet<i64> = snapshots(place).iter().map(|row| row.seq).collect();
    assert_eq!(left.len() + usize::try_from(thinned_rows(place)).unwrap(), all.len());
    assert!(end.iter().all(|row| left.contains(&row.seq)));
    thin(place);
    assert_eq!(snapshots(place), end);
    assert_eq!(errors(place), [], "at its end");
}

#[test]
fn the_power_fails_at_any_operation() {
    let place = Place::new();
    let disk = Disk::over(&folder(&place)).unwrap();
    disk.record();
    disk.without_real_syncs();
    trade(&place, CUT, LAST);
    let (all, from) = (snapshots(&place), disk.position());
    thin(&place);
    let (end, ops) = (snapshots(&place), disk.ops());
    assert!(end.len() < all.len() && ops.len() > from + 20);

    let cuts = std::env::var("CUTS").map_or(1, |text| text.parse().unwrap());
    let (mut timeline, mut chance) = (Timeline::new(), Chance::new(1));
    let mut images = 0;
    for position in 0..=ops.len() {
        for _ in 0..if position >= from { cuts } else { 0 } {
            let image = Place::new();
            let to = image.path.parent().unwrap().parent().unwrap().to_path_buf();
            timeline.image(&mut chance).write(&folder(&place), &to).unwrap();
            goes_on(&image, &all, &end);
            images += 1;
        }
        if let Some(op) = ops.get(position) {
            timeline.apply(op, &mut chance);
        }
    }
    eprintln!("{images} images of {} operations", ops.len() - from);
}

#[test]
fn the_disk_refuses_any_operation() {
    let source = Place::new();
    trade(&source, CUT, LAST);
    let all = snapshots(&source);
    let done = copy_of(&source);
    thin(&done);
    let end = snapshots(&done);
    let (mut refused, mut cases) = (0, 0);
    for (kind, how) in [(Kind::Write, How::Full), (Kind::Sync, How::Broken), (Kind::Write, How::Broken)] {
        for after in 0.. {
            let place = copy_of(&source);
            let disk = Disk::over(&folder(&place)).unwrap();
            disk.without_real_syncs();
            disk.fail(Fault { kinds: vec![kind], after, lasting: Lasting::Once, how });
            let told = try_thin(&place.path);
            let hit = disk.refused() > 0;
            disk.recover();
            drop(disk);
            assert!(hit || told.is_ok(), "{told:?}");
            goes_on(&place, &all, &end);
            cases += 1;
            refused += u32::from(told.is_err());
            if !hit {
                break;
            }
        }
    }
    eprintln!("{cases} cases, {refused} told of");
    assert!(refused > 20, "{refused} of {cases}");
}

fn try_thin(path: &Path) -> Result<(), String> {
    let mut store = Store::open(path, &identity(), &thinning_options(1), at(900)).map_err(|error| error.to_string())?;
    store.thin(None).map_err(|error| error.to_string())?;
    store.close().map_err(|error| error.to_string())
}
