//! The layers over the defaults: a file, the environment, flags. Each becomes a list of dotted keys and their readings.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::{self, Problem};

/// Largest configuration file: far more than every key with a page of comments.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What the names of the engine's environment variables begin with.
const ENV_PREFIX: &str = "NEO_";
/// Keys that have a flag of their own; all others are set with `--set`.
const FLAGS: [&str; 6] = ["session.for", "session.mode", "session.db", "session.seed", "session.speed", "sim.tape"];
/// Variables with the prefix that are no settings: secrets, read by the signer alone.
const NOT_SETTINGS: [&str; 1] = ["NEO_WALLET_SEED"];

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A command-line flag.
    Flag {
        /// The flag, such as `--db`.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Env { name } | Origin::Flag { name } => f.write_str(name),
        }
    }
}

/// One value as a layer gives it.
pub(super) struct Leaf {
    /// The dotted key.
    pub key: String,
    /// What the text can mean, in the order to try: the key's type decides.
    pub readings: Vec<toml::Value>,
    /// The value as it was written.
    pub text: String,
    pub origin: Origin,
}

impl Leaf {
    pub(super) fn is_secret(&self) -> bool {
        problem::looks_secret(&self.text)
    }

    pub(super) fn is_empty_table(&self) -> bool {
        self.readings.iter().all(super::is_empty)
    }

    pub(super) fn secret_problem(&self) -> Problem {
        let fix = "remove it here: set NEO_WALLET_SEED in the environment, or name a file in account.key_file; if this file was shared, change the key";
        Problem::new(&self.key, &self.text, "it looks like a secret, which is no configuration", fix, &self.origin)
    }

    pub(super) fn section_problem(&self) -> Problem {
        let fix = format!("write [{}] on a line of its own and the section's keys below it", self.key);
        Problem::new(&self.key, &self.text, "it is a section, not a value", &fix, &self.origin)
    }
}

/// The `NEO_*` variables of this process, without the secrets among them.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        // A name of ours is ASCII: one that is no Unicode is none of ours. A value that is none is refused by its key.
        let name = name.to_str().filter(|name| is_setting(name))?.to_string();
        Some((name, value.to_string_lossy().into_owned()))
    })
}

fn is_setting(name: &str) -> bool {
    // Faults on purpose exist in debug builds only; a release build says that it does not know the name.
    let fault = cfg!(debug_assertions) && name == "NEO_FAIL";
    name.starts_with(ENV_PREFIX) && !NOT_SETTINGS.contains(&name) && !fault
}

/// The values of a TOML file, or what keeps it from being read.
pub(super) fn from_file(path: &Path) -> Result<Vec<Leaf>, Vec<Problem>> {
    let text = read(path).map_err(|problem| vec![*problem])?;
    let (document, errors) = DeTable::parse_recoverable(&text);
    let at = |start: usize| Origin::File { path: path.to_path_buf(), line: line_of(&text, start) };
    if !errors.is_empty() {
        // The line itself is not repeated: it may hold what should not be shown.
        let syntax = |error: &toml::de::Error| {
            let origin = at(error.span().map_or(0, |span| span.start));
            let fix = "write sections as [section] and values as key = value, text in double quotes";
            Problem::new("(file)", "not TOML", error.message(), fix, &origin)
        };
        return Err(errors.iter().map(syntax).collect());
    }
    let mut leaves = Vec::new();
    flatten("", document.get_ref(), &at, &mut leaves);
    Ok(leaves)
}

fn read(path: &Path) -> Result<String, Box<Problem>> {
    let shown = path.display().to_string();
    let flag = Origin::Flag { name: "--config".to_string() };
    let refuse = |reason: &str, fix: &str| Box::new(Problem::new("(file)", &shown, reason, fix, &flag));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let reading = file.and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = reading {
        let reason = format!("the file cannot be read: {error}");
        return Err(refuse(&reason, "name a TOML file that exists and can be read, such as config/sim.toml"));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse("it is larger than 1 MiB", "name a configuration file"));
    }
    String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text", "save it as UTF-8"))
}

fn line_of(text: &str, start: usize) -> usize {
    text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
}

fn flatten(prefix: &str, table: &DeTable<'_>, at: &impl Fn(usize) -> Origin, leaves: &mut Vec<Leaf>) {
    for (name, value) in table.iter() {
        let key = join(prefix, name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(&key, inner, at, leaves),
            read => {
                // A number too large for TOML is no value; its text, below, is refused by its key.
                let whole = toml::Value::deserialize(ValueDeserializer::from(value.clone()));
                let mut readings: Vec<toml::Value> = whole.into_iter().collect();
                // A number where text is kept is taken as it is written: no decimal passes through a binary float.
                match read {
                    DeValue::Float(number) => readings.push(toml::Value::String(number.as_str().to_string())),
                    DeValue::Integer(number) if number.radix() == 10 => {
                        readings.push(toml::Value::String(number.as_str().to_string()));
                    }
                    DeValue::Array(_) => readings.extend(texts(read)),
                    _ => {}
                }
                let text = readings.last().map_or_else(String::new, plain);
                leaves.push(Leaf { key, readings, text, origin: at(name.span().start) });
            }
        }
    }
}

/// A list with its numbers as they are written, for a key that keeps text; `None` for what is no list of numbers and
/// texts.
fn texts(value: &DeValue<'_>) -> Option<toml::Value> {
    let DeValue::Array(items) = value else { return None };
    let text = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_string()),
        _ => None,
    };
    let items = items.iter().map(|item| text(item.get_ref()).map(toml::Value::String));
    items.collect::<Option<Vec<_>>>().map(toml::Value::Array)
}

/// A value without the quotes of a text.
pub(super) fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The values that environment variables set. A name without a key becomes the key itself, which no key is called.
pub(super) fn from_env(env: impl Iterator<Item = (String, String)>) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = env
        .filter(|(name, _)| is_setting(name))
        .map(|(name, text)| {
            let key = name.strip_prefix(ENV_PREFIX).unwrap_or(&name).to_ascii_lowercase().replace("__", ".");
            Leaf { key, readings: readings(&text), text, origin: Origin::Env { name } }
        })
        .collect();
    // The order of the environment is no one's choice; mistakes are told in the order of their keys.
    leaves.sort_by(|a, b| a.key.cmp(&b.key));
    leaves
}

/// The name of the variable that sets `key`.
pub(super) fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

pub(super) fn from_flags(flags: &[(&str, String)]) -> Vec<Leaf> {
    let leaf = |(key, text): &(&str, String)| {
        let name = if FLAGS.contains(key) { format!("--{}", split(key).0) } else { format!("--set {key}") };
        Leaf { key: (*key).to_string(), readings: readings(text), text: text.clone(), origin: Origin::Flag { name } }
    };
    flags.iter().map(leaf).collect()
}

/// What a text can mean: itself, or the number, boolean or list that TOML reads in it.
fn readings(text: &str) -> Vec<toml::Value> {
    let mut readings = vec![toml::Value::String(text.to_string())];
    // What is no TOML is only itself.
    let line = format!("value = {text}");
    let read = line.parse::<toml::Table>();
    readings.extend(read.into_iter().filter(|table| table.len() == 1).flatten().map(|(_, value)| value));
    let written = DeTable::parse(&line).into_iter().filter(|table| table.get_ref().len() == 1);
    let lists = written.filter_map(|table| table.get_ref().get("value").and_then(|value| texts(value.get_ref())));
    readings.extend(lists);
    readings
}

/// A dotted key's last part, and the parts before it.
pub(super) fn split(key: &str) -> (&str, impl Iterator<Item = &str>) {
    let (path, last) = key.rsplit_once('.').map_or(("", key), |(path, last)| (path, last));
    (last, path.split('.').filter(|part| !part.is_empty()))
}

pub(super) fn join(prefix: &str, name: &str) -> String {
    // A dot inside a name is no path; quoted, the name equals no key.
    let name = if name.contains('.') || name.is_empty() { format!("{name:?}") } else { name.to_string() };
    if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
}
