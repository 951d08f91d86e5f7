//! Mistakes in a configuration, told with key, value, reason and fix, and without repeating a secret.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use neo_ledger::client::shown_url;
use serde::Serialize;

use super::layers::{self, Leaf, Origin};

/// Words in the name of an unknown key that keep its value from being shown.
const SECRET_WORDS: [&str; 6] = ["seed", "secret", "password", "passphrase", "private", "mnemonic"];
/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 80;
const HIDDEN: &str = "(not shown)";

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The dotted key, such as `quote.levels`; `(file)` when the file cannot be read at all.
    pub key: String,
    /// The value given; hidden when it may be a secret.
    pub value: String,
    /// Why it cannot be used.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
    /// Where it was given.
    pub origin: Origin,
}

impl Problem {
    pub(super) fn new(key: &str, value: &str, reason: &str, fix: &str, origin: &Origin) -> Problem {
        Problem {
            key: key.to_string(),
            value: shown(key, value),
            reason: reason.to_string(),
            fix: fix.to_string(),
            origin: origin.clone(),
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} = {}   # {}", self.key, self.value, self.origin)?;
        write!(f, "    why: {}\n    fix: {}", self.reason, self.fix)
    }
}

/// Every mistake found; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Problem>);

impl ConfigErrors {
    /// A failure of the engine's own defaults, which the tests exclude.
    pub(super) fn internal(error: &impl Display) -> ConfigErrors {
        let fix = "report this as a bug of the engine";
        ConfigErrors(vec![Problem::new("(defaults)", "-", &error.to_string(), fix, &Origin::Default)])
    }

    /// The mistakes for a program: `{"ok": false, "problems": [...]}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "ok": false, "problems": self.0 })
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {plural} in the configuration:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {}", problem.to_string().replace('\n', "\n  ")))
    }
}

/// A key that does not exist, with the nearest that does.
pub(super) fn unknown_key(leaf: &Leaf, known: &BTreeSet<String>) -> Problem {
    let secret_name = SECRET_WORDS.iter().any(|word| leaf.key.to_ascii_lowercase().contains(word));
    // An unknown variable may be a misspelt secret.
    let hidden = secret_name || matches!(leaf.origin, Origin::Env { .. });
    let name = |key: &str| match leaf.origin {
        Origin::Env { .. } => layers::env_name(key),
        _ => key.to_string(),
    };
    let fix = if secret_name {
        "remove it: the seed of the wallet is read from NEO_WALLET_SEED, or from the file account.key_file".to_string()
    } else if let Some(nearest) = nearest(&leaf.key, known) {
        format!("did you mean {}?", name(nearest))
    } else {
        format!("remove it; {}", what_exists(&leaf.key, known))
    };
    let value = if hidden { HIDDEN } else { &leaf.text };
    Problem::new(&leaf.key, value, "there is no such key", &fix, &leaf.origin)
}

fn what_exists(key: &str, known: &BTreeSet<String>) -> String {
    let section = key.split('.').next().unwrap_or(key);
    let prefix = format!("{section}.");
    let keys: Vec<&str> = known.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
    if keys.is_empty() {
        let sections: BTreeSet<&str> = known.iter().filter_map(|key| key.split('.').next()).collect();
        format!("the sections are {}", sections.into_iter().collect::<Vec<_>>().join(", "))
    } else {
        format!("[{section}] has {}", keys.join(", "))
    }
}

/// The known key that was probably meant: the same name in another section, or one a few letters away.
fn nearest<'a>(key: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let last = layers::split(key).0;
    if let Some(same) = known.iter().find(|known| layers::split(known).0 == last) {
        return Some(same);
    }
    let allowed = (last.chars().count() / 3).max(2);
    let ranked = known.iter().map(|known| (distance(key, known), known));
    ranked.min().filter(|(distance, _)| *distance <= allowed).map(|(_, known)| known.as_str())
}

/// Letters to insert, delete or exchange to make `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, letter) in a.chars().enumerate() {
        // `corner` is the distance of both texts before these letters, `left` of `a` with and `b` without its letter.
        let (mut corner, mut left) = (i, i + 1);
        let mut next = vec![left];
        for (above, other) in row.iter().skip(1).zip(b.chars()) {
            left = (corner + usize::from(letter != other)).min(left + 1).min(above + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A value of the wrong type or form, with the default as the example of a right one.
pub(super) fn mistyped(leaf: &Leaf, reason: &str, default: Option<&toml::Value>) -> Problem {
    let example = default.map(ToString::to_string).or_else(|| example(&leaf.key).map(|text| format!("{text:?}")));
    let fix = match example {
        Some(example) => format!("write it like {} = {example}", leaf.key),
        None => format!("leave {} out, or give it what the reason asks for", leaf.key),
    };
    Problem::new(&leaf.key, &leaf.text, reason, &fix, &leaf.origin)
}

/// Examples for the keys that are absent by default.
fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "session.for" => "30m",
        "session.db" => "data/neo-sim.db",
        "network.url" => "wss://xrplcluster.com",
        "network.more_urls" => "[\"wss://s1.ripple.com\", \"wss://s2.ripple.com\"]",
        "network.ca_file" => "/etc/neo-engine/node-ca.pem",
        "account.address" | "account.issuer" => "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De",
        "risk.max_inventory_xrp" | "risk.min_inventory_xrp" => "5000",
        "account.key_file" => "/etc/neo-engine/seed",
        "account.key_type" => "ed25519",
        "account.signer" => "[\"/usr/local/bin/neo-signer\"]",
        "account.public_key" => "aBQG8RQAzjs1eTKFEAQXr2gS4utcDiEC9wmi7pfUPTi27VCahwgw",
        "log.dir" => "logs",
        _ => return None,
    })
}

/// The value as it may be shown.
pub(super) fn shown(key: &str, value: &str) -> String {
    if looks_secret(value) {
        return HIDDEN.to_string();
    }
    let value = if ["network.url", "network.more_urls"].contains(&key) { shown_url(value) } else { value.to_string() };
    let mut chars = value.chars().map(|c| if c.is_control() { ' ' } else { c });
    let head: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() { format!("{head}...") } else { head }
}

/// True for what may be a family seed (base58, begins with `s`) or a private key in hex (64 or 66 digits).
pub(super) fn looks_secret(text: &str) -> bool {
    let text = text.trim();
    let seed = text.starts_with('s')
        && (25..=35).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() && !b"0OIl".contains(&b))
        && text.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let hex = matches!(text.len(), 64 | 66) && text.bytes().all(|b| b.is_ascii_hexdigit());
    seed || hex
}
