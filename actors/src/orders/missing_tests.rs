//! What becomes of transactions whose ledgers no node has.

use super::*;

/// The ledger after a hole, at the account's sequence `sequence`.
fn after_the_hole(index: u32, sequence: u32, stand: &[u32]) -> LedgerUpdate {
    let offers = stand.iter().copied().map(listed).collect();
    LedgerUpdate { history_lost: Some("nobody has it".to_string()), ..update(index, sequence, vec![], Some(offers)) }
}

fn events(effects: &[OrdersEffect]) -> Vec<(u32, OrderState)> {
    let event = |record: &Record| match record {
        Record::OrderEvent(event) => Some((event.offer_sequence, event.state)),
        _ => None,
    };
    recorded(effects).filter_map(event).collect()
}

fn faults(effects: &[OrdersEffect]) -> Vec<String> {
    let fault = |record: &Record| match record {
        Record::Fault(fault) => Some(fault.cause.clone()),
        _ => None,
    };
    recorded(effects).filter_map(fault).collect()
}

#[test]
fn what_may_be_in_the_hole_is_unknown_and_what_cannot_be_dies_by_proof() {
    let mut bench = Bench::new(2);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert_eq!(intents.len(), 4);
    bench.take();
    // Two numbers are used: the first offer stands, the second is not there any more.
    bench.ledger(&after_the_hole(130, 3, &[1]));
    let effects = bench.take();
    assert_eq!(in_state(&effects, IntentState::Unknown), 2);
    assert_eq!(dead_in(&effects), 2, "numbers that were never used are in no ledger");
    assert_eq!(events(&effects)[..2], [(1, OrderState::Resting), (2, OrderState::Unknown)]);
    let told = faults(&effects);
    assert!(told.iter().any(|cause| cause.contains("2 of our transactions") && cause.contains(&intents[1].tx_hash)));
    assert!(bench.core.quotes().len() == 1, "the one that stands is ours");
}

#[test]
fn what_is_included_after_the_hole_is_settled_as_ever() {
    let (mut bench, _) = quoting_on(blind_to_gaps(1));
    bench.ledger(&moved(110));
    let replacements = bench.acknowledge();
    bench.take();
    let killed = included(&replacements[0], 112, "tecKILLED", vec![]);
    bench.ledger(&LedgerUpdate { transactions: vec![killed], ..after_the_hole(112, 4, &[1, 2]) });
    let effects = bench.take();
    assert_eq!((validated_in(&effects), in_state(&effects, IntentState::Unknown)), (1, 0));
    assert_eq!(bench.core.in_flight.keys().copied().collect::<Vec<_>>(), [4], "its number is not used yet");
}

#[test]
fn what_an_earlier_session_sent_into_the_hole_is_unknown_when_its_last_ledger_has_passed() {
    let mut bench = Bench::new(1);
    bench.core.inherited = BTreeMap::from([(Hash([4; 32]), 98), (Hash([5; 32]), 103)]);
    bench.ledger(&after_the_hole(100, 10, &[]));
    let effects = bench.take();
    assert_eq!((in_state(&effects, IntentState::Unknown), dead_in(&effects)), (1, 0));
    bench.ledger(&update(103, 10, vec![], None));
    let effects = bench.take();
    assert_eq!((in_state(&effects, IntentState::Unknown), dead_in(&effects)), (1, 0));
    assert!(faults(&effects).iter().any(|cause| cause.contains(&Hash([5; 32]).to_string())));
}
