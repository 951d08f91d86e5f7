//! The AMM entry: a pool of two assets, the tokens that share it out, its fee and who votes on it.
//!
//! Names and numbers as in rippled 2.6.1 (`AMMCore.h`, `ledger_entries.macro`).

use neo_ledger::{Address, Asset, Currency, Hash, LedgerTime, Token, sha512_half};
use serde::{Deserialize, Serialize};

use crate::amount::TokenValue;
use crate::keylet;
use crate::state::Thread;

/// Most a pool may charge, in 1/100,000: one per cent.
pub const MAX_TRADING_FEE: u16 = 1_000;
/// What a fee is a part of.
pub const FEE_SCALE: u32 = 100_000;
/// How long an auction slot is held.
pub const AUCTION_SLOT_SECONDS: u32 = 24 * 60 * 60;
/// The holder of the auction slot pays this part of the fee.
pub const AUCTION_SLOT_DISCOUNT: u16 = 10;
/// Most providers who can have a vote.
pub const MAX_VOTE_SLOTS: usize = 8;
/// What a vote's weight is a part of.
pub const VOTE_WEIGHT_SCALE: u32 = 100_000;
/// Most trust lines that go away with a pool in one transaction.
pub const MAX_DELETED_LINES: usize = 512;
/// First byte of the currency of pool tokens.
const LP_CURRENCY_PREFIX: u8 = 0x03;

/// The two assets of a pool, the lower one first: XRP before tokens, tokens by currency, then by issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssetPair {
    /// The lower asset.
    pub asset: Asset,
    /// The higher asset.
    pub asset2: Asset,
}

impl AssetPair {
    /// The pair of two assets, in either order.
    #[must_use]
    pub fn of(a: Asset, b: Asset) -> AssetPair {
        if a <= b { AssetPair { asset: a, asset2: b } } else { AssetPair { asset: b, asset2: a } }
    }

    /// True for one of the two.
    #[must_use]
    pub fn has(&self, asset: Asset) -> bool {
        self.asset == asset || self.asset2 == asset
    }

    /// The one that is not `asset`.
    #[must_use]
    pub fn other(&self, asset: Asset) -> Asset {
        if asset == self.asset { self.asset2 } else { self.asset }
    }

    /// Currency of the tokens that share the pool out: three, then the hash of the two currencies, whoever issues them.
    #[must_use]
    pub fn lp_currency(&self) -> Currency {
        let code = |asset| match asset {
            Asset::Xrp => [0; 20],
            Asset::Token(Token { currency, .. }) => currency.0,
        };
        let (a, b) = (code(self.asset), code(self.asset2));
        let hash = sha512_half(&[a.min(b).as_slice(), a.max(b).as_slice()]);
        let mut currency = [0; 20];
        let (prefix, rest) = currency.split_at_mut(1);
        prefix.fill(LP_CURRENCY_PREFIX);
        for (to, from) in rest.iter_mut().zip(hash.0) {
            *to = from;
        }
        Currency(currency)
    }

    /// The pool's id, which its account carries as AMMID: the index of its entry.
    #[must_use]
    pub fn id(&self) -> Hash {
        keylet::amm(*self)
    }
}

/// A provider's vote on the fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteSlot {
    /// The provider.
    pub account: Address,
    /// The fee he wants, in 1/100,000.
    pub trading_fee: u16,
    /// His part of the pool's tokens when he voted, in 1/100,000.
    pub weight: u32,
}

/// Who trades at a discount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionSlot {
    /// The holder.
    pub account: Address,
    /// Others who trade at his discount.
    #[serde(default)]
    pub auth_accounts: Vec<Address>,
    /// The fee he pays, in 1/100,000; 0 is none.
    pub discounted_fee: u16,
    /// When the slot ends.
    pub expiration: LedgerTime,
    /// Pool tokens he paid for it.
    pub price: TokenValue,
}

/// A pool. Its assets are what its account holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amm {
    /// The pool's account, which issues its tokens.
    pub account: Address,
    /// All its tokens that there are.
    pub lp_token_balance: TokenValue,
    /// What a swap pays, in 1/100,000; 0 is none.
    pub trading_fee: u16,
    /// The votes, in the order they were first cast.
    pub vote_slots: Vec<VoteSlot>,
    /// The auction slot; pools have had one from their beginning since fixInnerObjTemplate.
    pub auction_slot: Option<AuctionSlot>,
    /// What last changed it.
    pub previous: Option<Thread>,
    /// True for the picture of another ledger's pool: it is looked at, and nobody trades with it here.
    #[serde(default)]
    pub mirrored: bool,
}

impl Amm {
    /// The fee of one account's swaps, in 1/100,000: the holder of the auction slot and those he named pay less until it
    /// ends (rippled, `getTradingFee`).
    #[must_use]
    pub fn trading_fee_of(&self, account: Address, parent_close_time: LedgerTime) -> u16 {
        match &self.auction_slot {
            Some(slot)
                if parent_close_time < slot.expiration
                    && (slot.account == account || slot.auth_accounts.contains(&account)) =>
            {
                slot.discounted_fee
            }
            _ => self.trading_fee,
        }
    }

    /// The token that shares the pool out.
    #[must_use]
    pub fn lp_token(&self, pair: AssetPair) -> Token {
        Token { currency: pair.lp_currency(), issuer: self.account }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rlusd() -> Asset {
        Asset::Token(Token { currency: Currency::RLUSD, issuer: "rpaT57KzWWvHzpESenBpiMjRiHyBhnBMKN".parse().unwrap() })
    }

    /// Id and currency as a running rippled 2.6.1 gave them.
    #[test]
    fn a_pools_id_and_currency_are_those_of_a_real_node() {
        let pair = AssetPair::of(rlusd(), Asset::Xrp);
        assert_eq!(pair, AssetPair::of(Asset::Xrp, rlusd()));
        assert_eq!(pair.asset, Asset::Xrp);
        let id = "4C6AD2B291B5C3E4CE941AE26356E5CCA26A9ED204E683B4D950FA2C116B4778";
        assert_eq!(pair.id().to_string(), id);
        assert_eq!(pair.lp_currency().to_string(), "03B245BE580EC4F4386A751C084489EC4B514A2F");
    }

    #[test]
    fn the_auction_slots_holder_and_his_friends_pay_less_until_it_ends() {
        let [holder, friend, other] = [1, 2, 3].map(|n| Address([n; 20]));
        let slot = AuctionSlot {
            account: holder,
            auth_accounts: vec![friend],
            discounted_fee: 5,
            expiration: LedgerTime(100),
            price: TokenValue::ZERO,
        };
        let amm = Amm {
            account: Address([9; 20]),
            lp_token_balance: TokenValue::ZERO,
            trading_fee: 50,
            vote_slots: Vec::new(),
            auction_slot: Some(slot),
            previous: None,
            mirrored: false,
        };
        let fees = |time| [holder, friend, other].map(|account| amm.trading_fee_of(account, LedgerTime(time)));
        assert_eq!(fees(99), [5, 5, 50]);
        assert_eq!(fees(100), [50, 50, 50]);
    }
}
