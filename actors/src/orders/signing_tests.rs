//! What becomes of a batch in whose middle the key does not sign.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A key elsewhere that refuses one signature, counted from 0.
struct FailsAt(u32, AtomicU32);

impl neo_ledger::RemoteKey for FailsAt {
    fn sign(&self, request: &neo_ledger::SigningRequest<'_>) -> Result<String, String> {
        if self.1.fetch_add(1, Ordering::Relaxed) == self.0 {
            return Err("is away".to_string());
        }
        key().sign_message(request.message).map_err(|error| error.to_string())
    }
}

/// Orders of one level, whose key refuses its signature number `at`.
fn fails_at(at: u32) -> Bench {
    let public = neo_ledger::keys::written([7; 16], &key()).unwrap().1;
    let elsewhere = Keypair::elsewhere(&public, Box::new(FailsAt(at, AtomicU32::new(0)))).unwrap();
    Bench { core: OrdersCore::new(core(1).config, elsewhere), effects: Vec::new() }
}

fn sequences(intents: &[Intent]) -> Vec<u32> {
    intents.iter().map(|intent| intent.sequence).collect()
}

fn signer_faults(effects: &[OrdersEffect]) -> usize {
    let told = |record: &&Record| matches!(record, Record::Fault(fault) if fault.cause.contains("is away"));
    recorded(effects).filter(told).count()
}

fn withdraw() -> OrdersInput<'static> {
    OrdersInput::Command(OrdersCommand::Withdraw)
}

#[test]
fn a_signature_that_fails_uses_no_sequence_number_up() {
    let mut bench = fails_at(2);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(sequences(&bench.acknowledge()), [1, 2]);
    bench.on(withdraw());
    assert_eq!(bench.acknowledge(), [], "one that is away is not asked for the next one at once");
    assert_eq!(bench.core.forget_unsent(now()), [], "nothing was signed");
    bench.on(withdraw());
    assert_eq!(sequences(&bench.acknowledge()), [3, 4], "behind a hole no cancel could apply");
}

#[test]
fn what_is_signed_is_sent_and_the_rest_is_signed_with_the_next_ledger() {
    let mut bench = fails_at(3);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.acknowledge();
    bench.on(withdraw());
    assert_eq!(signer_faults(&bench.effects), 1, "{:?}", bench.effects);
    assert_eq!(sequences(&bench.acknowledge()), [3], "the cancel that was signed goes");
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(signer_faults(&bench.effects), 0);
    assert_eq!(sequences(&bench.acknowledge()), [4]);
}

#[test]
fn quotes_that_a_signer_does_not_sign_come_with_the_next_ledger() {
    let mut bench = fails_at(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert!(bench.core.withheld().unwrap().contains("is away"), "{:?}", bench.core.withheld());
    assert_eq!(sequences(&bench.acknowledge()), [1]);
    assert_eq!(bench.core.open_items().0, [1], "no offer is believed in that was never signed");
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(sequences(&bench.acknowledge()), [2]);
    assert_eq!(bench.core.withheld(), None);
}

#[test]
fn what_no_key_can_sign_ends_the_session_after_what_was_signed_before_it() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, u32::MAX - 3, vec![], Some(vec![])));
    bench.acknowledge();
    bench.on(withdraw());
    let persisted = bench.effects.iter().position(|effect| matches!(effect, OrdersEffect::Persist { .. })).unwrap();
    let broken = bench.effects.iter().position(|effect| matches!(effect, OrdersEffect::Broken(_))).unwrap();
    assert!(persisted < broken, "{:?}", bench.effects);
    assert_eq!(sequences(&bench.acknowledge()), [u32::MAX - 1], "the numbers end after it");
}
