//! A run of the store that is written down operation by operation, with what the store said and when.

pub mod judge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use neo_disk::{Chance, Disk, Level, Op};
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Ack, WriteError};

use crate::common::*;

/// Commits between two checkpoints.
const COMMITS_PER_CHECKPOINT: u32 = 9;
/// Sessions of a run.
const SESSIONS: u32 = 4;

/// What the store told, each with the number of operations that the disk had seen by then.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Numbers up to which rows were acknowledged.
    pub acks: Vec<(usize, u64)>,
    /// Checkpoints that finished, with the number that was acknowledged before they were asked for.
    pub checkpoints: Vec<(usize, u64)>,
    /// Sessions that were begun.
    pub begun: Vec<(usize, SessionNumber)>,
    /// Sessions whose end was acknowledged.
    pub closed: Vec<(usize, SessionNumber)>,
}

/// The recorded run.
pub struct Run {
    /// The folder that the operations name.
    pub folder: PathBuf,
    /// The record in it, relative.
    pub db: PathBuf,
    pub ops: Vec<Op>,
    pub told: Told,
    /// What each number is, at the end of the run.
    pub rows: BTreeMap<i64, String>,
}

/// The highest number that was told of when the disk had seen `position` operations.
pub fn told_by(what: &[(usize, u64)], position: usize) -> u64 {
    what.iter().filter(|(at, _)| *at <= position).map(|(_, seq)| *seq).max().unwrap_or(0)
}

/// Runs the store over some sessions: group commits, checkpoints, one kept busy by a reader, closes and seals.
pub fn record(commits: u32, seed: u64, level: Option<Level>) -> Run {
    let place = Place::new();
    let folder = place.path.parent().unwrap().parent().unwrap().canonicalize().unwrap();
    let disk = Arc::new(Disk::over(&folder).unwrap());
    disk.record();
    disk.without_real_syncs();
    if let Some(level) = level {
        disk.lower(level);
    }
    let mut session = Session {
        place: &place,
        disk: Arc::clone(&disk),
        told: Arc::default(),
        chance: Chance::new(seed),
        next: 1,
        commits,
    };
    for number in 1..=SESSIONS {
        session.run(number);
    }
    let rows = judge::rows(&place.sql()).unwrap();
    let told = session.told.lock().unwrap().clone();
    let db = place.path.strip_prefix(place.path.parent().unwrap().parent().unwrap()).unwrap().to_path_buf();
    Run { folder, db, ops: disk.ops(), told, rows }
}

struct Session<'a> {
    place: &'a Place,
    disk: Arc<Disk>,
    told: Arc<Mutex<Told>>,
    chance: Chance,
    /// The next record's number, of whatever kind.
    next: u32,
    commits: u32,
}

impl Session<'_> {
    fn run(&mut self, number: u32) {
        let running = self.place.start();
        self.told.lock().unwrap().begun.push((self.disk.position(), running.session));
        let mut reader = None;
        for commit in 1..=self.commits / SESSIONS {
            self.commit(&running);
            if number == 2 && commit == 3 {
                // A reader that stays: the next checkpoint cannot finish, the one after it can.
                let conn = self.place.sql();
                conn.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
                reader = Some(conn);
            }
            if commit.is_multiple_of(COMMITS_PER_CHECKPOINT) {
                let before = running.writer.durable();
                let done = running.checkpoint();
                assert_eq!(done.busy, reader.is_some());
                let mut told = self.told.lock().unwrap();
                if !done.busy {
                    told.checkpoints.push((self.disk.position(), before));
                }
                told.acks.push((self.disk.position(), running.writer.durable()));
                reader = None;
            }
        }
        // The last session is never closed by its engine.
        if number < SESSIONS {
            running.close(clean_end(), Stage::ALL[..5].iter().copied().map(stage).collect()).unwrap();
            self.told.lock().unwrap().closed.push((self.disk.position(), running.session));
            running.writer.add_stop_stage(stage(Stage::Close)).unwrap();
            let (writer, before) = (running.writer.clone(), running.writer.durable());
            running.seal();
            let mut told = self.told.lock().unwrap();
            told.checkpoints.push((self.disk.position(), before));
            told.acks.push((self.disk.position(), writer.durable()));
        } else {
            running.vanish();
        }
    }

    /// Some messages in one commit or in two, each acknowledged.
    fn commit(&mut self, running: &Running) {
        let release = hold(&running.writer);
        let mut answers = Vec::new();
        for _ in 0..=self.chance.below(3) {
            for _ in 0..self.chance.below(3) {
                let record = self.record();
                running.writer.record(record).unwrap();
            }
            let records = (0..=self.chance.below(4)).map(|_| self.record()).collect();
            let (ack, answer) = self.ack();
            running.writer.record_durably(records, ack).unwrap();
            answers.push(answer);
        }
        drop(release);
        for answer in answers {
            answer.recv_timeout(PATIENCE).unwrap().unwrap();
        }
    }

    /// Notes the moment on the writer's own thread: before the disk sees another operation.
    fn ack(&self) -> (Ack, std::sync::mpsc::Receiver<Result<u64, WriteError>>) {
        let (tell, answer) = std::sync::mpsc::channel();
        let (disk, told) = (Arc::clone(&self.disk), Arc::clone(&self.told));
        let ack = move |result: Result<u64, WriteError>| {
            if let Ok(seq) = &result {
                told.lock().unwrap().acks.push((disk.position(), *seq));
            }
            tell.send(result).unwrap();
        };
        (Box::new(ack), answer)
    }

    fn record(&mut self) -> Record {
        let n = self.next;
        self.next += 1;
        match self.chance.below(8) {
            0 | 1 => Record::Intent(intent(n)),
            2 => Record::Order(order(n)),
            3 => Record::OrderEvent(event(n, OrderState::Resting, 5)),
            4 => Record::Fill(fill(n, Side::Ask, 5, "12.5")),
            5 => Record::Flow(flow(n, FlowCause::Fee, -10, "0")),
            6 => Record::Valuation(snapshot(SnapshotKind::Opening, n, 1, "1", Some("3.4"))),
            // Some are longer than a page.
            _ => Record::Fault(fault(&format!("{n}").repeat(usize::try_from(self.chance.below(1_500)).unwrap()))),
        }
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Where an image is put.
pub fn fresh(parent: &Path) -> tempfile::TempDir {
    tempfile::tempdir_in(parent).unwrap()
}
