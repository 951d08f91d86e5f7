//! `[price]`: where the reference price comes from.

use serde::{Deserialize, Serialize};

use super::{Age, Reading, Source};
use crate::Dec;
use crate::problem::{Problem, Problems};

/// How the reference price is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// The middle of the book.
    #[default]
    Mid,
    /// [`super::book::microprice`].
    Microprice,
    /// [`super::book::depth_weighted`].
    DepthWeighted,
    /// The weighted mean of the book, the pool, the last trades and the outside price.
    Blend,
}

impl PriceSource {
    /// The word in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PriceSource::Mid => "mid",
            PriceSource::Microprice => "microprice",
            PriceSource::DepthWeighted => "depth_weighted",
            PriceSource::Blend => "blend",
        }
    }
}

/// Which of the book's prices a blend takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookPrice {
    /// The middle.
    #[default]
    Mid,
    /// [`super::book::microprice`].
    Microprice,
    /// [`super::book::depth_weighted`].
    DepthWeighted,
}

/// `[price]`: where the reference price comes from. Weights are of any size; they count in proportion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceConfig {
    /// How the reference price is made.
    pub source: PriceSource,
    /// XRP of each side that the depth-weighted price is averaged over.
    pub depth_xrp: Dec,
    /// Which of the book's prices a blend takes.
    pub book_price: BookPrice,
    /// What the book counts in a blend.
    pub book_weight: Dec,
    /// What the pool's marginal price counts in a blend.
    pub amm_weight: Dec,
    /// What the newest trades count in a blend.
    pub trades_weight: Dec,
    /// What the outside price counts in a blend.
    pub outside_weight: Dec,
    /// A pool's state that is more ledgers old counts nothing.
    pub amm_max_age_ledgers: u32,
    /// Whether a blend goes on without the book while a side of it is empty: with a pool that counts, is new enough and holds
    /// at least `depth_xrp`.
    pub amm_alone: bool,
    /// Trades that are more ledgers old count nothing.
    pub trades_max_age_ledgers: u32,
    /// Two sources of a blend that are farther apart, in basis points, make no price.
    pub max_disagreement_bps: Dec,
    /// An outside price that is more seconds old counts nothing.
    pub outside_max_age_s: u64,
    /// With an outside price that is farther from the middle of the book, in basis points, nothing is quoted.
    pub outside_max_deviation_bps: Dec,
    /// Whether nothing is quoted without a new outside price.
    pub outside_required: bool,
    /// Where the outside price is read.
    pub outside: OutsideConfig,
}

impl Default for ReferenceConfig {
    fn default() -> ReferenceConfig {
        ReferenceConfig {
            source: PriceSource::Mid,
            depth_xrp: Dec::from_i64(1_000),
            book_price: BookPrice::Mid,
            book_weight: Dec::one(),
            amm_weight: Dec::one(),
            trades_weight: Dec::zero(),
            outside_weight: Dec::zero(),
            amm_max_age_ledgers: 3,
            amm_alone: false,
            trades_max_age_ledgers: 50,
            max_disagreement_bps: Dec::from_i64(200),
            outside_max_age_s: 30,
            outside_max_deviation_bps: Dec::from_i64(100),
            outside_required: false,
            outside: OutsideConfig::default(),
        }
    }
}

/// `[price.outside]`: a file or a local server that says what XRP is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutsideConfig {
    /// A file with JSON that another program keeps up to date.
    pub file: Option<String>,
    /// A local address that answers with JSON: `http://` is asked again and again, `ws://` is listened to.
    pub url: Option<String>,
    /// The place of the price in the JSON, a JSON pointer (RFC 6901); empty for the whole.
    pub price: String,
    /// The place of the price's time, Unix seconds or RFC 3339; without it a price is as old as its reading, and a file's
    /// as the file.
    pub time: Option<String>,
    /// Milliseconds from one reading to the next.
    pub poll_ms: u64,
}

impl Default for OutsideConfig {
    fn default() -> OutsideConfig {
        OutsideConfig { file: None, url: None, price: "/price".to_string(), time: None, poll_ms: 1_000 }
    }
}

impl OutsideConfig {
    /// True when there is a source.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.file.is_some() || self.url.is_some()
    }

    /// The address split up: whether it is a WebSocket's, `HOST:PORT`, and the path. `None` when it is not plain HTTP or
    /// WebSocket on this machine: a price that anybody on the way can change is none to trade on.
    #[must_use]
    pub fn address(&self) -> Option<LocalAddress<'_>> {
        let url = self.url.as_deref()?;
        let (websocket, rest) = match (url.strip_prefix("http://"), url.strip_prefix("ws://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return None,
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let local = inner == "localhost" || inner.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let port: u16 = port.parse().ok()?;
        let plain = !path.chars().any(|c| c.is_whitespace() || c.is_control());
        (local && port > 0 && plain).then_some(LocalAddress { websocket, host: inner, port, path })
    }
}

/// An address on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress<'a> {
    /// True for a WebSocket.
    pub websocket: bool,
    /// The name or the IP address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// From the first slash on, the query included.
    pub path: &'a str,
}

impl ReferenceConfig {
    /// What a source counts in a blend: nothing when it is too old.
    pub(super) fn weight_of(&self, reading: &Reading) -> Dec {
        let (weight, is_new) = match (reading.source, reading.age) {
            (Source::BookMid | Source::Microprice | Source::DepthWeighted, _) => (self.book_weight, true),
            (Source::Amm, Age::Ledgers(age)) => (self.amm_weight, age <= self.amm_max_age_ledgers),
            (Source::LastTrade, Age::Ledgers(age)) => (self.trades_weight, age <= self.trades_max_age_ledgers),
            (Source::Outside, Age::Seconds(age)) => (self.outside_weight, age <= self.outside_max_age_s),
            (Source::Amm | Source::LastTrade, Age::Seconds(_)) | (Source::Outside, Age::Ledgers(_)) => {
                (Dec::zero(), false)
            }
        };
        if is_new { weight } else { Dec::zero() }
    }

    /// Every mistake, in the order of the fields; empty when the configuration can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        let depth = self.depth_xrp.is_positive() && self.depth_xrp <= Dec::from_i64(100_000_000_000);
        let reason = "a depth is above 0 and at most all XRP there is";
        found.require(
            depth,
            "depth_xrp",
            self.depth_xrp,
            reason,
            "use the XRP that a large taker trades, such as 1000",
        );
        self.check_weights(&mut found);
        for (key, bps) in [
            ("max_disagreement_bps", self.max_disagreement_bps),
            ("outside_max_deviation_bps", self.outside_max_deviation_bps),
        ] {
            let reason = "no two sources ever say exactly the same";
            found.require(bps.is_positive(), key, bps, reason, "use more than 0, such as 100");
        }
        self.check_alone(&mut found);
        self.check_outside(&mut found);
        found.into_vec()
    }

    fn check_weights(&self, found: &mut Problems) {
        let weights = [
            ("book_weight", self.book_weight),
            ("amm_weight", self.amm_weight),
            ("trades_weight", self.trades_weight),
            ("outside_weight", self.outside_weight),
        ];
        let limit = Dec::from_i64(1_000_000);
        for (key, weight) in weights {
            let possible = !weight.is_negative() && weight <= limit;
            found.require(possible, key, weight, "a weight is 0 to 1000000", "use 0 for a source that does not count");
        }
        let counts = weights.iter().any(|(_, weight)| weight.is_positive());
        let reason = "a blend in which nothing counts has no price";
        found.require(
            counts || self.source != PriceSource::Blend,
            "book_weight",
            self.book_weight,
            reason,
            "give a source more than 0",
        );
    }

    fn check_alone(&self, found: &mut Problems) {
        let counts = self.source == PriceSource::Blend && self.amm_weight.is_positive();
        let reason = "the pool can stand alone only where it counts";
        let fix = "set price.source = \"blend\" and price.amm_weight above 0";
        found.require(counts || !self.amm_alone, "amm_alone", self.amm_alone, reason, fix);
    }

    fn check_outside(&self, found: &mut Problems) {
        let source = &self.outside;
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "(not set)".to_string());
        let set = source.is_set();
        let fix = "set price.outside.file or price.outside.url";
        let blends = self.source == PriceSource::Blend && self.outside_weight.is_positive();
        let reason = "there is no outside price to count";
        found.require(set || !blends, "outside_weight", self.outside_weight, reason, fix);
        let reason = "there is no outside price to wait for";
        found.require(set || !self.outside_required, "outside_required", self.outside_required, reason, fix);
        let age = (1..=86_400).contains(&self.outside_max_age_s);
        let reason = "a price is a second old when it is read, and one of yesterday is none";
        found.require(age, "outside_max_age_s", self.outside_max_age_s, reason, "use 1 to 86400, such as 30");
        let both = source.file.is_some() && source.url.is_some();
        found.require(!both, "outside.file", shown(&source.file), "outside.url is set, too", "leave one of them out");
        let named = source.file.as_deref().is_none_or(|file| !file.is_empty());
        found.require(named, "outside.file", "", "it names no file", "name a file, such as data/price.json");
        let local = source.url.is_none() || source.address().is_some();
        let reason = "it is not plain HTTP or WebSocket on this machine";
        let fix = "use http://127.0.0.1:PORT/PATH or ws://127.0.0.1:PORT/PATH; have a program of yours fetch what is elsewhere";
        found.require(local, "outside.url", shown(&source.url), reason, fix);
        let pointer = |text: &str| text.is_empty() || text.starts_with('/');
        let reason = "a JSON pointer begins with a slash";
        found.require(pointer(&source.price), "outside.price", &source.price, reason, "write it like /price");
        let time = source.time.as_deref().is_none_or(pointer);
        found.require(time, "outside.time", shown(&source.time), reason, "write it like /time");
        let poll = (100..=60_000).contains(&source.poll_ms);
        let reason = "a ledger takes seconds, and a source must not be asked all the time";
        found.require(poll, "outside.poll_ms", source.poll_ms, reason, "use 100 to 60000, such as 1000");
    }
}
