use proptest::prelude::*;

use super::*;
use crate::quote::{Funds, desired};
use crate::{BookLevel, MarketView};

const LEDGER: u32 = 100;
const NOW_S: u32 = 1_000_000;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn quote(side: Side, level: u8, price: &str) -> Quote {
    Quote::new(side, level, d(price), Drops::new(100_000_000)).unwrap()
}

fn wanted(quotes: &[Quote]) -> Desired {
    Desired { reference_price: d("2.4"), quotes: quotes.to_vec(), withheld: vec![], moved: vec![] }
}

fn rest(quote: &Quote, offer_sequence: u32) -> Resting {
    let Quote { side, level, price, size, .. } = *quote;
    let expires_at_s = Some(NOW_S + 120);
    Resting { side, level, offer_sequence, price, remaining: size, placed_ledger: LEDGER, expires_at_s }
}

/// Plans one bid at 2.4 over one resting offer, at the ledger that is `age` ledgers after its placement.
fn plan_one(resting: Resting, age: u32) -> Vec<Action> {
    let wanted = wanted(&[quote(Side::Bid, 0, "2.4")]);
    plan(Some(&wanted), &[resting], &[], LEDGER + age, NOW_S, &QuoteConfig::default())
}

fn resting_at(price: &str) -> Resting {
    rest(&quote(Side::Bid, 0, price), 5)
}

#[test]
fn empty_levels_are_placed_bid_before_ask() {
    let quotes = [quote(Side::Ask, 0, "2.5"), quote(Side::Bid, 1, "2.3"), quote(Side::Bid, 0, "2.4")];
    let actions = plan(Some(&wanted(&quotes)), &[], &[], LEDGER, NOW_S, &QuoteConfig::default());
    let slots: Vec<_> = actions.iter().map(Action::slot).collect();
    assert_eq!(slots, [(Side::Bid, 0), (Side::Ask, 0), (Side::Bid, 1)]);
    assert!(actions.iter().all(|action| matches!(action, Action::Place(_))));
}

#[test]
fn a_small_change_waits_for_the_refresh() {
    let replace = vec![Action::Replace { offer_sequence: 5, quote: quote(Side::Bid, 0, "2.4") }];
    // 4 bps off: above the tolerance of 3, below the 15 at which it is stale.
    assert_eq!(plan_one(resting_at("2.40096"), 3), []);
    assert_eq!(plan_one(resting_at("2.40096"), 4), replace);
    // Within the tolerance it may stay for ever.
    assert_eq!(plan_one(resting_at("2.40072"), 1_000), []);
}

/// What may be done about one resting bid where 2.4 is wanted and nothing may be placed.
fn withdraw_one(resting: Resting, age: u32) -> Vec<Action> {
    let wanted = wanted(&[quote(Side::Bid, 0, "2.4"), quote(Side::Ask, 0, "2.5")]);
    withdrawals(Some(&wanted), &[resting], &[], LEDGER + age, NOW_S, &QuoteConfig::default())
}

#[test]
fn while_nothing_may_be_placed_what_should_not_stand_goes_and_the_rest_stays() {
    let cancel = vec![Action::Cancel { offer_sequence: 5, side: Side::Bid, level: 0 }];
    assert_eq!(withdraw_one(resting_at("2.4"), 0), [], "and no ask is placed");
    assert_eq!(withdraw_one(resting_at("2.42"), 0), cancel, "stale");
    assert_eq!(withdraw_one(resting_at("2.40096"), 3), []);
    assert_eq!(withdraw_one(resting_at("2.40096"), 4), cancel, "due to be corrected");
    let old = Resting { expires_at_s: Some(NOW_S + 1), ..resting_at("2.4") };
    assert_eq!(withdraw_one(old, 0), [], "its Expiration withdraws it");
    let small = Resting { remaining: Drops::new(1), ..resting_at("2.4") };
    assert_eq!(withdraw_one(small, 9), [], "less than wanted, at the right price");
    let all = withdrawals(None, &[resting_at("2.4")], &[], LEDGER, NOW_S, &QuoteConfig::default());
    assert_eq!(all, cancel, "nothing is wanted any more");
    let busy = withdrawals(None, &[resting_at("2.4")], &[(Side::Bid, 0)], LEDGER, NOW_S, &QuoteConfig::default());
    assert_eq!(busy, []);
}

#[test]
fn a_stale_price_is_replaced_at_once() {
    let replace = vec![Action::Replace { offer_sequence: 5, quote: quote(Side::Bid, 0, "2.4") }];
    assert_eq!(plan_one(resting_at("2.4036"), 0), [], "exactly five tolerances");
    assert_eq!(plan_one(resting_at("2.4037"), 0), replace);
    assert_eq!(plan_one(resting_at("2.3963"), 0), replace);
}

#[test]
fn a_part_filled_offer_is_topped_up_at_the_refresh() {
    let filled = |remaining| Resting { remaining: Drops::new(remaining), ..resting_at("2.4") };
    assert_eq!(plan_one(filled(90_000_000), 9), [], "exactly the tolerance");
    assert_eq!(plan_one(filled(89_999_999), 3), []);
    assert_eq!(plan_one(filled(89_999_999), 4).len(), 1);
}

#[test]
fn an_offer_is_renewed_in_the_last_third_of_its_life() {
    let expiring = |left_s| Resting { expires_at_s: Some(NOW_S + left_s), ..resting_at("2.4") };
    assert_eq!(plan_one(expiring(40), 0), []);
    assert_eq!(plan_one(expiring(39), 0).len(), 1);
    assert_eq!(plan_one(Resting { expires_at_s: Some(NOW_S - 7), ..resting_at("2.4") }, 0).len(), 1, "expired");
    assert_eq!(plan_one(Resting { expires_at_s: None, ..resting_at("2.4") }, 0), []);
}

#[test]
fn what_is_not_desired_is_cancelled() {
    let (bid, ask) = (quote(Side::Bid, 0, "2.4"), quote(Side::Ask, 0, "2.5"));
    let resting = [rest(&ask, 6), rest(&bid, 5)];
    let config = QuoteConfig::default();
    let cancel = |offer_sequence, side| Action::Cancel { offer_sequence, side, level: 0 };
    let none = plan(None, &resting, &[], LEDGER, NOW_S, &config);
    assert_eq!(none, [cancel(5, Side::Bid), cancel(6, Side::Ask)]);
    let bid_only = plan(Some(&wanted(&[bid])), &resting, &[], LEDGER, NOW_S, &config);
    assert_eq!(bid_only, [cancel(6, Side::Ask)]);
}

#[test]
fn a_busy_level_is_left_alone() {
    let (bid, ask) = (quote(Side::Bid, 0, "2.4"), quote(Side::Ask, 0, "2.5"));
    let busy = [(Side::Bid, 0)];
    let config = QuoteConfig::default();
    assert_eq!(plan(None, &[rest(&bid, 5)], &busy, LEDGER, NOW_S, &config), []);
    let actions = plan(Some(&wanted(&[bid, ask])), &[], &busy, LEDGER, NOW_S, &config);
    assert_eq!(actions, [Action::Place(ask)]);
}

#[test]
fn the_side_in_the_way_of_a_new_quote_moves_first() {
    let old = [(Side::Bid, 0, "2.39", 5), (Side::Ask, 0, "2.41", 6)];
    let resting: Vec<Resting> = old.map(|(side, level, price, n)| rest(&quote(side, level, price), n)).to_vec();
    let first = |bid: &str, ask: &str| {
        let wanted = wanted(&[quote(Side::Bid, 0, bid), quote(Side::Ask, 0, ask)]);
        let actions = plan(Some(&wanted), &resting, &[], LEDGER, NOW_S, &QuoteConfig::default());
        assert_eq!(actions.len(), 2);
        actions[0].slot().0
    };
    assert_eq!(first("2.42", "2.44"), Side::Ask, "the new bid would meet the old ask");
    assert_eq!(first("2.36", "2.38"), Side::Bid, "the new ask would meet the old bid");
    assert_eq!(first("2.38", "2.42"), Side::Bid, "nothing is in the way");
}

#[test]
fn of_two_offers_on_a_level_the_newest_stays() {
    let bid = quote(Side::Bid, 0, "2.4");
    let actions =
        plan(Some(&wanted(&[bid])), &[rest(&bid, 5), rest(&bid, 9)], &[], LEDGER, NOW_S, &QuoteConfig::default());
    assert_eq!(actions, [Action::Cancel { offer_sequence: 5, side: Side::Bid, level: 0 }]);
}

/// The offers that rest once `actions` are validated, in ledger `LEDGER`.
fn carry_out(resting: &[Resting], actions: &[Action]) -> Vec<Resting> {
    let mut after = resting.to_vec();
    for (n, action) in actions.iter().enumerate() {
        let (gone, quote) = match action {
            Action::Place(quote) => (None, Some(quote)),
            Action::Replace { offer_sequence, quote } => (Some(*offer_sequence), Some(quote)),
            Action::Cancel { offer_sequence, .. } => (Some(*offer_sequence), None),
        };
        after.retain(|r| Some(r.offer_sequence) != gone);
        after.extend(quote.map(|quote| rest(quote, 10_000 + u32::try_from(n).unwrap())));
    }
    after
}

prop_compose! {
    fn any_resting()(side in prop_oneof![Just(Side::Bid), Just(Side::Ask)], level in 0_u8..5, price in 1_i64..4_000_000,
                     remaining in 1_i64..200_000_000, placed_ledger in LEDGER - 10..=LEDGER,
                     expires_at_s in prop::option::of(NOW_S - 50..NOW_S + 120)) -> Resting {
        let (price, remaining) = (Dec::from_parts(price, -6).unwrap(), Drops::new(remaining));
        Resting { side, level, offer_sequence: 0, price, remaining, placed_ledger, expires_at_s }
    }
}

proptest! {
    #[test]
    fn planning_again_over_the_planned_offers_changes_nothing(
        mut resting in prop::collection::vec(any_resting(), 0..12), levels in 1_u8..5, bid in 1_000_000_i64..3_000_000,
        rlusd in 0_i64..2_000, xrp in 0_i64..1_000_000_000, quoting in any::<bool>(),
    ) {
        for (sequence, offer) in (1..).zip(&mut resting) {
            offer.offer_sequence = sequence;
        }
        let level = |n| BookLevel { price: Dec::from_parts(n, -6).unwrap(), size: Drops::new(1) };
        let view = MarketView { ledger_index: LEDGER, bids: vec![level(bid)], asks: vec![level(bid + 1_000)], ..MarketView::default() };
        let config = QuoteConfig { levels, ..QuoteConfig::default() };
        let funds = Funds { spendable_xrp: Drops::new(xrp), rlusd: Dec::from_i64(rlusd) };
        let desired = desired(&view, &funds, &config).unwrap();
        let desired = quoting.then_some(&desired);
        let first = plan(desired, &resting, &[], LEDGER, NOW_S, &config);
        let after = carry_out(&resting, &first);
        prop_assert_eq!(plan(desired, &after, &[], LEDGER, NOW_S, &config), []);
        // One offer a desired level, none elsewhere.
        prop_assert_eq!(after.len(), desired.map_or(0, |desired| desired.quotes.len()));
        prop_assert!(after.iter().all(|r| desired.is_some_and(|desired| desired.quote(r.side, r.level).is_some())));
    }
}
