//! The study as a picture: fills by distance with the fitted law, and the profit by offset.

use neo_market::model::calibration::profit_per_hour;

use super::study::{Drawn, Study, curve};

/// Pixels of a panel.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
/// From the left edge of one panel to that of the next.
const NEXT: f64 = 540.0;
/// Distances beyond this are not drawn.
const FARTHEST_BPS: f64 = 200.0;

/// A panel's scales: pixels from the values of its axes.
struct Panel {
    left: f64,
    to_x: f64,
    most: f64,
    least: f64,
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        self.left + (value / self.to_x).clamp(0.0, 1.0) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.least) / (self.most - self.least);
        TOP + HEIGHT - share.clamp(0.0, 1.0) * HEIGHT
    }

    fn axes(&self, title: &str, unit: &str) -> String {
        let (left, bottom) = (self.left, TOP + HEIGHT);
        let mut svg = format!(
            "<text x=\"{left}\" y=\"24\" font-weight=\"bold\">{title}</text>\
             <path d=\"M{left} {TOP}V{bottom}H{}\" fill=\"none\" stroke=\"#333\"/>\n",
            left + WIDTH
        );
        for part in 0..=4 {
            let share = f64::from(part) / 4.0;
            let (x, y) = (self.to_x * share, self.least + (self.most - self.least) * share);
            let (at_x, at_y) = (self.x(x), self.y(y));
            let (down, before, lower) = (bottom + 16.0, left - 6.0, at_y + 4.0);
            let labels = format!(
                "<text x=\"{at_x:.1}\" y=\"{down}\" text-anchor=\"middle\">{x:.0}</text>\
                 <text x=\"{before}\" y=\"{lower:.1}\" text-anchor=\"end\">{y:.3}</text>\n"
            );
            svg.push_str(&labels);
        }
        let (middle, low) = (left + WIDTH / 2.0, bottom + 34.0);
        svg + &format!("<text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">bps from the mid; {unit}</text>\n")
    }

    fn line(&self, points: impl Iterator<Item = (f64, f64)>, stroke: &str) -> String {
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y))).collect();
        format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n", points.join(" "))
    }
}

/// The picture as an SVG file.
pub(super) fn svg(study: &Study) -> String {
    let mut text = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1080\" height=\"350\" viewBox=\"0 0 1080 350\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"1080\" height=\"350\" fill=\"#fff\"/>\n",
    );
    text.push_str(&fills(&study.drawn));
    text.push_str(&profit(&study.drawn));
    text.push_str("</svg>\n");
    text
}

fn fills(drawn: &Drawn) -> String {
    let shown: Vec<_> =
        drawn.buckets.iter().filter(|each| each.from_bps >= 0.0 && each.from_bps < FARTHEST_BPS).collect();
    let end = |to: f64| if to > FARTHEST_BPS { FARTHEST_BPS } else { to };
    let to_x = shown.iter().map(|each| end(each.to_bps)).fold(10.0, f64::max);
    let at_mid = drawn.fit.map_or(0.0, |fit| 3_600.0 * fit.law().rate(0.0));
    let most = shown.iter().map(|each| each.fills_per_hour.value * 1.5).fold(at_mid.max(0.1), f64::max);
    let panel = Panel { left: LEFT, to_x, most, least: 0.0 };
    let mut svg = panel.axes("Fills of one offer by distance", "fills an hour, with 95 % intervals");
    for each in shown {
        let x = panel.x((each.from_bps + end(each.to_bps)) / 2.0);
        let rate = each.fills_per_hour;
        let (low, high, value) = (panel.y(rate.low), panel.y(rate.high), panel.y(rate.value));
        let mark = format!(
            "<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"#1769aa\"/><circle cx=\"{x:.1}\" cy=\"{value:.1}\" r=\"4\" \
             fill=\"#1769aa\"/>\n"
        );
        svg.push_str(&mark);
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
    let panel = Panel { left, to_x, most, least };
    let mut svg = panel.axes("Profit of one offer by offset", "bps of its value an hour, before fees");
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.low)), "#cbd5e1"));
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.high)), "#cbd5e1"));
    svg.push_str(&panel.line(points.iter().map(|(bps, profit)| (*bps, profit.value)), "#c2410c"));
    let best = advice.offset_bps;
    let (x, low, high) = (panel.x(best.value), panel.x(best.low), panel.x(best.high));
    let (bottom, width) = (TOP + HEIGHT, high - low);
    svg + &format!(
        "<rect x=\"{low:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"#1769aa\" opacity=\"0.12\"/>\
         <path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#1769aa\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{x:.1}\" y=\"36\" text-anchor=\"middle\">{:.1} bps</text>\n",
        best.value
    )
}

fn note(left: f64, text: &str) -> String {
    format!("<text x=\"{left}\" y=\"{}\" fill=\"#b91c1c\">{text}</text>\n", TOP + HEIGHT / 2.0)
}
