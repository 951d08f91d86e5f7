//! One level: its price, its size, and everything that may withhold it.

use super::config::QuoteConfig;
use super::guard::{Moved, Stays, is_nearer};
use super::{BPS, Funds, Quote, WithheldReason, crosses, favourable};
use crate::skew::Skew;
use crate::strategy::Shape;
use crate::{AmountError, Dec, Drops, IssuerRules, MarketView, Rounding, Side};

/// Why a level gets no new offer, and where what rests on it may stay all the same.
type LeftOut = (WithheldReason, Option<Stays>);

/// What the levels of one ledger have in common.
pub(super) struct Levels<'a> {
    pub(super) view: &'a MarketView,
    pub(super) config: &'a QuoteConfig,
    pub(super) rules: IssuerRules,
    pub(super) skew: Skew,
    pub(super) shape: Shape,
    pub(super) reference: Dec,
    /// What there is for all levels; sizes that are a share are a share of this.
    pub(super) funds: Funds,
    pub(super) largest: Option<Drops>,
    pub(super) guard_bps: Dec,
}

/// The price of a level.
#[derive(Clone, Copy)]
struct Price {
    /// What we pay or receive.
    ours: Dec,
    /// What the offer says: a bid's is lower by the issuer's fee.
    offered: Dec,
}

impl Levels<'_> {
    /// The quote of a level, with what other levels have left of the funds, and how it was moved away from the market.
    pub(super) fn quote(
        &self,
        side: Side,
        level: u8,
        left: &Funds,
    ) -> Result<Result<(Quote, Option<Moved>), LeftOut>, AmountError> {
        let price = self.price(side, level)?;
        if let Some(reason) = self.refuses(side, price)? {
            return Ok(Err((reason, None)));
        }
        let wanted = match self.wanted(side, level)? {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Err((reason, None))),
        };
        let moved = self.kept_away(side, level, price.offered)?;
        let sized = |price: Dec| self.sized(side, level, price, wanted, left);
        let reason = match sized(moved.map_or(price.offered, |moved| moved.price))? {
            Ok(quote) => return Ok(Ok((quote, moved))),
            Err(reason) => reason,
        };
        Ok(Err(match moved {
            Some(moved) if sized(moved.own)?.is_ok() => (reason, Some(self.stays(&moved)?)),
            _ => (reason, None),
        }))
    }

    /// The prices at which an offer of a moved level may stay: from its own to the one it was moved to, and no farther
    /// than where takers go to the pool first.
    fn stays(&self, moved: &Moved) -> Result<Stays, AmountError> {
        let Moved { side, own, price, .. } = *moved;
        let farthest = match self.better_than_pool(side)? {
            Some((better, ..)) if is_nearer(side, better, price) => better,
            _ => price,
        };
        Ok(Stays { own, farthest })
    }

    /// The quote of a level at this price, which does not cross.
    fn sized(
        &self,
        side: Side,
        level: u8,
        price: Dec,
        wanted: Drops,
        left: &Funds,
    ) -> Result<Result<Quote, WithheldReason>, AmountError> {
        if !price.is_positive() {
            return Ok(Err(WithheldReason::PriceTooSmall { price }));
        }
        let minimum = self.config.min_size_xrp;
        let size = affordable(left, side, price, wanted)?;
        if size <= Drops::ZERO || size.to_xrp()? < minimum {
            return Ok(Err(WithheldReason::InsufficientFunds { affordable: size, minimum }));
        }
        let Some(quote) = Quote::on_grid(side, level, price, size, self.rules.tick_size)? else {
            return Ok(Err(WithheldReason::OffTheGrid { size, price }));
        };
        if quote.rlusd < Dec::from_parts(1, -6)? {
            return Ok(Err(WithheldReason::LegTooSmall { rlusd: quote.rlusd }));
        }
        // On the grid a quote may have moved away from its taker, so this is asked of what is signed.
        Ok(match self.pool_goes_first(side, quote.price)? {
            Some(reason) => Err(reason),
            None => Ok(quote),
        })
    }

    fn price(&self, side: Side, level: u8) -> Result<Price, AmountError> {
        let first = match side {
            Side::Bid => self.shape.bid_offset_bps,
            Side::Ask => self.shape.ask_offset_bps,
        };
        let offset = first.add(self.config.step_bps(side, level)?)?;
        let one = Dec::from_i64(BPS);
        let factor = match side {
            Side::Bid => one.sub(offset)?,
            Side::Ask => one.add(offset)?,
        };
        let (rounding, places) = (favourable(side), self.config.price_places);
        let exact = self.shape.middle.mul(factor, rounding)?.mul(Dec::from_parts(1, -4)?, rounding)?;
        Ok(Price {
            ours: exact.round_places(places, rounding)?,
            offered: self.rules.offered(side, exact)?.round_places(places, rounding)?,
        })
    }

    /// Why this price may not stand, whatever its size.
    fn refuses(
        &self,
        side: Side,
        Price { ours, offered: price }: Price,
    ) -> Result<Option<WithheldReason>, AmountError> {
        if !price.is_positive() {
            return Ok(Some(WithheldReason::PriceTooSmall { price }));
        }
        if let Some(best) = self.view.best(side.opposite())
            && crosses(side, price, best)
        {
            return Ok(Some(WithheldReason::WouldCross { price, best }));
        }
        // An offer that is placed takes from the pool as from the book (rippled, `BookStep.cpp`, `tryAMM`).
        if let Some(pool) = self.pool(side.opposite())?
            && crosses(side, price, pool)
        {
            return Ok(Some(WithheldReason::WouldTakeFromPool { price, pool }));
        }
        Ok(match (side, self.config.price_ceiling, self.config.price_floor) {
            (Side::Bid, Some(ceiling), _) if ours > ceiling => {
                Some(WithheldReason::AboveCeiling { price: ours, ceiling })
            }
            (Side::Ask, _, Some(floor)) if ours < floor => Some(WithheldReason::BelowFloor { price: ours, floor }),
            _ => None,
        })
    }

    /// What the pool pays (its bid) or asks for the next drop of XRP, where there is a pool that is known.
    fn pool(&self, side: Side) -> Result<Option<Dec>, AmountError> {
        match &self.view.amm {
            Some(pool) => pool.price(side),
            None => Ok(None),
        }
    }

    /// Takers go to the pool until its price is worse than ours. Such a level would be filled when the pool has moved
    /// past it, which is when it has become a bad one; and to move it nearer than its offset would give away what the
    /// offset is for. So it is withheld, where the operator has said by how much it must be better.
    fn pool_goes_first(&self, side: Side, price: Dec) -> Result<Option<WithheldReason>, AmountError> {
        let Some((better, pool, edge_bps)) = self.better_than_pool(side)? else { return Ok(None) };
        Ok(is_nearer(side, better, price).then_some(WithheldReason::PoolGoesFirst { price, pool, edge_bps }))
    }

    /// The farthest price that is better for a taker than the pool's by the edge; the pool's, and the edge in basis points.
    fn better_than_pool(&self, side: Side) -> Result<Option<(Dec, Dec, Dec)>, AmountError> {
        let (Some(edge_bps), Some(pool)) = (self.config.amm_min_edge_bps, self.pool(side)?) else { return Ok(None) };
        let one = Dec::from_i64(BPS);
        let better = match side {
            Side::Bid => pool.mul(one.add(edge_bps)?, Rounding::Up)?.mul(Dec::from_parts(1, -4)?, Rounding::Up)?,
            Side::Ask => pool.mul(one.sub(edge_bps)?, Rounding::Down)?.mul(Dec::from_parts(1, -4)?, Rounding::Down)?,
        };
        Ok(Some((better, pool, edge_bps)))
    }

    /// The size that a level should have, were it to be paid for.
    fn wanted(&self, side: Side, level: u8) -> Result<Result<Drops, WithheldReason>, AmountError> {
        let minimum = self.config.min_size_xrp;
        let size = match self.config.size_pct {
            Some(percent) => self.share(side, percent)?,
            None => self.config.sizes_xrp.get(usize::from(level)).copied().unwrap_or(self.config.size_xrp),
        };
        if size < minimum {
            let size = Drops::from_xrp(size, Rounding::Down)?;
            return Ok(Err(WithheldReason::ShareTooSmall { size, minimum }));
        }
        let size = self.skew.size(side, size, self.config)?;
        let skewed = size.to_xrp()? < minimum;
        Ok(if skewed { Err(WithheldReason::Skewed { size, minimum }) } else { Ok(size) })
    }

    /// A part of what a side can pay with, in XRP, and at most the largest that may be offered.
    fn share(&self, side: Side, percent: Dec) -> Result<Dec, AmountError> {
        let all = match side {
            Side::Ask => self.funds.spendable_xrp.to_xrp()?,
            Side::Bid => self.funds.rlusd.div(self.reference, Rounding::Down)?,
        };
        let part = all.max(Dec::zero()).mul(percent, Rounding::Down)?.mul(Dec::from_parts(1, -2)?, Rounding::Down)?;
        Ok(match self.largest {
            Some(largest) => part.min(largest.to_xrp()?),
            None => part,
        })
    }
}

/// The largest size up to `wanted` that what is left pays for; zero when nothing is left.
fn affordable(left: &Funds, side: Side, price: Dec, wanted: Drops) -> Result<Drops, AmountError> {
    match side {
        Side::Ask => Ok(wanted.min(left.spendable_xrp.max(Drops::ZERO))),
        Side::Bid if !left.rlusd.is_positive() => Ok(Drops::ZERO),
        Side::Bid if wanted.to_xrp()?.mul(price, Rounding::Up)? <= left.rlusd => Ok(wanted),
        Side::Bid => Drops::from_xrp(left.rlusd.div(price, Rounding::Down)?, Rounding::Down),
    }
}
