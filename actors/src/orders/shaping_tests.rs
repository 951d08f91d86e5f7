//! What shapes the quotes over several ledgers: the measured volatility, the wait after a fill, the operator's bounds.

use neo_ledger::own::FilledOffer;
use neo_market::{AmmView, Strategy};

use super::*;

pub(super) fn with(change: impl FnOnce(&mut OrdersConfig)) -> Bench {
    let mut config = core(1).config;
    change(&mut config);
    Bench { core: OrdersCore::new(config, key()), effects: Vec::new() }
}

pub(super) fn dec(text: &str) -> Dec {
    text.parse().unwrap()
}

/// A ledger whose middle is `mid`, with nothing else in it.
pub(super) fn priced(index: u32, sequence: u32, mid: &str) -> LedgerUpdate {
    let mut update = update(index, sequence, vec![], None);
    let level = |price: Dec| vec![BookLevel { price, size: Drops::new(1_000_000_000) }];
    let (mid, half) = (dec(mid), dec("0.02"));
    let (bids, asks) = (level(mid.sub(half).unwrap()), level(mid.add(half).unwrap()));
    let view = MarketView { bids, asks, ..update.view.clone() };
    show(&mut update, view);
    update
}

/// Everything that was signed rests from this ledger on.
pub(super) fn rest(bench: &mut Bench, index: u32, mid: &str, intents: &[Intent]) {
    let created = |intent: &Intent| {
        let side = bench.core.offers.get(&intent.sequence).map_or(Side::Bid, |offer| offer.side);
        included(intent, index, "tesSUCCESS", vec![change(intent.sequence, side, OfferChangeKind::Created)])
    };
    let transactions: Vec<_> = intents.iter().map(created).collect();
    let mut update = priced(index, bench.core.next_sequence, mid);
    update.transactions = transactions;
    bench.ledger(&update);
}

/// A stranger's transaction that fills an offer of ours wholly.
pub(super) fn fill(sequence: u32, side: Side, index: u32) -> OwnTransaction {
    let placed = Intent {
        tx_hash: Hash([index as u8; 32]).to_string(),
        purpose: Purpose::Place,
        sequence: 9_999,
        last_ledger_sequence: index,
        fee: Drops::ZERO,
        ..sample_intent()
    };
    let filled = FilledOffer {
        offer_sequence: sequence,
        taker: false,
        side,
        xrp: Drops::new(100_000_000),
        token: dec("240"),
        price: dec("2.4"),
    };
    OwnTransaction {
        ours: false,
        fills: vec![filled],
        ..included(
            &placed,
            index,
            "tesSUCCESS",
            vec![change(sequence, side, OfferChangeKind::Removed(Removal::Filled))],
        )
    }
}

fn sample_intent() -> Intent {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.acknowledge().remove(0)
}

#[test]
fn a_model_quotes_nothing_before_the_volatility_is_measured_and_says_so() {
    for strategy in [Strategy::AvellanedaStoikov, Strategy::Glft] {
        let mut bench = with(|config| {
            (config.quote.strategy, config.quote.inventory_target_pct) = (strategy, Some(dec("50")));
        });
        for index in 100..110_u32 {
            bench.ledger(&priced(index, 1, if index % 2 == 0 { "2.4" } else { "2.401" }));
            assert!(bench.acknowledge().is_empty(), "{strategy:?}: ledger {index} was quoted on");
            let reason = bench.core.withheld().unwrap();
            assert!(reason.contains(&format!("{} of 10 moves", index - 100)), "{reason}");
        }
        // A price of another ledger's is no price of this one: it is not counted.
        let mut stale = priced(110, 1, "2.4");
        stale.view.ledger_index = 109;
        bench.ledger(&stale);
        assert!(bench.core.withheld().unwrap().contains("9 of 10 moves"), "{:?}", bench.core.withheld());
        bench.ledger(&priced(111, 1, "2.4"));
        assert_eq!(bench.acknowledge().len(), 2, "{:?}", bench.core.withheld());
        assert_eq!(bench.core.withheld(), None);
    }
}

#[test]
fn fixed_offsets_stand_farther_out_in_a_market_that_moves() {
    let first_bid = |move_to: &str| {
        let mut bench = with(|config| config.quote.volatility_widen = dec("1"));
        (100..=110_u32).for_each(|index| bench.ledger(&priced(index, 1, if index % 2 == 0 { "2.4" } else { move_to })));
        bench.acknowledge();
        bench.core.offers.values().find(|offer| offer.side == Side::Bid).unwrap().price
    };
    assert_eq!(first_bid("2.4"), dec("2.3976"), "10 bps, in a market that stands still");
    assert!(first_bid("2.4005") < dec("2.3976"));
    assert!(first_bid("2.401") < first_bid("2.4005"));
}

#[test]
fn a_filled_side_is_withdrawn_for_its_delay_and_the_other_stays() {
    let mut bench = with(|config| {
        config.quote.levels = 2;
        config.quote.bid_delay_after_fill_ledgers = 3;
    });
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let placed = bench.acknowledge();
    rest(&mut bench, 101, "2.4", &placed);
    bench.acknowledge();
    let bids: Vec<u32> =
        bench.core.offers.iter().filter(|(_, offer)| offer.side == Side::Bid).map(|(s, _)| *s).collect();
    let mut filled = priced(102, bench.core.next_sequence, "2.4");
    filled.transactions = vec![fill(bids[0], Side::Bid, 102)];
    bench.ledger(&filled);
    let cancels = bench.acknowledge();
    let targets: Vec<_> = cancels.iter().map(|intent| (intent.purpose, intent.offer_sequence)).collect();
    assert_eq!(targets, [(Purpose::Cancel, Some(bids[1]))], "the other bid goes, the asks stay");
    let gone = included(
        &cancels[0],
        103,
        "tesSUCCESS",
        vec![change(bids[1], Side::Bid, OfferChangeKind::Removed(Removal::Cancelled))],
    );
    let mut update = priced(103, bench.core.next_sequence, "2.4");
    update.transactions = vec![gone];
    bench.ledger(&update);
    assert!(bench.acknowledge().is_empty());
    assert_eq!(bench.core.withheld(), None, "the asks are quoted: that is no pause");
    bench.ledger(&priced(104, bench.core.next_sequence, "2.4"));
    assert!(bench.acknowledge().is_empty());
    bench.ledger(&priced(105, bench.core.next_sequence, "2.4"));
    let again = bench.acknowledge();
    assert_eq!(again.iter().map(|intent| intent.purpose).collect::<Vec<_>>(), [Purpose::Place, Purpose::Place]);
    assert!(bench.core.offers.values().filter(|offer| offer.side == Side::Bid).count() == 2);
}

#[test]
fn with_both_sides_waiting_the_reason_is_told() {
    let mut bench = with(|config| {
        (config.quote.bid_delay_after_fill_ledgers, config.quote.ask_delay_after_fill_ledgers) = (2, 4);
    });
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let placed = bench.acknowledge();
    rest(&mut bench, 101, "2.4", &placed);
    bench.acknowledge();
    let mut both = priced(102, bench.core.next_sequence, "2.4");
    let mut second = fill(placed[1].sequence, Side::Ask, 102);
    second.hash = Hash([77; 32]);
    both.transactions = vec![fill(placed[0].sequence, Side::Bid, 102), second];
    bench.ledger(&both);
    assert!(bench.acknowledge().is_empty());
    let reason = bench.core.withheld().unwrap();
    assert!(reason.contains("ask_delay_after_fill_ledgers") && reason.contains("106"), "{reason}");
}

#[test]
fn the_operators_bounds_withdraw_what_stands_beyond_them_and_say_so() {
    let mut bench = with(|config| {
        (config.quote.price_ceiling, config.quote.price_floor) = (Some(dec("2.3")), Some(dec("2.5")));
    });
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert!(bench.acknowledge().is_empty());
    assert!(bench.core.withheld().unwrap().contains("price_ceiling"), "{:?}", bench.core.withheld());
    // The market falls below the ceiling, and a bid stands; it rises again, and the bid goes.
    bench.ledger(&priced(101, 1, "2.25"));
    let placed = bench.acknowledge();
    assert_eq!(placed.len(), 1);
    rest(&mut bench, 102, "2.25", &placed);
    assert!(bench.acknowledge().is_empty());
    bench.ledger(&priced(103, bench.core.next_sequence, "2.4"));
    let cancel = bench.acknowledge();
    assert_eq!((cancel.len(), cancel[0].purpose), (1, Purpose::Cancel));
}

#[test]
fn no_offer_is_signed_that_the_known_pool_would_fill() {
    let mut bench = with(|_| {});
    let mut update = update(100, 1, vec![], Some(vec![]));
    update.view.amm =
        Some(AmmView { ledger_index: 100, xrp: Drops::new(1_000_000_000), token: dec("2397"), trading_fee: 0 });
    bench.ledger(&update);
    let placed = bench.acknowledge();
    assert_eq!(placed.len(), 1);
    assert!(bench.core.offers.values().all(|offer| offer.side == Side::Ask), "the bid at 2.3976 would take at 2.397");
}

#[test]
fn a_share_is_cut_to_the_largest_order_that_the_limits_allow() {
    let mut bench = with(|config| {
        config.quote.size_pct = Some(dec("40"));
        config.risk.max_order_xrp = dec("250");
    });
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(bench.acknowledge().len(), 2, "{:?}", bench.core.withheld());
    assert!(bench.core.offers.values().all(|offer| offer.remaining == Drops::new(250_000_000)));
}
