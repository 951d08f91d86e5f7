//! Prints our figures for the simulation of Avellaneda and Stoikov (2008), section 3.3, beside the published ones.
//! Usage: avellaneda_stoikov [SEED]   (default 1)
#![allow(
    clippy::float_arithmetic,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for a terminal; a wrong seed ends it"
)]

#[path = "../tests/paper/mod.rs"]
mod paper;

use paper::{PATHS, Row, published, simulate};

fn main() {
    let seed = std::env::args().nth(1).map_or(1, |text| text.parse::<u64>().unwrap());
    println!("Avellaneda and Stoikov (2008), section 3.3: {PATHS} paths a strategy, seed {seed}");
    for gamma in [0.1, 0.01, 0.5, 1.0] {
        println!("\ngamma = {gamma}");
        println!(
            "{:<22} {:>7} {:>7} {:>12} {:>8} {:>13}",
            "", "spread", "profit", "std(profit)", "final q", "std(final q)"
        );
        simulate(gamma, seed).iter().for_each(|row| line("ours", row));
        match published(gamma) {
            Some(rows) => rows.iter().for_each(|row| line("published", row)),
            None => println!("published: the article has no table for this gamma"),
        }
    }
}

fn line(whose: &str, row: &Row) {
    let Row { strategy, spread, profit, profit_deviation, inventory, inventory_deviation } = row;
    let name = format!("{strategy}, {whose}");
    println!(
        "{name:<22} {spread:>7.2} {profit:>7.1} {profit_deviation:>12.1} {inventory:>8.2} {inventory_deviation:>13.1}"
    );
}
