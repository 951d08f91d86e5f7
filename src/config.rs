//! The engine's configuration: defaults, then a TOML file, then `NEO_*` variables, then flags.
//!
//! Each layer overrides the one before, key by key, and each effective value remembers where it came from. Loading
//! collects every mistake instead of stopping at the first, so that a file is put right in one go. Unknown keys are
//! mistakes: a misspelt one would otherwise be silently without effect. Secrets are no configuration; a value that
//! looks like one is refused and never repeated.

mod checks;
mod layers;
mod notices;
mod problem;
mod render;
mod sections;
mod signing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use neo_market::{QuoteConfig, ReferenceConfig, RiskConfig};
use serde::{Deserialize, Serialize};

pub use layers::{Origin, environment};
pub use problem::{ConfigErrors, Problem};
pub use sections::{
    Account, Alerts, Feed, KeyType, LogLevel, LogSettings, Metrics, Network, NetworkKind, Orders, Orphans, Session,
    Sim, Speed, Stop, StoreSettings, Supervision,
};

use layers::Leaf;

/// The configuration of a newcomer.
const DEFAULT_CONFIG: &str = "config/sim.toml";

/// Everything that can be set. One field a section of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to run, and for how long.
    pub session: Session,
    /// The node to talk to.
    pub network: Network,
    /// The account that trades and the token it trades.
    pub account: Account,
    /// Prices and sizes of the quotes.
    pub quote: QuoteConfig,
    /// The price that quotes stand around.
    pub price: ReferenceConfig,
    /// Limits that no offer passes.
    pub risk: RiskConfig,
    /// How transactions are sent.
    pub orders: Orders,
    /// The record.
    pub store: StoreSettings,
    /// The stop sequence.
    pub stop: Stop,
    /// How faults inside the engine are found.
    pub supervisor: Supervision,
    /// The market's data.
    pub feed: Feed,
    /// The log.
    pub log: LogSettings,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// Who is told when somebody should look.
    pub alerts: Alerts,
    /// The simulated ledger.
    pub sim: Sim,
}

/// A configuration without mistakes, and where each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// The origin of every key, dotted as in `quote.levels`.
    pub origins: BTreeMap<String, Origin>,
}

/// Loads the configuration that a command works with.
///
/// # Errors
/// All mistakes at once, for people.
pub fn load(file: Option<&Path>, settings: &[(String, String)]) -> Result<Loaded, ConfigErrors> {
    let default = Path::new(DEFAULT_CONFIG);
    let file = file.or_else(|| default.exists().then_some(default));
    let flags: Vec<(&str, String)> = settings.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    Config::load(file, environment(), &flags)
}

impl Config {
    /// Builds the effective configuration.
    ///
    /// `file` is a TOML file; `env` are environment variables, of which only names that begin with `NEO_` are looked at
    /// (`NEO_QUOTE__BID_OFFSET_BPS` sets `quote.bid_offset_bps`); `flags` are dotted keys and their texts.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every mistake found in any layer.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Loaded, ConfigErrors> {
        let mut builder = Builder::new()?;
        let file_is_whole = match file.map(layers::from_file) {
            None => true,
            Some(Ok(leaves)) => {
                builder.add(leaves);
                true
            }
            Some(Err(mistakes)) => {
                builder.problems.extend(mistakes);
                false
            }
        };
        builder.add(layers::from_env(env));
        builder.add(layers::from_flags(flags));
        builder.finish(file_is_whole)
    }
}

/// Sections in which a key is looked for that is named without one.
const QUOTING: [&str; 3] = ["quote", "risk", "price"];

/// The whole key of one that may be named without its section, where that is one of those that say how to quote.
///
/// # Errors
/// Why there is none, and what is like it.
pub fn key_of(name: &str) -> Result<String, String> {
    let known = Builder::new().map_err(|error| error.to_string())?.known;
    let wanted = std::iter::once(name.to_string()).chain(QUOTING.iter().map(|section| layers::join(section, name)));
    if let Some(key) = wanted.into_iter().find(|key| known.contains(key)) {
        return Ok(key);
    }
    let of_quoting = |key: &&String| QUOTING.iter().any(|section| is_below(key, section));
    let names: Vec<&str> = known.iter().filter(of_quoting).filter_map(|key| Some(key.split_once('.')?.1)).collect();
    Err(format!("{name:?} is no key of a configuration; there are {}", names.join(", ")))
}

/// Gathers the layers over the defaults.
struct Builder {
    defaults: toml::Table,
    /// Every key with a value of its own; a key whose default is an empty table has keys of any name below it.
    known: BTreeSet<String>,
    set: BTreeMap<String, Leaf>,
    problems: Vec<Problem>,
}

impl Builder {
    fn new() -> Result<Builder, ConfigErrors> {
        let defaults = Config::default();
        // JSON keeps a key whose value is absent (null); TOML leaves it out.
        let shape = serde_json::to_value(&defaults).map_err(|e| ConfigErrors::internal(&e))?;
        let mut known = BTreeSet::new();
        collect_keys("", &shape, &mut known);
        let defaults = toml::Table::try_from(&defaults).map_err(|e| ConfigErrors::internal(&e))?;
        Ok(Builder { defaults, known, set: BTreeMap::new(), problems: Vec::new() })
    }

    /// Adds a layer: known keys override, unknown ones are mistakes.
    fn add(&mut self, leaves: Vec<Leaf>) {
        for leaf in leaves {
            let is_section = self.known.iter().any(|known| is_below(known, &leaf.key));
            match self.problem_of(&leaf, is_section) {
                Some(problem) => self.problems.push(problem),
                // An empty section sets nothing.
                None if is_section => {}
                None => drop(self.set.insert(leaf.key.clone(), leaf)),
            }
        }
    }

    fn problem_of(&self, leaf: &Leaf, is_section: bool) -> Option<Problem> {
        if leaf.is_secret() {
            return Some(leaf.secret_problem());
        }
        if is_section {
            return (!leaf.is_empty_table()).then(|| leaf.section_problem());
        }
        let has_free_keys = |known: &String| is_below(&leaf.key, known) && self.default_of(known).is_some_and(is_empty);
        let is_known = self.known.contains(&leaf.key) || self.known.iter().any(has_free_keys);
        (!is_known).then(|| problem::unknown_key(leaf, &self.known))
    }

    fn default_of(&self, key: &str) -> Option<&toml::Value> {
        let (last, path) = layers::split(key);
        let mut table = &self.defaults;
        for part in path {
            table = table.get(part)?.as_table()?;
        }
        table.get(last)
    }

    /// Types each value by itself, so that one mistake hides no other, then builds and checks the whole.
    fn finish(mut self, file_is_whole: bool) -> Result<Loaded, ConfigErrors> {
        let mut merged = self.defaults.clone();
        let mut mistyped = BTreeSet::new();
        for (key, leaf) in &self.set {
            match self.typed(leaf) {
                Ok(value) => insert(&mut merged, key, value),
                Err(problem) => {
                    mistyped.insert(key.clone());
                    self.problems.push(*problem);
                }
            }
        }
        let mut config = Config::deserialize(merged).map_err(|e| ConfigErrors::internal(&e))?;
        let mut origins: BTreeMap<String, Origin> =
            self.known.iter().map(|key| (key.clone(), Origin::Default)).collect();
        origins.extend(self.set.into_iter().map(|(key, leaf)| (key, leaf.origin)));
        config.fill_token();
        if file_is_whole {
            let found = checks::check(&config, &origins);
            self.problems.extend(found.into_iter().filter(|problem| !mistyped.contains(&problem.key)));
        }
        if !self.problems.is_empty() {
            return Err(ConfigErrors(self.problems));
        }
        config.fill_paths();
        Ok(Loaded { config, origins })
    }

    /// The first reading of the value that its key accepts.
    fn typed(&self, leaf: &Leaf) -> Result<toml::Value, Box<Problem>> {
        let mut refusals = Vec::new();
        for value in &leaf.readings {
            let mut table = self.defaults.clone();
            insert(&mut table, &leaf.key, value.clone());
            match Config::deserialize(table) {
                Ok(_) => return Ok(value.clone()),
                Err(error) => refusals.push(error.message().to_string()),
            }
        }
        // "invalid type" of an early reading says less than what a later one was refused for.
        let telling = refusals.iter().find(|reason| !reason.starts_with("invalid type")).or(refusals.last());
        let reason = telling.cloned().unwrap_or_else(|| "the value cannot be read".to_string());
        Err(Box::new(problem::mistyped(leaf, reason.trim(), self.default_of(&leaf.key))))
    }
}

/// Notes the dotted key of every value in `shape`.
fn collect_keys(prefix: &str, shape: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match shape {
        serde_json::Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                collect_keys(&layers::join(prefix, key), value, keys);
            }
        }
        _ => drop(keys.insert(prefix.to_string())),
    }
}

/// True when `key` lies under the section `section`.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn is_empty(value: &toml::Value) -> bool {
    value.as_table().is_some_and(toml::Table::is_empty)
}

/// Sets a dotted key, making the tables on the way.
fn insert(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_string(), value)),
        Some((section, rest)) => {
            let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !entry.is_table() {
                *entry = toml::Value::Table(toml::Table::new());
            }
            if let toml::Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
