//! server_info, server_state, ledger_current, ledger_closed.

use serde_json::{Value as Json, json};

use super::load::Load;
use super::{Fields, fields};
use crate::calendar;
use crate::faults::Health;
use crate::ledger::Header;
use crate::node::Node;
use crate::queue::BASE_LEVEL;

/// The release whose behaviour this node follows.
const BUILD_VERSION: &str = "2.6.1";
/// A node key's text; this node has none of its own.
const NODE_KEY: &str = "n9KA9w2fgvRY7Yjiddq8xQ3PqrnvEy92qqheZM2buSmjeqksbPFY";
/// rippled, `ErrorCodes.h`, `warnRPC_AMENDMENT_BLOCKED`.
const WARN_AMENDMENT_BLOCKED: u32 = 1002;

/// The closed ledgers that are remembered, as `first-last`.
pub(super) fn complete_ledgers(node: &Node) -> String {
    let last = node.chain.header().index;
    match node.history.first_index() {
        Some(first) if first < last => format!("{first}-{last}"),
        _ => last.to_string(),
    }
}

/// Seconds since the scenario's beginning, by the ledger's own time.
fn uptime_s(node: &Node) -> u32 {
    node.chain.header().close_time.0.saturating_sub(node.scenario.start_time_s)
}

fn common(node: &Node) -> Fields {
    let uptime = uptime_s(node);
    let full_us = (u64::from(uptime) * 1_000_000).to_string();
    let never = json!({ "duration_us": "0", "transitions": "0" });
    let ports = |node: &Node| match node.port {
        Some(port) => json!([{ "port": port.to_string(), "protocol": ["http", "ws"] }]),
        None => json!([]),
    };
    let mut common = fields(json!({
        "build_version": BUILD_VERSION,
        "complete_ledgers": complete_ledgers(node),
        "initial_sync_duration_us": "0",
        "io_latency_ms": 1,
        "jq_trans_overflow": "0",
        "peer_disconnects": "0",
        "peer_disconnects_resources": "0",
        "peers": 0,
        "ports": ports(node),
        "pubkey_node": NODE_KEY,
        "server_state": node.health().server_state(),
        "server_state_duration_us": full_us,
        "state_accounting": {
            "connected": never, "disconnected": never, "syncing": never, "tracking": never,
            "full": { "duration_us": full_us, "transitions": "1" },
        },
        "time": calendar::human(node.chain.header().close_time, "000000"),
        "uptime": uptime,
        "validation_quorum": 0,
    }));
    // A node of the main network does not name it.
    if node.scenario.network_id != 0 {
        common.insert("network_id".to_string(), json!(node.scenario.network_id));
    }
    if node.health() == Health::AmendmentBlocked {
        common.insert("amendment_blocked".to_string(), json!(true));
        let message =
            "This server is amendment blocked, and must be updated to be able to stay in sync with the network.";
        common.insert("warnings".to_string(), json!([{ "id": WARN_AMENDMENT_BLOCKED, "message": message }]));
    }
    common
}

/// Drops as the number of XRP that `server_info` prints. It is a float there; nothing is computed with it.
fn xrp_number(drops: i64) -> Json {
    if drops % 1_000_000 == 0 { json!(drops / 1_000_000) } else { json!(drops as f64 / 1e6) }
}

pub(super) fn server_info(node: &Node) -> Fields {
    let (header, rules) = (node.chain.header(), node.chain.rules());
    let mut info = common(node);
    info.extend(Load::of(node).factors());
    info.extend(fields(json!({
        "hostid": "SIM",
        "last_close": { "converge_time_s": 0.1, "proposers": 0 },
        "validated_ledger": {
            "age": node.validated_age_s(),
            "base_fee_xrp": xrp_number(rules.base_fee_drops),
            "hash": header.hash,
            "reserve_base_xrp": xrp_number(rules.reserve_base_drops),
            "reserve_inc_xrp": xrp_number(rules.reserve_inc_drops),
            "seq": header.index,
        },
    })));
    fields(json!({ "info": info }))
}

pub(super) fn server_state(node: &Node) -> Fields {
    let (header, rules) = (node.chain.header(), node.chain.rules());
    let mut state = common(node);
    state.extend(Load::of(node).levels());
    state.extend(fields(json!({
        "last_close": { "converge_time": 100, "proposers": 0 },
        "validated_ledger": {
            "base_fee": rules.base_fee_drops,
            "close_time": header.close_time,
            "hash": header.hash,
            "reserve_base": rules.reserve_base_drops,
            "reserve_inc": rules.reserve_inc_drops,
            "seq": header.index,
        },
    })));
    fields(json!({ "state": state }))
}

pub(super) fn ledger_current(node: &Node) -> Fields {
    fields(json!({ "ledger_current_index": node.chain.open_index() }))
}

pub(super) fn ledger_closed(node: &Node) -> Fields {
    let Header { hash, index, .. } = node.chain.header();
    fields(json!({ "ledger_hash": hash, "ledger_index": index }))
}

/// What a subscription to `ledger` answers, and `ledgerClosed` repeats.
pub(super) fn ledger_stream_fields(node: &Node) -> Fields {
    let (header, rules) = (node.chain.header(), node.chain.rules());
    fields(json!({
        "fee_base": rules.base_fee_drops,
        "ledger_hash": header.hash,
        "ledger_index": header.index,
        "ledger_time": header.close_time,
        "network_id": node.scenario.network_id,
        "reserve_base": rules.reserve_base_drops,
        "reserve_inc": rules.reserve_inc_drops,
        "validated_ledgers": complete_ledgers(node),
    }))
}

/// The API versions that are answered.
pub(super) fn version() -> Fields {
    fields(json!({ "version": { "first": 1, "good": 1, "last": 2 } }))
}

/// What a subscription to `server` answers.
pub(super) fn server_stream_fields(node: &mut Node) -> Fields {
    fields(json!({
        "hostid": "SIM",
        "load_base": BASE_LEVEL,
        "load_factor": Load::of(node).open,
        "pubkey_node": NODE_KEY,
        "random": node.random(),
        "server_status": node.health().server_state(),
        "stand_alone": true,
    }))
}
