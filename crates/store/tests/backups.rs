//! Backups are whole, taken beside a writing engine, pruned by rule; what is not whole is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly"
)]

mod common;

use std::cell::Cell;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use common::child::{self, Child};
use common::*;
use neo_market::Side;
use neo_store::backup::{self, BackupError, Retention, Taken, check, folder_of, list, verify};
use neo_store::record::*;
use neo_store::{Reader, Store};

const ALL: Retention = Retention { last: 1_000, daily: 0, weekly: 0 };

fn take(db: &Path, now: DateTime<Utc>) -> Taken {
    backup::take(db, &ALL, now, &mut |_| {}).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !is_holders_name(name));
    names.sort();
    names
}

fn fills(from: u32, to: u32) -> Vec<Record> {
    (from..to).map(|n| Record::Fill(fill(n, Side::Bid, 1_000_000, "2.4"))).collect()
}

#[test]
fn before_a_session_the_record_is_copied_verified_summed_and_listed() {
    let _alone = child::alone();
    let place = Place::new();
    let mut store = place.open();
    assert_eq!(store.backup(&ALL, at(0)).unwrap(), None, "a new record has nothing to lose");
    assert!(!exists(&folder_of(&place.path)));
    drop(store);

    let running = place.start();
    running.durably(fills(1, 11)).unwrap();
    running.vanish();
    let seq = Reader::open(&place.path).unwrap().durable_seq().unwrap();

    let mut store = place.open();
    let taken = store.backup(&ALL, at(0)).unwrap().unwrap();
    let folder = place.path.parent().unwrap().join("backups");
    let name = "neo-sim-20260418T192119Z.db";
    assert_eq!(taken.file.path, folder.join(name));
    assert_eq!((taken.contents.sessions, taken.contents.last_session), (1, Some(1)));
    assert_eq!((taken.contents.durable_seq, taken.contents.last_seq), (seq, seq));
    let sum = fs::read_to_string(folder.join(format!("{name}.sha256"))).unwrap();
    assert_eq!(sum, format!("{}  {name}\n", taken.sha256));
    assert_eq!(verify(&taken.file.path).unwrap().sha256, taken.sha256);

    // Another in the same second; and nothing else stays in the folder.
    let again = store.backup(&ALL, at(0)).unwrap().unwrap();
    assert_eq!(again.file.name, "neo-sim-20260418T192119Z-1.db");
    assert_eq!(list(&place.path).unwrap(), [again.file, taken.file]);
    let all = ["neo-sim-20260418T192119Z-1.db", "neo-sim-20260418T192119Z.db"];
    let expected: Vec<String> = all
        .iter()
        .flat_map(|name| [(*name).to_string(), format!("{name}.sha256")])
        .chain(["neo-sim.lock".into()])
        .collect();
    assert_eq!(names(&folder), expected);

    // Listed in the record, and listed again after one was removed by hand.
    let listed = |store: &Store| {
        let conn = rusqlite::Connection::open(store.path()).unwrap();
        let mut rows =
            conn.prepare("SELECT name || ' ' || sha256 || ' ' || session_number FROM backups ORDER BY name").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap()
    };
    let line = |name: &str| {
        let sum = fs::read_to_string(folder.join(format!("{name}.sha256"))).unwrap();
        format!("{name} {} 1", sum.split_whitespace().next().unwrap())
    };
    assert_eq!(listed(&store), all.map(line));
    fs::remove_file(folder.join(all[1])).unwrap();
    take(&place.path, at(60));
    store.backup(&ALL, at(120)).unwrap();
    let now = [all[0], "neo-sim-20260418T192219Z.db", "neo-sim-20260418T192319Z.db"];
    assert_eq!(listed(&store), now.map(line));
}

#[test]
fn a_backup_beside_a_writing_engine_is_one_moment_and_restarts_for_no_commit() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    for part in 0..10 {
        running.durably(fills(part * 3_000, (part + 1) * 3_000)).unwrap();
    }
    let before = Reader::open(&place.path).unwrap().durable_seq().unwrap();
    let (slices, pages) = (Cell::new(0_u64), Cell::new(0));
    let taken = backup::take(&place.path, &ALL, at(0), &mut |progress| {
        // A commit and a checkpoint in the middle of it: both come back, so nothing of theirs is held.
        let n = 1_000_000 + u32::try_from(slices.get()).unwrap();
        running.durably(fills(n, n + 1)).unwrap();
        running.checkpoint();
        slices.set(slices.get() + 1);
        pages.set(progress.pages);
        assert_eq!(progress.copied, slices.get() * 1_024, "it began anew");
    })
    .unwrap();
    assert!(slices.get() >= 2, "{} slices of {} pages: too few to be in the middle of", slices.get(), pages.get());
    assert_eq!(taken.contents.durable_seq, before, "what was committed later is not in it");
    assert!(Reader::open(&place.path).unwrap().durable_seq().unwrap() > before);
    assert_eq!(Reader::open(&taken.file.path).unwrap().fills(1).unwrap().len(), 30_000);
    running.vanish();
    place.open();
}

#[test]
fn a_killed_engine_s_rows_in_the_wal_are_in_the_backup() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    let seq = running.durably(fills(1, 50)).unwrap();
    let copy = child::as_killed(&place);
    let taken = take(&copy.path, at(0));
    assert_eq!(taken.contents.durable_seq, seq);
    assert!(fs::metadata(copy.wal()).unwrap().len() > 0, "it was read, not written back");
    running.vanish();
}

#[test]
#[ignore = "the child of a_backup_that_is_killed_leaves_only_a_partial_file"]
fn child_backup() {
    let db = child::path();
    let taken = backup::take(&db, &ALL, at(0), &mut |_| child::inside());
    panic!("it ended: {taken:?}");
}

#[test]
fn a_backup_that_is_killed_leaves_only_a_partial_file() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    running.durably(fills(0, 15_000)).unwrap();
    take(&place.path, at(-60));
    Child::run("child_backup", &place.path, 0).killed();
    let folder = folder_of(&place.path);
    assert!(names(&folder).contains(&"neo-sim-20260418T192119Z.db.partial".to_string()), "{:?}", names(&folder));
    assert_eq!(list(&place.path).unwrap().len(), 1, "what is not whole has not the name of a backup");
    fs::write(folder.join("neo-sim-20260418T192119Z.db.sha256"), "a sum without its backup").unwrap();

    let taken = take(&place.path, at(0));
    assert_eq!(taken.file.name, "neo-sim-20260418T192119Z.db");
    assert!(!names(&folder).iter().any(|name| name.contains(".partial")), "{:?}", names(&folder));
    verify(&taken.file.path).unwrap();
    running.vanish();
}

#[test]
fn what_is_not_whole_is_refused() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    running.durably(fills(0, 2_000)).unwrap();
    running.vanish();
    let taken = take(&place.path, at(0));
    let whole = fs::read(&taken.file.path).unwrap();
    let other = folder_of(&place.path).join("other.db");
    let refused = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        let error = check(&other).unwrap_err();
        assert!(matches!(error, BackupError::NotWhole { .. }), "{error}");
        error.to_string()
    };
    // integrity_check says ok to this one.
    assert!(refused(b"").contains("cut short"));
    assert!(refused("notes ".repeat(2_000).as_bytes()).contains("not a database"));
    refused(&whole[..whole.len() / 2]);
    refused(&whole[..whole.len() - 4_096]);
    let mut broken = whole.clone();
    broken[whole.len() / 2..whole.len() / 2 + 4_096].fill(0xA5);
    refused(&broken);
    fs::remove_file(&other).unwrap();
    let conn = rusqlite::Connection::open(&other).unwrap();
    conn.execute_batch("CREATE TABLE theirs (a); PRAGMA application_id = 7").unwrap();
    conn.close().unwrap();
    assert!(check(&other).unwrap_err().to_string().contains("application_id"));
    fs::write(&other, &whole).unwrap();
    let conn = rusqlite::Connection::open(&other).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    conn.close().unwrap();
    assert!(check(&other).unwrap_err().to_string().contains("99"));
    // A file whose rows are still in its -wal.
    fs::write(&other, &whole).unwrap();
    check(&other).unwrap();
    fs::write(folder_of(&place.path).join("other.db-wal"), [0; 40]).unwrap();
    assert!(check(&other).unwrap_err().to_string().contains("-wal"));

    // One byte of a text that is in no index, which SQLite cannot know to be wrong: the sum does.
    let at = whole.windows(7).position(|bytes| bytes == b"mode = ").unwrap();
    broken = whole;
    broken[at] = b'f';
    fs::write(&taken.file.path, &broken).unwrap();
    check(&taken.file.path).unwrap();
    let error = verify(&taken.file.path).unwrap_err();
    assert!(matches!(error, BackupError::Sha256 { .. }), "{error}");
}

#[test]
fn old_backups_go_by_rule_and_the_one_just_taken_stays_even_when_the_clock_went_back() {
    let _alone = child::alone();
    let place = Place::new();
    place.start().vanish();
    let rules = Retention { last: 2, daily: 0, weekly: 0 };
    let take = |seconds| backup::take(&place.path, &rules, at(seconds), &mut |_| {}).unwrap();
    assert!(take(0).removed.is_empty() && take(10).removed.is_empty());
    assert_eq!(take(20).removed, ["neo-sim-20260418T192119Z.db"]);
    // Another record's backups in the same folder are nobody's business.
    let theirs = folder_of(&place.path).join("neo-20260101T000000Z.db");
    fs::write(&theirs, "theirs").unwrap();
    let back = take(-1_000);
    assert!(back.removed.is_empty(), "{back:?}");
    verify(&back.file.path).unwrap();
    assert_eq!(take(30).removed, ["neo-sim-20260418T192129Z.db".to_string(), back.file.name]);
    assert_eq!(list(&place.path).unwrap().len(), 2);
    assert!(exists(&theirs));
    assert_eq!(names(&folder_of(&place.path)).len(), 2 * 2 + 1 + 1, "sums go with their backups");
}

#[cfg(unix)]
#[test]
fn a_copy_may_be_read_by_those_who_may_read_the_record() {
    let _alone = child::alone();
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.start().vanish();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let taken = take(&place.path, at(0));
    assert_eq!(mode(&taken.file.path), 0o600);
    fs::set_permissions(&taken.file.path, fs::Permissions::from_mode(0o644)).unwrap();
    neo_store::restore::restore(&place.path, "latest", at(0), &mut |_| {}).unwrap();
    assert_eq!(mode(&place.path), 0o600);
}

#[test]
fn a_record_that_is_missing_or_not_ours_has_no_backup() {
    let _alone = child::alone();
    let place = Place::new();
    let error = |place: &Place| backup::take(&place.path, &ALL, at(0), &mut |_| {}).unwrap_err().to_string();
    assert!(error(&place).contains("does not exist"));
    fs::create_dir_all(place.path.parent().unwrap()).unwrap();
    fs::write(&place.path, "notes ".repeat(1_000)).unwrap();
    assert!(error(&place).contains("not a SQLite database"));
    assert!(!exists(&folder_of(&place.path)));
}

#[test]
#[ignore = "a measurement: cargo test -p neo-store --test backups -- --ignored --nocapture measure"]
fn measure_commits_beside_a_backup() {
    let place = Place::new();
    let running = place.start();
    for part in 0..60 {
        running.durably(fills(part * 10_000, (part + 1) * 10_000)).unwrap();
    }
    running.checkpoint();
    let mut next = 1_000_000;
    let mut commits = |until: &dyn Fn() -> bool| {
        let mut micros = Vec::new();
        while !until() || micros.len() < 200 {
            let begun = std::time::Instant::now();
            running.durably(fills(next, next + 1)).unwrap();
            micros.push(begun.elapsed().as_micros());
            next += 1;
            if micros.len() % 200 == 0 {
                running.checkpoint();
            }
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
        micros.sort_unstable();
        let at = |percent: usize| micros[(micros.len() - 1) * percent / 100];
        format!("{} commits, us: p50 {} p99 {} max {}", micros.len(), at(50), at(99), at(100))
    };
    let begun = std::time::Instant::now();
    println!("alone:           {}", commits(&|| begun.elapsed().as_secs() >= 5));
    let path = place.path.clone();
    let backup = std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        let taken = take(&path, at(0));
        println!("a backup of {} bytes took {:?}", taken.file.size, begun.elapsed());
    });
    println!("beside a backup: {}", commits(&|| backup.is_finished()));
    backup.join().unwrap();
    running.vanish();
}
