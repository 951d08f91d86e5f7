//! The real binary in a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "test support"
)]

pub mod mounted;
pub mod node;
#[cfg(unix)]
pub mod pty;
pub mod witness;
pub mod world;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use neo_store::Reader;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with one record in it.
pub struct Engine {
    folder: TempDir,
    record: &'static str,
}

impl Engine {
    /// An empty folder.
    pub fn new() -> Engine {
        Engine::with_record("neo test é.db")
    }

    /// An empty folder whose record will have this path in it.
    pub fn with_record(record: &'static str) -> Engine {
        Engine { folder: tempfile::tempdir().unwrap(), record }
    }

    /// The record's file.
    pub fn db(&self) -> PathBuf {
        self.folder.path().join(self.record)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `neo` in this folder, without the variables of whoever runs the tests.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neo"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NEO_")) {
            command.env_remove(name);
        }
        // Disks of tests are small; those that are about the limit set it by a flag.
        command.env("NEO_STORE__MIN_FREE_MB", "0");
        command
    }

    /// `neo COMMAND --db THE_RECORD MORE`, to its end.
    pub fn neo(&self, subcommand: &str, more: &[&str]) -> Output {
        self.with_db(subcommand, more).output().unwrap()
    }

    /// The same, not started yet.
    pub fn with_db(&self, subcommand: &str, more: &[&str]) -> Command {
        let db = self.db();
        let mut arguments = vec![subcommand];
        arguments.extend(["--db", db.to_str().unwrap()]);
        arguments.extend(more);
        self.command(&arguments)
    }

    /// Starts a session.
    pub fn start(&self, more: &[&str]) -> Running<'_> {
        self.spawn(self.with_db("run", more))
    }

    /// The same through a program that becomes the engine, given with its first arguments.
    pub fn start_by(&self, program: &[&str], more: &[&str]) -> Running<'_> {
        let run = self.with_db("run", more);
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(run.get_program()).args(run.get_args());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        self.spawn(command)
    }

    /// Starts a session that was prepared; what it prints goes to files.
    pub fn spawn(&self, mut command: Command) -> Running<'_> {
        let log = std::fs::File::create(self.folder.path().join("stderr.txt")).unwrap();
        let out = std::fs::File::create(self.folder.path().join("stdout.txt")).unwrap();
        command.stdout(out).stderr(log);
        self.spawn_as_is(command)
    }

    /// Starts a session that was prepared, with its own standard streams.
    pub fn spawn_as_is(&self, command: impl std::borrow::BorrowMut<Command>) -> Running<'_> {
        let mut command = command;
        let child = command.borrow_mut().spawn().unwrap();
        Running { engine: self, child }
    }

    /// The record, read.
    pub fn record(&self) -> Reader {
        Reader::open(&self.db()).unwrap()
    }

    /// What the engine wrote to stderr.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr.txt")).unwrap_or_default()
    }

    /// No `-wal` and no `-shm` beside the record: one file.
    pub fn is_one_file(&self) -> bool {
        ["-wal", "-shm"].iter().all(|suffix| {
            let mut name = self.db().into_os_string();
            name.push(suffix);
            !Path::new(&name).exists()
        })
    }
}

impl Engine {
    /// Ends the simulated ledger without a word, as a crash would.
    pub fn kill_world(&self) {
        let endpoint = self.db().with_extension("ledger").join("endpoint.json");
        let Ok(text) = std::fs::read_to_string(endpoint) else { return };
        if let Some(pid) = serde_json::from_str::<Value>(&text).ok().and_then(|value| value["pid"].as_u64()) {
            let pid = pid.to_string();
            let killed = if cfg!(windows) {
                Command::new("taskkill").args(["/F", "/PID", &pid]).stdout(Stdio::null()).stderr(Stdio::null()).status()
            } else {
                Command::new("kill").args(["-s", "KILL", &pid]).status()
            };
            assert!(killed.is_ok(), "the simulated ledger {pid} could not be ended: {killed:?}");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A failed test may leave the world running; it must not outlive its folder.
        self.kill_world();
    }
}

/// An engine that runs.
pub struct Running<'a> {
    engine: &'a Engine,
    child: Child,
}

impl Running<'_> {
    /// Waits until the engine has quotes on the ledger.
    pub fn until_it_quotes(&mut self) -> Value {
        self.until(|status| status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty()))
    }

    /// Waits until there is a session that can be asked.
    pub fn until_it_answers(&mut self) -> Value {
        self.until(|_| true)
    }

    fn until(&mut self, enough: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the engine ended with {status}:\n{}", self.engine.stderr());
            }
            let output = self.engine.neo("status", &["--json"]);
            if output.status.success() {
                let status: Value = serde_json::from_slice(&output.stdout).unwrap();
                if enough(&status) {
                    return status;
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the engine does not come so far:\n{}", self.engine.stderr());
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it without a word: SIGKILL, TerminateProcess.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code.
    pub fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
