//! `neo cancel-all`: no offer of the account stands any more, and a validated ledger shows it.
//!
//! A running engine is paused and withdraws by itself ([`engine`]); what stands after that is cancelled from here, over the
//! node alone ([`node`]), in the rounds that [`sweep`] decides on. Nothing is written but the pause.

mod engine;
mod node;
mod sweep;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_actors::clock::monotonic_ms;
use neo_ledger::result::AccountOffer;
use neo_ledger::types::Currency;
use neo_ledger::{Amount, Hash};
use neo_market::decimal::Rounding;
use serde::Serialize;

use crate::cli::{CancelAllArgs, settings_of};
use crate::config;
use crate::exit::ExitCode;
use crate::live::link::LinkError;
use crate::output::{Out, printable, table};
use crate::{pause, venue};
use engine::Engine;
use node::{Cancel, Look, Node};
use sweep::{Seen, Step, Sweep};

/// Offers that are shown before the question.
const SHOWN: usize = 50;
/// Digits of a price that is shown.
const PRICE_DIGITS: usize = 8;
/// Between two attempts to reach the node.
const AGAIN: Duration = Duration::from_millis(500);

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    account: String,
    network: String,
    /// The engine: `none`, `flat` (paused, it withdrew by itself), `gone` (it ended meanwhile), `stuck` (it did not withdraw
    /// in time).
    engine: &'static str,
    /// Its session.
    session: Option<i64>,
    /// Why an engine of this record is paused now; `None` when it is not.
    paused: Option<String>,
    /// Offers that the first look showed; with `--yes` that is after a running engine had its time.
    found: usize,
    /// Offers that our own cancels took away, and what those cost; `None` where the node does not tell, for the reason in
    /// `uncounted`.
    cancelled: Option<usize>,
    fees_drops: Option<i64>,
    uncounted: Option<String>,
    /// Offers that stand in the validated ledger `ledger_index`; `None` where there is no ledger.
    left: usize,
    ledger_index: Option<u32>,
    /// The account's tickets in the newest validated ledger, by number: each holds an owner reserve. `None` where the node does not tell, for
    /// the reason in `tickets_unknown`.
    tickets: Option<BTreeSet<u32>>,
    tickets_unknown: Option<String>,
    /// What is in the way, where anything is left or may come.
    problem: Option<String>,
}

/// Cancels all offers.
///
/// # Errors
/// What keeps it from being tried; the text says whether an engine was paused.
pub fn run(args: &CancelAllArgs, out: &mut Out) -> Result<ExitCode> {
    let settings = settings_of(&args.set).map_err(anyhow::Error::msg)?;
    let config = config::load(args.config.as_deref(), &settings)?.config;
    let db = args.db.db.clone().unwrap_or_else(|| config.session.db_path());
    let identity = venue::identity(&config)?;
    let mut report = Report {
        account: identity.account.clone(),
        network: identity.network.clone(),
        engine: "none",
        session: None,
        paused: None,
        found: 0,
        cancelled: Some(0),
        fees_drops: Some(0),
        uncounted: None,
        left: 0,
        ledger_index: None,
        tickets: Some(BTreeSet::new()),
        tickets_unknown: None,
        problem: None,
    };
    let Some(mut node) = Node::of(&config, &db)? else {
        report.paused = pause::wanted(&db);
        return tell(&report, &db, args.json, out);
    };
    // With --yes a running engine is paused before anything else is tried.
    let shown = if args.yes { None } else { Some(ask(&mut node, args.wait, &report.account)?) };
    let engine = engine::withdraw(&db, &identity, args.wait)?;
    report.paused = pause::wanted(&db);
    let so_far = match &engine {
        Engine::Absent { was_paused: false, .. } => "nothing was done",
        _ => "the engine was paused; its offers may stand",
    };
    let first = reach(&mut node, args.wait).context(so_far)?;
    report.found = shown.unwrap_or(first.offers.len());
    let now = first.account.ledger_index;
    // A killed engine's offer may be under way; a node may be a ledger behind the one that it was signed on.
    let under_way = now.saturating_add(config.orders.last_ledger_offset).saturating_add(1);
    let horizon = report.tell_of(&engine).unwrap_or(under_way);
    if !args.json {
        notice(&engine, horizon)?;
    }
    let mut sweeping = Sweeping { node, sweep: Sweep::new(horizon), cancels: Vec::new(), hashes: BTreeSet::new() };
    let (last, problem) = sweeping.until_none_is_left(first, args.wait);
    (report.left, report.ledger_index, report.problem) = (last.offers.len(), Some(last.account.ledger_index), problem);
    sweeping.count(&mut report, now);
    sweeping.look_for_tickets(&mut report);
    tell(&report, &db, args.json, out)
}

impl Report {
    /// What became of the engine. Gives the ledger from which on nothing that it signed can come, where it knows that.
    fn tell_of(&mut self, engine: &Engine) -> Option<u32> {
        match engine {
            Engine::Absent { was_paused, .. } => self.engine = if *was_paused { "gone" } else { "none" },
            Engine::Stuck { .. } => self.engine = "stuck",
            Engine::Flat { session, ledger_index } => {
                (self.engine, self.session) = ("flat", Some(*session));
                return Some(*ledger_index);
            }
        }
        None
    }
}

/// Says what takes time now.
fn notice(engine: &Engine, horizon: u32) -> Result<()> {
    let waits = format!("this takes until ledger {horizon}: an offer that was signed before may get in until then");
    let text = match engine {
        Engine::Flat { .. } => return Ok(()),
        Engine::Absent { .. } => waits,
        Engine::Stuck { why } => format!("the engine does not withdraw ({why}): cancelling beside it; {waits}"),
    };
    Ok(Out::stderr().line(&printable(&text))?)
}

/// Shows the offers and asks. Gives how many there are.
fn ask(node: &mut Node, wait: Duration, account: &str) -> Result<usize> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked: say --yes to cancel every offer of {account}; nothing was done");
    }
    let look = reach(node, wait)?;
    let mut err = Out::stderr();
    let rows: Vec<Vec<String>> = look.offers.iter().take(SHOWN).map(row).collect();
    for line in table(&rows, &[]) {
        err.line(&printable(&line))?;
    }
    let count = look.offers.len();
    if count > SHOWN {
        err.line(&format!("and {} more", count - SHOWN))?;
    }
    err.text(&format!("Pause the engine, if one runs, and cancel all {count} offers of {account}? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("reading the answer")?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was done");
    }
    Ok(count)
}

/// Side, size and price of an offer, as far as it has them.
fn row(offer: &AccountOffer) -> Vec<String> {
    let name = |currency: Currency| match currency {
        Currency::RLUSD => "RLUSD".to_string(),
        other => other.to_string(),
    };
    let text = |amount: &Amount| match amount {
        Amount::Xrp(drops) => {
            drops.to_xrp().map_or_else(|_| format!("{} drops", drops.get()), |xrp| format!("{xrp} XRP"))
        }
        Amount::Token { value, token } => format!("{value} {}", name(token.currency)),
    };
    let (gets, pays) = (&offer.taker_gets, &offer.taker_pays);
    let (side, xrp, value, token) = match (gets, pays) {
        (Amount::Xrp(xrp), Amount::Token { value, token }) => ("ask", xrp, value, token),
        (Amount::Token { value, token }, Amount::Xrp(xrp)) => ("bid", xrp, value, token),
        _ => return vec!["offer".to_string(), text(gets), format!("for {}", text(pays)), format!("#{}", offer.seq)],
    };
    let price = xrp.to_xrp().and_then(|xrp| value.div(xrp, Rounding::HalfEven));
    let price = match price.and_then(|price| price.round_digits(PRICE_DIGITS, Rounding::HalfEven)) {
        Ok(price) => format!("at {price} {}", name(token.currency)),
        Err(error) => format!("at no price ({error})"),
    };
    vec![side.to_string(), text(&Amount::Xrp(*xrp)), price, format!("#{}", offer.seq)]
}

/// A first look, tried for a while: whoever is in an emergency should not have to say it twice.
fn reach(node: &mut Node, wait: Duration) -> Result<Look> {
    let until_ms = after(wait);
    loop {
        match node.look() {
            Err(error) if may_pass(&error) && monotonic_ms() < until_ms => {
                node.hang_up();
                std::thread::sleep(AGAIN);
            }
            other => return other,
        }
    }
}

fn after(wait: Duration) -> u64 {
    monotonic_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// A node that does not answer may answer when it is asked again.
fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LinkError>().is_some()
}

/// The rounds, on a node.
struct Sweeping<'a> {
    node: Node<'a>,
    sweep: Sweep,
    /// Of this round.
    cancels: Vec<Cancel>,
    /// Of all rounds.
    hashes: BTreeSet<Hash>,
}

/// Where a ledger leaves us.
enum Turn {
    Done,
    GaveUp,
    /// With what the node said, where it takes no more cancels for now.
    On(Option<String>),
}

impl Sweeping<'_> {
    /// Ledger by ledger, until none is left or nothing helps. Gives the last ledger, and what is in the way.
    fn until_none_is_left(&mut self, first: Look, wait: Duration) -> (Look, Option<String>) {
        let (mut last, mut is_new, mut until_ms, mut trouble) = (first, true, after(wait), None);
        loop {
            let turn = if is_new { self.on_ledger(&last) } else { Ok(Turn::On(trouble.take())) };
            let went_on = turn.and_then(|turn| match turn {
                Turn::On(said) => {
                    trouble = said;
                    self.node.pass_time().and_then(|()| self.node.look()).map(Ok)
                }
                Turn::Done => Ok(Err(None)),
                Turn::GaveUp => Ok(Err(Some(because("three rounds of cancels changed nothing", trouble.as_ref())))),
            });
            match went_on {
                Ok(Ok(look)) => {
                    is_new = look.account.ledger_index > last.account.ledger_index;
                    if is_new {
                        (last, until_ms) = (look, after(wait));
                    }
                }
                Ok(Err(problem)) => return (last, problem),
                Err(error) if may_pass(&error) => {
                    (is_new, trouble) = (false, Some(format!("{error:#}")));
                    self.node.hang_up();
                    std::thread::sleep(AGAIN);
                }
                Err(error) => return (last, Some(format!("{error:#}"))),
            }
            if !is_new && monotonic_ms() >= until_ms {
                return (last, Some(because("no new validated ledger is seen", trouble.as_ref())));
            }
        }
    }

    fn on_ledger(&mut self, look: &Look) -> Result<Turn> {
        let offers = look.offers.iter().map(|offer| offer.seq).collect();
        let next_sequence = look.account.sequence;
        match self.sweep.step(&Seen { ledger_index: look.account.ledger_index, sequence: next_sequence, offers }) {
            Step::Done => return Ok(Turn::Done),
            Step::GiveUp => return Ok(Turn::GaveUp),
            Step::Wait => return Ok(Turn::On(None)),
            Step::Send => {}
            Step::Sign(targets) => {
                let (cancels, last_ledger) = self.node.sign(look, &targets)?;
                self.hashes.extend(cancels.iter().map(|cancel| cancel.hash));
                let end = cancels.last().map_or(next_sequence, |cancel| cancel.sequence.saturating_add(1));
                self.sweep.signed(end, last_ledger);
                self.cancels = cancels;
            }
        }
        self.node.send(&self.cancels, next_sequence).map(Turn::On)
    }

    /// Offers are gone; what else the account set aside for us is told.
    fn look_for_tickets(&mut self, report: &mut Report) {
        if report.ledger_index.is_none() {
            return;
        }
        match self.node.tickets() {
            Ok(tickets) => report.tickets = Some(tickets),
            Err(error) => (report.tickets, report.tickets_unknown) = (None, Some(format!("{error:#}"))),
        }
    }

    /// What the cancels did and cost, as the ledger tells it.
    fn count(&mut self, report: &mut Report, first: u32) {
        let (Some(last), false) = (report.ledger_index, self.hashes.is_empty()) else { return };
        // The connection may be one that broke.
        self.node.hang_up();
        match self.node.count(&self.hashes, first, last) {
            Ok((cancelled, fees)) => (report.cancelled, report.fees_drops) = (Some(cancelled), Some(fees.get())),
            Err(error) => {
                (report.cancelled, report.fees_drops) = (None, None);
                report.uncounted = Some(format!("{error:#}"));
            }
        }
    }
}

fn tickets_in_words(report: &Report) -> Option<String> {
    let Some(tickets) = &report.tickets else {
        let why = report.tickets_unknown.as_deref().unwrap_or("no reason");
        return Some(format!("which tickets are left is not known: {why}"));
    };
    let numbers = tickets.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    (!tickets.is_empty()).then(|| {
        format!(
            "{} tickets are left ({numbers}): each holds an owner reserve until a transaction uses it; a session with \
             orders.cancel_tickets takes them over",
            tickets.len()
        )
    })
}

fn because(what: &str, said: Option<&String>) -> String {
    said.map_or_else(|| what.to_string(), |said| format!("{what}; the node: {said}"))
}

fn tell(report: &Report, db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let is_done = report.left == 0 && report.problem.is_none();
    if json {
        out.json_line(report)?;
    } else {
        for line in words(report, db) {
            out.line(&printable(&line))?;
        }
    }
    Ok(if is_done { ExitCode::Clean } else { ExitCode::Failed })
}

fn words(report: &Report, db: &Path) -> Vec<String> {
    let Report { account, cancelled, fees_drops, left, problem, .. } = report;
    let Some(ledger_index) = report.ledger_index else {
        return vec![format!("no simulated ledger runs for {}: there is nothing to cancel", db.display())];
    };
    let mut lines = Vec::new();
    match (report.engine, report.session) {
        ("flat", Some(session)) => lines.push(format!("S{session} is paused and has withdrawn its offers")),
        ("gone", _) => lines.push("the engine ended while it was waited for".to_string()),
        ("stuck", _) => lines.push("the engine is paused and did not withdraw in time: see `neo status`".to_string()),
        _ => {}
    }
    match (cancelled, fees_drops) {
        (Some(0), _) => {}
        (Some(cancelled), Some(fees)) => lines.push(format!("cancelled {cancelled} offers for {fees} drops of fees")),
        _ => {
            let why = report.uncounted.as_deref().unwrap_or("no reason");
            lines.push(format!("cancels were sent; what each did and cost is not known: {why}"));
        }
    }
    lines.push(match (problem, left) {
        (None, _) => format!("ledger {ledger_index} shows no offer of {account}"),
        (Some(why), 0) => format!("ledger {ledger_index} shows no offer of {account}, but one may still come: {why}"),
        (Some(why), left) => {
            format!("ledger {ledger_index} shows {left} offers of {account} that are LEFT: {why}. Run it again")
        }
    });
    lines.extend(tickets_in_words(report));
    if let Some(paused) = &report.paused {
        lines.push(format!("{paused}; `neo resume` quotes again"));
    }
    lines
}
