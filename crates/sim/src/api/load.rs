//! What a node says of its load: fee, the load factors, the queue, and the stream `server`.

use neo_ledger::Address;
use serde_json::{Value as Json, json};

use super::{Fields, Request, fields};
use crate::node::{Node, Outgoing};
use crate::queue::{BASE_LEVEL, Candidate, drops_of, level_of};

/// Levels, as far as clients are told when they change (rippled, `NetworkOPs::ServerFeeSummary`). This node's own load
/// is always the base level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// What gets into the open ledger at once.
    pub open: u64,
    /// What the queue asks of a newcomer.
    least: u64,
    base_fee_drops: i64,
    server_state: &'static str,
}

/// A level as rippled's JSON can hold it (rippled, `jsonClipped`).
fn clipped(level: u64) -> Json {
    json!(u32::try_from(level).unwrap_or(u32::MAX))
}

/// A level as a multiple of the base level. It is a float there; nothing is computed with it.
fn factor(level: u64) -> Json {
    if level.is_multiple_of(BASE_LEVEL) { json!(level / BASE_LEVEL) } else { json!(level as f64 / BASE_LEVEL as f64) }
}

impl Load {
    pub(crate) fn of(node: &Node) -> Load {
        Load {
            open: node.chain.open_level(),
            least: node.chain.queue().least_level(),
            base_fee_drops: node.chain.rules().base_fee_drops,
            server_state: node.health().server_state(),
        }
    }

    /// As `server_info` has it, for people.
    pub(super) fn factors(self) -> Fields {
        let mut factors = fields(json!({ "load_factor": factor(self.open) }));
        if self.open != BASE_LEVEL {
            factors.insert("load_factor_fee_escalation".to_string(), factor(self.open));
            factors.insert("load_factor_server".to_string(), json!(1));
        }
        if self.least != BASE_LEVEL {
            factors.insert("load_factor_fee_queue".to_string(), factor(self.least));
        }
        factors
    }

    /// As `server_state` has it, and the stream.
    pub(super) fn levels(self) -> Fields {
        fields(json!({
            "load_base": BASE_LEVEL,
            "load_factor": clipped(self.open),
            "load_factor_fee_escalation": clipped(self.open),
            "load_factor_fee_queue": clipped(self.least),
            "load_factor_fee_reference": BASE_LEVEL,
            "load_factor_server": BASE_LEVEL,
        }))
    }
}

/// Tells the stream `server` when what it was told last has changed; a first time in any case.
pub(crate) fn server_status(node: &mut Node) -> Vec<Outgoing> {
    let load = Load::of(node);
    let watching = || node.connections.iter().filter(|(_, client)| client.has("server"));
    if node.last_load == Some(load) || watching().next().is_none() {
        return Vec::new();
    }
    let mut message = load.levels();
    message.extend(fields(json!({
        "base_fee": load.base_fee_drops, "server_status": load.server_state, "type": "serverStatus",
    })));
    let text = Json::Object(message).to_string();
    let outgoing = watching().map(|(id, _)| Outgoing { connection: *id, text: text.clone() }).collect();
    node.last_load = Some(load);
    outgoing
}

pub(super) fn fee(node: &Node) -> Fields {
    let (base, queue) = (node.chain.rules().base_fee_drops, node.chain.queue());
    let (metrics, open, least) = (queue.metrics(), node.chain.open_level(), queue.least_level());
    // Where the base fee is nothing, one drop stands for it once something must be paid.
    let effective = |level: u64| if base == 0 && level != BASE_LEVEL { 1 } else { base };
    let open_base = effective(open);
    let down = drops_of(open, open_base);
    let is_short = open_base > 0 && level_of(down, open_base, open_base) < open;
    let open_fee = if is_short { down.saturating_add(1) } else { down };
    let mut fee = fields(json!({
        "current_ledger_size": node.chain.open_count().to_string(),
        "current_queue_size": queue.len().to_string(),
        "drops": {
            "base_fee": base.to_string(),
            "median_fee": drops_of(metrics.multiplier(), base).to_string(),
            "minimum_fee": drops_of(least, effective(least)).to_string(),
            "open_ledger_fee": open_fee.to_string(),
        },
        "expected_ledger_size": metrics.expected().to_string(),
        "ledger_current_index": node.chain.open_index(),
        "levels": {
            "median_level": metrics.multiplier().to_string(),
            "minimum_level": least.to_string(),
            "open_ledger_level": open.to_string(),
            "reference_level": BASE_LEVEL.to_string(),
        },
    }));
    if let Some(most) = queue.max_size() {
        fee.insert("max_queue_size".to_string(), json!(most.to_string()));
    }
    fee
}

/// What both views of the queue say of a transaction.
fn waiting(candidate: &Candidate) -> Fields {
    let consequences = candidate.consequences;
    let mut row = fields(json!({
        "auth_change": consequences.is_blocker,
        "fee": consequences.fee_drops.to_string(),
        "fee_level": candidate.level.to_string(),
        "max_spend_drops": consequences.total_drops().to_string(),
    }));
    if let Some(last) = candidate.tx.last_ledger_sequence {
        row.insert("LastLedgerSequence".to_string(), json!(last));
    }
    row
}

/// What waits of an account (rippled, `AccountInfo.cpp`).
pub(super) fn of_account(node: &Node, account: Address) -> Json {
    let waits: Vec<&Candidate> = node.chain.queue().of_account(account).collect();
    let mut data = fields(json!({ "txn_count": waits.len() }));
    if waits.is_empty() {
        return Json::Object(data);
    }
    for (is_ticket, name, count) in [(false, "sequence", "sequence_count"), (true, "ticket", "ticket_count")] {
        let numbers: Vec<u32> =
            waits.iter().filter(|waits| waits.tx.has_ticket == is_ticket).map(|waits| waits.tx.sequence).collect();
        if let (Some(lowest), Some(highest)) = (numbers.first(), numbers.last()) {
            data.insert(count.to_string(), json!(numbers.len()));
            data.insert(format!("lowest_{name}"), json!(lowest));
            data.insert(format!("highest_{name}"), json!(highest));
        }
    }
    let spent = waits.iter().fold(0_i64, |sum, waits| sum.saturating_add(waits.consequences.total_drops()));
    let blocked = waits.iter().any(|waits| waits.consequences.is_blocker);
    let rows = waits.iter().map(|waits| {
        let mut row = waiting(waits);
        let number = if waits.tx.has_ticket { "ticket" } else { "seq" };
        row.insert(number.to_string(), json!(waits.tx.sequence));
        Json::Object(row)
    });
    data.insert("transactions".to_string(), rows.collect());
    data.insert("auth_change_queued".to_string(), json!(blocked));
    data.insert("max_spend_drops_total".to_string(), json!(spent.to_string()));
    Json::Object(data)
}

/// The whole queue, the next one first; each transaction as `shown` has it (rippled, `LedgerToJson.cpp`).
pub(super) fn queue_rows(node: &Node, request: &Request, shown: impl Fn(&Candidate) -> Json) -> Vec<Json> {
    let rows = node.chain.queue().in_order().map(|candidate| {
        let mut row = waiting(candidate);
        row.extend(fields(json!({
            "account": candidate.tx.account,
            "preflight_result": "tesSUCCESS",
            "retries_remaining": candidate.retries,
        })));
        if let Some(last) = candidate.last_result {
            row.insert("last_result".to_string(), json!(last.token));
        }
        match shown(candidate) {
            Json::Object(tx) if request.version > 1 => row.extend(tx),
            tx => {
                row.insert("tx".to_string(), tx);
            }
        }
        Json::Object(row)
    });
    rows.collect()
}
