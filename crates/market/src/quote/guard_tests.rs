use proptest::prelude::*;

use super::*;
use crate::plan::{Action, Resting, plan, withdrawals};
use crate::quote::{Conditions, Desired, Funds, WithheldReason, crosses, desired_under};
use crate::{AmmView, BookLevel, Drops, MarketView, Strategy};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn view(bid: Dec, ask: Dec) -> MarketView {
    let level = |price: Dec| BookLevel { price, size: Drops::new(1_000_000_000) };
    MarketView { ledger_index: 7, bids: vec![level(bid)], asks: vec![level(ask)], ..MarketView::default() }
}

fn quoted(view: &MarketView, reference: &str, guard: &str, config: &QuoteConfig) -> Desired {
    let funds = Funds { spendable_xrp: Drops::new(10_000_000_000), rlusd: d("25000") };
    let conditions = Conditions { reference: Some(d(reference)), guard_bps: d(guard), ..Conditions::default() };
    desired_under(view, &funds, config, conditions).unwrap()
}

fn price(desired: &Desired, side: Side, level: u8) -> Dec {
    desired.quote(side, level).unwrap().price
}

#[test]
fn the_margin_is_what_the_price_moves_in_flight_and_never_less_than_the_least() {
    let config = QuoteConfig::default();
    let guard = |sigma: &str, ledgers| guard_bps(Measured::Sigma(d(sigma)), ledgers, &config).unwrap();
    assert_eq!(guard("1.5", 1), d("9"), "three deviations of 1.5 bps over the 2 that is the root of 4 seconds");
    assert_eq!(guard("1.5", 4), d("18"));
    assert_eq!(guard("1.5", 0), d("9"), "none gets in before the next ledger");
    assert_eq!(guard("0", 4), d("5"), "a market that stands still");
    assert_eq!(guard_bps(Measured::TooFew(3), 4, &config).unwrap(), d("5"), "not measured yet");
    assert_eq!(guard("1000000", 50), d("5000"), "never half of the price or more");
    let off = QuoteConfig { taking_guard_bps: d("0"), taking_guard_deviations: d("0"), ..config };
    assert_eq!(guard_bps(Measured::Sigma(d("9")), 4, &off).unwrap(), d("0"));
}

#[test]
fn the_wildest_of_the_reference_and_the_best_prices_counts() {
    let mut moves = Moves::new(300);
    let mut reference = RollingVolatility::new(300);
    assert_eq!(moves.measured(&reference).unwrap(), Measured::TooFew(0));
    for at in 0..4_u32 {
        // The pool's price goes up and down beside a book that stands still.
        let mut market = view(d("2.39"), d("2.42"));
        let token = if at % 2 == 0 { d("2400") } else { d("2402.4") };
        market.amm = Some(AmmView { ledger_index: at, xrp: Drops::new(1_000_000_000), token, trading_fee: 0 });
        assert!(matches!(moves.measured(&reference).unwrap(), Measured::TooFew(_)), "{at} prices");
        moves.observe(at * 4, &market).unwrap();
        reference.observe(at * 4, d("2.405"));
    }
    let Measured::Sigma(sigma) = moves.measured(&reference).unwrap() else { panic!("three moves are enough") };
    assert!(sigma > d("4.9") && sigma < d("5.1"), "10 bps every 4 seconds: {sigma}");
    let mut wild = RollingVolatility::new(300);
    (0..12).for_each(|at| wild.observe(at * 4, d(if at % 2 == 0 { "2.4" } else { "2.45" })));
    assert!(matches!(moves.measured(&wild).unwrap(), Measured::Sigma(sigma) if sigma > d("50")));
}

#[test]
fn settings_out_of_range_are_told() {
    let keys = |config: QuoteConfig| config.problems().iter().map(|problem| problem.key).collect::<Vec<_>>();
    let config = QuoteConfig { taking_guard_bps: d("-1"), taking_guard_deviations: d("101"), ..QuoteConfig::default() };
    assert_eq!(keys(config), ["taking_guard_bps", "taking_guard_deviations"]);
    assert_eq!(keys(QuoteConfig { taking_guard_bps: d("1001"), ..QuoteConfig::default() }), ["taking_guard_bps"]);
}

#[test]
fn a_level_with_room_stands_at_its_distance_and_one_without_is_moved_with_its_ladder() {
    let config = QuoteConfig::default();
    let book = view(d("2.397"), d("2.4"));
    // Their own prices are 18 bps below the ask, and 14 above the bid.
    let roomy = quoted(&book, "2.398", "14", &config);
    assert_eq!((price(&roomy, Side::Bid, 0), roomy.moved.len()), (d("2.395602"), 0));
    let near = quoted(&book, "2.398", "30", &config);
    assert_eq!((price(&near, Side::Bid, 0), price(&near, Side::Bid, 1)), (d("2.3928"), d("2.3904")));
    assert_eq!(price(&near, Side::Ask, 0), d("2.404191"), "30 bps above the bid");
    let moved = near.moved(Side::Bid, 0).unwrap();
    assert_eq!((moved.own, moved.price, moved.best), (d("2.395602"), d("2.3928"), d("2.4")));
    assert!(moved.to_string().contains("taking_guard_bps"), "{moved}");
}

#[test]
fn the_pool_counts_where_it_is_nearer_and_an_empty_side_has_nothing_to_take() {
    let config = QuoteConfig { levels: 1, ..QuoteConfig::default() };
    let mut beside = view(d("2.38"), d("2.42"));
    let free = quoted(&beside, "2.4", "20", &config);
    assert_eq!((price(&free, Side::Bid, 0), price(&free, Side::Ask, 0)), (d("2.3976"), d("2.4024")));
    // It asks 2.4 without a fee, and pays as much.
    beside.amm = Some(AmmView { ledger_index: 7, xrp: Drops::new(1_000_000_000), token: d("2400"), trading_fee: 0 });
    let moved = quoted(&beside, "2.4", "20", &config);
    assert_eq!((price(&moved, Side::Bid, 0), price(&moved, Side::Ask, 0)), (d("2.3952"), d("2.4048")));
    let mut thin = view(d("2.3999"), d("2.42"));
    thin.asks.clear();
    let thin = quoted(&thin, "2.4", "500", &config);
    assert_eq!(price(&thin, Side::Bid, 0), d("2.3976"), "nobody sells");
    assert_eq!(price(&thin, Side::Ask, 0), d("2.519895"));
}

#[test]
fn what_a_moved_bid_may_promise_where_it_rests_already_is_not_promised_to_the_next() {
    // Level 0 of 100 XRP costs 239.5602 at its own price and 239.28 where it is moved to.
    let config = QuoteConfig { levels: 2, ..QuoteConfig::default() };
    let book = view(d("2.397"), d("2.4"));
    let funds = Funds { spendable_xrp: Drops::new(10_000_000_000), rlusd: d("300") };
    let conditions = Conditions { reference: Some(d("2.398")), guard_bps: d("30"), ..Conditions::default() };
    let desired = desired_under(&book, &funds, &config, conditions).unwrap();
    let (first, second) = (desired.quote(Side::Bid, 0).unwrap(), desired.quote(Side::Bid, 1).unwrap());
    assert_eq!((desired.moved(Side::Bid, 0).unwrap().own, first.price), (d("2.395602"), d("2.3928")));
    let at_own = first.size.to_xrp().unwrap().mul(d("2.395602"), crate::Rounding::Up).unwrap();
    assert!(at_own.add(second.rlusd).unwrap() <= funds.rlusd, "{at_own} rests, {} is placed", second.rlusd);
    // An ask sells the same XRP at any price.
    assert_eq!(desired.quote(Side::Ask, 1).unwrap().size, first.size);
}

#[test]
fn a_level_whose_own_price_would_cross_is_withheld_all_the_same() {
    let config = QuoteConfig { levels: 1, ..QuoteConfig::default() };
    let desired = quoted(&view(d("2.38"), d("2.39")), "2.4", "20", &config);
    assert!(matches!(desired.withheld[0].reason, WithheldReason::WouldCross { .. }), "{:?}", desired.withheld);
}

#[test]
fn a_moved_level_that_is_no_better_than_the_pool_is_withheld_where_that_is_asked_for() {
    let config = QuoteConfig { levels: 1, amm_min_edge_bps: Some(d("1")), ..QuoteConfig::default() };
    let mut beside = view(d("2.399"), d("2.4"));
    beside.amm = Some(AmmView { ledger_index: 7, xrp: Drops::new(1_000_000_000), token: d("2400"), trading_fee: 200 });
    // The pool pays 2.3952: a bid at 2.397 is better by 8 bps, one that is 30 bps below the ask is not.
    let free = quoted(&beside, "2.3995", "0", &config);
    assert_eq!(price(&free, Side::Bid, 0), d("2.3971"));
    let moved = quoted(&beside, "2.3995", "30", &config);
    assert!(matches!(moved.withheld[0].reason, WithheldReason::PoolGoesFirst { .. }), "{:?}", moved.withheld);
}

/// A pool that pays 2.3952, so that a bid is better by a basis point from 2.39543952 on, beside a market that moves.
fn beside_a_pool(guard: &str) -> (Desired, QuoteConfig) {
    let config = QuoteConfig { levels: 1, amm_min_edge_bps: Some(d("1")), ..QuoteConfig::default() };
    let mut beside = view(d("2.399"), d("2.4"));
    beside.amm = Some(AmmView { ledger_index: 7, xrp: Drops::new(1_000_000_000), token: d("2400"), trading_fee: 200 });
    (quoted(&beside, "2.3995", guard, &config), config)
}

#[test]
fn where_only_the_moved_price_fails_nothing_is_placed_and_what_rests_at_a_right_price_stays() {
    let (moved, config) = beside_a_pool("30");
    assert!(moved.quotes.is_empty() && moved.moved.is_empty(), "{moved:?}");
    let stays: Vec<_> = moved.withheld.iter().map(|withheld| withheld.stays.unwrap()).collect();
    // The pool asks 2.404809...: an ask is better up to a basis point below.
    assert_eq!((stays[0].own, stays[0].farthest), (d("2.3971"), d("2.39543952")));
    assert!(stays[1].own == d("2.4019") && stays[1].farthest < d("2.40457"), "{stays:?}");
    let bids = |resting: &[Resting]| {
        let actions = plan(Some(&moved), resting, &[(Side::Ask, 0)], 100, 1_000, &config);
        assert_eq!(withdrawals(Some(&moved), resting, &[(Side::Ask, 0)], 100, 1_000, &config), actions);
        actions
    };
    let gone = |offer_sequence| vec![Action::Cancel { offer_sequence, side: Side::Bid, level: 0 }];
    assert_eq!(bids(&[]), [], "nothing new");
    // Its own price is 2.3971. A tolerance is 3 bps, as everywhere.
    for right in ["2.3978", "2.3971", "2.396", "2.3955", "2.3948"] {
        assert_eq!(bids(&[rest(right, Side::Bid, 120)]), [], "{right}");
    }
    assert_eq!(bids(&[rest("2.398", Side::Bid, 120)]), gone(5), "above its own price");
    assert_eq!(bids(&[rest("2.3945", Side::Bid, 120)]), gone(5), "the pool goes first");
    assert_eq!(bids(&[rest("2.3971", Side::Bid, 10)]), [], "it cannot be renewed: its Expiration withdraws it");
    let newer = Resting { offer_sequence: 6, ..rest("2.3971", Side::Bid, 120) };
    assert_eq!(bids(&[rest("2.3971", Side::Bid, 120), newer]), gone(5), "one of a level");
}

#[test]
fn where_the_own_price_fails_as_well_nothing_stays() {
    let (_, config) = beside_a_pool("30");
    let mut beside = view(d("2.399"), d("2.4"));
    beside.amm = Some(AmmView { ledger_index: 7, xrp: Drops::new(1_000_000_000), token: d("2400"), trading_fee: 100 });
    let far = quoted(&beside, "2.398", "30", &config);
    let bid = far.withheld.iter().find(|withheld| withheld.side == Side::Bid).unwrap();
    assert_eq!(bid.stays, None, "2.395602 is no better than the pool's 2.3976");
    let actions = plan(Some(&far), &[rest("2.3956", Side::Bid, 120)], &[(Side::Ask, 0)], 100, 1_000, &config);
    assert_eq!(actions.len(), 1, "{actions:?}");
}

fn rest(price: &str, side: Side, expires_in_s: u32) -> Resting {
    let remaining = Drops::new(100_000_000);
    let expires_at_s = Some(1_000 + expires_in_s);
    Resting { side, level: 0, offer_sequence: 5, price: d(price), remaining, placed_ledger: 90, expires_at_s }
}

#[test]
fn what_rests_between_its_own_price_and_the_margin_is_not_chased_away() {
    let config = QuoteConfig { levels: 1, ..QuoteConfig::default() };
    let near = quoted(&view(d("2.397"), d("2.4")), "2.398", "30", &config);
    let (own, kept) = (near.moved[0].own, near.quotes[0]);
    assert_eq!((own, kept.price), (d("2.395602"), d("2.3928")));
    let bid = |price: &str, expires_in_s| {
        let resting = rest(price, Side::Bid, expires_in_s);
        let actions = plan(Some(&near), &[resting], &[(Side::Ask, 0)], 100, 1_000, &config);
        assert!(actions.len() < 2, "{actions:?}");
        let gone = withdrawals(Some(&near), &[resting], &[(Side::Ask, 0)], 100, 1_000, &config);
        (actions.first().copied(), gone.len())
    };
    for right in ["2.395602", "2.394", "2.3928", "2.3922", "2.3963"] {
        assert_eq!(bid(right, 120), (None, 0), "{right}: within the tolerance of 3 bps");
    }
    let replaced = Some(Action::Replace { offer_sequence: 5, quote: kept });
    assert_eq!(bid("2.3965", 120), (replaced, 1), "above its own price");
    assert_eq!(bid("2.3918", 120), (replaced, 1), "below the margin by more than the tolerance");
    assert_eq!(bid("2.395602", 10), (replaced, 0), "a renewal is a new offer");
}

proptest! {
    /// Whatever the book, the pool, the strategy's distances and the margin: every new offer keeps it, none stands nearer
    /// to the reference than its own distance, and no two of a side meet.
    #[test]
    fn every_new_offer_keeps_its_margin_and_its_distance(
        bid in 10_000_i64..50_000, spread in 0_i64..500, at in 0_i64..=100, pool in proptest::option::of((9_000_i64..60_000, 0_u16..=1_000)),
        offsets in (0_i64..200, 1_i64..200), levels in 1_u8..5, step in 1_i64..50, guard in 0_i64..2_000, model in any::<bool>(),
    ) {
        let ask = bid + spread;
        let mut market = view(Dec::from_parts(bid, -4).unwrap(), Dec::from_parts(ask, -4).unwrap());
        market.amm = pool.map(|(price, fee)| {
            let token = Dec::from_parts(price, -1).unwrap();
            AmmView { ledger_index: 7, xrp: Drops::new(1_000_000_000), token, trading_fee: fee }
        });
        let reference = Dec::from_parts(bid * 100 + spread * at, -6).unwrap();
        let config = QuoteConfig {
            bid_offset_bps: Dec::from_i64(offsets.0), ask_offset_bps: Dec::from_i64(offsets.1), levels,
            level_step_bps: Dec::from_i64(step), size_xrp: d("10"),
            strategy: if model { Strategy::Glft } else { Strategy::Fixed }, ..QuoteConfig::default()
        };
        let margin = Dec::from_parts(guard, -1).unwrap();
        let kept = quoted(&market, &reference.to_string(), &margin.to_string(), &config);
        let free = quoted(&market, &reference.to_string(), "0", &config);
        prop_assert_eq!(kept.quotes.len(), free.quotes.len());
        prop_assert!(free.moved.is_empty());
        for (new, own) in kept.quotes.iter().zip(&free.quotes) {
            if let Some(best) = market.nearest(new.side.opposite()).unwrap() {
                let edge = kept_from(new.side, best, margin).unwrap();
                prop_assert!(!is_nearer(new.side, new.price, edge), "{new:?} beside {best}");
                prop_assert!(!crosses(new.side, new.price, best));
            }
            prop_assert!(!is_nearer(new.side, new.price, own.price), "{new:?} nearer than {own:?}");
            prop_assert_eq!(kept.moved(new.side, new.level).map_or(new.price, |moved| moved.own), own.price);
        }
        for side in Side::BOTH {
            let prices: Vec<Dec> = kept.quotes.iter().filter(|quote| quote.side == side).map(|quote| quote.price).collect();
            prop_assert!(prices.windows(2).all(|pair| is_nearer(side, pair[0], pair[1])), "{prices:?}");
        }
    }
}
