//! The rules of the token: what a freeze, a missing authorisation, a tick size and a transfer fee do to our offers.

use neo_ledger::{IssuerTerms, LineTerms, TokenTerms};
use neo_market::{IssuerRules, as_placed};

use super::*;

fn line(change: impl FnOnce(&mut LineTerms)) -> TokenTerms {
    let mut line = LineTerms { limit: Dec::from_i64(1_000_000), authorized: true, ..LineTerms::default() };
    change(&mut line);
    TokenTerms { issuer: IssuerTerms::default(), line: Some(line) }
}

fn issuer(change: impl FnOnce(&mut IssuerTerms)) -> TokenTerms {
    let mut terms = line(|_| {});
    change(&mut terms.issuer);
    terms
}

fn orders(effects: &[OrdersEffect]) -> Vec<neo_store::record::Order> {
    let order = |record: &Record| if let Record::Order(order) = record { Some(order.clone()) } else { None };
    let persisted = |effect: &OrdersEffect| match effect {
        OrdersEffect::Persist { records, .. } => records.iter().filter_map(order).collect(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(persisted).collect()
}

/// Tells of a ledger with these terms, in which all that was signed before went as it should.
fn at(bench: &mut Bench, index: u32, terms: TokenTerms, signed: &[Intent]) -> (Vec<Intent>, usize) {
    let gone = |intent: &Intent| {
        let offer = intent.offer_sequence.unwrap_or(0);
        let side = bench.core.offers.get(&offer).map_or(Side::Bid, |offer| offer.side);
        change(offer, side, OfferChangeKind::Removed(Removal::Cancelled))
    };
    let seen = |intent: &Intent| {
        let changes = if intent.purpose == Purpose::Cancel {
            vec![gone(intent)]
        } else {
            let side = bench.core.offers.get(&intent.sequence).map_or(Side::Bid, |offer| offer.side);
            vec![change(intent.sequence, side, OfferChangeKind::Created)]
        };
        included(intent, index, "tesSUCCESS", changes)
    };
    let transactions = signed.iter().map(seen).collect();
    let mut update = update(index, bench.core.next_sequence, transactions, None);
    update.terms = terms;
    bench.take();
    bench.ledger(&update);
    let faults = recorded(&bench.effects).filter(|record| matches!(record, Record::Fault(_))).count();
    (bench.acknowledge(), faults)
}

fn cancels(intents: &[Intent]) -> Vec<Option<u32>> {
    assert!(intents.iter().all(|intent| intent.purpose == Purpose::Cancel), "{intents:?}");
    intents.iter().map(|intent| intent.offer_sequence).collect()
}

#[test]
fn what_the_issuer_forbids_withdraws_both_sides_says_why_and_ends_by_itself() {
    let cases = [
        (issuer(|issuer| issuer.global_freeze = true), "global freeze"),
        (line(|line| line.deep_frozen = true), "frozen deeply"),
        (
            TokenTerms { issuer: IssuerTerms { requires_authorization: true, ..IssuerTerms::default() }, line: None },
            "authorisation",
        ),
    ];
    for (terms, words) in cases {
        let (mut bench, placed) = quoting();
        let (withdrawn, faults) = at(&mut bench, 102, terms, &[]);
        assert_eq!(cancels(&withdrawn), [Some(placed[0].sequence), Some(placed[1].sequence)], "{words}");
        assert!(bench.core.withheld().unwrap().contains(words), "{:?}", bench.core.withheld());
        assert_eq!(faults, 1, "{words}: it is recorded");
        let (nothing, faults) = at(&mut bench, 103, terms, &withdrawn);
        assert_eq!((nothing.len(), faults), (0, 0), "{words}: neither tried nor told again");
        assert!(bench.core.withheld().unwrap().contains(words));
        let (again, faults) = at(&mut bench, 104, line(|_| {}), &[]);
        assert_eq!((again.len(), faults), (2, 1), "{words}: it quotes again, and the end is recorded");
        assert_eq!(bench.core.withheld(), None);
    }
}

#[test]
fn a_frozen_line_stops_our_bids_and_leaves_our_asks() {
    let (mut bench, placed) = quoting();
    let (withdrawn, faults) = at(&mut bench, 102, line(|line| line.frozen = true), &[]);
    assert_eq!((cancels(&withdrawn), faults), (vec![Some(placed[0].sequence)], 1));
    assert!(bench.core.withheld().unwrap().contains("frozen our trust line"));
    at(&mut bench, 103, line(|line| line.frozen = true), &withdrawn);
    // From one stop to another: the one ends and the other begins.
    let (withdrawn, faults) = at(&mut bench, 104, line(|line| line.deep_frozen = true), &[]);
    assert_eq!((cancels(&withdrawn), faults), (vec![Some(placed[1].sequence)], 2));
    at(&mut bench, 105, line(|line| line.deep_frozen = true), &withdrawn);
    let (again, faults) = at(&mut bench, 106, line(|_| {}), &[]);
    assert_eq!((again.len(), faults), (2, 1));
}

/// Offers that were refused before the freeze was seen wait; the thaw says that they need not.
#[test]
fn the_thaw_ends_the_wait_of_what_was_refused() {
    let (mut bench, _) = quoting();
    let frozen = line(|line| line.frozen = true);
    for index in [90, 92, 94, 101] {
        bench.core.refusals.hear(Side::Bid, "tecUNFUNDED_OFFER", index);
    }
    let (withdrawn, _) = at(&mut bench, 102, frozen, &[]);
    at(&mut bench, 103, frozen, &withdrawn);
    let (again, _) = at(&mut bench, 104, line(|_| {}), &[]);
    assert_eq!((again.len(), bench.core.withheld()), (1, None));
}

#[test]
fn orders_are_made_for_the_tick_size_and_the_fee_of_the_ledger() {
    let mut bench = Bench::new(2);
    let mut first = update(100, 1, vec![], Some(vec![]));
    first.view.bids[0].price = "2.391234".parse().unwrap();
    first.terms = issuer(|issuer| (issuer.tick_size, issuer.transfer_rate) = (Some(5), Some(1_010_000_000)));
    first.account.rlusd = "300".parse().unwrap();
    bench.ledger(&first);
    let orders = orders(&bench.effects);
    assert_eq!(orders.len(), 4);
    for order in &orders {
        let placed = as_placed(order.side, order.size, order.rlusd, Some(5)).unwrap();
        assert_eq!(placed, Some((order.size, order.rlusd)), "{order:?}");
    }
    let bids = orders.iter().filter(|order| order.side == Side::Bid);
    let promised = bids.fold(Dec::zero(), |sum, order| sum.add(order.rlusd).unwrap());
    let rules = IssuerRules { tick_size: None, transfer_rate: Some(1_010_000_000) };
    assert!(promised <= rules.promisable("300".parse().unwrap()).unwrap(), "{promised}");
    // The fee of 1 % stands between the bid and the middle, beside the 10 basis points.
    let best = orders.iter().find(|order| (order.side, order.level) == (Side::Bid, 0)).unwrap();
    assert!(best.price < "2.375".parse().unwrap() && best.price > "2.373".parse().unwrap(), "{}", best.price);
}

/// The market moves by 1 %: what `quoting` has resting is to be replaced, under these limits.
fn moved_under(change: impl FnOnce(&mut RiskConfig)) -> Vec<Intent> {
    let (mut bench, _) = quoting();
    change(&mut bench.core.config.risk);
    let mut moved = update(110, 3, vec![], None);
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    show(
        &mut moved,
        MarketView { ledger_index: 110, bids: level("2.42"), asks: level("2.44"), ..MarketView::default() },
    );
    bench.ledger(&moved);
    bench.acknowledge()
}

/// 10,000 XRP are owned and 100 bid for. A replacement can be filled after the offer that it replaces was.
#[test]
fn a_replacement_counts_in_the_limits_beside_the_offer_that_it_replaces() {
    let purposes = |intents: &[Intent]| intents.iter().map(|intent| intent.purpose).collect::<Vec<_>>();
    let room = |xrp: i64| moved_under(|risk| risk.max_inventory_xrp = Some(Dec::from_i64(xrp)));
    // The market rose, so that the ask moves first: the bid is the second.
    assert_eq!(purposes(&room(10_200)).iter().filter(|purpose| **purpose == Purpose::Replace).count(), 2);
    // With less room than both need, the old bid is cancelled, and the new one is placed when it is seen gone.
    let refused = room(10_199);
    let cancels: Vec<&Intent> = refused.iter().filter(|intent| intent.purpose == Purpose::Cancel).collect();
    assert_eq!((refused.len(), cancels.len()), (2, 1), "{refused:?}");
    assert_eq!(cancels[0].offer_sequence, Some(1), "the bid of before");
    // The ask the same, from below.
    let refused = moved_under(|risk| risk.min_inventory_xrp = Some(Dec::from_i64(9_801)));
    let cancels: Vec<&Intent> = refused.iter().filter(|intent| intent.purpose == Purpose::Cancel).collect();
    assert_eq!((refused.len(), cancels[0].offer_sequence), (2, Some(2)), "{refused:?}");
}
