//! What to send so that the offers in the book become the desired ones.

use crate::quote::{BPS, Desired, Quote, QuoteConfig, Stays, crosses};
use crate::{AmountError, Dec, Drops, Rounding, Side};

/// A resting price this many tolerances off is stale: it is replaced without waiting for the refresh.
const STALE_TOLERANCES: i64 = 5;
/// An offer is renewed when less than one part in this many of its life remains.
const RENEW_FRACTION: u64 = 3;

/// An offer of ours in the validated ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The side it stands on.
    pub side: Side,
    /// The level it was placed for.
    pub level: u8,
    /// The sequence number that names it.
    pub offer_sequence: u32,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// XRP not filled yet.
    pub remaining: Drops,
    /// The ledger that placed it.
    pub placed_ledger: u32,
    /// Its Expiration, in seconds of ledger time; `None` when it never expires.
    pub expires_at_s: Option<u32>,
}

/// One transaction to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new offer.
    Place(Quote),
    /// A new offer that takes the place of a resting one in the same transaction.
    Replace {
        /// The offer that goes.
        offer_sequence: u32,
        /// The offer that comes.
        quote: Quote,
    },
    /// A resting offer is withdrawn.
    Cancel {
        /// The offer that goes.
        offer_sequence: u32,
        /// Its side.
        side: Side,
        /// Its level.
        level: u8,
    },
}

impl Action {
    /// The side and level it acts on.
    #[must_use]
    pub fn slot(&self) -> (Side, u8) {
        match self {
            Action::Place(quote) | Action::Replace { quote, .. } => (quote.side, quote.level),
            Action::Cancel { side, level, .. } => (*side, *level),
        }
    }
}

/// The transactions that make `resting` what is desired, level by level, bid before ask. When a new quote would meet an
/// offer of ours that still rests on the other side, that side moves first: the ledger deletes an own offer that is
/// crossed, and runs an account's transactions in order.
///
/// Levels in `busy` have a transaction in flight and are left alone. With nothing desired at all (`None`), or nothing
/// for a level, what rests there is cancelled. A resting offer is replaced when
/// - less than a third of its life (`expiration_s`) remains, or
/// - its price is off by more than five tolerances, or
/// - it has rested `refresh_ledgers` and its price or size is off by more than its tolerance;
///
/// otherwise it is kept, and keeps its place in the queue. For a quote that was moved away from the market, every price
/// between its own and the one it was moved to is right: what rests nearer takes nothing, and is
/// not chased away. Where no new offer can be placed at the margin ([`crate::quote::Stays`]), what rests at a right price
/// stays until it expires, and what does not is cancelled. Of several offers on one level only the newest can stay.
/// `close_time_s` is the close time of the ledger `ledger_index`, on the same scale as [`Resting::expires_at_s`].
#[must_use]
pub fn plan(
    desired: Option<&Desired>,
    resting: &[Resting],
    busy: &[(Side, u8)],
    ledger_index: u32,
    close_time_s: u32,
    config: &QuoteConfig,
) -> Vec<Action> {
    let now = Now { ledger_index, close_time_s };
    let mut actions = Vec::new();
    for (level, side) in slots(desired, resting) {
        if busy.contains(&(side, level)) {
            continue;
        }
        let quote = desired.and_then(|desired| Target::of(desired, side, level));
        let mut here: Vec<&Resting> = resting.iter().filter(|r| r.side == side && r.level == level).collect();
        here.sort_by_key(|r| std::cmp::Reverse(r.offer_sequence));
        plan_level(quote, &here, now, config, &mut actions);
    }
    if let Some(first) = in_the_way(desired, resting) {
        actions.sort_by_key(|action| action.slot().0 != first);
    }
    actions
}

/// What is left of [`plan`] while no offer may be placed: cancels of what should not stand any more. An offer whose price
/// would be corrected goes; one that would only be renewed, or get another size, stays.
#[must_use]
pub fn withdrawals(
    desired: Option<&Desired>,
    resting: &[Resting],
    busy: &[(Side, u8)],
    ledger_index: u32,
    close_time_s: u32,
    config: &QuoteConfig,
) -> Vec<Action> {
    let now = Now { ledger_index, close_time_s };
    let actions = plan(desired, resting, busy, ledger_index, close_time_s, config).into_iter();
    let left = actions.filter_map(|action| match action {
        Action::Place(_) => None,
        Action::Cancel { .. } => Some(action),
        Action::Replace { offer_sequence, quote } => {
            let target = Target::of(desired?, quote.side, quote.level)?;
            let stale = |r: &&Resting| r.offer_sequence == offer_sequence && wrong_price(r, target, now, config);
            let Resting { side, level, .. } = *resting.iter().find(stale)?;
            Some(Action::Cancel { offer_sequence, side, level })
        }
    });
    left.collect()
}

/// The side whose resting offers a desired quote of the other side would meet.
fn in_the_way(desired: Option<&Desired>, resting: &[Resting]) -> Option<Side> {
    let quotes = &desired?.quotes;
    let meets = |offer: &&Resting| quotes.iter().any(|q| q.side != offer.side && crosses(q.side, q.price, offer.price));
    resting.iter().find(meets).map(|offer| offer.side)
}

/// What is desired for a level: the quote that a new offer is, if one may be placed, and the prices that one which rests
/// may have.
#[derive(Clone, Copy)]
struct Target<'a> {
    quote: Option<&'a Quote>,
    own: Dec,
    farthest: Dec,
}

impl Target<'_> {
    fn of(desired: &Desired, side: Side, level: u8) -> Option<Target<'_>> {
        let Some(quote) = desired.quote(side, level) else {
            let Stays { own, farthest } = desired.stays(side, level)?;
            return Some(Target { quote: None, own, farthest });
        };
        let own = desired.moved(side, level).map_or(quote.price, |moved| moved.own);
        Some(Target { quote: Some(quote), own, farthest: quote.price })
    }

    /// The right price that is nearest to `price`.
    fn nearest(&self, price: Dec) -> Dec {
        let (low, high) = (self.own.min(self.farthest), self.own.max(self.farthest));
        price.max(low).min(high)
    }
}

#[derive(Clone, Copy)]
struct Now {
    ledger_index: u32,
    close_time_s: u32,
}

/// Every level that something is desired for or rests on, each once, in order.
fn slots(desired: Option<&Desired>, resting: &[Resting]) -> Vec<(u8, Side)> {
    let quotes = desired.map_or(&[][..], |desired| &desired.quotes);
    let wanted = quotes.iter().map(|quote| (quote.level, quote.side));
    let mut slots: Vec<(u8, Side)> = wanted.chain(resting.iter().map(|r| (r.level, r.side))).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

fn plan_level(
    target: Option<Target<'_>>,
    here: &[&Resting],
    now: Now,
    config: &QuoteConfig,
    actions: &mut Vec<Action>,
) {
    let cancel = |r: &Resting| Action::Cancel { offer_sequence: r.offer_sequence, side: r.side, level: r.level };
    let surplus = match (target, here.split_first()) {
        (None, _) => here,
        (Some(target), None) => {
            actions.extend(target.quote.map(|quote| Action::Place(*quote)));
            &[]
        }
        (Some(target), Some((newest, rest))) => match target.quote {
            Some(quote) if must_go(newest, quote, target, now, config) => {
                actions.push(Action::Replace { offer_sequence: newest.offer_sequence, quote: *quote });
                rest
            }
            None if wrong_price(newest, target, now, config) => here,
            _ => rest,
        },
    };
    actions.extend(surplus.iter().map(|r| cancel(r)));
}

fn must_go(resting: &Resting, quote: &Quote, target: Target<'_>, now: Now, config: &QuoteConfig) -> bool {
    if let Some(expires_at_s) = resting.expires_at_s {
        let left_s = u64::from(expires_at_s.saturating_sub(now.close_time_s));
        if left_s * RENEW_FRACTION < u64::from(config.expiration_s) {
            return true;
        }
    }
    wrong_price(resting, target, now, config) || (is_aged(resting, now, config) && size_off(resting, quote, config))
}

fn is_aged(resting: &Resting, now: Now, config: &QuoteConfig) -> bool {
    now.ledger_index.saturating_sub(resting.placed_ledger) >= config.refresh_ledgers
}

fn wrong_price(resting: &Resting, target: Target<'_>, now: Now, config: &QuoteConfig) -> bool {
    let price_off = |tolerances| price_off(resting, target, config, tolerances);
    price_off(STALE_TOLERANCES) || (is_aged(resting, now, config) && price_off(1))
}

fn price_off(resting: &Resting, target: Target<'_>, config: &QuoteConfig, tolerances: i64) -> bool {
    let off = || -> Result<bool, AmountError> {
        let tolerance_bps = config.tolerance_bps.mul(Dec::from_i64(tolerances), Rounding::HalfEven)?;
        exceeds(resting.price, target.nearest(resting.price), tolerance_bps, BPS)
    };
    // Prices so absurd that their difference has no value are off by any measure.
    off().unwrap_or(true)
}

fn size_off(resting: &Resting, quote: &Quote, config: &QuoteConfig) -> bool {
    let off = || exceeds(resting.remaining.to_xrp()?, quote.size.to_xrp()?, config.size_tolerance_pct, 100);
    off().unwrap_or(true)
}

/// True when `have` differs from `want` by more than `tolerance` parts in `whole` of `want`.
fn exceeds(have: Dec, want: Dec, tolerance: Dec, whole: i64) -> Result<bool, AmountError> {
    let difference = have.sub(want)?.abs().mul(Dec::from_i64(whole), Rounding::HalfEven)?;
    Ok(difference > want.mul(tolerance, Rounding::HalfEven)?)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
