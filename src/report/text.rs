//! The report as people read it.

use neo_market::{Dec, Drops};
use neo_store::old::ImportedSession;
use neo_store::record::StageOutcome;
use serde_json::{Map, Value};

use super::{Report, SideFills};
use crate::dashboard::signed;
use crate::output::{printable, table};
use crate::sessions::{duration, moment};

/// Columns of a sparkline.
const SPARKLINE: usize = 48;
/// From the least to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Report {
    /// The report, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if let Some(imported) = &self.imported {
            return self.history(imported);
        }
        let sections = [
            self.header(),
            self.end(),
            self.stages(),
            self.trading(),
            self.holdings(),
            self.result(),
            self.mark_outs(),
            self.books(),
            super::risk::lines(&self.refusals, &self.trips),
            self.running(),
            self.verdict(),
        ];
        let filled: Vec<_> = sections.into_iter().filter(|section| !section.is_empty()).collect();
        filled.join(&String::new())
    }

    /// What is known of a session from an old database.
    fn history(&self, imported: &ImportedSession) -> Vec<String> {
        let value = |value: Option<Dec>| value.map_or_else(|| "not known".to_string(), |value| value.to_string());
        let mut lines = vec![
            format!("{}  imported history", self.session),
            format!("from       {} (SHA-256 {})", printable(&imported.source_file), imported.source_sha256),
            format!("imported   {}Z", moment(imported.imported_at)),
            format!("started    {}Z", moment(self.started_at)),
        ];
        lines.push(match (self.ended_at, self.ended_at_source) {
            (Some(at), Some(source)) => format!("ended      {}Z ({source})", moment(at)),
            _ => "ended      not known".to_string(),
        });
        lines.push(format!("fills      {}, valuations {}", imported.fills, imported.valuations));
        let (start, end) = (value(self.starting_value_rlusd), value(self.ending_value_rlusd));
        lines.push(format!("value      {start} -> {end} RLUSD"));
        for (label, told) in [("not known", &imported.unknown), ("converted from REAL", &imported.converted)] {
            let nothing = told.as_array().is_some_and(Vec::is_empty) || told.as_object().is_some_and(Map::is_empty);
            if !nothing {
                lines.push(format!("{label}:"));
                lines.extend(details(told));
            }
        }
        lines.push(format!("result: not known, {}", super::HISTORY));
        lines.push(format!("verdict: {} is history; it is shown as the old record has it, not judged", self.session));
        lines
    }

    fn header(&self) -> Vec<String> {
        let account = printable(&self.account);
        let seed = self.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        let hash: String = self.config_hash.chars().take(12).collect();
        let mut lines = vec![
            format!("{}  {} on {}, account {account}", self.session, self.mode, printable(&self.network)),
            format!("neo {}, configuration {hash}{seed}", printable(&self.version)),
        ];
        lines.extend(self.resumed_from.map(|number| format!("took over from S{number}, which did not end as asked")));
        lines
    }

    fn end(&self) -> Vec<String> {
        let mut lines = vec![format!("started    {}Z", moment(self.started_at))];
        match (self.ended_at, self.ended_at_source) {
            (Some(at), Some(source)) => {
                let reason = self.end_reason.map_or("not known", |reason| reason.as_str());
                lines.push(format!("ended_at written: yes ({source}) at {}Z", moment(at)));
                let real = duration((at - self.started_at).num_seconds());
                lines.push(format!("ended by   {reason}, after {real}"));
            }
            _ => {
                lines.push("ended_at written: NO, the session is open".to_string());
                lines.push(format!("last seen  {}Z", moment(self.last_seen_at)));
            }
        }
        if let Some(detail) = &self.end_detail {
            lines.push("not done:".to_string());
            lines.extend(details(detail));
        }
        lines
    }

    fn stages(&self) -> Vec<String> {
        if self.stop_stages.is_empty() {
            return vec!["stop stages: none recorded".to_string()];
        }
        let heading = ["stop stage", "outcome", "ms", ""].map(str::to_string).to_vec();
        let rows = self.stop_stages.iter().map(|row| {
            let outcome = match row.outcome {
                StageOutcome::Done | StageOutcome::Skipped => row.outcome.to_string(),
                StageOutcome::Failed | StageOutcome::TimedOut => row.outcome.to_string().to_uppercase(),
            };
            let error = printable(row.error.as_deref().unwrap_or_default());
            vec![row.stage.to_string(), outcome, row.ms.to_string(), error]
        });
        table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[2])
    }

    fn trading(&self) -> Vec<String> {
        let heading = ["", "fills", "XRP", "RLUSD", "quoted half-spread", "captured"].map(str::to_string).to_vec();
        let rows: Vec<_> = std::iter::once(heading).chain(self.fills.iter().map(side)).collect();
        let mut lines = table(&rows, &[1, 2, 3, 4, 5]);
        lines.push(self.filled());
        lines
    }

    /// Whether the engine filled with the offsets it has: what a confirmation run is for.
    fn filled(&self) -> String {
        let count = |index: usize| self.fills.get(index).map_or(0, |side| side.stats.fills);
        let (bids, asks) = (count(0), count(1));
        let time = self.trading_s.map_or_else(|| "an unknown".to_string(), duration);
        let ledgers = self.ledgers();
        if let Some(fills) = bids.checked_add(asks).filter(|fills| *fills > 0) {
            let rate = ledgers.map_or_else(String::new, |ledgers| {
                let tenths = u64::from(ledgers) * 10 / fills;
                format!(" (one per {}.{} ledgers)", tenths / 10, tenths % 10)
            });
            return format!(
                "filled with the current offsets: yes, {bids} bids / {asks} asks in {time} trading time{rate}"
            );
        }
        let offsets = match &self.offsets {
            Some(offsets) => format!(
                "nobody took bids {} bps and asks {} bps from the middle",
                printable(&offsets.bid_offset_bps),
                printable(&offsets.ask_offset_bps)
            ),
            None => "the stored configuration has no fixed offsets".to_string(),
        };
        let ledgers = ledgers.map_or_else(String::new, |ledgers| format!(" ({ledgers} ledgers)"));
        format!("filled with the current offsets: no fills: {offsets} in {time} trading time{ledgers}")
    }

    fn holdings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(held) = &self.inventory {
            let (xrp, rlusd) = (&held.xrp_drops, &held.rlusd);
            let heading = ["inventory", "start", "min", "max", "end"].map(str::to_string).to_vec();
            let xrp = [xrp.start, xrp.min, xrp.max, xrp.end].map(|drops| format!("{drops:.6}"));
            let rlusd = [rlusd.start, rlusd.min, rlusd.max, rlusd.end].map(|amount| format!("{amount:.6}"));
            let row = |label: &str, cells: [String; 4]| std::iter::once(label.to_string()).chain(cells).collect();
            lines.extend(table(&[heading, row("XRP", xrp), row("RLUSD", rlusd)], &[1, 2, 3, 4]));
            lines.push(format!("XRP over time  {}  ({} snapshots)", held.xrp_sparkline, held.snapshots));
        }
        let known = |value: Option<Dec>| value.map_or_else(|| "not known".to_string(), |value| format!("{value:.6}"));
        let mut value =
            format!("value  {} -> {} RLUSD", known(self.starting_value_rlusd), known(self.ending_value_rlusd));
        value.push_str(&self.value_change_rlusd.map_or_else(String::new, |change| format!(" ({})", signed(change))));
        for (when, reason) in [("start", &self.starting_value_reason), ("end", &self.ending_value_reason)] {
            value.push_str(
                &reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!("; not known at the {when}: {}", printable(reason))),
            );
        }
        lines.push(value);
        lines
    }

    fn books(&self) -> Vec<String> {
        let heading = ["books", "rows", "XRP", "RLUSD"].map(str::to_string).to_vec();
        let mut rows = vec![heading];
        let fills: u64 = self.fills.iter().map(|side| side.stats.fills).sum();
        if let Some(books) = &self.reconciliation {
            rows.push(book("fills", fills.to_string(), books.fills_xrp, books.fills_rlusd));
        }
        for flow in &self.flows {
            rows.push(book(flow.cause.as_str(), flow.count.to_string(), flow.xrp_drops, flow.rlusd));
        }
        let Some(books) = &self.reconciliation else {
            let reason = self.reconciliation_reason.as_deref().unwrap_or("no reason is recorded");
            let mut lines = if rows.len() > 1 { table(&rows, &[1, 2, 3]) } else { Vec::new() };
            lines.push(format!("fills + flows = change of balances: not known, {}", printable(reason)));
            return lines;
        };
        rows.push(book("balances", String::new(), books.xrp_change_drops, books.rlusd_change));
        let mut lines = table(&rows, &[1, 2, 3]);
        if books.outside > 0 {
            let outside = books.outside;
            lines
                .push(format!("{outside} of these rows belong to ledgers before the first or after the last snapshot"));
        }
        lines.push(if books.adds_up() {
            "fills + flows = change of balances: yes, to the last drop and digit".to_string()
        } else {
            let (xrp, rlusd) = (books.difference_xrp, books.difference_rlusd);
            format!("fills + flows = change of balances: NO, {xrp} XRP and {rlusd} RLUSD are left over")
        });
        lines
    }

    fn running(&self) -> Vec<String> {
        let done = &self.checkpoints;
        let mut lines = vec![format!(
            "checkpoints  {} ({} blocked by a reader), worst pause {}.{:03} ms, largest WAL {} bytes",
            done.count,
            done.busy,
            done.worst_pause_us / 1_000,
            done.worst_pause_us % 1_000,
            done.wal_bytes_max
        )];
        if self.coalesced_rows > 0 {
            lines.push(format!("{} snapshots were left out under pressure", self.coalesced_rows));
        }
        lines.push(format!("faults       {}", self.fault_count));
        for fault in &self.faults {
            let [actor, cause, action] = [&fault.actor, &fault.cause, &fault.action].map(|text| printable(text));
            lines.push(format!("  {}Z {actor}: {cause} ({action})", moment(fault.at)));
        }
        lines
    }

    fn verdict(&self) -> Vec<String> {
        if self.clean {
            return vec![format!("verdict: {} was closed cleanly", self.session)];
        }
        let mut lines = vec![format!("verdict: {} was NOT closed cleanly", self.session)];
        lines.extend(self.problems.iter().map(|problem| format!("  {}", printable(problem))));
        lines
    }
}

fn side(side: &SideFills) -> Vec<String> {
    let bps = |bps: Option<Dec>| bps.map_or_else(|| "-".to_string(), |bps| format!("{bps:.2} bps"));
    let stats = &side.stats;
    vec![
        format!("{}s", stats.side.as_str()),
        stats.fills.to_string(),
        stats.volume.to_string(),
        format!("{:.6}", side.volume_rlusd),
        bps(stats.quoted_half_spread_bps),
        bps(stats.captured_half_spread_bps),
    ]
}

fn book(label: &str, count: String, xrp: Drops, rlusd: Dec) -> Vec<String> {
    vec![label.to_string(), count, xrp.to_string(), rlusd.to_string()]
}

fn details(detail: &Value) -> Vec<String> {
    match detail {
        Value::Object(parts) => {
            let told = parts.iter().filter(|(_, value)| !is_nothing(value));
            told.map(|(name, value)| format!("  {name}: {}", plain(value))).collect()
        }
        other => vec![format!("  {}", plain(other))],
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// A path as one row of bars, from its least to its most; one that never moves is a row of the lowest.
pub(super) fn sparkline(path: &[Drops]) -> String {
    let (Some(min), Some(max)) = (path.iter().min(), path.iter().max()) else { return String::new() };
    let (min, range) = (i128::from(min.get()), i128::from(max.get()) - i128::from(min.get()));
    let columns = path.len().min(SPARKLINE);
    let bar = |column: usize| {
        // The last snapshot of each of equal parts, so that the right end is the end.
        let index = ((column + 1) * path.len() / columns).saturating_sub(1);
        let above = path.get(index).map_or(0, |drops| i128::from(drops.get()) - min);
        let height = (above * 7).checked_div(range).unwrap_or(0);
        usize::try_from(height).map_or(None, |height| BARS.get(height)).copied().unwrap_or(' ')
    };
    (0..columns).map(bar).collect()
}
