//! A program that signs for the engine (`[account] signer`): one JSON object a line in, one out, until the input ends.
//!
//! `signer FILE` holds the seed in FILE and signs what trading needs and nothing else, so that whoever takes the engine over
//! can place offers and not pay anybody. Run it as another user, or put a device behind the same two lines.
#![allow(missing_docs, reason = "a program, not a library")]

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use neo_ledger::Keypair;
use serde_json::{Value, json};

/// What is signed.
const KINDS: [&str; 3] = ["OfferCreate", "OfferCancel", "TicketCreate"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Its standard error may be nobody's: the exit code tells.
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: signer FILE")?;
    let key = Keypair::from_seed(std::fs::read_to_string(file)?.trim())?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let answer = match signature(&key, &asked) {
            Ok(signature) => json!({ "id": asked["id"], "signature": signature }),
            Err(error) => json!({ "id": asked["id"], "error": error }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// The transaction is signed as it is encoded here: what the message says beside it is not believed.
fn signature(key: &Keypair, asked: &Value) -> Result<String, String> {
    let transaction = asked.get("transaction").filter(|tx| tx.is_object()).ok_or("only transactions are signed")?;
    let kind = transaction.get("TransactionType").and_then(Value::as_str).unwrap_or_default();
    if !KINDS.contains(&kind) {
        return Err(format!("{kind} is not signed here, only {}", KINDS.join(", ")));
    }
    let message = neo_ledger::codec::encode_for_signing(transaction).map_err(|error| error.to_string())?;
    key.sign_message(&message).map_err(|error| error.to_string())
}
