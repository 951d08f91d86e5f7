//! When a method is refused whatever it asks (rippled, `Handler.h`, `conditionMet`; `Handler.cpp` has each method's).

use super::error::ApiError;
use crate::faults::{Health, MAX_VALIDATED_AGE_S};
use crate::node::Node;

/// Methods that need the network or a ledger of it. The others answer from what the node has.
const CONDITIONED: [&str; 11] = [
    "fee",
    "ledger_closed",
    "ledger_current",
    "path_find",
    "ripple_path_find",
    "sign",
    "submit",
    "submit_multisigned",
    "simulate",
    "transaction_entry",
    "tx",
];
/// Requests that are refused for load between two ledgers. Load wears off with time, and a client that closes the ledgers
/// itself would otherwise wait for ever.
const MOST_REFUSED: u32 = 32;

/// Why the method is not answered now, if it is not.
pub(super) fn refusal(node: &mut Node, command: &str, version: u64) -> Option<ApiError> {
    if matches!(command, "ledger_accept" | "stop") {
        return None;
    }
    if node.faults.slows_down(node.chain.header().index) && node.refused < MOST_REFUSED {
        node.refused += 1;
        return Some(ApiError::new("slowDown", 10, "You are placing too much load on the server."));
    }
    if !CONDITIONED.contains(&command) {
        return None;
    }
    match node.health() {
        Health::AmendmentBlocked => Some(ApiError::new("amendmentBlocked", 14, "Amendment blocked, need upgrade.")),
        _ if node.validated_age_s() <= MAX_VALIDATED_AGE_S => None,
        _ if version == 1 => Some(ApiError::new("noCurrent", 16, "Current ledger is unavailable.")),
        _ => Some(ApiError::new("notSynced", 18, "Not synced to the network.")),
    }
}
