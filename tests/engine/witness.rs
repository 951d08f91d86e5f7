//! An engine whose standard output is read to its end: what it said is durable must be there, whatever became of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::Engine;

/// What the tables are whose rows carry numbers, as one query of numbers and sessions.
const NUMBERED: &str = "SELECT seq, session FROM intents UNION ALL SELECT seq, session FROM orders
    UNION ALL SELECT seq, session FROM order_events UNION ALL SELECT seq, session FROM fills
    UNION ALL SELECT seq, session FROM flows UNION ALL SELECT seq, session FROM valuation_snapshots
    UNION ALL SELECT seq, session FROM checkpoints UNION ALL SELECT seq, session FROM faults
    UNION ALL SELECT seq, session FROM refusals UNION ALL SELECT seq, session FROM trips";

/// What an engine had said on its standard output.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its session, once it had told.
    pub session: Option<i64>,
    /// The highest number that it called durable.
    pub durable_seq: u64,
    /// The last event.
    pub last: String,
}

/// A running engine and what it says.
pub struct Witness {
    child: Child,
    said: JoinHandle<Said>,
}

impl Witness {
    /// Starts a session with `--json` and more.
    pub fn start(engine: &Engine, more: &[&str]) -> Witness {
        Witness::start_with(engine, more, |_| {})
    }

    /// The same, in surroundings of its own.
    pub fn start_with(engine: &Engine, more: &[&str], surroundings: impl FnOnce(&mut Command)) -> Witness {
        let log = std::fs::File::create(engine.folder().join("stderr.txt")).unwrap();
        let mut command = engine.with_db("run", more);
        surroundings(&mut command);
        let mut child = command.arg("--json").stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let pipe = child.stdout.take().unwrap();
        let said = std::thread::spawn(move || listen(BufReader::new(pipe)));
        Witness { child, said }
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) -> Said {
        // It must be alive until now: an engine that ended by itself has nothing to prove here.
        assert!(self.child.try_wait().unwrap().is_none(), "the engine ended before it was killed");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.join().unwrap()
    }

    /// Waits until it has ended; gives its exit code too.
    pub fn wait(mut self) -> (i32, Said) {
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.said.join().unwrap())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// Reads whole lines only: a kill may have cut the last one.
fn listen(mut pipe: impl BufRead) -> Said {
    let (mut said, mut line) = (Said::default(), String::new());
    while pipe.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
        let event: Value = serde_json::from_str(&line).unwrap();
        said.session = event["session"].as_i64().filter(|session| *session > 0).or(said.session);
        said.durable_seq = event["durable_seq"].as_u64().unwrap_or(0).max(said.durable_seq);
        said.last = event["event"].as_str().unwrap_or_default().to_string();
        line.clear();
    }
    said
}

/// The record, for looking at.
pub fn open(engine: &Engine) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(engine.db(), OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// What is missing, or there twice, of the rows that were said to be durable.
pub fn missing(conn: &Connection, said: &Said) -> Option<String> {
    // A number may be given again to another row after a loss: the row must be of that session or one before.
    let session = said.session.unwrap_or(i64::MAX);
    let wanted = i64::try_from(said.durable_seq).unwrap();
    let sql = format!("SELECT count(*), count(DISTINCT seq) FROM ({NUMBERED}) WHERE seq <= ?1 AND session <= ?2");
    let there: (i64, i64) = conn.query_row(&sql, (wanted, session), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let text = format!("of {wanted} numbers reported as durable, {} rows, {} numbers", there.0, there.1);
    (there != (wanted, wanted)).then_some(text)
}
