//! `neo preflight`: everything that a session on a real ledger needs, one line each, with what to do.

use std::path::Path;

use anyhow::Result;
use neo_actors::clock::now;
use neo_ledger::client::shown_url;
use neo_store::record::Mode;
use neo_store::{Reader, StoreError, backup};
use serde::Serialize;

use crate::cli::{PreflightArgs, settings_of};
use crate::config::{self, Config};
use crate::exit::ExitCode;
use crate::live::checks::{self, Finding, Verdict, Wanted, ok, problem};
use crate::live::facts::Facts;
use crate::live::{self, Refusal, key};
use crate::output::{Out, printable};
use crate::unattended::space::{MinFree, Room, free_bytes};
use crate::venue;

/// One line of `--json`'s list.
#[derive(Serialize)]
struct Row<'a> {
    check: &'a str,
    /// `ok`, `problem`, or `refused`: no session begins.
    verdict: &'static str,
    text: &'a str,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// `ok` or `problems`.
    verdict: &'static str,
    /// The node, without what is secret in its address.
    node: String,
    checks: Vec<Row<'a>>,
}

/// Looks at everything and says it: exit code 0 when all is well, else 1.
///
/// # Errors
/// Mistakes in the configuration, and what standard output refused.
pub fn run(args: &PreflightArgs, out: &mut Out) -> Result<ExitCode> {
    let settings = settings_of(&args.set).map_err(anyhow::Error::msg)?;
    let config = config::load(args.config.as_deref(), &settings)?.config;
    refuse_sim(&config, "preflight")?;
    let mut findings = ledger(&config);
    findings.extend(local(&config));
    let all_well = findings.iter().all(|finding| finding.verdict == Verdict::Ok);
    if args.json {
        let checks = findings.iter().map(|finding| Row {
            check: finding.check,
            verdict: word(finding.verdict),
            text: &finding.text,
        });
        let verdict = if all_well { "ok" } else { "problems" };
        out.json_line(&Report { verdict, node: shown_url(live::url(&config)?), checks: checks.collect() })?;
    } else {
        for finding in &findings {
            out.line(&printable(&line(finding)))?;
        }
        out.line(if all_well { "ready to trade" } else { "not ready: see the lines above that are not ok" })?;
    }
    Ok(if all_well { ExitCode::Clean } else { ExitCode::Failed })
}

/// On the embedded ledger there is nothing to look at or to set up.
///
/// # Errors
/// [`Refusal`] in another mode than live.
pub fn refuse_sim(config: &Config, command: &str) -> Result<(), Refusal> {
    if config.session.mode == Mode::Live {
        return Ok(());
    }
    let text = format!(
        "the configuration's mode is {}, and {command} is for mode live: name a file with --config, such as \
         config/testnet.toml",
        config.session.mode
    );
    Err(Refusal { exit: ExitCode::Usage, text })
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Problem => "problem",
        Verdict::Refuse(_) => "refused",
    }
}

fn line(finding: &Finding) -> String {
    format!("{:<13}  {:<7}  {}", finding.check, word(finding.verdict), finding.text)
}

/// The key, and everything that a node tells.
fn ledger(config: &Config) -> Vec<Finding> {
    let key = key::load(&config.account);
    let mut findings = Vec::new();
    if let Err(error) = &key {
        findings.push(refused("key", ExitCode::Usage, &error.to_string()));
    }
    let Some(account) = config.account.address else {
        findings.push(refused("account", ExitCode::Usage, "account.address is not set"));
        return findings;
    };
    let key = key.ok().map(|key| key.key_address());
    let asked = live::connect(config).and_then(|mut link| {
        let wanted = Wanted::of(config, account, key)?;
        Ok((Facts::read(&mut link, &wanted)?, wanted))
    });
    match asked {
        Ok((facts, wanted)) => findings.extend(checks::judge(&facts, &wanted, now())),
        Err(Refusal { exit, text }) => findings.push(refused("node", exit, &text)),
    }
    findings
}

fn refused(check: &'static str, exit: ExitCode, text: &str) -> Finding {
    Finding { check, verdict: Verdict::Refuse(exit), text: text.to_string() }
}

/// This machine's part: disk, record, backups.
fn local(config: &Config) -> Vec<Finding> {
    let db = config.session.db_path();
    vec![disk(config, &db), record(config, &db), backups(&db)]
}

fn disk(config: &Config, db: &Path) -> Finding {
    const CHECK: &str = "disk";
    let limit = MinFree { mb: config.store.min_free_mb };
    // The record's folder may be made by the first session.
    let there = db.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match free_bytes(&there.join("record")) {
        Err(error) => problem(CHECK, format!("the free space of {} is not known: {error}", there.display())),
        Ok(free) => {
            let text = format!("{} MB free, a session ends below {}", free / 1_000_000, limit.mb);
            match limit.judge(free) {
                Room::Enough => ok(CHECK, text),
                Room::Low => problem(CHECK, format!("{text}: free space soon")),
                Room::Out => refused(CHECK, ExitCode::Database, &format!("{text}: free space, or use another disk")),
            }
        }
    }
}

fn record(config: &Config, db: &Path) -> Finding {
    const CHECK: &str = "record";
    let refuse = |text: String| refused(CHECK, ExitCode::Database, &text);
    if let Err(error) = neo_store::refuse_share(db) {
        return refuse(error.to_string());
    }
    if !db.exists() {
        return ok(CHECK, format!("{} will be made", db.display()));
    }
    let look = || -> Result<Finding, StoreError> {
        let theirs = Reader::identity_of(db)?;
        let wanted = match venue::identity(config) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(refuse(format!("{error:#}"))),
        };
        if let Some(theirs) = theirs.filter(|theirs| *theirs != wanted) {
            return Ok(refuse(format!(
                "{} holds {} on {} of {}: name another file in session.db",
                db.display(),
                theirs.mode,
                theirs.network,
                theirs.account
            )));
        }
        let sessions = Reader::open(db)?.sessions()?;
        let open = sessions.iter().filter(|session| session.ended_at.is_none()).count();
        Ok(match open {
            0 => ok(CHECK, format!("{}, {} sessions, all closed", db.display(), sessions.len())),
            _ => problem(CHECK, format!("{open} sessions are open: an engine runs, or the next start closes them")),
        })
    };
    look().unwrap_or_else(|error| refuse(error.to_string()))
}

fn backups(db: &Path) -> Finding {
    const CHECK: &str = "backups";
    match backup::list(db) {
        Err(error) => problem(CHECK, error.to_string()),
        Ok(files) => match files.first() {
            None if db.exists() => ok(CHECK, "none yet: the next session takes one before it begins"),
            None => ok(CHECK, "none yet: there is nothing to back up"),
            Some(newest) => match backup::verify(&newest.path) {
                Ok(_) => ok(CHECK, format!("{}, the newest is {}", files.len(), newest.path.display())),
                Err(error) => problem(CHECK, format!("the newest cannot be relied on ({error}): run neo backup")),
            },
        },
    }
}
