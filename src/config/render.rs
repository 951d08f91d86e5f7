//! The effective configuration, shown and recorded.

use std::collections::BTreeMap;

use neo_ledger::client::shown_url;
use serde_json::{Value, json};

use super::layers::{Origin, join};
use super::{Config, Loaded};

impl Config {
    /// The configuration as TOML, for the session's record. It holds no secrets: addresses are cut to their hosts.
    ///
    /// # Errors
    /// [`toml::ser::Error`] when a value has no form in TOML; the checks of loading exclude that.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.shown())
    }

    fn shown(&self) -> Config {
        let mut shown = self.clone();
        shown.network.url = shown.network.url.map(|url| shown_url(&url));
        shown.price.outside.url = shown.price.outside.url.map(|url| shown_url(&url));
        shown.network.more_urls.iter_mut().for_each(|url| *url = shown_url(url));
        shown
    }
}

impl Loaded {
    /// One line a key: `key = value   # origin`, in columns. It can be read back as TOML, but for addresses,
    /// which are cut to their hosts.
    ///
    /// # Errors
    /// [`serde_json::Error`] when a value has no text form; the checks of loading exclude that.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let row = |(key, value): (String, Value)| match text(&value) {
            Some(value) => (key, value),
            None => (format!("# {key}"), "(not set)".to_string()),
        };
        let rows: Vec<(String, String, String)> = self
            .values()?
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origin(&key).to_string();
                let (key, value) = row((key, value));
                (key, value, origin)
            })
            .collect();
        let width = |column: fn(&(String, String, String)) -> &str| {
            rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
        };
        let (keys, values) = (width(|row| &row.0), width(|row| &row.1));
        let notices = self.config.notices().into_iter().map(|notice| format!("# note: {notice}\n"));
        let rows = rows.iter().map(|(key, value, origin)| format!("{key:keys$} = {value:values$}   # {origin}\n"));
        Ok(notices.chain(rows).collect())
    }

    /// The same for a program: `{"ok": true, "notices": [...], "settings": {"quote.levels": {"value": 2, "origin": {...}}, ...}}`.
    ///
    /// # Errors
    /// [`serde_json::Error`] when a value has no text form; the checks of loading exclude that.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        let setting = |(key, value): (String, Value)| {
            let origin = self.origin(&key);
            (key, json!({ "value": value, "origin": origin }))
        };
        let settings: serde_json::Map<String, Value> = self.values()?.into_iter().map(setting).collect();
        Ok(json!({ "ok": true, "notices": self.config.notices(), "settings": settings }))
    }

    fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    fn values(&self) -> Result<BTreeMap<String, Value>, serde_json::Error> {
        let mut values = BTreeMap::new();
        collect("", serde_json::to_value(self.config.shown())?, &mut values);
        Ok(values)
    }
}

fn collect(prefix: &str, value: Value, values: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(&join(prefix, &key), value, values);
            }
        }
        value => drop(values.insert(prefix.to_string(), value)),
    }
}

/// A value in TOML; `None` when it is not set.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(toml::Value::String(text.clone()).to_string()),
        other => Some(other.to_string()),
    }
}
