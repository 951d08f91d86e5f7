//! What is done to a record without its writer: the next start, the last resorts of a stop, backups, `neo verify`.

use std::path::Path;

use neo_disk::Disk;
use neo_store::backup::{list, take, verify};
use neo_store::close::amend_end;
use neo_store::record::*;
use neo_store::{Retention, Store, StoreError, close_directly};

use super::{Contents, next_start};
use crate::common::*;

/// A record as a killed engine leaves it: an open session, rows in the file and in its `-wal`.
pub struct Template {
    place: Place,
    pub contents: Contents,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Start,
    CloseDirectly,
    Amend,
    Backup,
    BackupBeforeSession,
    Verify,
}

impl Errand {
    pub const ALL: [Errand; 6] = [
        Errand::Start,
        Errand::CloseDirectly,
        Errand::Amend,
        Errand::Backup,
        Errand::BackupBeforeSession,
        Errand::Verify,
    ];
}

impl Template {
    pub fn new() -> Template {
        let (living, place) = (Place::new(), Place::new());
        let running = living.start();
        for n in 1..=30 {
            running
                .durably(vec![Record::Intent(intent(n)), Record::Fault(fault(&format!("{n}").repeat(3_000)))])
                .unwrap();
            if n == 20 {
                running.checkpoint();
            }
        }
        copy(&living, &place);
        running.vanish();
        let trial = Place::new();
        copy(&place, &trial);
        let contents = next_start(&trial.path);
        assert_eq!(contents.rows.len(), 61);
        Template { place, contents }
    }

    pub fn put(&self) -> Place {
        let place = Place::new();
        copy(&self.place, &place);
        place
    }
}

fn copy(from: &Place, to: &Place) {
    std::fs::create_dir_all(to.path.parent().unwrap()).unwrap();
    std::fs::copy(&from.path, &to.path).unwrap();
    std::fs::copy(from.wal(), to.wal()).unwrap();
}

/// Runs the errand. An error is a value, and only there where the disk refused something; true when it was done.
pub fn run(errand: Errand, db: &Path, disk: &Disk) -> bool {
    let done = match errand {
        Errand::Start => Store::open(db, &identity(), &options(), at(0)).map(drop).map_err(told),
        Errand::CloseDirectly => close_directly(db, 1, &clean_end(), &[stage(Stage::Quiesce)]).map(drop).map_err(told),
        Errand::Amend => close_directly(db, 1, &clean_end(), &[])
            .and_then(|_| amend_end(db, 1, &[stage(Stage::Seal)], Some("{}"), false))
            .map(drop)
            .map_err(told),
        Errand::Backup => take(db, &retention(), at(50), &mut |_| {}).map(drop).map_err(|error| error.to_string()),
        Errand::BackupBeforeSession => Store::open(db, &identity(), &options(), at(0))
            .map_err(told)
            .and_then(|mut store| store.backup(&retention(), at(50)).map(drop).map_err(|error| error.to_string())),
        Errand::Verify => neo_store::verify(db).map_err(told).map(|found| {
            assert!(!found.malformed, "a page that the disk did not give is no damage: {:?}", found.findings);
        }),
    };
    if let Err(error) = &done {
        assert!(disk.refused() > 0, "nothing was refused, and yet: {error}");
    }
    done.is_ok()
}

/// What cannot be read or written is not called damaged: that would send its owner to a backup.
fn told(error: StoreError) -> String {
    assert!(!matches!(error, StoreError::Damaged { .. } | StoreError::NotADatabase { .. }), "{error}");
    error.to_string()
}

fn retention() -> Retention {
    Retention { last: 10, daily: 7, weekly: 4 }
}

/// The record is as it was, with its session closed; what has the name of a backup is one.
pub fn check(errand: Errand, db: &Path, done: bool, template: &Template) {
    let backups = list(db).unwrap();
    for backup in &backups {
        verify(&backup.path).expect("what has the name of a backup is whole");
    }
    let found = next_start(db);
    assert_eq!(found.rows, template.contents.rows);
    let end = found.sessions.get(&1).map(String::as_str);
    match errand {
        Errand::CloseDirectly | Errand::Amend if done => assert_eq!(end, Some("clean")),
        Errand::CloseDirectly | Errand::Amend => assert!(matches!(end, Some("clean" | "recovered")), "{end:?}"),
        Errand::Start | Errand::Verify => assert_eq!(end, Some("recovered")),
        Errand::Backup | Errand::BackupBeforeSession => {
            assert!(!done || backups.len() == 1, "{backups:?}");
            let partial = std::fs::read_dir(neo_store::backup::folder_of(db)).into_iter().flatten().flatten();
            let partial = partial.filter(|entry| entry.file_name().to_string_lossy().contains(".partial")).count();
            assert_eq!(partial, 0, "a failed backup left something behind");
        }
    }
}
