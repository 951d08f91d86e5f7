//! Offers of an earlier session that still stand: adopted where the policy says so and the record knows them.
//!
//! An adopted offer is as one of this session from then on: kept, renewed, replaced or withdrawn by the same rules.

use neo_ledger::own;
use neo_ledger::types::LedgerTime;
use neo_market::{Dec, Side};

use super::core::{Offer, OrdersCore};
use crate::messages::OpenOffer;

/// What the record knows of an offer that may still stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoptable {
    /// The account sequence that names it.
    pub sequence: u32,
    /// Bid or ask.
    pub side: Side,
    /// Its level.
    pub level: u8,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// The ledger that it was placed at.
    pub placed_ledger: u32,
    /// When the ledger withdraws it.
    pub expires: LedgerTime,
}

impl OrdersCore {
    /// Takes over a listed offer of an earlier session; false when it is not to be taken over, or is dead already.
    pub(super) fn adopt(&mut self, listed: &OpenOffer) -> bool {
        let Some(known) = self.config.adoptable.iter().find(|known| known.sequence == listed.sequence).copied() else {
            return false;
        };
        let amounts = own::xrp_and_token(&listed.taker_gets, &listed.taker_pays);
        let (Some(side), Some((remaining, _))) = (self.side_of(listed), amounts) else { return false };
        if side != known.side || known.expires <= self.close_time {
            return false;
        }
        tracing::info!(offer = listed.sequence, ?side, level = known.level, "an earlier session's offer is taken over");
        self.offers.insert(
            listed.sequence,
            Offer {
                side,
                level: known.level,
                price: known.price,
                remaining,
                placed_ledger: known.placed_ledger,
                expires: Some(known.expires),
                resting: true,
            },
        );
        true
    }

    fn side_of(&self, listed: &OpenOffer) -> Option<Side> {
        own::side_of(&listed.taker_gets, &listed.taker_pays, self.config.token)
    }
}
