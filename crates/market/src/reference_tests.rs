use proptest::prelude::*;

use super::*;
use crate::{AmmView, BookLevel, Drops, LastTrade};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn level(price: &str, xrp: &str) -> BookLevel {
    BookLevel { price: d(price), size: Drops::from_xrp(d(xrp), Rounding::Down).unwrap() }
}

/// Middle 2.4, and ten times as much to buy as to sell.
fn market() -> MarketView {
    MarketView {
        ledger_index: 100,
        bids: vec![level("2.39", "1000"), level("2.38", "1000")],
        asks: vec![level("2.41", "100"), level("2.42", "1900")],
        amm: Some(pool(99, "1000", "2404", 500)),
        last_trade: Some(LastTrade { price: d("2.408"), ledger_index: 90 }),
    }
}

fn pool(ledger_index: u32, xrp: &str, token: &str, trading_fee: u16) -> AmmView {
    AmmView { ledger_index, xrp: level("1", xrp).size, token: d(token), trading_fee }
}

fn outside(price: &str, age_s: u64) -> Outside {
    Outside { reading: Some(OutsideReading { price: d(price), age_s }), problem: None }
}

fn of(source: PriceSource) -> ReferenceConfig {
    ReferenceConfig { source, ..ReferenceConfig::default() }
}

fn blend(book: i64, amm: i64, trades: i64, outside: i64) -> ReferenceConfig {
    let [book_weight, amm_weight, trades_weight, outside_weight] = [book, amm, trades, outside].map(Dec::from_i64);
    ReferenceConfig { book_weight, amm_weight, trades_weight, outside_weight, ..of(PriceSource::Blend) }
}

fn told(reference: &Reference) -> Vec<(Source, String, Age, String)> {
    reference.readings.iter().map(|r| (r.source, r.price.to_string(), r.age, r.weight.to_string())).collect()
}

#[test]
fn the_middle_is_the_reference_unless_told_otherwise_and_the_others_are_looked_at() {
    let made = reference(&market(), &outside("2.4", 7), &ReferenceConfig::default()).unwrap();
    assert_eq!((made.price, made.source), (d("2.4"), "book_mid"));
    let expected = [
        (Source::BookMid, "2.4", Age::Ledgers(0), "1"),
        (Source::Amm, "2.404", Age::Ledgers(1), "0"),
        (Source::LastTrade, "2.408", Age::Ledgers(10), "0"),
        (Source::Outside, "2.4", Age::Seconds(7), "0"),
    ];
    assert_eq!(told(&made), expected.map(|(s, p, a, w)| (s, p.to_string(), a, w.to_string())));
}

#[test]
fn the_microprice_leans_to_the_side_with_less() {
    let made = reference(&market(), &Outside::default(), &of(PriceSource::Microprice)).unwrap();
    // (2.39 * 100 + 2.41 * 1000) / 1100
    assert_eq!((made.price, made.source), (d("2.408181818181818"), "microprice"));
    assert_eq!((made.readings[0].source, made.readings[0].weight), (Source::Microprice, Dec::one()));
    let even = MarketView { bids: vec![level("2.39", "5")], asks: vec![level("2.41", "5")], ..market() };
    assert_eq!(book::microprice(&even).unwrap(), Some(d("2.4")));
}

#[test]
fn the_depth_weighted_price_is_the_middle_of_two_average_prices() {
    // 1,000 XRP: all at 2.39; 100 at 2.41 and 900 at 2.42, on average 2.419.
    let made = reference(&market(), &Outside::default(), &of(PriceSource::DepthWeighted)).unwrap();
    assert_eq!((made.price, made.source), (d("2.4045"), "depth_weighted"));
    let deep = |depth: &str| book::depth_weighted(&market(), d(depth)).unwrap().unwrap();
    assert_eq!(deep("100"), d("2.4"), "the best levels alone");
    // The thinner side has 2,000 on both: 2.385 and 2.4195.
    assert_eq!((deep("2000"), deep("99999")), (d("2.40225"), d("2.40225")));
    let mut hollow = market();
    hollow.bids = vec![level("2.39", "1"), level("0.01", "999")];
    assert_eq!(book::depth_weighted(&hollow, d("1000")).unwrap(), Some(d("2.39")), "never beyond the best price");
}

#[test]
fn a_blend_counts_each_source_by_its_weight_and_the_last_takes_the_rest() {
    let made = reference(&market(), &outside("2.402", 3), &blend(1, 1, 0, 1)).unwrap();
    let weights: Vec<_> = made.readings.iter().map(|r| (r.source, r.weight.to_string())).collect();
    let expected = [
        (Source::BookMid, "0.333333"),
        (Source::Amm, "0.333333"),
        (Source::Outside, "0.333334"),
        (Source::LastTrade, "0"),
    ];
    assert_eq!(weights, expected.map(|(source, weight)| (source, weight.to_string())));
    // 2.4 / 3 + 2.404 / 3 + 2.402 / 3, the millionth counted.
    assert_eq!((made.price, made.source), (d("2.402"), "blend"));
    let config = ReferenceConfig { book_price: BookPrice::Microprice, ..blend(3, 1, 0, 0) };
    let made = reference(&market(), &Outside::default(), &config).unwrap();
    assert_eq!(made.readings[0].source, Source::Microprice);
    assert_eq!(made.readings[0].weight, d("0.75"));
}

#[test]
fn rounding_carries_no_blend_beyond_its_sources() {
    let view = MarketView {
        bids: vec![level("2.400000000000001", "1")],
        asks: vec![level("2.400000000000002", "1")],
        ..market()
    };
    // Sixteen digits would be 2.400000000000002.
    assert_eq!(reference(&view, &Outside::default(), &blend(1, 0, 0, 0)).unwrap().price, d("2.4000000000000015"));
}

#[test]
fn what_is_too_old_leaves_its_weight_to_the_others() {
    let mut view = market();
    view.amm = Some(pool(96, "1000", "2404", 500));
    view.last_trade = Some(LastTrade { price: d("2.408"), ledger_index: 49 });
    let made = reference(&view, &outside("2.402", 31), &blend(1, 1, 1, 1)).unwrap();
    assert_eq!(made.price, d("2.4"));
    assert_eq!(made.readings[0].weight, Dec::one());
    let ages: Vec<_> = made.readings.iter().map(|r| r.age).collect();
    assert_eq!(ages, [Age::Ledgers(0), Age::Ledgers(4), Age::Ledgers(51), Age::Seconds(31)]);
    assert!(made.readings[1..].iter().all(|r| r.weight.is_zero()));
    assert_eq!(reference(&view, &outside("2.402", 31), &blend(0, 1, 1, 1)), Err(NoReference::NoSource));
    // At the limits they count.
    view.amm = Some(pool(97, "1000", "2404", 500));
    view.last_trade = Some(LastTrade { price: d("2.408"), ledger_index: 50 });
    let made = reference(&view, &outside("2.402", 30), &blend(1, 1, 1, 1)).unwrap();
    assert!(made.readings.iter().all(|r| r.weight == d("0.25")));
}

#[test]
fn a_book_that_is_crossed_absurd_or_empty_on_a_side_gives_none_whatever_the_others_say() {
    for config in [of(PriceSource::Mid), of(PriceSource::Microprice), blend(0, 1, 1, 1)] {
        let none = |view: &MarketView| reference(view, &outside("2.4", 0), &config).unwrap_err();
        let empty = none(&MarketView { asks: vec![], ..market() });
        assert_eq!(empty, NoReference::Book(NoQuote::NoReferencePrice { ledger_index: 100, missing: "ask" }));
        let crossed = none(&MarketView { bids: vec![level("2.42", "1")], ..market() });
        assert!(matches!(crossed, NoReference::Book(NoQuote::CrossedBook { .. })), "{crossed:?}");
        let absurd = none(&MarketView { bids: vec![level("0", "1")], ..market() });
        assert!(matches!(absurd, NoReference::Book(NoQuote::AbsurdPrice { .. })), "{absurd:?}");
    }
}

#[test]
fn an_outside_price_far_from_the_book_stops_quoting_whatever_it_counts() {
    for config in [of(PriceSource::Mid), blend(1, 0, 0, 0), blend(1, 0, 0, 1)] {
        assert!(reference(&market(), &outside("2.424", 0), &config).is_ok(), "100 bps are allowed");
        let far = reference(&market(), &outside("2.4241", 0), &config).unwrap_err();
        let NoReference::OutsideTooFar { apart, .. } = &far else { panic!("{far:?}") };
        assert_eq!(apart.bps, d("100.42"));
        assert!(far.to_string().contains("outside_max_deviation_bps"), "{far}");
        assert!(reference(&market(), &outside("2.3759", 0), &config).is_err(), "below as above");
        assert!(reference(&market(), &outside("9", 31), &config).is_ok(), "what is too old contradicts nobody");
    }
}

#[test]
fn an_outside_price_that_is_demanded_must_be_there_and_new() {
    let config = ReferenceConfig { outside_required: true, ..ReferenceConfig::default() };
    let why = |outside: &Outside| reference(&market(), outside, &config).unwrap_err();
    let absent = why(&Outside { reading: None, problem: Some("no such file".into()) });
    assert_eq!(absent, NoReference::OutsideMissing { why: "no such file".into() });
    assert!(absent.to_string().contains("no such file"));
    let old = why(&outside("2.4", 31));
    assert!(matches!(old, NoReference::OutsideTooOld { age_s: 31, max_s: 30, .. }), "{old:?}");
    assert!(matches!(why(&outside("0", 1)), NoReference::OutsideMissing { .. }), "no price is zero");
    assert!(reference(&market(), &outside("2.4", 30), &config).is_ok());
    let lenient = ReferenceConfig::default();
    assert!(reference(&market(), &Outside::default(), &lenient).is_ok());
    assert!(reference(&market(), &outside("-1", 0), &lenient).is_ok(), "an absurd price is none");
}

#[test]
fn sources_that_contradict_each_other_make_no_price_and_the_pools_band_is_no_contradiction() {
    let mut view = market();
    // Marginal 2.5, 416 bps from the middle, but with a fee of 1 % it buys XRP at 2.475.
    view.amm = Some(pool(100, "1000", "2500", 1000));
    let config = ReferenceConfig { max_disagreement_bps: d("313"), ..blend(1, 1, 0, 0) };
    assert!(reference(&view, &Outside::default(), &config).is_ok());
    let config = ReferenceConfig { max_disagreement_bps: d("312"), ..config };
    let apart = reference(&view, &Outside::default(), &config).unwrap_err();
    let NoReference::Disagreement { one, other, apart: gap } = &apart else { panic!("{apart:?}") };
    assert_eq!((one.0, other.0, gap.bps), (Source::BookMid, Source::Amm, d("312.5")));
    // A source without weight contradicts nobody.
    assert!(reference(&view, &Outside::default(), &ReferenceConfig { amm_weight: Dec::zero(), ..config }).is_ok());
}

#[test]
fn a_reading_is_written_as_one_flat_object() {
    let reading = |source, age| Reading { source, price: d("2.4"), age, weight: d("0.5") };
    for (reading, text) in [
        (reading(Source::Amm, Age::Ledgers(3)), r#"{"source":"amm","price":"2.4","age_ledgers":3,"weight":"0.5"}"#),
        (reading(Source::Outside, Age::Seconds(9)), r#"{"source":"outside","price":"2.4","age_s":9,"weight":"0.5"}"#),
    ] {
        assert_eq!(serde_json::to_string(&reading).unwrap(), text);
        assert_eq!(serde_json::from_str::<Reading>(text).unwrap(), reading);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_eq!(ReferenceConfig::default().problems(), []);
    let config = ReferenceConfig {
        depth_xrp: Dec::zero(),
        amm_weight: d("-1"),
        max_disagreement_bps: Dec::zero(),
        outside_weight: Dec::one(),
        outside_required: true,
        outside_max_age_s: 0,
        outside: OutsideConfig { price: "price".into(), poll_ms: 1, ..OutsideConfig::default() },
        ..of(PriceSource::Blend)
    };
    let keys: Vec<_> = config.problems().iter().map(|problem| problem.key).collect();
    let expected = "depth_xrp amm_weight max_disagreement_bps outside_weight outside_required outside_max_age_s \
                    outside.price outside.poll_ms";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    let nothing = blend(0, 0, 0, 0).problems();
    assert_eq!((nothing.len(), nothing[0].key), (1, "book_weight"));
}

#[test]
fn only_plain_addresses_of_this_machine_are_taken() {
    let at = |url: &str| OutsideConfig { url: Some(url.to_string()), ..OutsideConfig::default() };
    let split = |url: &str| at(url).address().map(|a| (a.websocket, a.host.to_string(), a.port, a.path.to_string()));
    assert_eq!(split("http://127.0.0.1:8080/a?b=c"), Some((false, "127.0.0.1".into(), 8080, "/a?b=c".into())));
    assert_eq!(split("ws://localhost:9"), Some((true, "localhost".into(), 9, "/".into())));
    assert_eq!(split("http://[::1]:80/"), Some((false, "::1".into(), 80, "/".into())));
    assert_eq!(split("http://127.0.0.1/p"), Some((false, "127.0.0.1".into(), 80, "/p".into())));
    for url in [
        "https://127.0.0.1/",
        "http://example.org/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:x/",
        "file",
        "",
        "http://127.0.0.1.example.org/",
        "http://127.0.0.1@example.org/",
        "http://127.0.0.1/a b",
        "http://",
        "ws:///",
    ] {
        assert_eq!(split(url), None, "{url}");
        let config = ReferenceConfig { outside: at(url), ..ReferenceConfig::default() };
        assert_eq!(config.problems().len(), 1, "{url}");
    }
}

prop_compose! {
    fn any_side(best: i64, step: i64)(
        steps in prop::collection::vec((0_i64..50, 1_i64..10_000_000_000), 1..6)
    ) -> Vec<BookLevel> {
        let mut price = best;
        steps.into_iter().map(|(away, size)| {
            price = (price + step * away).max(1);
            BookLevel { price: Dec::from_parts(price, -4).unwrap(), size: Drops::new(size) }
        }).collect()
    }
}

prop_compose! {
    fn any_market()(bid in 10_000_i64..40_000, spread in 0_i64..400)(
        bids in any_side(bid, -1), asks in any_side(bid + spread, 1),
        amm in prop::option::of((90_u32..=100, 1_000_000_i64..1_000_000_000_000, 1_i64..1_000_000_000, 0_u16..=1000)),
        trade in prop::option::of((40_u32..=100, 10_000_i64..40_000)),
    ) -> MarketView {
        MarketView {
            ledger_index: 100,
            bids,
            asks,
            amm: amm.map(|(ledger_index, xrp, token, trading_fee)| AmmView {
                ledger_index, xrp: Drops::new(xrp), token: Dec::from_parts(token, -3).unwrap(), trading_fee,
            }),
            last_trade: trade.map(|(ledger_index, price)| LastTrade { price: Dec::from_parts(price, -4).unwrap(), ledger_index }),
        }
    }
}

prop_compose! {
    fn any_config()(
        kind in 0..6, weights in prop::array::uniform4(0_i64..1_000), depth in 1_i64..100_000,
    ) -> ReferenceConfig {
        let [book, amm, trades, outside] = weights;
        let blended = |book_price| ReferenceConfig {
            book_price, max_disagreement_bps: d("1e12"), outside_max_deviation_bps: d("1e12"),
            ..blend(book, amm, trades, outside)
        };
        let config = match kind {
            0 => of(PriceSource::Mid),
            1 => of(PriceSource::Microprice),
            2 => of(PriceSource::DepthWeighted),
            3 => blended(BookPrice::Mid),
            4 => blended(BookPrice::Microprice),
            _ => blended(BookPrice::DepthWeighted),
        };
        ReferenceConfig { depth_xrp: Dec::from_i64(depth), outside_max_deviation_bps: d("1e12"), ..config }
    }
}

fn any_outside() -> impl Strategy<Value = Outside> {
    prop::option::of((10_000_i64..40_000, 0_u64..60)).prop_map(|reading| Outside {
        reading: reading.map(|(price, age_s)| OutsideReading { price: Dec::from_parts(price, -4).unwrap(), age_s }),
        problem: None,
    })
}

proptest! {
    #[test]
    fn the_price_lies_between_the_sources_that_count_and_their_weights_are_one(
        view in any_market(), outside in any_outside(), config in any_config(),
    ) {
        let made = match reference(&view, &outside, &config) {
            Ok(made) => made,
            Err(NoReference::NoSource) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        let counted = || made.readings.iter().filter(|reading| reading.weight.is_positive());
        let sum = made.readings.iter().fold(Dec::zero(), |sum, reading| sum.add(reading.weight).unwrap());
        prop_assert_eq!(sum, Dec::one());
        let lowest = counted().map(|reading| reading.price).min().unwrap();
        let highest = counted().map(|reading| reading.price).max().unwrap();
        prop_assert!(lowest <= made.price && made.price <= highest, "{:?}", made);
        prop_assert!(made.readings.iter().all(|reading| !reading.weight.is_negative()));
        // What the book says lies between its best prices.
        let book = made.readings.iter().find(|reading| reading.source != Source::Amm).unwrap();
        if config.source != PriceSource::Blend {
            let (bid, ask) = (view.best(Side::Bid).unwrap(), view.best(Side::Ask).unwrap());
            prop_assert!(bid <= book.price && book.price <= ask);
        }
    }

    /// A currency of ten times less worth: every price is ten times as high and no weight changes. Weights in another
    /// unit: nothing changes.
    #[test]
    fn prices_scale_and_weights_are_proportions(
        view in any_market(), outside in any_outside(), config in any_config(), factor in 2_i64..50,
    ) {
        let Ok(made) = reference(&view, &outside, &config) else { return Ok(()) };
        let up = |price: Dec| price.mul(Dec::from_i64(10), Rounding::HalfEven).unwrap();
        let mut dear = view.clone();
        dear.bids.iter_mut().chain(dear.asks.iter_mut()).for_each(|level| level.price = up(level.price));
        dear.amm.iter_mut().for_each(|amm| amm.token = up(amm.token));
        dear.last_trade.iter_mut().for_each(|trade| trade.price = up(trade.price));
        let mut far = outside.clone();
        far.reading.iter_mut().for_each(|reading| reading.price = up(reading.price));
        let scaled = reference(&dear, &far, &config).unwrap();
        prop_assert_eq!(scaled.price, up(made.price));
        let weights = |reference: &Reference| reference.readings.iter().map(|r| r.weight).collect::<Vec<_>>();
        prop_assert_eq!(weights(&scaled), weights(&made));
        let times = |weight: Dec| weight.mul(Dec::from_i64(factor), Rounding::HalfEven).unwrap();
        let heavy = ReferenceConfig {
            book_weight: times(config.book_weight), amm_weight: times(config.amm_weight),
            trades_weight: times(config.trades_weight), outside_weight: times(config.outside_weight), ..config
        };
        prop_assert_eq!(reference(&view, &outside, &heavy).unwrap(), made);
    }
}

/// A view without asks, or without any book, with a pool of 2,000 XRP at 2.4 and half a per cent.
fn poolside(bids: Vec<BookLevel>) -> MarketView {
    MarketView { bids, asks: Vec::new(), amm: Some(pool(99, "2000", "4800", 500)), last_trade: None, ..market() }
}

fn alone() -> ReferenceConfig {
    ReferenceConfig { amm_alone: true, ..blend(1, 1, 1, 1) }
}

#[test]
fn a_pool_stands_alone_where_the_operator_says_so_and_nowhere_else() {
    for bids in [Vec::new(), vec![level("2.39", "100")]] {
        let view = poolside(bids);
        let made = reference(&view, &Outside::default(), &alone()).unwrap();
        assert_eq!((made.price, made.source), (d("2.4"), "blend"));
        assert_eq!(told(&made), [(Source::Amm, "2.4".to_string(), Age::Ledgers(1), "1".to_string())]);
        for config in
            [blend(1, 1, 1, 1), of(PriceSource::Mid), ReferenceConfig { amm_alone: true, ..blend(1, 0, 1, 1) }]
        {
            let refused = reference(&view, &outside("2.4", 1), &config).unwrap_err();
            assert!(matches!(refused, NoReference::Book(NoQuote::NoReferencePrice { .. })), "{refused}");
        }
    }
    // The others count beside it, in proportion.
    let with =
        MarketView { last_trade: Some(LastTrade { price: d("2.41"), ledger_index: 99 }), ..poolside(Vec::new()) };
    assert_eq!(reference(&with, &Outside::default(), &alone()).unwrap().price, d("2.405"));
    // A whole book is asked as ever.
    assert_eq!(told(&reference(&market(), &Outside::default(), &alone()).unwrap())[0].0, Source::BookMid);
}

#[test]
fn a_pool_alone_must_be_new_and_deep_and_contradict_nobody() {
    let refused = |view: &MarketView, outside: &Outside| reference(view, outside, &alone()).unwrap_err().kind();
    let none = Outside::default();
    let with = |amm| MarketView { amm, ..poolside(Vec::new()) };
    let no_book = NoQuote::NoReferencePrice { ledger_index: 1, missing: "bid" }.kind();
    assert_eq!(refused(&with(None), &none), no_book);
    assert_eq!(refused(&with(Some(pool(96, "2000", "4800", 500))), &none), no_book, "four ledgers old");
    assert_eq!(refused(&with(Some(pool(99, "999", "2397.6", 500))), &none), no_book, "less than depth_xrp");
    assert_eq!(refused(&poolside(Vec::new()), &outside("2.43", 1)), "outside_price_too_far");
    let traded =
        MarketView { last_trade: Some(LastTrade { price: d("2.5"), ledger_index: 99 }), ..poolside(Vec::new()) };
    assert_eq!(refused(&traded, &none), "sources_disagree");
    // A bid two per cent above what the pool asks.
    assert_eq!(refused(&poolside(vec![level("2.47", "100")]), &none), "sources_disagree");
    let crossed = MarketView { bids: vec![level("2.42", "1")], asks: vec![level("2.41", "1")], ..poolside(Vec::new()) };
    assert!(matches!(reference(&crossed, &none, &alone()), Err(NoReference::Book(NoQuote::CrossedBook { .. }))));
}

#[test]
fn a_pool_that_counts_nothing_cannot_be_set_to_stand_alone() {
    assert!(alone().problems().iter().all(|problem| problem.key != "amm_alone"));
    for config in [
        ReferenceConfig { amm_alone: true, ..blend(1, 0, 0, 0) },
        ReferenceConfig { amm_alone: true, ..of(PriceSource::Mid) },
    ] {
        assert!(config.problems().iter().any(|problem| problem.key == "amm_alone"));
    }
}
