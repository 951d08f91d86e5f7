//! What a payment moved so far, so that nobody spends in it what he got in it (rippled, `PaymentSandbox`).
//!
//! A balance that is read during a payment is what was there at its beginning less what went out since; what came in
//! does not count, and neither do reserves that a removed entry set free. The engine keeps two layers of these notes:
//! what the strands that count have moved, and what the strand under way moves.

use std::collections::BTreeMap;

use neo_ledger::{Address, Currency};

use crate::amount::{ArithmeticError, Value};

/// The account that stands for XRP itself.
pub(super) const XRP_ACCOUNT: Address = Address([0; 20]);

/// Two accounts, the lower first, and what moves between them; no currency is XRP.
type Pair = (Address, Address, Option<Currency>);

/// What moved between two accounts.
#[derive(Clone, Copy, Debug)]
struct Moved {
    to_low: Value,
    to_high: Value,
    /// The low account's balance before the first move.
    low_before: Value,
}

/// One layer of notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deferred {
    moved: BTreeMap<Pair, Moved>,
    counts: BTreeMap<Address, u32>,
}

fn pair(a: Address, b: Address, currency: Option<Currency>) -> Pair {
    if a < b { (a, b, currency) } else { (b, a, currency) }
}

impl Deferred {
    /// Notes that `amount` goes from `from`, whose balance towards `to` was `before`.
    pub(super) fn note(
        &mut self,
        from: Address,
        to: Address,
        currency: Option<Currency>,
        amount: Value,
        before: Value,
    ) -> Result<(), ArithmeticError> {
        let from_low = from < to;
        let moved = self.moved.entry(pair(from, to, currency)).or_insert_with(|| Moved {
            to_low: amount.cleared(),
            to_high: amount.cleared(),
            low_before: if from_low { before } else { before.neg() },
        });
        let side = if from_low { &mut moved.to_high } else { &mut moved.to_low };
        *side = side.add(amount)?;
        Ok(())
    }

    /// Notes how many entries an account owned, when it is more than before.
    pub(super) fn note_count(&mut self, account: Address, count: u32) {
        let held = self.counts.entry(account).or_default();
        *held = count.max(*held);
    }

    fn debits_and_start(&self, account: Address, other: Address, currency: Option<Currency>) -> Option<(Value, Value)> {
        let moved = self.moved.get(&pair(account, other, currency))?;
        Some(if account < other { (moved.to_high, moved.low_before) } else { (moved.to_low, moved.low_before.neg()) })
    }

    /// Adds another layer's notes to these; starts that are known stay.
    pub(super) fn absorb(&mut self, other: &mut Deferred) -> Result<(), ArithmeticError> {
        for (pair, moved) in std::mem::take(&mut other.moved) {
            match self.moved.get_mut(&pair) {
                None => {
                    self.moved.insert(pair, moved);
                }
                Some(known) => {
                    known.to_low = known.to_low.add(moved.to_low)?;
                    known.to_high = known.to_high.add(moved.to_high)?;
                }
            }
        }
        for (account, count) in std::mem::take(&mut other.counts) {
            self.note_count(account, count);
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.moved.clear();
        self.counts.clear();
    }
}

/// What of `balance` the account can spend, by layers from the innermost to the outermost.
pub(super) fn spendable(
    layers: &[&Deferred],
    account: Address,
    other: Address,
    currency: Option<Currency>,
    balance: Value,
) -> Result<Value, ArithmeticError> {
    let (mut debits, mut start, mut least) = (balance.cleared(), balance, balance);
    for layer in layers {
        if let Some((out, before)) = layer.debits_and_start(account, other, currency) {
            debits = debits.add(out)?;
            start = before;
            least = least.min(before);
        }
    }
    // The notes may come out a digit above the balance; the balance is the limit.
    let left = balance.min(start.sub(debits)?).min(least);
    // XRP that came in and went out again is no debt.
    Ok(if left.is_xrp() && left.signum() < 0 { left.cleared() } else { left })
}

/// Entries to keep a reserve for.
pub(super) fn reserved_count(layers: &[&Deferred], account: Address, count: u32) -> u32 {
    layers.iter().filter_map(|layer| layer.counts.get(&account).copied()).fold(count, u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::TokenValue;

    fn token(value: i64) -> Value {
        Value::Token(TokenValue::new(value, 0).unwrap())
    }

    const A: Address = Address([1; 20]);
    const B: Address = Address([2; 20]);
    const USD: Option<Currency> = Some(Currency::RLUSD);

    #[test]
    fn what_came_in_during_a_payment_cannot_be_spent_in_it() {
        let mut notes = Deferred::default();
        // B owes A 100; A gets 50 more, then gives 30 back.
        notes.note(B, A, USD, token(50), token(-100)).unwrap();
        notes.note(A, B, USD, token(30), token(150)).unwrap();
        let left = |balance| spendable(&[&notes], A, B, USD, balance).unwrap();
        assert_eq!(left(token(120)), token(70));
        assert_eq!(spendable(&[&notes], B, A, USD, token(-120)).unwrap(), token(-150));
        assert_eq!(spendable(&[&notes], A, B, None, token(5)).unwrap(), token(5), "another currency");
    }

    #[test]
    fn layers_add_up_and_the_outermost_start_counts() {
        let (mut strand, mut whole) = (Deferred::default(), Deferred::default());
        whole.note(A, B, USD, token(10), token(100)).unwrap();
        strand.note(A, B, USD, token(5), token(90)).unwrap();
        whole.note_count(A, 3);
        strand.note_count(A, 2);
        assert_eq!(spendable(&[&strand, &whole], A, B, USD, token(85)).unwrap(), token(85));
        assert_eq!(reserved_count(&[&strand, &whole], A, 1), 3);
        whole.absorb(&mut strand).unwrap();
        assert_eq!(spendable(&[&whole], A, B, USD, token(200)).unwrap(), token(85));
    }

    #[test]
    fn drops_that_came_and_went_are_no_debt() {
        let mut notes = Deferred::default();
        notes.note(XRP_ACCOUNT, A, None, Value::Drops(1_000), Value::Drops(-10)).unwrap();
        notes.note(A, XRP_ACCOUNT, None, Value::Drops(1_000), Value::Drops(1_010)).unwrap();
        assert_eq!(spendable(&[&notes], A, XRP_ACCOUNT, None, Value::Drops(10)).unwrap(), Value::Drops(0));
    }
}
