//! Recordings of simulated markets: what ours gets is bounded by what was really traded, and the same twice.

use std::collections::BTreeMap;

use neo_ledger::message::{self, Message};
use neo_ledger::request;
use neo_market::Side;
use neo_sim::amount::Quality;
use neo_sim::mirror::standing::{Touched, touched};
use neo_sim::state::OfferKey;
use neo_sim::{ConnectionId, Node, Scenario};
use proptest::prelude::*;

use super::hand::*;

/// Records so many ledgers of a market that is drawn from a seed.
fn record(seed: u64, ledgers: u32, gap: Option<u32>) -> (Recording, BTreeMap<u32, Vec<Touched>>) {
    let mut scenario = Scenario::default();
    scenario.takers.arrivals_per_ledger = 1.5;
    scenario.takers.size_xrp_median = 400.0;
    scenario.takers.limit_bps = 80.0;
    scenario.price.volatility_bps_per_ledger = 12.0;
    scenario.makers.size_xrp = 300.0;
    let mut node = Node::new(&scenario, seed).unwrap();
    let token = scenario.token();
    let mut recording = Recording::new(token, None);
    let mut traded: BTreeMap<u32, Vec<Touched>> = BTreeMap::new();
    let id = node.connect();
    ask(&mut recording, &mut node, id);
    for number in 0..ledgers {
        let lost = gap == Some(number);
        if lost {
            recording.gap();
        }
        for outgoing in node.close_ledger() {
            if lost {
                continue;
            }
            recording.said(&outgoing.text);
            if let Message::Transaction(stream) = message::parse(&outgoing.text).unwrap() {
                let tx = &stream.transaction;
                traded.entry(tx.ledger_index).or_default().extend(touched(tx, token).unwrap());
            }
        }
        if lost {
            ask(&mut recording, &mut node, id);
        }
    }
    (recording, traded)
}

fn ask(recording: &mut Recording, node: &mut Node, id: ConnectionId) {
    use neo_ledger::Asset;
    let (xrp, token) = (Asset::Xrp, Asset::Token(recording.token));
    let questions = [
        request::subscribe_market(901, recording.token),
        request::book_offers(902, xrp, token, None, 400),
        request::book_offers(903, token, xrp, None, 400),
    ];
    for question in questions {
        recording.sent(&question);
        for outgoing in node.request(id, &question) {
            recording.said(&outgoing.text);
        }
    }
}

/// What may fill an offer: all that was traded of its side at its quality or a worse one, and what was placed against it.
pub fn most(touched: &[Touched], side: Side, quality: Quality, price: i64) -> i64 {
    let traded = touched.iter().filter(|touched| touched.offer.side == side && touched.offer.quality >= quality);
    let against = touched.iter().filter(|touched| {
        let sizes = touched.offer.sizes;
        let token: f64 = sizes.token.text().parse().unwrap();
        let at = token / (sizes.xrp as f64) * 1e9;
        let crosses = if side == Side::Ask { at >= price as f64 * 0.999_999 } else { at <= price as f64 * 1.000_001 };
        touched.before.is_none() && touched.offer.side != side && crosses
    });
    traded.map(Touched::traded).sum::<i64>() + against.map(|touched| touched.offer.sizes.xrp).sum::<i64>()
}

fn run(seed: u64, orders: &[(u8, bool, i64, i64)], gap: Option<u32>) -> (Vec<String>, i64) {
    let (mut recording, traded) = record(seed, 40, gap);
    let mut client = recording.replay(|scenario| {
        scenario.maker_xrp = neo_market::Dec::from_i64(1_000_000);
        scenario.maker_rlusd = neo_market::Dec::from_i64(1_000_000);
    });
    let (mut log, mut all) = (Vec::new(), 0);
    // Sequence, side, quality, what is left, price in thousandths.
    let mut standing: Vec<(u32, Side, Quality, i64, i64)> = Vec::new();
    let maker = client.maker();
    for step in 0..40_u8 {
        let mut placed = Vec::new();
        for (at, is_ask, xrp, price) in orders {
            if *at == step {
                placed.push((client.place(*is_ask, *xrp, *price), *is_ask, *price));
            }
        }
        if client.node.mirror_ended().is_some() {
            break;
        }
        client.close();
        log.push(client.node.digest().unwrap().to_string());
        let empty = Vec::new();
        let touched = traded.get(&client.node.ledger_index()).unwrap_or(&empty);
        let mut filled: BTreeMap<Side, (i64, Quality, i64)> = BTreeMap::new();
        for (sequence, side, quality, left, price) in &mut standing {
            let now = client.drops_of(OfferKey { account: maker, sequence: *sequence }).unwrap_or(0);
            let fill = *left - now;
            assert!(fill >= 0);
            // Each by itself, and below all of a side together.
            assert!(
                fill <= most(touched, *side, *quality, *price),
                "{fill} of {sequence} in {}",
                client.node.ledger_index()
            );
            let sum = filled.entry(*side).or_insert((0, *quality, *price));
            let best = if *side == Side::Ask { sum.2.min(*price) } else { sum.2.max(*price) };
            *sum = (sum.0 + fill, sum.1.min(*quality), best);
            *left = now;
            all += fill;
        }
        for (side, (fill, quality, price)) in filled {
            assert!(fill <= most(touched, side, quality, price), "{side:?} together: {fill}");
        }
        standing.retain(|row| row.3 > 0);
        for (sequence, is_ask, price) in placed {
            let key = OfferKey { account: maker, sequence };
            if let Some(offer) = client.node.validated_state().offer(key) {
                let side = if is_ask { Side::Ask } else { Side::Bid };
                standing.push((sequence, side, offer.quality, client.drops_of(key).unwrap(), price));
            }
        }
    }
    (log, all)
}

/// Step, whether it sells, XRP, price in thousandths. They never cross each other: that removes the older one.
fn orders() -> impl Strategy<Value = Vec<(u8, bool, i64, i64)>> {
    let order = (0..35_u8, any::<bool>(), 1..400_i64, 1..30_i64)
        .prop_map(|(step, is_ask, xrp, away)| (step, is_ask, xrp, if is_ask { 2_400 + away } else { 2_400 - away }));
    prop::collection::vec(order, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ours_is_filled_by_what_was_traded_and_the_book_is_told(
        seed in 0..10_000_u64,
        orders in orders(),
        gap in prop::option::of(5..30_u32),
    ) {
        let (log, _) = run(seed, &orders, gap);
        // The same recording and the same orders make the same world.
        if seed % 4 == 0 {
            prop_assert_eq!(log, run(seed, &orders, gap).0);
        }
    }
}

#[test]
fn a_market_fills_what_stands_inside_it() {
    let orders: Vec<_> = (0..10).flat_map(|n| [(n * 3, true, 50, 2_402), (n * 3, false, 50, 2_398)]).collect();
    let filled: i64 = (1..6).map(|seed| run(seed, &orders, None).1).sum();
    assert!(filled > 300 * XRP, "{filled}");
}

#[test]
fn without_ours_the_mirror_is_the_recorded_book() {
    let (mut recording, _) = record(7, 60, None);
    let mut real = Node::new(
        &{
            let mut scenario = Scenario::default();
            scenario.takers.arrivals_per_ledger = 1.5;
            scenario.takers.size_xrp_median = 400.0;
            scenario.takers.limit_bps = 80.0;
            scenario.price.volatility_bps_per_ledger = 12.0;
            scenario.makers.size_xrp = 300.0;
            scenario
        },
        7,
    )
    .unwrap();
    let mut client = recording.replay(|_| {});
    let offers = |node: &Node| -> BTreeMap<OfferKey, (String, String)> {
        let state = node.validated_state();
        state.offers().map(|(key, offer)| (key, (offer.taker_gets.text(), offer.taker_pays.text()))).collect()
    };
    assert_eq!(client.node.ledger_index(), real.ledger_index());
    while client.node.mirror_ended().is_none() {
        client.close();
        real.close_ledger();
        assert_eq!(offers(&client.node), offers(&real), "ledger {}", real.ledger_index());
        assert_eq!(client.node.close_time(), real.close_time());
    }
    assert!(real.ledger_index() > 60 && client.told > 100);
}
