//! The second node: connected, following validated ledgers, and compared with the first, so that it can take over at once.

use std::collections::BTreeMap;

use neo_ledger::message::{self, LedgerClosed, Message};
use neo_ledger::request;
use neo_ledger::result::ServerInfo;
use neo_ledger::types::Hash;

use super::nodes::Parting;

/// Hashes that are kept for a comparison: more than any node is behind that is followed.
const KEPT: usize = 64;
/// A first node so many ledgers behind the second for [`BEHIND_MS`] is left.
const BEHIND_LEDGERS: u32 = 2;
/// Propagation alone puts a node a second or two behind.
const BEHIND_MS: u64 = 12_000;
/// Its request numbers begin here; the first node's never come so far.
const FIRST_ID: u64 = 1 << 62;

/// What the comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The first node is behind the second.
    Behind {
        /// So many ledgers.
        ledgers: u32,
    },
    /// The two name different ledgers of one index as validated: one of them is on another chain.
    Differs {
        /// Which index.
        index: u32,
    },
}

/// What the shell must do for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandbyEffect {
    /// Send a message.
    Send(String),
    /// Close the connection and try another node, or the same one later.
    Leave(Parting, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    Greeting,
    Following,
}

/// The rules of the second connection.
#[derive(Debug)]
pub struct Standby {
    network_id: u32,
    silence_ms: u64,
    phase: Phase,
    heard_ms: u64,
    hashes: BTreeMap<u32, Hash>,
    /// The first node's.
    first: BTreeMap<u32, Hash>,
    /// Since when the first node has been behind.
    behind_since_ms: Option<u64>,
    next_id: u64,
}

impl Standby {
    /// One that is not connected.
    #[must_use]
    pub fn new(network_id: u32, silence_ms: u64) -> Standby {
        Standby {
            network_id,
            silence_ms,
            phase: Phase::Off,
            heard_ms: 0,
            hashes: BTreeMap::new(),
            first: BTreeMap::new(),
            behind_since_ms: None,
            next_id: FIRST_ID,
        }
    }

    /// True while it follows the network, and may take over.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.phase == Phase::Following && !self.hashes.is_empty()
    }

    /// True while there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase != Phase::Off
    }

    /// The connection is open.
    pub fn connected(&mut self, now_ms: u64) -> StandbyEffect {
        self.reset();
        (self.phase, self.heard_ms) = (Phase::Greeting, now_ms);
        self.send(request::server_info)
    }

    /// The connection is gone, or has become the first one's.
    pub fn reset(&mut self) {
        self.phase = Phase::Off;
        self.hashes.clear();
        self.behind_since_ms = None;
    }

    /// The first node closed a ledger.
    pub fn first_closed(&mut self, index: u32, hash: Hash) -> Option<Finding> {
        keep(&mut self.first, index, hash);
        self.compare(index)
    }

    /// Another node is the first now, or none is.
    pub fn first_left(&mut self) {
        self.first.clear();
        self.behind_since_ms = None;
    }

    /// Time passes.
    pub fn tick(&mut self, now_ms: u64) -> Option<StandbyEffect> {
        let silent = self.is_connected() && now_ms.saturating_sub(self.heard_ms) > self.silence_ms;
        silent.then(|| StandbyEffect::Leave(Parting::Lost, format!("it has been silent for {} ms", self.silence_ms)))
    }

    /// Whether the first node has been behind for too long.
    pub fn judge(&mut self, now_ms: u64) -> Option<Finding> {
        let (first, newest) = (newest(&self.first)?, newest(&self.hashes)?);
        let ledgers = newest.saturating_sub(first);
        if !self.is_warm() || ledgers < BEHIND_LEDGERS {
            self.behind_since_ms = None;
            return None;
        }
        let since_ms = *self.behind_since_ms.get_or_insert(now_ms);
        (now_ms.saturating_sub(since_ms) >= BEHIND_MS).then_some(Finding::Behind { ledgers })
    }

    /// A message of the node.
    ///
    /// # Errors
    /// What to do about a message that makes it unfit.
    pub fn heard(
        &mut self,
        text: &str,
        now_ms: u64,
    ) -> Result<(Option<StandbyEffect>, Option<Finding>), StandbyEffect> {
        self.heard_ms = now_ms;
        let message = message::parse(text).map_err(|error| {
            StandbyEffect::Leave(Parting::Unfit, format!("it sent what is not its protocol: {error}"))
        })?;
        match message {
            Message::LedgerClosed(closed) if self.phase == Phase::Following => Ok((None, self.closed(&closed))),
            Message::Response(response) if response.id.is_some_and(|id| id >= FIRST_ID) => match response.result {
                Ok(value) => Ok((self.answered(&value)?, None)),
                Err(error) => Err(StandbyEffect::Leave(parting_of(&error.error), error.to_string())),
            },
            _ => Ok((None, None)),
        }
    }

    fn answered(&mut self, value: &serde_json::Value) -> Result<Option<StandbyEffect>, StandbyEffect> {
        let unfit = |reason: String| StandbyEffect::Leave(Parting::Unfit, reason);
        match self.phase {
            Phase::Greeting => {
                let info = ServerInfo::from_value(value).map_err(|error| unfit(error.to_string()))?;
                if let Some(reason) = unfitness(&info, self.network_id, true) {
                    return Err(unfit(reason));
                }
                self.phase = Phase::Following;
                Ok(Some(self.send(request::subscribe_ledger)))
            }
            Phase::Following => {
                let closed = LedgerClosed::from_value(value).map_err(|error| unfit(error.to_string()))?;
                keep(&mut self.hashes, closed.ledger_index, closed.ledger_hash);
                Ok(None)
            }
            Phase::Off => Ok(None),
        }
    }

    fn closed(&mut self, closed: &LedgerClosed) -> Option<Finding> {
        keep(&mut self.hashes, closed.ledger_index, closed.ledger_hash);
        self.compare(closed.ledger_index)
    }

    fn compare(&self, index: u32) -> Option<Finding> {
        let (own, first) = (self.hashes.get(&index)?, self.first.get(&index)?);
        (own != first).then_some(Finding::Differs { index })
    }

    fn send(&mut self, build: impl FnOnce(u64) -> String) -> StandbyEffect {
        let id = self.next_id;
        self.next_id += 1;
        StandbyEffect::Send(build(id))
    }
}

fn keep(hashes: &mut BTreeMap<u32, Hash>, index: u32, hash: Hash) {
    hashes.insert(index, hash);
    while hashes.len() > KEPT {
        hashes.pop_first();
    }
}

fn newest(hashes: &BTreeMap<u32, Hash>) -> Option<u32> {
    hashes.keys().next_back().copied()
}

/// What an error's name says of the node (rippled, `ErrorCodes.h`).
#[must_use]
pub fn parting_of(error: &str) -> Parting {
    match error {
        "slowDown" | "tooBusy" => Parting::Overloaded,
        _ => Parting::Unfit,
    }
}

/// The oldest validated ledger that a fit node may have, in seconds. Ledgers close every four.
const MAX_AGE_S: u64 = 20;
/// A node that asks for so many times the base fee has no room for us.
const MAX_LOAD_FACTOR: i64 = 1_000;

/// Why a node is not fit to be followed; `None` for one that is. Only a node of a network closes ledgers by itself:
/// `by_itself` is false for one that stands alone, whose last ledger may be of any age.
#[must_use]
pub fn unfitness(info: &ServerInfo, network_id: u32, by_itself: bool) -> Option<String> {
    // A node that states no network id is on the main network (xrpl.org, "server_info").
    let found = info.network_id.unwrap_or(0);
    let load = info.load_factor.is_some_and(|load| load > neo_market::Dec::from_i64(MAX_LOAD_FACTOR));
    let age_s = info.validated.as_ref().map(|ledger| ledger.age_s.unwrap_or(0));
    if found != network_id {
        Some(format!("it is on network {found}, not {network_id}"))
    } else if info.amendment_blocked {
        Some("it is blocked by an amendment that it does not know; it needs an update".to_string())
    } else if !["full", "validating", "proposing"].contains(&info.server_state.as_str()) {
        Some(format!("it is {}, not in step with the network", info.server_state))
    } else {
        match age_s {
            None => Some("it has no validated ledger".to_string()),
            Some(age_s) if by_itself && age_s > MAX_AGE_S => Some(format!("its validated ledger is {age_s} s old")),
            Some(_) if load => Some("it asks for more than a thousand times the base fee".to_string()),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NETWORK: u32 = 7;

    fn hash(digit: char) -> Hash {
        digit.to_string().repeat(64).parse().unwrap()
    }

    fn closed(index: u32, digit: char) -> Value {
        json!({"type": "ledgerClosed", "ledger_index": index, "ledger_hash": hash(digit).to_string(), "ledger_time": 9,
            "fee_base": 10, "reserve_base": 1_000_000, "reserve_inc": 200_000})
    }

    fn info(change: impl FnOnce(&mut Value)) -> Value {
        let mut result = json!({"info": {"network_id": NETWORK, "build_version": "2.6.1", "complete_ledgers": "1-9",
            "server_state": "full", "load_factor": 1, "validated_ledger": {"seq": 9, "hash": hash('9').to_string(),
            "age": 3, "base_fee_xrp": 0.00001, "reserve_base_xrp": 1, "reserve_inc_xrp": 0.2}}});
        change(&mut result["info"]);
        result
    }

    fn answer(effect: &StandbyEffect, result: Value) -> String {
        let StandbyEffect::Send(text) = effect else { panic!("{effect:?}") };
        let id = serde_json::from_str::<Value>(text).unwrap()["id"].clone();
        json!({"id": id, "type": "response", "status": "success", "result": result}).to_string()
    }

    fn warm() -> Standby {
        let mut standby = Standby::new(NETWORK, 20_000);
        let ask = standby.connected(0);
        let (subscribe, _) = standby.heard(&answer(&ask, info(|_| {})), 0).unwrap();
        assert!(!standby.is_warm());
        let mut first = closed(9, '9');
        first.as_object_mut().unwrap().remove("type");
        standby.heard(&answer(&subscribe.unwrap(), first), 0).unwrap();
        assert!(standby.is_warm());
        standby
    }

    fn hears(standby: &mut Standby, message: &Value, now_ms: u64) -> Option<Finding> {
        standby.heard(&message.to_string(), now_ms).unwrap().1
    }

    #[test]
    fn two_nodes_that_name_other_ledgers_are_found_whoever_is_first() {
        let mut standby = warm();
        assert_eq!(standby.first_closed(9, hash('9')), None);
        assert_eq!(standby.first_closed(10, hash('A')), None);
        assert_eq!(hears(&mut standby, &closed(10, 'A'), 1), None);
        assert_eq!(hears(&mut standby, &closed(11, 'B'), 1), None);
        assert_eq!(standby.first_closed(11, hash('C')), Some(Finding::Differs { index: 11 }));
        assert_eq!(standby.first_closed(12, hash('C')), None);
        assert_eq!(hears(&mut standby, &closed(12, 'D'), 1), Some(Finding::Differs { index: 12 }));
        standby.first_left();
        assert_eq!(hears(&mut standby, &closed(12, 'D'), 1), None, "another node's ledgers are compared now");
    }

    #[test]
    fn a_first_node_that_stays_behind_is_found_and_one_that_is_late_is_not() {
        let mut standby = warm();
        standby.first_closed(9, hash('9'));
        hears(&mut standby, &closed(10, 'A'), 1_000);
        assert_eq!(standby.judge(60_000), None, "one ledger is nothing");
        hears(&mut standby, &closed(11, 'B'), 60_000);
        assert_eq!(standby.judge(60_000), None);
        assert_eq!(standby.judge(71_999), None);
        assert_eq!(standby.judge(72_000), Some(Finding::Behind { ledgers: 2 }));
        standby.first_closed(11, hash('B'));
        assert_eq!(standby.judge(90_000), None);
        hears(&mut standby, &closed(13, 'D'), 90_000);
        assert_eq!(standby.judge(90_000), None, "it is counted from now on");
    }

    #[test]
    fn a_silent_one_is_left() {
        let mut standby = warm();
        hears(&mut standby, &closed(10, 'A'), 5_000);
        assert_eq!(standby.tick(25_000), None);
        assert!(matches!(standby.tick(25_001), Some(StandbyEffect::Leave(Parting::Lost, _))));
        standby.reset();
        assert_eq!(standby.tick(1_000_000), None);
    }

    #[test]
    fn what_is_not_fit_is_left_and_says_why() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 6] = [
            ("network 1, not 7", |info| info["network_id"] = json!(1)),
            ("amendment", |info| info["amendment_blocked"] = json!(true)),
            ("syncing", |info| info["server_state"] = json!("syncing")),
            ("no validated ledger", |info| info["validated_ledger"] = Value::Null),
            ("21 s old", |info| info["validated_ledger"]["age"] = json!(21)),
            ("base fee", |info| info["load_factor"] = json!(1_001)),
        ];
        for (words, change) in cases {
            let mut standby = Standby::new(NETWORK, 20_000);
            let ask = standby.connected(0);
            let left = standby.heard(&answer(&ask, info(change)), 0).unwrap_err();
            assert!(matches!(&left, StandbyEffect::Leave(Parting::Unfit, why) if why.contains(words)), "{left:?}");
        }
        let old = ServerInfo::from_value(&info(|info| info["validated_ledger"]["age"] = json!(9_000))).unwrap();
        assert_eq!(unfitness(&old, NETWORK, false), None, "a node that stands alone waits to be asked");
    }

    #[test]
    fn a_node_under_load_is_left_for_longer() {
        let mut standby = Standby::new(NETWORK, 20_000);
        let StandbyEffect::Send(text) = standby.connected(0) else { panic!("server_info first") };
        let id = serde_json::from_str::<Value>(&text).unwrap()["id"].clone();
        let busy = json!({"id": id, "type": "response", "status": "error", "error": "slowDown", "error_code": 10});
        let left = standby.heard(&busy.to_string(), 0).unwrap_err();
        assert!(matches!(left, StandbyEffect::Leave(Parting::Overloaded, _)), "{left:?}");
        assert!(matches!(standby.heard("junk", 0), Err(StandbyEffect::Leave(Parting::Unfit, _))));
    }
}
