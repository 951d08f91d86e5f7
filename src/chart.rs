//! Pictures as SVG text: a panel with its scales, axes with even ticks, lines, and cells of a heat map. Floats are pixels
//! here and places on a scale; nothing is counted with them.

use std::fmt::Write as _;

/// Ticks that an axis aims at.
const TICKS: f64 = 7.0;

/// The beginning of a picture of so many pixels.
#[must_use]
pub fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
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
        let mut svg = self.frame(title, x_name, y_name);
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

    /// Title and lines without ticks.
    #[must_use]
    pub fn frame(&self, title: &str, x_name: &str, y_name: &str) -> String {
        let (left, top, bottom) = (self.left, self.top, self.bottom());
        let (right, middle, low) = (left + self.width, left + self.width / 2.0, bottom + 34.0);
        let (title, x_name, y_name) = (escaped(title), escaped(x_name), escaped(y_name));
        let (title_y, name_y) = (top - 22.0, top - 7.0);
        format!(
            "<text x=\"{left}\" y=\"{title_y}\" font-weight=\"bold\">{title}</text>\
             <text x=\"{left}\" y=\"{name_y}\" fill=\"#555\">{y_name}</text>\
             <path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#333\"/>\
             <text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\" fill=\"#555\">{x_name}</text>\n"
        )
    }

    /// A tick of the x axis at a pixel.
    #[must_use]
    pub fn x_tick(&self, at: f64, label: &str) -> String {
        let (bottom, end, down) = (self.bottom(), self.bottom() + 4.0, self.bottom() + 16.0);
        format!(
            "<path d=\"M{at:.1} {bottom}V{end}\" stroke=\"#333\"/>\
             <text x=\"{at:.1}\" y=\"{down}\" text-anchor=\"middle\">{}</text>\n",
            escaped(label)
        )
    }

    /// A tick of the y axis at a pixel.
    #[must_use]
    pub fn y_tick(&self, at: f64, label: &str) -> String {
        let (left, begin, before, lower) = (self.left, self.left - 4.0, self.left - 7.0, at + 4.0);
        format!(
            "<path d=\"M{begin} {at:.1}H{left}\" stroke=\"#333\"/>\
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
        format!("<path d=\"M{left} {at:.1}H{right}\" stroke=\"#999\" stroke-dasharray=\"2 3\"/>\n")
    }

    /// A line through points.
    #[must_use]
    pub fn line(&self, points: impl Iterator<Item = (f64, f64)>, stroke: &str) -> String {
        let mut places = String::new();
        for (x, y) in points {
            // Writing to a String cannot fail.
            if write!(places, "{:.1},{:.1} ", self.at_x(x), self.at_y(y)).is_err() {
                return String::new();
            }
        }
        format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\"/>\n", places.trim_end())
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
