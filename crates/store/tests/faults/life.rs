//! One life of the store on a disk that may fail: open, begin, commits, a checkpoint, close, seal.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use neo_disk::{Disk, Kind};
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Store, StoreError, WriteError, Writer, WriterFault};

use super::Mode;
use crate::common::*;

/// Commits of a life; the checkpoint is in the middle.
const COMMITS: u32 = 4;

/// What the store said until it ended.
#[derive(Debug, Default)]
pub struct Said {
    /// Why it never came to record.
    pub refused: Option<String>,
    pub begun: Option<SessionNumber>,
    /// Ids that were queued, and those that were acknowledged.
    pub queued: BTreeSet<String>,
    pub acknowledged: BTreeSet<String>,
    /// The highest number that was acknowledged.
    pub durable: u64,
    pub closed: bool,
    /// Storage faults that the writer reported.
    pub storage: u32,
}

enum Event {
    Ack(Result<u64, WriteError>),
    Checkpoint(Result<Checkpoint, WriteError>),
    Fault(WriterFault),
}

/// Lives. What is promised at each step is asserted here; what is promised of the file is for the next start.
pub fn live(db: &Path, disk: &Disk, mode: Mode) -> Said {
    let (tell, hear) = channel();
    let mut options = options();
    let faults = tell.clone();
    options.on_fault = Some(Arc::new(move |fault| faults.send(Event::Fault(fault)).unwrap()));
    let mut said = Said::default();
    let mut store = match Store::open(db, &identity(), &options, at(0)) {
        Ok(store) => store,
        Err(error) => return said.refused(&error, disk),
    };
    let session = match store.begin_session(&new_session(at(0))) {
        Ok(session) => session,
        Err(error) => return said.refused(&error, disk),
    };
    said.begun = Some(session);
    let (writer, thread) = match store.start_writer(session) {
        Ok(started) => started,
        Err(error) => return said.refused(&error, disk),
    };
    let mut life = Life { writer, disk, mode, tell, hear, said, waiting: Vec::new() };
    life.trade();
    life.close();
    life.seal();
    thread.join(PATIENCE).unwrap();
    life.said
}

impl Said {
    fn refused(mut self, error: &StoreError, disk: &Disk) -> Said {
        assert!(disk.refused() > 0, "nothing was refused, and yet: {error}");
        // What cannot be read is not called damaged: that would send its owner to a backup.
        assert!(!matches!(error, StoreError::Damaged { .. } | StoreError::NotADatabase { .. }), "{error}");
        self.refused = Some(error.to_string());
        self
    }
}

struct Life<'a> {
    writer: Writer,
    disk: &'a Disk,
    mode: Mode,
    tell: Sender<Event>,
    hear: Receiver<Event>,
    said: Said,
    /// Ids of messages that are not answered yet, oldest first.
    waiting: Vec<Vec<String>>,
}

impl Life<'_> {
    fn trade(&mut self) {
        for n in 1..=COMMITS {
            let records = vec![
                Record::Intent(intent(n)),
                Record::Order(order(n)),
                Record::Fault(fault(&format!("{n}").repeat(5_000))),
                Record::Fill(fill(n, Side::Bid, 5, "1")),
            ];
            let ids = vec![
                format!("intents {}", hash(n)),
                format!("orders {}", hash(n)),
                format!("{n}").repeat(5_000),
                format!("fills {}", hash(n)),
            ];
            self.said.queued.extend(ids.iter().cloned());
            let tell = self.tell.clone();
            let ack = move |result| tell.send(Event::Ack(result)).unwrap();
            self.writer.record_durably(records, Box::new(ack)).unwrap();
            self.waiting.push(ids);
            if !self.stuck() && !self.answered() {
                return;
            }
            if n == COMMITS / 2 {
                self.checkpoint();
            }
        }
    }

    /// The disk refuses for good, and it was said: nobody waits for it any more.
    fn stuck(&self) -> bool {
        self.mode == Mode::Always && self.said.storage > 0
    }

    /// Waits for the oldest message's answer; false when the disk refuses for good.
    fn answered(&mut self) -> bool {
        let (before, refused) = (self.said.storage, self.disk.refused());
        loop {
            match self.hear.recv_timeout(PATIENCE).expect("an answer or a fault") {
                Event::Ack(result) => {
                    let durable = result.expect("an acknowledgement, because the disk is good again");
                    // The disk may refuse what nobody depends on, but not in the midst of a commit.
                    let struck = self.disk.refused() > refused;
                    assert!(!struck || self.said.storage > before, "the disk refused and the writer did not say so");
                    self.acknowledged(durable);
                    return true;
                }
                Event::Fault(WriterFault::Storage { .. }) => {
                    // After one refusal the next attempt may have succeeded before this is read.
                    if self.mode != Mode::Once {
                        assert_eq!(
                            self.writer.durable(),
                            self.said.durable,
                            "the watermark moved on a disk that refuses"
                        );
                    }
                    self.said.storage += 1;
                    match self.mode {
                        Mode::Once => {}
                        Mode::Always => return false,
                        Mode::Recovers => self.disk.recover(),
                    }
                }
                Event::Fault(WriterFault::Recovered { .. }) => {}
                Event::Fault(WriterFault::Refused { error, .. }) => panic!("a good record was refused: {error}"),
                Event::Checkpoint(_) => panic!("nobody asked for a checkpoint"),
            }
        }
    }

    fn acknowledged(&mut self, durable: u64) {
        let ids = self.waiting.remove(0);
        self.said.durable = durable;
        self.said.acknowledged.extend(ids);
    }

    fn checkpoint(&mut self) {
        let refused = self.disk.refused();
        let tell = self.tell.clone();
        let reply = move |result| tell.send(Event::Checkpoint(result)).unwrap();
        self.writer.checkpoint(CheckpointCause::Timer, Box::new(reply)).unwrap();
        loop {
            match self.hear.recv_timeout(PATIENCE).expect("the checkpoint's answer") {
                Event::Checkpoint(Ok(_)) => self.said.durable = self.writer.durable(),
                Event::Checkpoint(Err(WriteError::Storage { .. })) => assert!(self.disk.refused() > refused),
                Event::Checkpoint(Err(error)) => panic!("{error}"),
                // A checkpoint that the disk refuses is a refusal like any other, and told before the answer.
                Event::Fault(WriterFault::Storage { .. }) => {
                    assert!(self.disk.refused() > refused);
                    continue;
                }
                Event::Ack(_) | Event::Fault(_) => panic!("nothing else was asked"),
            }
            return;
        }
    }

    fn close(&mut self) {
        let tell = self.tell.clone();
        let ack = move |result| tell.send(Event::Ack(result)).unwrap();
        self.writer.close_session(clean_end(), vec![stage(Stage::Quiesce)], Box::new(ack)).unwrap();
        self.waiting.push(Vec::new());
        if !self.stuck() && self.answered() {
            self.said.closed = true;
        }
        self.writer.add_stop_stage(stage(Stage::Close)).unwrap();
    }

    /// The seal ends, whatever the disk does, and everyone who waits is told.
    fn seal(&mut self) {
        let (tell, told) = channel();
        self.writer.seal(Box::new(move |result| tell.send(result).unwrap())).unwrap();
        let sealed = told.recv_timeout(PATIENCE).expect("the seal ends");
        if self.stuck() {
            assert!(matches!(sealed, Err(WriteError::Storage { .. })), "{sealed:?}");
            let mut answers = 0;
            while answers < self.waiting.len() {
                match self.hear.recv_timeout(PATIENCE).expect("everyone who waits is told") {
                    Event::Ack(result) => {
                        assert!(matches!(result, Err(WriteError::Storage { .. })), "{result:?}");
                        answers += 1;
                    }
                    Event::Fault(_) => {}
                    Event::Checkpoint(_) => panic!("the checkpoint was answered before"),
                }
            }
        }
        assert!(!self.writer.is_alive());
    }
}

/// How many operations of each kind a life has on a good disk.
pub fn counts(disk: &Disk) -> std::collections::BTreeMap<Kind, u64> {
    Kind::ALL.into_iter().map(|kind| (kind, disk.count(kind))).collect()
}
