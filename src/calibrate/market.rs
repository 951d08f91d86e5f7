//! From what a recorded market traded to what calibration rests on: how far through the middle each ledger's trades reached,
//! and where the middle went afterwards. Nobody need have quoted. Pure.

use neo_market::model::calibration::{Exposure, Fit, MarkOut, Outcome, Shortage, from_depths};
use neo_market::model::to_float;
use neo_market::{Dec, Side, bps_from_mid};
use neo_sim::mirror::depth::Reached;

use super::observe::{HORIZONS, LATE, LONGEST_GAP_S, Observed};

/// Distances at which an offer is imagined to have stood, one for each range of the table.
const IMAGINED_BPS: [f64; 11] = [1.0, 3.5, 6.5, 10.0, 14.0, 18.0, 25.0, 40.0, 65.0, 100.0, 150.0];

/// How far trades reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Depths {
    /// The farthest trade of each ledger and side, in basis points from the middle before it.
    pub reached_bps: Vec<(Side, f64)>,
    /// Nearer than this not all who would have traded are seen: half of the usual spread.
    pub floor_bps: f64,
    /// Seconds of bids and of asks of which all trades are known.
    pub observed_s: [f64; 2],
}

impl Depths {
    /// The law of arrivals of one side, or of both.
    ///
    /// # Errors
    /// [`Shortage`] when the data do not suffice.
    pub fn law(&self, side: Option<Side>) -> Result<Fit, Shortage> {
        let of = |each: &&(Side, f64)| side.is_none_or(|side| each.0 == side);
        let depths: Vec<f64> = self.reached_bps.iter().filter(of).map(|(_, depth)| *depth).collect();
        let [bids, asks] = self.observed_s;
        let observed = match side {
            None => bids + asks,
            Some(Side::Bid) => bids,
            Some(Side::Ask) => asks,
        };
        from_depths(&depths, self.floor_bps, observed)
    }
}

/// What a market tells: the same as a session's quotes would, as if an offer had stood at each of some distances in each
/// ledger.
#[must_use]
pub fn observe(ledgers: &[Reached]) -> Observed {
    let mut observed = Observed::default();
    let mut depths = Depths { floor_bps: usual_half_spread(ledgers), ..Depths::default() };
    let times = ledgers.iter().zip(ledgers.iter().skip(1));
    for (at, (before, now)) in times.enumerate() {
        let seconds = f64::from(now.close_time.0.saturating_sub(before.close_time.0));
        // Ledgers without a middle are between these, or the recorder was away.
        if now.index != before.index.saturating_add(1) || seconds > LONGEST_GAP_S {
            continue;
        }
        observed.ledgers += 1;
        observed.ledgers_s += seconds;
        for (which, side) in Side::BOTH.into_iter().enumerate() {
            if now.sound.get(which) != Some(&true) {
                continue;
            }
            if let Some(time) = depths.observed_s.get_mut(which) {
                *time += seconds;
            }
            let farthest = now.farthest_bps.get(which).copied().flatten();
            let reached = farthest.map(to_float);
            observed.exposures.extend(IMAGINED_BPS.map(|distance_bps| {
                let filled = reached.is_some_and(|reached| reached >= distance_bps);
                (side, Exposure { distance_bps, time_s: seconds, outcome: Outcome::Interval(filled) })
            }));
            if let (Some(farthest), Some(reached)) = (farthest, reached) {
                observed.fills += 1;
                depths.reached_bps.push((side, reached));
                for (horizon, into) in HORIZONS.into_iter().zip(&mut observed.mark_outs) {
                    into.extend(mark_out(ledgers, at + 1, side, farthest, horizon).map(|mark_out| (side, mark_out)));
                }
            }
        }
    }
    observed.depths = Some(depths);
    observed
}

fn usual_half_spread(ledgers: &[Reached]) -> f64 {
    let mut all: Vec<Dec> = ledgers.iter().map(|one| one.half_spread_bps).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().map_or(0.0, to_float)
}

/// An offer of that distance would have been filled in ledger `at`: what it gained by the middle some ledgers later.
fn mark_out(ledgers: &[Reached], at: usize, side: Side, farthest: Dec, horizon: u32) -> Option<MarkOut> {
    let now = ledgers.get(at)?;
    // The middle after a ledger is the one before the next.
    let wanted = now.index.checked_add(horizon)?.checked_add(1)?;
    let later = ledgers.get(ledgers.partition_point(|one| one.index < wanted))?;
    if later.index > wanted.saturating_add(LATE) {
        return None;
    }
    // How far the middle went in our favour: a bid is glad of a rise.
    let Ok(fall) = bps_from_mid(side, later.middle, now.middle) else { return None };
    let (distance, against) = (to_float(farthest), to_float(fall));
    Some(MarkOut { distance_bps: distance, gain_bps: distance - against })
}

#[cfg(test)]
mod tests {
    use super::*;
    use neo_ledger::LedgerTime;

    fn ledger(index: u32, middle: &str, asks: Option<i64>) -> Reached {
        Reached {
            index,
            close_time: LedgerTime(index * 4),
            middle: middle.parse().unwrap(),
            half_spread_bps: Dec::from_i64(5),
            farthest_bps: [None, asks.map(Dec::from_i64)],
            sound: [true, true],
        }
    }

    #[test]
    fn a_trade_counts_at_every_distance_that_it_reached_and_the_middle_is_followed() {
        let mut all = vec![ledger(1, "2", None), ledger(2, "2", Some(20)), ledger(3, "2.002", None)];
        all.extend((4..9).map(|index| ledger(index, "2.001", None)));
        // A ledger whose middle is not known tells nothing, nor does the one after it.
        all.push(ledger(10, "2.001", Some(50)));
        let told = observe(&all);
        assert_eq!((told.ledgers, told.fills), (7, 1));
        let filled: Vec<f64> = told
            .exposures
            .iter()
            .filter(|(side, each)| *side == Side::Ask && each.outcome == Outcome::Interval(true))
            .map(|(_, each)| each.distance_bps)
            .collect();
        assert_eq!(filled, [1.0, 3.5, 6.5, 10.0, 14.0, 18.0]);
        // Sold 20 bps above 2; the middle rose by 10 bps in that ledger and the next, by 5 after five.
        let gains: Vec<f64> = told.mark_outs.iter().flatten().map(|(_, each)| each.gain_bps.round()).collect();
        assert_eq!(gains, [15.0, 15.0]);
        let depths = told.depths.unwrap();
        assert_eq!((depths.observed_s, depths.reached_bps), ([28.0, 28.0], vec![(Side::Ask, 20.0)]));
        assert!((depths.floor_bps - 5.0).abs() < 1e-9);
    }
}
