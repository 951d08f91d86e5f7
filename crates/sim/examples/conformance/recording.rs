//! The form of a recorded sequence (`../shared/fixtures/README.md`), and the state it leads through.

use std::collections::BTreeMap;

use neo_ledger::{Address, Hash};
use neo_sim::apply::Rules;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// One recorded sequence. Its steps are read one by one, so that a bad one is known by its number.
#[derive(Deserialize)]
pub struct Recording {
    #[serde(default)]
    pub suite: String,
    pub env: Env,
    #[serde(default)]
    pub accounts: BTreeMap<String, String>,
    pub steps: Vec<Json>,
}

/// The ledger's settings at the beginning, in drops: numbers, or texts of numbers.
#[derive(Deserialize)]
pub struct Env {
    pub base_fee: Json,
    pub reserve_base: Json,
    pub reserve_increment: Json,
}

/// One step.
#[derive(Deserialize)]
pub struct Step {
    pub op: String,
    pub ledger_index: u32,
    pub parent_close_time: u32,
    /// Amendments that are off from here on.
    pub amendments_disabled: Option<Vec<String>>,
    pub tx_json: Option<Json>,
    /// A transaction that has no binary form, but that the recorder's engine was given.
    pub tx_json_unserializable: Option<Json>,
    pub hash: Option<Hash>,
    /// Null where `submit` answered with an error instead of a result.
    pub engine_result: Option<String>,
    #[serde(default)]
    pub applied: bool,
    /// False for a submit that ran against another state than the one before this step.
    #[serde(default = "yes")]
    pub replay: bool,
    #[serde(default)]
    pub meta: Json,
    /// True where the metadata is not complete.
    #[serde(default)]
    pub meta_trimmed: bool,
    #[serde(default)]
    pub expected: Expected,
    #[serde(default)]
    pub state_changes: Vec<Change>,
}

fn yes() -> bool {
    true
}

impl Step {
    /// The transaction, whether it has a binary form or not.
    pub fn transaction(&self) -> Option<&Json> {
        self.tx_json.as_ref().or(self.tx_json_unserializable.as_ref())
    }

    /// The account of the pool that this step makes: its address depends on hashes that are not modelled.
    pub fn pool_account(&self) -> Option<Address> {
        self.state_changes.iter().find_map(|change| match &change.what {
            What::Created { entry } if entry.get("LedgerEntryType")? == "AMM" => {
                entry.get("Account")?.as_str()?.parse().ok()
            }
            _ => None,
        })
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        self.transaction().and_then(|tx| tx["TransactionType"].as_str()).unwrap_or("(none)")
    }
}

/// What the recorder read off the metadata.
#[derive(Default, Deserialize)]
pub struct Expected {
    #[serde(default)]
    pub maker_fills: Vec<Json>,
}

/// A change of one entry.
#[derive(Clone, Deserialize)]
pub struct Change {
    pub index: Hash,
    #[serde(flatten)]
    pub what: What,
}

/// How the entry changed.
#[derive(Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// It came to be.
    Created { entry: Map<String, Json> },
    /// Fields of it changed; null is a field that went away.
    Modified { new: Map<String, Json> },
    /// It went away.
    Deleted {},
}

/// Takes fee and reserves from the ledger's settings, in the form with or without XRPFees; what is absent stays.
pub fn set_fees(rules: &mut Rules, json: &Json) {
    let number = |name: &str| json.get(name).and_then(|json| json.as_i64().or_else(|| json.as_str()?.parse().ok()));
    let old_base = || i64::from_str_radix(json.get("BaseFee")?.as_str()?, 16).ok();
    for (to, value) in [
        (&mut rules.base_fee_drops, number("BaseFeeDrops").or_else(old_base)),
        (&mut rules.reserve_base_drops, number("ReserveBaseDrops").or_else(|| number("ReserveBase"))),
        (&mut rules.reserve_inc_drops, number("ReserveIncrementDrops").or_else(|| number("ReserveIncrement"))),
    ] {
        *to = value.filter(|drops| *drops >= 0).unwrap_or(*to);
    }
}

/// The recorded state: every entry as JSON, whether the core models its kind or not.
#[derive(Default)]
pub struct Recorded {
    entries: BTreeMap<Hash, Json>,
}

impl Recorded {
    /// An entry.
    pub fn entry(&self, index: Hash) -> Option<&Json> {
        self.entries.get(&index)
    }

    /// Applies one change and gives the entry as it is afterwards.
    pub fn apply(&mut self, change: &Change) -> Result<Option<&Json>, String> {
        let index = change.index;
        match &change.what {
            What::Created { entry } => {
                self.entries.insert(index, Json::Object(entry.clone()));
            }
            What::Deleted {} => {
                self.entries.remove(&index);
            }
            What::Modified { new } => {
                let Some(Json::Object(fields)) = self.entries.get_mut(&index) else {
                    return Err(format!("state_changes modifies {index}, which no step before it created"));
                };
                for (name, value) in new {
                    if value.is_null() {
                        fields.remove(name);
                    } else {
                        fields.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        Ok(self.entries.get(&index))
    }
}
