//! What the disk keeps, drops and refuses, seen through SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::path::Path;

use neo_disk::{Chance, Disk, Fault, How, Kind, Lasting, Level, Timeline};
use rusqlite::{Connection, ErrorCode};

const IMAGES: u64 = 60;

fn wal(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn
}

/// In how many of the images that a power cut at the end may leave the table has this many rows.
fn images_with(rows: i64, disk: &Disk, folder: &Path, mut timeline: Timeline) -> u64 {
    let mut chance = Chance::new(1);
    disk.ops().iter().for_each(|op| timeline.apply(op, &mut chance));
    (0..IMAGES)
        .filter(|_| {
            let to = tempfile::tempdir().unwrap();
            timeline.image(&mut chance).write(&folder.canonicalize().unwrap(), to.path()).unwrap();
            let conn = Connection::open(to.path().join("a.db")).unwrap();
            conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)) == Ok(rows)
        })
        .count() as u64
}

#[test]
fn what_was_synced_is_kept_and_what_was_not_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::over(folder.path()).unwrap();
    disk.record();
    let conn = wal(&folder.path().join("a.db"));
    conn.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(images_with(1, &disk, folder.path(), Timeline::new()), IMAGES);
    conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
    conn.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let both = images_with(2, &disk, folder.path(), Timeline::new());
    assert!(0 < both && both < IMAGES, "{both}");
    assert_eq!(both + images_with(1, &disk, folder.path(), Timeline::new()), IMAGES);
    assert!(images_with(2, &disk, folder.path(), Timeline::that_ignores_syncs()) < both);
}

#[test]
fn a_lowered_connection_says_what_it_was_asked_for_and_does_less() {
    let syncs = |level: Option<Level>| {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::over(folder.path()).unwrap();
        if let Some(level) = level {
            disk.lower(level);
        }
        let conn = wal(&folder.path().join("a.db"));
        conn.execute_batch("CREATE TABLE t (a)").unwrap();
        let before = disk.count(Kind::Sync);
        for _ in 0..5 {
            conn.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        }
        let said = conn.query_row("PRAGMA synchronous", [], |row| row.get_ref(0).map(|value| format!("{value:?}")));
        assert!(said.unwrap().contains('2') || level.is_some());
        disk.count(Kind::Sync) - before
    };
    assert_eq!((syncs(None), syncs(Some(Level::Normal)), syncs(Some(Level::Off))), (5, 0, 0));
}

#[test]
fn a_refused_operation_says_why_and_a_short_write_leaves_half() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::over(folder.path()).unwrap();
    let conn = wal(&folder.path().join("a.db"));
    conn.execute_batch("CREATE TABLE t (a)").unwrap();
    for (kind, how, code) in [
        (Kind::Write, How::Full, ErrorCode::DiskFull),
        (Kind::Write, How::Short, ErrorCode::DiskFull),
        (Kind::Write, How::Broken, ErrorCode::SystemIoFailure),
        (Kind::Write, How::ReadOnly, ErrorCode::ReadOnly),
        (Kind::Sync, How::Broken, ErrorCode::SystemIoFailure),
    ] {
        disk.fail(Fault { kinds: vec![kind], after: 1, lasting: Lasting::Once, how });
        let refused = disk.refused();
        let error = (0..2).find_map(|_| conn.execute_batch("INSERT INTO t VALUES (1)").err()).unwrap();
        assert_eq!(error.sqlite_error_code(), Some(code), "{kind:?} {how:?}");
        assert_eq!(disk.refused(), refused + 1);
        conn.execute_batch("INSERT INTO t VALUES (1)").expect("once");
    }
    disk.fail(Fault { kinds: vec![Kind::Write], after: 0, lasting: Lasting::UntilRecovered, how: How::Full });
    for _ in 0..3 {
        conn.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
    }
    disk.recover();
    conn.execute_batch("INSERT INTO t VALUES (1)").unwrap();
}

#[test]
fn folders_without_a_disk_are_left_alone() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::over(folder.path()).unwrap();
    disk.record();
    disk.fail(Fault { kinds: Kind::ALL.to_vec(), after: 0, lasting: Lasting::UntilRecovered, how: How::Broken });
    wal(&other.path().join("a.db")).execute_batch("CREATE TABLE t (a)").unwrap();
    assert_eq!((disk.refused(), disk.position()), (0, 0));
    assert!(Connection::open(folder.path().join("a.db")).is_err());
}
