use proptest::prelude::*;

use super::*;
use crate::plan::Action;
use crate::quote::{Conditions, Desired, Funds, WithheldReason, crosses, desired, desired_under};
use crate::risk::{RiskConfig, RiskLimits, RiskState};
use crate::{BookLevel, Quote};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn xrp(text: &str) -> Drops {
    Drops::from_xrp(d(text), Rounding::Down).unwrap()
}

fn view(bid: &str, ask: &str) -> MarketView {
    let level = |price: &str| BookLevel { price: d(price), size: xrp("1000") };
    MarketView { ledger_index: 7, bids: vec![level(bid)], asks: vec![level(ask)], ..MarketView::default() }
}

fn owns(xrp_text: &str, rlusd: &str) -> Balances {
    Balances { xrp: xrp(xrp_text), reserve: xrp("2"), rlusd: d(rlusd) }
}

fn skewed() -> QuoteConfig {
    let (skew_bps, skew_size_pct) = (d("20"), d("50"));
    QuoteConfig { inventory_target_pct: Some(d("50")), skew_bps, skew_size_pct, ..QuoteConfig::default() }
}

fn quotes(balances: &Balances, view: &MarketView, config: &QuoteConfig) -> Desired {
    let skew = Skew::of(balances, view, config).unwrap();
    desired_under(
        view,
        &Funds::of(balances, Drops::ZERO, 0, config),
        config,
        Conditions { skew, ..Conditions::default() },
    )
    .unwrap()
}

#[test]
fn too_much_xrp_moves_the_quotes_down_and_shrinks_the_bids() {
    let (view, config) = (view("2.35", "2.45"), skewed());
    // 1500 XRP at 2.4 are 3600, of 4800: 75 %, half of the way from 50 % to all.
    let desired = quotes(&owns("1500", "1200"), &view, &config);
    assert_eq!(desired.reference_price, d("2.4"), "the price that limits and records go by stays the market's");
    let (bid, ask) = (desired.quote(Side::Bid, 0).unwrap(), desired.quote(Side::Ask, 0).unwrap());
    // The middle is 10 bps lower: 2.3976.
    assert_eq!((bid.price, bid.size), (d("2.395202"), xrp("75")));
    assert_eq!((ask.price, ask.size), (d("2.399998"), xrp("100")));
    // And 500 XRP of 2400 + 3600 in all: a fifth of the value, so lean -0.6, the middle 12 bps higher.
    let desired = quotes(&owns("500", "4800"), &view, &config);
    let (bid, ask) = (desired.quote(Side::Bid, 0).unwrap(), desired.quote(Side::Ask, 0).unwrap());
    assert_eq!((bid.price, bid.size), (d("2.400477"), xrp("100")));
    assert_eq!((ask.price, ask.size), (d("2.405283"), xrp("70")));
}

#[test]
fn without_a_target_and_at_the_target_nothing_changes() {
    let view = view("2.35", "2.45");
    let funds = Funds { spendable_xrp: xrp("10000"), rlusd: d("25000") };
    let plain = desired(&view, &funds, &QuoteConfig::default()).unwrap();
    let config = QuoteConfig { inventory_target_pct: None, ..skewed() };
    assert_eq!(Skew::of(&owns("9999", "1"), &view, &config).unwrap(), Skew::none());
    let at_target = Skew::of(&owns("1000", "2400"), &view, &skewed()).unwrap();
    assert_eq!(at_target, Skew::none());
    assert_eq!(
        desired_under(&view, &funds, &skewed(), Conditions { skew: at_target, ..Conditions::default() }).unwrap(),
        plain
    );
    let nothing = Balances { xrp: Drops::ZERO, reserve: Drops::ZERO, rlusd: Dec::zero() };
    assert_eq!(Skew::of(&nothing, &view, &skewed()).unwrap(), Skew::none());
    let empty = MarketView { asks: vec![], ..view };
    assert_eq!(Skew::of(&owns("1500", "1200"), &empty, &skewed()).unwrap(), Skew::none());
}

#[test]
fn both_ends_are_a_full_lean_whatever_the_target() {
    for target in ["0", "1", "37.5", "99", "100"] {
        let config = QuoteConfig { inventory_target_pct: Some(d(target)), ..skewed() };
        let lean = |balances| Skew::of(&balances, &view("2.35", "2.45"), &config).unwrap().lean();
        let (all, none) = (lean(owns("1000", "0")), lean(owns("0", "1000")));
        assert_eq!(all, if target == "100" { d("0") } else { d("1") }, "{target}");
        assert_eq!(none, if target == "0" { d("0") } else { d("-1") }, "{target}");
    }
}

#[test]
fn the_skew_stops_at_the_book() {
    // The whole skew of 200 bps would put the ask far below the best bid.
    let config = QuoteConfig { skew_bps: d("200"), ..skewed() };
    let desired = quotes(&owns("10000", "0"), &view("2.399", "2.401"), &config);
    assert_eq!(desired.quote(Side::Ask, 0).unwrap().price, d("2.399001"), "one step above the best bid");
    let desired = quotes(&owns("20", "30000"), &view("2.399", "2.401"), &config);
    assert_eq!(desired.quote(Side::Bid, 0).unwrap().price, d("2.400999"), "one step below the best ask");
}

#[test]
fn a_side_that_the_skew_makes_too_small_says_so() {
    let config = QuoteConfig { skew_size_pct: d("100"), ..skewed() };
    let desired = quotes(&owns("10000", "100"), &view("2.35", "2.45"), &config);
    let bid = desired.withheld.iter().find(|withheld| withheld.side == Side::Bid).unwrap();
    assert!(matches!(bid.reason, WithheldReason::Skewed { .. }), "{bid:?}");
    assert!(bid.reason.to_string().contains("skew_size_pct"), "{}", bid.reason);
    assert!(desired.quote(Side::Ask, 0).is_some());
}

#[test]
fn mistakes_are_told() {
    let keys = |config: QuoteConfig| config.problems().iter().map(|problem| problem.key).collect::<Vec<_>>();
    assert!(keys(skewed()).is_empty());
    for target in ["0", "100", "-1", "101"] {
        assert_eq!(keys(QuoteConfig { inventory_target_pct: Some(d(target)), ..skewed() }), ["inventory_target_pct"]);
    }
    assert_eq!(keys(QuoteConfig { skew_bps: d("-1"), ..skewed() }), ["skew_bps"]);
    assert_eq!(keys(QuoteConfig { skew_bps: d("10000"), ..skewed() }), ["skew_bps"]);
    assert_eq!(keys(QuoteConfig { skew_size_pct: d("101"), ..skewed() }), ["skew_size_pct"]);
    assert_eq!(keys(QuoteConfig { skew_size_pct: d("-0.1"), ..skewed() }), ["skew_size_pct"]);
}

prop_compose! {
    fn any_market()(bid in 1_000_i64..10_000_000, spread in 0_i64..50_000, exponent in -6_i32..-3) -> MarketView {
        let level = |mantissa| BookLevel { price: Dec::from_parts(mantissa, exponent).unwrap(), size: Drops::new(1) };
        MarketView { ledger_index: 1, bids: vec![level(bid)], asks: vec![level(bid + spread)], ..MarketView::default() }
    }
}

prop_compose! {
    fn any_config()(target in 1_i64..1_000, bps in 0_i64..99_999, size in 0_i64..=1_000, offset in 1_i64..2_000,
                    places in 0_i32..=15) -> QuoteConfig {
        let tenths = |n| Dec::from_parts(n, -1).unwrap();
        QuoteConfig {
            inventory_target_pct: Some(tenths(target.min(999))), skew_bps: tenths(bps), skew_size_pct: tenths(size),
            bid_offset_bps: tenths(offset), ask_offset_bps: tenths(offset), price_places: places, ..QuoteConfig::default()
        }
    }
}

prop_compose! {
    fn any_balances()(xrp in 0_i64..100_000_000_000_000_000, rlusd in 0_i64..i64::MAX, exponent in -15_i32..-3) -> Balances {
        Balances { xrp: Drops::new(xrp), reserve: Drops::ZERO, rlusd: Dec::from_parts(rlusd, exponent).unwrap() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_skewed_quote_crosses(view in any_market(), config in any_config(), balances in any_balances()) {
        prop_assert_eq!(config.problems(), []);
        let desired = quotes(&balances, &view, &config);
        for quote in &desired.quotes {
            prop_assert!(!crosses(quote.side, quote.price, view.best(quote.side.opposite()).unwrap()));
            for other in desired.quotes.iter().filter(|other| other.side != quote.side) {
                prop_assert!(!crosses(quote.side, quote.price, other.price));
            }
            prop_assert!(quote.size.to_xrp().unwrap() <= config.size_xrp);
        }
    }

    #[test]
    fn the_skew_costs_no_level_its_place_at_the_book(view in any_market(), config in any_config(), balances in any_balances()) {
        let crossing = |desired: &Desired| {
            let crossed = desired.withheld.iter().filter(|w| matches!(w.reason, WithheldReason::WouldCross { .. }));
            crossed.map(|withheld| (withheld.side, withheld.level)).collect::<Vec<_>>()
        };
        let funds = Funds::of(&balances, Drops::ZERO, 0, &config);
        let plain = crossing(&desired(&view, &funds, &config).unwrap());
        for slot in crossing(&quotes(&balances, &view, &config)) {
            prop_assert!(plain.contains(&slot), "{:?}", slot);
        }
    }

    #[test]
    fn more_xrp_never_moves_the_middle_up(
        view in any_market(), config in any_config(), less in any_balances(), more in 0_i64..1_000_000_000_000,
    ) {
        let more = Balances { xrp: less.xrp.add(Drops::new(more)).unwrap(), ..less };
        let mid = view.mid().unwrap().unwrap();
        let (one, two) = (Skew::of(&less, &view, &config).unwrap(), Skew::of(&more, &view, &config).unwrap());
        prop_assert!(one.lean() <= two.lean() && two.lean() <= Dec::one() && one.lean() >= Dec::from_i64(-1));
        let at = |skew: Skew| skew.middle(&view, mid, &config).unwrap();
        prop_assert!(at(one) >= at(two));
        prop_assert!(one.size(Side::Bid, config.size_xrp, &config).unwrap() >= two.size(Side::Bid, config.size_xrp, &config).unwrap());
        prop_assert!(one.size(Side::Ask, config.size_xrp, &config).unwrap() <= two.size(Side::Ask, config.size_xrp, &config).unwrap());
    }

    #[test]
    fn mirrored_leans_are_mirrored_quotes(config in any_config(), tenths in -10_i64..=10) {
        let lean = Dec::from_parts(tenths, -1).unwrap();
        let (long, short) = (Skew { lean }, Skew { lean: lean.neg() });
        prop_assert_eq!(long.size(Side::Bid, config.size_xrp, &config).unwrap(), short.size(Side::Ask, config.size_xrp, &config).unwrap());
        // A book so wide that nothing stops the middle.
        let (wide, mid) = (view("0.000001", "1000"), d("1"));
        let config = QuoteConfig { price_places: 6, ..config };
        let sum = long.middle(&wide, mid, &config).unwrap().add(short.middle(&wide, mid, &config).unwrap()).unwrap();
        prop_assert_eq!(sum, d("2"));
    }

    #[test]
    fn the_limits_still_decide(view in any_market(), config in any_config(), balances in any_balances()) {
        let (min, max) = (d("1000000"), d("90000000000"));
        let limits = RiskLimits::new(RiskConfig {
            max_inventory_xrp: Some(max), min_inventory_xrp: Some(min), ..RiskConfig::default()
        });
        let desired = quotes(&balances, &view, &config);
        for quote in &desired.quotes {
            let state = RiskState {
                balances, reference_price: Some(desired.reference_price), open_bid_xrp: Drops::ZERO,
                open_ask_xrp: Drops::ZERO, reserve_inc: Drops::ZERO, data_age_ledgers: 0,
            };
            let Quote { side, size, .. } = *quote;
            if limits.check(Action::Place(*quote), &state).is_ok() {
                match side {
                    Side::Bid => prop_assert!(balances.xrp.add(size).unwrap().to_xrp().unwrap() <= max),
                    Side::Ask => prop_assert!(balances.xrp.sub(size).unwrap().to_xrp().unwrap() >= min),
                }
            }
        }
    }
}
