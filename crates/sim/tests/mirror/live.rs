//! A market that is followed as it goes: a simulated node in the place of a real one, and its mirror with ours in it.

use std::collections::{BTreeMap, VecDeque};

use neo_ledger::message::{self, Message};
use neo_market::{Dec, Side};
use neo_sim::mirror::live::{Effect, Input, Live, Pace};
use neo_sim::mirror::standing::{Touched, touched};
use neo_sim::state::OfferKey;
use neo_sim::{ConnectionId, Node, Scenario};

use super::hand::*;
use super::market::most;

const REAL_NETWORK: u32 = 65_002;
const LEDGER_MS: u64 = 4_000;
const PACE: Pace =
    Pace { interval_ms: LEDGER_MS, dark_ms: 12_000, outage_ms: 60_000, silence_ms: 20_000, accept_ms: None };

/// The real node, who follows it, and the mirror.
struct Street {
    real: Node,
    live: Live,
    connection: Option<ConnectionId>,
    reachable: bool,
    /// What the node says is on its way for now, and does not come.
    stalled: Option<Vec<String>>,
    mirror: Option<Client>,
    now_ms: u64,
    asked: Vec<String>,
    told: Vec<String>,
    ended: Option<String>,
    /// What was traded, by ledger.
    traded: BTreeMap<u32, Vec<Touched>>,
    /// Indexes and close times of the mirror's ledgers.
    closed: Vec<(u32, u32)>,
}

impl Street {
    fn new(seed: u64, change: impl FnOnce(&mut Scenario)) -> Street {
        let mut scenario = Scenario { network_id: REAL_NETWORK, maker_xrp: Dec::zero(), ..Scenario::default() };
        scenario.takers.arrivals_per_ledger = 1.5;
        scenario.takers.size_xrp_median = 400.0;
        scenario.takers.limit_bps = 80.0;
        scenario.price.volatility_bps_per_ledger = 12.0;
        scenario.makers.size_xrp = 300.0;
        change(&mut scenario);
        let mut real = Node::new(&scenario, seed).unwrap();
        // A mirror is founded by ledgers before its first.
        for _ in 0..4 {
            real.close_ledger();
        }
        let live = Live::new(REAL_NETWORK, scenario.token(), PACE, 0);
        Street {
            real,
            live,
            connection: None,
            reachable: true,
            stalled: None,
            mirror: None,
            now_ms: 0,
            asked: Vec::new(),
            told: Vec::new(),
            ended: None,
            traded: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    /// One whose mirror has begun.
    fn begun(seed: u64) -> Street {
        let mut street = Street::new(seed, |_| {});
        street.tick();
        street.ledger();
        street.ledger();
        assert!(street.mirror.is_some(), "{:?}", street.told);
        street
    }

    fn mirror(&mut self) -> &mut Client {
        self.mirror.as_mut().unwrap()
    }

    fn tick(&mut self) {
        let effects = self.live.on(Input::Tick, self.now_ms);
        self.carry_out(effects);
    }

    /// Time goes on without a ledger.
    fn wait(&mut self, time_ms: u64) {
        let until_ms = self.now_ms + time_ms;
        while self.now_ms < until_ms {
            self.now_ms += 500;
            self.tick();
        }
    }

    /// The real ledger closes, four seconds after the last.
    fn ledger(&mut self) {
        self.wait(LEDGER_MS);
        let token = self.real.scenario().token();
        let said: Vec<String> = self.real.close_ledger().into_iter().map(|outgoing| outgoing.text).collect();
        for text in &said {
            if let Message::Transaction(stream) = message::parse(text).unwrap() {
                let tx = &stream.transaction;
                self.traded.entry(tx.ledger_index).or_default().extend(touched(tx, token).unwrap());
            }
        }
        match &mut self.stalled {
            Some(stalled) => stalled.extend(said),
            None => said.iter().for_each(|text| self.say(text)),
        }
    }

    fn say(&mut self, text: &str) {
        let effects = self.live.on(Input::Text(text), self.now_ms);
        self.carry_out(effects);
    }

    fn cut(&mut self) {
        if let Some(id) = self.connection.take() {
            self.real.disconnect(id);
        }
        self.reachable = false;
        let effects = self.live.on(Input::Ended { busy: false, reason: "cut" }, self.now_ms);
        self.carry_out(effects);
    }

    /// What comes late comes now.
    fn catch_up(&mut self) {
        for text in self.stalled.take().unwrap_or_default() {
            self.say(&text);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Connect if self.reachable => {
                    self.connection = Some(self.real.connect());
                    effects.extend(self.live.on(Input::Connected, self.now_ms));
                }
                Effect::Connect => {
                    effects.extend(self.live.on(Input::Ended { busy: false, reason: "refused" }, self.now_ms));
                }
                Effect::Send(request) => {
                    let id = self.connection.expect("a request without a connection");
                    let said = self.real.request(id, &request);
                    self.asked.push(request);
                    for outgoing in said {
                        match &mut self.stalled {
                            Some(stalled) => stalled.push(outgoing.text),
                            None => effects.extend(self.live.on(Input::Text(&outgoing.text), self.now_ms)),
                        }
                    }
                }
                Effect::Leave => {
                    if let Some(id) = self.connection.take() {
                        self.real.disconnect(id);
                    }
                }
                Effect::Tell(text) => self.told.push(text),
                Effect::Begin(founding) => {
                    let mut scenario = Scenario::default();
                    scenario.maker_xrp = Dec::from_i64(1_000_000);
                    scenario.maker_rlusd = Dec::from_i64(1_000_000);
                    let token = self.real.scenario().token();
                    let node = Node::following(&scenario, 1, token, None, &founding).unwrap();
                    assert_eq!(node.ledger_index(), founding.last().unwrap().index);
                    self.mirror = Some(Client::at(node));
                }
                Effect::Ledger(ledger) => {
                    let index = ledger.index;
                    let mirror = self.mirror.as_mut().unwrap();
                    let said = mirror.node.follow(*ledger);
                    mirror.closed(said);
                    assert_eq!(mirror.node.ledger_index(), index);
                    self.closed.push((index, mirror.node.close_time().0));
                }
                Effect::End(reason) => self.ended = Some(reason),
            }
        }
    }

    /// The real offers of the mirror.
    fn mirrored(&mut self) -> BTreeMap<OfferKey, (String, String)> {
        let maker = self.mirror().maker();
        let mut all = offers(&self.mirror().node);
        all.retain(|key, _| key.account != maker);
        all
    }

    /// Holds the mirror against the real ledger: it is a ledger behind.
    fn same_as_before(&mut self) {
        let (mirrored, index) = (self.mirrored(), self.mirror().node.ledger_index());
        let before = offers(&self.real);
        assert_eq!(index, self.real.ledger_index(), "told: {:?}", self.told);
        assert_eq!(mirrored, before, "ledger {index}");
    }

    /// The last message of a real ledger is that the next has closed; so that the same ledger is compared, the next one
    /// is closed without anybody in it.
    fn quiet_ledger(&mut self) {
        self.wait(LEDGER_MS);
        let index = self.real.ledger_index() + 1;
        let closed = serde_json::json!({
            "type": "ledgerClosed", "ledger_index": index, "ledger_hash": "AB".repeat(32),
            "ledger_time": self.real.close_time().0 + 4, "fee_base": 10, "reserve_base": 1_000_000,
            "reserve_inc": 200_000, "txn_count": 0,
        });
        self.say(&closed.to_string());
    }
}

fn offers(node: &Node) -> BTreeMap<OfferKey, (String, String)> {
    let state = node.validated_state();
    state.offers().map(|(key, offer)| (key, (offer.taker_gets.text(), offer.taker_pays.text()))).collect()
}

#[test]
fn the_mirror_is_the_real_book_with_its_index_and_close_time_a_ledger_later() {
    let mut street = Street::begun(7);
    let mut pictures = BTreeMap::new();
    for _ in 0..40 {
        street.ledger();
        let real = &street.real;
        pictures.insert(real.ledger_index(), (offers(real), real.close_time()));
        let index = street.mirror().node.ledger_index();
        assert_eq!(index + 1, street.real.ledger_index());
        if let Some((book, time)) = pictures.get(&index) {
            assert_eq!((&street.mirrored(), &street.mirror().node.close_time()), (book, time), "ledger {index}");
        }
    }
    assert!(street.told.is_empty() && street.traded.len() > 20, "{:?}", street.told);
    // Two pictures at the start, and never again.
    assert_eq!(street.asked.iter().filter(|request| request.contains("book_offers")).count(), 2);
    assert!(!street.asked.iter().any(|request| request.contains("submit")), "nothing is sent to the real node");
}

#[test]
fn ours_is_filled_by_what_was_traded_at_its_price_or_through_it_and_by_no_more() {
    let mut all = 0;
    for seed in 1..6 {
        let mut street = Street::begun(seed);
        let maker = street.mirror().maker();
        // Sequence, side, quality, what is left, price in thousandths.
        let mut standing = Vec::new();
        for step in 0..40 {
            let mut placed = Vec::new();
            if step % 3 == 0 {
                for (is_ask, price) in [(true, 2_402), (false, 2_398)] {
                    placed.push((street.mirror().place(is_ask, 50, price), is_ask, price));
                }
            }
            street.ledger();
            let index = street.mirror().node.ledger_index();
            let touched = street.traded.get(&index).cloned().unwrap_or_default();
            for (sequence, side, quality, left, price) in &mut standing {
                let key = OfferKey { account: maker, sequence: *sequence };
                let now = street.mirror().drops_of(key).unwrap_or(0);
                let fill: i64 = *left - now;
                assert!(
                    (0..=most(&touched, *side, *quality, *price)).contains(&fill),
                    "{fill} in {index}, seed {seed}"
                );
                *left = now;
                all += fill;
            }
            for (sequence, is_ask, price) in placed {
                let key = OfferKey { account: maker, sequence };
                let quality = street.mirror().node.validated_state().offer(key).map(|offer| offer.quality);
                if let Some(quality) = quality {
                    let side = if is_ask { Side::Ask } else { Side::Bid };
                    let left = street.mirror().drops_of(key).unwrap();
                    standing.push((sequence, side, quality, left, price));
                }
            }
        }
    }
    assert!(all > 300 * XRP, "{all}");
}

#[test]
fn a_hole_empties_the_book_until_a_fresh_picture_and_fills_nothing() {
    let mut street = Street::begun(3);
    for _ in 0..5 {
        street.ledger();
    }
    let ours = [street.mirror().place(true, 50, 2_401), street.mirror().place(false, 50, 2_399)];
    street.ledger();
    let left = ours.map(|sequence| street.mirror().left(sequence));
    street.cut();
    let at = street.closed.len();
    // Two ledgers that nobody sees.
    street.ledger();
    street.ledger();
    assert_eq!(street.closed.len(), at, "no ledger of one's own so soon");
    street.reachable = true;
    for ledger in 0..3 {
        street.ledger();
        let filled: Vec<i64> = ours.iter().zip(left).map(|(ours, left)| left - street.mirror().left(*ours)).collect();
        if street.mirrored().is_empty() {
            assert_eq!(filled, [0, 0], "ledger {ledger} behind the hole");
        }
    }
    assert!(street.told.iter().any(|text| text.contains("is not known")), "{:?}", street.told);
    assert!(street.told.last().unwrap().contains("known again"), "{:?}", street.told);
    street.quiet_ledger();
    street.same_as_before();
    let indexes: Vec<u32> = street.closed.iter().map(|(index, _)| *index).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{indexes:?}");
}

#[test]
fn without_the_node_time_goes_on_so_that_ours_can_be_withdrawn_and_nothing_can_be_quoted_from() {
    let mut street = Street::begun(11);
    street.ledger();
    let ours = street.mirror().place(true, 50, 2_500);
    street.ledger();
    street.cut();
    let at = street.closed.len();
    street.wait(PACE.dark_ms - 1_000);
    assert_eq!(street.closed.len(), at);
    street.wait(2_000);
    assert_eq!(street.closed.len(), at + 1, "{:?}", street.told);
    assert!(street.mirrored().is_empty());
    assert_eq!(street.mirror().left(ours), 50);
    street.mirror().cancel(ours);
    street.wait(LEDGER_MS);
    assert_eq!(street.mirror().left(ours), 0);
    // The real market was there all the time: its ledgers are ahead, and the indexes agree again.
    for _ in 0..8 {
        street.real.close_ledger();
    }
    street.reachable = true;
    for _ in 0..4 {
        street.ledger();
    }
    street.quiet_ledger();
    street.same_as_before();
    assert!(street.ended.is_none());
    let times: Vec<u32> = street.closed.iter().map(|(_, time)| *time).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

#[test]
fn a_market_that_stood_still_is_known_again_though_its_indexes_lag() {
    let mut street = Street::begun(11);
    street.ledger();
    // Its messages are late, and so are its answers. Blank ledgers were closed meanwhile.
    street.stalled = Some(Vec::new());
    street.ledger();
    street.wait(28_000);
    let ahead = street.mirror().node.ledger_index() + 1 - street.real.ledger_index();
    assert!(ahead >= 2, "{ahead}");
    street.catch_up();
    for _ in 0..12 {
        street.ledger();
    }
    assert!(!street.mirrored().is_empty(), "{:?}", street.told);
    street.quiet_ledger();
    assert_eq!(street.mirrored(), offers(&street.real));
    assert!(street.mirror().node.ledger_index() > street.real.ledger_index());
    let indexes: Vec<u32> = street.closed.iter().map(|(index, _)| *index).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{indexes:?}");
}

#[test]
fn a_picture_that_is_refused_is_asked_for_again() {
    let mut street = Street::begun(5);
    street.ledger();
    street.cut();
    street.wait(1_000);
    street.reachable = true;
    // The answers to the first questions are lost.
    street.stalled = Some(Vec::new());
    street.wait(3_000);
    street.stalled = None;
    for _ in 0..3 {
        street.ledger();
        assert!(street.mirrored().is_empty());
    }
    for _ in 0..3 {
        street.ledger();
    }
    street.quiet_ledger();
    street.same_as_before();
}

#[test]
fn a_market_that_is_gone_for_long_is_given_up() {
    let mut street = Street::begun(2);
    street.cut();
    street.wait(PACE.outage_ms - 1_000);
    assert_eq!(street.ended, None);
    street.wait(2_000);
    let reason = street.ended.unwrap();
    assert!(reason.contains("no ledger of the market") && reason.contains("network.url"), "{reason}");
}

#[test]
fn a_node_of_another_network_is_refused() {
    let mut street = Street::new(2, |scenario| scenario.network_id = 65_003);
    street.tick();
    let reason = street.ended.clone().unwrap();
    assert!(reason.contains("network 65003") && reason.contains("network 65002"), "{reason}");
}

#[test]
fn what_stood_before_ours_stands_before_it_when_the_book_is_known_again() {
    // By hand: an ask of 50 was there first, and ours at its price is behind it.
    let mut live = Live::new(0, token(), PACE, 0);
    let (early, far) = (ask(1, 2_500), bid(3, 2_300));
    let mut hand = Hand::default();
    hand.closed(&mut live, FIRST);
    hand.picture(&mut live, FIRST, &[far.of(100)], &[early.of(50)]);
    hand.closed(&mut live, FIRST + 1);
    let mut client = hand.mirror.take().expect("it has begun");
    let ours = client.place(true, 30, 2_500);
    let close = |hand: &mut Hand, live: &mut Live, client: &mut Client, index: u32| {
        hand.closed(live, index);
        for ledger in hand.ledgers.drain(..) {
            let said = client.node.follow(ledger);
            client.closed(said);
        }
    };
    close(&mut hand, &mut live, &mut client, FIRST + 2);
    assert_eq!((client.left(ours), client.left_of_real(early)), (30, 50));
    // A ledger is missing; with the second answer the book is known again.
    hand.cut(&mut live);
    close(&mut hand, &mut live, &mut client, FIRST + 4);
    assert_eq!((client.left(ours), client.left_of_real(early)), (30, 0), "hidden");
    hand.picture(&mut live, FIRST + 4, &[far.of(100)], &[early.of(50)]);
    close(&mut hand, &mut live, &mut client, FIRST + 5);
    assert_eq!((client.left(ours), client.left_of_real(early)), (30, 50));
    hand.tx(&mut live, FIRST + 6, &[early.taken(50, 20)]);
    close(&mut hand, &mut live, &mut client, FIRST + 6);
    close(&mut hand, &mut live, &mut client, FIRST + 7);
    assert_eq!((client.left(ours), client.left_of_real(early)), (30, 20), "it waits behind the earlier one");
}

/// Messages written by hand.
#[derive(Default)]
struct Hand {
    now_ms: u64,
    /// Questions of both sides of the book, by their id: whether the asks were asked for.
    questions: Vec<(u64, bool)>,
    hashes: u8,
    mirror: Option<Client>,
    ledgers: Vec<neo_sim::mirror::read::MirrorLedger>,
    connected: bool,
}

impl Hand {
    fn on(&mut self, live: &mut Live, input: Input<'_>) {
        for effect in live.on(input, self.now_ms) {
            match effect {
                Effect::Send(text) => {
                    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
                    if request["command"] == "book_offers" {
                        let asks = request["taker_gets"]["currency"] == "XRP";
                        self.questions.push((request["id"].as_u64().unwrap(), asks));
                    }
                }
                Effect::Begin(founding) => {
                    let node = Node::following(&Scenario::default(), 1, token(), None, &founding).unwrap();
                    self.mirror = Some(Client::at(node));
                }
                Effect::Ledger(ledger) => self.ledgers.push(*ledger),
                Effect::Connect | Effect::Leave | Effect::Tell(_) => {}
                Effect::End(reason) => panic!("{reason}"),
            }
        }
    }

    fn connect(&mut self, live: &mut Live) {
        if !self.connected {
            self.connected = true;
            self.now_ms += 1_000;
            self.on(live, Input::Tick);
            self.on(live, Input::Connected);
        }
    }

    fn cut(&mut self, live: &mut Live) {
        self.connected = false;
        self.on(live, Input::Ended { busy: false, reason: "cut" });
        self.questions.clear();
    }

    fn closed(&mut self, live: &mut Live, index: u32) {
        self.connect(live);
        self.now_ms += LEDGER_MS;
        let text = serde_json::json!({
            "type": "ledgerClosed", "ledger_index": index, "ledger_hash": "AB".repeat(32),
            "ledger_time": 800_000_000 + index * 4, "fee_base": 10, "reserve_base": 1_000_000,
            "reserve_inc": 200_000, "txn_count": 1,
        });
        self.on(live, Input::Text(&text.to_string()));
    }

    fn picture(&mut self, live: &mut Live, index: u32, bids: &[serde_json::Value], asks: &[serde_json::Value]) {
        let questions = std::mem::take(&mut self.questions);
        // As the connection opens, and once more for a ledger that is missing.
        assert!([2, 4].contains(&questions.len()), "both sides are asked for: {questions:?}");
        for (id, is_asks) in questions {
            let offers = if is_asks { asks } else { bids };
            let answer = serde_json::json!({
                "id": id, "type": "response", "status": "success",
                "result": { "ledger_index": index, "validated": true, "offers": offers },
            });
            self.on(live, Input::Text(&answer.to_string()));
        }
    }

    fn tx(&mut self, live: &mut Live, index: u32, nodes: &[serde_json::Value]) {
        self.hashes += 1;
        let text = serde_json::json!({
            "type": "transaction", "validated": true, "engine_result": "tesSUCCESS", "ledger_index": index,
            "hash": format!("{:064X}", self.hashes),
            "meta": { "TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": nodes },
            "tx_json": { "Account": owner(77), "TransactionType": "OfferCreate", "Sequence": 1, "Fee": "10" },
        });
        self.on(live, Input::Text(&text.to_string()));
    }
}
