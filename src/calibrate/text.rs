//! The study as people read it.

use neo_market::{Dec, Rounding};

use super::study::{BucketLine, Figure, MarkOutLine, RecordingLine, SessionLine, SideStudy, Study};
use crate::output::table;

/// The study, line by line.
pub(super) fn lines(study: &Study) -> Vec<String> {
    let sections = [
        study.recording.as_ref().map_or_else(|| sessions(&study.sessions), recording),
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
    vec![
        format!(
            "{}: {} ledgers with a middle, {} h; in {} of their sides something was traded",
            line.file,
            line.ledgers,
            plain(line.hours, 2),
            line.traded
        ),
        format!(
            "what an offer of ours would have met: it counts as filled where a trade reached its distance; the law is that of \
             trades beyond {} bps, half of the usual spread; no fees are known",
            plain(line.floor_bps, 2)
        ),
    ]
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
        let expected = match (line.expected_fills, line.law_of_others) {
            (Some(expected), Some(true)) => plain(Some(expected), 1),
            // The session is itself among what the law was fitted to.
            (Some(expected), _) => format!("{}*", plain(Some(expected), 1)),
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
            percent(line.chance_of_so_few),
            percent(line.chance_of_so_many),
            percent(line.chance_of_none),
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
    let mut lines = vec!["Fills of one offer by its distance from the mid (in brackets: 95 %):".to_string()];
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
    let mut lines = vec!["Gain against the mid after a fill, in bps:".to_string()];
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
                shown(side.adverse_bps.as_ref(), 2),
                shown(side.recommended_offset_bps.as_ref(), 2),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec!["Arrivals A exp(-k d), the cost of a fill (5 ledgers), and the offset that earns most:".to_string()];
    lines.extend(headed(&["side", "A an hour", "k a bps", "cost bps", "offset bps"], rows.into_iter(), &[]));
    lines
}

fn profits(study: &Study) -> Vec<String> {
    let Some(both) = study.sides.first().filter(|side| !side.profits.is_empty()) else { return Vec::new() };
    let rows = both.profits.iter().step_by(3).map(|point| {
        vec![
            plain(point.offset_bps, 1),
            with_interval(&point.profit_bps_per_hour, 2),
            point.profit_rlusd_per_hour.as_ref().map_or_else(|| "-".to_string(), |figure| with_interval(figure, 4)),
        ]
    });
    let mut lines = vec!["Profit of one offer an hour by its offset:".to_string()];
    lines.extend(headed(&["offset bps", "bps of its value", "RLUSD, after half of the fees"], rows, &[0]));
    lines
}

fn verdict(study: &Study) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((bid, ask)) = &study.current_offsets_bps {
        lines.push(format!("current offsets: bid {bid} bps, ask {ask} bps (the latest session's)"));
    }
    for side in &study.sides {
        match &side.recommended_offset_bps {
            Some(offset) => lines.push(format!("recommended offset, {}: {} bps", side.side, with_interval(offset, 2))),
            None => lines.extend(
                side.data_do_not_suffice.iter().map(|why| format!("the data do not suffice, {}: {why}", side.side)),
            ),
        }
    }
    lines
}
