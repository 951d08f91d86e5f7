//! Walking down a book: one live offer after the other, and what is dead on the way (rippled, `OfferStream`, `BookTip`).

use std::collections::BTreeSet;

use neo_ledger::Asset;

use super::Stop;
use super::view::View;
use crate::amendment::Amendment;
use crate::amount::{InOut, Quality, TokenValue, Value};
use crate::apply::funds::is_deep_frozen;
use crate::state::{Book, OfferKey};

/// Offers that one walk may look at (rippled, `BookStep::maxOffersToConsume`).
pub(super) const MAX_OFFERS_A_WALK: u32 = 1000;

/// A live offer, and what its owner can pay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub key: OfferKey,
    pub amounts: InOut,
    pub quality: Quality,
    pub funds: Value,
}

/// A walk down a book.
pub(super) struct Walk {
    book: Book,
    current: Option<OfferKey>,
    /// Offers looked at.
    pub looked_at: u32,
}

impl Walk {
    pub(super) const fn new(book: Book) -> Walk {
        Walk { book, current: None, looked_at: 0 }
    }

    /// Removes the offer last given and finds the next live one. What is found dead goes into `dead`; what died of this
    /// payment is only passed over.
    pub(super) fn next(&mut self, view: &mut View<'_>, dead: &mut BTreeSet<OfferKey>) -> Result<Option<Found>, Stop> {
        loop {
            if let Some(key) = self.current.take() {
                view.delete_offer(key)?;
            }
            let Some((key, offer)) = view.state.best(self.book) else { return Ok(None) };
            let amounts = InOut { input: offer.taker_pays, output: offer.taker_gets };
            let (quality, expiration) = (offer.quality, offer.expiration);
            self.current = Some(key);
            if self.looked_at >= MAX_OFFERS_A_WALK {
                return Ok(None);
            }
            self.looked_at += 1;
            let expired = expiration.is_some_and(|expiration| expiration <= view.parent_close_time);
            let empty = !amounts.input.is_positive() || !amounts.output.is_positive();
            if expired || empty || self.cannot_be_paid(view, key) {
                dead.insert(key);
                continue;
            }
            let funds = view.funds(key.account, self.book.gets, amounts.output)?;
            let found = Found { key, amounts, quality, funds };
            if funds.is_positive() && !self.lost_its_quality(view, &found)? {
                return Ok(Some(found));
            }
            if view.funds_before(key.account, self.book.gets, amounts.output)? == funds {
                dead.insert(key);
            }
        }
    }

    /// Deeply frozen owners can take nothing.
    fn cannot_be_paid(&self, view: &View<'_>, key: OfferKey) -> bool {
        matches!(self.book.pays, Asset::Token(token) if is_deep_frozen(view.state, key.account, token))
    }

    /// Tiny offers whose rounding makes them worse than their place in the book, which would block it (rippled,
    /// `shouldRmSmallIncreasedQOffer`).
    fn lost_its_quality(&self, view: &View<'_>, found: &Found) -> Result<bool, Stop> {
        let smallest = match (found.amounts.input, found.amounts.output) {
            (_, Value::Drops(_)) => return Ok(false),
            (Value::Token(pays), Value::Token(gets)) if pays >= gets => return Ok(false),
            (Value::Drops(_), _) => Value::Drops(1),
            _ => Value::Token(TokenValue::SMALLEST),
        };
        if !view.rules.enabled(Amendment::FixRmSmallIncreasedQOffers) {
            return Ok(false);
        }
        let is_issuer = matches!(self.book.gets, Asset::Token(token) if token.issuer == found.key.account);
        let effective = if !is_issuer && found.funds < found.amounts.output {
            let strict = view.rules.enabled(Amendment::FixReducedOffersV1);
            found.quality.part_out(found.amounts, found.funds, false, strict)?
        } else {
            found.amounts
        };
        if !effective.input.is_positive() || !effective.output.is_positive() {
            return Ok(true);
        }
        Ok(effective.input <= smallest && Quality::of(effective).is_worse_than(found.quality))
    }
}
