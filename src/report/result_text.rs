//! A result as people read it: a column of figures that visibly adds up.

use neo_market::Dec;
use neo_market::result::mark_out::MarkOutStats;

use super::Report;
use super::result::{GainsOf, SessionResult};
use crate::output::{printable, table};

impl Report {
    /// The result by its parts, by the two methods of cost, and beside holding.
    pub(super) fn result(&self) -> Vec<String> {
        let Some(result) = &self.result else {
            let reason = self.result_reason.as_deref().unwrap_or("no reason is recorded");
            return vec![format!("result: not known, {}", printable(reason))];
        };
        let mut lines = column(result);
        lines.push(verdict(result));
        let methods = [("realised (FIFO)", &result.fifo), ("realised (average cost)", &result.average_cost)];
        lines.extend(methods.into_iter().map(|(name, gains)| gained(name, gains)));
        if let (Some(held), Some(more)) = (result.holding_value_rlusd, result.versus_holding_rlusd) {
            lines.push(format!("versus holding  {} RLUSD, where holding would have ended at {held}", plus(more)));
        }
        let unknown = result.unknown.iter();
        lines.extend(unknown.map(|(name, why)| format!("{name} is not known: {}", printable(why))));
        lines
    }

    /// Where the price went after the fills.
    pub(super) fn mark_outs(&self) -> Vec<String> {
        if self.mark_outs.iter().all(|stats| stats.fills + stats.unknown == 0) {
            return Vec::new();
        }
        mark_out_table(&self.mark_outs, &self.mark_outs_unknown)
    }
}

/// Mark-outs by ledgers and side, and why some are not known.
pub(super) fn mark_out_table(stats: &[MarkOutStats], unknown: &std::collections::BTreeMap<String, u64>) -> Vec<String> {
    let heading = ["mark-outs after", "", "fills", "not known", "mean", "by volume", "RLUSD"];
    let mut rows = vec![heading.map(str::to_string).to_vec()];
    let bps = |bps: Option<Dec>| bps.map_or_else(|| "-".to_string(), |bps| format!("{bps:.2} bps"));
    for of in stats {
        let ledgers = if of.ledgers == 1 { "1 ledger".to_string() } else { format!("{} ledgers", of.ledgers) };
        let gain = of.gain_rlusd.map_or_else(|| "-".to_string(), |gain| format!("{gain:.6}"));
        let (side, fills, unknown) = (format!("{}s", of.side.as_str()), of.fills.to_string(), of.unknown.to_string());
        rows.push(vec![ledgers, side, fills, unknown, bps(of.mean_bps), bps(of.weighted_bps), gain]);
    }
    let mut lines = table(&rows, &[2, 3, 4, 5, 6]);
    lines.extend(unknown.iter().map(|(why, count)| format!("  {count} not known: {}", printable(why))));
    lines
}

fn column(result: &SessionResult) -> Vec<String> {
    let parts = &result.parts;
    let mut figures = vec![
        ("starting value", parts.starting_value_rlusd, false),
        ("spread", parts.spread_rlusd, true),
        ("inventory", parts.inventory_rlusd, true),
        ("fees", parts.fees_rlusd, true),
        ("flows", parts.flows_rlusd, true),
    ];
    if parts.unexplained_rlusd.is_none_or(|unexplained| !unexplained.is_zero()) {
        figures.push(("unexplained", parts.unexplained_rlusd, true));
    }
    figures.push(("ending value", parts.ending_value_rlusd, false));
    let places = figures.iter().filter_map(|(_, figure, _)| *figure).map(places).max().unwrap_or(0);
    let shown = |figure: Option<Dec>, signed: bool| match figure {
        Some(figure) if signed && !figure.is_negative() => format!("+{figure:.places$}"),
        Some(figure) => format!("{figure:.places$}"),
        None => "not known".to_string(),
    };
    let (from, to) = (result.opening_ledger_index, result.closing_ledger_index);
    let mut rows = vec![vec!["result".to_string(), "RLUSD".to_string(), format!("ledgers {from} to {to}")]];
    rows.extend(figures.into_iter().map(|(name, figure, signed)| vec![name.to_string(), shown(figure, signed)]));
    table(&rows, &[1])
}

/// Decimal places that a figure has.
pub(super) fn places(figure: Dec) -> usize {
    figure.to_string().split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn verdict(result: &SessionResult) -> String {
    match result.parts.difference_rlusd {
        Some(difference) if difference.is_zero() => "it adds up: yes, to the last digit".to_string(),
        Some(difference) => format!("it adds up: NO, {difference} RLUSD are left over; see `neo verify`"),
        None => "it adds up: not known".to_string(),
    }
}

fn gained(name: &str, gains: &GainsOf) -> String {
    match (gains.realised_rlusd, gains.unrealised_rlusd) {
        (Some(realised), Some(unrealised)) => {
            format!("{name:<24}{} and unrealised {}", plus(realised), plus(unrealised))
        }
        _ => format!("{name:<24}not known"),
    }
}

fn plus(figure: Dec) -> String {
    if figure.is_negative() { figure.to_string() } else { format!("+{figure}") }
}
