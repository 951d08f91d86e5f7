//! A disk that refuses each operation of the store's life in turn: full, cut short, broken, read-only; once, for good, or
//! until it recovers. Nothing is acknowledged that is not durable, and nothing acknowledged is lost or there twice.
//!
//! Every operation is tried; `FAULT_EVERY=7` tries every seventh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the figures of the run")]
#![cfg(unix)]

mod common;
mod faults;

use common::*;
use faults::errands::{self, Errand, Template};
use faults::life::{Said, counts, live};
use faults::{Case, Contents, Mode, cases, next_start, run_all};
use neo_disk::{Chance, Disk, Fault, How, Kind, Lasting, Timeline};

/// A place whose disk is recorded and may fail.
fn place() -> (Place, Disk) {
    let place = Place::new();
    let disk = Disk::over(place.path.parent().unwrap().parent().unwrap()).unwrap();
    disk.without_real_syncs();
    (place, disk)
}

fn folder(place: &Place) -> std::path::PathBuf {
    place.path.parent().unwrap().parent().unwrap().canonicalize().unwrap()
}

/// What must be true of the file after a life on a disk that failed.
fn check(said: &Said, found: &Contents, mode: Mode) {
    let ids = found.ids();
    assert!(said.acknowledged.is_subset(&ids), "acknowledged and not there: {said:?}");
    assert!(found.rows.len() as u64 >= said.durable, "{} rows, {} were durable", found.rows.len(), said.durable);
    if said.refused.is_none() && mode != Mode::Always {
        assert!(said.closed, "the disk was good again, and the session was not closed");
        assert_eq!(said.acknowledged, said.queued, "the disk was good again");
    }
    if let Some(session) = said.begun {
        let end = found.sessions.get(&session).map(String::as_str);
        // A close that was not acknowledged may have reached the disk.
        assert!(if said.closed { end == Some("clean") } else { end.is_some() }, "S{session} ended {end:?}");
    }
}

#[test]
fn every_operation_of_a_life_may_fail() {
    let (calm, disk) = place();
    let said = live(&calm.path, &disk, Mode::Once);
    check(&said, &next_start(&calm.path), Mode::Once);
    let counts = counts(&disk);
    drop(disk);
    let cases = cases(&counts, &[Mode::Once, Mode::Always, Mode::Recovers]);
    let wrong = run_all(&cases, one_case);
    eprintln!("{counts:?}: {} cases, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), cases.len(), &wrong[..wrong.len().min(8)]);
}

fn one_case(case: Case) {
    let (place, disk) = place();
    disk.record();
    disk.fail(case.fault());
    let said = live(&place.path, &disk, case.mode);
    disk.recover();
    let ops = disk.ops();
    check(&said, &next_start(&place.path), case.mode);
    // And if the power fails at the end of all that: a failed sync may have dropped what was pending for good.
    let (mut timeline, mut chance) = (Timeline::new(), Chance::new(case.after));
    ops.iter().for_each(|op| timeline.apply(op, &mut chance));
    let dark = Place::new();
    let to = dark.path.parent().unwrap().parent().unwrap();
    let disk = Disk::over(to).unwrap();
    disk.without_real_syncs();
    timeline.image(&mut chance).write(&folder(&place), to).unwrap();
    check(&said, &next_start(&dark.path), case.mode);
}

/// The next start, the last resorts of a stop, backups and `neo verify`, on a record with an open session and a live `-wal`.
#[test]
fn every_operation_of_an_errand_may_fail() {
    let template = Template::new();
    let mut wrong = Vec::new();
    for errand in Errand::ALL {
        let one = |case: Option<Case>| {
            let place = template.put();
            let disk = Disk::over(&folder(&place)).unwrap();
            disk.without_real_syncs();
            if let Some(case) = case {
                disk.fail(case.fault());
            }
            let done = errands::run(errand, &place.path, &disk);
            disk.recover();
            let counts = counts(&disk);
            errands::check(errand, &place.path, done, &template);
            counts
        };
        let counts = one(None);
        let cases = cases(&counts, &[Mode::Once, Mode::Always]);
        let found = run_all(&cases, |case| drop(one(Some(case))));
        eprintln!("{errand:?}: {} cases, {} wrong", cases.len(), found.len());
        wrong.extend(found.into_iter().map(|what| format!("{errand:?}: {what}")));
    }
    assert!(wrong.is_empty(), "{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(8)]);
}

/// `INSERT .. RETURNING` gives the row before it is committed: the number alone proves nothing.
#[test]
fn a_session_that_the_disk_refused_is_not_begun() {
    let (place, disk) = place();
    let mut store = place.open();
    let fault = Fault { kinds: vec![Kind::Sync], after: 0, lasting: Lasting::Once, how: How::Broken };
    disk.fail(fault);
    let error = store.begin_session(&new_session(at(0))).unwrap_err();
    assert!(error.to_string().contains("disk"), "{error}");
    assert_eq!(store.begin_session(&new_session(at(0))).unwrap(), 1, "and on the good disk it is");
}
