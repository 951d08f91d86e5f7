//! A record is looked at before SQLite is let at it: what must not be opened is refused, and stays as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Store, StoreError, verify};

const PARTS: [&str; 4] = ["", "-wal", "-shm", ".comparing"];

fn parts(place: &Place) -> Vec<Option<Vec<u8>>> {
    PARTS.map(|part| fs::read(place.beside(part)).ok()).to_vec()
}

fn open(place: &Place) -> Result<Store, StoreError> {
    Store::open(&place.path, &identity(), &options(), at(0))
}

/// Refused, with the commands that mend it, and not a byte changed of any of the three files.
fn refused(place: &Place, word: &str) -> StoreError {
    let before = parts(place);
    let error = open(place).expect_err("it is refused");
    assert!(parts(place) == before, "{error}");
    assert!(error.is_damage(), "{error:?}");
    let text = error.to_string();
    for needed in ["neo run --repair --db", "neo recover --repair --db", "neo restore latest --db", "neo verify", word]
    {
        assert!(text.contains(needed), "{needed}: {text}");
    }
    error
}

fn stray(place: &Place, word: &str) {
    let error = refused(place, word);
    assert!(matches!(error, StoreError::StrayWal { .. }), "{error:?}");
}

fn fills(from: u32, to: u32) -> Vec<Record> {
    (from..to).map(|n| Record::Fill(fill(n, Side::Bid, 1_000_000, "2.4"))).collect()
}

/// Killed in its second session: a file, a `-wal` with many commits of it, a `-shm`.
fn killed() -> Place {
    let place = Place::new();
    let running = place.start();
    running.durably(fills(1, 200)).unwrap();
    running.checkpoint();
    for n in 200..220 {
        running.durably(fills(n, n + 1)).unwrap();
    }
    let copy = child::as_killed(&place);
    running.vanish();
    copy
}

fn page(place: &Place, number: usize) -> std::ops::Range<usize> {
    let size = 4_096;
    assert!(fs::metadata(&place.path).unwrap().len() as usize >= number * size);
    (number - 1) * size..number * size
}

#[test]
fn a_killed_engines_own_log_is_replayed() {
    let _alone = child::alone();
    let place = killed();
    let store = open(&place).unwrap();
    assert_eq!(store.recovered(), [1]);
    drop(store);
    assert_eq!(place.sql().query_row("SELECT count(*) FROM fills", [], |row| row.get::<_, i64>(0)).unwrap(), 219);
    assert!(!exists(&place.beside(".comparing")));
}

#[test]
fn the_log_of_another_record_is_refused_before_it_is_replayed() {
    let _alone = child::alone();
    // The same account, the same tables, the same millisecond: only the record's own name differs.
    let (place, other) = (killed(), killed());
    fs::copy(other.wal(), place.wal()).unwrap();
    stray(&place, "it belongs to the record");
    let error = verify(&place.path).unwrap_err();
    assert!(matches!(error, StoreError::StrayWal { .. }), "verify finds it too: {error}");
    // Also beside a record that was closed in order.
    let running = other.start();
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    fs::copy(place.wal(), other.wal()).unwrap();
    let third = killed();
    fs::copy(third.wal(), other.wal()).unwrap();
    stray(&other, "it belongs to the record");
}

#[test]
fn the_log_of_another_program_is_refused() {
    let _alone = child::alone();
    for page_size in [4_096, 8_192] {
        let (place, other) = (killed(), Place::new());
        fs::create_dir_all(other.path.parent().unwrap()).unwrap();
        let theirs = other.sql();
        theirs.pragma_update(None, "page_size", page_size).unwrap();
        theirs.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        theirs.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
        fs::copy(other.wal(), place.wal()).unwrap();
        stray(&place, if page_size == 4_096 { "another program" } else { "its pages have 8192 bytes" });
    }
}

#[test]
fn a_log_from_before_is_refused() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    running.durably(fills(1, 5)).unwrap();
    let early = fs::read(place.wal()).unwrap();
    running.durably(fills(5, 300)).unwrap();
    running.checkpoint();
    running.durably(fills(300, 301)).unwrap();
    let killed = child::as_killed(&place);
    running.vanish();
    fs::write(killed.wal(), early).unwrap();
    stray(&killed, "must not be replayed");
    // Where the pages fit together all the same, the watermark tells.
    let place = Place::new();
    let running = place.start();
    running.durably(fills(1, 3)).unwrap();
    running.checkpoint();
    running.durably(fills(3, 4)).unwrap();
    let early = fs::read(place.wal()).unwrap();
    running.durably(fills(4, 6)).unwrap();
    running.checkpoint();
    running.durably(fills(6, 7)).unwrap();
    let killed = child::as_killed(&place);
    running.vanish();
    fs::write(killed.wal(), early).unwrap();
    stray(&killed, "it is from before");
}

#[test]
fn a_log_without_its_file_is_refused() {
    let _alone = child::alone();
    let place = killed();
    fs::write(&place.path, "").unwrap();
    stray(&place, "missing or empty");
    fs::remove_file(&place.path).unwrap();
    stray(&place, "missing or empty");
}

#[test]
fn a_log_that_sqlite_would_drop_in_silence_is_refused() {
    let _alone = child::alone();
    let place = killed();
    let whole = fs::read(place.wal()).unwrap();
    // In its header, one byte; and its whole first sector zeroed.
    let mut broken = whole.clone();
    broken[9] ^= 1;
    fs::write(place.wal(), &broken).unwrap();
    stray(&place, "its header is broken");
    broken = whole.clone();
    broken[..512].fill(0);
    fs::write(place.wal(), &broken).unwrap();
    stray(&place, "its header is broken");
    // In a frame with many commits behind it.
    broken = whole.clone();
    broken[32 + 24 + 100] ^= 1;
    fs::write(place.wal(), &broken).unwrap();
    stray(&place, "damaged");
    // In the last commit: a power failure may have cut it, so it is dropped as SQLite does. Its row is gone.
    broken = whole.clone();
    let last = broken.len() - 100;
    broken[last] ^= 1;
    fs::write(place.wal(), &broken).unwrap();
    drop(open(&place).unwrap());
    let count = "SELECT count(*) FROM fills";
    assert_eq!(place.sql().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 218);
}

#[test]
fn a_log_that_was_deleted_after_a_kill_is_missed() {
    let _alone = child::alone();
    let place = killed();
    fs::remove_file(place.wal()).unwrap();
    let store = open(&place).unwrap();
    let [recovery] = store.recoveries() else { panic!("one session was open") };
    assert!(recovery.log_is_gone);
    assert!(recovery.after.end_detail.as_ref().unwrap().contains("its -wal is gone"));
    drop(store);
    // With its log nothing is missed, and nothing is said.
    let place = killed();
    let store = open(&place).unwrap();
    assert!(!store.recoveries()[0].log_is_gone);
    assert!(!store.recoveries()[0].after.end_detail.as_ref().unwrap().contains("is gone"));
}

#[test]
fn an_empty_log_or_one_cut_in_its_header_is_no_obstacle() {
    let _alone = child::alone();
    for bytes in [vec![], vec![0x37, 0x7F, 0x06], vec![0; 32], vec![0; 8_192]] {
        let place = killed();
        fs::write(place.wal(), bytes).unwrap();
        drop(open(&place).unwrap());
    }
}

#[test]
fn after_an_unclean_end_the_indexes_are_checked_too() {
    let _alone = child::alone();
    let place = Place::new();
    let running = place.start();
    running.durably(fills(1, 50)).unwrap();
    running.vanish();
    // A row that its index does not have: the quick check does not see it.
    let lose = |place: &Place| {
        let sql = place.sql();
        let root: i64 = sql
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'fills_session'", [], |row| row.get(0))
            .unwrap();
        sql.close().unwrap();
        let at = page(place, usize::try_from(root).unwrap());
        let mut bytes = fs::read(&place.path).unwrap();
        // The last entry of the index's only page names a row that is not there.
        let two = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let cells = two(at.start + 3);
        let cell = at.start + two(at.start + 8 + 2 * (cells - 1));
        assert_eq!(bytes[cell + 4], 49);
        bytes[cell + 4] = 60;
        fs::write(&place.path, bytes).unwrap();
    };
    lose(&place);
    let quick: String = place.sql().query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(quick, "ok");
    let error = refused(&place, "fills_session");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_damaged_page_is_refused_with_and_without_a_log() {
    let _alone = child::alone();
    let place = killed();
    let mut bytes = fs::read(&place.path).unwrap();
    let at = page(&place, 40);
    bytes[at].fill(0xA5);
    fs::write(&place.path, &bytes).unwrap();
    assert!(matches!(refused(&place, "damaged"), StoreError::Damaged { .. }));
    fs::remove_file(place.wal()).unwrap();
    fs::remove_file(place.beside("-shm")).unwrap();
    assert!(matches!(refused(&place, "damaged"), StoreError::Damaged { .. }));
    bytes[..100].fill(0);
    fs::write(&place.path, &bytes).unwrap();
    assert!(matches!(refused(&place, "not a SQLite database"), StoreError::NotADatabase { .. }));
}

#[test]
fn a_new_record_has_its_name_in_the_file_from_the_start() {
    let place = Place::new();
    let store = place.open();
    // The `-wal` is empty and the file alone has everything.
    assert_eq!(fs::metadata(place.wal()).unwrap().len(), 0);
    let before = fs::read(&place.path).unwrap();
    drop(store);
    let second = place.open();
    drop(second);
    assert!(before.len() > 4_096);
    let id = |place: &Place| -> String {
        place.sql().query_row("SELECT record_id FROM meta", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(id(&place).len(), 32);
    let other = Place::new();
    drop(other.open());
    assert_ne!(id(&place), id(&other));
}
