//! The feed's promises on a node that stands alone: nobody says when its ledgers close, and it may begin anew.

use super::tests::*;
use super::*;

const MINUTE_MS: u64 = 60_000;

/// How often the node was asked how it is.
fn health_asked(bench: &Bench) -> usize {
    bench.asked.iter().filter(|text| text.contains("server_info")).count()
}

#[test]
fn a_node_whose_ledgers_others_close_has_no_age_and_owes_no_word() {
    let mut bench = Bench::new(None);
    bench.core.config.closes = Closes::ByOthers;
    bench.node.age_s = 9_000;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live(), "its last ledger may be of any age");
    for minute in 1..60 {
        bench.on(FeedInput::Tick, minute * MINUTE_MS);
        assert!(!bench.left(), "a ledger may take hours");
    }
    assert!(bench.core.is_live());
    assert_eq!(bench.closes_asked, 0);
    // Others may close many at once, too.
    for index in 101..110 {
        bench.node.index = index;
        bench.hear(&closed(index));
    }
    assert_eq!(bench.updates.last().unwrap().ledger.index, 109);
}

#[test]
fn a_quiet_node_that_stands_alone_is_asked_how_it_is_and_owes_that_answer() {
    for closes in [Closes::ByOthers, Closes::Every(MINUTE_MS)] {
        let mut bench = Bench::live(None);
        bench.core.config.closes = closes;
        bench.core.close_at_ms = 1_000_000;
        let (silence_ms, before) = (bench.core.config.silence_ms, health_asked(&bench));
        bench.on(FeedInput::Tick, silence_ms / 2);
        assert_eq!(health_asked(&bench), before);
        bench.on(FeedInput::Tick, silence_ms / 2 + 2);
        assert_eq!(health_asked(&bench), before + 1);
        // It answers, so it is there, however long the next ledger takes.
        bench.on(FeedInput::Tick, silence_ms);
        assert_eq!((health_asked(&bench), bench.left()), (before + 1, false));
        // One that does not answer is not there.
        let asked_ms = 2 * silence_ms;
        assert_eq!(bench.core.on(FeedInput::Tick, asked_ms).unwrap().len(), 1, "asked, and no answer comes");
        let limit_ms = asked_ms + bench.core.config.request_timeout_ms;
        bench.on(FeedInput::Tick, limit_ms);
        assert!(!bench.left());
        bench.on(FeedInput::Tick, limit_ms + 1);
        assert!(bench.left(), "{closes:?}");
    }
}

/// What the feed says of another world.
fn other_world(bench: &Bench) -> Option<String> {
    bench.others.iter().find_map(|effect| match effect {
        FeedEffect::OtherWorld(cause) => Some(cause.clone()),
        _ => None,
    })
}

/// A node whose newest ledger is 100, and a record that ends at 90 with a hash of that letter.
fn with_a_record(closes: Closes, letter: char) -> Bench {
    let mut bench = Bench::new(None);
    let config = FeedConfig {
        closes,
        last_processed: Some(90),
        last_hash: Some(hash(letter).parse().unwrap()),
        ..bench.core.config.clone()
    };
    bench.core = FeedCore::new(config);
    bench
}

fn connect(bench: &mut Bench, now_ms: u64) {
    bench.on(FeedInput::Tick, now_ms);
    bench.on(FeedInput::Connected, now_ms + 1);
}

#[test]
fn the_same_chain_is_joined_up_with_the_record() {
    let mut bench = with_a_record(Closes::ByOthers, '9');
    bench.node.history = vec![payment(95, 'A', 49_999_995)];
    connect(&mut bench, 0);
    assert!(bench.core.is_live());
    assert_eq!((bench.updates[0].transactions.len(), other_world(&bench)), (1, None));
    assert_eq!(bench.updates[0].ledger.hash.to_string(), hash('9'));
}

#[test]
fn another_chain_that_has_passed_the_records_last_ledger_is_not_taken_for_its_history() {
    for closes in [Closes::ByOthers, Closes::Every(1_000), Closes::Network] {
        let mut bench = with_a_record(closes, '7');
        bench.node.history = vec![payment(95, 'A', 49_999_995)];
        connect(&mut bench, 0);
        assert!(bench.updates.is_empty(), "{closes:?}");
        let cause = other_world(&bench).unwrap();
        assert!(cause.contains("ledger 90") && cause.contains(&hash('7')) && cause.contains(&hash('9')), "{cause}");
        // It is over: nobody is connected to any more.
        assert!(bench.left());
        bench.on(FeedInput::Disconnected(Parting::Unfit, "another chain"), 10);
        assert!(bench.core.on(FeedInput::Tick, 100 * MINUTE_MS).unwrap().is_empty());
    }
}

#[test]
fn a_node_that_is_reset_while_it_is_followed_is_noticed_above_and_below_the_newest_ledger() {
    for index in [150, 99, 3] {
        let mut bench = Bench::new(None);
        bench.core.config.closes = Closes::ByOthers;
        connect(&mut bench, 0);
        assert_eq!(bench.updates.len(), 1);
        bench.on(FeedInput::Disconnected(Parting::Lost, "killed"), 10);
        (bench.node.index, bench.node.chain) = (index, '8');
        connect(&mut bench, 10_000);
        assert!(other_world(&bench).is_some_and(|cause| cause.contains("ledger 100")), "{index}");
        assert_eq!(bench.updates.len(), 1, "{index}: nothing of the other world is told");
    }
}

#[test]
fn a_node_that_cannot_show_the_ledger_is_no_other_world() {
    // Its ledgers before 95 are gone: a hole in the history, as ever.
    let mut bench = with_a_record(Closes::ByOthers, '9');
    (bench.node.lacks, bench.node.history_from) = (0..95, 95);
    connect(&mut bench, 0);
    assert!(bench.core.is_live() && other_world(&bench).is_none());
    assert!(bench.updates[0].history_lost.is_some());
    // A node of a network that is behind is late.
    let mut bench = with_a_record(Closes::Network, '9');
    bench.node.index = 88;
    connect(&mut bench, 0);
    assert!(other_world(&bench).is_none());
    for index in [89, 90] {
        bench.node.index = index;
        bench.hear(&closed(index));
    }
    assert_eq!(bench.updates[0].ledger.index, 90);
}

#[test]
fn one_of_several_nodes_that_is_on_another_chain_is_left_for_another() {
    let mut bench = with_a_record(Closes::Network, '7');
    (bench.core.config.nodes, bench.core.nodes) = (2, Nodes::new(2, 1));
    connect(&mut bench, 0);
    assert!(bench.left() && other_world(&bench).is_none());
    bench.on(FeedInput::Disconnected(Parting::Unfit, "another chain"), 10);
    bench.node.chain = '7';
    connect(&mut bench, 1_000);
    assert_eq!((bench.core.node(), bench.updates.len()), (1, 1));
}

#[test]
fn an_account_that_is_not_funded_yet_is_waited_for_and_the_ledgers_go_on() {
    for missing in [account(), token().issuer] {
        let mut bench = with_a_record(Closes::Every(1_000), '9');
        // An older record knows no hash: nothing says yet that the world is another.
        bench.core = FeedCore::new(FeedConfig { last_hash: None, ..bench.core.config.clone() });
        bench.node.missing = vec![missing];
        connect(&mut bench, 0);
        assert!(!bench.left() && !bench.core.is_following() && bench.updates.is_empty());
        let closes = bench.closes_asked;
        bench.on(FeedInput::Tick, 5_000);
        assert_eq!(bench.closes_asked, closes + 1, "who funds it may wait for a ledger");
        bench.node.index = 101;
        bench.hear(&closed(101));
        assert!(bench.updates.is_empty());
        (bench.node.index, bench.node.missing) = (102, vec![]);
        bench.hear(&closed(102));
        assert_eq!(bench.updates.last().map(|update| update.ledger.index), Some(102));
    }
    // An account that nobody has seen is a mistake.
    let mut bench = Bench::new(None);
    bench.node.missing = vec![account()];
    bench.on(FeedInput::Tick, 0);
    let mut effects = bench.core.on(FeedInput::Connected, 1).unwrap();
    let mut said = Ok(());
    while let (Ok(()), Some(effect)) = (&said, effects.pop()) {
        let FeedEffect::Send(text) = effect else { continue };
        let answer = bench.node.answer(&serde_json::from_str(&text).unwrap()).to_string();
        said = bench.core.on(FeedInput::Text(&answer), 2).map(|more| effects.extend(more));
    }
    assert!(matches!(said, Err(FeedError::NoAccount { .. })), "{said:?}");
}

#[test]
fn a_node_that_has_only_what_is_new_has_all_that_is_missing() {
    let mut bench = with_a_record(Closes::Every(1_000), '9');
    (bench.core.processed, bench.node.lacks, bench.node.history_from) = (Some(99), 0..100, 100);
    bench.node.range_error = "lgrIdxMalformed";
    bench.node.history = vec![payment(100, 'A', 49_999_995)];
    connect(&mut bench, 0);
    let update = &bench.updates[0];
    assert_eq!((update.transactions.len(), &update.history_lost), (1, &None));
    // One ledger more is missing: that is a hole.
    let mut bench = with_a_record(Closes::Every(1_000), '9');
    (bench.core.processed, bench.node.lacks, bench.node.history_from) = (Some(98), 0..100, 100);
    bench.node.range_error = "lgrIdxMalformed";
    connect(&mut bench, 0);
    assert!(bench.updates[0].history_lost.is_some());
}

#[test]
fn while_offers_are_withdrawn_ledgers_close_as_soon_as_they_may() {
    let mut bench = Bench::live(None);
    bench.core.config.closes = Closes::Every(MINUTE_MS);
    bench.on(FeedInput::Tick, 1_000);
    assert_eq!(bench.closes_asked, 1);
    bench.on(FeedInput::Tick, 2_000);
    assert_eq!(bench.closes_asked, 1);
    bench.on(FeedInput::CloseSoon, 2_000);
    bench.on(FeedInput::Tick, 2_100);
    assert_eq!(bench.closes_asked, 1, "what was just signed must arrive first");
    for (now_ms, closes) in [(2_250, 2), (2_400, 2), (2_500, 3), (2_750, 4)] {
        bench.on(FeedInput::Tick, now_ms);
        assert_eq!(bench.closes_asked, closes, "at {now_ms}");
    }
}

#[test]
fn a_node_without_our_account_is_no_node_however_many_ledgers_it_closes() {
    for missing in [account(), token().issuer] {
        let mut bench = Bench::live(None);
        bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 10);
        bench.node.missing = vec![missing];
        connect(&mut bench, 1_000);
        for index in 101..110 {
            bench.node.index = index;
            let asked = bench.asked.len();
            bench.hear(&closed(index));
            assert_eq!(bench.asked.len(), asked + 1, "the account alone, no picture: {:?}", &bench.asked[asked..]);
        }
        assert_eq!(bench.seen, [true, false]);
        (bench.node.index, bench.node.missing) = (110, vec![]);
        bench.hear(&closed(110));
        assert_eq!(bench.updates.last().map(|update| update.ledger.index), Some(110));
        assert_eq!(bench.seen, [true, false, true]);
    }
}

/// The node has told of the ledger that the account appears with before it can be asked for it, and no other follows soon.
#[test]
fn an_account_that_could_not_be_asked_for_yet_is_asked_for_again() {
    let mut bench = Bench::live(None);
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 10);
    bench.node.missing = vec![account()];
    connect(&mut bench, 1_000);
    bench.hear(&closed(101));
    (bench.node.index, bench.node.missing) = (101, vec![]);
    bench.on(FeedInput::Tick, 2_000);
    assert_eq!(bench.updates.last().map(|update| update.ledger.index), Some(101));
}

#[test]
fn a_node_that_only_lets_a_picture_begin_is_not_seen() {
    let mut bench = Bench::live(None);
    for round in 1..4 {
        bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), round * 100_000);
        (bench.node.has_history, bench.node.index) = (false, 50);
        connect(&mut bench, round * 100_000 + 50_000);
    }
    assert_eq!(bench.seen, [true, false]);
}

#[test]
fn a_picture_that_is_read_while_a_node_is_followed_is_no_loss_unless_it_lasts() {
    let mut bench = Bench::live(None);
    bench.on(FeedInput::ListAgain, 5);
    bench.node.index = 101;
    bench.hear(&closed(101));
    assert_eq!((bench.updates.len(), &bench.seen), (2, &vec![true]));
    // A gap: everything is read afresh, and no answer comes.
    let asked = bench.core.on(FeedInput::Text(&closed(104).to_string()), 20_000).unwrap();
    assert!(!asked.is_empty() && !bench.core.is_live() && bench.core.sees_node());
    bench.core.asked.clear();
    let limit_ms = bench.core.config.request_timeout_ms;
    bench.on(FeedInput::Tick, 20_000 + limit_ms);
    assert!(bench.core.sees_node());
    bench.on(FeedInput::Tick, 20_001 + limit_ms);
    assert!(!bench.core.sees_node() && !bench.left());
}
