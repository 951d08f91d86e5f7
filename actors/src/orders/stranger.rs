//! Transactions of our account that no engine on this record has signed: another program has the key.
//!
//! An offer or a ticket of theirs, seen while we run, ends the session: two makers on one account rob each other of
//! sequence numbers and quote twice what the limits allow. Anything else is recorded and warned of.

use chrono::{DateTime, Utc};
use neo_ledger::own::OwnTransaction;
use neo_store::record::{Fault, Record};

use super::core::OrdersCore;

/// What is done about a stranger who trades.
const ENDS: &str = "the session ends; the stranger's offers are left alone";

impl OrdersCore {
    /// The record of a foreign transaction. Those of before this session (`is_history`) accuse nobody.
    pub(super) fn foreign(&mut self, transaction: &OwnTransaction, is_history: bool, now: DateTime<Utc>) -> Record {
        let OwnTransaction { hash, kind, sequence, result, .. } = transaction;
        let ends_session = !is_history && trades(transaction);
        let action = if ends_session {
            self.accuse(*sequence, format!("{kind} {hash} with sequence {sequence}"));
            ENDS
        } else {
            tracing::warn!(%hash, kind, sequence, result, "a transaction of our account that no engine on this record signed");
            "recorded; the sequence numbers follow the ledger"
        };
        let cause = format!("{kind} {hash} ({result}, sequence {sequence}) of our account was signed elsewhere");
        fault(cause, action, now)
    }

    /// The record of an offer of somebody else's that only the list of offers shows.
    pub(super) fn listed_stranger(&mut self, sequence: u32, what: &str, now: DateTime<Utc>) -> Record {
        self.accuse(sequence, what.to_string());
        fault(format!("{what}, is not ours"), ENDS, now)
    }

    /// Somebody else trades on our account.
    fn accuse(&mut self, sequence: u32, what: String) {
        self.strange.insert(sequence);
        let cause = format!(
            "another program trades on this account: {what}. Stop it, or give it an account of its own; then start again"
        );
        tracing::error!("{cause}");
        self.stranger.get_or_insert(cause);
    }
}

fn fault(cause: String, action: &str, now: DateTime<Utc>) -> Record {
    Record::Fault(Fault { actor: "orders".into(), cause, backtrace: None, action: action.into(), recorded_at: now })
}

/// An offer that traded or rests, or a ticket, which is a sequence number set aside for later.
fn trades(transaction: &OwnTransaction) -> bool {
    transaction.result == "tesSUCCESS" && matches!(transaction.kind.as_str(), "OfferCreate" | "TicketCreate")
}
