//! What must be true at the end, by the ledger's own history and not by the engine's words.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::message::ValidatedTransaction;
use neo_ledger::meta::{Action, Entry, Fields};
use neo_ledger::types::{Amount, LedgerTime, Token};
use neo_ledger::{Address, own};
use neo_market::{Dec, Drops, Side};
use neo_store::record::Fill;

/// What one transaction traded of ours: XRP and tokens, signed, without the fee.
pub type Traded = BTreeMap<String, (i64, Dec)>;

/// The account's history as the ledger tells it, from a balance that is known.
pub struct History<'a> {
    /// Whose.
    pub account: Address,
    /// What is traded against XRP.
    pub token: Token,
    /// Every transaction, in order.
    pub transactions: &'a [ValidatedTransaction],
}

/// An offer that stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    side: Side,
    xrp: i64,
    expires: Option<LedgerTime>,
}

/// What offers and holdings could become at a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Which ledger.
    pub ledger: u32,
    /// XRP, were every bid filled.
    pub most: i64,
    /// XRP, were every ask filled.
    pub least: i64,
    /// XRP of the largest offer that stands.
    pub largest: i64,
}

fn leg(amount: Option<Amount>) -> Option<(i64, Dec)> {
    match amount? {
        Amount::Xrp(drops) => Some((drops.get(), Dec::zero())),
        Amount::Token { value, .. } => Some((0, value)),
    }
}

impl History<'_> {
    fn offer(&self, fields: &Fields) -> Option<(u32, Standing)> {
        let (gets, pays) = (fields.taker_gets?, fields.taker_pays?);
        let side = own::side_of(&gets, &pays, self.token)?;
        let xrp = match side {
            Side::Bid => leg(Some(pays))?.0,
            Side::Ask => leg(Some(gets))?.0,
        };
        Some((fields.sequence?, Standing { side, xrp, expires: fields.expiration }))
    }

    /// What was traded, by transaction: changes of the root and of the line where an offer of ours was hit, or where a
    /// transaction of ours changed more than its fee.
    pub fn traded(&self) -> Traded {
        let mut all = Traded::new();
        for transaction in self.transactions {
            let ours = transaction.account == self.account;
            let hit = transaction.meta.nodes.iter().any(|node| {
                node.entry == Entry::Offer
                    && node.fields.account == Some(self.account)
                    && node.action != Action::Created
                    && node.previous.taker_gets.is_some()
            });
            let placed = ours && transaction.kind == "OfferCreate";
            if !hit && !placed {
                continue;
            }
            let mut xrp = 0;
            if let Some((after, Some(before))) =
                transaction.meta.root(self.account).and_then(|root| root.account_drops())
            {
                xrp = after.get() - before.get();
            }
            if ours {
                xrp += transaction.fee.get();
            }
            let mut tokens = Dec::zero();
            for line in transaction.meta.nodes.iter().filter_map(|node| node.line_balance(self.account, self.token)) {
                tokens = tokens.add(line.now.sub(line.before.unwrap_or(line.now)).unwrap()).unwrap();
            }
            if xrp != 0 || !tokens.is_zero() {
                all.insert(transaction.hash.to_string(), (xrp, tokens));
            }
        }
        all
    }

    /// Fills by transaction and offer, as the offers' entries tell: those that others took.
    pub fn taken(&self) -> BTreeSet<(String, u32)> {
        let mut all = BTreeSet::new();
        for transaction in self.transactions {
            for node in &transaction.meta.nodes {
                let of_ours = node.entry == Entry::Offer && node.fields.account == Some(self.account);
                let (now, before) = (leg(node.fields.taker_gets), leg(node.previous.taker_gets));
                if of_ours && node.action != Action::Created && before.is_some() && before != now {
                    all.insert((transaction.hash.to_string(), node.fields.sequence.unwrap()));
                }
            }
        }
        all
    }

    /// Sequence numbers of all offers that the account placed.
    pub fn placed(&self) -> BTreeSet<u32> {
        let created = |transaction: &ValidatedTransaction| {
            transaction.account == self.account && transaction.kind == "OfferCreate" && transaction.meta.succeeded()
        };
        self.transactions.iter().filter(|transaction| created(transaction)).map(|t| t.sequence).collect()
    }

    /// At every ledger from `first` on in which something of ours changed. `closes` has the ledgers' close times: an
    /// offer that has expired when a ledger closed can be taken in no later one.
    pub fn exposures(&self, first: u32, closes: &BTreeMap<u32, LedgerTime>) -> Vec<Exposure> {
        let (mut xrp, mut offers, mut all) = (0, BTreeMap::<u32, Standing>::new(), Vec::new());
        for (at, transaction) in self.transactions.iter().enumerate() {
            if let Some((after, _)) = transaction.meta.root(self.account).and_then(|root| root.account_drops()) {
                xrp = after.get();
            }
            for node in &transaction.meta.nodes {
                if node.entry != Entry::Offer || node.fields.account != Some(self.account) {
                    continue;
                }
                let Some((sequence, standing)) = self.offer(&node.fields) else { continue };
                match node.action {
                    Action::Deleted => drop(offers.remove(&sequence)),
                    Action::Created | Action::Modified => drop(offers.insert(sequence, standing)),
                }
            }
            let ledger = transaction.ledger_index;
            let last = self.transactions.get(at + 1).is_none_or(|next| next.ledger_index != ledger);
            if !last || ledger < first {
                continue;
            }
            let closed = closes.get(&ledger);
            let alive = |offer: &&Standing| offer.expires.is_none_or(|end| closed.is_none_or(|closed| end > *closed));
            let sum = |side: Side| offers.values().filter(alive).filter(|o| o.side == side).map(|o| o.xrp).sum::<i64>();
            let largest = offers.values().filter(alive).map(|offer| offer.xrp).max().unwrap_or(0);
            all.push(Exposure { ledger, most: xrp + sum(Side::Bid), least: xrp - sum(Side::Ask), largest });
        }
        all
    }
}

/// What the record says was traded, by transaction.
pub fn recorded(fills: &[Fill]) -> Traded {
    let mut all = Traded::new();
    for fill in fills {
        let sum = all.entry(fill.tx_hash.clone()).or_insert((0, Dec::zero()));
        let drops: Drops = fill.xrp;
        let (xrp, tokens) = match fill.side {
            Side::Bid => (drops.get(), fill.rlusd.neg()),
            Side::Ask => (-drops.get(), fill.rlusd),
        };
        *sum = (sum.0 + xrp, sum.1.add(tokens).unwrap());
    }
    all
}

/// Every difference between what was traded and what was recorded; empty where there is none.
pub fn differences(history: &History<'_>, fills: &[Fill], until: u32) -> Vec<String> {
    let mut found = Vec::new();
    let known: BTreeSet<String> = history
        .transactions
        .iter()
        .filter(|transaction| transaction.ledger_index <= until)
        .map(|transaction| transaction.hash.to_string())
        .collect();
    let (traded, said) = (history.traded(), recorded(fills));
    for (hash, amounts) in traded.iter().filter(|(hash, _)| known.contains(*hash)) {
        match said.get(hash) {
            None => found.push(format!("{hash}: {amounts:?} is missing from the record")),
            Some(other) if other != amounts => found.push(format!("{hash}: {amounts:?} was recorded as {other:?}")),
            Some(_) => {}
        }
    }
    found.extend(said.keys().filter(|hash| !traded.contains_key(*hash)).map(|hash| format!("{hash} traded nothing")));
    let mut offers = BTreeSet::new();
    for fill in fills {
        if !offers.insert((fill.tx_hash.clone(), fill.offer_sequence)) {
            found.push(format!("{} of offer {} is recorded twice", fill.tx_hash, fill.offer_sequence));
        }
    }
    let taken = history.taken();
    found.extend(
        taken
            .iter()
            .filter(|(hash, _)| known.contains(hash))
            .filter(|fill| !offers.contains(*fill))
            .map(|(hash, offer)| format!("{hash} took of offer {offer}, and no fill says so")),
    );
    found
}
