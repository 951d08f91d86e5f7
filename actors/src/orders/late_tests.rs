//! A transaction that is told of after its ledger: it is ours as ever, and no stranger's.

use super::*;

#[test]
fn what_was_given_up_for_dead_and_is_told_of_late_is_ours() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    let last = intents[0].last_ledger_sequence;
    bench.take();
    bench.ledger(&update(last, 1, vec![], None));
    assert_eq!(dead_in(&bench.take()), 2);
    // Ledger 101 had it, and it comes with a later one.
    let made = change(intents[0].sequence, Side::Bid, OfferChangeKind::Created);
    let late = included(&intents[0], 101, "tesSUCCESS", vec![made]);
    bench.ledger(&update(last + 1, 2, vec![late.clone()], None));
    let effects = bench.take();
    assert_eq!(validated_in(&effects), 1);
    assert!(!effects.iter().any(|effect| matches!(effect, OrdersEffect::Stranger(_))), "{effects:?}");
    assert!(bench.core.orphans.contains(&intents[0].sequence), "it stands, and is taken back");
    // Told again, nothing is recorded again.
    bench.ledger(&update(last + 2, 2, vec![late], None));
    assert_eq!(validated_in(&bench.take()), 0);
}
