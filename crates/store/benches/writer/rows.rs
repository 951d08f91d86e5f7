//! The rows that are written, and a record to write them to.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use neo_market::{Dec, Drops, Side};
use neo_store::checkpoint::PassLimits;
use neo_store::record::{Checkpoint, CheckpointCause, Fill, Mode, NewSession, Record, Role};
use neo_store::{Identity, Options, Reader, Store, Writer, WriterThread};
use tempfile::TempDir;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// No pass of the writer's own.
pub const NO_PASSES: PassLimits = PassLimits { idle_bytes: u64::MAX, busy_bytes: u64::MAX };

/// A fill. Its hash is in no order, as real ones are.
pub fn fill(n: u32) -> Fill {
    let at = DateTime::from_timestamp_millis(1_776_540_079_123 + i64::from(n)).unwrap();
    let scattered = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Fill {
        tx_hash: format!("{scattered:016X}{:048X}", n),
        offer_sequence: n,
        role: Role::Maker,
        side: Side::Bid,
        xrp: Drops::new(25_000_000),
        rlusd: Dec::from_parts(6_003_250_000_000_001, -14).unwrap(),
        price: Dec::from_parts(2_401_300_000_000_001, -15).unwrap(),
        mid_price: Some(Dec::from_parts(24_013, -4).unwrap()),
        ledger_index: 100_000_000 + n / 10,
        transaction_index: n % 10,
        close_time: at,
        recorded_at: at,
    }
}

fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap()
}

pub fn options() -> Options {
    Options { monotonic_us, ..Options::new(Utc::now) }
}

pub fn open(path: &Path, options: &Options) -> Store {
    let identity = Identity { mode: Mode::Sim, network: "sim".into(), account: "r".into() };
    let mut store = Store::open(path, &identity, options, Utc::now()).unwrap();
    let session = NewSession {
        started_at: Utc::now(),
        config: String::new(),
        config_hash: String::new(),
        version: String::new(),
        seed: None,
    };
    store.begin_session(&session).unwrap();
    store
}

/// A writer in a folder of its own.
pub struct Running {
    pub writer: Writer,
    thread: WriterThread,
    folder: TempDir,
}

impl Running {
    pub fn start(options: &Options) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let (writer, thread) = open(&folder.path().join("neo.db"), options).start_writer(1).unwrap();
        Running { writer, thread, folder }
    }

    /// Records these together and waits until they are durable.
    pub fn durably(&self, records: Vec<Record>) -> u64 {
        let (tell, told) = channel();
        self.writer.record_durably(records, Box::new(move |result| tell.send(result).unwrap())).unwrap();
        told.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let (tell, told) = channel();
        self.writer.checkpoint(CheckpointCause::Timer, Box::new(move |result| tell.send(result).unwrap())).unwrap();
        told.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    /// The longest of the writer's own passes, and how many there were.
    pub fn passes(&self) -> (u64, usize) {
        let rows = Reader::open(&self.folder.path().join("neo.db")).unwrap().checkpoints(1).unwrap();
        let by_size = rows.iter().filter(|row| row.record.cause == CheckpointCause::Size);
        (by_size.clone().map(|row| row.record.pause_us).max().unwrap_or(0), by_size.count())
    }

    pub fn seal(self) {
        let (tell, told) = channel();
        self.writer.seal(Box::new(move |result| tell.send(result).unwrap())).unwrap();
        told.recv_timeout(PATIENCE).unwrap().unwrap();
        self.thread.join(PATIENCE).unwrap();
    }
}

/// The value that so many hundredths lie below.
pub fn percentile(times: &mut [Duration], hundredths: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * hundredths / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
