//! The command's end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use neo_actors::Status;
use neo_actors::clock::monotonic_ms;

use super::{
    Command, ControlError, ControlFile, LINE_BYTES_MAX, Outcome, Progress, Refusal, Reply, Request, control_path,
};

/// How long a status may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting to this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Progress lines that one stop may send: far more than a stop takes, far less than for ever.
const REPLIES_MAX: u32 = 100_000;

/// Asks the engine that runs on `db` how it stands.
///
/// # Errors
/// [`ControlError`] when no engine runs there, or it does not answer.
pub fn request_status(db: &Path) -> Result<Status, ControlError> {
    let mut exchange = Exchange::start(db, Command::Status, false, STATUS_TIMEOUT)?;
    match exchange.reply()? {
        Reply::Status(status) => Ok(*status),
        other => Err(exchange.unexpected(&other)),
    }
}

/// Tells the engine that runs on `db` to stop, and waits at most `wait` until its session is closed. `on_progress` is
/// called about twice a second meanwhile.
///
/// # Errors
/// [`ControlError`] when no engine runs there, or it does not say in time how its session ended.
pub fn request_stop(
    db: &Path,
    urgent: bool,
    wait: Duration,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, ControlError> {
    let mut exchange = Exchange::start(db, Command::Stop, urgent, wait)?;
    for _ in 0..REPLIES_MAX {
        match exchange.reply()? {
            Reply::Progress(progress) => on_progress(&progress),
            Reply::Outcome(outcome) => return Ok(outcome),
            other => return Err(exchange.unexpected(&other)),
        }
    }
    Err(exchange.protocol("too many replies".to_string()))
}

struct Exchange<'a> {
    db: &'a Path,
    file: ControlFile,
    reader: BufReader<TcpStream>,
    wait: Duration,
    until_ms: u64,
}

impl<'a> Exchange<'a> {
    fn start(db: &'a Path, command: Command, urgent: bool, wait: Duration) -> Result<Exchange<'a>, ControlError> {
        let file = ControlFile::read(db)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, file.port));
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|error| ControlError::Stale {
            file: control_path(db),
            pid: file.pid,
            session: file.session,
            detail: format!("port {}: {error}", file.port),
        })?;
        let request = Request { token: file.token.clone(), command, urgent };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until_ms = monotonic_ms().saturating_add(wait_ms);
        let mut exchange = Exchange { db, file, reader: BufReader::new(stream), wait, until_ms };
        exchange.send(&request).map_err(|error| exchange.broken(&error))?;
        Ok(exchange)
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let stream = self.reader.get_mut();
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        stream.write_all(&line)
    }

    fn reply(&mut self) -> Result<Reply, ControlError> {
        let mut line = Vec::new();
        match self.line(&mut line) {
            Ok(()) => {}
            Err(error) => return Err(self.broken(&error)),
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Error(Refusal::BadToken)) => {
                Err(ControlError::WrongToken { file: control_path(self.db), port: self.file.port })
            }
            Ok(Reply::Error(Refusal::Busy)) => Err(ControlError::Busy { port: self.file.port }),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.protocol(error.to_string())),
        }
    }

    /// Reads one line, bounded in length and time.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        while line.last() != Some(&b'\n') {
            let left = self.until_ms.saturating_sub(monotonic_ms());
            if left == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.reader.get_ref().set_read_timeout(Some(Duration::from_millis(left)))?;
            let room = LINE_BYTES_MAX.saturating_sub(line.len() as u64);
            if room == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply of more than 64 KiB"));
            }
            if self.reader.by_ref().take(room).read_until(b'\n', line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> ControlError {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                ControlError::TimedOut { pid: self.file.pid, waited: self.wait }
            }
            io::ErrorKind::InvalidData => self.protocol(error.to_string()),
            _ => ControlError::Lost { pid: self.file.pid, detail: error.to_string() },
        }
    }

    fn protocol(&self, detail: String) -> ControlError {
        ControlError::Protocol { port: self.file.port, detail }
    }

    fn unexpected(&self, reply: &Reply) -> ControlError {
        let detail: String = format!("{reply:?}").chars().take(120).collect();
        self.protocol(format!("an answer to another question: {detail}"))
    }
}
