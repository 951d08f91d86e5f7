//! What stood in a mirror of mode paper that is gone. The next mirror goes on from the last ledger that was recorded wholly:
//! with its balances, and without offers. What the lost one did after that is in no record.

use anyhow::Result;
use chrono::{DateTime, Utc};
use neo_actors::clock::now;
use neo_store::open::Store;
use neo_store::record::{Fault, IntentState, IntentUpdate, OrderEvent, OrderState, Record};
use neo_store::{OpenOrder, Reader};

use crate::venue::Venue;

/// For a session in a new mirror: the offers that rested in the one before went with it, and so did what was signed and not
/// settled.
pub(super) fn records(venue: &Venue, store: &Store) -> Result<Vec<Record>> {
    let Some(ledger_index) = store.last_processed_ledger()?.filter(|_| venue.is_new_mirror()) else {
        return Ok(Vec::new());
    };
    let rested = |order: &OpenOrder| matches!(order.state, OrderState::Resting | OrderState::PartlyFilled);
    let rested: Vec<OpenOrder> = store.open_orders()?.into_iter().filter(rested).collect();
    let unsettled: Vec<String> = store.unsettled_intents()?.into_iter().map(|row| row.intent.tx_hash).collect();
    if rested.is_empty() && unsettled.is_empty() {
        return Ok(Vec::new());
    }
    let ended = Reader::open(store.path())?.sessions()?.into_iter().rev().find_map(|row| row.ending_close_time);
    Ok(gone(rested, unsettled, ledger_index, ended.unwrap_or_else(now)))
}

/// The offers stand nowhere any more; whether they were filled first nobody can tell, nor whether what was signed was still
/// included: both are unknown, and settled as that.
fn gone(rested: Vec<OpenOrder>, unsettled: Vec<String>, ledger_index: u32, close_time: DateTime<Utc>) -> Vec<Record> {
    let (offers, transactions) = (rested.len(), unsettled.len());
    let cause = format!(
        "the mirror of an earlier session is gone, and with it {offers} offers and {transactions} unsettled transactions: the \
         history after ledger {ledger_index} is lost"
    );
    tracing::warn!("{cause}");
    let action = "a new mirror goes on with the balances of that ledger, and without offers".to_string();
    let fault = Record::Fault(Fault { actor: "mirror".into(), cause, backtrace: None, action, recorded_at: now() });
    let order_gone = |order: OpenOrder| {
        Record::OrderEvent(OrderEvent {
            offer_sequence: order.offer_sequence,
            state: OrderState::Unknown,
            remaining: order.remaining,
            tx_hash: None,
            detail: Some("the mirror of the market that it rested in is gone".to_string()),
            ledger_index,
            close_time,
            recorded_at: now(),
        })
    };
    let intent_gone = |tx_hash: String| {
        Record::IntentUpdate(IntentUpdate {
            tx_hash,
            state: IntentState::Unknown,
            engine_result: None,
            ledger_index: Some(ledger_index),
            recorded_at: now(),
        })
    };
    let intents = unsettled.into_iter().map(intent_gone);
    rested.into_iter().map(order_gone).chain(intents).chain([fault]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn what_was_signed_for_a_mirror_that_is_gone_is_unknown_and_not_dead() {
        let records = gone(Vec::new(), vec!["AB".to_string()], 77, now());
        let update = records.iter().find_map(|record| match record {
            Record::IntentUpdate(update) => Some(update),
            _ => None,
        });
        let update = update.unwrap();
        // With a ledger the record does not look for it any more.
        assert_eq!((update.state, update.ledger_index), (IntentState::Unknown, Some(77)));
        assert!(
            records.iter().any(|record| matches!(record, Record::Fault(fault) if fault.cause.contains("1 unsettled")))
        );
    }
}
