//! `neo setup`: the trust line, on request.
//!
//! One transaction with a LastLedgerSequence: only its own blob is ever sent, and it is over when a validated ledger has it
//! or can have it no more. It says so either way.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_ledger::message::ValidatedTransaction;
use neo_ledger::result::{FeeResult, LSF_REQUIRE_AUTH, ServerInfo, SubmitResult};
use neo_ledger::tx::TF_SET_NO_RIPPLE;
use neo_ledger::{Amount, Body, Signed, Transaction, request};
use neo_market::{Dec, Drops};
use serde::Serialize;

use crate::cli::{SetupArgs, settings_of};
use crate::config::{self, Config};
use crate::exit::ExitCode;
use crate::live::checks::{self, Verdict, Wanted};
use crate::live::facts::{self, Facts};
use crate::live::link::Link;
use crate::live::{self, Refusal, key};
use crate::output::{Out, printable};
use crate::preflight::refuse_sim;
use crate::venue;

/// Ledgers until which the transaction may get in: a person waits for it, nothing else does.
const LAST_LEDGER_OFFSET: u32 = 20;
/// Between two looks at the newest ledger.
const LOOK: Duration = Duration::from_secs(1);

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// `made`, or `there` when nothing had to be done.
    trust_line: &'static str,
    account: String,
    currency: String,
    issuer: String,
    limit: String,
    tx_hash: Option<String>,
    ledger_index: Option<u32>,
}

/// Makes the trust line, if it is not there.
///
/// # Errors
/// What keeps it from being made; the text says whether anything was sent.
pub fn run(args: &SetupArgs, out: &mut Out) -> Result<ExitCode> {
    let settings = settings_of(&args.set).map_err(anyhow::Error::msg)?;
    let config = config::load(args.config.as_deref(), &settings)?.config;
    refuse_sim(&config, "setup")?;
    let limit = limit(&args.limit)?;
    let key = key::load(&config.account)?;
    // An engine of this host that signs at the same time would take the same sequence number.
    let _lock = venue::lock_account(&config.session.db_path(), &venue::identity(&config)?)?;
    let mut link = live::connect(&config)?;
    let wanted = Wanted::of(&config, key.address(), Some(key.key_address()))?;
    let facts = Facts::read(&mut link, &wanted)?;
    let nothing_but_the_line = |check: &str| check == "trust line";
    for finding in checks::judge(&facts, &wanted, neo_actors::clock::now()) {
        if let Verdict::Refuse(exit) = finding.verdict
            && !nothing_but_the_line(finding.check)
        {
            return Err(Refusal { exit, text: finding.text }.into());
        }
    }
    let ledger = facts.ledger.context("the node said nothing of the ledger")?;
    let report = |trust_line, limit: Dec, made: Option<(&Signed, u32)>| Report {
        trust_line,
        account: wanted.account.to_string(),
        currency: wanted.token.currency.to_string(),
        issuer: wanted.token.issuer.to_string(),
        limit: limit.to_string(),
        tx_hash: made.map(|(signed, _)| signed.hash.to_string()),
        ledger_index: made.map(|(_, index)| index),
    };
    if let Some(line) = ledger.line {
        return tell(out, args.json, &report("there", line.limit, None));
    }
    let sequence = ledger.account.as_ref().context("the node said nothing of the account")?.sequence;
    let transaction = trust_set(&mut link, &config, &wanted, limit, sequence)?;
    if !args.yes && !agreed(&transaction)? {
        bail!("nothing was signed");
    }
    let signed = key.sign(&transaction)?;
    let index = send(&mut link, &config, &signed, &transaction)?;
    let line = facts::trust_line(&mut link, wanted.account, wanted.token)?;
    let Some(line) = line else { bail!("ledger {index} has the transaction, and the node shows no trust line yet") };
    let needs_auth = ledger.issuer.as_ref().is_some_and(|issuer| issuer.flags & LSF_REQUIRE_AUTH != 0);
    if needs_auth && !line.authorized_by_peer {
        Out::stderr().line("the issuer must authorise the trust line before it can hold anything: ask it to")?;
    }
    tell(out, args.json, &report("made", line.limit, Some((&signed, index))))
}

fn limit(text: &str) -> Result<Dec, Refusal> {
    let usage = |text: String| Refusal { exit: ExitCode::Usage, text };
    let limit: Dec = text.parse().map_err(|error| usage(format!("--limit {text}: {error}")))?;
    if limit.is_positive() { Ok(limit) } else { Err(usage(format!("--limit {text}: give a number above 0"))) }
}

/// The transaction, at the present fee and the account's next sequence number.
fn trust_set(link: &mut Link, config: &Config, wanted: &Wanted, limit: Dec, sequence: u32) -> Result<Transaction> {
    let fee = FeeResult::from_value(&link.need("fee", request::fee)?)?.open_ledger_fee;
    let ceiling = config.orders.cancel_max_fee_drops;
    if fee > ceiling {
        bail!("a transaction costs {} drops now, more than orders.cancel_max_fee_drops: try again later", fee.get());
    }
    Ok(Transaction {
        account: wanted.account,
        sequence,
        ticket_sequence: None,
        fee: fee.max(Drops::new(10)),
        // Nobody's payments are to pass through this account.
        flags: TF_SET_NO_RIPPLE,
        last_ledger_sequence: Some(newest(link)?.0.saturating_add(LAST_LEDGER_OFFSET)),
        network_id: wanted.network_id,
        body: Body::TrustSet { limit: Amount::Token { value: limit, token: wanted.token } },
    })
}

/// The newest validated ledger, and the ledgers that the node has.
fn newest(link: &mut Link) -> Result<(u32, String)> {
    let info = ServerInfo::from_value(&link.need("server_info", request::server_info)?)?;
    let validated = info.validated.context("the node has no validated ledger; try again later")?;
    Ok((validated.ledger_index, info.complete_ledgers))
}

fn agreed(transaction: &Transaction) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked: say --yes to sign and send {}", transaction.to_json()?);
    }
    let shown = serde_json::to_string_pretty(&transaction.to_json()?)?;
    Out::stderr().text(&format!("{shown}\nSign and send this? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Sends the blob and waits until a validated ledger has it or can have it no more. Gives that ledger.
fn send(link: &mut Link, config: &Config, signed: &Signed, transaction: &Transaction) -> Result<u32> {
    let last = transaction.last_ledger_sequence.unwrap_or(0);
    sent(link, config, signed, last).with_context(|| {
        format!("transaction {} was signed: a ledger up to {last} has it, or none ever will; look for it", signed.hash)
    })
}

fn sent(link: &mut Link, config: &Config, signed: &Signed, last: u32) -> Result<u32> {
    let (first, _) = newest(link)?;
    let said = submit(link, &signed.blob)?;
    // Only a malformed transaction is dead at once; anything else is decided by validated ledgers.
    if said.engine_result.starts_with("tem") {
        bail!("the ledger refuses it for good: {}", said.engine_result);
    }
    loop {
        // Asked before the transaction is looked for: what is not found then is in none of those ledgers.
        let (newest, complete) = newest(link)?;
        if let Some(found) = found(link, signed, first, last)? {
            if found.result != "tesSUCCESS" {
                bail!("ledger {} has it with the result {}", found.ledger_index, found.result);
            }
            return Ok(found.ledger_index);
        }
        if newest > last {
            if !covers(&complete, first, last) {
                bail!("the node has no gap-free history from ledger {first} to {last}: ask another one for it");
            }
            bail!("no ledger up to {last} has it ({}): nothing was changed, try again", said.engine_result);
        }
        if config.network.ledger_accept {
            link.need("ledger_accept", request::ledger_accept)?;
        } else {
            link.wait(LOOK);
        }
    }
}

/// True when a node's ledgers, such as `2-40,45-50`, have all from `first` to `last`.
fn covers(complete: &str, first: u32, last: u32) -> bool {
    complete.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let bound = |text: &str| text.trim().parse::<u32>();
        matches!((bound(from), bound(to)), (Ok(from), Ok(to)) if from <= first && last <= to)
    })
}

fn submit(link: &mut Link, blob: &str) -> Result<SubmitResult> {
    Ok(SubmitResult::from_value(&link.need("submit", |id| request::submit(id, blob, false))?)?)
}

/// The transaction in a validated ledger.
fn found(link: &mut Link, signed: &Signed, first: u32, last: u32) -> Result<Option<ValidatedTransaction>> {
    let hash = signed.hash;
    match link.ask("tx", |id| request::tx(id, hash, Some((first, last))))? {
        Err(error) if error.error == "txnNotFound" => Ok(None),
        Err(error) => bail!("the node does not say what became of {hash}: {error}; look for it before trying again"),
        Ok(value) if value.get("validated") != Some(&true.into()) => Ok(None),
        Ok(value) => Ok(Some(ValidatedTransaction::from_account_tx(&value)?)),
    }
}

fn tell(out: &mut Out, json: bool, report: &Report) -> Result<ExitCode> {
    if json {
        out.json_line(report)?;
        return Ok(ExitCode::Clean);
    }
    let Report { account, currency, issuer, limit, .. } = report;
    let line = match (&report.tx_hash, report.ledger_index) {
        (Some(hash), Some(index)) => {
            format!("ledger {index} has the trust line of {account} for {currency} of {issuer}, limit {limit} ({hash})")
        }
        _ => format!("{account} has a trust line for {currency} of {issuer} already, limit {limit}: nothing to do"),
    };
    out.line(&printable(&line))?;
    Ok(ExitCode::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_a_node_s_history_is_no_proof() {
        for (complete, proves) in [
            ("2-40", true),
            ("2-9,10-40", true),
            ("10-30", true),
            ("2-20,22-40", false),
            ("11-40", false),
            ("2-29", false),
            ("30", false),
            ("empty", false),
            ("", false),
        ] {
            assert_eq!(covers(complete, 10, 30), proves, "{complete}");
        }
        assert!(covers("7", 7, 7));
    }

    #[test]
    fn a_limit_is_a_number_above_zero() {
        assert_eq!(limit("1000.5").unwrap().to_string(), "1000.5");
        for text in ["0", "-1", "", "much"] {
            assert_eq!(limit(text).unwrap_err().exit, ExitCode::Usage, "{text}");
        }
    }
}
