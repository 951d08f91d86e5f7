//! Cancels that need not wait: they go with tickets past a sequence number that is stuck.

use serde_json::json;

use super::super::super::tickets::Tickets;
use super::*;

fn ticketed(mut bench: Bench) -> Bench {
    bench.core.config.cancel_tickets = 2;
    bench.core.tickets = Tickets::new(2);
    bench
}

/// One bid and one ask, resting from ledger 101 on, and the tickets 4 and 5.
fn quoting_with_tickets() -> Bench {
    let mut bench = ticketed(Bench::new(1));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    let purposes: Vec<(Purpose, u32)> = intents.iter().map(|intent| (intent.purpose, intent.sequence)).collect();
    assert_eq!(purposes, [(Purpose::Place, 1), (Purpose::Place, 2), (Purpose::Ticket, 3)]);
    let rests = |at: usize, side| {
        included(&intents[at], 101, "tesSUCCESS", vec![change(intents[at].sequence, side, OfferChangeKind::Created)])
    };
    let made = OwnTransaction { kind: "TicketCreate".to_string(), ..included(&intents[2], 101, "tesSUCCESS", vec![]) };
    bench.ledger(&update(101, 6, vec![rests(0, Side::Bid), rests(1, Side::Ask), made], None));
    assert_eq!((bench.acknowledge(), bench.core.next_sequence), (vec![], 6), "they are there, and no more are made");
    assert!(strangers(&bench.effects).is_empty());
    bench
}

/// The sequence, the ticket and the offer of each cancel, as they are signed.
fn signed_cancels(intents: &[Intent]) -> Vec<(u32, Option<u32>, u32)> {
    let fields = |intent: &Intent| {
        let said = neo_ledger::codec::decode(&intent.blob).unwrap();
        let number = |field: &str| said.get(field).and_then(|value| value.as_u64()).map(|n| u32::try_from(n).unwrap());
        assert_eq!(said["TransactionType"], "OfferCancel");
        assert_eq!(intent.sequence, number("TicketSequence").or(number("Sequence")).unwrap());
        (number("Sequence").unwrap(), number("TicketSequence"), number("OfferSequence").unwrap())
    };
    intents.iter().map(fields).collect()
}

fn gone(cancel: &Intent, index: u32, side: Side) -> OwnTransaction {
    let removed = OfferChangeKind::Removed(Removal::Cancelled);
    included(cancel, index, "tesSUCCESS", vec![change(cancel.offer_sequence.unwrap(), side, removed)])
}

/// Both quotes have a replacement in flight since ledger 110, which no ledger includes.
fn stuck() -> Bench {
    let mut bench = quoting_with_tickets();
    bench.ledger(&LedgerUpdate { account: AccountState { sequence: 6, ..moved(110).account }, ..moved(110) });
    let intents = bench.acknowledge();
    assert_eq!(intents.iter().map(|intent| intent.sequence).collect::<Vec<_>>(), [6, 7]);
    bench
}

fn at(index: u32, transactions: Vec<OwnTransaction>) -> LedgerUpdate {
    let mut update = LedgerUpdate { transactions, ..moved(index) };
    update.account.sequence = 6;
    update
}

#[test]
fn what_should_not_stand_goes_past_a_stuck_sequence_with_a_ticket_and_the_ledger_confirms_it() {
    let mut bench = stuck();
    bench.ledger(&at(111, vec![]));
    assert_eq!(bench.acknowledge(), [], "it may be included yet");
    bench.ledger(&at(112, vec![]));
    let cancels = bench.acknowledge();
    let mut signed = signed_cancels(&cancels);
    signed.sort_unstable_by_key(|(_, ticket, _)| *ticket);
    assert_eq!(
        signed.iter().map(|(sequence, ticket, _)| (*sequence, *ticket)).collect::<Vec<_>>(),
        [(0, Some(4)), (0, Some(5))]
    );
    assert_eq!(bench.core.next_sequence, 8, "no number is used for it");
    bench.take();
    bench.ledger(&at(113, cancels.iter().zip([Side::Bid, Side::Ask]).map(|(c, side)| gone(c, 113, side)).collect()));
    assert!(strangers(&bench.effects).is_empty(), "our ticket is no stranger's");
    assert_eq!((validated_in(&bench.effects), bench.core.in_flight()), (2, 2));
    assert!(bench.core.quotes().is_empty());
    // The replacements die; their numbers are free, it quotes, and the tickets are made up for.
    bench.ledger(&at(115, vec![]));
    let purposes: Vec<(Purpose, u32)> = bench.acknowledge().iter().map(|tx| (tx.purpose, tx.sequence)).collect();
    assert_eq!(purposes, [(Purpose::Place, 6), (Purpose::Place, 7), (Purpose::Ticket, 8)]);
}

#[test]
fn without_tickets_a_stuck_sequence_is_waited_for_as_ever() {
    let mut bench = stuck();
    bench.core.tickets = Tickets::new(0);
    bench.ledger(&at(112, vec![]));
    assert_eq!(bench.acknowledge(), []);
}

#[test]
fn a_stop_behind_a_hole_cancels_what_rests_with_tickets_and_is_flat_by_proof() {
    let mut bench = stuck();
    // Another program uses the first number: ours is dead, and what follows it is not wanted any more.
    let mut foreign = signed_elsewhere("AccountSet", 6, vec![]);
    foreign.ledger_index = 111;
    let mut robbed = at(111, vec![foreign]);
    robbed.account.sequence = 7;
    bench.core.in_flight.get_mut(&7).unwrap().signed_ledger = 111;
    bench.ledger(&robbed);
    assert!(bench.core.hole);
    bench.acknowledge();
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    bench.acknowledge();
    let tickets: Vec<u32> = bench.core.in_flight.iter().filter(|(_, tx)| tx.by_ticket).map(|(n, _)| *n).collect();
    assert_eq!(tickets, [4, 5]);
    assert_eq!(bench.core.forget_unsent(now()), [], "all are sent");
}

#[test]
fn a_cancel_that_a_node_holds_back_is_overtaken_at_once_when_everything_is_to_go() {
    let mut bench = quoting_with_tickets();
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let cancels = bench.acknowledge();
    assert_eq!(signed_cancels(&cancels), [(6, None, 1), (7, None, 2)], "nothing is stuck");
    let hash = cancels[1].tx_hash.parse().unwrap();
    let said = |what: &str| SubmissionReply { hash, result: Ok(what.to_string()), open_ledger_cost: None };
    bench.on(OrdersInput::Reply(said("telCAN_NOT_QUEUE_FULL")));
    assert_eq!(signed_cancels(&bench.acknowledge()), [(0, Some(4), 1), (0, Some(5), 2)]);
    bench.on(OrdersInput::Reply(said("terQUEUED")));
    assert_eq!(bench.acknowledge(), [], "once");
}

#[test]
fn what_is_taken_over_unsent_gives_its_ticket_back_and_no_sequence_number() {
    let mut bench = stuck();
    bench.ledger(&at(112, vec![]));
    assert_eq!(bench.core.tickets.next(), None, "both are signed with");
    assert!(!bench.core.forget_unsent(now()).is_empty());
    assert_eq!((bench.core.next_sequence, bench.core.tickets.next()), (8, Some(4)));
}

#[test]
fn a_ticket_of_a_dead_cancel_is_free_again_and_makes_no_hole() {
    let mut bench = stuck();
    bench.core.config.last_ledger_offset = 2;
    bench.ledger(&at(112, vec![]));
    bench.acknowledge();
    bench.ledger(&at(114, vec![]));
    assert!(!bench.core.hole);
    let again = signed_cancels(&bench.acknowledge());
    assert_eq!(again.iter().filter_map(|(_, ticket, _)| *ticket).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn tickets_that_the_ledger_refuses_to_make_are_not_asked_for_again_soon() {
    let mut bench = ticketed(Bench::new(1));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    let refused = included(&intents[2], 101, "tecINSUFFICIENT_RESERVE", vec![]);
    let refused = OwnTransaction { kind: "TicketCreate".to_string(), ..refused };
    let placed: Vec<OwnTransaction> = intents[..2]
        .iter()
        .zip([Side::Bid, Side::Ask])
        .map(|(intent, side)| {
            included(intent, 101, "tesSUCCESS", vec![change(intent.sequence, side, OfferChangeKind::Created)])
        })
        .collect();
    bench.ledger(&update(101, 4, placed.into_iter().chain([refused]).collect(), None));
    assert_eq!((bench.acknowledge(), bench.core.hole, bench.core.next_sequence), (vec![], false, 4));
}

#[test]
fn tickets_that_stand_at_the_start_are_taken_over_and_an_audit_knows_ours() {
    let owned = |tickets: &[u32]| {
        let offers = [1, 2].map(|_| json!({"LedgerEntryType": "Offer"}));
        let tickets = tickets.iter().map(|n| json!({"LedgerEntryType": "Ticket", "TicketSequence": n}));
        let page = json!({"account_objects": offers.into_iter().chain(tickets).collect::<Vec<_>>()});
        Some(neo_ledger::OwnedPage::from_value(&page, key().address()).unwrap().owned)
    };
    let mut bench = ticketed(Bench::new(1));
    let mut first = update(100, 20, vec![], Some(vec![]));
    (first.owned, first.account.owner_count) = (owned(&[7, 8]), 4);
    bench.ledger(&first);
    assert!(bench.acknowledge().iter().all(|intent| intent.purpose == Purpose::Place), "two are enough");
    assert_eq!(bench.core.tickets.ours(), BTreeSet::from([7, 8]));
    // One of them is used by somebody else: it is not ours to use any more, and the audit has nothing more to say.
    let used = OwnTransaction { kind: "OfferCancel".to_string(), ..signed_elsewhere("OfferCancel", 7, vec![]) };
    let mut next = update(102, 20, vec![used], Some(vec![listed(20), listed(21)]));
    (next.owned, next.account.owner_count) = (owned(&[8]), 3);
    bench.ledger(&next);
    assert_eq!((bench.core.tickets.ours(), bench.core.hole), (BTreeSet::from([8]), false));
    assert_eq!((bench.core.audits().objects, bench.core.audits().owner_count), (0, 0));
    // One that nobody here made is a difference.
    (next.ledger.index, next.transactions) = (103, vec![]);
    (next.owned, next.account.owner_count) = (owned(&[8, 99]), 4);
    bench.ledger(&next);
    assert_eq!((bench.core.audits().objects, bench.core.tickets.ours().contains(&99)), (1, false));
}

#[test]
fn each_offer_has_one_ticket_and_what_does_not_stand_has_none() {
    let mut bench = stuck();
    bench.core.tickets.made(20..=23);
    bench.core.orphans.insert(2_000);
    bench.core.intention = Intention::Withdraw;
    bench.ledger(&at(112, vec![]));
    // The bid, the ask and an offer of before; the two that are in flight are not on the ledger.
    let (by_ticket, others): (Vec<_>, Vec<_>) =
        signed_cancels(&bench.acknowledge()).into_iter().partition(|(_, ticket, _)| ticket.is_some());
    let targets = |cancels: &[(u32, Option<u32>, u32)]| cancels.iter().map(|(.., target)| *target).collect::<Vec<_>>();
    assert_eq!(targets(&by_ticket).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 2_000]));
    assert!(by_ticket.len() == 3 && targets(&others).iter().all(|target| [6, 7].contains(target)), "{others:?}");
    bench.ledger(&at(113, vec![]));
    assert_eq!(bench.acknowledge(), [], "they are on their way");
}

#[test]
fn a_late_ticket_holds_up_no_sequence_number() {
    let mut bench = stuck();
    bench.ledger(&at(112, vec![]));
    assert_eq!(bench.acknowledge().len(), 2);
    assert!(bench.core.is_stuck());
    bench.core.in_flight.retain(|_, tx| tx.by_ticket);
    bench.core.ledger_index = 115;
    assert!(!bench.core.is_stuck(), "nothing that has a sequence number waits");
}

#[test]
fn a_pause_goes_past_what_a_node_holds_back_as_a_stop_does() {
    let mut bench = quoting_with_tickets();
    bench.on(OrdersInput::Command(OrdersCommand::Pause("the operator".to_string())));
    let cancels = bench.acknowledge();
    assert_eq!(signed_cancels(&cancels), [(6, None, 1), (7, None, 2)]);
    let hash = cancels[0].tx_hash.parse().unwrap();
    let result = Ok("telCAN_NOT_QUEUE_BALANCE".to_string());
    bench.on(OrdersInput::Reply(SubmissionReply { hash, result, open_ledger_cost: None }));
    assert_eq!(signed_cancels(&bench.acknowledge()), [(0, Some(4), 1), (0, Some(5), 2)]);
}

fn purposes(intents: &[Intent]) -> Vec<Purpose> {
    intents.iter().map(|intent| intent.purpose).collect()
}

#[test]
fn tickets_are_made_one_after_the_other_and_only_from_what_is_there() {
    let mut bench = ticketed(Bench::new(1));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(purposes(&bench.acknowledge()), [Purpose::Place, Purpose::Place, Purpose::Ticket]);
    bench.core.tickets = Tickets::new(4);
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(bench.acknowledge(), [], "two are on their way");

    // 1.2 XRP are the reserve, and two tickets cost 0.4 and a fee.
    for (spendable, makes) in [(400_009, 0), (400_010, 1)] {
        let mut bench = ticketed(Bench::new(1));
        let mut first = update(100, 1, vec![], Some(vec![]));
        (first.account.xrp, first.account.rlusd) = (Drops::new(1_200_000 + spendable), Dec::zero());
        bench.ledger(&first);
        let intents = bench.acknowledge();
        assert_eq!(purposes(&intents).iter().filter(|purpose| **purpose == Purpose::Ticket).count(), makes);
        assert_eq!(bench.core.refusal_counts().contains_key("no_tickets"), makes == 0, "{spendable} drops");
    }
    // Two quotes use the budget of fees up.
    let mut bench = ticketed(Bench::new(1));
    bench.core.fees = super::super::super::fees::FeeBudget::new(Drops::new(25), &[]);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(purposes(&bench.acknowledge()), [Purpose::Place, Purpose::Place]);
    assert_eq!(bench.core.refusal_counts()["no_tickets"], 1);
}

#[test]
fn the_reserve_of_tickets_is_set_aside_until_they_are_there() {
    let left = |bench: &Bench| bench.core.less_tickets(Drops::new(1_000_000), Drops::new(200_000)).unwrap().get();
    let mut bench = ticketed(Bench::new(1));
    assert_eq!(left(&bench), 600_000, "they are to be made");
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.acknowledge();
    assert_eq!(left(&bench), 600_000, "they are being made");
    assert_eq!(left(&quoting_with_tickets()), 1_000_000, "the ledger's own reserve has them");
}
