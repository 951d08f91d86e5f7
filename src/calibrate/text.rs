//! The study as people read it.

use neo_market::{Dec, Rounding};

use super::current::{CurrentLine, together};
use super::study::{BucketLine, Figure, MarkOutLine, RecordingLine, SessionLine, SideStudy, Study};
use crate::output::table;

/// The study, line by line.
pub(super) fn lines(study: &Study) -> Vec<String> {
    let sections = [
        study.recording.as_ref().map_or_else(|| sessions(&study.sessions), recording),
        study.recording.as_ref().map_or_else(Vec::new, current),
        vec![format!("distances are measured from {}", study.measured_from)],
        by_distance(&study.fills_by_distance),
        mark_outs(&study.mark_outs),
        laws(&study.sides),
        profits(study),
        verdict(study),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join(&String::new())
}

/// A figure to `places`; a dash where it is not known.
fn plain(value: Option<Dec>, places: i32) -> String {
    match value.map(|value| value.round_places(places, Rounding::HalfEven)) {
        Some(Ok(value)) => value.to_string(),
        Some(Err(_)) | None => "-".to_string(),
    }
}

/// `12.3 (10.1 to 14.5)`.
fn with_interval(figure: &Figure, places: i32) -> String {
    format!("{} ({} to {})", plain(figure.value, places), plain(figure.low, places), plain(figure.high, places))
}

/// A chance in percent.
fn percent(chance: Option<Dec>) -> String {
    let hundred = chance.map(|chance| chance.mul(Dec::from_i64(100), Rounding::HalfEven));
    match hundred.map(|value| value.and_then(|value| value.round_digits(3, Rounding::HalfEven))) {
        Some(Ok(value)) if !value.is_zero() && value < tiny() => "under 0.01 %".to_string(),
        Some(Ok(value)) => format!("{value} %"),
        Some(Err(_)) | None => "-".to_string(),
    }
}

/// A chance that is none of nothing at all, however small.
fn chance(chance: Option<Dec>) -> String {
    if chance.is_some_and(|chance| chance.is_zero()) { "under 0.01 %".to_string() } else { percent(chance) }
}

fn tiny() -> Dec {
    Dec::from_parts(1, -2).unwrap_or_default()
}

fn range(from: Option<Dec>, to: Option<Dec>) -> String {
    match (from, to) {
        (None, Some(to)) => format!("below {to}"),
        (Some(from), None) => format!("{from} and more"),
        (from, to) => format!("{} to {}", plain(from, 1), plain(to, 1)),
    }
}

fn headed(heading: &[&str], rows: impl Iterator<Item = Vec<String>>, right: &[usize]) -> Vec<String> {
    let heading = heading.iter().map(ToString::to_string).collect();
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), right)
}

fn recording(line: &RecordingLine) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{}: {} ledgers with a price, {} h; in {} of their sides something was traded",
            line.file,
            line.ledgers,
            plain(line.hours, 2),
            line.traded
        ),
        format!(
            "an offer counts as filled where a trade reached its distance; the law is that of trades beyond {} bps, half of the \
             usual spread",
            plain(line.floor_bps, 2)
        ),
    ];
    for (why, count) in &line.without_price {
        lines.push(format!("{count} ledgers more had no price that could be trusted: {why}"));
    }
    lines
}

/// What the current offsets would have met in a recording.
fn current(line: &RecordingLine) -> Vec<String> {
    if let Some(why) = &line.no_current {
        return vec![format!("the current offsets cannot be held against the recording: {why}")];
    }
    let heading = ["", "offset", "hours", "transactions", "filled", "XRP", "expected", "none at all", "none in 30 min"];
    let row = |one: &CurrentLine| {
        vec![
            format!("{} {}", one.side, one.level),
            plain(Some(one.offset_bps), 2),
            plain(one.hours, 2),
            one.transactions.to_string(),
            with_interval(&one.fills_between, 1),
            plain(one.filled_xrp, 1),
            one.expected_between.as_ref().map_or_else(|| "-".to_string(), |figure| with_interval(figure, 1)),
            chance(one.chance_of_none),
            chance(one.chance_of_none_in_half_an_hour),
        ]
    };
    let mut lines =
        vec!["What offers at the current offsets, moved as the engine moves them, would have met:".to_string()];
    lines.extend(headed(&heading, line.current.iter().map(row), &[1, 2, 3, 5, 7, 8]));
    let all = together(&line.current);
    let known = match (all.expected, all.none) {
        (Some(expected), Some(none)) => format!(
            "; the law expects {}, and none at all with a chance of {} (in half an hour {})",
            plain(Some(expected), 1),
            chance(Some(none)),
            chance(all.none_in_half_an_hour)
        ),
        _ => String::new(),
    };
    let (low, high) = (plain(all.between.low, 1), plain(all.between.high, 1));
    lines.push(format!(
        "with the current offsets this market would have filled you {} times ({low} to {high}){known}",
        all.fills
    ));
    lines
}

fn sessions(sessions: &[SessionLine]) -> Vec<String> {
    if sessions.is_empty() {
        return vec!["no session yet; start one with `neo run`".to_string()];
    }
    let heading = [
        "",
        "filled",
        "fills",
        "hours",
        "fills an hour",
        "counted",
        "expected",
        "so few or fewer",
        "so many or more",
        "none at all",
    ];
    let rows = sessions.iter().map(|line| {
        let expected = match (&line.expected_between, line.law_of_others) {
            (Some(expected), Some(true)) => with_interval(expected, 1),
            // The session is itself among what the law was fitted to.
            (Some(expected), _) => format!("{}*", with_interval(expected, 1)),
            (None, _) => "-".to_string(),
        };
        vec![
            line.session.clone(),
            if line.filled { "yes" } else { "NO" }.to_string(),
            line.fills.to_string(),
            plain(line.hours, 2),
            line.fills_per_hour.as_ref().map_or_else(|| "-".to_string(), |figure| with_interval(figure, 1)),
            line.placed_fills.map_or_else(|| "-".to_string(), |fills| fills.to_string()),
            expected,
            chance(line.chance_of_so_few),
            chance(line.chance_of_so_many),
            chance(line.chance_of_none),
        ]
    });
    let mut lines = vec!["Filled or not, and what the law of the other sessions expected:".to_string()];
    lines.extend(headed(&heading, rows, &[2, 3, 5, 6, 7, 8, 9]));
    if sessions.iter().any(|line| line.placed_fills.is_some_and(|counted| counted != line.fills)) {
        let once =
            "counted: an offer filled more than once in a ledger counts once, as the law does; these are compared";
        lines.push(once.to_string());
    }
    if sessions.iter().any(|line| line.law_of_others == Some(false)) {
        lines.push("* by the law of all sessions, itself included: the others alone do not suffice".to_string());
    }
    for line in sessions {
        lines.extend(line.notes.iter().map(|note| format!("{}: {note}", line.session)));
    }
    lines
}

fn by_distance(buckets: &[BucketLine]) -> Vec<String> {
    if buckets.is_empty() {
        return Vec::new();
    }
    let heading = ["bps", "quoted h", "fills", "fills an hour", "chance a ledger"];
    let rows = buckets.iter().map(|line| {
        let chance = line.chance_per_ledger.as_ref().map_or_else(
            || "-".to_string(),
            |figure| format!("{} ({} to {})", percent(figure.value), percent(figure.low), percent(figure.high)),
        );
        vec![
            range(line.from_bps, line.to_bps),
            plain(line.quoted_h, 2),
            line.fills.to_string(),
            with_interval(&line.fills_per_hour, 2),
            chance,
        ]
    });
    let mut lines = vec!["Fills of one offer by its distance (in brackets: 95 %):".to_string()];
    lines.extend(headed(&heading, rows, &[1, 2]));
    lines
}

fn mark_outs(found: &[MarkOutLine]) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let rows = found.iter().map(|line| {
        vec![
            line.ledgers.to_string(),
            range(line.from_bps, line.to_bps),
            line.fills.to_string(),
            with_interval(&line.gain_bps, 2),
        ]
    });
    let mut lines = vec!["Gain against the price after a fill, in bps:".to_string()];
    lines.extend(headed(&["ledgers", "distance", "fills", "gain"], rows, &[0, 2]));
    lines
}

fn laws(sides: &[SideStudy]) -> Vec<String> {
    let known = sides.iter().filter(|side| side.law.is_some());
    let rows: Vec<_> = known
        .map(|side| {
            let shown = |figure: Option<&Figure>, places| {
                figure.map_or_else(|| "-".to_string(), |figure| with_interval(figure, places))
            };
            vec![
                side.side.to_string(),
                shown(side.law.as_ref().map(|law| &law.a_per_hour), 1),
                shown(side.law.as_ref().map(|law| &law.k_per_bps), 4),
                cost(side),
                shown(side.filled_share.as_ref(), 2),
                shown(side.recommended_offset_bps.as_ref(), 2),
                shown(side.recommended_profit_bps_per_hour.as_ref(), 1),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        "Arrivals A exp(-k d), the cost of a fill (5 ledgers), the part of an offer that it takes, and the offset that earns most:"
            .to_string(),
    ];
    let heading = ["side", "A an hour", "k a bps", "cost bps", "part", "offset bps", "profit bps an hour"];
    lines.extend(headed(&heading, rows.into_iter(), &[]));
    lines
}

fn cost(side: &SideStudy) -> String {
    let Some(cost) = &side.adverse_bps else { return "-".to_string() };
    match side.adverse_slope.filter(|slope| !slope.is_zero()) {
        Some(slope) => format!("{}, {} more a bps", with_interval(cost, 2), plain(Some(slope), 2)),
        None => with_interval(cost, 2),
    }
}

fn profits(study: &Study) -> Vec<String> {
    let Some(both) = study.sides.first().filter(|side| !side.profits.is_empty()) else { return Vec::new() };
    let counted = both.profits.iter().any(|point| point.counted_bps_per_hour.is_some());
    let shown = |figure: Option<&Figure>, places| {
        figure.map_or_else(|| "-".to_string(), |figure| with_interval(figure, places))
    };
    let rows = both.profits.iter().step_by(3).map(|point| {
        let mut row = vec![
            plain(point.offset_bps, 1),
            with_interval(&point.profit_bps_per_hour, 2),
            shown(point.profit_rlusd_per_hour.as_ref(), 4),
        ];
        row.extend(counted.then(|| shown(point.counted_bps_per_hour.as_ref(), 2)));
        row
    });
    let fees = match (both.fee_bps, both.renewals_per_hour) {
        (Some(fee), Some(renewals)) => {
            format!(
                "after fees ({} bps a transaction, {} an hour beside fills)",
                plain(Some(fee), 4),
                plain(Some(renewals), 1)
            )
        }
        _ => "no fees are known".to_string(),
    };
    let mut lines = vec![format!("Profit of one offer an hour by its offset, {fees}:")];
    let mut heading = vec!["offset bps", "bps of its value", "RLUSD"];
    heading.extend(counted.then_some("counted, without a law"));
    lines.extend(headed(&heading, rows, &[0]));
    lines
}

fn verdict(study: &Study) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some((bid, ask)), Some(whose)) = (&study.current_offsets_bps, &study.current_offsets_of) {
        lines.push(format!("current offsets: bid {bid} bps, ask {ask} bps ({whose})"));
    }
    let mut settings = Vec::new();
    for side in &study.sides {
        match &side.recommended_offset_bps {
            Some(offset) => {
                lines.push(format!(
                    "recommended offset, {}: {} bps{}",
                    side.side,
                    with_interval(offset, 2),
                    beside(side)
                ));
                settings.extend(side.recommended_setting.as_ref().map(|setting| format!("--set {setting}")));
            }
            None => lines.extend(
                side.data_do_not_suffice.iter().map(|why| format!("the data do not suffice, {}: {why}", side.side)),
            ),
        }
        if let Some(nearest) = side.nearest_seen_bps {
            lines.push(format!(
                "{}: nearer than {} bps a recording does not show who would trade",
                side.side,
                plain(Some(nearest), 2)
            ));
        }
        if side.earns == Some(false) {
            lines.push(format!("{}: even there a profit is not certain: its interval begins below 0", side.side));
        }
    }
    if !settings.is_empty() {
        lines.push(format!("to try it: neo run {}", settings.join(" ")));
    }
    lines.extend(study.next_steps.iter().map(|step| format!("next, {step}")));
    lines
}

/// The current offset beside the recommended one.
fn beside(side: &SideStudy) -> String {
    let Some(current) = &side.current else { return String::new() };
    let profit = with_interval(&current.profit_bps_per_hour, 1);
    let verdict = if current.within_the_interval { ", within the interval: no reason to change it" } else { "" };
    format!("; the current {} earns {profit} bps an hour{verdict}", current.offset_bps)
}
