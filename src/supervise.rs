//! `neo supervise`: runs the engine as a child process, passes signals on, closes what a dead one left open, and starts
//! it again. The rules are in [`policy`].
//!
//! The supervisor holds no lock, writes no record while the engine lives, and is nobody's gatekeeper: killed, it leaves an
//! engine that trades on and that `neo stop` reaches. Another `neo supervise` then starts an engine that is refused by
//! the lock, and ends with exit code 3.

pub mod policy;
mod signals;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use neo_actors::clock::{monotonic_ms, now};
use neo_sim::rng::Rng;
use neo_store::open::Options;
use neo_store::record::{CheckpointOwner, EndReason, SessionNumber};
use neo_store::{Reader, StoreError};

use crate::alerts::tell_crash_loop;
use crate::cli::{Cli, Command, RunArgs, SuperviseArgs};
use crate::config::{self, Alerts};
use crate::exit::ExitCode;
use crate::live::harden::no_core_dumps;
use crate::live::key::SEED_VARIABLE;
use crate::logging::{self, StderrStyle};
use crate::notify::Notify;
use crate::output::Out;
use policy::{Death, Decision, Left, Limits, Policy};
use signals::Request;

/// How often the engine is looked after.
const LOOK: Duration = Duration::from_millis(50);
/// A young engine opens, recovers and connects, and cannot speak to systemd itself: the supervisor does for so long.
const VOUCH_MS: u64 = 60_000;

/// Supervises until the engine has ended for good.
///
/// # Errors
/// What keeps the supervisor from working at all; every end of the engine is an exit code.
pub fn run(args: &SuperviseArgs) -> Result<ExitCode> {
    let run = match run_args(&args.command) {
        Ok(run) => run,
        Err(Instead { text, exit }) => {
            let mut out = if exit == ExitCode::Clean { Out::stdout() } else { Out::stderr() };
            out.line(text.trim_end())?;
            return Ok(exit);
        }
    };
    // The engine's seed is in this process's environment too.
    if std::env::var_os(SEED_VARIABLE).is_some()
        && let Err(refused) = no_core_dumps()
    {
        Out::stderr().line(&format!("core dumps of the supervisor cannot be forbidden: {refused}"))?;
    }
    let settings = run.settings().map_err(anyhow::Error::msg)?;
    let config = match config::load(run.config.as_deref(), &settings) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => {
            Out::stderr().line(&mistakes.to_string())?;
            return Ok(ExitCode::Usage);
        }
    };
    let db = config.session.db_path();
    let stem = db.file_stem().map_or_else(|| "neo".into(), |stem| stem.to_string_lossy().into_owned());
    let keep = usize::try_from(config.log.keep_days)?;
    let log = logging::init(config.log.level.as_str(), &config.log_dir(), &stem, keep, StderrStyle::Human)?;
    let (tell, requests) = bounded(signals::REQUESTS);
    signals::listen(&tell)?;
    let mut supervisor = ProcessSupervisor {
        program: std::env::current_exe().context("finding this program")?,
        command: args.command.clone(),
        db,
        alerts: config.alerts,
        checkpoints: config.store.checkpoint,
        policy: Policy::new(limits(args)),
        jitter: Rng::new(args.jitter_seed.unwrap_or_else(|| u64::from(std::process::id()))),
        requests,
        notify: Notify::from_environment(),
    };
    let exit = supervisor.supervise();
    drop(log);
    exit
}

/// What is said instead of starting anything.
struct Instead {
    text: String,
    exit: ExitCode,
}

/// The engine's own arguments, checked before anything is started.
fn run_args(command: &[OsString]) -> Result<RunArgs, Instead> {
    let usage = |text: &str| Instead { text: format!("error: {text}"), exit: ExitCode::Usage };
    let parsed = Cli::try_parse_from(std::iter::once(OsString::from("neo")).chain(command.iter().cloned()));
    let cli = parsed.map_err(|error| {
        // `--help` and `--version` are asked for, and no mistakes.
        let exit = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Clean };
        Instead { text: error.render().to_string(), exit }
    })?;
    let Some(Command::Run(run)) = cli.command else {
        return Err(usage("only `run` can be supervised: neo supervise -- run --for 30m"));
    };
    if run.fresh {
        return Err(usage(
            "--fresh would begin a new record at every restart; do it once with `neo run --fresh`, then supervise \
             without it",
        ));
    }
    Ok(run)
}

fn limits(args: &SuperviseArgs) -> Limits {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Limits {
        max_restarts: args.max_restarts,
        within_ms: ms(args.within),
        wait_ms: ms(args.wait),
        wait_max_ms: ms(args.wait_max.max(args.wait)),
    }
}

struct ProcessSupervisor {
    program: PathBuf,
    command: Vec<OsString>,
    db: PathBuf,
    alerts: Alerts,
    checkpoints: CheckpointOwner,
    policy: Policy,
    jitter: Rng,
    requests: Receiver<Request>,
    notify: Notify,
}

impl ProcessSupervisor {
    fn supervise(&mut self) -> Result<ExitCode> {
        loop {
            let before = last_session(&self.db);
            let death = self.one_life()?;
            let left = self.left_by(&death, before);
            match self.policy.ended(&death, left, self.jitter.bits(), monotonic_ms()) {
                Decision::End { exit, why } => {
                    match why {
                        Some(why) => {
                            tracing::error!(exit_code = exit.code(), "{why}");
                            self.tell_crash_loop(&why);
                        }
                        None => tracing::info!(exit_code = exit.code(), "the engine is done"),
                    }
                    return Ok(exit);
                }
                Decision::Restart { wait_ms, restart, why } => {
                    tracing::error!(wait_ms, restart, "{why}; starting it again");
                    if !self.wait(wait_ms) {
                        tracing::warn!("asked to stop while waiting; the engine is not started again");
                        return Ok(exit_of(&death));
                    }
                }
            }
        }
    }

    /// Has the operator told that nothing is started any more. The engine is dead: the program may be waited for.
    fn tell_crash_loop(&self, why: &str) {
        if self.policy.is_crash_loop()
            && let Err(error) = tell_crash_loop(&self.alerts, &self.db, why)
        {
            tracing::error!(%error, "the crash loop was not told");
        }
    }

    /// Starts the engine and waits for its end.
    fn one_life(&mut self) -> Result<Death> {
        let mut command = Process::new(&self.program);
        // Without a terminal to read from: an engine of another process group that reads from one is stopped.
        command.args(&self.command).stdin(Stdio::null());
        // systemd's pings are asked of the process that it started; the engine sends them in its place.
        command.env_remove("WATCHDOG_PID");
        signals::detach(&mut command);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Death::NotStarted(error.to_string())),
        };
        tracing::info!(pid = child.id(), "the engine is started");
        let started_ms = monotonic_ms();
        loop {
            match self.requests.recv_timeout(LOOK) {
                Ok(request) => self.pass_on(request, &child),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the thread that hears signals is gone; the engine goes on")
                }
            }
            if let Some(status) = child.try_wait().context("looking after the engine; it goes on")? {
                return Ok(death_of(status));
            }
            let now_ms = monotonic_ms();
            if now_ms.saturating_sub(started_ms) < VOUCH_MS && !self.policy.is_stopping() {
                self.notify.vouch("the engine starts", now_ms);
            }
        }
    }

    fn pass_on(&mut self, request: Request, child: &Child) {
        self.policy.stop_requested();
        if let Err(error) = signals::pass_on(request, child.id()) {
            tracing::error!("{error:#}");
        }
    }

    /// Sees to it that the dead engine's session is closed, and tells what it left.
    fn left_by(&self, death: &Death, before: Option<SessionNumber>) -> Left {
        // These ended in order or never touched the record.
        let in_order = [ExitCode::Clean, ExitCode::Usage, ExitCode::Database].map(ExitCode::code);
        if matches!(death, Death::Code(code) if in_order.contains(code)) {
            return Left::Unknown;
        }
        let options = Options { checkpoints: self.checkpoints, ..Options::new(now) };
        match neo_store::recover::recover(&self.db, &options, now()) {
            Ok(sessions) if !sessions.is_empty() => {
                for session in sessions {
                    tracing::warn!(
                        session = session.after.number,
                        "the dead engine left its session open; it was closed from its last record"
                    );
                }
                return Left::Recovered;
            }
            Ok(_) | Err(StoreError::Missing { .. } | StoreError::NoSessions { .. }) => {}
            // The engine that starts next does it, or says why not.
            Err(error) => tracing::error!(%error, "what the dead engine left open could not be closed"),
        }
        match end_of_last(&self.db) {
            Ok(Some((number, _))) if Some(number) == before => Left::NoSession,
            Ok(None) => Left::NoSession,
            Ok(Some((_, Some(reason)))) => Left::Closed(reason),
            Ok(Some((_, None))) => Left::Unknown,
            Err(error) => {
                tracing::warn!(%error, "the record could not be read");
                Left::Unknown
            }
        }
    }

    /// Waits before a restart; false when somebody asked for a stop meanwhile.
    fn wait(&mut self, wait_ms: u64) -> bool {
        let until_ms = monotonic_ms().saturating_add(wait_ms);
        loop {
            let now_ms = monotonic_ms();
            if now_ms >= until_ms {
                return true;
            }
            self.notify.vouch("the engine has crashed and is started again", now_ms);
            let left = Duration::from_millis(until_ms - now_ms);
            match self.requests.recv_timeout(left.min(LOOK)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                    self.policy.stop_requested();
                    return false;
                }
            }
        }
    }
}

/// The newest session that this engine's record has; `None` before the first one, and when it cannot be read.
fn last_session(db: &Path) -> Option<SessionNumber> {
    match end_of_last(db) {
        Ok(last) => last.map(|(number, _)| number),
        Err(error) => {
            tracing::debug!(%error, "the record cannot be read yet");
            None
        }
    }
}

fn end_of_last(db: &Path) -> Result<Option<(SessionNumber, Option<EndReason>)>, StoreError> {
    if !db.exists() {
        return Ok(None);
    }
    match Reader::open(db)?.session(None) {
        Ok(session) => Ok(Some((session.number, session.end_reason))),
        Err(StoreError::NoSuchSession { .. } | StoreError::NoSessions { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn death_of(status: ExitStatus) -> Death {
    match status.code() {
        Some(code) => Death::Code(code),
        None => Death::Signal(signal_of(status)),
    }
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

/// What a crash means when nothing is started again.
fn exit_of(death: &Death) -> ExitCode {
    match death {
        Death::Code(code) => ExitCode::of(*code).unwrap_or(ExitCode::Fault),
        Death::Signal(_) => ExitCode::Fault,
        Death::NotStarted(_) => ExitCode::Failed,
    }
}
