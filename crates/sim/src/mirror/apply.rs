//! What a real transaction does to the mirrored book, with ours in it.
//!
//! The book is always put to what the ledger says of it. Only where an offer that is not mirrored, one of ours, stands in
//! the way of what was really traded does somebody trade with it: a taker who takes, level by level from the best, the XRP
//! that was really taken at that level, and no more. So ours is filled by what was traded at its price or beyond it, after
//! what stood before it, and a real offer that would cross ours trades with ours first.
//!
//! Real offers stand under their real owners and sequences, with funds enough: what an owner could not honour shows when
//! the ledger says so. The pool is [`super::pooled`]; what it gave beyond our price is traded at our price ([`super::curve`]),
//! and at its average price where its balances are not known.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, LedgerTime, Token};
use neo_market::Side;

use super::curve;
use super::frame::Frame;
use super::pooled::Pooled;
use super::read::{MirrorLedger, MirrorTx, place};
use super::standing::{Share, Sizes, Standing, Touched, book_of, quality_of, values_of};
use crate::amount::{Quality, TokenValue, Value, div_round, mul_round};
use crate::apply::funds::adjust_owner_count;
use crate::scenario::participant;
use crate::state::{
    AccountRoot, Book, Key, LSF_HIGH_RESERVE, LSF_LOW_RESERVE, LSF_PASSIVE, LineKey, LineQualities, Offer, OfferKey,
    State, TrustLine,
};

/// XRP of an owner, in drops, unless his offers are larger.
const OWNER_DROPS: i64 = 10_000_000_000_000;
/// The token of an owner, unless his offers are larger.
const OWNER_TOKEN: (i64, i32) = (1_000_000_000, 0);
/// Most drops that are given to an owner.
const MOST_DROPS: i64 = crate::amount::MAX_DROPS / 4;
/// How far a taker's limit is beyond the quality that he is to reach, in last digits of sixteen.
const SLACK: i64 = 8;
/// Places in a queue that stay free for offers that were there before all that is known.
pub(crate) const FRONT: u64 = 1 << 32;

/// Where a real offer stands.
#[derive(Clone, Copy, Debug)]
struct Stand {
    side: Side,
    quality: Quality,
    order: u64,
    flags: u32,
    expiration: Option<LedgerTime>,
}

/// The mirrored book.
#[derive(Clone, Debug)]
pub(crate) struct Applier {
    token: Token,
    /// Whose offers are not mirrored: the account that the recorder followed, and ours.
    left_out: BTreeSet<Address>,
    real: BTreeMap<OfferKey, Stand>,
    /// Drops that ours took of a real offer that would have crossed it.
    taken: BTreeMap<OfferKey, i64>,
    front: u64,
    pool: Pooled,
    taker: Address,
    /// A side that is not known is empty until it is known again: nobody may quote from it. Else it stands as it was.
    hides: bool,
}

impl Applier {
    pub(crate) fn new(token: Token, left_out: BTreeSet<Address>) -> Applier {
        let (real, taken) = (BTreeMap::new(), BTreeMap::new());
        let pool = Pooled::new(token);
        Applier { token, left_out, real, taken, front: FRONT, pool, taker: Applier::taker(), hides: false }
    }

    /// The same, with sides that are empty while they are not known.
    pub(crate) fn hiding(self) -> Applier {
        Applier { hides: true, ..self }
    }

    /// Who trades with ours.
    pub(crate) fn taker() -> Address {
        participant("mirror taker")
    }

    /// Who sets the book right.
    pub(crate) fn keeper() -> Address {
        participant("mirror")
    }

    /// Does to the book what the real ledger's transactions did.
    pub(crate) fn ledger(&mut self, frame: &mut Frame<'_>, ledger: &MirrorLedger) {
        self.pool.begins(frame.state, ledger.pool_sound);
        for tx in &ledger.txs {
            self.transaction(frame, tx, ledger.sound);
        }
        for side in Side::BOTH {
            if self.hides && !ledger.sound_after()[place(side)] {
                self.hide(frame.state, side);
            }
        }
        for (side, offers) in &ledger.snapshots {
            self.replace(frame, *side, offers);
        }
        self.pool.told(frame.state, ledger.pool.as_ref());
        frame.flush();
    }

    /// Takes the real offers of a side out of the book. Where each stood is remembered: those that the next picture has
    /// come back to their places, before or behind ours.
    fn hide(&self, state: &mut State, side: Side) {
        for (key, _) in self.real.iter().filter(|(_, stand)| stand.side == side) {
            remove(state, *key);
        }
    }

    fn transaction(&mut self, frame: &mut Frame<'_>, tx: &MirrorTx, sound: [bool; 2]) {
        for side in Side::BOTH {
            if sound[place(side)] {
                self.traded(frame, side, tx);
            }
        }
        for touched in &tx.touched {
            if touched.before.is_none() && sound[place(touched.offer.side)] && !self.is_left_out(touched) {
                self.placed(frame, &touched.offer);
            }
        }
        self.pool.changed(frame.state, tx.pool_change.as_ref());
        frame.flush();
    }

    fn is_left_out(&self, touched: &Touched) -> bool {
        self.left_out.contains(&touched.offer.key.account)
    }

    /// What became of the offers of a side that were there before.
    fn traded(&mut self, frame: &mut Frame<'_>, side: Side, tx: &MirrorTx) {
        let of_side = |touched: &&Touched| touched.offer.side == side && touched.before.is_some();
        let touched: Vec<&Touched> = tx.touched.iter().filter(of_side).collect();
        // What was traded at each price: of offers, and of the pool.
        let mut levels: BTreeMap<Quality, (i64, i64)> = BTreeMap::new();
        for touched in touched.iter().filter(|touched| touched.traded() > 0) {
            levels.entry(touched.offer.quality).or_default().0 += touched.traded();
        }
        let pool = tx.pool.filter(|pool| pool.side == side);
        if touched.is_empty() && pool.is_none() {
            return;
        }
        let mirrored: Vec<&&Touched> = touched.iter().filter(|touched| !self.is_left_out(touched)).collect();
        for touched in &mirrored {
            self.prepare(frame.state, touched);
        }
        self.pass_over(frame.state, side, &touched, pool.as_ref());
        if let Some(pool) = pool {
            for (quality, xrp) in self.pooled(frame, &pool, tx.account, &touched) {
                levels.entry(quality).or_default().1 += xrp;
            }
        }
        let (mut began, mut spared) = (false, Vec::new());
        for (quality, traded) in levels {
            // Once ours was reached all is taken: what stands before another one of ours must be gone when it is its turn.
            began = began || self.ours_until(frame.state, side, quality).is_some();
            if began {
                self.take_level(frame, side, quality, traded, &mut spared);
            } else {
                // Before ours all was taken. Behind it there may be a rest, which is taken before what is worse.
                for touched in mirrored.iter().filter(|touched| touched.offer.quality <= quality) {
                    self.size(frame.state, &touched.offer, touched.after());
                }
            }
        }
        for touched in mirrored {
            self.size(frame.state, &touched.offer, touched.after());
            if touched.gone {
                self.forget(touched.offer.key);
            }
        }
    }

    /// Before anybody trades: a touched offer has what was traded of it and what is left, no more.
    fn prepare(&mut self, state: &mut State, touched: &Touched) {
        let (traded, after) = (touched.traded(), touched.after());
        if !self.real.contains_key(&touched.offer.key) {
            // It stood deeper than what is known, so before all that is.
            self.front = self.front.saturating_sub(1);
            self.remember(&touched.offer, self.front);
        }
        let xrp = traded.saturating_add(after.map_or(0, |after| after.xrp));
        let before = match (traded, touched.before) {
            (0, _) => after,
            // Whole as it was, to the last digit.
            (_, Some(before)) if before.xrp == xrp => Some(before),
            (_, before) => before.map(|before| part(touched.offer.side, touched.offer.quality, before, xrp)),
        };
        self.size(state, &touched.offer, before);
    }

    /// Takes what was traded at a level of offers and of the pool. What of the pool was not needed, as ours was there, is
    /// `spared`: it is taken before what is worse.
    fn take_level(
        &self,
        frame: &mut Frame<'_>,
        side: Side,
        quality: Quality,
        (offers, pool): (i64, i64),
        spared: &mut Vec<(Quality, i64)>,
    ) {
        let mut wanted = offers.saturating_add(pool);
        for (stop, left) in spared.iter_mut().filter(|(_, left)| *left > 0) {
            wanted = wanted.saturating_sub(self.take(frame, side, *stop, wanted));
            let used = wanted.min(*left);
            (*left, wanted) = (*left - used, wanted - used);
        }
        wanted = wanted.saturating_sub(self.take(frame, side, quality, wanted));
        spared.push((quality, pool.saturating_sub(wanted).max(0)));
    }

    /// What a pool gave, at the levels of which ours could have been taken first: at each of our prices what it gave beyond
    /// it. At its average price where no more is known.
    fn pooled(
        &self,
        frame: &Frame<'_>,
        share: &Share,
        sender: Address,
        touched: &[&Touched],
    ) -> BTreeMap<Quality, i64> {
        let at_average = BTreeMap::from([(share.quality, share.xrp)]);
        let (Some(before), Some(pool)) = (share.before, self.pool.last()) else { return at_average };
        let ours = self.within_reach(frame.state, share.side, touched);
        let Some(farthest) = ours.last().copied() else { return BTreeMap::new() };
        let traded = touched.iter().filter(|touched| touched.traded() > 0).map(|touched| touched.offer.quality);
        let stops: Vec<Quality> = ours.into_iter().chain(traded).collect::<BTreeSet<_>>().into_iter().collect();
        let fee = pool.amm.trading_fee_of(sender, frame.parent_close_time());
        let given = match curve::before_each(share, before, fee, &stops, frame.amendments()) {
            Ok(given) => given,
            Err(error) => {
                tracing::warn!(%error, "a pool's price cannot be computed; what it gave counts at its average price");
                return at_average;
            }
        };
        let next = given.iter().skip(1).copied().chain([share.xrp]);
        let mut levels = BTreeMap::new();
        for ((stop, here), next) in stops.iter().zip(&given).zip(next) {
            // Beyond the farthest of ours there is nothing to take, but of those before.
            *levels.entry((*stop).min(farthest)).or_default() += next.saturating_sub(*here);
        }
        levels
    }

    /// The prices of ours on a side, best first, as far as no real offer stands before them that a trade left alone: what
    /// went by would have been taken of that one first.
    fn within_reach(&self, state: &State, side: Side, touched: &[&Touched]) -> BTreeSet<Quality> {
        let is_touched = |key: &OfferKey| touched.iter().any(|touched| touched.offer.key == *key);
        state
            .book(book_of(side, self.token))
            .take_while(|(key, _)| !self.real.contains_key(key) || is_touched(key))
            .filter(|(key, _)| !self.real.contains_key(key))
            .map(|(_, offer)| offer.quality)
            .collect()
    }

    /// Real offers before one that was traded, which the trade passed over, cannot be taken: their owners have no funds.
    /// They are out of the book until the ledger says something of them. So are those that are better than what a pool gave
    /// on average.
    fn pass_over(&mut self, state: &mut State, side: Side, touched: &[&Touched], pool: Option<&Share>) {
        let traded = touched.iter().filter(|touched| touched.traded() > 0);
        let order = |key: &OfferKey| self.real.get(key).map_or(0, |stand| stand.order);
        let traded = traded.map(|touched| (touched.offer.quality, order(&touched.offer.key)));
        let pool = pool.filter(|pool| pool.before.is_some()).map(|pool| (pool.quality, 0));
        let Some(last) = traded.chain(pool).max() else { return };
        let is_touched = |key: &OfferKey| touched.iter().any(|touched| touched.offer.key == *key);
        let book = state.book(book_of(side, self.token));
        let passed: Vec<OfferKey> = book
            .take_while(|(_, offer)| (offer.quality, offer.order) < last)
            .map(|(key, _)| key)
            .filter(|key| self.real.contains_key(key) && !is_touched(key))
            .collect();
        for key in passed {
            remove(state, key);
        }
    }

    /// The first offer of a side that is not mirrored, when it is no worse than `quality`.
    fn ours_until(&self, state: &State, side: Side, quality: Quality) -> Option<OfferKey> {
        state
            .book(book_of(side, self.token))
            .take_while(|(_, offer)| !offer.quality.is_worse_than(quality))
            .map(|(key, _)| key)
            .find(|key| !self.real.contains_key(key))
    }

    /// XRP of ours on a side, in drops.
    fn ours(&self, state: &State, side: Side) -> i64 {
        let ours = state.book(book_of(side, self.token)).filter(|(key, _)| !self.real.contains_key(key));
        ours.map(|(_, offer)| drops(if side == Side::Ask { offer.taker_gets } else { offer.taker_pays })).sum()
    }

    /// Takes so much XRP of a side, at `quality` or better; gives what was there to be taken, in drops.
    fn take(&self, frame: &mut Frame<'_>, side: Side, quality: Quality, xrp: i64) -> i64 {
        let Some(token) = limit(side, quality, xrp) else { return 0 };
        let (gets, pays) = values_of(side, Sizes { xrp, token });
        let Book { gets: get_asset, pays: pay_asset } = book_of(side, self.token);
        // The taker gives what the offers want.
        frame.take(self.taker, (pays, pay_asset), (gets, get_asset))
    }

    /// A real offer that rests: ours that it would have crossed trades with it first.
    fn placed(&mut self, frame: &mut Frame<'_>, offer: &Standing) {
        let against = match offer.side {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        };
        let limit = crossed_by(offer);
        if self.ours_until(frame.state, against, limit).is_some() {
            // What is real and would have been crossed as well cannot be taken: the ledger passed it over.
            let book = frame.state.book(book_of(against, self.token));
            let dead: Vec<OfferKey> = book
                .take_while(|(_, offer)| !offer.quality.is_worse_than(limit))
                .map(|(key, _)| key)
                .filter(|key| self.real.contains_key(key))
                .collect();
            for key in dead {
                remove(frame.state, key);
            }
            let before = self.ours(frame.state, against);
            self.take(frame, against, limit, offer.sizes.xrp);
            let taken = before.saturating_sub(self.ours(frame.state, against));
            if taken > 0 {
                self.taken.insert(offer.key, taken);
            }
        }
        let order = frame.state.take_order();
        self.remember(offer, order);
        self.size(frame.state, offer, Some(offer.sizes));
    }

    /// Puts a side to what a snapshot says. What is known keeps its place.
    fn replace(&mut self, frame: &mut Frame<'_>, side: Side, offers: &[Standing]) {
        let offers: Vec<&Standing> =
            offers.iter().filter(|offer| !self.left_out.contains(&offer.key.account)).collect();
        let listed: BTreeSet<OfferKey> = offers.iter().map(|offer| offer.key).collect();
        let gone = |(key, stand): &(&OfferKey, &Stand)| stand.side == side && !listed.contains(key);
        let gone: Vec<OfferKey> = self.real.iter().filter(gone).map(|(key, _)| *key).collect();
        for key in gone {
            remove(frame.state, key);
            self.forget(key);
        }
        for offer in offers {
            if !self.real.contains_key(&offer.key) {
                let order = frame.state.take_order();
                self.remember(offer, order);
            }
            self.size(frame.state, offer, Some(offer.sizes));
        }
        frame.flush();
    }

    fn remember(&mut self, offer: &Standing, order: u64) {
        let Standing { side, quality, flags, expiration, .. } = *offer;
        self.real.insert(offer.key, Stand { side, quality, order, flags, expiration });
    }

    fn forget(&mut self, key: OfferKey) {
        self.real.remove(&key);
        self.taken.remove(&key);
    }

    /// Puts what is left of a real offer, less what ours took of it.
    fn size(&self, state: &mut State, offer: &Standing, sizes: Option<Sizes>) {
        let Some(stand) = self.real.get(&offer.key) else { return };
        let taken = self.taken.get(&offer.key).copied().unwrap_or(0);
        let left = sizes.map(|sizes| match taken {
            0 => sizes,
            taken => part(stand.side, stand.quality, sizes, sizes.xrp.saturating_sub(taken).max(0)),
        });
        let Some(left) = left.filter(|left| left.xrp > 0 && !left.token.is_zero()) else {
            return remove(state, offer.key);
        };
        let (taker_gets, taker_pays) = values_of(stand.side, left);
        let known = state.offer(offer.key);
        if known.is_some_and(|known| (known.taker_gets, known.taker_pays) == (taker_gets, taker_pays)) {
            return;
        }
        let is_new = known.is_none();
        self.endow(state, offer.key.account, left, is_new);
        let previous = known_thread(state, offer.key);
        let Stand { side, quality, order, flags, expiration } = *stand;
        let book = book_of(side, self.token);
        state.put_offer(offer.key, Offer { book, taker_pays, taker_gets, quality, order, flags, expiration, previous });
    }

    /// Gives an owner an account, a line and ample funds.
    fn endow(&self, state: &mut State, owner: Address, sizes: Sizes, is_new: bool) {
        let mut root =
            state.account(owner).cloned().unwrap_or_else(|| AccountRoot { sequence: 1, ..AccountRoot::default() });
        root.balance = root.balance.max(OWNER_DROPS).max(sizes.xrp.saturating_mul(4).min(MOST_DROPS));
        root.owner_count = root.owner_count.saturating_add(u32::from(is_new));
        let key = LineKey::of(owner, self.token.issuer, self.token.currency);
        let needs_line = owner != self.token.issuer && state.line(key).is_none();
        root.owner_count = root.owner_count.saturating_add(u32::from(needs_line));
        if state.account(owner) != Some(&root) {
            state.put_account(owner, root);
        }
        if owner == self.token.issuer {
            return;
        }
        let least = |value: TokenValue, times: i64| {
            TokenValue::new(value.mantissa().saturating_mul(times), value.exponent()).unwrap_or(value)
        };
        let usual = TokenValue::new(OWNER_TOKEN.0, OWNER_TOKEN.1).unwrap_or(TokenValue::ZERO);
        let funds = state.token_balance(owner, self.token).max(usual).max(least(sizes.token, 4));
        let low = owner == key.low;
        let balance = if low { funds } else { funds.neg() };
        let line = match state.line(key) {
            Some(line) if line.balance == balance => return,
            Some(line) => TrustLine { balance, ..line.clone() },
            None => {
                let most = TokenValue::new(9_999_999_999_999_999, 60).unwrap_or(usual);
                let (low_limit, high_limit) = if low { (most, TokenValue::ZERO) } else { (TokenValue::ZERO, most) };
                let flags = if low { LSF_LOW_RESERVE } else { LSF_HIGH_RESERVE };
                let qualities = LineQualities::default();
                TrustLine { balance, low_limit, high_limit, flags, qualities, previous: None }
            }
        };
        state.put_line(key, line);
    }
}

fn known_thread(state: &State, key: OfferKey) -> Option<crate::state::Thread> {
    state.offer(key).and_then(|offer| offer.previous)
}

fn drops(value: Value) -> i64 {
    match value {
        Value::Drops(drops) => drops,
        Value::Token(_) => 0,
    }
}

fn remove(state: &mut State, key: OfferKey) {
    if state.offer(key).is_none() {
        return;
    }
    state.put(Key::Offer(key), None);
    if adjust_owner_count(state, key.account, -1).is_err() {
        tracing::error!(owner = %key.account, "an offer of the mirror has no owner");
    }
}

/// The token that so much XRP of a side costs at a quality, rounded against the offer's owner where `generous`.
fn worth(side: Side, quality: Quality, xrp: i64, generous: bool) -> Option<TokenValue> {
    let rate = Value::Token(quality.rate());
    // Asks: the rate is token for a drop, and a generous taker gives more. Bids: drops for one of the token, and he asks
    // for less.
    let value = match side {
        Side::Ask => mul_round(Value::Drops(xrp), rate, false, generous),
        Side::Bid => div_round(Value::Drops(xrp), rate, false, !generous),
    };
    match value {
        Ok(Value::Token(value)) if !value.is_zero() => Some(value),
        _ => None,
    }
}

/// The part of what is left of an offer that has so much XRP.
fn part(side: Side, quality: Quality, whole: Sizes, xrp: i64) -> Sizes {
    if xrp == whole.xrp {
        return whole;
    }
    Sizes { xrp, token: worth(side, quality, xrp, false).unwrap_or(TokenValue::ZERO) }
}

/// The token that a taker names with so much XRP, so that he reaches offers of that quality and nothing worse.
fn limit(side: Side, quality: Quality, xrp: i64) -> Option<TokenValue> {
    let mut token = worth(side, quality, xrp, true)?;
    let step = if side == Side::Ask { 1 } else { -1 };
    // Rounding may fall short of the quality by a last digit.
    for _ in 0..16 {
        if !quality.is_worse_than(quality_of(side, Sizes { xrp, token })) {
            break;
        }
        token = TokenValue::new(token.mantissa().saturating_add(step), token.exponent()).ok()?;
    }
    // Nor may what is taken of an offer be of a quality that is worse than the offer's by a last digit: then nothing would be taken.
    token = TokenValue::new(token.mantissa().saturating_add(step * SLACK), token.exponent()).ok()?;
    Some(token)
}

/// The worst quality on the other side that a resting offer would have crossed (rippled, `CreateOffer.cpp`): its own,
/// turned, and not an equal one where it is passive.
fn crossed_by(offer: &Standing) -> Quality {
    let (gets, pays) = values_of(offer.side, offer.sizes);
    let turned = Quality::of(crate::amount::InOut { input: gets, output: pays });
    if offer.flags & LSF_PASSIVE == 0 { turned } else { turned.next_better() }
}
