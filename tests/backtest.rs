//! The bench of cores and `neo backtest`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use std::fmt::Write as _;

use neo::backtest::drive::{Bench, Ended};
use neo::config::Config;
use neo_ledger::keys::Keypair;
use neo_sim::{Node, Scenario};

/// All that is recorded of half an hour of a generated market.
fn half_an_hour(seed: u64) -> (String, Ended) {
    let node = Node::new(&Scenario::default(), seed).unwrap();
    let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
    let mut said = String::new();
    let sink = |record| writeln!(said, "{record:?}").unwrap();
    let ended = Bench::new(node, &Config::default(), key, 1_800, sink).unwrap().run().unwrap();
    (said, ended)
}

#[test]
fn the_same_market_and_configuration_give_the_same_records_to_the_byte() {
    let (one, ended) = half_an_hour(3);
    assert!(ended.flat && ended.ledgers > 460, "{ended:?}");
    assert!(one.contains("Fill(") && one.contains("Valuation("));
    assert!(one == half_an_hour(3).0);
    assert!(one != half_an_hour(4).0);
    println!("{ended:?}");
}
