//! Leaning against inventory in a market that trends, over virtual time: the same seeds with skew and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod runner;

use neo_market::quote::QuoteConfig;
use neo_market::{Dec, Drops, Side};
use neo_sim::Scenario;
use neo_store::record::Record;
use runner::Runner;

const TRADE_FOR_S: u32 = 1_800;
const MAX_STEPS: u64 = 3_000_000;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

/// A market that goes one way, and an account that is half XRP, with about ten quotes of it.
fn trending(drift_bps: f64) -> Scenario {
    let mut scenario = Scenario { maker_xrp: d("2000"), maker_rlusd: d("4800"), ..Scenario::default() };
    scenario.price.drift_bps_per_ledger = drift_bps;
    scenario.price.reversion = 0.0;
    scenario
}

fn skewed() -> QuoteConfig {
    QuoteConfig { inventory_target_pct: Some(d("50")), skew_bps: d("40"), ..QuoteConfig::default() }
}

/// The farthest that the XRP was ever from what the session began with, in drops, and what was traded.
fn farthest(drift_bps: f64, seed: u64, quote: QuoteConfig) -> (i64, usize) {
    let mut runner = Runner::quoting(&trending(drift_bps), seed, TRADE_FOR_S, quote).quiet();
    assert!(runner.run(MAX_STEPS), "seed {seed}: not flat");
    let mut start = None;
    let (mut farthest, mut fills) = (0, 0);
    for record in &runner.records {
        match record {
            Record::Valuation(snapshot) => {
                let from: Drops = *start.get_or_insert(snapshot.xrp);
                farthest = farthest.max(snapshot.xrp.sub(from).unwrap().get().abs());
            }
            Record::Fill(fill) => {
                assert_eq!(fill.role, neo_store::record::Role::Maker, "seed {seed}: {fill:?}");
                fills += 1;
            }
            _ => {}
        }
    }
    (farthest, fills)
}

#[test]
fn the_largest_inventory_is_smaller_with_skew() {
    for drift_bps in [-1.0, 1.0] {
        for seed in 1..=5 {
            let (plain, plain_fills) = farthest(drift_bps, seed, QuoteConfig::default());
            let (leaning, leaning_fills) = farthest(drift_bps, seed, skewed());
            println!(
                "drift {drift_bps} seed {seed}: {plain} drops in {plain_fills} fills, with skew {leaning} in {leaning_fills}"
            );
            assert!(leaning < plain, "drift {drift_bps}, seed {seed}: {leaning} with skew, {plain} without");
            assert!(leaning_fills > 50, "drift {drift_bps}, seed {seed}: {leaning_fills} fills");
        }
    }
}

#[test]
fn skew_is_as_deterministic_as_the_rest_and_off_without_a_target() {
    let log = |quote| {
        let mut runner = Runner::quoting(&trending(-1.0), 3, 600, quote);
        assert!(runner.run(MAX_STEPS));
        runner.log
    };
    let one = log(skewed());
    assert!(one == log(skewed()), "two runs of one seed differ");
    let plain = log(QuoteConfig::default());
    assert!(one != plain, "the skew does nothing");
    let without = QuoteConfig { inventory_target_pct: None, ..skewed() };
    assert!(log(without) == plain, "skew_bps alone must do nothing");
    assert!(plain.contains(Side::Bid.as_str()));
}
