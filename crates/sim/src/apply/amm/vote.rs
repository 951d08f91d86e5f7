//! AMMVote: the fee is the mean of the votes, by the tokens of those who cast them.

use neo_ledger::Address;

use super::holdings::lp_tokens;
use crate::amm::{AUCTION_SLOT_DISCOUNT, AssetPair, MAX_VOTE_SLOTS, VOTE_WEIGHT_SCALE, VoteSlot};
use crate::amount::{ArithmeticError, TokenValue};
use crate::apply::Failure;
use crate::number::{Number, Rounding};
use crate::state::State;
use crate::ter::Ter;

const M: Rounding = Rounding::Nearest;

pub(super) fn preclaim(state: &State, account: Address, pair: AssetPair) -> Result<(), Ter> {
    let amm = state.amm(pair).ok_or(Ter::TER_NO_AMM)?;
    if amm.lp_token_balance.is_zero() {
        return Err(Ter::TEC_AMM_EMPTY);
    }
    if lp_tokens(state, pair, amm, account).is_zero() { Err(Ter::TEC_AMM_INVALID_TOKENS) } else { Ok(()) }
}

/// A vote and the tokens behind it.
struct Ballot {
    slot: VoteSlot,
    tokens: TokenValue,
}

/// The votes with their weighted sum, which is kept running as rippled does: its last digit depends on the order.
#[derive(Default)]
struct Count {
    ballots: Vec<Ballot>,
    weighted: Option<Number>,
    tokens: Option<Number>,
}

impl Count {
    fn weighted(&self) -> Number {
        self.weighted.unwrap_or(Number::ZERO)
    }

    fn tokens(&self) -> Number {
        self.tokens.unwrap_or(Number::ZERO)
    }

    fn weigh(&mut self, fee: u16, tokens: TokenValue) -> Result<(), ArithmeticError> {
        let tokens = Number::of_token(tokens);
        self.weighted = Some(M.add(self.weighted(), M.mul(Number::whole(u32::from(fee)), tokens)?)?);
        self.tokens = Some(M.add(self.tokens(), tokens)?);
        Ok(())
    }

    fn unweigh(&mut self, fee: u16, tokens: TokenValue) -> Result<(), ArithmeticError> {
        let tokens = Number::of_token(tokens);
        self.weighted = Some(M.sub(self.weighted(), M.mul(Number::whole(u32::from(fee)), tokens)?)?);
        self.tokens = Some(M.sub(self.tokens(), tokens)?);
        Ok(())
    }

    /// Place of the vote with the fewest tokens; among equals the lower fee, then the lower account.
    fn least(&self) -> Option<usize> {
        let order = |ballot: &Ballot| (ballot.tokens, ballot.slot.trading_fee, ballot.slot.account);
        (0..self.ballots.len()).min_by_key(|place| self.ballots.get(*place).map(order))
    }

    /// Adds a new vote: into a free place, or instead of the least one that it outweighs. A vote that outweighs none is
    /// dropped, but the others are brought up to date all the same.
    fn add(&mut self, ballot: Ballot) -> Result<(), ArithmeticError> {
        let least = if self.ballots.len() < MAX_VOTE_SLOTS { None } else { self.least() };
        let Some(least) =
            least.and_then(|place| self.ballots.get(place).map(|b| (place, b.tokens, b.slot.trading_fee)))
        else {
            self.weigh(ballot.slot.trading_fee, ballot.tokens)?;
            self.ballots.push(ballot);
            return Ok(());
        };
        let (place, tokens, fee) = least;
        if ballot.tokens > tokens || (ballot.tokens == tokens && ballot.slot.trading_fee > fee) {
            self.unweigh(fee, tokens)?;
            self.weigh(ballot.slot.trading_fee, ballot.tokens)?;
            if let Some(replaced) = self.ballots.get_mut(place) {
                *replaced = ballot;
            }
        }
        Ok(())
    }
}

pub(super) fn vote(
    state: &mut State,
    account: Address,
    pair: AssetPair,
    trading_fee: u16,
) -> Result<AssetPair, Failure> {
    let mut amm = state.amm(pair).cloned().ok_or(Failure(Ter::TEC_INTERNAL))?;
    let all = Number::of_token(amm.lp_token_balance);
    let ballot = |account, trading_fee| -> Result<Ballot, Failure> {
        let tokens = lp_tokens(state, pair, &amm, account);
        let scaled = M.mul(Number::of_token(tokens), Number::whole(VOTE_WEIGHT_SCALE))?;
        let weight = u32::try_from(M.to_whole(M.div(scaled, all)?)?).map_err(|_| Failure(Ter::TEF_INTERNAL))?;
        Ok(Ballot { slot: VoteSlot { account, trading_fee, weight }, tokens })
    };
    let mut count = Count::default();
    let mut has_voted = false;
    for slot in &amm.vote_slots {
        let is_own = slot.account == account;
        let ballot = ballot(slot.account, if is_own { trading_fee } else { slot.trading_fee })?;
        // Who has left the pool has lost his vote.
        if ballot.tokens.is_zero() {
            continue;
        }
        has_voted |= is_own;
        count.weigh(ballot.slot.trading_fee, ballot.tokens)?;
        count.ballots.push(ballot);
    }
    if !has_voted {
        count.add(ballot(account, trading_fee)?)?;
    }
    let mean = M.to_whole(M.div(count.weighted(), count.tokens())?)?;
    amm.trading_fee = u16::try_from(mean).map_err(|_| Failure(Ter::TEF_INTERNAL))?;
    amm.vote_slots = count.ballots.into_iter().map(|ballot| ballot.slot).collect();
    if let Some(slot) = &mut amm.auction_slot {
        slot.discounted_fee = amm.trading_fee / AUCTION_SLOT_DISCOUNT;
    }
    state.put_amm(pair, amm);
    Ok(pair)
}
