//! From what was quoted and filled to where to quote: the arrivals' law with its uncertainty, what fills cost afterwards,
//! what an offset would earn, and whether the data suffice to say any of it.
//!
//! Distances are in basis points of the mid, times in seconds, profits in basis points of one order's value.

mod advice;
mod cost;
mod fit;
mod wanted;

use thiserror::Error;

pub use advice::{Advice, Confirmation, Economics, advise, confirm, profit_per_hour};
pub use cost::Cost;
pub use fit::{Fit, fit, from_depths};
pub use wanted::{WIDTH, Wanted, wanted};

use super::statistics::{Estimate, Mean, poisson_interval};

/// Fills below which no law is fitted.
pub const MIN_FILLS: u64 = 10;
/// Mark-outs below which no offset is recommended.
pub const MIN_MARK_OUTS: u64 = 10;

/// What became of a quote in the time that it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Whether it was filled in an interval; when in the interval is not known, and it was not renewed within it.
    Interval(bool),
    /// How often it was filled where it was renewed at once.
    Count(u32),
}

impl Outcome {
    fn fills(self) -> u64 {
        match self {
            Outcome::Interval(filled) => u64::from(filled),
            Outcome::Count(count) => u64::from(count),
        }
    }
}

/// A quote that stood at a distance from the mid for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Of the mid, positive on our own side of it.
    pub distance_bps: f64,
    /// How long.
    pub time_s: f64,
    /// What happened.
    pub outcome: Outcome,
}

/// Why the data do not suffice, and how much more would.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Shortage {
    /// No quote of a known distance stood for any time.
    #[error("no quote with a known distance from the mid; run a session, which records both")]
    NothingQuoted,
    /// Too few fills.
    #[error(
        "{fills} fills in {hours:.1} hours of quotes, and {MIN_FILLS} are the least that a law is fitted to; {}",
        so_many_hours(*.more_hours)
    )]
    TooFewFills {
        /// Fills there were.
        fills: u64,
        /// Hours of quoting, each offer counted.
        hours: f64,
        /// Hours more at the same rate; `None` without a fill.
        more_hours: Option<f64>,
    },
    /// All quotes stood at one distance: how arrivals fall with it cannot be seen.
    #[error(
        "all quotes stood {distance_bps:.1} bps from the mid, so how arrivals fall with the distance cannot be seen; \
         quote a part of the time, or a second level, at another distance, such as {:.1} bps",
        distance_bps * 1.5
    )]
    OneDistance {
        /// That distance.
        distance_bps: f64,
    },
    /// The fills do not show that arrivals fall with the distance.
    #[error(
        "k = {k:.4} per bps with an error of {error:.4}: fills at larger distances are not fewer for certain; {}",
        so_much_data(*.times_more)
    )]
    NoDecay {
        /// The fitted k.
        k: f64,
        /// Its standard error.
        error: f64,
        /// So many times the data would make it certain, should k be what it seems; `None` where it is not above zero.
        times_more: Option<f64>,
    },
    /// Too few fills whose mid afterwards is known.
    #[error(
        "the mid afterwards is known of {have} fills, and {MIN_MARK_OUTS} are the least that a cost of fills is told from; \
         more fills are needed, with snapshots after them"
    )]
    TooFewMarkOuts {
        /// Of how many it is known.
        have: u64,
    },
    /// A fill costs as much more as it is farther away.
    #[error(
        "a fill costs {slope:.2} bps more with each bps of distance, so that none is far enough to pay for it; quote smaller \
         offers, which those who know more take less of, or not this market"
    )]
    NoneEarns {
        /// Basis points of cost for each of distance.
        slope: f64,
    },
}

fn so_many_hours(hours: Option<f64>) -> String {
    match hours {
        Some(hours) => format!("about {hours:.1} hours more at this rate"),
        None => "how long that takes cannot be told without a fill: quote nearer, or longer".to_string(),
    }
}

fn so_much_data(times: Option<f64>) -> String {
    match times {
        Some(times) => format!("about {times:.1} times as much data as there is would show it"),
        None => "quote at distances that differ more, and longer".to_string(),
    }
}

/// How often quotes of a range of distances were filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Distances from here ...
    pub from_bps: f64,
    /// ... to below here.
    pub to_bps: f64,
    /// Fills.
    pub fills: u64,
    /// Seconds quoted, each offer counted.
    pub exposed_s: f64,
    /// Fills an hour of one offer, with Garwood's exact interval.
    pub fills_per_hour: Estimate,
}

impl Bucket {
    /// Chance that an offer in it is filled within `time_s`.
    #[must_use]
    pub fn chance(&self, time_s: f64) -> Estimate {
        let chance = |per_hour: f64| -(-per_hour / 3_600.0 * time_s).exp_m1();
        let Estimate { value, low, high } = self.fills_per_hour;
        Estimate { value: chance(value), low: chance(low), high: chance(high) }
    }
}

/// Fills by distance, between neighbouring `edges`; ranges that nothing stood in are left out.
#[must_use]
pub fn buckets(exposures: &[Exposure], edges: &[f64]) -> Vec<Bucket> {
    let ranges = edges.windows(2).filter_map(|pair| match pair {
        [from, to] => Some((*from, *to)),
        _ => None,
    });
    ranges
        .filter_map(|(from_bps, to_bps)| {
            let inside = |each: &&Exposure| each.distance_bps >= from_bps && each.distance_bps < to_bps;
            let (fills, exposed_s) = exposures
                .iter()
                .filter(inside)
                .fold((0, 0.0), |(fills, time), each| (fills + each.outcome.fills(), time + each.time_s));
            let fills_per_hour = poisson_interval(fills).times(3_600.0 / exposed_s);
            (exposed_s > 0.0).then_some(Bucket { from_bps, to_bps, fills, exposed_s, fills_per_hour })
        })
        .collect()
}

/// What became of a fill: how far it was from the mid, and where the mid went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkOut {
    /// Distance of the fill's price from the mid of the ledger before, in our favour.
    pub distance_bps: f64,
    /// Gain against the mid some ledgers later, in our favour: the distance less what the mid moved against us.
    pub gain_bps: f64,
}

/// Mean gain of the fills between neighbouring `edges` of distance, with its interval; ranges of fewer than two are left
/// out.
#[must_use]
pub fn mark_outs_by_distance(mark_outs: &[MarkOut], edges: &[f64]) -> Vec<(f64, f64, Mean)> {
    let ranges = edges.windows(2).filter_map(|pair| match pair {
        [from, to] => Some((*from, *to)),
        _ => None,
    });
    ranges
        .filter_map(|(from, to)| {
            let inside = mark_outs.iter().filter(|each| each.distance_bps >= from && each.distance_bps < to);
            let gains: Vec<f64> = inside.map(|each| each.gain_bps).collect();
            Mean::of(&gains).map(|mean| (from, to, mean))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(distance_bps: f64, time_s: f64, filled: bool) -> Exposure {
        Exposure { distance_bps, time_s, outcome: Outcome::Interval(filled) }
    }

    #[test]
    fn fills_are_counted_in_the_range_they_stood_in() {
        let data = [exposure(4.9, 1_800.0, true), exposure(5.0, 3_600.0, false), exposure(12.0, 100.0, true)];
        let found = buckets(&data, &[0.0, 5.0, 10.0, 11.0, 20.0]);
        assert_eq!(found.len(), 3);
        assert_eq!(found.iter().map(|each| each.fills).collect::<Vec<_>>(), [1, 0, 1]);
        assert!((found[0].fills_per_hour.value - 2.0).abs() < 1e-9);
        assert!((found[1].fills_per_hour.high - 3.689).abs() < 0.001 && found[1].fills_per_hour.low.abs() < 1e-12);
        assert!((found[0].chance(4.0).value - (1.0 - (-2.0_f64 * 4.0 / 3_600.0).exp())).abs() < 1e-12);
    }

    #[test]
    fn gains_are_told_by_distance() {
        let mark_outs: Vec<MarkOut> =
            (0..20).map(|at| MarkOut { distance_bps: 10.0, gain_bps: if at % 2 == 0 { 6.0 } else { 8.0 } }).collect();
        let by_distance = mark_outs_by_distance(&mark_outs, &[0.0, 10.0, 20.0]);
        assert_eq!(by_distance.len(), 1);
        assert!((by_distance[0].2.value - 7.0).abs() < 1e-12);
    }
}
