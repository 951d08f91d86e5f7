//! A key that another program keeps: it is asked over its standard input, a JSON line a signature, and answers in kind.
//!
//! The program is started with the first request and lives on, so that a device is opened once. Whoever asks waits, as for a
//! signature made here: the configuration keeps that wait below what counts as frozen. A program that is late, or says what
//! is no answer, is ended; the next request starts it again.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use neo_ledger::{Algorithm, RemoteKey, SigningRequest};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::key::SEED_VARIABLE;
use crate::child;

/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 16_384;

/// A program that signs.
pub struct CommandSigner {
    command: Vec<String>,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    program: Option<Program>,
    asked: u64,
}

/// The running program; ended when it is dropped, with what it has started.
struct Program {
    /// Until it is ended.
    child: Option<Child>,
    input: ChildStdin,
    answers: Receiver<io::Result<String>>,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    signature: Option<String>,
    error: Option<String>,
}

/// Why there is no signature.
enum Failure {
    /// The program was not there any more: it may have ended long ago, so it is worth another start.
    Gone(String),
    /// Anything else.
    Other(String),
}

impl CommandSigner {
    /// A signer that runs `command` (the program and its arguments, no shell) and gives it `limit` for each signature.
    #[must_use]
    pub fn new(command: Vec<String>, limit: Duration) -> CommandSigner {
        CommandSigner { command, limit, state: Mutex::default() }
    }

    fn ask(&self, state: &mut State, request: &SigningRequest<'_>) -> Result<String, Failure> {
        state.asked += 1;
        let line = question(state.asked, request);
        let program = match &mut state.program {
            Some(program) => program,
            none => none.insert(start(&self.command).map_err(Failure::Other)?),
        };
        let text = program.exchange(&line, self.limit)?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|error| Failure::Other(format!("gave an answer that is none ({error}); see docs/live.md")))?;
        match (answer.signature, answer.error) {
            _ if answer.id != state.asked => Err(Failure::Other("answered another question".to_string())),
            (_, Some(error)) => Err(Failure::Other(format!("refused: {error}"))),
            (Some(signature), None) => Ok(signature),
            (None, None) => Err(Failure::Other("gave neither a signature nor an error".to_string())),
        }
    }
}

impl RemoteKey for CommandSigner {
    fn sign(&self, request: &SigningRequest<'_>) -> Result<String, String> {
        let mut state = self.state.lock();
        let was_running = state.program.is_some();
        let answered = match self.ask(&mut state, request) {
            Err(Failure::Gone(_)) if was_running => {
                state.program = None;
                self.ask(&mut state, request)
            }
            answered => answered,
        };
        answered.map_err(|failure| {
            // What it may still say belongs to this question.
            state.program = None;
            match failure {
                Failure::Gone(reason) | Failure::Other(reason) => format!("{reason} (account.signer)"),
            }
        })
    }
}

fn question(id: u64, request: &SigningRequest<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let (algorithm, digest) = match request.algorithm {
        Algorithm::Ed25519 => ("ed25519", None),
        Algorithm::Secp256k1 => ("secp256k1", Some(request.digest().to_string())),
    };
    let asked = json!({
        "id": id,
        "account": request.account.to_string(),
        "public_key": request.public_key,
        "algorithm": algorithm,
        "transaction": request.transaction,
        "message": hex(request.message),
        "digest": digest,
    });
    format!("{asked}\n")
}

fn start(command: &[String]) -> Result<Program, String> {
    let (name, arguments) = command.split_first().ok_or("is not configured")?;
    let failed = |error: io::Error| format!("{name} cannot be started: {error}");
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // No program of others is told the wallet's seed.
    command.env_remove(SEED_VARIABLE);
    // The cancels of a stop are signed by it.
    child::alone(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(input), Some(output)) = (input, output) else {
        return Err("has no standard input or output".to_string());
    };
    let (tell, answers) = bounded(1);
    let listener = thread::Builder::new().name("neo-signer".to_string()).spawn(move || listen(output, &tell));
    let program = Program { child: Some(child), input, answers };
    match listener {
        Ok(_) => Ok(program),
        Err(error) => Err(format!("cannot be listened to: {error}")),
    }
}

/// Hands on each line until the program ends or nobody listens.
fn listen(output: ChildStdout, tell: &Sender<io::Result<String>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = String::new();
        let said = match output.by_ref().take(MAX_ANSWER_BYTES).read_line(&mut line) {
            Ok(0) => return,
            Ok(_) if !line.ends_with('\n') => Err(io::Error::other("its line is cut off or too long")),
            Ok(_) => Ok(line),
            Err(error) => Err(error),
        };
        let over = said.is_err();
        if tell.send(said).is_err() || over {
            return;
        }
    }
}

impl Program {
    fn exchange(&mut self, line: &str, limit: Duration) -> Result<String, Failure> {
        // A line is shorter than a pipe: a program that does not read holds nobody up.
        let wrote = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush());
        wrote.map_err(|error| Failure::Gone(format!("takes no question: {error}")))?;
        match self.answers.recv_timeout(limit) {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(Failure::Other(format!("cannot be understood: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::Other(format!("gave no answer within {} ms", limit.as_millis())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Failure::Gone("ended without an answer".to_string())),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Whoever waits for a signature waits for no program's end.
        if let Some(Err(error)) = self.child.take().map(child::end) {
            tracing::warn!(%error, "the program that signs could not be ended");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn ask(signer: &CommandSigner) -> Result<String, String> {
        let transaction = json!({"TransactionType": "OfferCancel"});
        signer.sign(&SigningRequest {
            algorithm: Algorithm::Secp256k1,
            public_key: "02AB",
            account: neo_ledger::Address([7; 20]),
            transaction: Some(&transaction),
            message: b"STX",
        })
    }

    fn shell(script: &str, limit_ms: u64) -> CommandSigner {
        CommandSigner::new(["sh", "-c", script].map(str::to_string).to_vec(), Duration::from_millis(limit_ms))
    }

    #[test]
    fn one_program_answers_one_question_after_another_and_knows_what_it_signs() {
        let folder = tempfile::tempdir().unwrap();
        let (asked, starts) = (folder.path().join("asked"), folder.path().join("starts"));
        let script = format!(
            "echo start >>{}; n=0; while read -r line; do n=$((n+1)); echo \"$line\" >>{}; echo \"{{\\\"id\\\":$n,\\\"signature\\\":\\\"30$n\\\"}}\"; done",
            starts.display(),
            asked.display()
        );
        let signer = shell(&script, 60_000);
        assert_eq!((ask(&signer), ask(&signer)), (Ok("301".to_string()), Ok("302".to_string())));
        assert_eq!(std::fs::read_to_string(starts).unwrap(), "start\n");
        let asked = std::fs::read_to_string(asked).unwrap();
        let second: serde_json::Value = serde_json::from_str(asked.lines().nth(1).unwrap()).unwrap();
        assert_eq!(second["transaction"]["TransactionType"], "OfferCancel");
        assert_eq!((&second["message"], &second["algorithm"]), (&json!("535458"), &json!("secp256k1")));
        assert_eq!(second["digest"], neo_ledger::sha512_half(&[b"STX"]).to_string());
    }

    #[test]
    fn a_program_that_has_ended_is_started_again_once() {
        let folder = tempfile::tempdir().unwrap();
        let ids = folder.path().join("ids");
        // Each life answers one question, and reads the id off it.
        let script = format!(
            "read -r line; id=$(echo \"$line\" | grep -o '\"id\":[0-9]*' | cut -d: -f2); echo $id >>{}; \
             echo \"{{\\\"id\\\":$id,\\\"signature\\\":\\\"30\\\"}}\"",
            ids.display()
        );
        let signer = shell(&script, 60_000);
        assert_eq!((ask(&signer), ask(&signer)), (Ok("30".to_string()), Ok("30".to_string())));
        let gone = shell("exit 3", 60_000);
        assert!(ask(&gone).unwrap_err().contains("account.signer"));
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_so() {
        for (script, says) in [
            ("read -r line; echo hello; cat", "is none"),
            ("read -r line; echo '{\"id\":7,\"signature\":\"30\"}'; cat", "another question"),
            (
                "read -r line; echo '{\"id\":1,\"error\":\"above the daily limit\"}'; cat",
                "refused: above the daily limit",
            ),
            ("read -r line; echo '{\"id\":1}'; cat", "neither"),
            ("read -r line; head -c 20000 /dev/zero | tr '\\0' a; cat", "too long"),
            ("read -r line; printf x", "cut off"),
        ] {
            let error = ask(&shell(script, 60_000)).unwrap_err();
            assert!(error.contains(says), "{script}: {error}");
        }
        assert!(ask(&shell("sleep 600", 50)).unwrap_err().contains("within 50 ms"));
    }

    #[test]
    fn a_program_that_is_late_is_ended_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let script = format!("sleep 600 & echo $$ $! >{}; wait", file.display());
        let signer = shell(&script, 1);
        let pids = std::iter::repeat_with(|| {
            assert!(ask(&signer).is_err());
            std::fs::read_to_string(&file).unwrap_or_default()
        });
        // A millisecond may be too short for a program to say who it is: then the next one does.
        let pids = pids.into_iter().find(|pids| pids.ends_with('\n')).unwrap();
        for pid in pids.split_whitespace() {
            let asked = std::time::Instant::now();
            while is_running(pid) {
                assert!(asked.elapsed() < Duration::from_secs(60), "process {pid} still runs");
                std::thread::yield_now();
            }
        }
    }

    /// A zombie that nobody has waited for yet does not run.
    #[allow(clippy::unwrap_used, reason = "a helper of tests")]
    fn is_running(pid: &str) -> bool {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap().stdout;
        !state.is_empty() && !state.starts_with(b"Z")
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_says_so() {
        let absent = CommandSigner::new(vec!["/nowhere/signer".to_string()], Duration::from_secs(1));
        assert!(ask(&absent).unwrap_err().contains("cannot be started"));
    }
}
