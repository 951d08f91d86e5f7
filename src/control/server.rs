//! The engine's end: one thread accepts, one thread for each connection answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use neo_actors::SharedStatus;
use neo_actors::clock::monotonic_ms;
use parking_lot::{Condvar, Mutex};

use super::{
    Command, ControlFile, LINE_BYTES_MAX, Outcome, Progress, Refusal, Reply, Request, control_path, new_token,
    remove_if_there, same_token,
};

/// A request must be there within this, and a reply must be taken.
const REQUEST_TIMEOUT_MS: u64 = 2_000;
/// How often a waiting `neo stop` is told where the stop stands.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// How long the end of the engine waits for its outcome to be taken.
const FINISH: Duration = Duration::from_secs(1);
/// How long a request waits for the status.
const STATUS_LOCK: Duration = Duration::from_secs(1);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 16;

/// Listens for `neo stop` and `neo status` while the engine runs. Dropping it removes the control file.
pub struct ControlServer {
    path: PathBuf,
    file: ControlFile,
    file_removed: bool,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    token: String,
    status: SharedStatus,
    on_stop: Arc<dyn Fn(bool) + Send + Sync>,
    closing: AtomicBool,
    connections: AtomicUsize,
    outcome: Mutex<Option<Outcome>>,
    changed: Condvar,
}

impl ControlServer {
    /// Listens on a free loopback port and writes the control file of `db`. `on_stop` is called, on a thread of the
    /// server, for every `neo stop`; its argument is true for an urgent one. It must not wait for the stop.
    ///
    /// # Errors
    /// What the system said when no port could be had, no thread be started or the file not be written.
    pub fn start(
        db: &Path,
        session: i64,
        status: SharedStatus,
        on_stop: Arc<dyn Fn(bool) + Send + Sync>,
    ) -> io::Result<ControlServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let file = ControlFile { pid: std::process::id(), port, token: new_token(), session };
        let shared = Arc::new(Shared {
            token: file.token.clone(),
            status,
            on_stop,
            closing: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            outcome: Mutex::new(None),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let accepting =
            thread::Builder::new().name("neo-control".to_string()).spawn(move || accept(&listener, &for_thread))?;
        let path = control_path(db);
        let server = ControlServer { path, file, file_removed: false, shared, accepting: Some(accepting) };
        server.file.write(&server.path)?;
        Ok(server)
    }

    /// Tells the outcome to every `neo stop` that waits, removes the control file and ends, within a second.
    pub fn finish(mut self, outcome: Outcome) {
        // First: whoever has the outcome may start the next engine on this database at once.
        self.remove_file();
        let mut slot = self.shared.outcome.lock();
        *slot = Some(outcome);
        self.shared.changed.notify_all();
        let until = monotonic_ms().saturating_add(FINISH.as_millis() as u64);
        while self.shared.connections.load(Ordering::Acquire) > 0 {
            let left = until.saturating_sub(monotonic_ms());
            if left == 0 {
                tracing::warn!("a `neo stop` or `neo status` did not take its answer in time");
                break;
            }
            self.shared.changed.wait_for(&mut slot, Duration::from_millis(left));
        }
        drop(slot);
        self.close();
    }

    fn close(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.remove_file();
        self.shared.closing.store(true, Ordering::Release);
        // Wakes the thread that accepts, which then sees that it is over.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.file.port));
        match TcpStream::connect_timeout(&address, FINISH) {
            Ok(_) => {
                if accepting.join().is_err() {
                    tracing::error!("the control thread panicked");
                }
            }
            Err(error) => tracing::warn!(%error, "the control thread is left behind"),
        }
    }

    /// Removes the control file, once, unless it has become another engine's.
    fn remove_file(&mut self) {
        if std::mem::replace(&mut self.file_removed, true) {
            return;
        }
        let ours = match std::fs::read_to_string(&self.path) {
            Ok(text) => text.contains(&self.file.token),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if ours && let Err(error) = remove_if_there(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the control file is left");
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        match stream {
            Ok(stream) => start_answering(stream, shared),
            Err(error) => {
                tracing::warn!(%error, "a control connection was not accepted");
                // Out of file descriptors, most likely: at once it would fail again.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn start_answering(stream: TcpStream, shared: &Arc<Shared>) {
    let place = Place::take(shared);
    let full = place.taken > CONNECTIONS_MAX;
    let mut connection = Connection { stream, place };
    let done = if full {
        connection.timeouts().and_then(|()| connection.reply(&Reply::Error(Refusal::Busy)))
    } else {
        let spawned = thread::Builder::new().name("neo-control-request".to_string()).spawn(move || {
            if let Err(error) = connection.answer() {
                tracing::debug!(%error, "a control connection broke");
            }
        });
        spawned.map(drop)
    };
    if let Err(error) = done {
        tracing::warn!(%error, "a control request was not answered");
    }
}

/// One of the places for connections; given back when dropped.
struct Place {
    shared: Arc<Shared>,
    taken: usize,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Place {
        let taken = shared.connections.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        Place { shared: Arc::clone(shared), taken }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::AcqRel);
        // Under the lock, so that `finish` cannot miss it between its look and its wait.
        let _slot = self.shared.outcome.lock();
        self.shared.changed.notify_all();
    }
}

struct Connection {
    stream: TcpStream,
    place: Place,
}

impl Connection {
    fn timeouts(&self) -> io::Result<()> {
        let timeout = Some(Duration::from_millis(REQUEST_TIMEOUT_MS));
        self.stream.set_write_timeout(timeout)?;
        self.stream.set_read_timeout(timeout)
    }

    fn answer(&mut self) -> io::Result<()> {
        self.timeouts()?;
        let request = match self.request()? {
            Ok(request) if same_token(&request.token, &self.place.shared.token) => request,
            Ok(_) => return self.refuse(Refusal::BadToken),
            Err(refusal) => return self.refuse(refusal),
        };
        match request.command {
            Command::Status => {
                let locked = self.place.shared.status.try_lock_for(STATUS_LOCK).map(|status| status.clone());
                match locked {
                    Some(status) => self.reply(&Reply::Status(Box::new(status))),
                    None => self.refuse(Refusal::Busy),
                }
            }
            Command::Stop => {
                tracing::info!(urgent = request.urgent, "stop asked for by `neo stop`");
                (self.place.shared.on_stop)(request.urgent);
                self.wait_for_outcome()
            }
        }
    }

    /// Reads one line, bounded in length and, against a sender of one byte at a time, in total time.
    fn request(&mut self) -> io::Result<Result<Request, Refusal>> {
        let until = monotonic_ms().saturating_add(REQUEST_TIMEOUT_MS);
        let mut reader = BufReader::new((&self.stream).take(LINE_BYTES_MAX));
        let mut line = Vec::new();
        loop {
            let piece = reader.fill_buf()?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(piece.len(), |end| end.saturating_add(1));
            line.extend(piece.iter().take(taken));
            reader.consume(taken);
            if end.is_some() {
                return Ok(serde_json::from_slice(&line).map_err(|_| Refusal::BadRequest));
            }
            if taken == 0 || monotonic_ms() > until {
                return Ok(Err(Refusal::BadRequest));
            }
        }
    }

    fn wait_for_outcome(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.place.shared);
        loop {
            let outcome = {
                let mut slot = shared.outcome.lock();
                if slot.is_none() {
                    shared.changed.wait_for(&mut slot, PROGRESS_EVERY);
                }
                slot.clone()
            };
            if let Some(outcome) = outcome {
                return self.reply(&Reply::Outcome(outcome));
            }
            if shared.closing.load(Ordering::Acquire) {
                // Dropped without an outcome: the connection ends, and the asker looks into the record.
                return Ok(());
            }
            if let Some(progress) = progress(&shared.status) {
                self.reply(&Reply::Progress(progress))?;
            }
        }
    }

    /// Refuses; what is still being sent is not read, so the connection is closed for reading first.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        self.reply(&Reply::Error(refusal))?;
        self.stream.shutdown(Shutdown::Write)
    }

    fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }
}

fn progress(status: &SharedStatus) -> Option<Progress> {
    let status = status.try_lock_for(STATUS_LOCK)?;
    let (open_offers, in_flight) = (status.quotes.len(), status.in_flight);
    Some(Progress { open_offers, in_flight, queued_records: status.queued_records })
}
