//! `neo report`: one session, and whether it was closed cleanly. A scripted run ends with it: its exit code is the
//! verdict.
//!
//! [`Report::new`] makes the report from rows alone; [`Report::lines`] is what people read, `--json` prints the rest.

pub mod range;
pub mod result;
mod result_text;
mod risk;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use neo_market::result::mark_out::MarkOutStats;
use neo_market::{AmountError, Dec, Drops, FillPoint, Side, SpreadStats};
use neo_store::old::ImportedSession;
use neo_store::record::{
    Checkpoint, EndReason, EndedAtSource, Fault, Fill, Flow, FlowCause, MarkOut, Order, Refusal, Stage, StopStage,
    TripRow, ValuationSnapshot,
};
use neo_store::{Reader, Reconciliation, Recorded, SessionMoves, SessionRow, StoreError};
use serde::Serialize;
use serde_json::Value;

pub use risk::{RefusalSum, TripLine, TripState};

use crate::calibrate::chosen;
use crate::exit::ExitCode;
use crate::output::Out;
use crate::sessions::{trading_s, value_change};
use crate::supervisor::stop::is_done;
use range::RangeReport;
use result::SessionResult;

/// Why an imported session has no result and no mark-outs.
pub(crate) const HISTORY: &str = "it is history from an old database, which has neither balances nor flows";
/// Faults that are listed; the record has all of them.
const FAULTS_SHOWN: usize = 20;

/// A session's rows, as the record gives them.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The session.
    pub session: SessionRow,
    /// Its stop stages.
    pub stages: Vec<StopStage>,
    /// Its fills.
    pub fills: Vec<Fill>,
    /// Its orders.
    pub orders: Vec<Order>,
    /// Its flows.
    pub flows: Vec<Flow>,
    /// Its valuation snapshots, in time order.
    pub valuations: Vec<ValuationSnapshot>,
    /// Its checkpoints.
    pub checkpoints: Vec<Checkpoint>,
    /// Its faults.
    pub faults: Vec<Fault>,
    /// What it did not quote.
    pub refusals: Vec<Refusal>,
    /// The triggers that tripped.
    pub trips: Vec<TripRow>,
    /// Fills and flows held against the balances, or why that cannot be done.
    pub books: Result<Reconciliation, String>,
    /// What its result is made of, or why that is not known.
    pub moves: Result<SessionMoves, String>,
    /// Where the price was after its fills.
    pub mark_outs: Vec<MarkOut>,
    /// Where it was imported from.
    pub imported: Option<ImportedSession>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True when the session was closed in order and its books balance.
    pub clean: bool,
    /// Why not, each with what to look at.
    pub problems: Vec<String>,
    /// `S39`.
    pub session: String,
    /// Its number.
    pub number: i64,
    /// How it traded.
    pub mode: String,
    /// On which network.
    pub network: String,
    /// With which account.
    pub account: String,
    /// The engine's version.
    pub version: String,
    /// SHA-256 of its configuration, hex.
    pub config_hash: String,
    /// The seed of the simulated world.
    pub seed: Option<u64>,
    /// The crashed session that it took over from.
    pub resumed_from: Option<i64>,
    /// Real time of the start.
    pub started_at: DateTime<Utc>,
    /// Real time of the last commit.
    pub last_seen_at: DateTime<Utc>,
    /// Real time of the end.
    pub ended_at: Option<DateTime<Utc>>,
    /// How `ended_at` came to be written.
    pub ended_at_source: Option<EndedAtSource>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// What could not be done.
    pub end_detail: Option<Value>,
    /// The stop sequence.
    pub stop_stages: Vec<StopStage>,
    /// Its first ledger.
    pub starting_ledger_index: Option<u32>,
    /// Its last ledger.
    pub ending_ledger_index: Option<u32>,
    /// Seconds between their close times.
    pub trading_s: Option<i64>,
    /// Value at its first ledger.
    pub starting_value_rlusd: Option<Dec>,
    /// Why that is unknown.
    pub starting_value_reason: Option<String>,
    /// Value at its last ledger.
    pub ending_value_rlusd: Option<Dec>,
    /// Why that is unknown.
    pub ending_value_reason: Option<String>,
    /// The one minus the other.
    pub value_change_rlusd: Option<Dec>,
    /// Where that came from, in parts that add up.
    pub result: Option<SessionResult>,
    /// Why that is not known.
    pub result_reason: Option<String>,
    /// Where the price went after the fills, by ledgers and side.
    pub mark_outs: Vec<MarkOutStats>,
    /// Why some of that is not known, each reason with how many.
    pub mark_outs_unknown: BTreeMap<String, u64>,
    /// The offsets that it quoted with.
    pub offsets: Option<Offsets>,
    /// Bids, then asks.
    pub fills: Vec<SideFills>,
    /// What the account held on the way.
    pub inventory: Option<Inventory>,
    /// Changes of balances that are no fills, by cause; fees among them.
    pub flows: Vec<FlowSum>,
    /// Fills and flows held against the balances.
    pub reconciliation: Option<Reconciliation>,
    /// Why there is none.
    pub reconciliation_reason: Option<String>,
    /// How checkpoints went.
    pub checkpoints: Checkpoints,
    /// How many faults there were.
    pub fault_count: usize,
    /// The first of them.
    pub faults: Vec<FaultLine>,
    /// What was not quoted, by the kind of the reason.
    pub refusals: Vec<RefusalSum>,
    /// The triggers that tripped.
    pub trips: Vec<TripLine>,
    /// Class B records that were dropped under pressure.
    pub coalesced_rows: u64,
    /// Where it was imported from; history is shown, not judged.
    pub imported: Option<ImportedSession>,
}

/// Distances from the middle in basis points, as the configuration had them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offsets {
    /// Of the first bid.
    pub bid_offset_bps: String,
    /// Of the first ask.
    pub ask_offset_bps: String,
}

/// What one side traded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideFills {
    /// Count, XRP volume and half-spreads.
    #[serde(flatten)]
    pub stats: SpreadStats,
    /// RLUSD traded.
    pub volume_rlusd: Dec,
}

/// The path of a balance over the session's snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span<T> {
    /// At the first.
    pub start: T,
    /// The least.
    pub min: T,
    /// The most.
    pub max: T,
    /// At the last.
    pub end: T,
}

/// What the account held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// XRP, in drops.
    pub xrp_drops: Span<Drops>,
    /// RLUSD.
    pub rlusd: Span<Dec>,
    /// Snapshots that this rests on.
    pub snapshots: usize,
    /// XRP over time, from its least to its most.
    pub xrp_sparkline: String,
}

/// Flows of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowSum {
    /// Why the balance changed.
    pub cause: FlowCause,
    /// How many.
    pub count: u64,
    /// XRP, in drops, signed.
    pub xrp_drops: Drops,
    /// RLUSD, signed.
    pub rlusd: Dec,
}

/// How checkpoints went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checkpoints {
    /// How many were made.
    pub count: usize,
    /// How many a reader kept from finishing.
    pub busy: usize,
    /// The longest time that the writer stood still.
    pub worst_pause_us: u64,
    /// The largest write-ahead log that one found.
    pub wal_bytes_max: u64,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultLine {
    /// When, real time.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What happened.
    pub cause: String,
    /// What was done about it.
    pub action: String,
}

/// Shows one session, `S3`, `3` or `latest`, or the results of several, `S3..S7`, `S3,S5` or `all`. The exit code is clean only when the session is, or is imported history.
///
/// # Errors
/// [`StoreError`], absurd amounts, and what standard output refused.
pub fn run(db: &Path, which: &str, json: bool, out: &mut Out) -> Result<ExitCode> {
    if which.contains("..") || which.contains(',') || which.eq_ignore_ascii_case("all") {
        return several(db, which, json, out);
    }
    let number = match parse_session(which) {
        Ok(number) => number,
        Err(mistake) => {
            Out::stderr().line(&format!("error: {mistake}"))?;
            return Ok(ExitCode::Usage);
        }
    };
    let rows = read(&Reader::open(db)?, number)?;
    let report = Report::new(rows).context("the recorded amounts cannot be summed; look for an absurd one")?;
    if json {
        out.json_line(&report)?;
    } else {
        for line in report.lines() {
            out.line(&line)?;
        }
    }
    Ok(if report.clean || report.imported.is_some() { ExitCode::Clean } else { ExitCode::Failed })
}

fn several(db: &Path, which: &str, json: bool, out: &mut Out) -> Result<ExitCode> {
    let reader = Reader::open(db)?;
    let asked = Some(which).filter(|which| !which.eq_ignore_ascii_case("all"));
    let wanted = match chosen(&reader.sessions()?, asked) {
        Ok(wanted) => wanted,
        Err(mistake) => {
            Out::stderr().line(&format!("error: {}", mistake.trim_start_matches("--sessions ")))?;
            return Ok(ExitCode::Usage);
        }
    };
    let report = RangeReport::new(&range::read(&reader, &wanted)?);
    let report = report.context("the recorded amounts cannot be summed; look for an absurd one")?;
    if json {
        out.json_line(&report)?;
    } else {
        for line in report.lines() {
            out.line(&line)?;
        }
    }
    let wrong = |line: &range::RangeLine| line.result.as_ref().and_then(SessionResult::adds_up) == Some(false);
    Ok(if report.sessions.iter().any(wrong) { ExitCode::Failed } else { ExitCode::Clean })
}

/// `S3` or `3`; `None` for `latest`.
pub(crate) fn parse_session(which: &str) -> Result<Option<i64>, String> {
    if which.eq_ignore_ascii_case("latest") {
        return Ok(None);
    }
    match which.trim_start_matches(['S', 's']).parse::<i64>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        Ok(_) | Err(_) => Err(format!("session {which:?} is none: write S3, 3 or latest; `neo sessions` lists them")),
    }
}

fn read(reader: &Reader, number: Option<i64>) -> Result<Rows, StoreError> {
    fn records<T>(rows: Vec<Recorded<T>>) -> Vec<T> {
        rows.into_iter().map(|row| row.record).collect()
    }
    let session = reader.session(number)?;
    let number = session.number;
    let history = || Err(HISTORY.to_string());
    let moves = reader.moves(number, number)?.remove(&number).unwrap_or_else(history);
    let books = match reader.reconcile(number) {
        Ok(books) => Ok(books),
        Err(error @ (StoreError::NoSnapshot { .. } | StoreError::Amount(_))) => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    Ok(Rows {
        session,
        stages: reader.stop_stages(number)?,
        fills: records(reader.fills(number)?),
        orders: reader.orders(number)?.into_iter().map(|row| row.order).collect(),
        flows: records(reader.flows(number)?),
        valuations: records(reader.valuations(number)?),
        checkpoints: records(reader.checkpoints(number)?),
        faults: records(reader.faults(number)?),
        refusals: records(reader.refusals(number)?),
        trips: records(reader.trips(number)?),
        books,
        moves,
        mark_outs: reader.mark_outs(number)?,
        imported: reader.imported(number)?,
    })
}

impl Report {
    /// The report of a session's rows.
    ///
    /// # Errors
    /// [`AmountError`] when recorded amounts are too absurd to be summed.
    pub fn new(rows: Rows) -> Result<Report, AmountError> {
        let mut problems = problems(&rows);
        let row = &rows.session;
        let (reconciliation, reconciliation_reason) = match &rows.books {
            Ok(books) => (Some(books.clone()), None),
            Err(reason) => (None, Some(reason.clone())),
        };
        let (result, result_reason) = match rows.moves.as_ref().map(SessionResult::of) {
            Ok(Ok(result)) => (Some(result), None),
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(reason) => (None, Some(reason.clone())),
        };
        let balanced = rows.books.as_ref().is_ok_and(Reconciliation::adds_up);
        if balanced && result.as_ref().and_then(SessionResult::adds_up) == Some(false) {
            problems.push("the parts of the result are not what its value changed by; see `neo verify`".to_string());
        }
        let (mark_outs, mark_outs_unknown) = result::mark_outs(&rows.fills, &rows.mark_outs)?;
        let fills = Side::BOTH.into_iter().map(|side| side_fills(side, &rows)).collect::<Result<_, _>>()?;
        Ok(Report {
            clean: problems.is_empty(),
            problems,
            session: format!("S{}", row.number),
            number: row.number,
            mode: row.mode.to_string(),
            network: row.network.clone(),
            account: row.account.clone(),
            version: row.version.clone(),
            config_hash: row.config_hash.clone(),
            seed: row.seed,
            resumed_from: row.resumed_from,
            started_at: row.started_at,
            last_seen_at: row.last_seen_at,
            ended_at: row.ended_at,
            ended_at_source: row.ended_at_source,
            end_reason: row.end_reason,
            end_detail: row.end_detail.as_deref().map(detail),
            starting_ledger_index: row.starting_ledger_index,
            ending_ledger_index: row.ending_ledger_index.or(row.last_ledger_index),
            trading_s: trading_s(row),
            starting_value_rlusd: row.starting_value_rlusd,
            starting_value_reason: starting_value_reason(&rows),
            ending_value_rlusd: row.ending_value_rlusd,
            ending_value_reason: row.ending_value_reason.clone(),
            value_change_rlusd: value_change(row),
            result,
            result_reason,
            mark_outs,
            mark_outs_unknown,
            offsets: offsets(&row.config),
            fills,
            inventory: inventory(&rows.valuations),
            flows: flow_sums(&rows.flows)?,
            reconciliation,
            reconciliation_reason,
            checkpoints: checkpoints(&rows.checkpoints),
            fault_count: rows.faults.len(),
            faults: rows.faults.iter().take(FAULTS_SHOWN).map(FaultLine::new).collect(),
            refusals: risk::refusal_sums(&rows.refusals),
            trips: risk::trip_lines(&rows.trips, row.ended_at.is_some()),
            coalesced_rows: row.coalesced_rows,
            stop_stages: rows.stages,
            imported: rows.imported,
        })
    }

    /// Ledgers from the first to the last.
    #[must_use]
    pub fn ledgers(&self) -> Option<u32> {
        self.ending_ledger_index?.checked_sub(self.starting_ledger_index?)
    }
}

impl FaultLine {
    fn new(fault: &Fault) -> FaultLine {
        let Fault { actor, cause, action, recorded_at, .. } = fault.clone();
        FaultLine { at: recorded_at, actor, cause, action }
    }
}

/// Everything that keeps a session from being called clean.
fn problems(rows: &Rows) -> Vec<String> {
    if rows.imported.is_some() {
        return vec!["it is history from an old database, which this engine cannot judge".to_string()];
    }
    let mut found = Vec::new();
    match (rows.session.ended_at, rows.session.ended_at_source) {
        (Some(_), Some(EndedAtSource::Clean)) => {}
        (Some(_), source) => {
            let source = source.map_or("unknown", EndedAtSource::as_str);
            found.push(format!("ended_at was not written by the stop sequence; its source is {source}"));
        }
        (None, _) => found.push(
            "the session is open, ended_at is not written; if no engine runs (`neo status`), the next start closes it"
                .to_string(),
        ),
    }
    for row in &rows.stages {
        if !is_done(row) {
            let error = row.error.as_deref().unwrap_or("no reason is recorded");
            found.push(format!("stop stage {} {}: {error}", row.stage, row.outcome));
        }
    }
    // Recorded in the commit that writes `ended_at`, whatever their outcome: a clean end without them is none.
    let must = [Stage::Quiesce, Stage::Settle, Stage::Cancel, Stage::Value, Stage::Flush];
    if rows.session.ended_at_source == Some(EndedAtSource::Clean) {
        let missing = must.into_iter().filter(|stage| rows.stages.iter().all(|row| row.stage != *stage));
        found.extend(missing.map(|stage| format!("the outcome of stop stage {stage} is not recorded")));
    }
    match &rows.books {
        Ok(books) if books.adds_up() => {}
        Ok(books) => found.push(format!(
            "fills and flows do not explain the balances: {} XRP and {} RLUSD are left over, in {} unexplained changes",
            books.difference_xrp, books.difference_rlusd, books.unexplained_count
        )),
        Err(reason) => found.push(format!("the books cannot be checked: {reason}")),
    }
    found
}

/// Why the starting value is unknown; `None` when it is not.
fn starting_value_reason(rows: &Rows) -> Option<String> {
    if rows.imported.is_some() {
        return rows.session.starting_value_rlusd.is_none().then(|| "the old record does not have it".to_string());
    }
    let unknown = rows.session.starting_value_rlusd.is_none();
    let reason = || rows.valuations.first().map_or("no validated ledger was seen", |first| first.mark_source.as_str());
    unknown.then(|| reason().to_string())
}

fn side_fills(side: Side, rows: &Rows) -> Result<SideFills, AmountError> {
    let orders: BTreeMap<u32, &Order> = rows.orders.iter().map(|order| (order.offer_sequence, order)).collect();
    let quoted = rows.fills.iter().map(|fill| {
        // An offer of an earlier session has no row here: its fill counts, its quoted distance is not known.
        let order = orders.get(&fill.offer_sequence);
        let price = order.map_or(fill.price, |order| order.price);
        FillPoint { side: fill.side, price, mid: order.and_then(|order| order.mid_price), size: fill.xrp }
    });
    let captured = rows.fills.iter().map(|fill| FillPoint {
        side: fill.side,
        price: fill.price,
        mid: fill.mid_price,
        size: fill.xrp,
    });
    let stats = SpreadStats::new(side, quoted, captured)?;
    let of_side = rows.fills.iter().filter(|fill| fill.side == side);
    let volume_rlusd = of_side.map(|fill| fill.rlusd).try_fold(Dec::zero(), Dec::add)?;
    Ok(SideFills { stats, volume_rlusd })
}

fn inventory(valuations: &[ValuationSnapshot]) -> Option<Inventory> {
    let xrp: Vec<Drops> = valuations.iter().map(|snapshot| snapshot.xrp).collect();
    let rlusd: Vec<Dec> = valuations.iter().map(|snapshot| snapshot.rlusd).collect();
    let (xrp_drops, rlusd) = (Span::of(&xrp)?, Span::of(&rlusd)?);
    let xrp_sparkline = text::sparkline(&xrp);
    Some(Inventory { xrp_drops, rlusd, snapshots: valuations.len(), xrp_sparkline })
}

impl<T: Copy + Ord> Span<T> {
    fn of(path: &[T]) -> Option<Span<T>> {
        let (start, end) = (*path.first()?, *path.last()?);
        Some(Span { start, min: *path.iter().min()?, max: *path.iter().max()?, end })
    }
}

fn flow_sums(flows: &[Flow]) -> Result<Vec<FlowSum>, AmountError> {
    let mut sums: Vec<FlowSum> = Vec::new();
    for cause in [FlowCause::Fee, FlowCause::Deposit, FlowCause::Withdrawal, FlowCause::Unexplained] {
        let mut sum = FlowSum { cause, count: 0, xrp_drops: Drops::ZERO, rlusd: Dec::zero() };
        for flow in flows.iter().filter(|flow| flow.cause == cause) {
            sum.count += 1;
            sum.xrp_drops = sum.xrp_drops.add(flow.xrp)?;
            sum.rlusd = sum.rlusd.add(flow.rlusd)?;
        }
        if sum.count > 0 {
            sums.push(sum);
        }
    }
    Ok(sums)
}

fn checkpoints(rows: &[Checkpoint]) -> Checkpoints {
    Checkpoints {
        count: rows.len(),
        busy: rows.iter().filter(|row| row.busy).count(),
        worst_pause_us: rows.iter().map(|row| row.pause_us).max().unwrap_or(0),
        wal_bytes_max: rows.iter().map(|row| row.wal_bytes).max().unwrap_or(0),
    }
}

/// The stored detail as JSON; text that is none is shown as it is.
fn detail(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
}

/// The offsets of a stored configuration, read leniently: an older engine's has other keys beside them.
fn offsets(config: &str) -> Option<Offsets> {
    let Ok(config) = config.parse::<toml::Table>() else { return None };
    let (bid_offset_bps, ask_offset_bps) = crate::offsets::fixed(config.get("quote")?)?;
    Some(Offsets { bid_offset_bps, ask_offset_bps })
}
