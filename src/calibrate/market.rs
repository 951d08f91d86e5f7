//! From what a recorded market traded to what calibration rests on: how far through the middle each ledger's trades reached,
//! and where the middle went afterwards. Nobody need have quoted. Pure.

use neo_market::model::calibration::{Exposure, Fit, MarkOut, Outcome, Shortage, Wanted, from_depths};
use neo_market::model::statistics::{Estimate, Mean};
use neo_market::model::to_float;
use neo_market::{Dec, Side, bps_from_mid};
use neo_sim::mirror::depth::Reached;

use super::observe::{COST_HORIZON, HORIZONS, LATE, LONGEST_GAP_S, Observed};

/// Distances at which an offer is imagined to have stood, one for each range of the table.
const IMAGINED_BPS: [f64; 11] = [1.0, 3.5, 6.5, 10.0, 14.0, 18.0, 25.0, 40.0, 65.0, 100.0, 150.0];

/// One side of a ledger in which something was traded.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    pub side: Side,
    /// Its farthest trade, in basis points from the price before it.
    pub reached_bps: f64,
    /// All of it: basis points, XRP.
    pub traded: Vec<(f64, f64)>,
    /// What the price then moved against an offer that it filled; `None` where it is not known.
    pub against_bps: Option<f64>,
}

impl Reach {
    /// The part of an offer of `size_xrp` at a distance that it would have taken.
    fn share(&self, distance_bps: f64, size_xrp: f64) -> f64 {
        let beyond = self.traded.iter().filter(|(bps, _)| *bps >= distance_bps).map(|(_, xrp)| xrp).sum::<f64>();
        (beyond / size_xrp).min(1.0)
    }
}

/// How far trades reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Depths {
    pub reaches: Vec<Reach>,
    /// Nearer than this not all who would have traded are seen: half of the usual spread.
    pub floor_bps: f64,
    /// Seconds of bids and of asks of which all trades are known.
    pub observed_s: [f64; 2],
}

impl Depths {
    fn of(&self, side: Option<Side>) -> impl Iterator<Item = &Reach> {
        self.reaches.iter().filter(move |each| side.is_none_or(|side| each.side == side))
    }

    fn seconds(&self, side: Option<Side>) -> f64 {
        let [bids, asks] = self.observed_s;
        match side {
            None => bids + asks,
            Some(Side::Bid) => bids,
            Some(Side::Ask) => asks,
        }
    }

    fn depths(&self, side: Option<Side>) -> Vec<f64> {
        self.of(side).map(|each| each.reached_bps).collect()
    }

    /// The law of arrivals of one side, or of both.
    ///
    /// # Errors
    /// [`Shortage`] when the data do not suffice.
    pub fn law(&self, side: Option<Side>) -> Result<Fit, Shortage> {
        from_depths(&self.depths(side), self.floor_bps, self.seconds(side))
    }

    /// How much longer the market must be recorded.
    pub fn wanted(&self, side: Option<Side>) -> Option<Wanted> {
        Wanted::trades(&self.depths(side), self.floor_bps, self.seconds(side))
    }

    /// The part of an offer that those take who reach it; `None` where fewer than two do.
    pub fn share(&self, side: Option<Side>, distance_bps: f64, size_xrp: f64) -> Option<Mean> {
        let reaching = self.of(side).filter(|each| each.reached_bps >= distance_bps);
        Mean::of(&reaching.map(|each| each.share(distance_bps, size_xrp)).collect::<Vec<_>>())
    }

    /// What an offer at a distance would have earned an hour before fees, in basis points of its value: counted trade by trade,
    /// without any law. Trades whose later price is not known are left out.
    pub fn counted(&self, side: Option<Side>, distance_bps: f64, size_xrp: f64) -> Option<Estimate> {
        let hours = self.seconds(side) / 3_600.0;
        let reaching = self.of(side).filter(|each| each.reached_bps >= distance_bps);
        let gains: Vec<f64> = reaching
            .filter_map(|each| Some(each.share(distance_bps, size_xrp) * (distance_bps - each.against_bps?)))
            .collect();
        // The number of trades is as uncertain as their gains: the sum's variance is the sum of squares.
        let (sum, squares) = gains.iter().fold((0.0, 0.0), |(sum, squares), gain| (sum + gain, squares + gain * gain));
        (hours > 0.0 && gains.len() >= 2).then(|| Estimate::normal(sum / hours, squares.sqrt() / hours))
    }
}

/// Seconds from one ledger to the next; `None` where others are between, or the recorder was away.
pub(super) fn consecutive(before: &Reached, now: &Reached) -> Option<f64> {
    let seconds = f64::from(now.close_time.0.saturating_sub(before.close_time.0));
    (now.index == before.index.saturating_add(1) && seconds <= LONGEST_GAP_S).then_some(seconds)
}

/// What a market tells: the same as a session's quotes would, as if an offer had stood at each of some distances in each
/// ledger.
#[must_use]
pub fn observe(ledgers: &[Reached]) -> Observed {
    let mut observed = Observed::default();
    let mut depths = Depths { floor_bps: usual_half_spread(ledgers), ..Depths::default() };
    let times = ledgers.iter().zip(ledgers.iter().skip(1));
    for (at, (before, now)) in times.enumerate() {
        let Some(seconds) = consecutive(before, now) else { continue };
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
                let mut against_bps = None;
                for (which, (horizon, into)) in HORIZONS.into_iter().zip(&mut observed.mark_outs).enumerate() {
                    let found = mark_out(ledgers, at + 1, side, farthest, horizon);
                    if which == COST_HORIZON {
                        against_bps = found.map(|found| found.distance_bps - found.gain_bps);
                    }
                    into.extend(found.map(|found| (side, found)));
                }
                let traded = now.traded.get(which).map_or(&[][..], Vec::as_slice).iter();
                let traded = traded.filter_map(|(price, xrp)| {
                    let Ok(bps) = bps_from_mid(side, *price, now.from) else { return None };
                    Some((to_float(bps), xrp.get() as f64 / 1e6))
                });
                depths.reaches.push(Reach { side, reached_bps: reached, traded: traded.collect(), against_bps });
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
    let Ok(fall) = bps_from_mid(side, later.from, now.from) else { return None };
    let (distance, against) = (to_float(farthest), to_float(fall));
    Some(MarkOut { distance_bps: distance, gain_bps: distance - against })
}

#[cfg(test)]
mod tests {
    use super::*;
    use neo_ledger::LedgerTime;
    use neo_market::{Drops, Rounding};

    const HALF_EVEN: Rounding = Rounding::HalfEven;

    /// 30 XRP half as far, 50 as far.
    fn sold(middle: &str, bps: i64) -> Vec<(Dec, Drops)> {
        let middle: Dec = middle.parse().unwrap();
        let price = |bps| middle.add(middle.mul(Dec::from_parts(bps, -4).unwrap(), HALF_EVEN).unwrap()).unwrap();
        vec![(price(bps / 2), Drops::new(30_000_000)), (price(bps), Drops::new(50_000_000))]
    }

    fn ledger(index: u32, middle: &str, asks: Option<i64>) -> Reached {
        Reached {
            index,
            close_time: LedgerTime(index * 4),
            from: middle.parse().unwrap(),
            best: [middle.parse().unwrap(); 2],
            traded: [Vec::new(), asks.map_or_else(Vec::new, |bps| sold(middle, bps))],
            base_fee: Drops::new(10),
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
        assert_eq!((depths.observed_s, depths.depths(None)), ([28.0, 28.0], vec![20.0]));
        let traded = vec![(10.0, 30.0), (20.0, 50.0)];
        let reach = Reach { side: Side::Ask, reached_bps: 20.0, traded, against_bps: Some(5.0) };
        assert_eq!(depths.reaches[..], *std::slice::from_ref(&reach));
        // Two such trades in 28 s: an offer of 100 XRP is filled by 80 of them or 50, one of 40 whole.
        let twice = Depths { reaches: vec![reach.clone(), reach], ..depths.clone() };
        let share = |distance, size| twice.share(Some(Side::Ask), distance, size).map(|mean| mean.value);
        assert_eq!((share(10.0, 100.0), share(10.1, 100.0), share(10.1, 40.0)), (Some(0.8), Some(0.5), Some(1.0)));
        assert_eq!((share(20.1, 40.0), twice.share(Some(Side::Bid), 1.0, 40.0)), (None, None));
        let counted = twice.counted(Some(Side::Ask), 10.0, 100.0).unwrap();
        assert!((counted.value - 2.0 * 0.8 * (10.0 - 5.0) * 3_600.0 / 28.0).abs() < 1e-9, "{counted:?}");
        assert!((depths.floor_bps - 5.0).abs() < 1e-9);
    }
}
