//! One engine on a record, one on an account: a second one of this host is refused, another host's is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(unix)]

mod engine;

use std::time::Duration;

use engine::{Engine, stderr, stdout};
use neo_ledger::client::{self, ClientEvent};
use neo_ledger::keys::Keypair;
use neo_ledger::request;
use neo_ledger::tx::{ASF_DEFAULT_RIPPLE, Body, Transaction};
use neo_ledger::types::Amount;
use neo_market::Drops;
use neo_store::record::{EndReason, EndedAtSource};
use serde_json::{Value, json};

/// Another program with the same key, on another host as far as the engine can tell.
struct OtherHost {
    url: String,
    key: Keypair,
}

impl OtherHost {
    fn of(engine: &Engine) -> OtherHost {
        let endpoint = engine.db().with_extension("ledger").join("endpoint.json");
        let endpoint: Value = serde_json::from_slice(&std::fs::read(endpoint).unwrap()).unwrap();
        let url = endpoint["url"].as_str().unwrap().to_string();
        OtherHost { url, key: Keypair::from_seed(&neo_sim::maker_seed()).unwrap() }
    }

    fn ask(&self, request: String) -> Value {
        let (outgoing, to_send) = tokio::sync::mpsc::unbounded_channel();
        outgoing.send(request).unwrap();
        let (mut outgoing, mut answer) = (Some(outgoing), None);
        let talk = client::run(self.url.clone(), to_send, |event| match event {
            ClientEvent::Text(text) => {
                answer.get_or_insert(text);
                outgoing = None;
            }
            ClientEvent::Connected
            | ClientEvent::Busy { .. }
            | ClientEvent::Failed { .. }
            | ClientEvent::Closed { .. } => {}
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), talk).await }).unwrap();
        serde_json::from_str(&answer.unwrap()).unwrap()
    }

    fn next_sequence(&self, ledger_index: &str) -> u64 {
        let account = json!({"id": 1, "command": "account_info", "account": self.key.address().to_string(),
            "ledger_index": ledger_index});
        self.ask(account.to_string())["result"]["account_data"]["Sequence"].as_u64().unwrap()
    }

    /// Signs and sends until the ledger takes it: the engine uses up sequence numbers meanwhile. Validated when it
    /// gives the number.
    fn send(&self, body: &Body) -> u64 {
        for _ in 0..50 {
            let sequence = self.next_sequence("current");
            let transaction = Transaction {
                account: self.key.address(),
                sequence: u32::try_from(sequence).unwrap(),
                ticket_sequence: None,
                fee: Drops::new(1_000),
                flags: 0,
                last_ledger_sequence: None,
                network_id: 65_001,
                body: body.clone(),
            };
            let blob = self.key.sign(&transaction).unwrap().blob;
            let said = self.ask(request::submit(2, &blob, false));
            if said["result"]["engine_result"] == "tesSUCCESS" {
                while self.next_sequence("validated") <= sequence {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return sequence;
            }
        }
        panic!("the ledger takes no transaction of the other host")
    }

    /// An ask far from the market.
    fn offer(&self) -> Body {
        let config = neo::config::Config::load(None, std::iter::empty(), &[]).unwrap().config;
        let taker_pays = Amount::Token { value: "100".parse().unwrap(), token: config.sim.token() };
        let taker_gets = Amount::Xrp(Drops::new(10_000_000));
        Body::OfferCreate { taker_gets, taker_pays, expiration: None, offer_sequence: None }
    }
}

#[test]
fn a_second_engine_on_the_record_or_on_the_account_is_refused() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let same = engine.neo("run", &["--for", "1m"]);
    assert_eq!(same.status.code(), Some(3), "{}", stderr(&same));
    let held = format!("held by process {}", running.pid());
    assert!(stderr(&same).contains(&held) && stderr(&same).contains("neo stop"), "{}", stderr(&same));

    // Another record of the same world: its account is the same one.
    let other = engine.db().with_extension("other");
    let on_account = engine.command(&["run", "--db", other.to_str().unwrap(), "--for", "1m"]).output().unwrap();
    assert_eq!(on_account.status.code(), Some(3), "{}", stderr(&on_account));
    let told = stderr(&on_account);
    assert!(told.contains(&held) && told.contains("account r"), "{told}");
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "neither disturbed the first: {}", engine.stderr());
}

#[test]
fn an_offer_of_another_host_ends_the_session_with_the_reason_and_is_left_alone() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let other = OtherHost::of(&engine);
    let sequence = other.send(&other.offer());
    assert_eq!(running.wait(), 1, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Risk), Some(EndedAtSource::Clean)));
    let detail: Value = serde_json::from_str(&session.end_detail.unwrap()).unwrap();
    assert!(detail["cause"].as_str().unwrap().contains("another program trades on this account"), "{detail}");
    assert_eq!(detail["stages"], json!([]), "its own offers were withdrawn in order");
    let faults = engine.record().faults(session.number).unwrap();
    assert!(faults.iter().any(|row| row.record.cause.contains(&format!("sequence {sequence}"))), "{faults:?}");
    let report = engine.neo("report", &["latest"]);
    assert_eq!(report.status.code(), Some(0), "it was closed in order: {}", stdout(&report));
    assert!(stdout(&report).contains("another program trades"), "{}", stdout(&report));

    // The next session finds the stranger's offer standing, as after any stop, and sweeps it before it quotes.
    let next = engine.neo("run", &["--for", "1m", "--speed", "20"]);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
}

#[test]
fn any_other_transaction_of_another_host_is_recorded_and_survived() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let other = OtherHost::of(&engine);
    other.send(&Body::AccountSet { set_flag: Some(ASF_DEFAULT_RIPPLE), clear_flag: None, tick_size: None });
    let recorded = || engine.record().faults(1).unwrap().iter().any(|row| row.record.cause.contains("AccountSet"));
    while !recorded() {
        running.until_it_quotes();
    }
    running.until_it_quotes();
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let books = engine.record().reconcile(1).unwrap();
    assert!(books.difference_xrp.get() == 0 && books.difference_rlusd.is_zero(), "{books:?}");
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn an_offer_placed_by_hand_before_the_start_is_swept_without_an_error() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    running.signal("KILL");
    running.wait();
    let other = OtherHost::of(&engine);
    let sequence = other.send(&other.offer());
    let run = engine.neo("run", &["--for", "1m", "--speed", "20"]);
    let told = stderr(&run);
    assert_eq!(run.status.code(), Some(0), "{told}");
    assert!(!told.contains("ERROR"), "{told}");
    let faults = engine.record().faults(2).unwrap();
    assert!(faults.iter().any(|row| row.record.cause.contains(&format!("sequence {sequence}"))), "{faults:?}");
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}
