//! `neo report S30..S38`: the results of several sessions, one a line, and their sums.

use std::collections::BTreeMap;

use neo_market::result::mark_out::MarkOutStats;
use neo_market::{AmountError, Dec};
use neo_store::record::{Fill, MarkOut};
use neo_store::{Reader, SessionMoves, SessionRow, StoreError};
use serde::Serialize;

use super::result::{Parts, SessionResult, mark_outs};
use super::result_text::{mark_out_table, places};
use crate::output::table;

/// Several sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RangeReport {
    /// Each session, the oldest first.
    pub sessions: Vec<RangeLine>,
    /// Their sums: from the first starting value to the last ending value. `difference_rlusd` is what the ending value is
    /// more than the starting value, the parts, and `between_sessions_rlusd`.
    pub total: Parts,
    /// By how much the value changed from the end of a session to the start of the next.
    pub between_sessions_rlusd: Option<Dec>,
    /// Why what is null in the sums is not known: the first session that does not know it.
    pub unknown: BTreeMap<&'static str, String>,
    /// Where the price went after the fills of all of them.
    pub mark_outs: Vec<MarkOutStats>,
    /// Why some of that is not known, each reason with how many.
    pub mark_outs_unknown: BTreeMap<String, u64>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RangeLine {
    /// `S39`.
    pub session: String,
    /// Its result.
    pub result: Option<SessionResult>,
    /// Why there is none.
    pub result_reason: Option<String>,
}

/// What several sessions recorded.
#[derive(Clone, Debug, Default)]
pub struct RangeRows {
    /// Each session with what its result is made of, or why that is not known.
    pub sessions: Vec<(i64, Result<SessionMoves, String>)>,
    /// The fills of all of them.
    pub fills: Vec<Fill>,
    /// Where the price was after them.
    pub mark_outs: Vec<MarkOut>,
}

/// Reads sessions.
///
/// # Errors
/// [`StoreError`].
pub fn read(reader: &Reader, wanted: &[SessionRow]) -> Result<RangeRows, StoreError> {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(RangeRows::default()) };
    let mut moves = reader.moves(first.number, last.number)?;
    let mut rows = RangeRows::default();
    for row in wanted {
        let history = || Err(super::HISTORY.to_string());
        rows.sessions.push((row.number, moves.remove(&row.number).unwrap_or_else(history)));
        rows.fills.extend(reader.fills(row.number)?.into_iter().map(|fill| fill.record));
        rows.mark_outs.extend(reader.mark_outs(row.number)?);
    }
    Ok(rows)
}

impl RangeReport {
    /// The report of what sessions recorded.
    ///
    /// # Errors
    /// [`AmountError`] when recorded amounts are too absurd to be summed.
    pub fn new(rows: &RangeRows) -> Result<RangeReport, AmountError> {
        let mut sessions = Vec::new();
        for (number, moves) in &rows.sessions {
            let (result, result_reason) = match moves {
                Ok(moves) => (Some(SessionResult::of(moves)?), None),
                Err(reason) => (None, Some(reason.clone())),
            };
            sessions.push(RangeLine { session: format!("S{number}"), result, result_reason });
        }
        let (mark_outs, mark_outs_unknown) = mark_outs(&rows.fills, &rows.mark_outs)?;
        let (total, between_sessions_rlusd, unknown) = total(&sessions)?;
        Ok(RangeReport { sessions, total, between_sessions_rlusd, unknown, mark_outs, mark_outs_unknown })
    }

    /// The report, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let heading = ["", "between", "start", "spread", "inventory", "fees", "flows", "unexplained", "end"];
        let mut rows = vec![heading.map(str::to_string).to_vec()];
        let mut before: Option<&Parts> = None;
        let mut notes = Vec::new();
        for line in &self.sessions {
            let Some(result) = &line.result else {
                rows.push(vec![line.session.clone(), "-".to_string()]);
                notes.push(format!("{}: {}", line.session, line.result_reason.as_deref().unwrap_or("not known")));
                continue;
            };
            let between = before.map(|before| between(before, &result.parts)).transpose();
            if let Err(error) = &between {
                notes.push(format!("{}: the change since the session before is not known: {error}", line.session));
            }
            rows.push(self.row(&line.session, between.ok().flatten().flatten(), &result.parts));
            notes.extend(
                result.unknown.iter().map(|(name, why)| format!("{}: {name} is not known: {why}", line.session)),
            );
            before = Some(&result.parts);
        }
        rows.push(self.row("sum", self.between_sessions_rlusd, &self.total));
        let mut lines = table(&rows, &[1, 2, 3, 4, 5, 6, 7, 8]);
        lines.push(match self.total.difference_rlusd {
            Some(difference) if difference.is_zero() => "it adds up: yes, to the last digit".to_string(),
            Some(difference) => format!("it adds up: NO, {difference} RLUSD are left over; see `neo verify`"),
            None => "it adds up: not known".to_string(),
        });
        lines.extend(notes.iter().map(|note| crate::output::printable(note)));
        lines.extend(self.unknown.iter().map(|(name, why)| format!("sum: {name} is not known: {why}")));
        lines.push(String::new());
        lines.extend(mark_out_table(&self.mark_outs, &self.mark_outs_unknown));
        lines
    }

    fn row(&self, name: &str, between: Option<Dec>, parts: &Parts) -> Vec<String> {
        let all = |parts: &Parts| {
            [
                parts.starting_value_rlusd,
                parts.spread_rlusd,
                parts.inventory_rlusd,
                parts.fees_rlusd,
                parts.flows_rlusd,
                parts.unexplained_rlusd,
                parts.ending_value_rlusd,
            ]
        };
        // The sums have all the places that their parts have.
        let of_sessions = self.sessions.iter().filter_map(|line| line.result.as_ref()).flat_map(|one| all(&one.parts));
        let places = of_sessions.flatten().map(places).max().unwrap_or(0);
        let shown = |figure: Option<Dec>| figure.map_or_else(|| "-".to_string(), |figure| format!("{figure:.places$}"));
        let cells = all(parts).map(shown);
        [name.to_string(), shown(between)].into_iter().chain(cells).collect()
    }
}

/// By how much the value changed between two sessions.
fn between(before: &Parts, after: &Parts) -> Result<Option<Dec>, AmountError> {
    let (Some(end), Some(start)) = (before.ending_value_rlusd, after.starting_value_rlusd) else { return Ok(None) };
    start.sub_exact(end).map(Some)
}

type Total = (Parts, Option<Dec>, BTreeMap<&'static str, String>);

/// The sums over the sessions that have a result.
fn total(sessions: &[RangeLine]) -> Result<Total, AmountError> {
    let with: Vec<_> =
        sessions.iter().filter_map(|line| line.result.as_ref().map(|result| (line, result.parts))).collect();
    let mut unknown = BTreeMap::new();
    let mut sum = |name: &'static str, of: fn(&Parts) -> Option<Dec>| {
        let mut sum = Dec::zero();
        for (line, parts) in &with {
            let Some(part) = of(parts) else {
                unknown.insert(name, format!("{} does not know it", line.session));
                return Ok(None);
            };
            sum = sum.add_exact(part)?;
        }
        Ok::<_, AmountError>(Some(sum))
    };
    let mut total = Parts {
        starting_value_rlusd: with.first().and_then(|(_, parts)| parts.starting_value_rlusd),
        spread_rlusd: sum("spread_rlusd", |parts| parts.spread_rlusd)?,
        inventory_rlusd: sum("inventory_rlusd", |parts| parts.inventory_rlusd)?,
        fees_rlusd: sum("fees_rlusd", |parts| parts.fees_rlusd)?,
        flows_rlusd: sum("flows_rlusd", |parts| parts.flows_rlusd)?,
        unexplained_rlusd: sum("unexplained_rlusd", |parts| parts.unexplained_rlusd)?,
        ending_value_rlusd: with.last().and_then(|(_, parts)| parts.ending_value_rlusd),
        difference_rlusd: None,
    };
    let mut changed = Some(Dec::zero());
    for pair in with.windows(2) {
        let ([(_, before), (_, after)], Some(sum)) = (pair, changed) else { continue };
        changed = between(before, after)?.map(|change| sum.add_exact(change)).transpose()?;
    }
    total.difference_rlusd = left_over(&total, changed)?;
    Ok((total, changed, unknown))
}

fn left_over(total: &Parts, between: Option<Dec>) -> Result<Option<Dec>, AmountError> {
    let parts = [
        total.starting_value_rlusd,
        total.spread_rlusd,
        total.inventory_rlusd,
        total.fees_rlusd,
        total.flows_rlusd,
        total.unexplained_rlusd,
        between,
    ];
    let (Some(mut left), true) = (total.ending_value_rlusd, parts.iter().all(Option::is_some)) else { return Ok(None) };
    for part in parts.into_iter().flatten() {
        left = left.sub_exact(part)?;
    }
    Ok(Some(left))
}
