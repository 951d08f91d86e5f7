//! The scenarios that come with the program, by name, as settings of the configuration.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

/// Each with its name.
const NAMED: [(&str, &str); 8] = [
    ("calm", include_str!("../../config/scenarios/calm.toml")),
    ("trending", include_str!("../../config/scenarios/trending.toml")),
    ("jumps", include_str!("../../config/scenarios/jumps.toml")),
    ("informed", include_str!("../../config/scenarios/informed.toml")),
    ("thin-book", include_str!("../../config/scenarios/thin-book.toml")),
    ("amm-dominated", include_str!("../../config/scenarios/amm-dominated.toml")),
    ("issuer", include_str!("../../config/scenarios/issuer.toml")),
    ("rough-node", include_str!("../../config/scenarios/rough-node.toml")),
];

/// A scenario's fields as settings, `sim.price.kind` and so on: of a file, or of one that comes with the program.
///
/// # Errors
/// A name that is none, or a file that is no TOML.
pub fn settings(name: &str) -> Result<Vec<(String, String)>> {
    let path = Path::new(name);
    let text = if path.is_file() {
        std::fs::read_to_string(path).with_context(|| format!("reading the scenario {name}"))?
    } else {
        let found = NAMED.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_string());
        let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        found.ok_or_else(|| {
            anyhow!("--scenario {name}: there is no such file; by name there are {}", names.join(", "))
        })?
    };
    let table: toml::Table = text.parse().with_context(|| format!("the scenario {name}"))?;
    let mut all = Vec::new();
    flatten("sim", &toml::Value::Table(table), &mut all);
    Ok(all)
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(key, value)| flatten(&format!("{prefix}.{key}"), value, into));
        }
        toml::Value::String(text) => into.push((prefix.to_string(), text.clone())),
        other => into.push((prefix.to_string(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_scenario_is_the_one_of_its_file() {
        for (name, text) in NAMED {
            let settings = settings(name).unwrap();
            let flags: Vec<(&str, String)> =
                settings.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let loaded = crate::config::Config::load(None, std::iter::empty(), &flags).unwrap();
            let wanted: neo_sim::Scenario = toml::from_str(text).unwrap();
            assert_eq!(loaded.config.sim, wanted, "{name}");
        }
        assert!(settings("nowhere").unwrap_err().to_string().contains("calm, trending"));
    }
}
