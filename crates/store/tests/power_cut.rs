//! Power cuts: the store's run is recorded operation by operation, cut after each of them, and what was synced is kept
//! while the rest is dropped, torn and reordered (`neo-disk`). What was acknowledged must be there.
//!
//! `CUTS=10 CUT_SEED=7 CUT_COMMITS=400` for more images of each cut, others, and a longer run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures of the run")]
#![cfg(unix)]

mod common;
mod power;

use neo_disk::{Chance, Disk, Level, Timeline};
use power::judge::judge;
use power::{Run, fresh, record, setting};

/// Sums over the images of a run.
#[derive(Debug, Default)]
struct Tally {
    images: u64,
    malformed: u64,
    /// Images whose log the start refuses, because SQLite would drop a part of it.
    refused_log: u64,
    losing: u64,
    lost_max: u64,
    since_checkpoint_max: u64,
    lost_sessions: u64,
    /// Images that lost what was acknowledged before the last checkpoint that finished.
    before_checkpoint: u64,
    /// What may never be; the first few.
    wrong: Vec<String>,
}

/// Cuts the run after each operation, `images` times, or after every `stride`-th.
fn cut(run: &Run, name: &str, timeline: fn() -> Timeline, images: u64, stride: usize) -> Tally {
    let seed = setting("CUT_SEED", 1);
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::over(place.path()).unwrap();
    disk.without_real_syncs();
    let (mut tally, mut timeline, mut chance) = (Tally::default(), timeline(), Chance::new(seed));
    for position in 0..=run.ops.len() {
        if position.is_multiple_of(stride) || position == run.ops.len() {
            for _ in 0..images {
                one_image(run, &timeline, position, place.path(), &mut chance, &mut tally);
            }
        }
        if let Some(op) = run.ops.get(position) {
            timeline.apply(op, &mut chance);
        }
    }
    eprintln!(
        "{name}: seed {seed}, {} rows in {} operations, {} images: {} malformed, {} lost acknowledged rows (at most {}, \
         {} were acknowledged since the last finished checkpoint), {} lost rows from before it, {} lost a session's \
         beginning or end",
        run.rows.len(),
        run.ops.len(),
        tally.images,
        tally.malformed,
        tally.losing,
        tally.lost_max,
        tally.since_checkpoint_max,
        tally.before_checkpoint,
        tally.lost_sessions
    );
    tally
}

fn one_image(
    run: &Run,
    timeline: &Timeline,
    position: usize,
    place: &std::path::Path,
    chance: &mut Chance,
    tally: &mut Tally,
) {
    let folder = fresh(place);
    timeline.image(chance).write(&run.folder, folder.path()).unwrap();
    let found = judge(&folder.path().join(&run.db), position, &run.told, &run.rows);
    tally.images += 1;
    tally.malformed += u64::from(found.malformed.is_some());
    tally.refused_log += u64::from(found.refused_log);
    tally.losing += u64::from(found.lost > 0);
    tally.lost_max = tally.lost_max.max(found.lost);
    tally.since_checkpoint_max = tally.since_checkpoint_max.max(found.since_checkpoint);
    tally.before_checkpoint += u64::from(found.lost_before_checkpoint > 0);
    tally.lost_sessions += u64::from(found.lost_sessions > 0);
    if !found.wrong.is_empty() && tally.wrong.len() < 5 {
        tally.wrong.push(format!("cut after {position} operations: {found:?}"));
    }
}

fn commits() -> u32 {
    u32::try_from(setting("CUT_COMMITS", 80)).unwrap()
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let run = record(commits(), setting("CUT_SEED", 1), None);
    let tally = cut(&run, "FULL", Timeline::new, setting("CUTS", 1), 1);
    assert_eq!(tally.wrong, [""; 0], "{tally:?}");
    assert_eq!((tally.malformed, tally.losing, tally.lost_sessions), (0, 0, 0), "{tally:?}");
    // A false alarm costs a command and no row: a first sector that is spoilt while a new log begins over the frames of
    // an old one can look like damage of the old one.
    assert!(tally.refused_log * 1_000 <= tally.images, "{tally:?}");
}

/// The control, and the user's figure: without a sync for each commit, what was acknowledged since the last checkpoint
/// that finished can be lost, and nothing from before it. The store is the product's own; its connections run with
/// NORMAL although they ask for FULL and are told FULL (`Disk::lower`).
#[test]
fn with_synchronous_normal_the_loss_is_bounded_by_the_last_finished_checkpoint() {
    let run = record(commits(), setting("CUT_SEED", 1), Some(Level::Normal));
    let tally = cut(&run, "NORMAL", Timeline::new, setting("CUTS", 1), 2);
    assert_eq!(tally.wrong, [""; 0], "{tally:?}");
    assert_eq!((tally.malformed, tally.before_checkpoint), (0, 0), "{tally:?}");
    assert!(tally.losing > 0 && tally.lost_max <= tally.since_checkpoint_max, "{tally:?}");
}

#[test]
fn the_harness_sees_what_synchronous_off_costs() {
    let run = record(commits(), setting("CUT_SEED", 1), Some(Level::Off));
    let tally = cut(&run, "OFF", Timeline::new, setting("CUTS", 1), 5);
    assert!(tally.malformed > 0, "{tally:?}");
}

#[test]
fn the_harness_sees_a_disk_that_says_it_synced_and_did_not() {
    let run = record(commits(), setting("CUT_SEED", 1), None);
    let tally = cut(&run, "FULL on a disk that ignores syncs", Timeline::that_ignores_syncs, setting("CUTS", 1), 5);
    assert!(tally.malformed > 0, "{tally:?}");
}
