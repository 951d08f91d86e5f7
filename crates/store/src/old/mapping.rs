//! `--map`: what the user says of tables and columns that cannot be told from their names.

use std::collections::BTreeMap;

use crate::old::error::OldError;
use crate::old::times::Zone;

/// Everything that can be mapped. A table is named by its role alone, a column by its table's role and its own.
pub(crate) const KEYS: [&str; 22] = [
    "sessions",
    "sessions.id",
    "sessions.number",
    "sessions.started_at",
    "sessions.ended_at",
    "sessions.starting_value",
    "sessions.ending_value",
    "fills",
    "fills.session",
    "fills.time",
    "fills.side",
    "fills.xrp",
    "fills.drops",
    "fills.rlusd",
    "fills.price",
    "fills.tx_hash",
    "fills.ledger_index",
    "valuation_snapshots",
    "valuation_snapshots.session",
    "valuation_snapshots.time",
    "valuation_snapshots.total_value",
    "zone",
];

/// What was mapped. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping(BTreeMap<&'static str, String>);

impl Mapping {
    /// Reads texts such as `fills.time=filled_at`, `fills=trades`, `fills=none` (there is no such table) or
    /// `zone=+02:00` (what times without a zone are in; UTC unless said).
    ///
    /// # Errors
    /// [`OldError::Map`] for a text that is none of these.
    pub fn parse(texts: &[String]) -> Result<Mapping, OldError> {
        let mut mapped = BTreeMap::new();
        for text in texts {
            let mistake = |mistake: String| OldError::Map { text: text.clone(), mistake };
            let (key, value) = text
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| mistake("write it as WHAT=COLUMN, e.g. --map fills.time=filled_at".to_string()))?;
            let key = KEYS
                .into_iter()
                .find(|known| *known == key)
                .ok_or_else(|| mistake(format!("{key:?} cannot be mapped; what can be: {}", KEYS.join(", "))))?;
            if key == "zone" && Zone::parse(value).is_none() {
                return Err(mistake("a zone is UTC or an offset such as +02:00".to_string()));
            }
            if mapped.insert(key, value.to_string()).is_some() {
                return Err(mistake(format!("{key} is mapped twice")));
            }
        }
        Ok(Mapping(mapped))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// What times without a zone are in.
    pub(crate) fn zone(&self) -> Zone {
        self.get("zone").and_then(Zone::parse).unwrap_or(Zone::utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_taken_or_refused_with_the_way_to_write_it() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mapping = Mapping::parse(&texts(&["fills.time = filled_at", "zone=+02:00"])).unwrap();
        assert_eq!(mapping.get("fills.time"), Some("filled_at"));
        assert_eq!(mapping.zone(), Zone::parse("+02:00").unwrap());
        for (wrong, told) in [
            ("fills.time", "WHAT=COLUMN"),
            ("fills.time=", "WHAT=COLUMN"),
            ("fills.colour=red", "fills.side"),
            ("zone=Berlin", "+02:00"),
        ] {
            let error = Mapping::parse(&texts(&[wrong])).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(told), "{error}");
        }
        assert!(Mapping::parse(&texts(&["fills=a", "fills=b"])).is_err());
    }
}
