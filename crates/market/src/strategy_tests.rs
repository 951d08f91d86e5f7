use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, prop_compose, proptest};

use super::*;
use crate::quote::{Conditions, Desired, Funds, WithheldReason, crosses, desired_under};
use crate::{AmmView, BookLevel, Drops, Quote};

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

fn with(strategy: Strategy) -> QuoteConfig {
    QuoteConfig { strategy, inventory_target_pct: Some(d("50")), levels: 1, ..QuoteConfig::default() }
}

fn sigma(text: &str) -> Measured {
    Measured::Sigma(d(text))
}

fn shape(balances: &Balances, volatility: Measured, config: &QuoteConfig) -> Shape {
    let view = view("2.35", "2.45");
    let skew = Skew::of(balances, &view, config).unwrap();
    Shape::of((&view, d("2.4")), balances, volatility, skew, config).unwrap()
}

/// The quotes of an engine that has measured the market, with all funds.
fn quotes(view: &MarketView, balances: &Balances, volatility: Measured, config: &QuoteConfig) -> Desired {
    let reference = view.mid().unwrap().unwrap();
    let skew = Skew::of(balances, view, config).unwrap();
    let shape = Some(Shape::of((view, reference), balances, volatility, skew, config).unwrap());
    let conditions = Conditions { skew, shape, largest: Some(xrp("1000")), ..Conditions::default() };
    desired_under(view, &Funds::of(balances, Drops::ZERO, 0, config), config, conditions).unwrap()
}

#[test]
fn avellaneda_and_stoikovs_distances_are_the_papers() {
    // gamma sigma^2 T = 0.01 * 1.5^2 * 60 = 1.35 bps for each size; ln(1 + 0.1) / 0.01 = 9.531018 bps.
    let config = with(Strategy::AvellanedaStoikov);
    let flat = shape(&owns("1000", "2400"), sigma("1.5"), &config);
    assert_eq!((flat.middle, flat.bid_offset_bps, flat.ask_offset_bps), (d("2.4"), d("10.206018"), d("10.206018")));
    // 300 XRP for RLUSD more: three sizes too many, so both stand 4.05 bps lower.
    let long = shape(&owns("1300", "1680"), sigma("1.5"), &config);
    assert_eq!((long.bid_offset_bps, long.ask_offset_bps), (d("14.256018"), d("6.156018")));
}

#[test]
fn glft_needs_no_horizon_and_reads_the_units_of_calibrate() {
    let config = with(Strategy::Glft);
    let of = |balances, config: &QuoteConfig| shape(&balances, sigma("1.5"), config);
    let (flat, long) = (of(owns("1000", "2400"), &config), of(owns("1100", "2160"), &config));
    // c = sqrt(2.25 * 0.01 / (2 * 0.1 * 200 / 3600) * 1.1^11) = sqrt(2.025 * 2.853117) = 2.403651; half of it, and the base.
    assert_eq!(flat.bid_offset_bps.round_places(4, Rounding::HalfEven).unwrap(), d("10.7328"));
    assert_eq!(flat.bid_offset_bps, flat.ask_offset_bps);
    let moved = long.bid_offset_bps.sub(flat.bid_offset_bps).unwrap();
    assert_eq!(moved.round_places(4, Rounding::HalfEven).unwrap(), d("2.4037"));
    let other = QuoteConfig { horizon_s: 3_600, ..config.clone() };
    assert_eq!(of(owns("1100", "2160"), &other), long);
    let busy = QuoteConfig { intensity_per_hour: d("800"), ..config };
    assert!(of(owns("1100", "2160"), &busy).bid_offset_bps < long.bid_offset_bps, "who trades often fears less");
}

#[test]
fn a_model_stays_within_its_bounds_however_much_is_owned() {
    for strategy in [Strategy::AvellanedaStoikov, Strategy::Glft] {
        let config = QuoteConfig { min_offset_bps: d("2"), max_offset_bps: d("30"), ..with(strategy) };
        let all_xrp = shape(&owns("100000", "0"), sigma("1.5"), &config);
        assert_eq!((all_xrp.bid_offset_bps, all_xrp.ask_offset_bps), (d("30"), d("2")));
        let no_xrp = shape(&owns("0", "240000"), sigma("1.5"), &config);
        assert_eq!((no_xrp.bid_offset_bps, no_xrp.ask_offset_bps), (d("2"), d("30")));
        let wild = shape(&owns("1000", "2400"), sigma("1000"), &config);
        assert_eq!((wild.bid_offset_bps, wild.ask_offset_bps), (d("30"), d("30")));
    }
}

#[test]
fn what_needs_the_volatility_waits_for_it_and_says_so() {
    let (view, balances) = (view("2.35", "2.45"), owns("1000", "2400"));
    let widened = QuoteConfig { volatility_widen: d("1"), ..QuoteConfig::default() };
    for config in [with(Strategy::AvellanedaStoikov), with(Strategy::Glft), widened] {
        let none = Shape::of((&view, d("2.4")), &balances, Measured::TooFew(3), Skew::none(), &config);
        assert_eq!(none, Err(NoQuote::VolatilityUnknown { moves: 3, needed: 10, window_s: 300 }));
        assert!(none.unwrap_err().to_string().contains("3 of 10 moves"));
    }
    let plain = QuoteConfig::default();
    assert!(Shape::of((&view, d("2.4")), &balances, Measured::TooFew(0), Skew::none(), &plain).is_ok());
}

#[test]
fn fixed_offsets_widen_with_the_volatility_up_to_their_bound() {
    let config = QuoteConfig {
        ask_offset_bps: d("12"),
        volatility_widen: d("0.5"),
        horizon_s: 100,
        max_offset_bps: d("40"),
        ..QuoteConfig::default()
    };
    let offsets = |text| {
        let shape = shape(&owns("1000", "2400"), sigma(text), &config);
        (shape.bid_offset_bps, shape.ask_offset_bps)
    };
    // Half a deviation over 100 seconds: 0.5 * 1.5 * 10.
    assert_eq!(offsets("1.5"), (d("17.5"), d("19.5")));
    assert_eq!(offsets("0"), (d("10"), d("12")));
    assert_eq!(offsets("500"), (d("40"), d("40")));
    let desired = quotes(&view("2.35", "2.45"), &owns("1000", "2400"), sigma("1.5"), &config);
    let prices: Vec<Dec> = desired.quotes.iter().map(|quote| quote.price).collect();
    // Every level moves: 17.5 and 27.5 below, 19.5 and 29.5 above.
    assert_eq!(prices, [d("2.3958"), d("2.40468"), d("2.3934"), d("2.40708")]);
}

#[test]
fn absurd_parameters_are_an_error_with_a_next_step_and_no_panic() {
    let config = QuoteConfig { gamma_per_bps: d("1e60"), ..with(Strategy::Glft) };
    let view = view("2.35", "2.45");
    let error = Shape::of((&view, d("2.4")), &owns("1", "1"), sigma("1e60"), Skew::none(), &config).unwrap_err();
    assert!(matches!(error, NoQuote::Strategy { .. }), "{error:?}");
    assert!(error.to_string().contains("[quote]"), "{error}");
}

#[test]
fn every_mistake_has_its_key() {
    let keys = |config: QuoteConfig| config.problems().iter().map(|problem| problem.key).collect::<Vec<_>>();
    for strategy in [Strategy::Fixed, Strategy::AvellanedaStoikov, Strategy::Glft] {
        assert!(keys(with(strategy)).is_empty(), "{:?}", keys(with(strategy)));
    }
    let glft = || with(Strategy::Glft);
    assert_eq!(keys(QuoteConfig { inventory_target_pct: None, ..glft() }), ["inventory_target_pct"]);
    assert_eq!(keys(QuoteConfig { volatility_widen: d("1"), ..glft() }), ["volatility_widen"]);
    assert_eq!(keys(QuoteConfig { ask_offsets_bps: vec![d("9")], ..glft() }), ["ask_offsets_bps"]);
    assert_eq!(
        keys(QuoteConfig { gamma_per_bps: d("-1"), k_per_bps: d("0"), ..glft() }),
        ["gamma_per_bps", "k_per_bps"]
    );
    assert_eq!(
        keys(QuoteConfig { intensity_per_hour: d("0"), horizon_s: 0, ..glft() }),
        ["intensity_per_hour", "horizon_s"]
    );
    assert_eq!(keys(QuoteConfig { volatility_window_s: 59, ..glft() }), ["volatility_window_s"]);
    assert_eq!(keys(QuoteConfig { min_offset_bps: d("-1"), ..glft() }), ["min_offset_bps"]);
    assert_eq!(keys(QuoteConfig { min_offset_bps: d("100"), ..glft() }), ["max_offset_bps"]);
    assert_eq!(keys(QuoteConfig { max_offset_bps: d("10000"), ..glft() }), ["max_offset_bps", "max_offset_bps"]);
    let narrow = QuoteConfig { volatility_widen: d("1"), max_offset_bps: d("9"), ..QuoteConfig::default() };
    assert_eq!(keys(narrow), ["max_offset_bps", "max_offset_bps"]);
    let lists = |bids: &[&str], asks: &[&str]| QuoteConfig {
        bid_offsets_bps: bids.iter().map(|text| d(text)).collect(),
        ask_offsets_bps: asks.iter().map(|text| d(text)).collect(),
        ..QuoteConfig::default()
    };
    assert!(keys(lists(&["5", "30"], &["0", "1"])).is_empty());
    assert_eq!(keys(lists(&["5"], &["5", "5"])), ["bid_offsets_bps", "ask_offsets_bps"]);
    assert_eq!(keys(lists(&["-1", "5"], &["5", "10000"])), ["bid_offsets_bps", "ask_offsets_bps"]);
    let sizes = |sizes: &[&str]| QuoteConfig {
        sizes_xrp: sizes.iter().map(|text| d(text)).collect(),
        ..QuoteConfig::default()
    };
    assert!(keys(sizes(&["50", "200"])).is_empty());
    assert_eq!(keys(sizes(&["50"])), ["sizes_xrp"]);
    assert_eq!(keys(sizes(&["4", "200"])), ["sizes_xrp"]);
    assert_eq!(keys(sizes(&["50.0000001", "200"])), ["sizes_xrp"]);
    assert!(keys(QuoteConfig { size_pct: Some(d("50")), ..QuoteConfig::default() }).is_empty());
    assert_eq!(keys(QuoteConfig { size_pct: Some(d("51")), ..QuoteConfig::default() }), ["size_pct"]);
    assert_eq!(keys(QuoteConfig { size_pct: Some(d("9")), ..sizes(&["50", "200"]) }), ["sizes_xrp"]);
    assert_eq!(keys(QuoteConfig { price_floor: Some(d("0")), ..QuoteConfig::default() }), ["price_floor"]);
    assert_eq!(keys(QuoteConfig { price_ceiling: Some(d("-1")), ..QuoteConfig::default() }), ["price_ceiling"]);
    assert_eq!(keys(QuoteConfig { amm_min_edge_bps: Some(d("-1")), ..QuoteConfig::default() }), ["amm_min_edge_bps"]);
    let late = QuoteConfig { ask_delay_after_fill_ledgers: 10_001, ..QuoteConfig::default() };
    assert_eq!(keys(late), ["ask_delay_after_fill_ledgers"]);
}

fn of(desired: &Desired, side: Side, level: u8) -> Quote {
    *desired.quote(side, level).unwrap()
}

fn reason(desired: &Desired, side: Side, level: u8) -> &WithheldReason {
    &desired.withheld.iter().find(|withheld| withheld.side == side && withheld.level == level).unwrap().reason
}

#[test]
fn lists_give_each_level_its_distance_and_size() {
    let config = QuoteConfig {
        levels: 3,
        bid_offsets_bps: vec![d("5"), d("12"), d("30")],
        sizes_xrp: vec![d("50"), d("100.5"), d("300")],
        ..QuoteConfig::default()
    };
    let desired = quotes(&view("2.35", "2.45"), &owns("10000", "24000"), Measured::TooFew(0), &config);
    let shown: Vec<(Dec, Drops)> =
        (0..3).flat_map(|level| Side::BOTH.map(|side| of(&desired, side, level))).map(|q| (q.price, q.size)).collect();
    let size = [xrp("50"), xrp("100.5"), xrp("300")];
    assert_eq!(
        shown,
        [
            (d("2.3988"), size[0]),
            (d("2.4024"), size[0]),
            (d("2.39712"), size[1]),
            (d("2.4048"), size[1]),
            (d("2.3928"), size[2]),
            (d("2.4072"), size[2]),
        ]
    );
}

#[test]
fn a_share_follows_what_its_side_can_pay_with() {
    let config = QuoteConfig { size_pct: Some(d("10")), ..QuoteConfig::default() };
    let desired = quotes(&view("2.35", "2.45"), &owns("1002", "480"), Measured::TooFew(0), &config);
    // 10 % of 1000 XRP above the reserve, and of 480 / 2.4 = 200.
    assert_eq!((of(&desired, Side::Ask, 1).size, of(&desired, Side::Bid, 1).size), (xrp("100"), xrp("20")));
    let rich = quotes(&view("2.35", "2.45"), &owns("50002", "100"), Measured::TooFew(0), &config);
    assert_eq!(of(&rich, Side::Ask, 0).size, xrp("1000"), "the largest that may be offered");
    assert_eq!(*reason(&rich, Side::Bid, 0), WithheldReason::ShareTooSmall { size: xrp("4.166666"), minimum: d("5") });
}

#[test]
fn neither_the_ceiling_nor_the_floor_is_passed() {
    let config =
        QuoteConfig { price_ceiling: Some(d("2.397")), price_floor: Some(d("2.4048")), ..QuoteConfig::default() };
    let desired = quotes(&view("2.35", "2.45"), &owns("1000", "2400"), Measured::TooFew(0), &config);
    let (price, ceiling) = (d("2.3976"), d("2.397"));
    assert_eq!(*reason(&desired, Side::Bid, 0), WithheldReason::AboveCeiling { price, ceiling });
    let (price, floor) = (d("2.4024"), d("2.4048"));
    assert_eq!(*reason(&desired, Side::Ask, 0), WithheldReason::BelowFloor { price, floor });
    assert_eq!((of(&desired, Side::Bid, 1).price, of(&desired, Side::Ask, 1).price), (d("2.3952"), d("2.4048")));
}

fn pooled(view: MarketView, token: &str, trading_fee: u16) -> MarketView {
    let amm = Some(AmmView { ledger_index: 7, xrp: xrp("1000"), token: d(token), trading_fee });
    MarketView { amm, ..view }
}

#[test]
fn a_quote_that_would_take_from_the_pool_is_withheld() {
    // The pool asks 2.395 without a fee: both bids would take from it, however far the book's ask is.
    let view = pooled(view("2.35", "2.45"), "2395", 0);
    let desired = quotes(&view, &owns("1000", "2400"), Measured::TooFew(0), &QuoteConfig::default());
    let (price, pool) = (d("2.3976"), d("2.395"));
    assert_eq!(*reason(&desired, Side::Bid, 0), WithheldReason::WouldTakeFromPool { price, pool });
    assert!(desired.quote(Side::Ask, 0).is_some());
    // Its fee of half a per cent puts it out of reach.
    let view = pooled(MarketView { amm: None, ..view }, "2395", 500);
    let desired = quotes(&view, &owns("1000", "2400"), Measured::TooFew(0), &QuoteConfig::default());
    assert_eq!((desired.quotes.len(), desired.withheld.len()), (4, 0));
}

#[test]
fn a_quote_that_the_pool_is_taken_before_is_withheld_where_an_edge_is_asked_for() {
    // The pool buys at 2.3976 * (1 - 0.0005) = 2.3964012 and sells at 2.3987994.
    let view = pooled(view("2.35", "2.45"), "2397.6", 50);
    let balances = owns("1000", "2400");
    let config = QuoteConfig {
        bid_offsets_bps: vec![d("10"), d("16")],
        amm_min_edge_bps: Some(d("5")),
        ..QuoteConfig::default()
    };
    let desired = quotes(&view, &balances, Measured::TooFew(0), &config);
    assert_eq!(of(&desired, Side::Bid, 0).price, d("2.3976"), "5 bps above what the pool pays");
    let (price, pool, edge_bps) = (d("2.39616"), d("2.3964012"), d("5"));
    assert_eq!(*reason(&desired, Side::Bid, 1), WithheldReason::PoolGoesFirst { price, pool, edge_bps });
    assert!(matches!(reason(&desired, Side::Ask, 0), WithheldReason::PoolGoesFirst { .. }));
    let indifferent = QuoteConfig { amm_min_edge_bps: None, ..config };
    assert_eq!(quotes(&view, &balances, Measured::TooFew(0), &indifferent).quotes.len(), 4);
}

prop_compose! {
    fn any_config()(
        strategy in 0_usize..4, gamma in 0_i64..2_000, k in 1_i64..5_000, intensity in 1_i64..50_000, horizon_s in 1_u32..7_200,
        least in 0_i64..500, room in 1_i64..20_000, levels in 1_u8..=4, step in 1_i64..300, target in 1_i64..100,
        size in 10_000_000_i64..5_000_000_000, percent in prop::option::of(1_i64..=25), skew in 0_i64..=100, places in 2_i32..=8,
        edge in prop::option::of(0_i64..100),
    ) -> QuoteConfig {
        let strategy = [Strategy::Fixed, Strategy::Fixed, Strategy::AvellanedaStoikov, Strategy::Glft][strategy];
        let (tenths, ten_thousandths) = (|n| Dec::from_parts(n, -1).unwrap(), |n| Dec::from_parts(n, -4).unwrap());
        let least = tenths(least);
        QuoteConfig {
            strategy, gamma_per_bps: ten_thousandths(gamma), k_per_bps: ten_thousandths(k),
            intensity_per_hour: Dec::from_i64(intensity), horizon_s, min_offset_bps: least,
            max_offset_bps: least.add(tenths(room)).unwrap().max(Dec::from_i64(10)), levels, level_step_bps: tenths(step),
            inventory_target_pct: Some(Dec::from_i64(target)), size_xrp: Drops::new(size).to_xrp().unwrap(),
            size_pct: percent.map(Dec::from_i64), skew_size_pct: Dec::from_i64(skew), price_places: places,
            volatility_widen: if strategy == Strategy::Fixed { tenths(gamma % 40) } else { Dec::zero() },
            amm_min_edge_bps: edge.map(Dec::from_i64), ..QuoteConfig::default()
        }
    }
}

prop_compose! {
    fn any_market()(
        bid in 100_000_i64..10_000_000, spread in 0_i64..50_000, pool in prop::option::of((-500_i64..500, 0_u16..=1000)),
    ) -> MarketView {
        let level = |mantissa| BookLevel { price: Dec::from_parts(mantissa, -6).unwrap(), size: Drops::new(1) };
        let amm = pool.map(|(off_bps, trading_fee)| {
            let token = Dec::from_parts(bid * (10_000 + off_bps) / 10_000, -3).unwrap();
            AmmView { ledger_index: 1, xrp: xrp("1000"), token, trading_fee }
        });
        MarketView { ledger_index: 1, bids: vec![level(bid)], asks: vec![level(bid + spread)], amm, ..MarketView::default() }
    }
}

prop_compose! {
    fn any_balances()(xrp in 0_i64..1_000_000_000_000, rlusd in 0_i64..1_000_000_000) -> Balances {
        Balances { xrp: Drops::new(xrp), reserve: Drops::new(2_000_000), rlusd: Dec::from_parts(rlusd, -3).unwrap() }
    }
}

prop_compose! {
    fn any_sigma()(mantissa in 0_i64..100_000_000) -> Measured {
        Measured::Sigma(Dec::from_parts(mantissa, -6).unwrap())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_quote_of_any_strategy_crosses_or_takes_from_the_pool(
        view in any_market(), balances in any_balances(), volatility in any_sigma(), config in any_config(),
    ) {
        prop_assert_eq!(config.problems(), []);
        let desired = quotes(&view, &balances, volatility, &config);
        for quote in &desired.quotes {
            let nearest = view.nearest(quote.side.opposite()).unwrap().unwrap();
            prop_assert!(!crosses(quote.side, quote.price, nearest), "{:?} {}", quote, nearest);
            for other in desired.quotes.iter().filter(|other| other.side != quote.side) {
                prop_assert!(!crosses(quote.side, quote.price, other.price));
            }
        }
        prop_assert_eq!(desired.quotes.len() + desired.withheld.len(), usize::from(config.levels) * 2);
    }

    #[test]
    fn no_strategy_promises_more_than_there_is(
        view in any_market(), balances in any_balances(), volatility in any_sigma(), config in any_config(),
    ) {
        let desired = quotes(&view, &balances, volatility, &config);
        let (mut xrp, mut rlusd) = (Drops::ZERO, Dec::zero());
        for quote in &desired.quotes {
            match quote.side {
                Side::Bid => rlusd = rlusd.add(quote.rlusd).unwrap(),
                Side::Ask => xrp = xrp.add(quote.size).unwrap(),
            }
            prop_assert!(quote.size.to_xrp().unwrap() >= config.min_size_xrp);
            let most = config.largest_size_xrp().unwrap_or(d("1000"));
            prop_assert!(quote.size.to_xrp().unwrap() <= most);
        }
        prop_assert!(xrp <= balances.spendable_xrp() && rlusd <= balances.rlusd);
    }

    #[test]
    fn distances_stay_within_their_bounds(
        view in any_market(), balances in any_balances(), volatility in any_sigma(), config in any_config(),
    ) {
        let reference = view.mid().unwrap().unwrap();
        let skew = Skew::of(&balances, &view, &config).unwrap();
        let shape = Shape::of((&view, reference), &balances, volatility, skew, &config).unwrap();
        for offset in [shape.bid_offset_bps, shape.ask_offset_bps] {
            prop_assert!(offset <= config.max_offset_bps, "{}", offset);
            prop_assert!(config.strategy == Strategy::Fixed || offset >= config.min_offset_bps, "{}", offset);
        }
        if config.strategy != Strategy::Fixed {
            prop_assert_eq!(shape.middle, reference);
            for quote in &quotes(&view, &balances, volatility, &config).quotes {
                // A bid never above the reference, an ask never below it.
                let beyond = if quote.side == Side::Bid { quote.price > reference } else { quote.price < reference };
                prop_assert!(!beyond, "{:?} {}", quote, reference);
            }
        }
    }

    #[test]
    fn more_xrp_never_moves_a_quote_up(
        view in any_market(), less in any_balances(), more in 0_i64..100_000_000_000, volatility in any_sigma(),
        config in any_config(),
    ) {
        let more = Balances { xrp: less.xrp.add(Drops::new(more)).unwrap(), ..less };
        let reference = view.mid().unwrap().unwrap();
        let of = |balances: &Balances| {
            let skew = Skew::of(balances, &view, &config).unwrap();
            Shape::of((&view, reference), balances, volatility, skew, &config).unwrap()
        };
        let (one, two) = (of(&less), of(&more));
        prop_assert!(two.middle <= one.middle);
        prop_assert!(two.bid_offset_bps >= one.bid_offset_bps && two.ask_offset_bps <= one.ask_offset_bps);
    }

    #[test]
    fn at_the_target_both_sides_are_alike_and_mirrored_around_it(
        volatility in any_sigma(), config in any_config(), xrp_owned in 1_000_000_i64..1_000_000_000_000, off in 0_i64..1_000_000,
    ) {
        let config = QuoteConfig { inventory_target_pct: Some(d("50")), size_pct: None, ..config };
        let view = view("1.9", "2.1");
        let balances = |xrp: i64| {
            let rlusd = Drops::new(2 * xrp_owned - xrp).to_xrp().unwrap().mul(d("2"), Rounding::Down).unwrap();
            Balances { xrp: Drops::new(xrp), reserve: Drops::ZERO, rlusd }
        };
        let of = |balances: Balances| {
            let skew = Skew::of(&balances, &view, &config).unwrap();
            Shape::of((&view, d("2")), &balances, volatility, skew, &config).unwrap()
        };
        let flat = of(balances(xrp_owned));
        prop_assert_eq!((flat.middle, flat.bid_offset_bps), (d("2"), flat.ask_offset_bps));
        if config.strategy != Strategy::Fixed {
            let (long, short) = (of(balances(xrp_owned + off)), of(balances(xrp_owned - off)));
            prop_assert_eq!((long.bid_offset_bps, long.ask_offset_bps), (short.ask_offset_bps, short.bid_offset_bps));
        }
    }

    #[test]
    fn a_wilder_market_never_narrows_fixed_offsets(
        balances in any_balances(), config in any_config(), calm in 0_i64..50_000_000, more in 0_i64..50_000_000,
    ) {
        let config = QuoteConfig { strategy: Strategy::Fixed, ..config };
        let of = |mantissa| shape(&balances, Measured::Sigma(Dec::from_parts(mantissa, -6).unwrap()), &config);
        prop_assert!(of(calm).bid_offset_bps <= of(calm + more).bid_offset_bps);
    }
}
