//! What a valuer that takes another's place must know, read back from the record.

use std::path::Path;
use std::time::Duration;

use crossbeam_channel::bounded;
use neo_actors::valuer::core::ValuerState;
use neo_ledger::own;
use neo_ledger::types::LedgerTime;
use neo_store::record::SessionNumber;
use neo_store::writer::Writer;
use neo_store::{OrderRow, Reader, StoreError};

/// How long the writer may take to make durable what the lost valuer had recorded.
const FLUSH: Duration = Duration::from_secs(2);

/// The state after the session's last snapshot; `None` when there is none yet.
///
/// # Errors
/// When the record does not take what is queued, or cannot be read.
pub fn read_back(writer: &Writer, path: &Path, session: SessionNumber) -> Result<Option<ValuerState>, String> {
    flush(writer)?;
    last_known(path, session)
}

/// The same as far as the record went, without the writer.
///
/// # Errors
/// When the record cannot be read.
pub fn last_known(path: &Path, session: SessionNumber) -> Result<Option<ValuerState>, String> {
    read(path, session).map_err(|error| format!("the valuer's state cannot be read back: {error}"))
}

fn flush(writer: &Writer) -> Result<(), String> {
    let (answer, answered) = bounded(1);
    let ack = move |result: Result<u64, neo_store::WriteError>| {
        if answer.try_send(result).is_err() {
            tracing::warn!("nobody waits for the writer's answer any more");
        }
    };
    writer.flush(Box::new(ack)).map_err(|error| format!("the record takes nothing: {error}"))?;
    match answered.recv_timeout(FLUSH) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("the record takes nothing: {error}")),
        Err(_) => Err(format!("the writer gave no answer within {} ms", FLUSH.as_millis())),
    }
}

fn read(path: &Path, session: SessionNumber) -> Result<Option<ValuerState>, StoreError> {
    let reader = Reader::open(path)?;
    let Some(snapshot) = reader.last_valuation(session)? else { return Ok(None) };
    let starting_value = reader.session(Some(session))?.starting_value_rlusd;
    let price = |row: &OrderRow| match own::price(row.order.size, row.order.rlusd) {
        Ok(Some(price)) => price,
        // An offer that was never placed at such amounts; its recorded price is as good.
        Ok(None) | Err(_) => row.order.price,
    };
    let offers = reader
        .resting_orders(session)?
        .into_iter()
        .map(|row| (row.order.offer_sequence, row.order.side, price(&row)))
        .collect();
    // Every close time in the record was a ledger's.
    let close_time = LedgerTime::from_unix_s(snapshot.close_time.timestamp()).unwrap_or(LedgerTime(0));
    let fills = reader.fills(session)?.into_iter().map(|row| row.record).collect();
    let mark_outs = reader.mark_outs(session)?;
    Ok(Some(ValuerState { snapshot, close_time, starting_value, offers, fills, mark_outs }))
}
