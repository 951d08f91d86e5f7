//! Scenarios: the files that come with the program, the kinds of price, informed takers, the pool, and a late close.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use neo_sim::scenario::PriceKind;
use neo_sim::{Node, Scenario};

fn prices(scenario: &Scenario, seed: u64, ledgers: u32) -> Vec<f64> {
    let mut node = Node::new(scenario, seed).unwrap();
    (0..ledgers)
        .map(|_| {
            node.close_ledger();
            node.fundamental_price().unwrap().to_string().parse().unwrap()
        })
        .collect()
}

#[test]
fn every_file_that_comes_with_the_program_makes_a_market() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{path:?} says what it is for");
        let scenario: Scenario = toml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(scenario.problems(), [], "{path:?}");
        let mut node = Node::new(&scenario, 1).unwrap();
        let mut transactions = 0;
        for _ in 0..60 {
            node.close_ledger();
            transactions += node.last_ledger().txn_count;
        }
        assert!(transactions > 10, "{path:?}: {transactions}");
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    let expected = ["amm-dominated", "calm", "informed", "issuer", "jumps", "rough-node", "thin-book", "trending"];
    assert_eq!(names, expected);
}

#[test]
fn a_kind_of_price_moves_as_it_says() {
    let mut scenario = Scenario::default();
    scenario.price.jump_probability = 0.1;
    scenario.price.jump_bps = 500.0;
    let largest_step = |kind| {
        let mut scenario = scenario.clone();
        scenario.price.kind = Some(kind);
        let prices = prices(&scenario, 7, 300);
        prices.windows(2).map(|two| (two[1] / two[0] - 1.0).abs()).fold(0.0, f64::max)
    };
    assert!(largest_step(PriceKind::Constant) == 0.0);
    let diffusion = largest_step(PriceKind::Diffusion);
    assert!(diffusion > 0.0 && diffusion < 0.003, "{diffusion}");
    assert!(largest_step(PriceKind::Jumps) > 0.02);
    scenario.price.kind = Some(PriceKind::Diffusion);
    (scenario.price.drift_bps_per_ledger, scenario.price.reversion) = (5.0, 0.0);
    let last = *prices(&scenario, 7, 300).last().unwrap();
    assert!(last > 2.4 * 1.1, "{last}");
}

#[test]
fn the_usual_price_is_that_of_worlds_before_kinds() {
    let mut scenario = Scenario::default();
    let before = prices(&scenario, 7, 50);
    scenario.price.kind = Some(PriceKind::Jumps);
    assert_eq!(prices(&scenario, 7, 50), before);
}

#[test]
fn mistakes_in_the_new_tables_are_named() {
    let text = "[price]\nkind = \"tape\"\n[takers]\ninformed_share = 2\ninformed_ahead_ledgers = 0\n\
                [amm]\nrlusd = \"5\"\ntrading_fee = 1001\n[faults]\ngap = { per_ledger = -1, ledgers = 0 }\nnever_in = 2\n";
    let mut scenario: Scenario = toml::from_str(text).unwrap();
    scenario.close_jitter_ms = 4_000;
    let fields: Vec<&str> = scenario.problems().iter().map(|problem| problem.field).collect();
    let expected = [
        "close_jitter_ms",
        "takers.informed_share",
        "price.kind",
        "takers.informed_ahead_ledgers",
        "amm.rlusd",
        "amm.trading_fee",
        "faults.gap",
        "faults.gap",
        "faults.never_in",
    ];
    assert_eq!(fields, expected);
    assert!(toml::from_str::<Scenario>("[faults]\nearthquake = { at = [1] }\n").is_err());
    assert!(toml::from_str::<Scenario>("[price]\nkind = \"sideways\"\n").is_err());
}

#[test]
fn informed_takers_gain_what_the_maker_loses() {
    let worth = |share: f64| {
        let mut scenario = Scenario::default();
        scenario.takers.informed_share = share;
        scenario.takers.informed_ahead_ledgers = 5;
        scenario.takers.arrivals_per_ledger = 2.0;
        scenario.price.volatility_bps_per_ledger = 20.0;
        let mut node = Node::new(&scenario, 3).unwrap();
        let maker = neo_sim::generator::Generator::maker_account();
        let value = |node: &Node| {
            let funds = node.balances(maker).unwrap().unwrap();
            let price: f64 = node.fundamental_price().unwrap().to_string().parse().unwrap();
            (funds.xrp.get() as f64 / 1e6 - 1e9, funds.rlusd.to_string().parse::<f64>().unwrap() - 1e9, price)
        };
        let before = value(&node);
        (0..400).for_each(|_| drop(node.close_ledger()));
        let (xrp, rlusd, price) = value(&node);
        (xrp - before.0) * price + (rlusd - before.1)
    };
    let (usual, informed) = (worth(0.0), worth(1.0));
    assert!(informed < usual && informed < 0.0, "{informed} against {usual}");
}

#[test]
fn a_pool_is_traded_with_and_stays_near_the_price() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios/amm-dominated.toml"),
    );
    let scenario: Scenario = toml::from_str(&text.unwrap()).unwrap();
    let mut node = Node::new(&scenario, 2).unwrap();
    let pool = |node: &Node| {
        let (_, amm) = node.validated_state().amms().next().expect("a pool");
        let funds = node.balances(amm.account).unwrap().unwrap();
        (funds.xrp.get() as f64 / 1e6, funds.rlusd.to_string().parse::<f64>().unwrap(), amm.lp_token_balance)
    };
    let (xrp, rlusd, tokens) = pool(&node);
    assert!((xrp - 2_000_000.0).abs() < 1e-6 && (rlusd - 4_800_000.0).abs() < 1e-6);
    (0..250).for_each(|_| drop(node.close_ledger()));
    let (xrp_after, rlusd_after, tokens_after) = pool(&node);
    assert!((xrp_after - xrp).abs() > 1e-6 && (rlusd_after - rlusd).abs() > 1e-6);
    // Paid in after 100 ledgers, taken out after 200.
    assert!(tokens_after != tokens);
    let price: f64 = node.fundamental_price().unwrap().to_string().parse().unwrap();
    let apart = (rlusd_after / xrp_after / price - 1.0).abs();
    assert!(apart < 0.02, "{apart}");
}

#[test]
fn a_late_close_is_never_before_the_one_ahead_of_it() {
    let scenario = Scenario { close_jitter_ms: 3_900, ..Scenario::default() };
    let (mut node, mut late) = (Node::new(&scenario, 1).unwrap(), 0);
    let (first, mut total) = (node.ledger_index(), 0_u64);
    for _ in 0..500 {
        let (before, planned) = (node.close_time(), u64::from(node.next_interval_ms()));
        total += planned;
        late += usize::from(planned > 3_900);
        node.close_ledger();
        assert!(node.close_time() > before);
    }
    assert!(late > 100, "{late}");
    let planned = u64::from(node.ledger_index() - first) * 3_900;
    assert!(total.abs_diff(planned) <= 3_900, "delays do not add up: {total} of {planned}");
}
