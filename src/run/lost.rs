//! What stood in a mirror of mode paper that is gone.

use anyhow::Result;
use neo_actors::clock::now;
use neo_store::open::Store;
use neo_store::record::{OrderEvent, OrderState, Record};
use neo_store::{OpenOrder, Reader};

use crate::venue::Venue;

/// For a session in a new mirror: the offers that rested in the one before went with it, and what they were filled with
/// after the last recorded ledger nobody knows.
pub(super) fn offers(venue: &Venue, store: &Store) -> Result<Vec<Record>> {
    let rested = |order: &OpenOrder| matches!(order.state, OrderState::Resting | OrderState::PartlyFilled);
    let rested: Vec<OpenOrder> = match venue.is_new_mirror() {
        true => store.open_orders()?.into_iter().filter(rested).collect(),
        false => Vec::new(),
    };
    let (Some(ledger_index), false) = (store.last_processed_ledger()?, rested.is_empty()) else {
        return Ok(Vec::new());
    };
    let ended = Reader::open(store.path())?.sessions()?.into_iter().rev().find_map(|row| row.ending_close_time);
    tracing::warn!(
        offers = rested.len(),
        "the mirror that offers of an earlier session rested in is gone, and they are"
    );
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
    Ok(rested.into_iter().map(gone).collect())
}
