//! What a node answers settles nothing, whatever it is; what a validated ledger says settles everything.

use super::*;

/// Provisional answers of every class (xrpl.org, "Transaction Results"), and those that other makers took for final.
const ANSWERS: [&str; 26] = [
    "tesSUCCESS",
    "terQUEUED",
    "terPRE_SEQ",
    "terRETRY",
    "terINSUF_FEE_B",
    "tefPAST_SEQ",
    "tefALREADY",
    "tefMAX_LEDGER",
    "tefNO_TICKET",
    "tefBAD_AUTH",
    "temBAD_SEQUENCE",
    "temMALFORMED",
    "telCAN_NOT_QUEUE",
    "telCAN_NOT_QUEUE_BALANCE",
    "telCAN_NOT_QUEUE_BLOCKS",
    "telCAN_NOT_QUEUE_BLOCKED",
    "telCAN_NOT_QUEUE_FEE",
    "telCAN_NOT_QUEUE_FULL",
    "telINSUF_FEE_P",
    "telNETWORK_ID_MAKES_TX_NON_CANONICAL",
    "telREQUIRES_NETWORK_ID",
    "telWRONG_NETWORK",
    "tecKILLED",
    "tecUNFUNDED_OFFER",
    "tecINSUF_RESERVE_OFFER",
    "tecFROZEN",
];

impl Bench {
    /// Makes what is signed durable and lets the node answer each submission with `code`; returns the intents.
    fn answered(&mut self, code: &str, cost: Option<Drops>) -> Vec<Intent> {
        let mut intents = Vec::new();
        for effect in self.take() {
            let OrdersEffect::Persist { batch, records } = effect else { continue };
            intents.extend(records.into_iter().filter_map(|record| match record {
                Record::Intent(intent) => Some(intent),
                _ => None,
            }));
            self.on(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) }));
        }
        for intent in &intents {
            let hash = intent.tx_hash.parse().unwrap();
            let result = Ok(code.to_string());
            self.on(OrdersInput::Reply(SubmissionReply { hash, result, open_ledger_cost: cost }));
        }
        intents
    }
}

#[test]
fn whatever_a_node_answers_the_transaction_lives_until_its_last_ledger_and_its_level_waits() {
    for code in ANSWERS {
        let mut bench = Bench::new(1);
        bench.ledger(&update(100, 1, vec![], Some(vec![])));
        let intents = bench.answered(code, None);
        assert_eq!(intents.len(), 2);
        for index in 101..105 {
            bench.ledger(&update(index, 1, vec![], None));
            assert_eq!(bench.core.in_flight(), 2, "{code} at {index}");
            assert!(bench.answered(code, None).is_empty(), "{code} at {index}: a second one for the same level");
        }
        bench.ledger(&update(105, 1, vec![], None));
        let again = bench.answered(code, None);
        assert_eq!(again.iter().map(|intent| intent.sequence).collect::<Vec<_>>(), [1, 2], "{code}: proven dead");
        assert!(again.iter().zip(&intents).all(|(new, old)| new.tx_hash != old.tx_hash), "{code}");
    }
}

#[test]
fn an_answer_that_was_not_final_does_not_hide_what_the_ledger_did() {
    for code in ANSWERS {
        let mut bench = Bench::new(1);
        bench.ledger(&update(100, 1, vec![], Some(vec![])));
        let intents = bench.answered(code, None);
        let created = vec![change(intents[0].sequence, Side::Bid, OfferChangeKind::Created)];
        bench.ledger(&update(101, 2, vec![included(&intents[0], 101, "tesSUCCESS", created)], None));
        assert_eq!((validated_in(&bench.effects), bench.core.quotes().len()), (1, 1), "{code}");
    }
}

/// Hummingbot's connector takes temBAD_SEQUENCE at a cancel for "already gone" (D2) and an empty cancel for a cancel (D3).
#[test]
fn a_cancel_that_a_node_refuses_leaves_the_offer_ours() {
    for code in ["temBAD_SEQUENCE", "tefPAST_SEQ", "telINSUF_FEE_P"] {
        let (mut bench, placed) = quoting();
        bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
        let cancels = bench.answered(code, None);
        assert_eq!(cancels.len(), 2);
        let ours: Vec<u32> = placed.iter().map(|intent| intent.sequence).collect();
        for index in 102..107 {
            bench.ledger(&update(index, 3, vec![], None));
            assert!(!bench.core.is_flat(), "{code} at {index}");
            assert!(ours.iter().all(|sequence| bench.core.open_items().0.contains(sequence)), "{code} at {index}");
        }
        assert_eq!(bench.answered(code, None).len(), 2, "{code}: cancelled again once the first are proven dead");
        assert!(!bench.effects.contains(&OrdersEffect::Flat));
    }
}

#[test]
fn the_cost_of_the_open_ledger_is_paid_up_to_a_ceiling_and_a_cancel_may_pay_more() {
    for (cost, quote, cancel) in [(80, 80, 80), (20_000, 5_000, 20_000), (900_000, 5_000, 50_000)] {
        let mut bench = Bench::new(1);
        bench.core.config.max_fee = Drops::new(5_000);
        bench.core.config.cancel_max_fee = Drops::new(50_000);
        bench.ledger(&update(100, 1, vec![], Some(vec![])));
        bench.answered("telINSUF_FEE_P", Some(Drops::new(cost)));
        (101..=105).for_each(|index| bench.ledger(&update(index, 1, vec![], None)));
        let again = bench.answered("tesSUCCESS", None);
        assert!(!again.is_empty() && again.iter().all(|intent| intent.fee == Drops::new(quote)), "{cost}: {again:?}");
        bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
        let cancels = bench.answered("tesSUCCESS", None);
        assert!(!cancels.is_empty() && cancels.iter().all(|intent| intent.fee == Drops::new(cancel)), "{cost}");
    }
}
