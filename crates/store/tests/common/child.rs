//! Another process: this test binary again, running one of its ignored tests until it is inside, and then killed.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Place;

const DB: &str = "NEO_TEST_DB";
const STEP: &str = "NEO_TEST_STEP";
const INSIDE: &str = "the child is inside";

/// One test at a time where some start children: between its fork and its exec a child holds every lock of its parent,
/// and a record that another test has just let go would still be locked.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that has come to where it is to be killed.
pub struct Child {
    child: std::process::Child,
}

impl Child {
    /// Runs the ignored test `name` on `db` until it calls [`inside`].
    pub fn run(name: &str, db: &Path, step: usize) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
            .env(DB, db)
            .env(STEP, step.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let arrived = said.map(Result::unwrap).any(|line| line.contains(INSIDE));
        assert!(arrived, "the child ended by itself: {:?}", child.wait());
        Child { child }
    }

    /// SIGKILL, or what the system has in its place.
    pub fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// In the child: which record.
pub fn path() -> PathBuf {
    std::env::var_os(DB).expect("only as a child").into()
}

/// In the child: at which step to be killed.
pub fn step() -> usize {
    std::env::var(STEP).expect("only as a child").parse().unwrap()
}

/// In the child: waits to be killed.
pub fn inside() {
    let mut out = std::io::stdout();
    writeln!(out, "{INSIDE}").and_then(|()| out.flush()).unwrap();
    loop {
        std::thread::park();
    }
}

/// The three files as a kill at this moment would leave them, in a place of their own.
pub fn as_killed(place: &Place) -> Place {
    let copy = Place::new();
    std::fs::create_dir_all(copy.path.parent().unwrap()).unwrap();
    for part in ["", "-wal", "-shm"] {
        std::fs::copy(place.beside(part), copy.beside(part)).unwrap();
    }
    copy
}
