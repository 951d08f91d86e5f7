//! What the record costs: durable rows a second beside what SQLite can take at most, how long an acknowledgement takes, how
//! long a checkpoint holds the writer up, how long a stop takes. One run, one table at the end.
//!
//! Whatever is compared runs interleaved, so that what else the machine does falls on both alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figures"
)]

mod latency;
mod pauses;
mod rows;
mod saturated;
mod stop;

/// One line of the table: what, how much, and what is aimed at.
pub struct Figure {
    what: String,
    figure: String,
    aim: &'static str,
}

impl Figure {
    fn new(what: impl Into<String>, figure: impl Into<String>, aim: &'static str) -> Figure {
        let figure = Figure { what: what.into(), figure: figure.into(), aim };
        println!("{}: {}", figure.what, figure.figure);
        figure
    }
}

/// A part of the benchmark.
type Part = fn() -> Vec<Figure>;

fn main() {
    let parts: [(&str, Part); 4] =
        [("saturated", saturated::run), ("latency", latency::run), ("pauses", pauses::run), ("stop", stop::run)];
    // `cargo bench ... -- pauses` runs one part; cargo's own flag is none.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut figures = Vec::new();
    for (name, run) in parts {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            figures.extend(run());
        }
    }
    println!("\n| what | figure | aim |\n| --- | --- | --- |");
    for Figure { what, figure, aim } in figures {
        println!("| {what} | {figure} | {aim} |");
    }
}
