//! The study as a picture: fills by distance with the fitted law, and the profit by offset.

use neo_market::model::calibration::profit_per_hour;

use super::study::{Drawn, Study, curve};
use crate::chart::{self, Panel};

/// Pixels of a panel.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 52.0;
/// From the left edge of one panel to that of the next.
const NEXT: f64 = 540.0;
/// Distances beyond this are not drawn.
const FARTHEST_BPS: f64 = 200.0;
const X_NAME: &str = "bps from the middle";

fn panel(left: f64, to_x: f64, y: (f64, f64)) -> Panel {
    Panel { left, top: TOP, width: WIDTH, height: HEIGHT, x: (0.0, to_x), y }
}

/// The picture as an SVG file.
pub(super) fn svg(study: &Study) -> String {
    let mut text = chart::begin(1_080.0, 362.0);
    text.push_str(&fills(&study.drawn));
    text.push_str(&profit(&study.drawn));
    text + chart::END
}

fn fills(drawn: &Drawn) -> String {
    let shown: Vec<_> =
        drawn.buckets.iter().filter(|each| each.from_bps >= 0.0 && each.from_bps < FARTHEST_BPS).collect();
    let end = |to: f64| if to > FARTHEST_BPS { FARTHEST_BPS } else { to };
    // Beyond what was filled there is little to see.
    let filled = shown.iter().filter(|each| each.fills > 0).map(|each| 1.5 * end(each.to_bps)).fold(10.0, f64::max);
    let to_x = shown.iter().map(|each| end(each.to_bps)).fold(10.0, f64::max).min(filled);
    let at_mid = drawn.fit.map_or(0.0, |fit| 3_600.0 * fit.law().rate(0.0));
    let most = shown.iter().map(|each| each.fills_per_hour.value * 1.5).fold(at_mid.max(0.1), f64::max);
    let panel = panel(LEFT, to_x, (0.0, most));
    let y_name = "fills an hour, with 95 % intervals; hollow: none there";
    let mut svg = panel.axes("Fills of one offer by distance", X_NAME, y_name);
    for each in shown.iter().filter(|each| each.from_bps < to_x) {
        let (x, rate) = ((each.from_bps + end(each.to_bps)) / 2.0, each.fills_per_hour);
        if each.fills == 0 {
            // Where nothing was filled only an upper end is known, and after a short time it says nothing.
            let (at_x, at_y) = (panel.at_x(x), panel.bottom());
            if rate.high < most {
                let high = panel.at_y(rate.high);
                svg.push_str(&format!("<path d=\"M{at_x:.1} {at_y:.1}V{high:.1}\" stroke=\"#9db8cf\"/>"));
            }
            let mark = "r=\"4\" fill=\"#fff\" stroke=\"#1769aa\"";
            svg.push_str(&format!("<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" {mark}/>\n"));
        } else {
            svg.push_str(&panel.point(x, rate.value, Some((rate.low, rate.high)), "#1769aa"));
        }
    }
    match drawn.fit {
        Some(fit) => {
            let steps = (0..=60).map(|step| f64::from(step) / 60.0 * to_x);
            svg + &panel.line(steps.map(|bps| (bps, 3_600.0 * fit.law().rate(bps))), "#c2410c")
        }
        None => svg + &note(LEFT, "no law: the data do not suffice"),
    }
}

fn profit(drawn: &Drawn) -> String {
    let left = LEFT + NEXT;
    let (Some(fit), Some(adverse), Some(advice)) = (&drawn.fit, &drawn.adverse, &drawn.advice) else {
        return note(left, "no recommended offset: the data do not suffice");
    };
    let points: Vec<_> = curve(fit, adverse).into_iter().map(|bps| (bps, profit_per_hour(fit, adverse, bps))).collect();
    let to_x = points.iter().map(|(bps, _)| *bps).fold(1.0, f64::max);
    let most = points.iter().map(|(_, profit)| profit.high).fold(0.001, f64::max);
    let least = points.iter().map(|(_, profit)| profit.low).fold(0.0, f64::min);
    let panel = panel(left, to_x, (least, most));
    let mut svg = panel.axes("Profit of one offer by offset", X_NAME, "bps of its value an hour, before fees");
    svg.push_str(&panel.zero());
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.low)), "#cbd5e1"));
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.high)), "#cbd5e1"));
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.value)), "#c2410c"));
    let best = advice.offset_bps;
    let (x, low, high) = (panel.at_x(best.value), panel.at_x(best.low), panel.at_x(best.high));
    let (bottom, width) = (TOP + HEIGHT, high - low);
    svg + &format!(
        "<rect x=\"{low:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"#1769aa\" opacity=\"0.12\"/>\
         <path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#1769aa\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{x:.1}\" y=\"66\" text-anchor=\"middle\">{:.1} bps</text>\n",
        best.value
    )
}

fn note(left: f64, text: &str) -> String {
    format!("<text x=\"{left}\" y=\"{}\" fill=\"#b91c1c\">{text}</text>\n", TOP + HEIGHT / 2.0)
}
