//! Compares two JSON values: the set of fields and the types everywhere, the values where they can be equal.

use serde_json::Value as Json;

/// Fields whose values are another world's: hashes of ledgers, clocks, keys, chance.
const OTHER_VALUES: [&str; 34] = [
    "account_hash",
    "close_time",
    "close_time_human",
    "close_time_iso",
    "complete_ledgers",
    "converge_time",
    "converge_time_s",
    "date",
    "duration_us",
    "hostid",
    "initial_sync_duration_us",
    "io_latency_ms",
    "ledger_data",
    "ledger_hash",
    "ledger_time",
    "parent_close_time",
    "parent_hash",
    "port",
    "protocol",
    "pubkey_node",
    "random",
    "server_state_duration_us",
    "time",
    "total_coins",
    "transaction_hash",
    "transitions",
    "uptime",
    "validated_ledger_index",
    "validated_ledgers",
    // Whose transaction it was may be another one's where the recorded one is not known.
    "PreviousTxnID",
    "TransactionIndex",
    // Directories are in the binary form of metadata, too.
    "meta",
    "meta_blob",
    "hash",
];

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// A field too much or too little, or another type.
    pub shape: Vec<String>,
    /// Another value, or another number of rows.
    pub values: Vec<String>,
}

impl Differences {
    pub(super) fn of(expected: &Json, got: &Json) -> Differences {
        let mut differences = Differences::default();
        differences.look(expected, got, "", "");
        differences
    }

    fn look(&mut self, expected: &Json, got: &Json, path: &str, name: &str) {
        match (expected, got) {
            (Json::Object(expected), Json::Object(got)) => {
                for (field, value) in expected {
                    let below = format!("{path}.{field}");
                    match got.get(field) {
                        Some(got) => self.look(value, got, &below, field),
                        None => self.shape.push(format!("{below} is missing")),
                    }
                }
                for field in got.keys().filter(|field| !expected.contains_key(*field)) {
                    self.shape.push(format!("{path}.{field} is too much"));
                }
            }
            (Json::Array(expected), Json::Array(got)) => {
                let rows = |rows: &[Json]| rows.iter().filter(|row| !is_directory(row)).cloned().collect::<Vec<_>>();
                let (expected, got) = (rows(expected), rows(got));
                if expected.len() != got.len() && name != "ports" && name != "protocol" {
                    self.values.push(format!("{path} has {} rows, not {}", got.len(), expected.len()));
                }
                for (at, (expected, got)) in expected.iter().zip(&got).enumerate() {
                    self.look(expected, got, &format!("{path}[{at}]"), name);
                }
            }
            _ if kind(expected) != kind(got) => self.shape.push(format!("{path} is {got}, not {expected}")),
            // A number may be written in two ways.
            _ if expected.is_number() && expected.as_f64() == got.as_f64() => {}
            _ if expected != got && !OTHER_VALUES.contains(&name) => {
                let short = |json: &Json| json.to_string().chars().take(90).collect::<String>();
                self.values.push(format!("{path} is {}, not {}", short(got), short(expected)));
            }
            _ => {}
        }
    }
}

fn kind(json: &Json) -> u8 {
    match json {
        Json::Null => 0,
        Json::Bool(_) => 1,
        Json::Number(_) => 2,
        Json::String(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

/// Directories are not kept by this ledger, so metadata lack them.
fn is_directory(row: &Json) -> bool {
    ["CreatedNode", "ModifiedNode", "DeletedNode"].iter().any(|node| row[*node]["LedgerEntryType"] == "DirectoryNode")
}
