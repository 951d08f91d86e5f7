//! What the current offsets would have met in a recorded market: an offer of ours is imagined there, moved by the engine's own
//! plan, and filled by what was traded at its price or beyond. Pure.

use neo_market::model::calibration::{Exposure, Outcome};
use neo_market::model::{ModelError, RollingVolatility, to_float};
use neo_market::quote::{Desired, Moved, Moves, Quote, crosses, guard_bps, is_nearer, kept_from};
use neo_market::{
    Action, AmountError, BookLevel, Dec, Drops, MarketView, QuoteConfig, Resting, Rounding, Side, bps_from_mid, plan,
};
use neo_sim::mirror::depth::Reached;

use super::market::consecutive;

/// An offer of one side and level, over the whole recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Imagined {
    pub side: Side,
    pub level: u8,
    /// As configured.
    pub offset_bps: Dec,
    pub size: Drops,
    /// Where it really stood in each ledger, moved only when the tolerance says so, and whether it was filled.
    pub exposures: Vec<Exposure>,
    /// Ledgers in which it was filled, wholly or in part.
    pub fills: u64,
    pub filled: Drops,
    /// Transactions of ours: placed, moved, renewed, filled up, withdrawn.
    pub transactions: u64,
}

impl Imagined {
    pub fn hours(&self) -> f64 {
        self.exposures.iter().map(|each| each.time_s).sum::<f64>() / 3_600.0
    }
}

/// Every level of both sides; or why the configuration has no offer to imagine.
///
/// # Errors
/// A price or size that no amount holds.
pub fn all(ledgers: &[Reached], config: &QuoteConfig) -> Result<Result<Vec<Imagined>, String>, ModelError> {
    if config.needs_volatility() {
        let why = "the strategy moves its offsets with the volatility or the inventory: no fixed offset is current";
        return Ok(Err(why.to_string()));
    }
    let guards = guards(ledgers, config)?;
    let mut found = Vec::new();
    for level in 0..config.levels {
        let listed = config.sizes_xrp.get(usize::from(level)).copied();
        if config.size_pct.is_some() {
            let why = "size_pct makes sizes of what is owned, which a recording does not tell; set quote.size_xrp";
            return Ok(Err(why.to_string()));
        }
        let size = Drops::from_xrp(listed.unwrap_or(config.size_xrp), Rounding::Down)?;
        for side in Side::BOTH {
            found.push(one(ledgers, &guards, config, (side, level), size)?);
        }
    }
    Ok(Ok(found))
}

/// The margin that a new offer keeps from the best opposite price in each ledger: offers are imagined one ledger late.
fn guards(ledgers: &[Reached], config: &QuoteConfig) -> Result<Vec<Dec>, ModelError> {
    let mut reference = RollingVolatility::new(config.volatility_window_s);
    let mut moves = Moves::new(config.volatility_window_s);
    let mut guards = Vec::with_capacity(ledgers.len());
    for now in ledgers {
        reference.observe(now.close_time.0, now.from);
        let level = |price: Dec| vec![BookLevel { price, size: Drops::ZERO }];
        let [bid, ask] = now.best;
        let view = MarketView { ledger_index: now.index, bids: level(bid), asks: level(ask), ..MarketView::default() };
        moves.observe(now.close_time.0, &view)?;
        guards.push(guard_bps(moves.measured(&reference)?, 1, config)?);
    }
    Ok(guards)
}

/// What is decided before a ledger stands from its end: the ledger itself meets what stood there before.
fn one(
    ledgers: &[Reached],
    guards: &[Dec],
    config: &QuoteConfig,
    (side, level): (Side, u8),
    size: Drops,
) -> Result<Imagined, AmountError> {
    let offset_bps = config.offset_bps(side, level)?;
    let (exposures, filled) = (Vec::new(), Drops::ZERO);
    let mut seen = Imagined { side, level, offset_bps, size, exposures, fills: 0, filled, transactions: 0 };
    let mut resting: Option<Resting> = None;
    for (before, (now, guard)) in ledgers.iter().zip(ledgers.iter().zip(guards).skip(1)) {
        let Some(seconds) = consecutive(before, now) else {
            // Nobody knows what was there; its Expiration has withdrawn it at the latest.
            resting = None;
            continue;
        };
        let actions = {
            let wanted = quote(now, config, (side, level), offset_bps, size, *guard)?;
            let (quotes, moved) = wanted.map_or((None, None), |(quote, moved)| (Some(quote), moved));
            let (quotes, moved) = (quotes.into_iter().collect(), moved.into_iter().collect());
            let desired = Desired { reference_price: now.from, quotes, withheld: Vec::new(), moved };
            let here: Vec<Resting> = resting.into_iter().collect();
            plan(Some(&desired), &here, &[], now.index, now.close_time.0, config)
        };
        if let Some(offer) = resting.filter(|_| is_sound(now, side)) {
            resting = seen.meets(offer, now, seconds)?;
        }
        seen.transactions = seen.transactions.saturating_add(actions.len() as u64);
        for action in actions {
            resting = match action {
                Action::Cancel { .. } => None,
                Action::Place(quote) | Action::Replace { quote, .. } => Some(Resting {
                    side,
                    level,
                    offer_sequence: now.index,
                    price: quote.price,
                    remaining: quote.size,
                    placed_ledger: now.index,
                    expires_at_s: Some(now.close_time.0.saturating_add(config.expiration_s)),
                }),
            };
        }
    }
    Ok(seen)
}

impl Imagined {
    /// A ledger meets the offer: what is left of it.
    fn meets(&mut self, offer: Resting, now: &Reached, time_s: f64) -> Result<Option<Resting>, AmountError> {
        let beyond = beyond(now, self.side, offer.price)?;
        let taken = beyond.min(offer.remaining);
        let distance_bps = to_float(bps_from_mid(self.side, offer.price, now.from)?);
        let outcome = Outcome::Interval(taken > Drops::ZERO);
        self.exposures.push(Exposure { distance_bps, time_s, outcome });
        if taken > Drops::ZERO {
            self.fills = self.fills.saturating_add(1);
            self.filled = self.filled.add(taken)?;
        }
        let remaining = offer.remaining.sub(taken)?;
        Ok(Some(Resting { remaining, ..offer }).filter(|left| left.remaining > Drops::ZERO))
    }
}

fn is_sound(now: &Reached, side: Side) -> bool {
    let [bids, asks] = now.sound;
    match side {
        Side::Bid => bids,
        Side::Ask => asks,
    }
}

/// XRP that was traded at a price or a worse one for the taker: ours would have been taken first.
fn beyond(now: &Reached, side: Side, price: Dec) -> Result<Drops, AmountError> {
    let [bids, asks] = &now.traded;
    let of_side = match side {
        Side::Bid => bids,
        Side::Ask => asks,
    };
    let reaches = |traded: &Dec| match side {
        Side::Bid => *traded <= price,
        Side::Ask => *traded >= price,
    };
    let mut sum = Drops::ZERO;
    for (_, xrp) in of_side.iter().filter(|(traded, _)| reaches(traded)) {
        sum = sum.add(*xrp)?;
    }
    Ok(sum)
}

/// What should stand, with how the margin moves a new offer away; `None` where its own price would take.
fn quote(
    now: &Reached,
    config: &QuoteConfig,
    (side, level): (Side, u8),
    offset_bps: Dec,
    size: Drops,
    guard_bps: Dec,
) -> Result<Option<(Quote, Option<Moved>)>, AmountError> {
    let away = now.from.mul(offset_bps, Rounding::HalfEven)?.div(Dec::from_i64(10_000), Rounding::HalfEven)?;
    let [bid, ask] = now.best;
    let places = config.price_places;
    let (exact, best, rounding) = match side {
        Side::Bid => (now.from.sub(away)?, ask, Rounding::Down),
        Side::Ask => (now.from.add(away)?, bid, Rounding::Up),
    };
    let own = exact.round_places(places, rounding)?;
    if !own.is_positive() || crosses(side, own, best) {
        return Ok(None);
    }
    let margin_bps = guard_bps.add(config.step_bps(side, level)?)?;
    let kept = kept_from(side, best, margin_bps)?.round_places(places, rounding)?;
    let is_moved = guard_bps.is_positive() && is_nearer(side, own, kept);
    let price = if is_moved { kept } else { own };
    if !price.is_positive() {
        return Ok(None);
    }
    let moved = is_moved.then_some(Moved { side, level, own, price, best, margin_bps: guard_bps });
    Ok(Some((Quote::new(side, level, price, size)?, moved)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use neo_ledger::LedgerTime;

    fn dec(text: &str) -> Dec {
        text.parse().unwrap()
    }

    fn ledger(index: u32, from: &str, asks: &[(&str, i64)]) -> Reached {
        Reached {
            index,
            close_time: LedgerTime(index * 4),
            from: dec(from),
            best: [dec("1.99"), dec("2.01")],
            half_spread_bps: Dec::from_i64(50),
            traded: [Vec::new(), asks.iter().map(|(price, xrp)| (dec(price), Drops::new(xrp * 1_000_000))).collect()],
            base_fee: Drops::new(10),
            farthest_bps: [None, None],
            sound: [true, true],
        }
    }

    fn config() -> QuoteConfig {
        let none = Dec::zero();
        QuoteConfig { levels: 1, taking_guard_bps: none, taking_guard_deviations: none, ..QuoteConfig::default() }
    }

    fn of(ledgers: &[Reached], config: &QuoteConfig, side: Side) -> Imagined {
        all(ledgers, config).unwrap().unwrap().into_iter().find(|one| one.side == side).unwrap()
    }

    #[test]
    fn an_offer_is_filled_by_what_was_traded_at_its_price_or_beyond_and_by_no_more() {
        // It is placed at 2.002 in ledger 2. Of 70 XRP 30 are nearer; then 500 come for what is left.
        let mut all: Vec<Reached> = (1..=8).map(|index| ledger(index, "2", &[])).collect();
        all[1] = ledger(2, "2", &[("2.1", 500)]);
        all[3] = ledger(4, "2", &[("2.001", 30), ("2.002", 15), ("2.01", 25)]);
        all[4] = ledger(5, "2", &[("2.01", 500)]);
        let seen = of(&all, &config(), Side::Ask);
        let filled: Vec<bool> = seen.exposures.iter().map(|each| each.outcome == Outcome::Interval(true)).collect();
        // Ledger 2 is its first, ledger 6 the one in which a new one is placed.
        assert_eq!(filled, [false, true, true, false, false]);
        assert_eq!((seen.fills, seen.filled, seen.transactions), (2, Drops::new(100_000_000), 2));
        assert!(seen.exposures.iter().all(|each| (each.distance_bps - 10.0).abs() < 1e-9));
        assert_eq!(of(&all, &config(), Side::Bid).fills, 0);
    }

    #[test]
    fn an_offer_that_the_engine_would_keep_away_from_the_market_stands_away() {
        let tight = |index| Reached { best: [dec("1.9996"), dec("2.0004")], ..ledger(index, "2", &[]) };
        let all: Vec<Reached> = (1..=4).map(tight).collect();
        let unguarded = QuoteConfig { ask_offset_bps: Dec::from_i64(2), ..config() };
        let distance = |config: &QuoteConfig| of(&all, config, Side::Ask).exposures[0].distance_bps;
        assert!((distance(&unguarded) - 2.0).abs() < 0.01);
        // Five basis points above the best bid.
        let guarded = QuoteConfig { taking_guard_bps: Dec::from_i64(5), ..unguarded };
        assert!((distance(&guarded) - 3.0).abs() < 0.01, "{}", distance(&guarded));
    }

    #[test]
    fn it_moves_when_the_engines_own_plan_would_move_it() {
        // 2 bps are within the tolerance of 3, 50 are more than five times as much.
        let prices = ["2", "2", "2.0004", "2.0004", "2.0104", "2.0104", "2.0104"];
        let all: Vec<Reached> = (1_u32..).zip(prices).map(|(index, price)| ledger(index, price, &[])).collect();
        let seen = of(&all, &config(), Side::Bid);
        let distances: Vec<i64> = seen.exposures.iter().map(|each| each.distance_bps.round() as i64).collect();
        assert_eq!(distances, [12, 12, 62, 10, 10]);
        assert_eq!(seen.transactions, 2);
    }

    #[test]
    fn it_is_renewed_before_it_expires_and_a_hole_takes_it_away() {
        let quiet: Vec<Reached> = (1..=901).map(|index| ledger(index, "2", &[])).collect();
        let seen = of(&quiet, &config(), Side::Bid);
        // A life of 120 s ends after 80: every 84 s, being asked every four.
        assert_eq!(seen.transactions, 43);
        assert!((seen.hours() - 899.0 * 4.0 / 3_600.0).abs() < 1e-9);
        let mut torn = quiet[..5].to_vec();
        torn.extend_from_slice(&quiet[400..405]);
        assert_eq!(of(&torn, &config(), Side::Bid).exposures.len(), 3 + 3);
    }

    #[test]
    fn offsets_that_move_are_none_to_imagine() {
        let model = QuoteConfig { volatility_widen: Dec::one(), ..config() };
        assert!(all(&[], &model).unwrap().unwrap_err().contains("volatility"));
        let part = QuoteConfig { size_pct: Some(Dec::one()), ..config() };
        assert!(all(&[], &part).unwrap().unwrap_err().contains("quote.size_xrp"));
        // One that would take is withheld.
        let taking = QuoteConfig { ask_offset_bps: Dec::from_i64(-60), ..config() };
        let seen = of(&(1..=5).map(|index| ledger(index, "2", &[])).collect::<Vec<_>>(), &taking, Side::Ask);
        assert!(seen.exposures.is_empty() && seen.transactions == 0);
    }
}
