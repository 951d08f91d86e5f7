//! The sections of the configuration that are the engine's own.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use neo_ledger::{Address, Currency, Token};
use neo_market::{AmountError, Dec, Drops};
use neo_store::record::{CheckpointOwner, Mode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Config;

/// The simulated ledger's scenario, `[sim]`.
pub type Sim = neo_sim::Scenario;

/// `[session]`: what to run, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// How the session trades.
    pub mode: Mode,
    /// The record; `data/neo-MODE.db` when absent. After loading it is always set.
    pub db: Option<PathBuf>,
    /// Trading time after which the session ends by itself, such as `30m`; it runs until it is stopped when absent.
    #[serde(rename = "for", with = "duration_text")]
    pub duration: Option<Duration>,
    /// How much faster than real time the simulated ledger closes its ledgers.
    pub speed: Speed,
    /// The seed of everything random in the simulated world.
    pub seed: u64,
}

impl Default for Session {
    fn default() -> Session {
        Session { mode: Mode::Sim, db: None, duration: None, speed: Speed::Times(Dec::one()), seed: 1 }
    }
}

impl Session {
    /// The file that holds the record.
    #[must_use]
    pub fn db_path(&self) -> PathBuf {
        self.db.clone().unwrap_or_else(|| PathBuf::from(format!("data/neo-{}.db", self.mode)))
    }
}

/// How fast simulated time runs: so many times real time, or as fast as the engine follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// A multiple of real time; 1 is real time.
    Times(Dec),
    /// The next ledger closes when the engine has finished with the last one.
    Max,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Times(times) => fmt::Display::fmt(times, f),
            Speed::Max => f.pad("max"),
        }
    }
}

impl FromStr for Speed {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Speed, AmountError> {
        if text == "max" { Ok(Speed::Max) } else { text.parse().map(Speed::Times) }
    }
}

impl Serialize for Speed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Speed, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is neither a number nor \"max\"")))
    }
}

/// Durations as people write them.
mod duration_text {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.collect_str(&humantime::format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
    }
}

/// Which network a node belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// The embedded simulated ledger.
    #[default]
    Sim,
    /// The XRP Ledger.
    Mainnet,
    /// The public test network.
    Testnet,
    /// The public development network.
    Devnet,
    /// A node that stands alone, such as rippled with `--standalone`: `network_id` names it where it has one.
    Standalone,
    /// A network of one's own: `network_id` names it.
    Custom,
}

impl NetworkKind {
    /// The id that a node of this network reports, where it is fixed (xrpl.org, "Network ID").
    #[must_use]
    pub const fn network_id(self) -> Option<u32> {
        match self {
            NetworkKind::Mainnet => Some(0),
            NetworkKind::Testnet => Some(1),
            NetworkKind::Devnet => Some(2),
            NetworkKind::Sim | NetworkKind::Standalone | NetworkKind::Custom => None,
        }
    }

    /// The issuer of RLUSD on this network, where Ripple has named one (docs.ripple.com, "RLUSD on the XRP Ledger"). A
    /// token of the same code and another issuer is another token: testnet's has no value, and anybody can issue one.
    #[must_use]
    pub const fn rlusd_issuer(self) -> Option<&'static str> {
        match self {
            NetworkKind::Mainnet => Some("rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"),
            NetworkKind::Testnet => Some("rQhWct2fv4Vc4KRjRgMrxa8xPN9Zx9iLKV"),
            NetworkKind::Devnet | NetworkKind::Sim | NetworkKind::Standalone | NetworkKind::Custom => None,
        }
    }

    /// The word in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NetworkKind::Sim => "sim",
            NetworkKind::Mainnet => "mainnet",
            NetworkKind::Testnet => "testnet",
            NetworkKind::Devnet => "devnet",
            NetworkKind::Standalone => "standalone",
            NetworkKind::Custom => "custom",
        }
    }
}

/// `[network]`: the node to talk to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The network; the node must belong to it.
    pub kind: NetworkKind,
    /// The node's WebSocket address; found by the engine itself for the embedded ledger.
    pub url: Option<String>,
    /// Further nodes of the same network, in order of preference: one of them stands by, and takes over at once.
    pub more_urls: Vec<String>,
    /// Certificates in PEM form that alone vouch for nodes behind `wss://`; the public authorities when absent.
    pub ca_file: Option<PathBuf>,
    /// The id that the node must report; fixed for the public networks.
    pub network_id: Option<u32>,
    /// Whether the engine itself closes the node's ledgers with `ledger_accept` (a stand-alone node's admin method).
    pub ledger_accept: bool,
    /// Milliseconds from one ledger to the next that it closes so.
    pub ledger_accept_ms: u64,
}

impl Default for Network {
    fn default() -> Network {
        let kind = NetworkKind::default();
        Network {
            kind,
            url: None,
            more_urls: Vec::new(),
            ca_file: None,
            network_id: None,
            ledger_accept: false,
            ledger_accept_ms: 4_000,
        }
    }
}

impl Network {
    /// The id that the node must report: a node that reports none has 0. Not asked of the embedded ledger.
    #[must_use]
    pub fn expected_network_id(&self) -> u32 {
        self.network_id.or(self.kind.network_id()).unwrap_or(0)
    }
}

/// The signature algorithm of a seed whose text does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA over secp256k1, which a seed that begins with `s` means by itself.
    Secp256k1,
    /// Ed25519, which a seed that begins with `sEd` means by itself.
    Ed25519,
}

/// `[account]`: the account that trades, and the token it trades against XRP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// The account's address; the signing key must belong to it. The embedded ledger has one of its own.
    pub address: Option<Address>,
    /// The token's currency code; `RLUSD` stands for its 40 hex digits.
    #[serde(with = "currency_text")]
    pub currency: Currency,
    /// The token's issuer; the embedded ledger has one of its own.
    pub issuer: Option<Address>,
    /// The file with the seed, which only its owner may read; the seed is in `NEO_WALLET_SEED` when absent.
    pub key_file: Option<PathBuf>,
    /// The key's algorithm, where the seed's text does not name the right one.
    pub key_type: Option<KeyType>,
    /// The program that signs, and its arguments, instead of a seed here; none when empty.
    pub signer: Vec<String>,
    /// The public key that it signs for (`aB...`).
    pub public_key: Option<String>,
    /// Milliseconds that it may take for a signature.
    pub signer_timeout_ms: u64,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            address: None,
            currency: Currency::RLUSD,
            issuer: None,
            key_file: None,
            key_type: None,
            signer: Vec::new(),
            public_key: None,
            signer_timeout_ms: 250,
        }
    }
}

impl Account {
    /// The token; `None` while the issuer is not set, as on the embedded ledger.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.issuer.map(|issuer| Token { currency: self.currency, issuer })
    }
}

/// Currency codes as people write them: RLUSD has five letters, which the ledger only knows as hex digits.
mod currency_text {
    use super::{Currency, Deserialize, Deserializer, Serializer};

    const RLUSD: &str = "RLUSD";

    pub(super) fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
        if *currency == Currency::RLUSD { serializer.serialize_str(RLUSD) } else { serializer.collect_str(currency) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == RLUSD { Ok(Currency::RLUSD) } else { text.parse().map_err(serde::de::Error::custom) }
    }
}

/// `[orders]`: how transactions are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// Ledgers after the last validated one until which a transaction may still get in.
    pub last_ledger_offset: u32,
    /// Highest fee of a quote.
    pub max_fee_drops: Drops,
    /// Highest fee of a cancel: leaving the market is worth more than quoting.
    pub cancel_max_fee_drops: Drops,
    /// What quotes may cost in any 24 hours of ledger time, every other fee of the account counted in; 0: no limit.
    pub fee_budget_drops_per_day: Drops,
    /// Ledgers between two comparisons of our open offers with those the node names.
    pub audit_ledgers: u32,
    /// What becomes of offers that an earlier session left standing.
    pub orphans: Orphans,
    /// Lists of different validated ledgers that must show an offer which no order owns before anything is done about it.
    pub orphan_reads: u32,
    /// Tickets that are kept for cancels that would wait behind a stuck sequence number; each costs an owner reserve.
    pub cancel_tickets: u32,
}

/// What becomes of offers that an earlier session left standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// They are cancelled and seen gone before the first quote.
    #[default]
    Cancel,
    /// Those that the record knows are kept as this session's; the others are cancelled.
    Adopt,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders {
            last_ledger_offset: 5,
            max_fee_drops: Drops::new(5_000),
            cancel_max_fee_drops: Drops::new(50_000),
            fee_budget_drops_per_day: Drops::new(10_000_000),
            audit_ledgers: 16,
            orphans: Orphans::Cancel,
            orphan_reads: 3,
            cancel_tickets: 0,
        }
    }
}

/// `[store]`: the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Who writes the write-ahead log back into the record.
    pub checkpoint: CheckpointOwner,
    /// Seconds between two checkpoints of the write-ahead log.
    pub checkpoint_s: u32,
    /// A commit that takes longer ends the session.
    pub commit_limit_ms: u64,
    /// Backups that are kept, the newest ones.
    pub backups_keep: u32,
    /// Of those older: one a day, for so many days.
    pub backups_daily: u32,
    /// Of those older still: one a week, for so many weeks.
    pub backups_weekly: u32,
    /// Free space of the record's disk below which a session ends, in megabytes; 0: the disk is not looked at.
    pub min_free_mb: u64,
    /// Days for which every valuation snapshot is kept; older ones are thinned out to one a minute and those that something
    /// hangs on. 0: all are kept.
    pub snapshots_keep_days: u32,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            checkpoint: CheckpointOwner::Own,
            checkpoint_s: 60,
            commit_limit_ms: 5_000,
            backups_keep: 10,
            backups_daily: 7,
            backups_weekly: 4,
            min_free_mb: 64,
            snapshots_keep_days: 14,
        }
    }
}

/// `[stop]`: the stop sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// Longest time of an ordinary stop.
    pub deadline_ms: u64,
    /// Longest time of an urgent stop: the operating system ends the process soon after.
    pub urgent_deadline_ms: u64,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { deadline_ms: 30_000, urgent_deadline_ms: 3_000 }
    }
}

/// `[supervisor]`: how faults inside the engine are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Supervision {
    /// An actor, a thread or the supervisor itself that gives no sign of life for so long is frozen.
    pub frozen_ms: u64,
}

impl Default for Supervision {
    fn default() -> Supervision {
        Supervision { frozen_ms: 10_000 }
    }
}

/// `[feed]`: the market's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Real time without a message from the node after which the connection is given up.
    pub silence_ms: u64,
    /// Real time without any node after which the session ends.
    pub outage_ms: u64,
    /// Book levels of less XRP than this are overlooked.
    pub dust_xrp: Dec,
    /// Book levels a side that are kept.
    pub depth: usize,
    /// A public node is asked for both sides of the book every so many ledgers; 0: every `orders.audit_ledgers` alone. A node
    /// of one's own is asked with every ledger.
    pub book_ledgers: u32,
    /// The file that the node's messages are recorded into; none where it is absent.
    pub record: Option<PathBuf>,
    /// Compressed megabytes after which a recording goes on in its next part.
    pub record_rotate_mb: u64,
    /// Newest parts of a recording that are kept; 0: all.
    pub record_keep: usize,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            silence_ms: 20_000,
            outage_ms: 60_000,
            dust_xrp: Dec::one(),
            depth: 20,
            book_ledgers: 4,
            record: None,
            record_rotate_mb: 256,
            record_keep: 0,
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may soon fail, too.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// Why it happened.
    Debug,
    /// Every message.
    Trace,
}

impl LogLevel {
    /// The word that log filters use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// `[log]`: the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How much is logged.
    pub level: LogLevel,
    /// The folder of the log files; beside the record when absent. After loading it is always set.
    pub dir: Option<PathBuf>,
    /// Log files that are kept, one a day.
    pub keep_days: u32,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: LogLevel::default(), dir: None, keep_days: 30 }
    }
}

/// `[metrics]`: numbers for Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// The loopback address and port that they are served on, at `/metrics`; nowhere when absent.
    pub listen: Option<SocketAddr>,
}

/// `[alerts]`: who is told when somebody should look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// The program and its arguments, run without a shell; nobody is told when it is empty.
    pub command: Vec<String>,
    /// At most one alert of a kind in so many seconds.
    pub min_interval_s: u64,
    /// The program is killed after so many seconds.
    pub timeout_s: u64,
    /// An engine that has not quoted for so many seconds is worth an alert.
    pub pause_s: u64,
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts { command: Vec::new(), min_interval_s: 300, timeout_s: 10, pause_s: 300 }
    }
}

impl Config {
    /// The folder of the log files.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        let beside = || {
            let db = self.session.db_path();
            let folder = db.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.unwrap_or(Path::new(".")).to_path_buf()
        };
        self.log.dir.clone().unwrap_or_else(beside)
    }

    /// Mode paper trades RLUSD of the network's issuer unless another one is named, so that what is shown is what is used.
    pub(super) fn fill_token(&mut self) {
        let account = &mut self.account;
        if self.session.mode == Mode::Paper && account.issuer.is_none() && account.currency == Currency::RLUSD {
            account.issuer = self.network.kind.rlusd_issuer().and_then(|issuer| issuer.parse().ok());
        }
    }

    /// Names the paths that follow from other settings, so that what is shown and recorded is what is used.
    pub(super) fn fill_paths(&mut self) {
        self.session.db = Some(self.session.db_path());
        self.log.dir = Some(self.log_dir());
    }
}
