//! Runs of one configuration, over its seeds, as a row; rows as text, CSV and JSON.

use neo_market::model::statistics::Mean;
use neo_market::model::{to_amount, to_float};
use neo_market::{AmountError, Dec, Rounding};
use serde::Serialize;

use super::grid::{Variant, short};
use super::outcome::Outcome;
use crate::output::table;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// A configuration and what it came to. Where it was run with several seeds the figures are means, but for the worst
/// drawdown and the largest inventory, which are those of the worst run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its values of the grid.
    pub settings: Vec<(String, String)>,
    /// True for the one with the best result.
    pub best: bool,
    /// Runs: one a seed.
    pub runs: usize,
    /// Fills of a run.
    pub fills: Dec,
    /// Fills that took, of all runs: none was asked for.
    pub taker_fills: u64,
    /// XRP filled.
    pub volume_xrp: Dec,
    /// The result after fees against holding, in RLUSD.
    pub result_rlusd: Option<Dec>,
    /// Its standard deviation over the seeds.
    pub result_deviation_rlusd: Option<Dec>,
    /// The result for a day of the ledger's time.
    pub result_rlusd_per_day: Option<Dec>,
    /// The change of the whole value, in RLUSD.
    pub value_change_rlusd: Option<Dec>,
    /// The worst drawdown of the result, in RLUSD.
    pub worst_drawdown_rlusd: Option<Dec>,
    /// The largest inventory, in XRP away from the start.
    pub largest_inventory_xrp: Dec,
    /// The mean inventory, in XRP away from the start.
    pub mean_inventory_xrp: Dec,
    /// Gain of fills against the middle five ledgers later, in basis points.
    pub mark_out_bps: Option<Dec>,
    /// Signed transactions of a run.
    pub transactions: Dec,
    /// Each run with its seed.
    pub outcomes: Vec<SeedOutcome>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedOutcome {
    /// Its seed.
    pub seed: u64,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Row {
    /// The row of a configuration's runs.
    ///
    /// # Errors
    /// Amounts that do not add up.
    pub fn new(settings: Variant, outcomes: Vec<SeedOutcome>) -> Result<Row, AmountError> {
        let all: Vec<&Outcome> = outcomes.iter().map(|one| &one.outcome).collect();
        let known = |of: fn(&Outcome) -> Option<Dec>| all.iter().filter_map(|one| of(one)).collect::<Vec<_>>();
        let count = |of: fn(&Outcome) -> u64| all.iter().map(|one| amount(of(one))).collect::<Vec<_>>();
        let each = |of: fn(&Outcome) -> Dec| all.iter().map(|one| of(one)).collect::<Vec<_>>();
        let results = known(|one| one.result_rlusd);
        let result_rlusd = mean(&results)?;
        let seconds = mean(&all.iter().map(|one| Dec::from_i64(one.seconds)).collect::<Vec<_>>())?;
        let result_rlusd_per_day = match (result_rlusd, seconds.filter(|seconds| seconds.is_positive())) {
            (Some(result), Some(seconds)) => {
                let day = result.mul(Dec::from_i64(DAY_S), Rounding::HalfEven)?.div(seconds, Rounding::HalfEven)?;
                Some(day.round_places(6, Rounding::HalfEven)?)
            }
            _ => None,
        };
        Ok(Row {
            settings,
            best: false,
            runs: all.len(),
            fills: mean(&count(|one| one.fills))?.unwrap_or_default(),
            taker_fills: all.iter().map(|one| one.taker_fills).sum(),
            volume_xrp: mean(&each(|one| one.volume_xrp))?.unwrap_or_default(),
            result_rlusd,
            result_deviation_rlusd: deviation(&results),
            result_rlusd_per_day,
            value_change_rlusd: mean(&known(|one| one.value_change_rlusd))?,
            worst_drawdown_rlusd: known(|one| one.drawdown_rlusd).into_iter().max(),
            largest_inventory_xrp: each(|one| one.largest_inventory_xrp).into_iter().max().unwrap_or_default(),
            mean_inventory_xrp: mean(&each(|one| one.mean_inventory_xrp))?.unwrap_or_default(),
            mark_out_bps: mean(&known(|one| one.mark_out_bps))?,
            transactions: mean(&count(|one| one.transactions))?.unwrap_or_default(),
            outcomes,
        })
    }

    /// The standard error of the mean result, where there are several seeds.
    pub(super) fn standard_error(&self) -> Option<f64> {
        let results: Vec<f64> = self.outcomes.iter().filter_map(|one| one.outcome.result_rlusd).map(to_float).collect();
        Mean::of(&results).map(|mean| mean.error)
    }
}

fn amount(count: u64) -> Dec {
    Dec::from_i64(i64::try_from(count).unwrap_or(i64::MAX))
}

fn mean(all: &[Dec]) -> Result<Option<Dec>, AmountError> {
    if all.is_empty() {
        return Ok(None);
    }
    let sum = all.iter().try_fold(Dec::zero(), |sum, one| sum.add(*one))?;
    sum.div(amount(all.len() as u64), Rounding::HalfEven)?.round_places(6, Rounding::HalfEven).map(Some)
}

/// The standard deviation; statistics are floats, and become a decimal of six places here.
fn deviation(all: &[Dec]) -> Option<Dec> {
    let floats: Vec<f64> = all.iter().copied().map(to_float).collect();
    let mean = Mean::of(&floats)?;
    // A float that is no number is no deviation.
    to_amount(mean.error * (floats.len() as f64).sqrt(), 6, Rounding::HalfEven).ok()
}

/// Puts the best result first and marks it.
pub fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| std::cmp::Reverse(row.result_rlusd));
    if let Some(first) = rows.first_mut() {
        first.best = first.result_rlusd.is_some();
    }
}

/// A figure's column: its name here and in CSV, and its text.
type Column = (&'static str, &'static str, i32, fn(&Row) -> Option<Dec>);

/// Names, places on the screen, and where each comes from.
const COLUMNS: [Column; 13] = [
    ("fills", "fills", 1, |row| Some(row.fills)),
    ("took", "taker_fills", 0, |row| Some(amount(row.taker_fills))),
    ("volume XRP", "volume_xrp", 1, |row| Some(row.volume_xrp)),
    ("result RLUSD", "result_rlusd", 4, |row| row.result_rlusd),
    ("deviation", "result_deviation_rlusd", 4, |row| row.result_deviation_rlusd),
    ("a day", "result_rlusd_per_day", 3, |row| row.result_rlusd_per_day),
    ("value change", "value_change_rlusd", 3, |row| row.value_change_rlusd),
    ("worst drawdown", "worst_drawdown_rlusd", 4, |row| row.worst_drawdown_rlusd),
    ("most inventory", "largest_inventory_xrp", 1, |row| Some(row.largest_inventory_xrp)),
    ("mean inventory", "mean_inventory_xrp", 1, |row| Some(row.mean_inventory_xrp)),
    ("mark-out bps", "mark_out_bps", 2, |row| row.mark_out_bps),
    ("signed", "transactions", 0, |row| Some(row.transactions)),
    ("runs", "runs", 0, |row| Some(amount(row.runs as u64))),
];

/// The rows as people read them.
#[must_use]
pub fn lines(rows: &[Row]) -> Vec<String> {
    let keys: Vec<&str> =
        rows.first().map_or_else(Vec::new, |row| row.settings.iter().map(|(key, _)| short(key)).collect());
    // One run a row has no deviation.
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, name, ..)| {
            rows.iter().any(|row| row.runs > 1) || !["result_deviation_rlusd", "runs"].contains(name)
        })
        .collect();
    let heading = std::iter::once(String::new())
        .chain(keys.iter().map(ToString::to_string))
        .chain(shown.iter().map(|(name, ..)| name.to_string()));
    let mut all = vec![heading.collect::<Vec<_>>()];
    for row in rows {
        let mark = if row.best { "*" } else { "" }.to_string();
        let values = row.settings.iter().map(|(_, value)| value.clone());
        let figures = shown.iter().map(|(_, _, places, of)| text(of(row), *places));
        all.push(std::iter::once(mark).chain(values).chain(figures).collect());
    }
    let right: Vec<usize> = (1..=keys.len() + shown.len()).collect();
    table(&all, &right)
}

fn text(value: Option<Dec>, places: i32) -> String {
    match value.map(|value| value.round_places(places, Rounding::HalfEven)) {
        Some(Ok(value)) => value.to_string(),
        Some(Err(_)) | None => "-".to_string(),
    }
}

/// The rows as CSV, to the last digit; what is not known is an empty field.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::new();
    let keys = rows.first().map_or_else(Vec::new, |row| row.settings.iter().map(|(key, _)| key.as_str()).collect());
    let names: Vec<&str> = keys.into_iter().chain(COLUMNS.iter().map(|(_, name, ..)| *name)).chain(["best"]).collect();
    text.push_str(&(names.join(",") + "\n"));
    for row in rows {
        let values = row.settings.iter().map(|(_, value)| quoted(value));
        let figures = COLUMNS.iter().map(|(_, _, _, of)| of(row).map_or_else(String::new, |value| value.to_string()));
        let fields: Vec<String> = values.chain(figures).chain([row.best.to_string()]).collect();
        text.push_str(&(fields.join(",") + "\n"));
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    fn row(offset: &str, results: &[&str]) -> Row {
        let outcome = |result: &&str| Outcome {
            fills: 3,
            result_rlusd: Some(d(result)),
            drawdown_rlusd: Some(d(result).abs()),
            largest_inventory_xrp: d(result).abs(),
            seconds: 43_200,
            ..Outcome::default()
        };
        let outcomes = results.iter().zip(1..).map(|(result, seed)| SeedOutcome { seed, outcome: outcome(result) });
        Row::new(vec![("quote.bid_offset_bps".to_string(), offset.to_string())], outcomes.collect()).unwrap()
    }

    #[test]
    fn seeds_are_averaged_and_the_worst_is_kept() {
        let row = row("5", &["1", "-3", "5"]);
        assert_eq!((row.result_rlusd, row.result_deviation_rlusd), (Some(d("1")), Some(d("4"))));
        assert_eq!((row.result_rlusd_per_day, row.worst_drawdown_rlusd), (Some(d("2")), Some(d("5"))));
        assert_eq!((row.largest_inventory_xrp, row.fills, row.runs), (d("5"), d("3"), 3));
        assert!((row.standard_error().unwrap() - 4.0 / 3.0_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_best_stands_first_and_is_marked() {
        let mut rows = [row("5", &["-1"]), row("10", &["2"]), row("20", &["1"])];
        sort(&mut rows);
        let shown = lines(&rows);
        assert!(shown[0].contains("bid_offset_bps") && !shown[0].contains("deviation"), "{shown:?}");
        assert!(shown[1].starts_with("*") && shown[1].contains("10") && !shown[2].starts_with('*'), "{shown:?}");
        let written = csv(&rows);
        assert!(written.starts_with("quote.bid_offset_bps,fills,") && written.lines().count() == 4, "{written}");
        assert!(written.lines().nth(1).unwrap().starts_with("10,3,0,0,2,,4,,2,2,0,,0,1,true"), "{written}");
    }
}
