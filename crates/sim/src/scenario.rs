//! Scenarios: what world the simulated ledger starts with and how its market moves.
//!
//! A scenario is TOML: a table of its own file, or the table `[sim]` of the engine's configuration. Every field has a
//! default; unknown fields are errors.

use std::path::PathBuf;

use neo_ledger::{Address, Asset, Currency, Token, sha512_half};
use neo_market::Dec;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;

use crate::apply::Rules;
use crate::tape::TapeError;

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

/// Why a world cannot be made of a scenario.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Values that cannot be.
    #[error("the scenario has mistakes: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// The tape cannot be used.
    #[error("the scenario's tape: {0}")]
    Tape(#[from] TapeError),
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
    /// False for an empty ledger: the master account alone, as a stand-alone rippled begins. Nobody trades then but
    /// its clients.
    pub market: bool,
    /// Takers.
    pub takers: Takers,
    /// How the fundamental price moves.
    pub price: Price,
    /// Other makers in the background.
    pub makers: Makers,
}

/// Takers, who arrive at random and take what stands in the book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Takers {
    /// Mean number of arrivals in a ledger (Poisson).
    #[serde(deserialize_with = "number")]
    pub arrivals_per_ledger: f64,
    /// Median size, in XRP (log-normal).
    #[serde(deserialize_with = "number")]
    pub size_xrp_median: f64,
    /// Deviation of the size's logarithm.
    #[serde(deserialize_with = "number")]
    pub size_sigma: f64,
    /// How much worse than the fundamental price (or the tape's) a taker accepts, in basis points.
    #[serde(deserialize_with = "number")]
    pub limit_bps: f64,
}

/// The fundamental price: a diffusion with jumps, drawn back to the start price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// Deviation of one ledger's change, in basis points.
    #[serde(deserialize_with = "number")]
    pub volatility_bps_per_ledger: f64,
    /// Probability of a jump in a ledger.
    #[serde(deserialize_with = "number")]
    pub jump_probability: f64,
    /// Deviation of a jump, in basis points.
    #[serde(deserialize_with = "number")]
    pub jump_bps: f64,
    /// Part of the distance to the start price that is undone in a ledger, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub reversion: f64,
}

/// Background makers, who quote around the fundamental price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Makers {
    /// Distance of the best quote from the fundamental price on each side, in basis points.
    #[serde(deserialize_with = "number")]
    pub spread_bps: f64,
    /// Distance between two levels, in basis points.
    #[serde(deserialize_with = "number")]
    pub level_step_bps: f64,
    /// Levels on each side; 0 leaves the book to others.
    pub levels: u32,
    /// Size of a level, in XRP.
    #[serde(deserialize_with = "number")]
    pub size_xrp: f64,
    /// Ledgers between two renewals of the quotes.
    pub refresh_ledgers: u32,
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
            tape: None,
            tape_loop: false,
        }
    }
}

impl Default for Takers {
    fn default() -> Takers {
        Takers { arrivals_per_ledger: 0.6, size_xrp_median: 40.0, size_sigma: 1.0, limit_bps: 50.0 }
    }
}

impl Default for Price {
    fn default() -> Price {
        Price { volatility_bps_per_ledger: 3.0, jump_probability: 0.002, jump_bps: 60.0, reversion: 0.001 }
    }
}

impl Default for Makers {
    fn default() -> Makers {
        Makers { spread_bps: 25.0, level_step_bps: 10.0, levels: 5, size_xrp: 2_000.0, refresh_ledgers: 2 }
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
        check(self.history_ledgers >= 16, "history_ledgers", self.history_ledgers.to_string(), "give at least 16");
        let tick = self.tick_size;
        check(tick == 0 || (3..=15).contains(&tick), "tick_size", tick.to_string(), "give 0 or 3 to 15");
        let rate = self.transfer_rate;
        let rate_ok = rate == 0 || (1_000_000_000..=2_000_000_000).contains(&rate);
        check(rate_ok, "transfer_rate", rate.to_string(), "give 0 or 1000000000 to 2000000000");
        self.check_market(&mut check);
        problems
    }

    fn check_market(&self, check: &mut impl FnMut(bool, &'static str, String, &'static str)) {
        let (takers, price, makers) = (&self.takers, &self.price, &self.makers);
        for (field, value, most, fix) in [
            ("takers.arrivals_per_ledger", takers.arrivals_per_ledger, 500.0, "give 0 to 500"),
            ("takers.size_xrp_median", takers.size_xrp_median, 1e6, "give 0 to 1000000"),
            ("takers.size_sigma", takers.size_sigma, 5.0, "give 0 to 5"),
            ("takers.limit_bps", takers.limit_bps, 5_000.0, "give 0 to 5000"),
            ("price.volatility_bps_per_ledger", price.volatility_bps_per_ledger, 1_000.0, "give 0 to 1000"),
            ("price.jump_probability", price.jump_probability, 1.0, "give 0 to 1"),
            ("price.jump_bps", price.jump_bps, 5_000.0, "give 0 to 5000"),
            ("price.reversion", price.reversion, 1.0, "give 0 to 1"),
            ("makers.spread_bps", makers.spread_bps, 5_000.0, "give 0 to 5000"),
            ("makers.level_step_bps", makers.level_step_bps, 100.0, "give 0 to 100"),
            ("makers.size_xrp", makers.size_xrp, 1e6, "give 0 to 1000000"),
        ] {
            check((0.0..=most).contains(&value), field, value.to_string(), fix);
        }
        check(makers.levels <= 20, "makers.levels", makers.levels.to_string(), "give 0 to 20");
        let refresh = makers.refresh_ledgers;
        check(refresh >= 1, "makers.refresh_ledgers", refresh.to_string(), "give at least 1");
    }
}

/// Reads a number, or a number written as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
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
