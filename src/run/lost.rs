//! What stood in a mirror of mode paper that is gone. The next mirror goes on from the last ledger that was recorded wholly:
//! with its balances, and without offers. What the lost one did after that is in no record.

use anyhow::Result;
use neo_actors::clock::now;
use neo_store::open::Store;
use neo_store::record::{Fault, OrderEvent, OrderState, Record};
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
    let (offers, unsettled) = (rested.len(), store.unsettled_intents()?.len());
    if offers == 0 && unsettled == 0 {
        return Ok(Vec::new());
    }
    let cause = format!(
        "the mirror of an earlier session is gone, and with it {offers} offers and {unsettled} unsettled transactions: the \
         history after ledger {ledger_index} is lost"
    );
    tracing::warn!("{cause}");
    let action = "a new mirror goes on with the balances of that ledger, and without offers".to_string();
    let fault = Record::Fault(Fault { actor: "mirror".into(), cause, backtrace: None, action, recorded_at: now() });
    let ended = Reader::open(store.path())?.sessions()?.into_iter().rev().find_map(|row| row.ending_close_time);
    let gone = |order: OpenOrder| {
        Record::OrderEvent(OrderEvent {
            offer_sequence: order.offer_sequence,
            state: OrderState::Unknown,
            remaining: order.remaining,
            tx_hash: None,
            detail: Some("the mirror of the market that it rested in is gone".to_string()),
            ledger_index,
            close_time: ended.unwrap_or_else(now),
            recorded_at: now(),
        })
    };
    Ok(rested.into_iter().map(gone).chain([fault]).collect())
}
