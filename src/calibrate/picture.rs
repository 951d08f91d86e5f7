//! The study as a picture: fills by distance with the fitted law, and the profit by offset, the current and the recommended
//! offsets marked in both.

use neo_market::model::calibration::profit_per_hour;

use super::study::{Study, curve};
use crate::chart::{self, Key, LEGEND_LINE, Panel};

/// Pixels of a panel.
const WIDTH: f64 = 490.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const TOP: f64 = 62.0;
/// From the left edge of one panel to that of the next.
const NEXT: f64 = 580.0;
/// Lines of the longest legend.
const LEGEND_LINES: f64 = 6.0;
/// Distances beyond this are not drawn.
const FARTHEST_BPS: f64 = 200.0;
/// Both sides together, the bids, the asks: told apart by those too who see no red.
const BOTH: &str = "#475569";
const SIDES: [(&str, &str); 2] = [("bid", "#1769aa"), ("ask", "#c2410c")];
const STEPS: u32 = 80;

type Legend<'a> = Vec<(Key, &'a str, String)>;

fn panel(left: f64, to_x: f64, y: (f64, f64)) -> Panel {
    Panel { left, top: TOP, width: WIDTH, height: HEIGHT, x: (0.0, to_x), y }
}

/// The picture as an SVG file.
pub(super) fn svg(study: &Study) -> String {
    let mut text = chart::begin(LEFT + NEXT + WIDTH + 30.0, TOP + HEIGHT + 62.0 + LEGEND_LINES * LEGEND_LINE);
    text.push_str(&fills(study));
    text.push_str(&profit(study));
    text + chart::END
}

fn steps(to_x: f64) -> impl Iterator<Item = f64> {
    (0..=STEPS).map(move |step| f64::from(step) / f64::from(STEPS) * to_x)
}

fn fills(study: &Study) -> String {
    let buckets = &study.drawn.buckets;
    let shown: Vec<_> = buckets.iter().filter(|each| each.from_bps >= 0.0 && each.from_bps < FARTHEST_BPS).collect();
    let end = |to: f64| if to > FARTHEST_BPS { FARTHEST_BPS } else { to };
    // Beyond what was filled there is little to see.
    let filled = shown.iter().filter(|each| each.fills > 0).map(|each| 1.5 * end(each.to_bps)).fold(20.0, f64::max);
    let to_x = shown.iter().map(|each| end(each.to_bps)).fold(20.0, f64::max).min(filled);
    let fit = study.sides.first().and_then(|both| both.drawn.fit);
    let at_mid = fit.map_or(0.0, |fit| 3_600.0 * fit.law().rate(0.0));
    let highest = |rate: f64, high: f64| (rate * 1.5).max(high.min(rate * 2.0));
    let rates = shown.iter().map(|each| highest(each.fills_per_hour.value, each.fills_per_hour.high));
    let most = rates.fold((at_mid * 1.15).max(0.1), f64::max);
    let panel = panel(LEFT, to_x, (0.0, most));
    let mut svg = panel.axes("How often one offer is filled", "distance in bps", "fills an hour");
    let mut drawn = marks(study, &panel);
    let mut legend: Legend<'_> = Vec::new();
    if let Some(fit) = fit {
        let rate = |bps: f64| fit.rate(bps).times(3_600.0);
        let band: Vec<_> = steps(to_x).map(|bps| (bps, rate(bps).low, rate(bps).high)).collect();
        drawn += &panel.band(&band, BOTH);
        drawn += &panel.line(steps(to_x).map(|bps| (bps, rate(bps).value)), BOTH);
        legend.push((Key::Band, BOTH, "the fitted law of both sides, with its interval of 95 %".to_string()));
    }
    svg += &panel.inside(&drawn);
    for each in shown.iter().filter(|each| each.from_bps < to_x) {
        let (x, rate) = ((each.from_bps + end(each.to_bps)) / 2.0, each.fills_per_hour);
        if each.fills > 0 {
            svg += &panel.point(x, rate.value, Some((rate.low, rate.high)), BOTH);
            continue;
        }
        // Where nothing was filled only an upper end is known, and after a short time it says nothing.
        let (at_x, at_y) = (panel.at_x(x), panel.bottom());
        if rate.high < most {
            let high = panel.at_y(rate.high);
            svg += &format!("<path d=\"M{at_x:.1} {at_y:.1}V{high:.1}\" stroke=\"{BOTH}\" stroke-opacity=\"0.5\"/>");
        }
        svg += &format!("<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"4\" fill=\"#fff\" stroke=\"{BOTH}\"/>\n");
    }
    legend.push((Key::Point, BOTH, "fills that there were, by range of distance, with 95 %".to_string()));
    if shown.iter().any(|each| each.fills == 0) {
        legend.push((Key::Hollow, BOTH, "quoted there, and none was filled".to_string()));
    }
    if fit.is_none() {
        svg += &panel.note(&why(study, "no law"));
    }
    svg + &panel.legend(&legend)
}

/// The current offsets, as upright lines.
fn marks(study: &Study, panel: &Panel) -> String {
    let current = SIDES.iter().zip([0, 6]).filter_map(|((name, colour), shift)| {
        let offset = study.sides.iter().find(|side| side.side == *name)?.drawn.current?;
        (offset <= panel.x.1).then(|| panel.upright(offset, colour, shift))
    });
    current.collect()
}

/// The first reason why something is missing.
fn why(study: &Study, what: &str) -> String {
    let reason = study.sides.first().and_then(|both| both.data_do_not_suffice.first());
    format!("{what}, the data do not suffice: {}", reason.map_or("nothing was observed", String::as_str))
}

fn profit(study: &Study) -> String {
    let left = LEFT + NEXT;
    let known = |side: &&super::study::SideStudy| side.drawn.advice.is_some();
    let mut sides: Vec<_> = study.sides.iter().filter(|side| side.side != "both").filter(known).collect();
    if sides.len() < 2 {
        // One side alone says less than both together.
        sides = study.sides.iter().filter(known).take(1).collect();
    }
    let colour = |name: &str| SIDES.iter().find(|(side, _)| *side == name).map_or(BOTH, |(_, colour)| *colour);
    let lines: Vec<_> = sides
        .iter()
        .filter_map(|side| Some((*side, side.drawn.fit?, side.drawn.economics?, side.drawn.advice?)))
        .collect();
    let reach = |(_, fit, with, _): &(_, _, _, _)| curve(fit, with).last().copied().unwrap_or(1.0);
    let to_x = lines.iter().map(reach).fold(1.0, f64::max);
    let (mut least, mut most) = (0.0_f64, 0.001_f64);
    for (_, fit, with, advice) in &lines {
        let best = advice.profit_bps_per_hour;
        most = most.max(best.high);
        // Near the price everything loses: so much of it as there is gain is enough to see.
        let worst = steps(to_x).map(|bps| profit_per_hour(fit, with, bps).low).fold(0.0, f64::min);
        least = least.min(worst.max(-0.5 * best.high.max(0.001)));
    }
    let panel = panel(left, to_x.max(20.0), (least, most * 1.06));
    let y_name = "bps of the offer's value an hour, after fees";
    let mut svg = panel.axes("What one offer earns", "offset in bps", y_name);
    let mut drawn = marks(study, &panel);
    let (mut rings, mut legend): (String, Legend<'_>) = (String::new(), Vec::new());
    for (side, fit, with, advice) in &lines {
        let (colour, best) = (colour(side.side), advice.offset_bps);
        let at = |bps: f64| profit_per_hour(fit, with, bps);
        let band: Vec<_> = steps(panel.x.1).map(|bps| (bps, at(bps).low, at(bps).high)).collect();
        drawn += &panel.band(&band, colour);
        drawn += &panel.line(steps(panel.x.1).map(|bps| (bps, at(bps).value)), colour);
        rings += &panel.across((best.value, best.low, best.high), advice.profit_bps_per_hour.value, colour);
        legend.push((Key::Band, colour, format!("{}: profit by offset, with its interval of 95 %", side.side)));
        let told = format!("{}: recommended {:.1} bps ({:.1} to {:.1})", side.side, best.value, best.low, best.high);
        legend.push((Key::Ring, colour, told));
    }
    for (name, colour) in SIDES {
        let offset = study.sides.iter().find(|side| side.side == name).and_then(|side| side.drawn.current);
        legend.extend(offset.map(|offset| (Key::Dashed, colour, format!("{name}: current {offset} bps"))));
    }
    svg += &panel.inside(&drawn);
    svg += &panel.zero();
    svg += &rings;
    if lines.is_empty() {
        svg += &panel.note(&why(study, "no recommended offset"));
    }
    svg + &panel.legend(&legend)
}
