//! Old databases in several dialects: what backfilling and importing promise for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod dialects;

use std::path::{Path, PathBuf};

use common::{Place, at, new_session};
use dialects::{DIALECTS, Dialect, rest_of, values};
use neo_store::Reader;
use neo_store::old::{Backfilled, Mapping, OldError, Outcome, backfill};
use neo_store::record::EndedAtSource;
use rusqlite::Connection;
use rusqlite::types::Value;

fn run(path: &Path, dry_run: bool) -> Result<Backfilled, OldError> {
    backfill(path, &Mapping::default(), dry_run, at(0))
}

fn mapped(texts: &[&str]) -> Mapping {
    Mapping::parse(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn sql(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

#[test]
fn every_dialect_gets_its_ends_in_its_own_form_and_nothing_else() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let path = dialect.write(folder.path());
        let (before, name) = (rest_of(&path), dialect.name);
        let done = run(&path, false).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ends: Vec<_> = (1..=38).map(|number| dialect.end(number)).collect();
        assert_eq!(values(&path, "SELECT ended_at FROM sessions ORDER BY rowid"), ends, "{name}");
        assert_eq!(rest_of(&path), before, "{name}");
        assert_eq!((done.count(Outcome::Set), done.count(Outcome::Kept)), (36, 1), "{name}");
        let without: Vec<_> = done
            .sessions
            .iter()
            .filter(|change| change.outcome == Outcome::NoRecord)
            .map(|change| &change.session)
            .collect();
        assert_eq!(without, ["S3"], "{name}");
        assert_eq!(values(&path, "SELECT count(*) FROM neo_backfill"), [Value::Integer(36)], "{name}");
        let marked = "SELECT new_value FROM neo_backfill JOIN sessions ON id = session_id
            WHERE new_value IS ended_at AND old_value IS NULL";
        assert_eq!(values(&path, marked).len(), 36, "{name}");

        let copy = done.backup.expect("a backup");
        assert_eq!(rest_of(&copy), before, "{name}");
        assert_eq!(values(&copy, "SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL"), [Value::Integer(1)]);

        let there = files(folder.path());
        let again = run(&path, false).unwrap();
        assert_eq!((again.count(Outcome::Set), again.backup), (0, None), "{name}");
        assert_eq!(values(&path, "SELECT ended_at FROM sessions ORDER BY rowid"), ends, "{name}");
        assert_eq!(files(folder.path()), there, "{name}: a second run leaves no file");
    }
}

#[test]
fn a_dry_run_tells_the_same_and_writes_no_byte() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let path = dialect.write(folder.path());
        let (bytes, there) = (std::fs::read(&path).unwrap(), files(folder.path()));
        let dry = run(&path, true).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), files(folder.path())), (bytes, there), "{}", dialect.name);
        assert_eq!(dry.backup, None);
        assert_eq!(run(&path, false).unwrap().sessions, dry.sessions, "{}", dialect.name);
    }
}

#[test]
fn looking_leaves_the_wal_of_a_killed_program_as_it_is() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = DIALECTS[0].write(folder.path());
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE sessions SET note = 'only in the WAL'").unwrap();
    // What is on the disk when the program dies now.
    for file in files(folder.path()).iter().filter(|file| !file.to_string_lossy().ends_with("-shm")) {
        std::fs::copy(file, killed.path().join(file.file_name().unwrap())).unwrap();
    }
    let path = killed.path().join(path.file_name().unwrap());
    let bytes = || files(killed.path()).iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    let before = bytes();
    assert_eq!(before.len(), 2);
    assert_eq!(run(&path, true).unwrap().count(Outcome::Set), 36);
    import(&Place::new(), &path).unwrap();
    assert_eq!(bytes(), before);
    run(&path, false).unwrap();
    assert_eq!(values(&path, "SELECT DISTINCT note FROM sessions"), [Value::Text("only in the WAL".into())]);
}

#[test]
fn a_database_that_somebody_has_open_is_left_alone() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let path = dialect.write(folder.path());
        let holder = Connection::open(&path).unwrap();
        let text = if dialect.journal == "WAL" { "SELECT 1 FROM sessions" } else { "BEGIN IMMEDIATE" };
        holder.prepare(text).unwrap().query([]).unwrap().next().unwrap();
        for dry_run in [true, false] {
            let refused = run(&path, dry_run).unwrap_err();
            assert!(matches!(refused, OldError::InUse { .. }), "{}: {refused}", dialect.name);
        }
        drop(holder);
        run(&path, false).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_process_that_has_the_file_open_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[1].write(folder.path());
    let file = std::fs::File::open(&path).unwrap();
    let mut idle = std::process::Command::new("sleep").arg("600").stdin(file).spawn().unwrap();
    let refused = run(&path, false);
    idle.kill().unwrap();
    idle.wait().unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", idle.id())), "{refused}");
    run(&path, false).unwrap();
}

#[test]
fn a_malformed_file_is_refused_with_the_commands_that_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    let whole = std::fs::read(&path).unwrap();
    for bytes in [whole[..whole.len() / 2].to_vec(), b"no database, but text of some length".repeat(30)] {
        std::fs::write(&path, &bytes).unwrap();
        let error = run(&path, false).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OldError::Malformed { .. }), "{text}");
        assert!(text.contains(".recover | sqlite3") && text.contains("cp -p '"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn what_cannot_be_told_is_refused_and_can_be_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    sql(
        &path,
        "ALTER TABLE fills ADD COLUMN filled_at; ALTER TABLE valuation_snapshots RENAME COLUMN timestamp TO moment",
    );
    let error = run(&path, false).unwrap_err();
    let text = error.to_string();
    assert!(error.is_usage(), "{text}");
    for told in
        ["--map fills.time=COLUMN", "filled_at or created_at", "--map valuation_snapshots.time=COLUMN", "moment"]
    {
        assert!(text.contains(told) || text.contains("created_at or filled_at"), "{told}: {text}");
    }
    let mapping = mapped(&["fills.time=created_at", "valuation_snapshots.time=moment"]);
    assert_eq!(backfill(&path, &mapping, false, at(0)).unwrap().count(Outcome::Set), 36);
    sql(&path, "DROP TABLE fills; UPDATE sessions SET ended_at = NULL");
    let text = backfill(&path, &mapped(&["valuation_snapshots.time=moment"]), false, at(0)).unwrap_err().to_string();
    assert!(text.contains("no table fills"), "{text}");
    let mapping = mapped(&["fills=none", "valuation_snapshots.time=moment"]);
    assert_eq!(backfill(&path, &mapping, false, at(1)).unwrap().count(Outcome::Set), 37);
}

#[test]
fn a_session_whose_records_contradict_it_is_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    sql(
        &path,
        "UPDATE sessions SET started_at = '2027-01-01T00:00:00Z' WHERE id = 10;
        UPDATE fills SET created_at = 'noon' WHERE session_id = 11",
    );
    let done = run(&path, false).unwrap();
    let left: Vec<_> = done
        .sessions
        .iter()
        .filter(|change| change.outcome == Outcome::LeftOpen)
        .map(|change| &change.session)
        .collect();
    assert_eq!(left, ["S10", "S11"]);
    assert_eq!(values(&path, "SELECT id FROM sessions WHERE ended_at IS NULL"), [3, 10, 11].map(Value::Integer));
}

#[test]
fn empty_tables_and_missing_files_are_no_accident() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    sql(&path, "DELETE FROM sessions; DELETE FROM fills; DELETE FROM valuation_snapshots");
    assert!(run(&path, false).unwrap().sessions.is_empty());
    assert!(matches!(run(&folder.path().join("none.db"), false), Err(OldError::Missing { .. })));
    assert!(matches!(run(folder.path(), false), Err(OldError::NotAFile { .. })));
    assert!(!folder.path().join("none.db").exists());
    let place = Place::new();
    drop(place.open());
    assert!(matches!(run(&place.path, false), Err(OldError::Ours { .. })));
}

fn import(place: &Place, path: &Path) -> Result<neo_store::old::Imported, OldError> {
    place.open().import_old(path, &Mapping::default(), at(0))
}

#[test]
fn every_dialect_becomes_history_and_the_next_session_is_39() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let (place, name) = (Place::new(), dialect.name);
        let path = dialect.write(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        let done = import(&place, &path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}: the old file is as it was");
        // Without a start and without a record there is nothing of S3 to keep.
        let sessions = if dialect.has_start { 38 } else { 37 };
        assert_eq!((done.added.len(), done.fills, done.valuations, done.next), (sessions, 72, 37, 39), "{name}");
        assert_eq!(done.left_out.len(), 38 - sessions, "{name}");
        check_history(&place, &dialect);

        let again = import(&place, &path).unwrap();
        assert_eq!((again.added.len(), again.fills, again.valuations), (0, 0, 0), "{name}");
        assert_eq!(again.already.len(), sessions, "{name}");

        // A second import after backfilling adds nothing either.
        run(&path, false).unwrap();
        assert_eq!(import(&place, &path).unwrap().added.len(), 0, "{name}");
        let mut store = place.open();
        assert!(store.recovered().is_empty(), "{name}: history is never recovered");
        assert_eq!(store.begin_session(&new_session(at(0))).unwrap(), 39, "{name}");
    }
}

fn check_history(place: &Place, dialect: &Dialect) {
    let reader = Reader::open(&place.path).unwrap();
    let rows = reader.sessions().unwrap();
    assert!(rows.iter().all(|row| row.imported));
    for row in &rows {
        let origin = reader.imported(row.number).unwrap().unwrap();
        assert_eq!(origin.fills, row.fills);
        let source = match row.number {
            3 => None,
            5 => Some(EndedAtSource::Imported),
            _ => Some(EndedAtSource::Backfilled),
        };
        assert_eq!(row.ended_at_source, source, "{} S{}", dialect.name, row.number);
        assert_eq!(row.ended_at.is_none(), row.number == 3);
        assert_eq!(row.starting_value_rlusd.unwrap().to_string(), "1000.1");
        assert_eq!(origin.converted[0], "starting_value");
        let ending = row.ending_value_rlusd.map(|value| value.to_string());
        assert_eq!(ending.as_deref(), (row.number == 5).then_some("1000.3"));
        assert_eq!(origin.unknown.get("ending_value").is_some(), row.number != 5);
        assert_eq!(row.ending_value_reason.is_some(), row.number != 5);
    }
    let amounts = "SELECT xrp || ' ' || price || ' ' || converted FROM imported_fills LIMIT 1";
    assert_eq!(values(&place.path, amounts), [Value::Text("12.5 2.4013 [\"xrp\",\"price\"]".to_string())]);
    assert_eq!(values(&place.path, "SELECT count(*) FROM imported_fills WHERE rlusd IS NULL"), [Value::Integer(72)]);
    let kept = reader.imported(1).unwrap().unwrap();
    assert!(kept.unknown.get("fills.rlusd").is_some(), "an absent column has a reason");
}

#[test]
fn numbers_that_the_record_has_itself_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    let place = Place::new();
    place.open().begin_session(&new_session(at(0))).unwrap();
    let error = import(&place, &path).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OldError::Overlap { .. }) && text.contains("S1") && text.contains("--db NEW.db"), "{text}");
    assert_eq!(Reader::open(&place.path).unwrap().sessions().unwrap().len(), 1);
    assert_eq!(values(&place.path, "SELECT count(*) FROM imported_fills"), [Value::Integer(0)]);
}

#[test]
fn rows_that_are_the_same_to_the_last_column_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = DIALECTS[0].write(folder.path());
    sql(
        &path,
        "CREATE TABLE trades AS SELECT session_id, created_at, side FROM fills WHERE session_id = 1;
        INSERT INTO trades SELECT * FROM trades; DROP TABLE fills;
        INSERT INTO trades VALUES (99, 'noon', 'buy')",
    );
    let place = Place::new();
    let done = import(&place, &path).unwrap();
    assert_eq!((done.fills, done.strays), (5, 1));
    assert_eq!(import(&place, &path).unwrap().fills, 0);
}
