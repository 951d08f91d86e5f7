//! Scenarios: what world the simulated ledger starts with and how its market moves.
//!
//! A scenario is TOML: a table of its own file, or the table `[sim]` of the engine's configuration. Every field has a
//! default; unknown fields are errors.

mod market;

use std::path::PathBuf;

use neo_ledger::{Address, Asset, Currency, Token, sha512_half};
use neo_market::Dec;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;

use crate::apply::Rules;
use crate::faults::FaultPlan;
use crate::mirror::MirrorError;
use crate::queue::QueueSetup;
use crate::tape::TapeError;
pub use market::{Makers, Pool, Price, PriceKind, Takers};

/// What the well-known throw-away key of the sim's maker is made from. Never fund it on a real network.
const MAKER_PASSPHRASE: &str = "neo sim maker";
const BASE58: &[u8; 58] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";

/// One mistake in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} is {value}; {fix}")]
pub struct Problem {
    /// The field, with its table.
    pub field: &'static str,
    /// What it holds.
    pub value: String,
    /// What it must be.
    pub fix: &'static str,
}

/// Takes whether a value can be, its field, what it holds and what it must be.
pub(crate) type Check<'a> = dyn FnMut(bool, &'static str, String, &'static str) + 'a;

/// Why a world cannot be made of a scenario.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Values that cannot be.
    #[error("the scenario has mistakes: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// The tape cannot be used.
    #[error("the scenario's tape: {0}")]
    Tape(#[from] TapeError),
    /// The recording cannot be mirrored.
    #[error("the scenario's recording: {0}")]
    Recording(#[from] MirrorError),
    /// A transaction of the world's beginning was refused.
    #[error("the world cannot begin: {step} gave {result}; give the maker less, or check the reserves")]
    Genesis {
        /// What was tried.
        step: &'static str,
        /// What came of it.
        result: String,
    },
    /// A saved world cannot be read.
    #[error("the saved world cannot be read: {reason}; start a fresh one")]
    Saved {
        /// What is wrong with it.
        reason: String,
    },
}

/// The world and its market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The network's id; above 1024 transactions must name it.
    pub network_id: u32,
    /// The fundamental price at the start, RLUSD for one XRP. With a tape, its first price is used instead.
    pub start_price: Dec,
    /// Reserve of an account, in drops.
    pub reserve_base_drops: i64,
    /// More reserve for each offer and trust line, in drops.
    pub reserve_inc_drops: i64,
    /// The reference fee, in drops.
    pub base_fee_drops: i64,
    /// Average time between two ledgers' closes. Close times are whole seconds.
    pub close_interval_ms: u32,
    /// How much later than planned a ledger closes at most; how much each does is drawn evenly. Delays do not add up.
    pub close_jitter_ms: u32,
    /// Close time of the first ledger, in seconds since 2000-01-01.
    pub start_time_s: u32,
    /// Closed ledgers that are remembered; older ones are forgotten.
    pub history_ledgers: u32,
    /// RLUSD's issuer. Default: an address of the simulation that nobody has a key for.
    pub issuer: Option<Address>,
    /// Significant digits of the rates of RLUSD offers, 3 to 15; 0 leaves it unset.
    pub tick_size: u8,
    /// What RLUSD costs to move, in billionths (1002000000 is 0.2 %); 0 leaves it unset.
    pub transfer_rate: u32,
    /// The market maker's account. Default: the well-known throw-away key of the simulation ([`maker_seed`]).
    pub maker: Option<Address>,
    /// XRP the maker starts with.
    pub maker_xrp: Dec,
    /// RLUSD the maker starts with.
    pub maker_rlusd: Dec,
    /// A tape of real trades that replaces generated takers and prices.
    pub tape: Option<PathBuf>,
    /// Starts the tape again when it ends; else no more trades come.
    pub tape_loop: bool,
    /// A recording of `neo record` whose market is mirrored in the place of participants; its other parts are found beside
    /// it.
    pub recording: Option<PathBuf>,
    /// Quotes (`time,bid,bid_size,ask,ask_size`) beside `recording`, where that is a file of trades (`time,side,price,size`).
    pub recording_quotes: Option<PathBuf>,
    /// Ledgers for which a client's transactions are held back in a mirrored market, beyond the one that they come for.
    pub mirror_latency_ledgers: u32,
    /// False for an empty ledger: the master account alone, as a stand-alone rippled begins. Nobody trades then but
    /// its clients.
    pub market: bool,
    /// Takers.
    pub takers: Takers,
    /// How the fundamental price moves.
    pub price: Price,
    /// Other makers in the background.
    pub makers: Makers,
    /// A pool beside the books.
    pub amm: Pool,
    /// How much a ledger takes before it costs more, and the queue.
    pub queue: QueueSetup,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            network_id: 65_001,
            start_price: Dec::from_parts(24, -1).unwrap_or_default(),
            reserve_base_drops: 1_000_000,
            reserve_inc_drops: 200_000,
            base_fee_drops: 10,
            close_interval_ms: 3_900,
            close_jitter_ms: 0,
            // 2026-01-01 00:00:00 UTC
            start_time_s: 820_540_800,
            history_ledgers: 16_384,
            issuer: None,
            tick_size: 0,
            transfer_rate: 0,
            maker: None,
            maker_xrp: Dec::from_i64(10_000),
            maker_rlusd: Dec::from_i64(25_000),
            market: true,
            takers: Takers::default(),
            price: Price::default(),
            makers: Makers::default(),
            amm: Pool::default(),
            queue: QueueSetup::default(),
            faults: FaultPlan::default(),
            tape: None,
            tape_loop: false,
            recording: None,
            recording_quotes: None,
            mirror_latency_ledgers: 0,
        }
    }
}

impl Scenario {
    /// The ledger's settings.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            network_id: self.network_id,
            base_fee_drops: self.base_fee_drops,
            reserve_base_drops: self.reserve_base_drops,
            reserve_inc_drops: self.reserve_inc_drops,
            amendments: crate::amendment::Amendments::default(),
        }
    }

    /// RLUSD's issuer.
    #[must_use]
    pub fn issuer(&self) -> Address {
        self.issuer.unwrap_or_else(|| participant("issuer"))
    }

    /// RLUSD of this world.
    #[must_use]
    pub fn token(&self) -> Token {
        Token { currency: Currency::RLUSD, issuer: self.issuer() }
    }

    /// RLUSD of this world, as an asset.
    #[must_use]
    pub fn rlusd(&self) -> Asset {
        Asset::Token(self.token())
    }

    /// The maker's account when it is given; else the account of [`maker_seed`], which the caller's key derivation
    /// knows.
    ///
    /// # Errors
    /// When the throw-away key does not derive.
    pub fn maker(&self) -> Result<Address, ScenarioError> {
        let derived = || {
            neo_ledger::keys::Keypair::from_seed(&maker_seed())
                .map(|pair| pair.address())
                .map_err(|error| ScenarioError::Genesis { step: "deriving the maker's key", result: error.to_string() })
        };
        self.maker.map_or_else(derived, Ok)
    }

    /// Every mistake of the values.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, field, value: String, fix| {
            if !ok {
                problems.push(Problem { field, value, fix });
            }
        };
        let most_xrp = Dec::from_i64(1_000_000_000);
        let funds = |value: Dec| !value.is_negative() && value <= most_xrp;
        let price_ok = self.start_price.is_positive() && self.start_price <= Dec::from_i64(1_000_000);
        check(price_ok, "start_price", self.start_price.to_string(), "give a price above 0, at most 1000000");
        check(funds(self.maker_xrp), "maker_xrp", self.maker_xrp.to_string(), "give 0 to 1000000000");
        check(funds(self.maker_rlusd), "maker_rlusd", self.maker_rlusd.to_string(), "give 0 to 1000000000");
        for (field, drops) in [
            ("reserve_base_drops", self.reserve_base_drops),
            ("reserve_inc_drops", self.reserve_inc_drops),
            ("base_fee_drops", self.base_fee_drops),
        ] {
            check((0..=1_000_000_000).contains(&drops), field, drops.to_string(), "give 0 to 1000000000 drops");
        }
        let interval = self.close_interval_ms;
        check((1..=600_000).contains(&interval), "close_interval_ms", interval.to_string(), "give 1 to 600000");
        let jitter = self.close_jitter_ms;
        // A ledger that closed after the one behind it would turn time back.
        let fix = "give 0 to close_interval_ms";
        check(jitter <= interval, "close_jitter_ms", jitter.to_string(), fix);
        check(self.history_ledgers >= 16, "history_ledgers", self.history_ledgers.to_string(), "give at least 16");
        let tick = self.tick_size;
        check(tick == 0 || (3..=15).contains(&tick), "tick_size", tick.to_string(), "give 0 or 3 to 15");
        let rate = self.transfer_rate;
        let rate_ok = rate == 0 || (1_000_000_000..=2_000_000_000).contains(&rate);
        check(rate_ok, "transfer_rate", rate.to_string(), "give 0 or 1000000000 to 2000000000");
        self.check_market(&mut check);
        self.queue.check(&mut check);
        self.faults.check(&mut check);
        problems
    }
}

/// Reads a number, or a number written as text.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(f64),
        Text(String),
    }
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(value) => Ok(value),
        NumberOrText::Text(text) => text
            .trim()
            .parse()
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a number; write it like 0.6"))),
    }
}

/// An account of the simulation that nobody has a key for.
#[must_use]
pub(crate) fn participant(name: &str) -> Address {
    let hash = sha512_half(&[b"neo sim participant ", name.as_bytes()]);
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(hash.0) {
        *to = from;
    }
    Address(id)
}

/// The seed of the default maker: a throw-away key that everybody knows. It is worth nothing outside a simulation.
#[must_use]
pub fn maker_seed() -> String {
    let digest = Sha512::digest(MAKER_PASSPHRASE.as_bytes());
    // 0x21 marks a family seed (xrpl.org, "base58 Encodings"); four bytes of a double SHA-256 check it.
    let mut bytes = vec![0x21];
    bytes.extend(digest.iter().take(16));
    let checksum = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend(checksum.iter().take(4));
    base58(&bytes)
}

fn base58(bytes: &[u8]) -> String {
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let symbol = |digit: &u32| usize::try_from(*digit).ok().and_then(|at| BASE58.get(at)).copied().map(char::from);
    digits.iter().rev().filter_map(symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_scenario_has_no_mistakes_and_its_key_derives() {
        let scenario = Scenario::default();
        assert_eq!(scenario.problems(), []);
        assert_eq!(scenario.start_price.to_string(), "2.4");
        assert!(maker_seed().starts_with('s'), "{}", maker_seed());
        let address = neo_ledger::keys::Keypair::from_seed(&maker_seed()).unwrap().address();
        assert_eq!(scenario.maker().unwrap(), address);
    }

    #[test]
    fn mistakes_are_all_named() {
        let mut scenario = Scenario { close_interval_ms: 0, tick_size: 2, ..Scenario::default() };
        scenario.takers.limit_bps = f64::NAN;
        let fields: Vec<&str> = scenario.problems().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["close_interval_ms", "tick_size", "takers.limit_bps"]);
        assert!(serde_json::from_str::<Scenario>(r#"{"takers":{"size":1}}"#).is_err());
        let text = r#"{"takers":{"arrivals_per_ledger":"0.5"},"maker_xrp":"5"}"#;
        let scenario: Scenario = serde_json::from_str(text).unwrap();
        assert!((scenario.takers.arrivals_per_ledger - 0.5).abs() < 1e-12);
    }
}
