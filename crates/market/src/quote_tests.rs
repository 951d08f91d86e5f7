use proptest::prelude::*;

use super::*;
use crate::BookLevel;

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

fn rich() -> Funds {
    Funds { spendable_xrp: xrp("10000"), rlusd: d("25000") }
}

#[test]
fn prices_stand_at_their_offsets_around_the_middle() {
    let desired = desired(&view("2.39", "2.41"), &rich(), &QuoteConfig::default()).unwrap();
    assert_eq!(desired.reference_price, d("2.4"));
    let prices: Vec<_> = desired.quotes.iter().map(|q| (q.side, q.level, q.price, q.rlusd)).collect();
    assert_eq!(
        prices,
        [
            (Side::Bid, 0, d("2.3976"), d("239.76")),
            (Side::Ask, 0, d("2.4024"), d("240.24")),
            (Side::Bid, 1, d("2.3952"), d("239.52")),
            (Side::Ask, 1, d("2.4048"), d("240.48")),
        ]
    );
    assert!(desired.withheld.is_empty());
}

#[test]
fn prices_round_away_from_the_middle_and_legs_in_our_favour() {
    let config = QuoteConfig { levels: 1, price_places: 3, ..QuoteConfig::default() };
    let desired = desired(&view("2.39", "2.41"), &rich(), &config).unwrap();
    assert_eq!(desired.quote(Side::Bid, 0).unwrap().price, d("2.397"));
    assert_eq!(desired.quote(Side::Ask, 0).unwrap().price, d("2.403"));
    let size = Drops::new(3);
    assert_eq!(Quote::new(Side::Bid, 0, d("2.3333333333333"), size).unwrap().rlusd, d("0.000006999999999"));
    assert_eq!(Quote::new(Side::Ask, 0, d("2.3333333333333"), size).unwrap().rlusd, d("0.000007"));
    let large = Quote::new(Side::Ask, 0, d("2.123456789"), Drops::new(98_765_432_109_876)).unwrap();
    assert_eq!(large.rlusd, d("209724127.3322348"), "16 digits, rounded up");
}

#[test]
fn the_level_that_funds_do_not_cover_is_cut_or_withheld() {
    let funds = Funds { spendable_xrp: xrp("104"), rlusd: d("300") };
    let desired = desired(&view("2.39", "2.41"), &funds, &QuoteConfig::default()).unwrap();
    let bid = desired.quote(Side::Bid, 1).unwrap();
    assert_eq!(bid.size, xrp("25.150300"), "300 - 239.76 = 60.24 RLUSD at 2.3952");
    assert_eq!(desired.quote(Side::Ask, 0).unwrap().size, xrp("100"));
    assert_eq!(desired.quote(Side::Ask, 1), None);
    let reason = WithheldReason::InsufficientFunds { affordable: xrp("4"), minimum: d("5") };
    assert_eq!(desired.withheld, [Withheld { side: Side::Ask, level: 1, reason, stays: None }]);
}

#[test]
fn without_funds_nothing_is_promised() {
    let funds = Funds { spendable_xrp: Drops::ZERO, rlusd: d("-3") };
    let desired = desired(&view("2.39", "2.41"), &funds, &QuoteConfig::default()).unwrap();
    assert_eq!((desired.quotes.len(), desired.withheld.len()), (0, 4));
}

#[test]
fn a_price_that_would_trade_is_withheld_not_moved() {
    // A negative offset is a mistake that `problems` reports; the gate must hold all the same.
    let config = QuoteConfig { bid_offset_bps: d("-100"), levels: 1, ..QuoteConfig::default() };
    let desired = desired(&view("2.39", "2.41"), &rich(), &config).unwrap();
    let reason = WithheldReason::WouldCross { price: d("2.424"), best: d("2.41") };
    assert_eq!(desired.withheld, [Withheld { side: Side::Bid, level: 0, reason, stays: None }]);
    assert!(crosses(Side::Bid, d("2"), d("2")) && crosses(Side::Ask, d("2"), d("2")));
}

#[test]
fn a_book_without_a_sane_middle_gives_no_quote() {
    let config = QuoteConfig::default();
    let quote = |view: &MarketView| desired(view, &rich(), &config);
    let mut empty = view("2.39", "2.41");
    empty.asks.clear();
    let error = quote(&empty).unwrap_err();
    assert_eq!(error, NoQuote::NoReferencePrice { ledger_index: 7, missing: "ask" });
    assert!(error.to_string().contains("has no ask"), "{error}");
    assert!(matches!(quote(&view("2.42", "2.41")), Err(NoQuote::CrossedBook { .. })));
    assert!(matches!(quote(&view("0", "2.41")), Err(NoQuote::AbsurdPrice { .. })));
    assert_eq!(quote(&view("2.4", "2.4")).unwrap().quotes.len(), 4, "a locked book is quoted");
}

#[test]
fn levels_stand_around_the_reference_where_one_is_given() {
    let config = QuoteConfig { levels: 1, ..QuoteConfig::default() };
    let around = |view: &MarketView, price: &str| {
        let conditions = Conditions { reference: Some(d(price)), ..Conditions::default() };
        desired_under(view, &rich(), &config, conditions)
    };
    let book = view("2.39", "2.41");
    let off = around(&book, "2.402").unwrap();
    assert_eq!(off.reference_price, d("2.402"), "limits and records go by the price that was quoted around");
    assert_eq!(off.quote(Side::Bid, 0).unwrap().price, d("2.399598"));
    assert_eq!(off.quote(Side::Ask, 0).unwrap().price, d("2.404402"));
    assert_eq!(
        around(&book, "2.4").unwrap(),
        desired(&book, &rich(), &config).unwrap(),
        "at the middle nothing changes"
    );
    let far = around(&book, "2.5").unwrap();
    assert!(matches!(far.withheld[0].reason, WithheldReason::WouldCross { .. }), "{:?}", far.withheld);
    let bare = MarketView { asks: vec![], ..book.clone() };
    assert_eq!(around(&bare, "2.4").unwrap().quotes.len(), 2, "a reference needs no middle");
    assert!(matches!(around(&view("2.42", "2.41"), "2.4"), Err(NoQuote::CrossedBook { .. })));
    assert!(matches!(around(&book, "0"), Err(NoQuote::AbsurdPrice { .. })));
}

#[test]
fn tiny_prices_and_legs_are_withheld() {
    let desired = desired(&view("0.0000001", "0.0000003"), &rich(), &QuoteConfig::default()).unwrap();
    let reason = |side| &desired.withheld.iter().find(|w| w.side == side && w.level == 0).unwrap().reason;
    assert_eq!(*reason(Side::Bid), WithheldReason::PriceTooSmall { price: Dec::zero() });
    let tiny = QuoteConfig { price_places: 15, size_xrp: d("5"), ..QuoteConfig::default() };
    let desired = super::desired(&view("0.0000001", "0.0000003"), &rich(), &tiny).unwrap();
    assert!(matches!(desired.withheld[0].reason, WithheldReason::LegTooSmall { .. }), "{:?}", desired.withheld);
}

#[test]
fn the_reserve_of_offers_to_come_is_put_aside() {
    let balances = Balances { xrp: xrp("103"), reserve: xrp("2"), rlusd: d("1") };
    let config = QuoteConfig::default();
    let spendable = |resting| Funds::of(&balances, xrp("0.2"), resting, &config).spendable_xrp;
    assert_eq!((spendable(0), spendable(3), spendable(9)), (xrp("100.2"), xrp("100.8"), xrp("101")));
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_eq!(QuoteConfig::default().problems(), []);
    let config = QuoteConfig {
        bid_offset_bps: d("-1"),
        ask_offset_bps: d("9995"),
        levels: 11,
        size_xrp: d("4.0000001"),
        size_tolerance_pct: d("100"),
        refresh_ledgers: 0,
        tolerance_bps: Dec::zero(),
        expiration_s: 5,
        price_places: 16,
        ..QuoteConfig::default()
    };
    let problems = config.problems();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    let expected = "bid_offset_bps levels ask_offset_bps size_xrp min_size_xrp size_tolerance_pct refresh_ledgers \
                    tolerance_bps expiration_s price_places";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert!(problems.iter().all(|p| !p.reason.is_empty() && !p.fix.is_empty() && !p.value.is_empty()));
    let meeting = QuoteConfig { bid_offset_bps: d("0"), ask_offset_bps: d("0"), ..QuoteConfig::default() };
    assert_eq!(meeting.problems().len(), 1);
}

#[test]
fn the_configuration_is_text_and_knows_its_keys() {
    let config: QuoteConfig = serde_json::from_str(r#"{"bid_offset_bps": "12.5", "levels": 3}"#).unwrap();
    assert_eq!((config.bid_offset_bps, config.levels, config.refresh_ledgers), (d("12.5"), 3, 4));
    assert!(serde_json::from_str::<QuoteConfig>(r#"{"bid_ofset_bps": "12.5"}"#).is_err());
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<QuoteConfig>(&text).unwrap(), config);
}

prop_compose! {
    fn any_market()(bid in 1_i64..10_000_000, spread in 0_i64..50_000, exponent in -9_i32..-3) -> MarketView {
        let level = |mantissa| BookLevel { price: Dec::from_parts(mantissa, exponent).unwrap(), size: Drops::new(1) };
        MarketView { ledger_index: 1, bids: vec![level(bid)], asks: vec![level(bid + spread)], ..MarketView::default() }
    }
}

prop_compose! {
    fn any_config()(bid in 0_i64..5_000, ask in 1_i64..5_000, step in 1_i64..400, levels in 1_u8..=10,
                    size in 5_000_000_i64..1_000_000_000_000, places in 0_i32..=15) -> QuoteConfig {
        let tenths = |n| Dec::from_parts(n, -1).unwrap();
        QuoteConfig {
            bid_offset_bps: tenths(bid), ask_offset_bps: tenths(ask), level_step_bps: tenths(step), levels,
            size_xrp: Drops::new(size).to_xrp().unwrap(), price_places: places, ..QuoteConfig::default()
        }
    }
}

prop_compose! {
    fn any_funds()(xrp in 0_i64..10_000_000_000_000, rlusd in 0_i64..i64::MAX, exponent in -15_i32..-8) -> Funds {
        Funds { spendable_xrp: Drops::new(xrp), rlusd: Dec::from_parts(rlusd, exponent).unwrap() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_quote_crosses_the_market_or_our_own(view in any_market(), funds in any_funds(), config in any_config()) {
        prop_assert_eq!(config.problems(), []);
        let desired = desired(&view, &funds, &config).unwrap();
        for quote in &desired.quotes {
            prop_assert!(!crosses(quote.side, quote.price, view.best(quote.side.opposite()).unwrap()));
            for other in desired.quotes.iter().filter(|other| other.side != quote.side) {
                prop_assert!(!crosses(quote.side, quote.price, other.price));
            }
        }
        prop_assert_eq!(desired.quotes.len() + desired.withheld.len(), usize::from(config.levels) * 2);
    }

    #[test]
    fn promises_never_exceed_the_funds(view in any_market(), funds in any_funds(), config in any_config()) {
        let desired = desired(&view, &funds, &config).unwrap();
        let (mut xrp, mut rlusd) = (Drops::ZERO, Dec::zero());
        for quote in &desired.quotes {
            match quote.side {
                Side::Bid => rlusd = rlusd.add(quote.rlusd).unwrap(),
                Side::Ask => xrp = xrp.add(quote.size).unwrap(),
            }
            prop_assert!(quote.size.to_xrp().unwrap() >= config.min_size_xrp);
            prop_assert!(quote.size.to_xrp().unwrap() <= config.size_xrp);
        }
        prop_assert!(xrp <= funds.spendable_xrp && rlusd <= funds.rlusd);
    }

    #[test]
    fn the_legs_never_give_a_worse_price(
        price in 1_i64..i64::MAX, exponent in -24_i32..-12, size in 1_i64..100_000_000_000_000,
    ) {
        let price = Dec::from_parts(price, exponent).unwrap().round_places(15, Rounding::Up).unwrap();
        let size = Drops::new(size);
        for side in Side::BOTH {
            let quote = Quote::new(side, 0, price, size).unwrap();
            // 19 digits times 14: the product is exact in 34.
            let exact = size.to_xrp().unwrap().mul(price, favourable(side)).unwrap();
            match side {
                Side::Bid => prop_assert!(quote.rlusd <= exact),
                Side::Ask => prop_assert!(quote.rlusd >= exact),
            }
            prop_assert_eq!(quote.rlusd.round_places(15, Rounding::Down).unwrap(), quote.rlusd);
            prop_assert!(quote.rlusd.to_ledger_parts().is_ok());
        }
    }
}
