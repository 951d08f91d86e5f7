//! The promises of the orders, each without a mailbox, a network or a clock.

use neo_ledger::keys::Algorithm;
use neo_ledger::own::{AccountAfter, OfferChange, OfferChangeKind, OwnTransaction, Removal};
use neo_ledger::types::{Address, Amount, Currency};
use neo_market::reference::reference;
use neo_market::{BookLevel, MarketView, Outside, ReferenceConfig};
use neo_store::record::Intent;

use super::*;
use crate::messages::{AccountState, LedgerHeader, OpenOffer};

fn key() -> Keypair {
    Keypair::from_entropy([7; 16], Algorithm::Ed25519).unwrap()
}

fn token() -> Token {
    Token { currency: Currency::RLUSD, issuer: Address([9; 20]) }
}

fn core(levels: u8) -> OrdersCore {
    let quote = QuoteConfig { levels, ..QuoteConfig::default() };
    let config = OrdersConfig {
        token: token(),
        network_id: 65_001,
        quote,
        risk: RiskConfig::default(),
        last_ledger_offset: 5,
        max_fee: Drops::new(5_000),
        cancel_max_fee: Drops::new(50_000),
        fee_budget: Drops::ZERO,
        fees_paid: Vec::new(),
        trade_for_s: None,
        unsettled: Vec::new(),
        settled: Vec::new(),
        adoptable: Vec::new(),
        orphan_reads: 1,
        cancel_tickets: 0,
        paused: None,
        watch: WatchStart::default(),
    };
    OrdersCore::new(config, key())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// The market shows `view`, and its middle is the reference.
fn show(update: &mut LedgerUpdate, view: MarketView) {
    update.reference = reference(&view, &Outside::default(), &ReferenceConfig::default());
    update.view = view;
}

fn update(
    index: u32,
    sequence: u32,
    transactions: Vec<OwnTransaction>,
    offers: Option<Vec<OpenOffer>>,
) -> LedgerUpdate {
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    let view = MarketView { ledger_index: index, bids: level("2.39"), asks: level("2.41"), ..MarketView::default() };
    LedgerUpdate {
        ledger: LedgerHeader {
            index,
            hash: Hash([7; 32]),
            close_time: LedgerTime(800_000_000 + index * 4),
            base_fee: Drops::new(10),
            reserve_base: Drops::new(1_000_000),
            reserve_inc: Drops::new(200_000),
        },
        reference: reference(&view, &Outside::default(), &ReferenceConfig::default()),
        view,
        account: AccountState {
            xrp: Drops::new(10_000_000_000),
            rlusd: "25000".parse().unwrap(),
            sequence,
            owner_count: 1,
        },
        transactions,
        offers,
        owned: None,
        terms: neo_ledger::TokenTerms::default(),
        history_lost: None,
    }
}

/// Drives a core and answers for the record and the node.
struct Bench {
    core: OrdersCore,
    effects: Vec<OrdersEffect>,
}

impl Bench {
    fn new(levels: u8) -> Bench {
        Bench { core: core(levels), effects: Vec::new() }
    }

    fn on(&mut self, input: OrdersInput<'_>) {
        let effects = self.core.on(input, now()).unwrap();
        self.effects.extend(effects);
    }

    fn ledger(&mut self, update: &LedgerUpdate) {
        self.on(OrdersInput::Update(update));
    }

    fn take(&mut self) -> Vec<OrdersEffect> {
        std::mem::take(&mut self.effects)
    }

    /// Makes every batch durable and answers every submission; returns the intents.
    fn acknowledge(&mut self) -> Vec<Intent> {
        let mut intents = Vec::new();
        loop {
            let effects = self.take();
            let mut more = false;
            for effect in effects {
                match effect {
                    OrdersEffect::Persist { batch, records } => {
                        more = true;
                        intents.extend(records.into_iter().filter_map(|record| match record {
                            Record::Intent(intent) => Some(intent),
                            _ => None,
                        }));
                        self.on(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) }));
                    }
                    OrdersEffect::Submit(submission) => {
                        more = true;
                        let result = Ok("tesSUCCESS".to_string());
                        let reply = SubmissionReply { hash: submission.hash, result, open_ledger_cost: None };
                        self.on(OrdersInput::Reply(reply));
                    }
                    _ => {}
                }
            }
            if !more {
                return intents;
            }
        }
    }
}

/// The validated form of an intent.
fn included(intent: &Intent, index: u32, result: &str, offers: Vec<OfferChange>) -> OwnTransaction {
    OwnTransaction {
        hash: intent.tx_hash.parse().unwrap(),
        ledger_index: index,
        transaction_index: 0,
        close_time: None,
        ours: true,
        kind: if intent.purpose == Purpose::Cancel { "OfferCancel" } else { "OfferCreate" }.to_string(),
        sequence: intent.sequence,
        offer_sequence: intent.offer_sequence,
        fee: intent.fee,
        result: result.to_string(),
        xrp_change: Drops::new(-intent.fee.get()),
        token_change: Dec::zero(),
        after: AccountAfter::default(),
        fills: Vec::new(),
        offers,
    }
}

fn change(sequence: u32, side: Side, kind: OfferChangeKind) -> OfferChange {
    let xrp = Amount::Xrp(Drops::new(100_000_000));
    let rlusd = Amount::Token { value: "240".parse().unwrap(), token: token() };
    let (taker_gets, taker_pays) = if side == Side::Ask { (xrp, rlusd) } else { (rlusd, xrp) };
    OfferChange { sequence, taker_gets, taker_pays, side, kind }
}

/// One bid and one ask, resting from ledger 101 on.
fn quoting() -> (Bench, Vec<Intent>) {
    quoting_on(Bench::new(1))
}

/// Lost history is worth a pause of its own, and a market that leaps a margin; neither is looked at here.
fn blind_to_gaps(orphan_reads: u32) -> Bench {
    let mut config = core(1).config;
    config.quote.taking_guard_deviations = Dec::zero();
    config.orphan_reads = orphan_reads;
    config.risk.triggers.rule_mut(neo_market::Trigger::Gap).limit = Dec::zero();
    Bench { core: OrdersCore::new(config, key()), effects: Vec::new() }
}

fn quoting_on(mut bench: Bench) -> (Bench, Vec<Intent>) {
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert_eq!(intents.len(), 2);
    let sides = [Side::Bid, Side::Ask];
    let placed = intents.iter().zip(sides).map(|(intent, side)| {
        included(intent, 101, "tesSUCCESS", vec![change(intent.sequence, side, OfferChangeKind::Created)])
    });
    bench.ledger(&update(101, 3, placed.collect(), None));
    bench.acknowledge();
    assert_eq!(bench.core.quotes().len(), 2);
    (bench, intents)
}

#[test]
fn nothing_is_sent_before_it_is_durable() {
    let mut bench = Bench::new(2);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let effects = bench.take();
    assert!(!effects.iter().any(|effect| matches!(effect, OrdersEffect::Submit(_))));
    assert!(!effects.iter().any(|effect| matches!(effect, OrdersEffect::LedgerDone(_))), "work is still open");
    let batch = effects
        .iter()
        .find_map(|effect| match effect {
            OrdersEffect::Persist { batch, records } => {
                assert_eq!(records.iter().filter(|record| matches!(record, Record::Intent(_))).count(), 4);
                Some(*batch)
            }
            _ => None,
        })
        .unwrap();
    bench.on(OrdersInput::Durable(IntentsDurable { batch: batch + 1, result: Ok(()) }));
    assert!(bench.take().is_empty(), "another batch's answer sends nothing");
    bench.on(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) }));
    let sent = bench.take().iter().filter(|effect| matches!(effect, OrdersEffect::Submit(_))).count();
    assert_eq!(sent, 4);
}

#[path = "tickets_tests.rs"]
mod cancel_tickets;
#[path = "late_tests.rs"]
mod late;
#[path = "missing_tests.rs"]
mod missing;
#[path = "signing_tests.rs"]
mod signing;

#[test]
fn intents_that_cannot_be_durable_end_the_session() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let lost = IntentsDurable { batch: 1, result: Err("disk full".into()) };
    assert!(matches!(bench.core.on(OrdersInput::Durable(lost), now()), Err(OrdersError::RecordLost { .. })));
}

#[test]
fn a_ledger_is_done_once_and_only_when_every_submission_was_answered() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.on(OrdersInput::Durable(IntentsDurable { batch: 1, result: Ok(()) }));
    let submissions: Vec<Submission> = bench
        .take()
        .into_iter()
        .filter_map(|effect| match effect {
            OrdersEffect::Submit(submission) => Some(submission),
            OrdersEffect::LedgerDone(_) => panic!("replies are outstanding"),
            _ => None,
        })
        .collect();
    for (n, submission) in submissions.iter().enumerate() {
        let result = Err("no answer".to_string());
        bench.on(OrdersInput::Reply(SubmissionReply { hash: submission.hash, result, open_ledger_cost: None }));
        let done = bench.take().iter().filter(|effect| **effect == OrdersEffect::LedgerDone(100)).count();
        assert_eq!(done, usize::from(n + 1 == submissions.len()));
    }
}

fn recorded(effects: &[OrdersEffect]) -> impl Iterator<Item = &Record> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            OrdersEffect::Record(records) => Some(records),
            _ => None,
        })
        .flatten()
}

fn in_state(effects: &[OrdersEffect], state: IntentState) -> usize {
    recorded(effects).filter(|record| matches!(record, Record::IntentUpdate(update) if update.state == state)).count()
}

fn dead_in(effects: &[OrdersEffect]) -> usize {
    in_state(effects, IntentState::Dead)
}

fn validated_in(effects: &[OrdersEffect]) -> usize {
    in_state(effects, IntentState::Validated)
}

#[test]
fn a_transaction_is_dead_when_its_last_ledger_has_passed_and_its_number_is_used_again() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert_eq!(intents[0].last_ledger_sequence, 105);
    bench.ledger(&update(104, 1, vec![], None));
    assert_eq!(bench.core.in_flight(), 2, "still alive before its LastLedgerSequence has passed");
    assert_eq!(dead_in(&bench.take()), 0);
    bench.ledger(&update(105, 1, vec![], None));
    assert_eq!(dead_in(&bench.effects), 2);
    assert_eq!(bench.acknowledge()[0].sequence, 1);
}

#[test]
fn after_a_dead_transaction_nothing_is_signed_while_later_ones_are_in_flight() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.acknowledge();
    bench.ledger(&update(102, 1, vec![], None));
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    assert_eq!(bench.acknowledge().len(), 2, "two cancels, alive until 107");
    bench.ledger(&update(105, 1, vec![], None));
    assert!(bench.core.hole && bench.core.in_flight() == 2);
    assert!(bench.acknowledge().is_empty(), "a number after the hole could not apply");
    bench.ledger(&update(107, 1, vec![], None));
    assert!(bench.effects.contains(&OrdersEffect::Flat));
}

#[test]
fn without_a_price_that_can_be_trusted_nothing_stands_and_the_reason_is_told() {
    let (mut bench, _) = quoting();
    let far = Outside {
        reading: Some(neo_market::OutsideReading { price: "2.5".parse().unwrap(), age_s: 1 }),
        problem: None,
    };
    let mut untrusted = update(102, 3, vec![], None);
    untrusted.reference = reference(&untrusted.view, &far, &ReferenceConfig::default());
    bench.ledger(&untrusted);
    let withdrawn = bench.acknowledge();
    assert_eq!(withdrawn.len(), 2);
    assert!(withdrawn.iter().all(|intent| intent.purpose == Purpose::Cancel), "{withdrawn:?}");
    assert!(bench.core.withheld().unwrap().contains("outside_max_deviation_bps"), "{:?}", bench.core.withheld());
}

#[test]
fn quotes_stand_around_the_reference_that_the_ledger_came_with() {
    let mut bench = Bench::new(1);
    let mut leaning = update(100, 1, vec![], Some(vec![]));
    leaning.view.bids[0].size = Drops::new(3_000_000_000);
    let microprice =
        ReferenceConfig { source: neo_market::reference::PriceSource::Microprice, ..ReferenceConfig::default() };
    leaning.reference = reference(&leaning.view, &Outside::default(), &microprice);
    bench.ledger(&leaning);
    let effects = bench.take();
    let prices: Vec<String> = effects
        .iter()
        .filter_map(|effect| if let OrdersEffect::Persist { records, .. } = effect { Some(records) } else { None })
        .flatten()
        .filter_map(|record| if let Record::Order(order) = record { Some(order.price.to_string()) } else { None })
        .collect();
    // 10 bps around 2.405.
    assert_eq!(prices, ["2.402595", "2.407405"]);
}

#[test]
fn a_failed_replacement_leaves_the_old_offer_ours() {
    let (mut bench, placed) = quoting();
    // The market moves by 1 %: both quotes are replaced, and the bid's replacement fails.
    let mut moved = update(110, 3, vec![], None);
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    show(
        &mut moved,
        MarketView { ledger_index: 110, bids: level("2.42"), asks: level("2.44"), ..MarketView::default() },
    );
    bench.ledger(&moved);
    let replacements = bench.acknowledge();
    assert!(replacements.iter().all(|intent| intent.purpose == Purpose::Replace));
    let mut after = moved.clone();
    after.ledger.index = 111;
    after.transactions = vec![included(&replacements[0], 111, "tecKILLED", vec![])];
    bench.ledger(&after);
    let open = bench.core.open_items().0;
    assert!(open.contains(&placed[0].sequence), "the old bid still stands: {open:?}");
    assert!(!open.contains(&replacements[0].sequence), "the new bid never stood: {open:?}");
}

#[test]
fn a_pause_withdraws_and_goes_on_and_a_resume_quotes_again() {
    let (mut bench, placed) = quoting();
    bench.on(OrdersInput::Command(OrdersCommand::Pause("paused by the file KILL".to_string())));
    let cancels = bench.acknowledge();
    assert_eq!(cancels.len(), placed.len());
    assert!(cancels.iter().all(|intent| intent.purpose == Purpose::Cancel), "{cancels:?}");
    assert_eq!(bench.core.withheld(), Some("paused by the file KILL"));
    bench.ledger(&update(105, 3, vec![], None));
    assert!(bench.acknowledge().is_empty(), "they are in flight");
    // They die; whatever is left is cancelled again, and nothing else is signed.
    let mut after = update(130, 3, vec![], None);
    after.ledger.index = 130;
    bench.ledger(&after);
    let again = bench.acknowledge();
    assert!(!again.is_empty() && again.iter().all(|intent| intent.purpose == Purpose::Cancel), "{again:?}");
    let ended = |effect: &OrdersEffect| matches!(effect, OrdersEffect::Flat | OrdersEffect::Elapsed);
    assert!(!bench.effects.iter().any(ended), "the session goes on");
    bench.on(OrdersInput::Command(OrdersCommand::Resume));
    assert!(bench.core.withheld().unwrap().contains("resumed"));
    bench.ledger(&update(150, 3, vec![], Some(vec![])));
    assert!(bench.acknowledge().iter().any(|intent| intent.purpose == Purpose::Place));
    assert_eq!(bench.core.withheld(), None);
}

#[test]
fn a_session_that_begins_paused_signs_nothing_but_cancels_until_it_is_resumed() {
    let mut bench = Bench::new(1);
    bench.core.paused = Some("paused by the file neo.db.pause".to_string());
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert!(bench.acknowledge().is_empty());
    assert_eq!(bench.core.withheld(), Some("paused by the file neo.db.pause"));
    // A stop in a pause is a stop.
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    bench.on(OrdersInput::Command(OrdersCommand::Resume));
    assert!(bench.effects.contains(&OrdersEffect::Flat));
    bench.ledger(&update(101, 1, vec![], None));
    assert!(bench.acknowledge().is_empty());
}

#[test]
fn withdrawing_cancels_what_rests_and_what_is_in_flight_and_is_flat_only_by_proof() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert!(!bench.core.is_settled(), "nobody asked for a withdrawal yet");
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    assert!(!bench.core.is_sent(), "the cancels wait for the record");
    let cancels = bench.acknowledge();
    assert!(bench.core.is_sent());
    assert!(!bench.core.is_settled(), "both offers are still on their way");
    assert_eq!(cancels.iter().map(|intent| intent.offer_sequence).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert!(cancels.iter().all(|cancel| intents.iter().all(|intent| cancel.sequence > intent.sequence)));
    let sides = [Side::Bid, Side::Ask];
    let placed: Vec<OwnTransaction> = intents
        .iter()
        .zip(sides)
        .map(|(intent, side)| {
            included(intent, 101, "tesSUCCESS", vec![change(intent.sequence, side, OfferChangeKind::Created)])
        })
        .collect();
    bench.ledger(&update(101, 3, placed, None));
    assert!(!bench.acknowledge().iter().any(|intent| intent.purpose != Purpose::Cancel));
    assert!(bench.core.is_settled() && !bench.core.is_flat(), "only cancels are left in flight");
    let gone: Vec<OwnTransaction> = cancels
        .iter()
        .zip(sides)
        .map(|(cancel, side)| {
            let removed = OfferChangeKind::Removed(Removal::Cancelled);
            included(cancel, 102, "tesSUCCESS", vec![change(cancel.offer_sequence.unwrap(), side, removed)])
        })
        .collect();
    bench.ledger(&update(102, 5, gone, None));
    let effects = bench.take();
    assert!(effects.contains(&OrdersEffect::Flat));
    assert!(!effects.contains(&OrdersEffect::LedgerDone(102)), "a session that is over asks for no further ledger");
}

#[test]
fn offers_of_an_earlier_session_are_cancelled_before_the_first_quote() {
    let mut bench = Bench::new(1);
    let left = OpenOffer {
        sequence: 77,
        taker_gets: Amount::Xrp(Drops::new(1)),
        taker_pays: Amount::Token { value: Dec::one(), token: token() },
    };
    bench.ledger(&update(100, 90, vec![], Some(vec![left])));
    let intents = bench.acknowledge();
    assert_eq!(intents.len(), 1);
    assert_eq!((intents[0].purpose, intents[0].offer_sequence), (Purpose::Cancel, Some(77)));
    // A cancel that validated proves the offer gone, even when a fill had removed it before.
    bench.ledger(&update(101, 91, vec![included(&intents[0], 101, "tesSUCCESS", vec![])], None));
    let intents = bench.acknowledge();
    assert!(intents.iter().all(|intent| intent.purpose == Purpose::Place) && intents.len() == 2);
}

#[test]
fn the_end_of_the_trading_time_withdraws_by_itself() {
    let (mut bench, _) = quoting();
    bench.core.config.trade_for_s = Some(40);
    bench.ledger(&update(109, 3, vec![], None));
    assert!(!bench.take().contains(&OrdersEffect::Elapsed));
    bench.ledger(&update(110, 3, vec![], None));
    let effects = bench.take();
    assert_eq!(effects.iter().filter(|effect| **effect == OrdersEffect::Elapsed).count(), 1);
    bench.effects = effects;
    let cancels = bench.acknowledge();
    assert!(cancels.iter().all(|intent| intent.purpose == Purpose::Cancel) && cancels.len() == 2);
}

#[test]
fn after_quiesce_nothing_new_is_signed() {
    let (mut bench, _) = quoting();
    bench.on(OrdersInput::Command(OrdersCommand::Quiesce));
    let mut moved = update(120, 3, vec![], None);
    moved.view.bids[0].price = "2.30".parse().unwrap();
    bench.ledger(&moved);
    assert!(bench.acknowledge().is_empty());
}

#[test]
fn once_the_record_is_halted_nothing_new_is_signed_and_withdrawing_still_works() {
    let (mut bench, _) = quoting();
    bench.on(OrdersInput::RecordHalted("the disk is full".to_string()));
    assert_eq!(bench.core.withheld(), Some("the disk is full"));
    let mut moved = update(120, 3, vec![], None);
    moved.view.bids[0].price = "2.30".parse().unwrap();
    bench.ledger(&moved);
    assert!(bench.acknowledge().is_empty());
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let cancels = bench.acknowledge();
    assert!(!cancels.is_empty() && cancels.iter().all(|intent| intent.purpose == Purpose::Cancel));
    // What is being withdrawn stays so, however often the halt is told.
    bench.on(OrdersInput::RecordHalted("the disk is full".to_string()));
    assert_eq!(bench.core.withheld(), Some("withdrawing all offers"));
}

#[test]
fn a_sequence_number_used_by_somebody_else_kills_ours_and_leaves_nothing_behind() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    let mut foreign = included(&intents[0], 101, "tesSUCCESS", vec![]);
    foreign.hash = Hash([3; 32]);
    bench.ledger(&update(101, 2, vec![foreign], None));
    assert_eq!(
        (dead_in(&bench.effects), validated_in(&bench.effects)),
        (1, 0),
        "the record does not know the foreign one"
    );
    assert!(bench.core.hole && bench.core.in_flight() == 1);
    assert_eq!(bench.core.open_items().0, [intents[1].sequence], "the robbed offer is not believed to stand");
    assert!(bench.acknowledge().is_empty(), "a number after the hole could not apply");
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    assert!(bench.acknowledge().is_empty(), "not even a cancel");
}

#[test]
fn an_offer_of_an_earlier_session_that_validates_late_is_an_orphan() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    let created = vec![change(intents[0].sequence, Side::Bid, OfferChangeKind::Created)];
    let mut foreign = included(&intents[0], 101, "tesSUCCESS", created);
    foreign.hash = Hash([3; 32]);
    bench.core.inherited.insert(foreign.hash, 104);
    let second = included(&intents[1], 101, "tecKILLED", vec![]);
    bench.ledger(&update(101, 3, vec![foreign, second], None));
    let cancels = bench.acknowledge();
    assert_eq!((cancels.len(), cancels[0].offer_sequence), (1, Some(intents[0].sequence)));
}

#[test]
fn what_no_node_answered_for_is_sent_again_the_same_blob_while_it_can_live() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.take();
    bench.on(OrdersInput::Durable(IntentsDurable { batch: 1, result: Ok(()) }));
    let submissions = |effects: Vec<OrdersEffect>| -> Vec<Submission> {
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                OrdersEffect::Submit(submission) => Some(submission),
                _ => None,
            })
            .collect()
    };
    let first = submissions(bench.take());
    for submission in &first {
        let result = Err("no connection".to_string());
        bench.on(OrdersInput::Reply(SubmissionReply { hash: submission.hash, result, open_ledger_cost: None }));
    }
    bench.take();
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(submissions(bench.take()), first);
    bench.ledger(&update(102, 1, vec![], None));
    assert!(submissions(bench.take()).is_empty(), "an answer is awaited");
}

#[test]
fn what_an_earlier_session_left_unsettled_is_settled_by_the_ledger() {
    let (included_hash, dead_hash) = (Hash([4; 32]), Hash([5; 32]));
    let mut bench = Bench::new(1);
    bench.core.inherited = BTreeMap::from([(included_hash, 98), (dead_hash, 101)]);
    let intent = Intent {
        tx_hash: included_hash.to_string(),
        purpose: Purpose::Place,
        sequence: 9,
        offer_sequence: None,
        last_ledger_sequence: 98,
        fee: Drops::new(10),
        blob: String::new(),
        ledger_index: 90,
        recorded_at: now(),
    };
    bench.ledger(&update(100, 10, vec![included(&intent, 97, "tecUNFUNDED_OFFER", vec![])], Some(vec![])));
    let effects = bench.take();
    assert_eq!(dead_in(&effects), 0);
    assert_eq!(validated_in(&effects), 1);
    let failed = |record: &Record| matches!(record, Record::OrderEvent(event) if (event.offer_sequence, event.state) == (9, OrderState::Failed));
    assert!(recorded(&effects).any(failed), "the earlier session's offer stays pending for ever: {effects:?}");
    bench.ledger(&update(101, 10, vec![], None));
    assert_eq!(dead_in(&bench.take()), 1);
}

#[test]
fn a_closed_session_signs_nothing_more() {
    let (mut bench, _) = quoting();
    assert_eq!(bench.core.abandon(now()).len(), 2, "both offers are recorded as unknown");
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    bench.ledger(&update(120, 3, vec![], None));
    assert!(bench.acknowledge().is_empty());
}

#[test]
fn what_a_killed_engine_sent_last_is_awaited_and_its_offer_withdrawn() {
    let (late_hash, other_ledger) = (Hash([4; 32]), Hash([6; 32]));
    let mut bench = Bench::new(1);
    bench.core.inherited = BTreeMap::from([(late_hash, 103), (other_ledger, 9_000)]);
    let intent = Intent {
        tx_hash: late_hash.to_string(),
        purpose: Purpose::Place,
        sequence: 9,
        offer_sequence: None,
        last_ledger_sequence: 103,
        fee: Drops::new(10),
        blob: String::new(),
        ledger_index: 99,
        recorded_at: now(),
    };
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    bench.ledger(&update(100, 9, vec![], Some(vec![])));
    assert!(!bench.core.is_flat(), "the ledger may include it yet");
    assert_eq!(bench.core.open_items().1, [late_hash.to_string()]);
    let created = vec![change(9, Side::Ask, OfferChangeKind::Created)];
    bench.ledger(&update(101, 10, vec![included(&intent, 101, "tesSUCCESS", created)], None));
    assert_eq!(bench.core.open_items().0, [9], "its offer is on the ledger, and this session's to withdraw");
    assert!(!bench.core.is_flat());
}

fn strangers(effects: &[OrdersEffect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            OrdersEffect::Stranger(cause) => Some(cause.as_str()),
            _ => None,
        })
        .collect()
}

/// A transaction of our account with the next number, signed by somebody else.
fn signed_elsewhere(kind: &str, sequence: u32, offers: Vec<OfferChange>) -> OwnTransaction {
    let intent = Intent {
        tx_hash: Hash([8; 32]).to_string(),
        purpose: Purpose::Place,
        sequence,
        offer_sequence: None,
        last_ledger_sequence: 110,
        fee: Drops::new(10),
        blob: String::new(),
        ledger_index: 101,
        recorded_at: now(),
    };
    OwnTransaction { kind: kind.to_string(), ..included(&intent, 102, "tesSUCCESS", offers) }
}

#[test]
fn an_offer_or_ticket_that_is_not_ours_ends_the_session_and_is_left_alone() {
    for kind in ["OfferCreate", "TicketCreate"] {
        let (mut bench, intents) = quoting();
        let offers = if kind == "OfferCreate" { vec![change(3, Side::Bid, OfferChangeKind::Created)] } else { vec![] };
        bench.ledger(&update(102, 4, vec![signed_elsewhere(kind, 3, offers)], None));
        let causes = strangers(&bench.effects).len();
        assert_eq!(causes, 1, "{kind}");
        assert!(strangers(&bench.effects)[0].contains(kind), "{:?}", strangers(&bench.effects));
        let told = |record: &Record| matches!(record, Record::Fault(fault) if fault.action.contains("session ends"));
        assert!(recorded(&bench.effects).any(told), "{kind}");
        let cancelled: Vec<Option<u32>> = bench
            .acknowledge()
            .into_iter()
            .map(|intent| {
                assert_eq!(intent.purpose, Purpose::Cancel, "nothing new is quoted");
                intent.offer_sequence
            })
            .collect();
        assert_eq!(cancelled, [Some(intents[0].sequence), Some(intents[1].sequence)], "ours go, the stranger's stays");
        bench.ledger(&update(103, 6, vec![], None));
        assert!(strangers(&bench.take()).is_empty(), "told once");
    }
}

#[test]
fn an_offer_that_only_the_list_shows_ends_the_session_too() {
    let (mut bench, intents) = quoting();
    let listed = |sequence: u32| {
        let OfferChange { taker_gets, taker_pays, .. } = change(sequence, Side::Bid, OfferChangeKind::Created);
        OpenOffer { sequence, taker_gets, taker_pays }
    };
    let ours = intents.iter().map(|intent| listed(intent.sequence));
    bench.ledger(&update(102, 3, vec![], Some(ours.chain([listed(77)]).collect())));
    assert_eq!(strangers(&bench.effects).len(), 1);
    assert!(strangers(&bench.effects)[0].contains("offer 77"));

    // With ledgers of this session missing it may be an offer of ours whose inclusion nobody saw: withdrawn. The gap has the
    // others withdrawn, too.
    let (mut bench, intents) = quoting();
    let ours = intents.iter().map(|intent| listed(intent.sequence));
    let mut gap = update(110, 4, vec![], Some(ours.chain([listed(77)]).collect()));
    gap.history_lost = Some("the node has no history".to_string());
    bench.ledger(&gap);
    assert!(strangers(&bench.effects).is_empty());
    let cancelled: Vec<Option<u32>> = bench.acknowledge().iter().map(|intent| intent.offer_sequence).collect();
    assert_eq!(cancelled, [Some(77), Some(1), Some(2)]);
}

#[test]
fn any_other_foreign_transaction_is_recorded_and_the_numbers_follow_the_ledger() {
    let (mut bench, _) = quoting();
    bench.take();
    bench.ledger(&update(102, 4, vec![signed_elsewhere("AccountSet", 3, vec![])], None));
    assert!(strangers(&bench.effects).is_empty());
    let told = |record: &Record| matches!(record, Record::Fault(fault) if fault.cause.contains("AccountSet") && fault.cause.contains("signed elsewhere"));
    assert!(recorded(&bench.effects).any(told), "{:?}", bench.effects);
    assert_eq!(bench.core.next_sequence, 4);
    let mut failed = signed_elsewhere("OfferCreate", 4, vec![]);
    failed.result = "tecUNFUNDED_OFFER".into();
    bench.ledger(&update(103, 5, vec![failed], None));
    assert!(strangers(&bench.effects).is_empty(), "an offer that failed quotes nothing");
}

#[test]
fn what_happened_before_the_session_accuses_nobody_and_offers_of_then_are_swept() {
    let mut bench = Bench::new(1);
    bench.core.settled.insert(Hash([7; 32]));
    let mut settled = signed_elsewhere("OfferCreate", 1, vec![]);
    settled.hash = Hash([7; 32]);
    let by_hand = signed_elsewhere("OfferCreate", 2, vec![change(2, Side::Bid, OfferChangeKind::Created)]);
    let OfferChange { taker_gets, taker_pays, .. } = change(2, Side::Bid, OfferChangeKind::Created);
    let listed = OpenOffer { sequence: 2, taker_gets, taker_pays };
    bench.ledger(&update(102, 3, vec![settled, by_hand], Some(vec![listed])));
    assert!(strangers(&bench.effects).is_empty());
    let faults = recorded(&bench.effects).filter(|record| matches!(record, Record::Fault(_))).count();
    assert_eq!(faults, 1, "what the record has settled is no stranger's");
    let cancels = bench.acknowledge();
    assert_eq!((cancels.len(), cancels[0].offer_sequence), (1, Some(2)), "swept before the first quote");
}

#[test]
fn offers_of_an_earlier_session_are_taken_over_where_the_policy_says_so_and_the_record_knows_them() {
    let listed = |sequence: u32, side: Side| {
        let OfferChange { taker_gets, taker_pays, .. } = change(sequence, side, OfferChangeKind::Created);
        OpenOffer { sequence, taker_gets, taker_pays }
    };
    // As quoted at these prices: 10 basis points from the middle, which is 2.40.
    let known = |sequence: u32, side: Side, price: &str, expires_s: u32| Adoptable {
        sequence,
        side,
        level: 0,
        price: price.parse().unwrap(),
        placed_ledger: 99,
        expires: LedgerTime(800_000_400 + expires_s),
    };
    let mut bench = Bench::new(1);
    bench.core.config.adoptable =
        vec![known(5, Side::Bid, "2.3976", 110), known(6, Side::Ask, "2.4024", 0), known(7, Side::Ask, "2.4024", 110)];
    // 5 is fine; 6 has expired at this very close; 7 is a bid on the ledger, so the record means another; 8 is unknown.
    let offers = vec![listed(5, Side::Bid), listed(6, Side::Ask), listed(7, Side::Bid), listed(8, Side::Ask)];
    bench.ledger(&update(100, 9, vec![], Some(offers)));
    assert_eq!(bench.core.quotes().len(), 1);
    let swept: Vec<Option<u32>> = bench.acknowledge().iter().map(|intent| intent.offer_sequence).collect();
    assert_eq!(swept, [Some(6), Some(7), Some(8)], "the rest is cancelled before anything is quoted");
    assert_eq!(bench.core.open_items().0, [5, 6, 7, 8]);
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let cancels: Vec<Option<u32>> = bench.acknowledge().iter().map(|intent| intent.offer_sequence).collect();
    assert_eq!(cancels, [Some(5)], "an adopted offer is withdrawn as any other");
}

/// A frozen trust line: the balance is there, and the bid is refused.
#[test]
fn a_side_that_the_ledger_refuses_is_withdrawn_waits_and_says_why() {
    let (mut bench, placed) = quoting();
    let mut moved = update(110, 3, vec![], None);
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    show(
        &mut moved,
        MarketView { ledger_index: 110, bids: level("2.36"), asks: level("2.38"), ..MarketView::default() },
    );
    // The market falls: the bid is replaced before the new ask could meet it.
    bench.ledger(&moved);
    let replacements = bench.acknowledge();
    let ask = change(replacements[1].sequence, Side::Ask, OfferChangeKind::Created);
    let old_ask = change(placed[1].sequence, Side::Ask, OfferChangeKind::Removed(Removal::Replaced));
    moved.ledger.index = 111;
    moved.view.ledger_index = 111;
    moved.account.sequence = 5;
    moved.transactions = vec![
        included(&replacements[0], 111, "tecUNFUNDED_OFFER", vec![]),
        included(&replacements[1], 111, "tesSUCCESS", vec![old_ask, ask]),
    ];
    bench.ledger(&moved);
    let cancels = bench.acknowledge();
    assert_eq!(cancels.iter().map(|intent| intent.purpose).collect::<Vec<_>>(), [Purpose::Cancel]);
    let reason = bench.core.withheld().unwrap();
    assert!(reason.contains("our bids (tecUNFUNDED_OFFER") && reason.contains("frozen"), "{reason}");
    moved.ledger.index = 112;
    moved.view.ledger_index = 112;
    moved.account.sequence = 6;
    let gone = change(placed[0].sequence, Side::Bid, OfferChangeKind::Removed(Removal::Cancelled));
    moved.transactions = vec![included(&cancels[0], 112, "tesSUCCESS", vec![gone])];
    bench.ledger(&moved);
    // The wait is over: one more attempt, and the reason stays until it stands.
    let again = bench.acknowledge();
    assert_eq!(again.iter().map(|intent| intent.purpose).collect::<Vec<_>>(), [Purpose::Place]);
    assert!(bench.core.withheld().is_some());
}

#[path = "codes_tests.rs"]
mod codes;
#[path = "rules_tests.rs"]
mod rules;
#[path = "shaping_tests.rs"]
mod shaping;
#[path = "taking_tests.rs"]
mod taking;

#[test]
fn an_audit_tells_of_entries_that_the_owner_count_does_not_hold() {
    let (mut bench, placed) = quoting();
    let listed: Vec<OpenOffer> = placed
        .iter()
        .map(|intent| {
            let OfferChange { taker_gets, taker_pays, .. } =
                change(intent.sequence, Side::Bid, OfferChangeKind::Created);
            OpenOffer { sequence: intent.sequence, taker_gets, taker_pays }
        })
        .collect();
    let page = serde_json::json!({"account_objects": [{"LedgerEntryType": "Offer"}, {"LedgerEntryType": "Offer"}]});
    let owned = neo_ledger::OwnedPage::from_value(&page, key().address()).unwrap().owned;
    let mut audit = update(102, 3, vec![], Some(listed));
    audit.owned = Some(owned);
    audit.account.owner_count = 2;
    bench.take();
    bench.ledger(&audit);
    let faults = |bench: &Bench| recorded(&bench.effects).filter(|record| matches!(record, Record::Fault(_))).count();
    assert_eq!((faults(&bench), bench.core.audits().audits, bench.core.audits().offers), (0, 1, 0));
    audit.ledger.index = 103;
    audit.account.owner_count = 5;
    bench.ledger(&audit);
    assert_eq!((faults(&bench), bench.core.audits().owner_count), (1, 1));
    // One of our offers is not listed: that is a difference too.
    audit.ledger.index = 104;
    audit.offers.as_mut().unwrap().pop();
    bench.ledger(&audit);
    assert_eq!(bench.core.audits().offers, 1);
}

fn listed(sequence: u32) -> OpenOffer {
    let OfferChange { taker_gets, taker_pays, .. } = change(sequence, Side::Bid, OfferChangeKind::Created);
    OpenOffer { sequence, taker_gets, taker_pays }
}

#[test]
fn an_orphan_is_cancelled_after_several_lists_and_nothing_is_quoted_before() {
    let mut bench = Bench::new(1);
    bench.core.config.orphan_reads = 3;
    for index in [100, 100, 101] {
        bench.ledger(&update(index, 90, vec![], Some(vec![listed(77)])));
        assert!(bench.take().contains(&OrdersEffect::ListAgain), "the next list is asked for");
        assert!(bench.acknowledge().is_empty(), "neither cancelled nor quoted beside, ledger {index}");
        assert!(bench.core.withheld().unwrap().contains("no order owns") && !bench.core.is_flat());
    }
    bench.ledger(&update(102, 90, vec![], Some(vec![listed(77)])));
    let intents = bench.acknowledge();
    assert_eq!(intents.iter().map(|intent| intent.offer_sequence).collect::<Vec<_>>(), [Some(77)]);
    bench.ledger(&update(103, 91, vec![included(&intents[0], 103, "tesSUCCESS", vec![])], None));
    assert_eq!(bench.acknowledge().len(), 2, "now it quotes");
}

/// The market has moved by 1 % since `quoting`, at ledger `index`.
fn moved(index: u32) -> LedgerUpdate {
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    let view = MarketView { ledger_index: index, bids: level("2.42"), asks: level("2.44"), ..MarketView::default() };
    let mut moved = update(index, 3, vec![], None);
    show(&mut moved, view);
    moved
}

#[test]
fn while_an_orphan_is_looked_at_what_should_not_stand_is_cancelled_and_nothing_is_placed() {
    let (mut bench, placed) = quoting_on(blind_to_gaps(3));
    let stand: Vec<OpenOffer> = placed.iter().map(|intent| intent.sequence).chain([77]).map(listed).collect();
    let mut gap = update(102, 3, vec![], Some(stand.clone()));
    gap.history_lost = Some("the node has no history".to_string());
    bench.ledger(&gap);
    assert!(bench.acknowledge().is_empty(), "at the right price they stay");
    bench.ledger(&LedgerUpdate { offers: Some(stand.clone()), ..moved(103) });
    let cancels = bench.acknowledge();
    let gone = |intents: &[Intent]| {
        assert!(intents.iter().all(|intent| intent.purpose == Purpose::Cancel), "{intents:?}");
        intents.iter().filter_map(|intent| intent.offer_sequence).collect::<Vec<_>>()
    };
    assert_eq!(gone(&cancels), [2, 1], "stale prices");
    assert!(bench.core.withheld().unwrap().contains("no order owns"), "{:?}", bench.core.withheld());
    bench.ledger(&LedgerUpdate { offers: Some(stand), ..moved(104) });
    assert_eq!(gone(&bench.acknowledge()), [77], "the third list");
    assert!(bench.core.withheld().unwrap().contains("an earlier session left"), "{:?}", bench.core.withheld());
}

#[test]
fn an_offer_that_the_next_list_does_not_show_was_a_late_nodes() {
    let mut bench = Bench::new(1);
    bench.core.config.orphan_reads = 3;
    bench.ledger(&update(100, 90, vec![], Some(vec![listed(77)])));
    bench.ledger(&update(101, 90, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert!(intents.len() == 2 && intents.iter().all(|intent| intent.purpose == Purpose::Place), "{intents:?}");
    // While we run: one list accuses nobody of trading on our account, three do.
    let (mut bench, placed) = quoting();
    bench.core.config.orphan_reads = 3;
    let list =
        |more: &[u32]| placed.iter().map(|intent| intent.sequence).chain(more.iter().copied()).map(listed).collect();
    for (index, more, accused) in
        [(102, &[77][..], 0), (103, &[], 0), (104, &[77], 0), (105, &[77], 0), (106, &[77], 1)]
    {
        bench.ledger(&update(index, 3, vec![], Some(list(more))));
        assert_eq!(strangers(&bench.effects).len(), accused, "ledger {index}");
    }
}

#[test]
fn a_stop_waits_for_no_further_list() {
    let mut bench = Bench::new(1);
    bench.core.config.orphan_reads = 3;
    bench.ledger(&update(100, 90, vec![], Some(vec![listed(77)])));
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let cancels = bench.acknowledge();
    assert_eq!(cancels.iter().map(|intent| intent.offer_sequence).collect::<Vec<_>>(), [Some(77)]);
    assert!(!bench.effects.contains(&OrdersEffect::Flat));
}

#[test]
fn a_used_up_fee_budget_stops_quotes_lets_cancels_go_and_ends_by_itself() {
    let (mut bench, _) = quoting();
    // Two quotes have cost 10 drops each.
    bench.core.fees = super::super::fees::FeeBudget::new(Drops::new(25), &[]);
    let paid = |id: u8, close_time: LedgerTime, fee: i64| super::super::fees::FeePaid {
        hash: Hash([id; 32]),
        close_time,
        fee: Drops::new(fee),
    };
    bench.core.fees.pay(paid(1, bench.core.close_time, 20));
    let mut moved = update(110, 3, vec![], None);
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    show(
        &mut moved,
        MarketView { ledger_index: 110, bids: level("2.42"), asks: level("2.44"), ..MarketView::default() },
    );
    bench.ledger(&moved);
    let cancels = bench.acknowledge();
    assert!(cancels.len() == 2 && cancels.iter().all(|intent| intent.purpose == Purpose::Cancel), "{cancels:?}");
    assert!(bench.core.withheld().unwrap().contains("fee_budget_drops_per_day = 25"), "{:?}", bench.core.withheld());
    // A failed cancel costs its fee like any other; what rests stays until its cancel validates.
    let removed = |at: usize, side| {
        change(cancels[at].offer_sequence.unwrap(), side, OfferChangeKind::Removed(Removal::Cancelled))
    };
    moved.ledger.index = 111;
    moved.view.ledger_index = 111;
    moved.account.sequence = 5;
    moved.transactions = vec![
        included(&cancels[0], 111, "tesSUCCESS", vec![removed(0, Side::Bid)]),
        included(&cancels[1], 111, "tesSUCCESS", vec![removed(1, Side::Ask)]),
    ];
    bench.ledger(&moved);
    assert!(bench.acknowledge().is_empty(), "nothing is placed");
    assert!(bench.core.withheld().unwrap().contains("40 drops"), "{:?}", bench.core.withheld());
    // A day later it quotes again.
    moved.ledger.index = 112;
    moved.view.ledger_index = 112;
    moved.ledger.close_time = moved.ledger.close_time.plus_s(86_400);
    moved.transactions = vec![];
    bench.ledger(&moved);
    assert!(bench.acknowledge().iter().all(|intent| intent.purpose == Purpose::Place));
    assert_eq!(bench.core.in_flight(), 2);
    assert_eq!(bench.core.withheld(), None);
}
#[path = "watch_tests.rs"]
mod watch;

#[test]
fn the_first_fee_is_the_ledgers_base_fee_and_not_a_networks() {
    let mut bench = Bench::new(1);
    let mut first = update(100, 50, vec![], Some(vec![]));
    first.ledger.base_fee = Drops::new(200);
    bench.ledger(&first);
    let fees: Vec<i64> = bench.acknowledge().iter().map(|intent| intent.fee.get()).collect();
    assert_eq!(fees, [200, 200]);
    // A ceiling stays one.
    let mut bench = Bench::new(1);
    first.ledger.base_fee = Drops::new(6_000);
    bench.ledger(&first);
    let fees: Vec<i64> = bench.acknowledge().iter().map(|intent| intent.fee.get()).collect();
    assert_eq!(fees, [5_000, 5_000]);
}
