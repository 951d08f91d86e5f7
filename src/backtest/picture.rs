//! The grid as a picture: the result by one key, a line for each word of a second one, or a heat map of two numbers.

use neo_market::model::to_float;

use super::grid::{Axis, short};
use super::table::Row;
use crate::chart::{self, Panel, escaped};

/// Lines that can still be told apart.
const MOST_LINES: usize = 6;
const COLOURS: [&str; MOST_LINES] = ["#1769aa", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#be185d"];
/// Cells a side whose figures can be read.
const MOST_LABELS: usize = 14;

/// What varies, in the order of the grid; keys that are walked side by side are one.
struct Dimension {
    name: String,
    key: String,
    values: Vec<String>,
}

impl Dimension {
    fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(|value| value.parse().ok().filter(|number: &f64| number.is_finite())).collect()
    }
}

/// The picture as an SVG file.
///
/// # Errors
/// More keys than a picture can show.
pub fn svg(axes: &[Axis], paired: Option<&str>, rows: &[Row]) -> Result<String, String> {
    let dimensions = dimensions(axes, paired);
    match &dimensions[..] {
        [one] => Ok(lines(one, None, rows)),
        [one, two] => match (one.numbers(), two.numbers()) {
            (Some(_), Some(_)) => Ok(heat(one, two, rows)),
            (Some(_), None) if two.values.len() <= MOST_LINES => Ok(lines(one, Some(two), rows)),
            (None, _) if one.values.len() <= MOST_LINES => Ok(lines(two, Some(one), rows)),
            _ => Ok(heat(one, two, rows)),
        },
        _ => Err(cannot_show(dimensions.len())),
    }
}

/// What is said before the runs begin, where the picture could not be made.
///
/// # Errors
/// More keys than a picture can show, or none.
pub fn can_show(axes: &[Axis], paired: Option<&str>) -> Result<(), String> {
    let count = dimensions(axes, paired).len();
    if (1..=2).contains(&count) { Ok(()) } else { Err(cannot_show(count)) }
}

fn cannot_show(count: usize) -> String {
    format!(
        "--picture shows one key of several values, or two, and these are {count}; keep the others fixed, or leave it out"
    )
}

fn dimensions(axes: &[Axis], paired: Option<&str>) -> Vec<Dimension> {
    let names: Vec<&str> = paired.map_or_else(Vec::new, |names| names.split(',').map(str::trim).collect());
    let is_paired = |axis: &Axis| names.iter().any(|name| axis.key == *name || axis.name().starts_with(name));
    let mut all: Vec<Dimension> = Vec::new();
    let mut with_pair = None;
    for axis in axes.iter().filter(|axis| axis.values.len() > 1) {
        match with_pair.and_then(|at: usize| all.get_mut(at)) {
            Some(first) if is_paired(axis) => first.name = format!("{}, {}", first.name, axis.name()),
            _ => {
                if is_paired(axis) {
                    with_pair = Some(all.len());
                }
                let (name, key, values) = (axis.name().to_string(), axis.key.clone(), axis.values.clone());
                all.push(Dimension { name, key, values });
            }
        }
    }
    all
}

fn value_of<'a>(row: &'a Row, key: &str) -> &'a str {
    row.settings.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
}

/// The result of the row with these values.
fn found<'a>(rows: &'a [Row], wanted: &[(&str, &str)]) -> Option<(&'a Row, f64)> {
    let row = rows.iter().find(|row| wanted.iter().all(|(key, value)| value_of(row, key) == *value))?;
    Some((row, to_float(row.result_rlusd?)))
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let room = ((high - low) * 0.06).max(1e-6);
    (if low < 0.0 { low - room } else { 0.0 }, if high > 0.0 { high + room } else { 0.0 })
}

fn lines(across: &Dimension, by: Option<&Dimension>, rows: &[Row]) -> String {
    let reach = |row: &Row| 1.96 * row.standard_error().unwrap_or(0.0);
    let ends = rows.iter().filter_map(|row| row.result_rlusd.map(|result| (to_float(result), reach(row))));
    let y = bounds(ends.flat_map(|(result, reach)| [result - reach, result + reach]));
    let numbers = across.numbers();
    let places: Vec<f64> = numbers.clone().unwrap_or_else(|| (0..across.values.len()).map(|at| at as f64).collect());
    let (low, high) =
        places.iter().fold((f64::MAX, f64::MIN), |(low, high), place| (low.min(*place), high.max(*place)));
    let room = ((high - low) * 0.04).max(0.5);
    let panel = Panel { left: 76.0, top: 52.0, width: 620.0, height: 320.0, x: (low - room, high + room), y };
    let name = match rows.iter().any(|row| row.standard_error().is_some()) {
        true => "result in RLUSD after fees, against holding; bars: 95 % of the mean over the seeds",
        false => "result in RLUSD after fees, against holding",
    };
    let mut svg = chart::begin(if by.is_some() { 900.0 } else { 730.0 }, 430.0);
    if numbers.is_some() {
        svg.push_str(&panel.axes("Result by configuration", &across.name, name));
    } else {
        // Words stand side by side.
        svg.push_str(&panel.frame("Result by configuration", &across.name, name));
        let (steps, digits) = chart::ticks(y.0, y.1);
        steps.iter().for_each(|step| svg.push_str(&panel.y_tick(panel.at_y(*step), &format!("{step:.digits$}"))));
        places.iter().zip(&across.values).for_each(|(at, word)| svg.push_str(&panel.x_tick(panel.at_x(*at), word)));
    }
    svg.push_str(&panel.zero());
    let words: Vec<Option<&str>> =
        by.map_or_else(|| vec![None], |by| by.values.iter().map(|value| Some(value.as_str())).collect());
    for (at, word) in words.into_iter().enumerate() {
        let colour = COLOURS.get(at).copied().unwrap_or("#333");
        let point = |(place, value): (&f64, &String)| {
            let mut wanted = vec![(across.key.as_str(), value.as_str())];
            wanted.extend(by.zip(word).map(|(by, word)| (by.key.as_str(), word)));
            found(rows, &wanted).map(|(row, result)| (*place, result, row))
        };
        let points: Vec<_> = places.iter().zip(&across.values).filter_map(point).collect();
        if numbers.is_some() {
            svg.push_str(&panel.line(points.iter().map(|(x, y, _)| (*x, *y)), colour));
        }
        for (x, y, row) in points {
            let interval = row.standard_error().map(|_| (y - reach(row), y + reach(row)));
            svg.push_str(&panel.point(x, y, interval, colour));
            if row.best {
                // Beside the interval, not on it.
                let (at_x, at_y) = (panel.at_x(x) + 7.0, panel.at_y(y) - 8.0);
                let text = format!("<text x=\"{at_x:.1}\" y=\"{at_y:.1}\">best</text>\n");
                svg.push_str(&text);
            }
        }
        if let Some(word) = word {
            let y = 62.0 + 18.0 * at as f64;
            svg.push_str(&format!(
                "<rect x=\"712\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"730\" y=\"{y}\">{}</text>\n",
                y - 10.0,
                escaped(&format!("{} {word}", by.map_or("", |by| short(&by.key))))
            ));
        }
    }
    svg + chart::END
}

fn heat(across: &Dimension, up: &Dimension, rows: &[Row]) -> String {
    let (columns, lines) = (across.values.len() as f64, up.values.len() as f64);
    let most = rows.iter().filter_map(|row| row.result_rlusd).map(|result| to_float(result).abs()).fold(1e-9, f64::max);
    let (width, height) = ((columns * 56.0).clamp(240.0, 780.0), (lines * 34.0).clamp(160.0, 520.0));
    let panel = Panel { left: 76.0, top: 52.0, width, height, x: (0.0, columns), y: (0.0, lines) };
    let mut svg = chart::begin((width + 130.0).max(620.0), height + 112.0);
    let title = "Result by configuration: RLUSD after fees, against holding";
    svg.push_str(&panel.frame(title, &across.name, &up.name));
    let (cell_w, cell_h) = (width / columns, height / lines);
    let labelled = across.values.len() <= MOST_LABELS && up.values.len() <= MOST_LABELS;
    for (column, x_value) in across.values.iter().enumerate() {
        for (line, y_value) in up.values.iter().enumerate() {
            let (x, y) = (panel.left + column as f64 * cell_w, panel.bottom() - (line as f64 + 1.0) * cell_h);
            let Some((row, result)) = found(rows, &[(&across.key, x_value), (&up.key, y_value)]) else { continue };
            let edge = if row.best { "stroke=\"#111\" stroke-width=\"2.5\"" } else { "stroke=\"#fff\"" };
            svg.push_str(&format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell_w:.1}\" height=\"{cell_h:.1}\" fill=\"{}\" {edge}/>\n",
                colour(result / most)
            ));
            if labelled {
                let (at_x, at_y) = (x + cell_w / 2.0, y + cell_h / 2.0 + 4.0);
                let digits = if most >= 100.0 {
                    0
                } else if most >= 1.0 {
                    1
                } else {
                    3
                };
                svg.push_str(&format!(
                    "<text x=\"{at_x:.1}\" y=\"{at_y:.1}\" text-anchor=\"middle\" font-size=\"10\">{result:.digits$}</text>\n"
                ));
            }
        }
    }
    let every = |count: usize| count.div_ceil(MOST_LABELS).max(1);
    for (at, value) in across.values.iter().enumerate().step_by(every(across.values.len())) {
        svg.push_str(&panel.x_tick(panel.left + (at as f64 + 0.5) * cell_w, value));
    }
    for (at, value) in up.values.iter().enumerate().step_by(every(up.values.len())) {
        svg.push_str(&panel.y_tick(panel.bottom() - (at as f64 + 0.5) * cell_h, value));
    }
    let low = panel.bottom() + 52.0;
    svg.push_str(&format!(
        "<text x=\"76\" y=\"{low}\" fill=\"#555\">blue earns, red loses (full colour: {most:.3}); the frame marks the best</text>\n"
    ));
    svg + chart::END
}

/// From red (-1) over white to blue (1).
fn colour(share: f64) -> String {
    let share = share.clamp(-1.0, 1.0);
    let (red, green, blue) = if share < 0.0 { (214.0, 96.0, 77.0) } else { (67.0, 147.0, 195.0) };
    let mixed = |full: f64| (255.0 + (full - 255.0) * share.abs()).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mixed(red), mixed(green), mixed(blue))
}
