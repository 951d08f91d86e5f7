use serde_json::json;

use super::*;
use crate::apply::tx::Signer;

const ALICE: u8 = 1;
const BOB: u8 = 2;

fn account(name: u8) -> Address {
    Address([name; 20])
}

fn parse(name: u8, fields: serde_json::Value) -> Tx {
    let mut json = json!({ "Account": account(name), "Fee": "10", "TransactionType": "AccountSet", "Sequence": 0 });
    for (field, value) in fields.as_object().unwrap() {
        json[field] = value.clone();
    }
    let hash = neo_ledger::sha512_half(&[json.to_string().as_bytes()]);
    Tx::parse(json, hash, Signer::Key(account(name))).unwrap()
}

fn wants(name: u8, sequence: u32, level: u64) -> Candidate {
    Candidate::new(parse(name, json!({ "Sequence": sequence })), level)
}

fn with(name: u8, sequence: u32, level: u64, mut fields: serde_json::Value) -> Candidate {
    fields["Sequence"] = json!(sequence);
    Candidate::new(parse(name, fields), level)
}

fn ticket(name: u8, number: u32, level: u64) -> Candidate {
    Candidate::new(parse(name, json!({ "TicketSequence": number })), level)
}

const TERMS: Terms = Terms { ledger_index: 100, reserve_drops: 1_000_000, base_fee_drops: 10, fail_hard: false };
const HOLDER: Holder = Holder { sequence: 5, balance_drops: 50_000_000 };

fn queue(change: impl FnOnce(&mut QueueSetup)) -> Queue {
    let mut setup = QueueSetup::default();
    change(&mut setup);
    Queue::new(setup)
}

/// Examines and inserts, as a ledger that takes everything would.
fn add(queue: &mut Queue, candidate: Candidate) -> Result<(), Ter> {
    let plan = queue.examine(&candidate, HOLDER, TERMS)?;
    if plan.after.is_none() {
        queue.can_wait(&candidate, HOLDER, TERMS)?;
    }
    queue.insert(candidate)
}

fn filled(name: u8, sequences: std::ops::Range<u32>, level: u64) -> Queue {
    let mut queue = queue(|_| {});
    for sequence in sequences {
        add(&mut queue, wants(name, sequence, level)).unwrap();
    }
    queue
}

fn order(queue: &Queue) -> Vec<(u8, u32)> {
    queue.in_order().map(|waits| (waits.tx.account.0[0], waits.tx.sequence)).collect()
}

#[test]
fn sequences_follow_one_another() {
    let mut queue = filled(ALICE, 5..7, 256);
    assert_eq!(add(&mut queue, wants(ALICE, 8, 256)), Err(Ter::TEL_CAN_NOT_QUEUE), "a gap behind what waits");
    assert_eq!(add(&mut queue, wants(ALICE, 4, 256)), Err(Ter::TEF_PAST_SEQ));
    assert_eq!(add(&mut queue, wants(BOB, 6, 256)), Err(Ter::TER_PRE_SEQ), "nobody of its account waits");
    assert_eq!(queue.next_sequence(account(ALICE), 5), 7);
    add(&mut queue, wants(ALICE, 7, 256)).unwrap();
    assert_eq!(queue.next_sequence(account(ALICE), 5), 8);
}

#[test]
fn tickets_make_the_sequence_jump() {
    let mut queue = queue(|_| {});
    let tickets = with(ALICE, 5, 256, json!({ "TransactionType": "TicketCreate", "TicketCount": 3 }));
    add(&mut queue, tickets).unwrap();
    assert_eq!(queue.next_sequence(account(ALICE), 5), 8);
}

#[test]
fn a_place_is_taken_by_more_than_a_quarter_on_top() {
    let mut queue = filled(ALICE, 5..7, 256);
    // 12 and 13 drops for 10, as recorded: levels 307 and 332.
    for (level, taken) in [(307, false), (320, false), (321, true), (332, false)] {
        let result = add(&mut queue, wants(ALICE, 5, level));
        assert_eq!(result, if taken { Ok(()) } else { Err(Ter::TEL_CAN_NOT_QUEUE_FEE) }, "{level}");
    }
    assert_eq!(queue.len(), 2);
}

#[test]
fn an_account_waits_ten_times_and_then_only_to_fill_a_hole() {
    let mut queue = filled(ALICE, 5..15, 256);
    assert_eq!(add(&mut queue, wants(ALICE, 15, 10_000)), Err(Ter::TEL_CAN_NOT_QUEUE_FULL));
    assert_eq!(add(&mut queue, ticket(ALICE, 3, 10_000)), Err(Ter::TEL_CAN_NOT_QUEUE_FULL));
    // One expires: its place may be filled again, and so is a ticket's then.
    queue.remove(Slot::of(&wants(ALICE, 7, 256).tx));
    assert_eq!(add(&mut queue, wants(ALICE, 15, 256)), Err(Ter::TEL_CAN_NOT_QUEUE), "it is not the first hole");
    add(&mut queue, ticket(ALICE, 3, 256)).unwrap();
    add(&mut queue, wants(ALICE, 7, 256)).unwrap();
    assert_eq!(queue.len(), 11);
}

#[test]
fn a_blocker_waits_alone() {
    let blocker = || with(ALICE, 5, 256, json!({ "TransactionType": "SetRegularKey" }));
    let mut queue = filled(ALICE, 5..7, 256);
    assert_eq!(add(&mut queue, blocker()), Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKS), "two wait");
    let mut queue = filled(ALICE, 5..6, 256);
    let behind = with(ALICE, 6, 256, json!({ "SetFlag": 4 }));
    assert_eq!(add(&mut queue, behind), Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKS), "it would wait behind another");
    let in_place = with(ALICE, 5, 400, json!({ "SetFlag": 4 }));
    add(&mut queue, in_place).unwrap();
    assert_eq!(add(&mut queue, wants(ALICE, 6, 256)), Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKED));
    assert_eq!(add(&mut queue, ticket(ALICE, 2, 256)), Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKED));
    add(&mut queue, wants(ALICE, 5, 600)).unwrap();
    add(&mut queue, wants(ALICE, 6, 256)).unwrap();
}

#[test]
fn what_may_be_gone_too_soon_or_must_not_wait_does_not() {
    let mut queue = queue(|_| {});
    for (last, taken) in [(101, false), (102, true)] {
        let candidate = with(ALICE, 5, 256, json!({ "LastLedgerSequence": last }));
        let result = queue.can_wait(&candidate, HOLDER, TERMS);
        assert_eq!(result, if taken { Ok(()) } else { Err(Ter::TEL_CAN_NOT_QUEUE) }, "{last}");
    }
    let prior = with(ALICE, 5, 256, json!({ "AccountTxnID": Hash([1; 32]) }));
    assert_eq!(add(&mut queue, prior), Err(Ter::TEL_CAN_NOT_QUEUE));
    let hard = Terms { fail_hard: true, ..TERMS };
    assert_eq!(queue.can_wait(&wants(ALICE, 5, 256), HOLDER, hard), Err(Ter::TEL_CAN_NOT_QUEUE));
}

#[test]
fn fees_that_wait_stay_within_balance_and_reserve() {
    let dear = |sequence, fee: i64| with(ALICE, sequence, 25_600, json!({ "Fee": fee.to_string() }));
    let mut queue = queue(|_| {});
    add(&mut queue, dear(5, 600_000)).unwrap();
    add(&mut queue, dear(6, 400_000)).unwrap();
    assert_eq!(add(&mut queue, dear(7, 10)), Err(Ter::TEL_CAN_NOT_QUEUE_BALANCE), "a million is the reserve");
    let poor = Holder { balance_drops: 999_999, ..HOLDER };
    let small = Terms { reserve_drops: 100, ..TERMS };
    assert_eq!(queue.examine(&dear(7, 10), poor, small), Err(Ter::TEL_CAN_NOT_QUEUE_BALANCE));
    assert!(queue.examine(&dear(7, 10), HOLDER, small).is_ok(), "a reserve of ten fees does not count");
}

#[test]
fn what_others_spend_is_gone_but_for_the_reserve() {
    let mut queue = queue(|_| {});
    let pay = |sequence, drops: i64| {
        let to = account(BOB);
        with(
            ALICE,
            sequence,
            256,
            json!({ "TransactionType": "Payment", "Destination": to, "Amount": drops.to_string() }),
        )
    };
    add(&mut queue, pay(5, 30_000_000)).unwrap();
    let plan = queue.examine(&pay(6, 1), HOLDER, TERMS).unwrap();
    assert_eq!(plan.after, Some((50_000_000 - 30_000_010, 6)));
    add(&mut queue, pay(6, 40_000_000)).unwrap();
    let plan = queue.examine(&pay(7, 1), HOLDER, TERMS).unwrap();
    assert_eq!(plan.after, Some((1_000_000 - 20, 7)), "70 XRP of 50: all but the reserve, and the fees");
    // One in the middle counts itself in the place of the other.
    let wants = Candidate { level: 400, ..pay(5, 10_000_000) };
    assert_eq!(queue.examine(&wants, HOLDER, TERMS).unwrap().after, Some((1_000_000 - 20, 5)));
}

#[test]
fn the_dearest_goes_first_and_hashes_decide_among_equals() {
    let mut queue = queue(|_| {});
    for candidate in [wants(ALICE, 5, 300), wants(BOB, 5, 300), wants(3, 5, 900), wants(4, 5, 256)] {
        add(&mut queue, candidate).unwrap();
    }
    let first = order(&queue);
    assert_eq!((first[0], first[3]), ((3, 5), (4, 5)));
    let orders: BTreeSet<Vec<(u8, u32)>> = (0..16)
        .map(|byte| {
            queue.reorder(Hash([byte << 4; 32]));
            order(&queue)
        })
        .collect();
    assert_eq!(orders.len(), 2, "another ledger mixes equals anew");
    assert!(orders.iter().all(|order| (order[0], order[3]) == ((3, 5), (4, 5))));
}

#[test]
fn a_dear_one_behind_a_cheap_one_comes_right_after_it() {
    let mut queue = queue(|_| {});
    for candidate in [wants(ALICE, 5, 300), wants(ALICE, 6, 9_000), wants(BOB, 5, 280)] {
        add(&mut queue, candidate).unwrap();
    }
    let head = queue.head().unwrap();
    assert!(queue.must_wait(head), "its account's first must go before it");
    let cheap = queue.behind(head).unwrap();
    assert_eq!((cheap.account, cheap.number), (account(ALICE), 5));
    assert_eq!(queue.advance(cheap), Some(head), "back to the one that was passed over");
    assert_eq!(queue.advance(head).map(|slot| slot.account), Some(account(BOB)));
    assert_eq!(queue.advance(queue.head().unwrap()), None);
}

/// A queue that holds four at most, and is full.
fn full() -> Queue {
    let mut queue = queue(|setup| {
        (setup.minimum_txn_in_ledger, setup.ledgers_in_queue, setup.minimum_queue_size) = (1, 1, 4);
    });
    queue.ledger_closed(99, Vec::new(), false);
    for candidate in [wants(ALICE, 5, 300), wants(ALICE, 6, 500), wants(BOB, 5, 600), wants(3, 5, 700)] {
        add(&mut queue, candidate).unwrap();
    }
    queue
}

#[test]
fn a_full_queue_takes_what_is_worth_more_than_its_cheapest_account() {
    let mut queue = full();
    assert_eq!((queue.max_size(), queue.len(), queue.least_level()), (Some(4), 4, 301));
    // Alice's mean is 400; her last one goes, not her cheapest.
    assert_eq!(add(&mut queue, wants(4, 5, 400)), Err(Ter::TEL_CAN_NOT_QUEUE_FULL));
    add(&mut queue, wants(4, 5, 401)).unwrap();
    let mut left = order(&queue);
    left.sort_unstable();
    assert_eq!(left, [(ALICE, 5), (BOB, 5), (3, 5), (4, 5)]);
    // Her own transaction never pushes her own out: the next account is looked at.
    assert_eq!(add(&mut queue, wants(ALICE, 6, 300)), Err(Ter::TEL_CAN_NOT_QUEUE_FULL));
    // One that takes another's place needs no room.
    add(&mut queue, wants(ALICE, 5, 400)).unwrap();
}

#[test]
fn what_its_last_ledger_has_passed_leaves() {
    let mut queue = queue(|_| {});
    add(&mut queue, with(ALICE, 5, 256, json!({ "LastLedgerSequence": 102 }))).unwrap();
    queue.ledger_closed(101, Vec::new(), false);
    assert_eq!(queue.len(), 1);
    queue.ledger_closed(102, Vec::new(), false);
    assert!(queue.is_empty() && queue.head().is_none());
}

#[test]
fn a_failure_that_may_pass_is_tried_ten_times_more_and_another_not_at_all() {
    let mut queue = filled(ALICE, 5..7, 256);
    let slot = Slot::of(&wants(ALICE, 5, 256).tx);
    for tries in 1..=RETRIES {
        queue.failed(slot, Ter::TER_INSUF_FEE_B);
        assert_eq!(queue.get(slot).map(|waits| waits.retries), Some(RETRIES - tries));
    }
    queue.failed(slot, Ter::TER_INSUF_FEE_B);
    assert!(queue.get(slot).is_none());
    // The account's others get few tries then.
    let slot = Slot::of(&wants(ALICE, 6, 256).tx);
    queue.failed(slot, Ter::TER_PRE_SEQ);
    assert_eq!(queue.get(slot).map(|waits| (waits.retries, waits.last_result)), Some((1, Some(Ter::TER_PRE_SEQ))));
    queue.failed(slot, Ter::TEF_PAST_SEQ);
    assert!(queue.is_empty());
}

#[test]
fn an_account_that_failed_gives_way_in_a_nearly_full_queue() {
    let mut queue = full();
    let mark = with(ALICE, 7, 256, json!({ "LastLedgerSequence": 103 }));
    queue.remove(Slot::of(&wants(3, 5, 700).tx));
    queue.insert(mark).unwrap();
    queue.ledger_closed(103, Vec::new(), false);
    add(&mut queue, wants(3, 5, 700)).unwrap();
    queue.failed(Slot::of(&wants(ALICE, 5, 300).tx), Ter::TER_INSUF_FEE_B);
    let mut left = order(&queue);
    left.sort_unstable();
    assert_eq!(left, [(ALICE, 5), (BOB, 5), (3, 5)], "her last one went");
}

#[test]
fn a_rescue_sums_up_what_waits_before_it() {
    let queue = filled(ALICE, 5..8, 300);
    let rescue = |sequence, level, required| {
        let candidate = wants(ALICE, sequence, level);
        let plan = queue.examine(&candidate, HOLDER, TERMS).unwrap();
        queue.rescue(&candidate, &plan, required).map(|(paid, before)| (paid, before.len()))
    };
    assert_eq!(rescue(8, 1_001, 1_000), Some((1_901, 3)));
    assert_eq!(rescue(6, 1_001, 1_000), Some((1_301, 1)), "only up to the one that it takes the place of");
    assert_eq!(rescue(8, 1_000, 1_000), None, "it must pay more than what the ledger asks of one");
    assert_eq!(rescue(8, 1_001, BASE_LEVEL), None, "nothing is dear");
    let mut tried = queue.clone();
    tried.note_try(Slot::of(&wants(ALICE, 5, 300).tx), Ter::TER_INSUF_FEE_B);
    let candidate = wants(ALICE, 8, 2_000);
    let plan = tried.examine(&candidate, HOLDER, TERMS).unwrap();
    assert_eq!(tried.rescue(&candidate, &plan, 1_000), None, "the first one has failed before");
}
