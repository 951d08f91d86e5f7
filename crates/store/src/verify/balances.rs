//! The balances, derived again: between two snapshots, fills and flows must explain every drop and every digit.
//!
//! What counts is the ledger of a fill or flow, not the session that recorded it: what a killed engine missed, the
//! next one records from the ledger's history. The snapshots of all sessions are therefore one chain, from closing to
//! opening too, as far as the ledgers are wholly recorded. Where the ledger's numbers begin anew, the chain does.

use std::collections::BTreeMap;
use std::ops::Bound;

use neo_market::{AmountError, Balances, Dec, Drops, Side};
use rusqlite::{Connection, Row};

use super::repairs::Repairs;
use super::sessions::Session;
use super::{Check, Report, text, text_opt};
use crate::record::{FlowCause, SessionNumber, SnapshotKind};

/// A change of the balances.
#[derive(Clone, Copy, Debug)]
struct Change {
    xrp: Drops,
    rlusd: Dec,
}

impl Change {
    const fn new(xrp: Drops, rlusd: Dec) -> Change {
        Change { xrp, rlusd }
    }

    fn add(self, other: Change) -> Result<Change, AmountError> {
        Ok(Change::new(self.xrp.add(other.xrp)?, self.rlusd.add(other.rlusd)?))
    }

    fn sub(self, other: Change) -> Result<Change, AmountError> {
        Ok(Change::new(self.xrp.sub(other.xrp)?, self.rlusd.sub(other.rlusd)?))
    }

    fn is_none(self) -> bool {
        self.xrp == Drops::ZERO && self.rlusd.is_zero()
    }
}

/// A snapshot, as far as it is needed here.
#[derive(Clone, Debug)]
struct Snapshot {
    seq: i64,
    session: SessionNumber,
    kind: String,
    ledger_index: i64,
    balances: Change,
    total: Option<Dec>,
    mark: Option<Dec>,
}

/// One run of the ledger's numbers: its changes by ledger, and how far it is wholly recorded.
#[derive(Debug, Default)]
struct Era {
    changes: BTreeMap<i64, Change>,
    complete_to: Option<i64>,
}

/// Checks balances and values; gives how many snapshots were held against the one before.
pub(super) fn check(
    conn: &Connection,
    sessions: &[Session],
    repairs: &Repairs,
    report: &mut Report,
) -> rusqlite::Result<u64> {
    let snapshots = snapshots(conn, report)?;
    for snapshot in &snapshots {
        value_of(snapshot, report);
    }
    session_values(sessions, &snapshots, report);
    let era_of = eras_of(sessions, &snapshots, report);
    let mut eras: Vec<Era> = Vec::new();
    eras.resize_with(era_of.values().copied().max().map_or(1, |last| last.saturating_add(1)), Era::default);
    for session in sessions {
        if let Some(era) = era_of.get(&session.number).and_then(|era| eras.get_mut(*era)) {
            era.complete_to = era.complete_to.max(session.last_ledger_index);
        }
    }
    changes(conn, &era_of, &mut eras, report)?;
    let kept = snapshots
        .iter()
        .filter(|snapshot| sessions.iter().any(|session| session.number == snapshot.session && !session.is_history));
    let chain = Chain { sessions, era_of: &era_of, eras: &eras, repairs };
    Ok(walk(kept, &chain, report))
}

/// What the chain of snapshots is followed by.
#[derive(Clone, Copy)]
struct Chain<'a> {
    sessions: &'a [Session],
    era_of: &'a BTreeMap<SessionNumber, usize>,
    eras: &'a [Era],
    repairs: &'a Repairs,
}

/// Follows the chain. A difference is told once: the snapshot that differs is the base of the next comparison.
fn walk<'a>(snapshots: impl Iterator<Item = &'a Snapshot>, chain: &Chain<'_>, report: &mut Report) -> u64 {
    let Chain { sessions, era_of, eras, repairs } = *chain;
    let (mut before, mut checked): (Option<&Snapshot>, u64) = (None, 0);
    for snapshot in snapshots {
        let era_number = era_of.get(&snapshot.session);
        let Some(era) = era_number.and_then(|era| eras.get(*era)) else { continue };
        // Beyond it the dying engine had recorded one half of a ledger; the next session records the other.
        if era.complete_to.is_none_or(|complete_to| snapshot.ledger_index > complete_to) {
            continue;
        }
        if let Some(base) = before
            && era_of.get(&base.session) == era_number
            && joins_up(base.session, snapshot.session, sessions)
        {
            checked = checked.saturating_add(1);
            compare(base, snapshot, era, repairs, report);
        }
        before = Some(snapshot);
    }
    checked
}

/// A session takes up the ledgers where a session before it left off, if any had recorded a whole one.
fn joins_up(before: SessionNumber, this: SessionNumber, sessions: &[Session]) -> bool {
    before == this || sessions.iter().any(|session| session.number < this && session.last_ledger_index.is_some())
}

fn compare(base: &Snapshot, snapshot: &Snapshot, era: &Era, repairs: &Repairs, report: &mut Report) {
    let (from, to) = (base.ledger_index, snapshot.ledger_index);
    if to < from {
        let text =
            format!("snapshot {} of ledger {to} comes after one of ledger {from}; a row was changed", snapshot.seq);
        report.error(Check::Balances, Some(snapshot.session), text);
        return;
    }
    let mut between = era.changes.range((Bound::Excluded(from), Bound::Included(to)));
    let explained = between.try_fold(Change::new(Drops::ZERO, Dec::zero()), |sum, (_, change)| sum.add(*change));
    let changed = snapshot.balances.sub(base.balances);
    let difference = explained.and_then(|explained| Ok((explained, changed.clone()?.sub(explained)?)));
    match difference {
        Ok((_, difference)) if difference.is_none() => {}
        Ok((explained, difference)) => {
            if let Some((severity, repair)) = repairs.explains_ledgers(from, to) {
                let text = format!(
                    "after ledger {from} up to ledger {to} the balances changed by {} drops and {} RLUSD more than fills \
                     and flows explain: rows of these ledgers were lost to the damage that repair {repair} mended",
                    difference.xrp.get(),
                    difference.rlusd
                );
                report.add(Check::Balances, severity, Some(snapshot.session), text);
                return;
            }
            let text = format!(
                "after ledger {from} ({}) up to ledger {to}, fills and flows explain {} drops and {} RLUSD, and the \
                 balances changed by {} drops and {} RLUSD more than that; look for the transactions of these ledgers \
                 that have no row, or for a row that was changed",
                if base.session == snapshot.session {
                    "the snapshot before".to_string()
                } else {
                    format!("the last of S{}", base.session)
                },
                explained.xrp.get(),
                explained.rlusd,
                difference.xrp.get(),
                difference.rlusd
            );
            report.error(Check::Balances, Some(snapshot.session), text);
        }
        Err(error) => {
            let text = format!("the sums after ledger {from} up to {to}: {error}; look for an absurd amount there");
            report.error(Check::Balances, Some(snapshot.session), text);
        }
    }
}

/// To which run of the ledger's numbers each session belongs.
fn eras_of(sessions: &[Session], snapshots: &[Snapshot], report: &mut Report) -> BTreeMap<SessionNumber, usize> {
    let mut first: BTreeMap<SessionNumber, i64> = BTreeMap::new();
    let mut last: BTreeMap<SessionNumber, i64> = BTreeMap::new();
    for snapshot in snapshots {
        first.entry(snapshot.session).or_insert(snapshot.ledger_index);
        last.insert(snapshot.session, snapshot.ledger_index);
    }
    let (mut era, mut newest, mut era_of) = (0_usize, None, BTreeMap::new());
    let mut world = None;
    for session in sessions.iter().filter(|session| !session.is_history) {
        let number = session.number;
        if world.is_some_and(|world| world != session.era) {
            let text = format!(
                "S{number} traded on another ledger than the sessions before: the node had begun its world anew; balances \
                 are not compared across it"
            );
            report.note(Check::Balances, Some(number), text);
            (era, newest) = (era.saturating_add(1), None);
        }
        world = Some(session.era);
        if let (Some(first), Some(newest_before)) = (first.get(&number), newest)
            && *first < newest_before
        {
            let text = format!(
                "S{number} begins at ledger {first}, before ledger {newest_before} that was recorded already: another \
                 ledger, or one that lost its newest; balances are not compared across it"
            );
            report.warning(Check::Balances, Some(number), text);
            (era, newest) = (era.saturating_add(1), None);
        }
        newest = newest.max(last.get(&number).copied());
        era_of.insert(number, era);
    }
    era_of
}

fn snapshots(conn: &Connection, report: &mut Report) -> rusqlite::Result<Vec<Snapshot>> {
    let sql = "SELECT seq, session, kind, ledger_index, xrp_drops, rlusd, total_value_rlusd, mark_price
               FROM valuation_snapshots ORDER BY session, seq";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut snapshots = Vec::new();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let session: SessionNumber = row.get(1)?;
        let Some(rlusd) = decimal(row, 5, &format!("rlusd of snapshot {seq}"), session, report)? else { continue };
        snapshots.push(Snapshot {
            seq,
            session,
            kind: text(row, 2)?,
            ledger_index: row.get(3)?,
            balances: Change::new(Drops::new(row.get(4)?), rlusd),
            total: decimal(row, 6, &format!("total_value_rlusd of snapshot {seq}"), session, report)?,
            mark: decimal(row, 7, &format!("mark_price of snapshot {seq}"), session, report)?,
        });
    }
    Ok(snapshots)
}

/// Fills and flows by ledger. Unexplained flows explain nothing: the difference that they stand for is told.
fn changes(
    conn: &Connection,
    era_of: &BTreeMap<SessionNumber, usize>,
    eras: &mut [Era],
    report: &mut Report,
) -> rusqlite::Result<()> {
    let sql = "SELECT session, ledger_index, xrp_drops, rlusd, side, 'fill ' || seq FROM fills
               UNION ALL SELECT session, ledger_index, xrp_drops, rlusd, cause, 'flow ' || seq FROM flows";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let session: SessionNumber = row.get(0)?;
        let (ledger_index, word, name) = (row.get(1)?, text(row, 4)?, text(row, 5)?);
        let Some(era) = era_of.get(&session).and_then(|era| eras.get_mut(*era)) else { continue };
        if word == FlowCause::Unexplained.as_str() {
            let text =
                format!("{name}, at ledger {ledger_index}, is a change that no transaction explained; look it up");
            report.error(Check::Balances, Some(session), text);
            continue;
        }
        let Some(rlusd) = decimal(row, 3, &format!("rlusd of {name}"), session, report)? else { continue };
        let change = Change::new(Drops::new(row.get(2)?), rlusd);
        let signed = if word == Side::Bid.as_str() {
            Ok(Change::new(change.xrp, change.rlusd.neg()))
        } else if word == Side::Ask.as_str() {
            Drops::ZERO.sub(change.xrp).map(|xrp| Change::new(xrp, change.rlusd))
        } else {
            Ok(change)
        };
        let sum = era.changes.entry(ledger_index).or_insert(Change::new(Drops::ZERO, Dec::zero()));
        match signed.and_then(|signed| sum.add(signed)) {
            Ok(total) => *sum = total,
            Err(error) => {
                report.error(Check::Balances, Some(session), format!("{name}: {error}; its amount is absurd"))
            }
        }
    }
    Ok(())
}

/// RLUSD plus XRP at the price of the snapshot, calculated again.
fn value_of(snapshot: &Snapshot, report: &mut Report) {
    let Change { xrp, rlusd } = snapshot.balances;
    let again = neo_market::value(&Balances { xrp, rlusd, reserve: Drops::ZERO }, snapshot.mark);
    let told = match again {
        Ok(again) if again == snapshot.total => return,
        Ok(again) => again.map_or_else(|| "unknown, without a price".to_string(), |again| again.to_string()),
        Err(error) => error.to_string(),
    };
    let stored = snapshot.total.map_or_else(|| "unknown".to_string(), |total| total.to_string());
    let text = format!(
        "snapshot {} says that the total is {stored}; from its balances and price it is {told}: a column was changed",
        snapshot.seq
    );
    report.error(Check::Values, Some(snapshot.session), text);
}

/// What a session says of its value is what its snapshots say.
fn session_values(sessions: &[Session], snapshots: &[Snapshot], report: &mut Report) {
    let of_kind = |kind: SnapshotKind, session: SessionNumber| {
        snapshots.iter().filter(move |row| row.session == session && row.kind == kind.as_str())
    };
    for session in sessions.iter().filter(|session| !session.is_history) {
        let number = session.number;
        let opening = of_kind(SnapshotKind::Opening, number).next();
        let closing = of_kind(SnapshotKind::Closing, number).next_back();
        let ending = if session.is_clean { closing } else { None };
        let pairs = [("starting", &session.starting_value, opening), ("ending", &session.ending_value, ending)];
        for (what, stored, snapshot) in pairs {
            let Some(snapshot) = snapshot else { continue };
            let total = snapshot.total.map(|total| total.to_string());
            if *stored != total {
                let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_string());
                let text = format!(
                    "the {what} value of S{number} is {}, and its snapshot {} says {}; one of them was changed",
                    word(stored),
                    snapshot.seq,
                    word(&total)
                );
                report.error(Check::Values, Some(number), text);
            }
        }
    }
}

/// A decimal; one that cannot be read is told and taken for unknown.
fn decimal(
    row: &Row<'_>,
    column: usize,
    name: &str,
    session: SessionNumber,
    report: &mut Report,
) -> rusqlite::Result<Option<Dec>> {
    let Some(value) = text_opt(row, column)? else { return Ok(None) };
    if let Ok(value) = value.parse() {
        return Ok(Some(value));
    }
    let value: String = value.chars().take(80).collect();
    report.error(
        Check::Values,
        Some(session),
        format!("{name} is {value:?}, which is no decimal; the row was changed"),
    );
    Ok(None)
}
