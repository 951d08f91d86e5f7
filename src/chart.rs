//! Pictures as SVG text: a panel with its scales, axes with even ticks, lines, and cells of a heat map. Floats are pixels
//! here and places on a scale; nothing is counted with them.

use std::fmt::Write as _;

/// Grey of what only helps to read: names, grid lines, axes.
const NAME: &str = "#4b5563";
const GRID: &str = "#e5e7eb";
const AXIS: &str = "#374151";
/// Pixels from a legend's line to the next.
pub const LEGEND_LINE: f64 = 19.0;

/// Ticks that an axis aims at.
const TICKS: f64 = 7.0;

/// The beginning of a picture of so many pixels.
#[must_use]
pub fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#1f2937\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    )
}

/// The end of a picture.
pub const END: &str = "</svg>\n";

/// Text as it may stand in a picture.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Even steps of 1, 2 or 5 times a power of ten that lie from `least` to `most`, and the places that tell them apart.
#[must_use]
pub fn ticks(least: f64, most: f64) -> (Vec<f64>, usize) {
    let span = most - least;
    if !(span.is_finite() && span > 0.0) {
        return (vec![least], 0);
    }
    let rough = span / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|each| each * power).find(|step| *step >= rough * 0.999_999);
    let step = step.unwrap_or(power * 10.0);
    let places = if step >= 1.0 { 0.0 } else { -(step.log10() + 1e-9).floor() };
    let first = (least / step - 1e-9).ceil();
    let count = ((most / step + 1e-9).floor() - first).max(0.0);
    let mut all = Vec::new();
    let mut at = 0.0;
    while at <= count {
        // Not -0.
        all.push((first + at) * step + 0.0);
        at += 1.0;
    }
    (all, places as usize)
}

/// How something is drawn, for the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A line with its interval.
    Band,
    /// A line.
    Line,
    /// An upright line.
    Dashed,
    /// A point with its interval.
    Point,
    /// A point of which only the upper end is known.
    Hollow,
    /// A value with its interval across.
    Ring,
}

/// A panel's place in pixels, and its scales.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// Values at the left and the right edge.
    pub x: (f64, f64),
    /// Values at the lower and the upper edge.
    pub y: (f64, f64),
}

impl Panel {
    /// The pixel of a value on the x axis; what lies outside is at the edge.
    #[must_use]
    pub fn at_x(&self, value: f64) -> f64 {
        self.left + ((value - self.x.0) / (self.x.1 - self.x.0)).clamp(0.0, 1.0) * self.width
    }

    /// The pixel of a value on the y axis; what lies outside is at the edge.
    #[must_use]
    pub fn at_y(&self, value: f64) -> f64 {
        self.top + self.height - ((value - self.y.0) / (self.y.1 - self.y.0)).clamp(0.0, 1.0) * self.height
    }

    /// The lower edge.
    #[must_use]
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Title, axes with even ticks, and what they show.
    #[must_use]
    pub fn axes(&self, title: &str, x_name: &str, y_name: &str) -> String {
        let mut svg = self.grid();
        svg.push_str(&self.frame(title, x_name, y_name));
        let (steps, places) = ticks(self.x.0, self.x.1);
        for step in steps {
            svg.push_str(&self.x_tick(self.at_x(step), &format!("{step:.places$}")));
        }
        let (steps, places) = ticks(self.y.0, self.y.1);
        for step in steps {
            svg.push_str(&self.y_tick(self.at_y(step), &format!("{step:.places$}")));
        }
        svg
    }

    /// Faint lines at the ticks of the y axis; they come first, so that everything else is drawn over them.
    #[must_use]
    pub fn grid(&self) -> String {
        let (left, right) = (self.left, self.left + self.width);
        let lines = ticks(self.y.0, self.y.1).0.into_iter().map(|step| {
            let at = self.at_y(step);
            format!("<path d=\"M{left} {at:.1}H{right}\" stroke=\"{GRID}\"/>\n")
        });
        lines.collect()
    }

    /// Title and lines without ticks.
    #[must_use]
    pub fn frame(&self, title: &str, x_name: &str, y_name: &str) -> String {
        let (left, top, bottom) = (self.left, self.top, self.bottom());
        let (right, middle, low) = (left + self.width, left + self.width / 2.0, bottom + 38.0);
        let (title, x_name, y_name) = (escaped(title), escaped(x_name), escaped(y_name));
        let (title_y, name_y) = (top - 30.0, top - 11.0);
        format!(
            "<text x=\"{left}\" y=\"{title_y}\" font-size=\"15\" font-weight=\"bold\">{title}</text>\
             <text x=\"{left}\" y=\"{name_y}\" fill=\"{NAME}\">{y_name}</text>\
             <path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"{AXIS}\"/>\
             <text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\" fill=\"{NAME}\">{x_name}</text>\n"
        )
    }

    /// A tick of the x axis at a pixel.
    #[must_use]
    pub fn x_tick(&self, at: f64, label: &str) -> String {
        let (bottom, end, down) = (self.bottom(), self.bottom() + 5.0, self.bottom() + 19.0);
        format!(
            "<path d=\"M{at:.1} {bottom}V{end}\" stroke=\"{AXIS}\"/>\
             <text x=\"{at:.1}\" y=\"{down}\" text-anchor=\"middle\">{}</text>\n",
            escaped(label)
        )
    }

    /// A tick of the y axis at a pixel.
    #[must_use]
    pub fn y_tick(&self, at: f64, label: &str) -> String {
        let (left, begin, before, lower) = (self.left, self.left - 5.0, self.left - 9.0, at + 4.0);
        format!(
            "<path d=\"M{begin} {at:.1}H{left}\" stroke=\"{AXIS}\"/>\
             <text x=\"{before}\" y=\"{lower:.1}\" text-anchor=\"end\">{}</text>\n",
            escaped(label)
        )
    }

    /// The line of zero, where it is inside.
    #[must_use]
    pub fn zero(&self) -> String {
        if self.y.0 >= 0.0 || self.y.1 <= 0.0 {
            return String::new();
        }
        let (left, at, right) = (self.left, self.at_y(0.0), self.left + self.width);
        format!("<path d=\"M{left} {at:.1}H{right}\" stroke=\"#6b7280\"/>\n")
    }

    /// The pixels of points, as a path has them; what lies outside is cut off by [`Panel::inside`].
    fn places(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut places = String::new();
        for (x, y) in points {
            let at_x = self.left + (x - self.x.0) / (self.x.1 - self.x.0) * self.width;
            let at_y = self.bottom() - (y - self.y.0) / (self.y.1 - self.y.0) * self.height;
            // So far away that nobody sees the difference, and still a number of pixels.
            let (at_x, at_y) = (at_x.clamp(-9_999.0, 9_999.0), at_y.clamp(-9_999.0, 9_999.0));
            // Writing to a String cannot fail.
            if write!(places, "{at_x:.1},{at_y:.1} ").is_err() {
                return String::new();
            }
        }
        places.trim_end().to_string()
    }

    /// The beginning and end of what is cut off at the panel's edges.
    #[must_use]
    pub fn inside(&self, svg: &str) -> String {
        let (left, top, width, height) = (self.left, self.top, self.width, self.height);
        let name = format!("panel-{left:.0}-{top:.0}");
        format!(
            "<clipPath id=\"{name}\"><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/></clipPath>\
             <g clip-path=\"url(#{name})\">\n{svg}</g>\n"
        )
    }

    /// A line through points.
    #[must_use]
    pub fn line(&self, points: impl Iterator<Item = (f64, f64)>, stroke: &str) -> String {
        let places = self.places(points);
        format!("<polyline points=\"{places}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n")
    }

    /// What lies between a lower and an upper line: x, low, high.
    #[must_use]
    pub fn band(&self, points: &[(f64, f64, f64)], fill: &str) -> String {
        let there = points.iter().map(|(x, low, _)| (*x, *low));
        let back = points.iter().rev().map(|(x, _, high)| (*x, *high));
        let places = self.places(there.chain(back));
        format!("<polygon points=\"{places}\" fill=\"{fill}\" fill-opacity=\"0.14\"/>\n")
    }

    /// An upright line at a value; `shift` moves the dashes, so that two at one place are both seen.
    #[must_use]
    pub fn upright(&self, x: f64, stroke: &str, shift: u8) -> String {
        let (at, top, bottom) = (self.at_x(x), self.top, self.bottom());
        let dashes = format!("stroke-dasharray=\"6 6\" stroke-dashoffset=\"{shift}\"");
        format!("<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"{stroke}\" stroke-width=\"1.5\" {dashes}/>\n")
    }

    /// A value with its interval across, as a ring.
    #[must_use]
    pub fn across(&self, (x, low, high): (f64, f64, f64), y: f64, stroke: &str) -> String {
        let (at, from, to, y) = (self.at_x(x), self.at_x(low), self.at_x(high), self.at_y(y));
        let (up, down) = (y - 5.0, y + 5.0);
        format!(
            "<path d=\"M{from:.1} {up:.1}V{down:.1}M{from:.1} {y:.1}H{to:.1}M{to:.1} {up:.1}V{down:.1}\" stroke=\"{stroke}\" \
             stroke-width=\"2\"/><circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"#fff\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n"
        )
    }

    /// Lines of text in the middle of the panel, none wider than it.
    #[must_use]
    pub fn note(&self, text: &str) -> String {
        let fits = (self.width / 6.6) as usize;
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split(' ') {
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) if line.chars().count() + 1 + word.chars().count() <= fits => *line += &format!(" {word}"),
                _ => lines.push(word.to_string()),
            }
        }
        let (x, mut y) = (self.left + self.width / 2.0, self.top + self.height / 2.0 - 9.0 * lines.len() as f64);
        let mut svg = String::new();
        for line in lines {
            y += 18.0;
            svg += &format!(
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#b91c1c\">{}</text>\n",
                escaped(&line)
            );
        }
        svg
    }

    /// Under the panel, line by line, what is what.
    #[must_use]
    pub fn legend(&self, entries: &[(Key, &str, String)]) -> String {
        let mut svg = String::new();
        let mut y = self.bottom() + 62.0;
        for (key, colour, text) in entries {
            let (from, to, middle, line) = (self.left, self.left + 26.0, self.left + 13.0, y - 4.0);
            svg += &match key {
                Key::Band => format!(
                    "<rect x=\"{from}\" y=\"{:.1}\" width=\"26\" height=\"12\" fill=\"{colour}\" fill-opacity=\"0.14\"/>\
                     <path d=\"M{from} {line}H{to}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                    line - 6.0
                ),
                Key::Line => format!("<path d=\"M{from} {line}H{to}\" stroke=\"{colour}\" stroke-width=\"2\"/>"),
                Key::Dashed => format!(
                    "<path d=\"M{from} {line}H{to}\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"6 6\"/>"
                ),
                Key::Point => format!(
                    "<path d=\"M{middle} {:.1}V{:.1}\" stroke=\"{colour}\"/><circle cx=\"{middle}\" cy=\"{line}\" r=\"4\" \
                     fill=\"{colour}\"/>",
                    line - 8.0,
                    line + 8.0
                ),
                Key::Hollow => {
                    format!("<circle cx=\"{middle}\" cy=\"{line}\" r=\"4\" fill=\"#fff\" stroke=\"{colour}\"/>")
                }
                Key::Ring => format!(
                    "<path d=\"M{from} {line}H{to}\" stroke=\"{colour}\" stroke-width=\"2\"/><circle cx=\"{middle}\" cy=\"{line}\" \
                     r=\"5\" fill=\"#fff\" stroke=\"{colour}\" stroke-width=\"2\"/>"
                ),
            };
            svg += &format!("<text x=\"{}\" y=\"{y}\">{}</text>\n", self.left + 34.0, escaped(text));
            y += LEGEND_LINE;
        }
        svg
    }

    /// A point with its interval.
    #[must_use]
    pub fn point(&self, x: f64, y: f64, interval: Option<(f64, f64)>, stroke: &str) -> String {
        let at = (self.at_x(x), self.at_y(y));
        let bar = interval.map_or_else(String::new, |(low, high)| {
            let (low, high) = (self.at_y(low), self.at_y(high));
            format!("<path d=\"M{:.1} {low:.1}V{high:.1}\" stroke=\"{stroke}\"/>", at.0)
        });
        format!("{bar}<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{stroke}\"/>\n", at.0, at.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_even_and_few() {
        let shown = |least, most| {
            let (all, places) = ticks(least, most);
            all.iter().map(|tick| format!("{tick:.places$}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(0.0, 37.0), ["0", "10", "20", "30"]);
        assert_eq!(shown(-0.013, 0.031), ["-0.01", "0.00", "0.01", "0.02", "0.03"]);
        assert_eq!(shown(5.0, 50.0), ["10", "20", "30", "40", "50"]);
        assert_eq!(shown(0.0, 1.2), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0", "1.2"]);
        assert_eq!(shown(3.0, 3.0), ["3"]);
        for (least, most) in [(0.0, 1e9), (1e-9, 2e-9), (-123.4, -1.0), (0.3, 0.9)] {
            let all = ticks(least, most).0;
            assert!((3..=8).contains(&all.len()), "{least} {most} {all:?}");
        }
    }
}
