//! The published results of Avellaneda and Stoikov (2008), section 3.3, come out of our strategy code.
#![allow(clippy::float_arithmetic, clippy::unwrap_used, clippy::panic, reason = "a test of a simulation")]

mod paper;

use paper::{PATHS, Row, published, simulate};

/// Our figures beside the published ones. A published mean has itself a standard error; the strict reading is used: three
/// standard errors of one run of 1,000 paths, from the published deviation.
fn compare(ours: &Row, theirs: &Row) {
    assert_eq!(ours.strategy, theirs.strategy);
    let near = |what: &str, ours: f64, theirs: f64, deviation: f64| {
        let error = deviation / f64::from(PATHS).sqrt();
        assert!((ours - theirs).abs() <= 3.0 * error, "{what}: {ours} beside {theirs}, standard error {error}");
    };
    near("profit", ours.profit, theirs.profit, theirs.profit_deviation);
    near("inventory", ours.inventory, theirs.inventory, theirs.inventory_deviation);
    for (what, ours, theirs) in [
        ("deviation of profit", ours.profit_deviation, theirs.profit_deviation),
        ("deviation of inventory", ours.inventory_deviation, theirs.inventory_deviation),
    ] {
        assert!((ours / theirs - 1.0).abs() <= 0.15, "{what}: {ours} beside {theirs}");
    }
    assert!((ours.spread - theirs.spread).abs() <= 0.015, "{} beside {}", ours.spread, theirs.spread);
}

#[test]
fn the_table_for_gamma_0_1_is_reproduced() {
    let theirs = published(0.1).unwrap();
    simulate(0.1, 1).iter().zip(&theirs).for_each(|(ours, theirs)| compare(ours, theirs));
}

#[test]
fn the_other_published_tables_are_reproduced() {
    for gamma in [0.01, 1.0] {
        let theirs = published(gamma).unwrap();
        simulate(gamma, 1).iter().zip(&theirs).for_each(|(ours, theirs)| compare(ours, theirs));
    }
    assert!(published(0.5).is_none());
}

#[test]
fn a_seed_gives_the_same_table_each_time() {
    assert_eq!(format!("{:?}", simulate(0.5, 3)), format!("{:?}", simulate(0.5, 3)));
}
