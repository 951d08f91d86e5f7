//! The tables of a scenario's market: takers, the fundamental price, makers and the pool.

use neo_market::Dec;
use serde::{Deserialize, Serialize};

use super::{Check, Scenario, number};

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
    /// Part of the arrivals who know the fundamental price of a later ledger, 0 to 1: they take what is better than
    /// that price, and nothing else.
    #[serde(deserialize_with = "number")]
    pub informed_share: f64,
    /// How many ledgers ahead they know it.
    pub informed_ahead_ledgers: u32,
}

/// How the fundamental price moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceKind {
    /// It does not.
    Constant,
    /// By small steps, and drawn back to the start price.
    Diffusion,
    /// By small steps and now and then by a large one, and drawn back to the start price.
    Jumps,
    /// With the trades of the scenario's tape.
    Tape,
}

/// The fundamental price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// How it moves. Default: `tape` where the scenario has one, else `jumps`.
    pub kind: Option<PriceKind>,
    /// What it moves by in every ledger, up or down, in basis points.
    #[serde(deserialize_with = "number")]
    pub drift_bps_per_ledger: f64,
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

/// A pool of XRP and RLUSD beside the books. Whoever trades takes of it what is better than the books' offers, so takers
/// keep it near the fundamental price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// XRP that it is made with; 0 makes none.
    pub xrp: Dec,
    /// RLUSD that it is made with; 0 is what the XRP is worth at the start price.
    pub rlusd: Dec,
    /// Its trading fee, in hundred-thousandths (1000 is 1 %).
    pub trading_fee: u16,
    /// Ledgers between two changes of liquidity: a provider pays in and out by turns; 0: never.
    pub provider_ledgers: u32,
    /// XRP of such a change, with RLUSD beside it as the pool stands.
    pub provider_xrp: Dec,
}

impl Default for Takers {
    fn default() -> Takers {
        Takers {
            arrivals_per_ledger: 0.6,
            size_xrp_median: 40.0,
            size_sigma: 1.0,
            limit_bps: 50.0,
            informed_share: 0.0,
            informed_ahead_ledgers: 1,
        }
    }
}

impl Default for Price {
    fn default() -> Price {
        Price {
            kind: None,
            drift_bps_per_ledger: 0.0,
            volatility_bps_per_ledger: 3.0,
            jump_probability: 0.002,
            jump_bps: 60.0,
            reversion: 0.001,
        }
    }
}

impl Default for Makers {
    fn default() -> Makers {
        Makers { spread_bps: 25.0, level_step_bps: 10.0, levels: 5, size_xrp: 2_000.0, refresh_ledgers: 2 }
    }
}

impl Default for Pool {
    fn default() -> Pool {
        let (xrp, rlusd) = (Dec::default(), Dec::default());
        Pool { xrp, rlusd, trading_fee: 500, provider_ledgers: 0, provider_xrp: Dec::from_i64(1_000) }
    }
}

impl Scenario {
    /// How the fundamental price moves.
    #[must_use]
    pub fn price_kind(&self) -> PriceKind {
        let usual = if self.tape.is_some() { PriceKind::Tape } else { PriceKind::Jumps };
        self.price.kind.unwrap_or(usual)
    }

    pub(super) fn check_market(&self, check: &mut Check<'_>) {
        let (takers, price, makers) = (&self.takers, &self.price, &self.makers);
        for (field, value, most, fix) in [
            ("takers.arrivals_per_ledger", takers.arrivals_per_ledger, 500.0, "give 0 to 500"),
            ("takers.size_xrp_median", takers.size_xrp_median, 1e6, "give 0 to 1000000"),
            ("takers.size_sigma", takers.size_sigma, 5.0, "give 0 to 5"),
            ("takers.limit_bps", takers.limit_bps, 5_000.0, "give 0 to 5000"),
            ("takers.informed_share", takers.informed_share, 1.0, "give 0 to 1"),
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
        let drift = price.drift_bps_per_ledger;
        let drift_ok = (-100.0..=100.0).contains(&drift);
        check(drift_ok, "price.drift_bps_per_ledger", drift.to_string(), "give -100 to 100");
        check(makers.levels <= 20, "makers.levels", makers.levels.to_string(), "give 0 to 20");
        let refresh = makers.refresh_ledgers;
        check(refresh >= 1, "makers.refresh_ledgers", refresh.to_string(), "give at least 1");
        self.check_tape(check);
        self.check_pool(check);
    }

    fn check_tape(&self, check: &mut Check<'_>) {
        let (kind, ahead) = (self.price_kind(), self.takers.informed_ahead_ledgers);
        let agrees = (kind == PriceKind::Tape) == self.tape.is_some();
        let fix = "give kind = \"tape\" and a tape, or neither";
        check(agrees, "price.kind", format!("{kind:?}").to_lowercase(), fix);
        let fix = "give 1 to 100";
        check((1..=100).contains(&ahead), "takers.informed_ahead_ledgers", ahead.to_string(), fix);
        let recording = self.recording.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let alone = self.recording.is_none() || (self.tape.is_none() && self.market && !self.has_pool());
        check(
            alone,
            "recording",
            recording,
            "give it without tape, market = false and amm: the recording is the market",
        );
        let quotes = self.recording_quotes.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let beside = self.recording_quotes.is_none() || self.recording.is_some();
        check(beside, "recording_quotes", quotes, "give it with a file of trades as the recording");
        let latency = self.mirror_latency_ledgers;
        check(latency <= 16, "mirror_latency_ledgers", latency.to_string(), "give 0 to 16");
        // A tape's takers are its trades.
        let share = self.takers.informed_share;
        let fits = self.tape.is_none() || share <= 0.0;
        check(fits, "takers.informed_share", share.to_string(), "give 0 with a tape");
    }

    fn check_pool(&self, check: &mut Check<'_>) {
        let (pool, most) = (&self.amm, Dec::from_i64(100_000_000));
        for (field, value) in
            [("amm.xrp", pool.xrp), ("amm.rlusd", pool.rlusd), ("amm.provider_xrp", pool.provider_xrp)]
        {
            check(!value.is_negative() && value <= most, field, value.to_string(), "give 0 to 100000000");
        }
        let whole = pool.xrp.is_positive() || pool.rlusd.is_zero();
        check(whole, "amm.rlusd", pool.rlusd.to_string(), "give amm.xrp too: a pool has both");
        // rippled, AMMCore.h, TRADING_FEE_THRESHOLD.
        check(pool.trading_fee <= 1_000, "amm.trading_fee", pool.trading_fee.to_string(), "give 0 to 1000");
    }
}
