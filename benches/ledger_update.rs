//! One ledger's update, from the node's bytes to signed intents, and the market's part of it alone.
//!
//! Drives all cores on the simulated ledger in one thread and times the engine's steps only, not the ledger's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a benchmark may fail loudly")]

#[path = "../tests/runner/mod.rs"]
mod runner;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use neo_market::plan::plan;
use neo_market::quote::{Funds, QuoteConfig, desired};
use neo_market::risk::{RiskConfig, RiskLimits, RiskState};
use neo_market::{Balances, BookLevel, Drops, MarketView};
use neo_sim::Scenario;
use runner::{Part, Runner};

/// Ledgers that a world is used for before a new one is made, so that every sample is of a young session.
const LEDGERS: u64 = 400;

fn time_part(c: &mut Criterion, name: &str, part: Part) {
    c.bench_function(name, |b| {
        b.iter_custom(|ledgers| {
            let mut spent = Duration::ZERO;
            let mut left = ledgers;
            while left > 0 {
                let mut runner = Runner::new(&Scenario::default(), 1, u32::MAX).quiet();
                while runner.updates < 5 {
                    runner.step();
                }
                let (before, start) = (runner.updates, runner.spent(part));
                let share = left.min(LEDGERS);
                while runner.updates < before + share {
                    runner.step();
                }
                spent += runner.spent(part) - start;
                left -= share;
            }
            spent
        });
    });
}

fn ledger_update(c: &mut Criterion) {
    time_part(c, "feed: bytes of one ledger to LedgerUpdate", Part::Feed);
    time_part(c, "orders: LedgerUpdate to signed intents", Part::Orders);
    time_part(c, "valuer: LedgerUpdate to records", Part::Valuer);
}

fn market(c: &mut Criterion) {
    let level = |price: &str| BookLevel { price: price.parse().unwrap(), size: Drops::new(500_000_000) };
    let view = MarketView {
        ledger_index: 9,
        bids: ["2.3990", "2.3980", "2.3970"].map(level).to_vec(),
        asks: ["2.4010", "2.4020", "2.4030"].map(level).to_vec(),
        ..MarketView::default()
    };
    let balances =
        Balances { xrp: Drops::new(10_000_000_000), reserve: Drops::new(2_000_000), rlusd: "25000".parse().unwrap() };
    let config = QuoteConfig { levels: 4, ..QuoteConfig::default() };
    let funds = Funds::of(&balances, Drops::new(200_000), 0, &config);
    let limits = RiskLimits::new(RiskConfig::default());
    c.bench_function("market: view to approved actions, 8 offers", |b| {
        b.iter(|| {
            let wanted = desired(black_box(&view), &funds, &config).unwrap();
            let actions = plan(Some(&wanted), &[], &[], 9, 800_000_000, &config);
            let state = RiskState {
                balances,
                reference_price: Some(wanted.reference_price),
                open_bid_xrp: Drops::ZERO,
                open_ask_xrp: Drops::ZERO,
                reserve_inc: Drops::new(200_000),
                data_age_ledgers: 0,
            };
            let approved = actions.into_iter().filter(|action| limits.check(*action, &state).is_ok()).count();
            assert_eq!(approved, 8);
        });
    });
}

criterion_group!(benches, ledger_update, market);
criterion_main!(benches);
