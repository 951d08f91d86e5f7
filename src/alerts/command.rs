//! Runs the operator's program: without a shell, with a limit of time, on a thread that nobody waits for.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use neo_actors::clock::monotonic_ms;
use parking_lot::Mutex;
use thiserror::Error;

use super::{Alert, Kind};
use crate::child;
use crate::live::key::SEED_VARIABLE;

/// Alerts that wait for the program.
const QUEUE: usize = 16;
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Why the program did not do its work.
#[derive(Debug, Error)]
pub enum Failure {
    /// It could not be started.
    #[error("{program} cannot be started ({source}); is it there and executable? alerts.command is no shell line")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not take its input or could not be waited for.
    #[error("the program that is told of alerts broke off: {0}")]
    Broken(#[from] io::Error),
    /// It said that it failed.
    #[error("the program that is told of alerts ended with {0}")]
    Status(ExitStatus),
    /// It took too long and was ended.
    #[error("the program that is told of alerts did not end within {ms} ms and was killed")]
    Late {
        /// The limit.
        ms: u128,
    },
    /// The alert has no JSON form.
    #[error("the alert is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs `argv` with the alert on its standard input and waits for its end.
///
/// # Errors
/// [`Failure`].
pub fn run(argv: &[String], alert: &Alert, limit: Duration) -> Result<(), Failure> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let line = alert.to_line()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // No program of others is told the wallet's seed.
    command.env_remove(SEED_VARIABLE);
    child::alone(&mut command);
    let mut child = command.spawn().map_err(|source| Failure::Start { program: program.clone(), source })?;
    let fed = feed(&mut child, &line);
    let ended = wait(&mut child, limit);
    fed?;
    match ended? {
        status if status.success() => Ok(()),
        status => Err(Failure::Status(status)),
    }
}

/// The line is shorter than any pipe: a program that does not read holds nobody up, and may do so.
fn feed(child: &mut Child, line: &str) -> io::Result<()> {
    let Some(mut input) = child.stdin.take() else { return Ok(()) };
    match input.write_all(line.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, Failure> {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let until_ms = monotonic_ms().saturating_add(limit_ms);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if monotonic_ms() >= until_ms {
            child.kill()?;
            child.wait()?;
            return Err(Failure::Late { ms: limit.as_millis() });
        }
        thread::sleep(LOOK);
    }
}

/// What became of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The program took it.
    Delivered,
    /// The program failed.
    Failed,
    /// Too many waited.
    Dropped,
}

impl Outcome {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Failed => "failed",
            Outcome::Dropped => "dropped",
        }
    }
}

/// Alerts by what became of them.
pub type Outcomes = Arc<Mutex<BTreeMap<(Kind, Outcome), u64>>>;

fn count(outcomes: &Outcomes, kind: Kind, outcome: Outcome) {
    let mut outcomes = outcomes.lock();
    let count = outcomes.entry((kind, outcome)).or_default();
    *count = count.saturating_add(1);
}

/// The thread that runs the program, and its queue.
pub struct Teller {
    queue: Sender<Alert>,
    ended: Receiver<()>,
    outcomes: Outcomes,
}

impl Teller {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(argv: Vec<String>, limit: Duration) -> io::Result<Teller> {
        let (queue, alerts) = bounded::<Alert>(QUEUE);
        let (end, ended) = bounded(0);
        let outcomes = Outcomes::default();
        let counted = Arc::clone(&outcomes);
        thread::Builder::new().name("neo-alerts".to_string()).spawn(move || {
            // Dropped when the thread ends, which tells it.
            let _end: Sender<()> = end;
            for alert in alerts {
                let outcome = match run(&argv, &alert, limit) {
                    Ok(()) => Outcome::Delivered,
                    Err(error) => {
                        let kind = alert.kind.as_str();
                        tracing::error!(%error, kind, text = alert.text, "an alert was not delivered");
                        Outcome::Failed
                    }
                };
                count(&counted, alert.kind, outcome);
            }
        })?;
        Ok(Teller { queue, ended, outcomes })
    }

    /// Queues an alert. One that finds no place is dropped, logged and counted.
    pub fn tell(&self, alert: Alert) {
        if let Err(TrySendError::Full(alert) | TrySendError::Disconnected(alert)) = self.queue.try_send(alert) {
            tracing::error!(kind = alert.kind.as_str(), text = alert.text, "an alert found no place and was dropped");
            count(&self.outcomes, alert.kind, Outcome::Dropped);
        }
    }

    /// What became of the alerts so far.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        Arc::clone(&self.outcomes)
    }

    /// Waits at most `limit` for what is queued. A program that still runs then is left to end by itself.
    pub fn finish(self, limit: Duration) {
        let Teller { queue, ended, .. } = self;
        drop(queue);
        if ended.recv_timeout(limit) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            tracing::warn!("the program that is told of alerts still runs; it is not waited for");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_string).to_vec()
    }

    fn alert(text: &str) -> Alert {
        Alert {
            kind: Kind::Fault,
            at: neo_actors::clock::now(),
            text: text.to_string(),
            held_back: 0,
            session: Some(1),
            db: "neo.db".into(),
            pid: 1,
        }
    }

    #[test]
    fn the_program_reads_the_alert_as_it_is_and_no_shell_sees_its_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("got $(x) é.json");
        let argv = ["tee", file.to_str().unwrap()].map(str::to_string);
        run(&argv, &alert("it's \"so\" $(rm)"), LONG).unwrap();
        let got: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((&got["kind"], &got["text"]), (&"fault".into(), &"it's \"so\" $(rm)".into()));
    }

    #[test]
    fn every_way_to_fail_is_told_and_one_that_reads_nothing_is_none() {
        assert!(
            matches!(run(&sh("exit 3"), &alert("x"), LONG), Err(Failure::Status(status)) if status.code() == Some(3))
        );
        assert!(run(&["true".to_string()], &alert("x"), LONG).is_ok(), "it may ignore its input");
        let missing = run(&["/no/such/program".to_string()], &alert("x"), LONG).unwrap_err().to_string();
        assert!(missing.contains("/no/such/program") && missing.contains("executable"), "{missing}");
        assert!(run(&[], &alert("x"), LONG).is_ok(), "no command, no alert");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_the_next_alert_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("got");
        // The first one hangs, those after it append.
        let script =
            format!("if mkdir {0}.first; then echo $$ > {0}.pid; exec sleep 1000; fi; cat >> {0}", file.display());
        let teller = Teller::start(sh(&script), Duration::from_secs(3)).unwrap();
        let outcomes = teller.outcomes();
        teller.tell(alert("hangs"));
        teller.tell(alert("comes"));
        teller.finish(LONG);
        assert!(std::fs::read_to_string(&file).unwrap().contains("\"comes\""));
        let pid = std::fs::read_to_string(file.with_extension("pid")).unwrap();
        let alive = Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status().unwrap();
        assert!(!alive.success(), "the one that hangs was not killed");
        let expected = [((Kind::Fault, Outcome::Delivered), 1), ((Kind::Fault, Outcome::Failed), 1)];
        assert_eq!(*outcomes.lock(), BTreeMap::from(expected));
    }

    #[test]
    fn too_many_alerts_are_dropped_and_counted_and_whoever_tells_never_waits() {
        let teller = Teller::start(sh("exec sleep 3"), LONG).unwrap();
        let outcomes = teller.outcomes();
        for _ in 0..QUEUE + 5 {
            teller.tell(alert("x"));
        }
        // One is with the program, if its thread has come so far.
        let dropped = outcomes.lock().get(&(Kind::Fault, Outcome::Dropped)).copied().unwrap();
        assert!((4..=5).contains(&dropped), "{dropped}");
        teller.finish(Duration::ZERO);
    }
}
