//! What one of several nodes leaves behind for the next.

use serde_json::Value;

use super::looks_tests::requests;
use super::tests::*;
use super::*;

/// Connects, and answers up to the subscription; gives what is asked for the picture.
fn begin_picture(bench: &mut Bench, now_ms: u64) -> Vec<Value> {
    let mut effects = bench.core.on(FeedInput::Connected, now_ms).unwrap();
    for _ in 0..2 {
        let greeting = requests(&effects);
        let answer = bench.node.answer(&greeting[0]).to_string();
        effects = bench.core.on(FeedInput::Text(&answer), now_ms).unwrap();
    }
    requests(&effects)
}

/// Live on the first node at first, and on none now; the second one has refused the history that is missing.
fn refused_by_the_second() -> Bench {
    let mut bench = with_a_warm_second();
    bench.node.has_history = false;
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    bench.on(FeedInput::Connected, 101);
    assert!(bench.left());
    bench.on(FeedInput::Disconnected(Parting::Unfit, "no history"), 102);
    bench.on(FeedInput::Tick, 5_000);
    assert_eq!((bench.core.node(), bench.updates.len()), (0, 1));
    bench
}

#[test]
fn history_is_lost_where_one_node_lacks_it_twice_and_no_other_is_reached() {
    let mut bench = refused_by_the_second();
    bench.on(FeedInput::Disconnected(Parting::Lost, "refused"), 5_001);
    bench.core.nodes.left(0, Parting::Unfit, 5_500);
    bench.on(FeedInput::Tick, 19_000);
    assert_eq!(bench.core.node(), 1);
    bench.on(FeedInput::Connected, 19_001);
    let update = bench.updates.last().unwrap();
    assert!(bench.core.is_live() && update.history_lost.as_ref().is_some_and(|lost| lost.contains("from ledger 100")));
}

#[test]
fn history_is_not_lost_while_another_node_that_may_have_it_is_reached() {
    let mut bench = refused_by_the_second();
    assert!(begin_picture(&mut bench, 5_001).len() > 5);
    bench.on(FeedInput::Disconnected(Parting::Overloaded, "cut"), 5_002);
    bench.on(FeedInput::Tick, 20_000);
    assert_eq!(bench.core.node(), 1);
    bench.on(FeedInput::Connected, 20_001);
    assert_eq!((bench.core.is_live(), bench.updates.len()), (false, 1), "the first one may have it");
    // It is not reached again: the next refusal is the last.
    bench.on(FeedInput::Disconnected(Parting::Unfit, "no history"), 20_002);
    bench.core.nodes.serves(1);
    bench.core.node = 1;
    bench.on(FeedInput::Tick, 20_003);
    bench.on(FeedInput::Connected, 20_004);
    assert!(bench.updates.last().unwrap().history_lost.is_some());
}

/// Three nodes: two lack it, by turns, and the third is never reached.
#[test]
fn two_nodes_that_lack_it_are_not_another_hope_for_each_other() {
    let mut bench = Bench::live(None);
    (bench.core.config.nodes, bench.core.nodes) = (3, Nodes::new(3, 1));
    bench.node.has_history = false;
    for (round, node) in [0, 1, 0].into_iter().enumerate() {
        assert_eq!(bench.updates.len(), 1, "round {round}");
        let now_ms = 1_000 + 1_000 * u64::try_from(round).unwrap();
        bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), now_ms);
        bench.core.nodes.serves(node);
        bench.core.node = node;
        bench.on(FeedInput::Tick, now_ms + 1);
        bench.on(FeedInput::Connected, now_ms + 2);
    }
    assert!(bench.updates.last().unwrap().history_lost.is_some());
}

#[test]
fn nothing_of_a_node_on_another_chain_is_told_after_it() {
    let mut bench = with_a_warm_second();
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    // The second one is on another chain: there the payment is in a later ledger. Its history comes before the ledger's hash.
    (bench.node.index, bench.node.chain) = (103, '8');
    bench.node.history = vec![payment(100, 'D', 1), payment(102, 'B', 50_000_000), payment(103, 'C', 50_000_005)];
    let mut picture = begin_picture(&mut bench, 101);
    picture.sort_by_key(|request| request["command"] == "ledger");
    for request in picture {
        let answer = bench.node.answer(&request);
        bench.hear(&answer);
    }
    assert!(bench.left() && bench.updates.len() == 1);
    bench.on(FeedInput::Disconnected(Parting::Unfit, "another chain"), 102);
    // The first one is back.
    (bench.node.index, bench.node.chain) = (101, '9');
    (bench.node.balance, bench.node.root) = (50_000_005, 'B');
    bench.node.history = vec![payment(101, 'B', 50_000_000)];
    bench.on(FeedInput::Tick, 5_000);
    bench.on(FeedInput::Connected, 5_001);
    let update = bench.updates.last().unwrap();
    let told: Vec<(u32, String)> =
        update.transactions.iter().map(|own| (own.ledger_index, own.hash.to_string())).collect();
    assert_eq!((update.ledger.index, told, &update.history_lost), (101, vec![(101, hash('B'))], &None));
    assert_eq!(bench.core.closed.keys().copied().collect::<Vec<_>>(), [101]);
}

/// The node that is followed next is behind the one before: a ledger that only the other told of is not this one's.
#[test]
fn what_another_node_closed_hides_no_gap_of_the_next() {
    let mut bench = with_a_warm_second();
    for index in [101, 102] {
        let asked = bench.core.on(FeedInput::Text(&closed(index).to_string()), 10).unwrap();
        assert!(!asked.is_empty(), "unanswered");
    }
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    bench.node.index = 101;
    bench.on(FeedInput::Connected, 101);
    assert_eq!(bench.updates.last().unwrap().ledger.index, 101);
    let asked = bench.asked.len();
    bench.node.index = 103;
    bench.hear(&closed(103));
    assert_eq!(bench.updates.last().unwrap().ledger.index, 103);
    assert!(bench.asked[asked..].iter().any(|text| text.contains("book_offers")), "102 was not seen here");
}
