//! What a transaction may do to its account, known before it is applied (rippled, `TxConsequences`).

use crate::amount::Value;
use crate::apply::account;
use crate::apply::tx::{Body, Tx};

/// What a transaction may do to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// True when it may make the account's later transactions invalid: it changes who may sign, or how.
    pub is_blocker: bool,
    /// What it burns, in drops.
    pub fee_drops: i64,
    /// The most XRP that it may spend beside the fee, in drops.
    pub spend_drops: i64,
    /// How far it moves the account's sequence, as the queue reckons it.
    pub sequences: u32,
}

impl Consequences {
    /// Those of a transaction.
    #[must_use]
    pub fn of(tx: &Tx) -> Consequences {
        let spent = match &tx.body {
            Body::Payment { amount, send_max, .. } => send_max.map_or(amount.0, |most| most.0),
            Body::OfferCreate { taker_gets, .. } => taker_gets.0,
            _ => Value::Drops(0),
        };
        Consequences {
            is_blocker: match &tx.body {
                Body::SetRegularKey { .. } => true,
                Body::AccountSet(set) => account::changes_authority(set, tx.flags),
                _ => false,
            },
            fee_drops: tx.fee,
            spend_drops: match spent {
                Value::Drops(drops) => drops.max(0),
                Value::Token(_) => 0,
            },
            sequences: match &tx.body {
                Body::TicketCreate { count } => *count,
                _ => 1,
            },
        }
    }

    /// Fee and spending together, in drops.
    #[must_use]
    pub const fn total_drops(&self) -> i64 {
        self.fee_drops.saturating_add(self.spend_drops)
    }
}
