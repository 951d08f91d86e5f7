//! Recordings of the real binary: `neo record` beside a node, and `[feed] record` in a session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine::node::{StandAlone, until};
use engine::{Engine, stderr, stdout};
use neo::live::link::Link;
use neo_ledger::Address;
use neo_ledger::recording::{self, Cut, Direction, Line, Reader, What};
#[cfg(unix)]
use proxy::Proxies;
#[cfg(unix)]
use proxy::plan::Fault;
use serde_json::{Value, json};

fn account() -> Address {
    "rrrrrrrrrrrrrrrrrrrrBZbvji".parse().unwrap()
}

fn read(file: &Path) -> (Vec<Line>, Option<Cut>) {
    let bytes = std::fs::read(file).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let lines = reader.by_ref().map(Result::unwrap).collect();
    (lines, reader.cut())
}

/// The messages of one direction, as JSON.
fn messages(lines: &[Line], direction: Direction) -> Vec<Value> {
    let of = |line: &Line| match &line.what {
        What::Message { dir, payload, .. } if *dir == direction => serde_json::from_str(payload.as_str()).ok(),
        What::Message { .. } | What::Gap { .. } => None,
    };
    lines.iter().filter_map(of).collect()
}

fn ledgers(received: &[Value]) -> Vec<u64> {
    let closed = received.iter().filter(|message| message["type"] == "ledgerClosed");
    closed.map(|message| message["ledger_index"].as_u64().unwrap()).collect()
}

/// One after another, without a hole.
fn assert_consecutive(ledgers: &[u64]) {
    assert!(ledgers.len() > 3, "{ledgers:?}");
    assert!(ledgers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ledgers:?}");
}

fn transactions(received: &[Value]) -> BTreeMap<u64, BTreeSet<String>> {
    let mut all: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for message in received.iter().filter(|message| message["type"] == "transaction") {
        let hash = message["hash"].as_str().unwrap().to_string();
        all.entry(message["ledger_index"].as_u64().unwrap()).or_default().insert(hash);
    }
    all
}

/// The transactions of a ledger that changed an offer, as the node tells them.
fn on_the_book(link: &mut Link, index: u64) -> BTreeSet<String> {
    let ask = |id: u64| {
        json!({"id": id, "command": "ledger", "api_version": 2, "ledger_index": index, "transactions": true, "expand": true})
            .to_string()
    };
    let ledger = link.need("ledger", ask).unwrap();
    let touches = |transaction: &&Value| {
        transaction["meta"]["AffectedNodes"].to_string().contains("\"LedgerEntryType\":\"Offer\"")
    };
    let all = ledger["ledger"]["transactions"].as_array().unwrap();
    all.iter().filter(touches).map(|transaction| transaction["hash"].as_str().unwrap().to_string()).collect()
}

#[test]
fn a_recording_has_each_ledger_and_each_transaction_of_the_book() {
    let engine = Engine::new();
    let node = StandAlone::start(&engine, &["--speed", "10"], 65_001, "");
    let config = node.config(&engine, account(), "");
    let file = engine.folder().join("node.jsonl.gz");
    let record = |more: &[&str]| {
        let mut command = engine.command(&["record", file.to_str().unwrap(), "--json", "--config"]);
        command.arg(&config).args(more).output().unwrap()
    };
    let output = record(&["--for", "6s"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&told["ended"], &told["gaps"], &told["dropped"]), (&json!("elapsed"), &json!(0), &json!(0)), "{told}");

    let (lines, cut) = read(&file);
    assert!(cut.is_none());
    assert_eq!(told["messages"], lines.len());
    assert_eq!(told["bytes"], std::fs::metadata(&file).unwrap().len());
    let received = messages(&lines, Direction::Recv);
    let ledgers = ledgers(&received);
    assert_consecutive(&ledgers);
    assert_eq!((&told["ledgers"], &told["last_ledger"]), (&json!(ledgers.len()), &json!(ledgers.last().unwrap())));
    let recorded = transactions(&received);
    let mut link = Link::open(node.url.as_str()).unwrap();
    let mut seen = 0;
    // A ledger's transactions come before and after its own message: the last one may be cut off by the end.
    for index in &ledgers[..ledgers.len() - 1] {
        let expected = on_the_book(&mut link, *index);
        assert!(expected.is_subset(&recorded.get(index).cloned().unwrap_or_default()), "ledger {index}");
        seen += expected.len();
    }
    assert!(seen > 0, "nothing happened on the book");
    let sent: Vec<String> =
        messages(&lines, Direction::Sent).iter().map(|sent| sent["command"].as_str().unwrap().to_string()).collect();
    for command in ["server_info", "subscribe", "amm_info", "book_offers", "account_info"] {
        assert!(sent.contains(&command.to_string()), "{sent:?}");
    }
    let clock: Vec<u64> = lines.iter().map(|line| line.at.monotonic_us).collect();
    assert!(clock.is_sorted());

    // The same name again: the next part. A node of another network is refused.
    let wrong = record(&["--for", "20s", "--set", "network.network_id=65002"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("65002"), "{}", stderr(&wrong));
    let parts: Vec<u32> = recording::parts(&file).unwrap().into_iter().map(|(part, _)| part).collect();
    assert_eq!((parts, read(&file).0.len()), (vec![1, 2], lines.len()));
    let nowhere = engine.folder().join("no folder").join("x.gz");
    let refused = engine.command(&["record", nowhere.to_str().unwrap(), "--config"]).arg(&config).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("cannot be written"), "{}", stderr(&refused));
}

#[test]
fn a_killed_recorder_leaves_what_it_had_and_a_signal_leaves_all() {
    let engine = Engine::new();
    let node = StandAlone::start(&engine, &["--speed", "10"], 65_001, "");
    let config = node.config(&engine, account(), "");
    let start = |file: &PathBuf| {
        let mut command = engine.command(&["record", file.to_str().unwrap(), "--config"]);
        command.arg(&config);
        engine.spawn(command)
    };
    let so_far =
        |file: &PathBuf| until(|| (file.exists() && std::fs::metadata(file).ok()?.len() > 4_000).then_some(()));
    let file = engine.folder().join("killed.jsonl.gz");
    let running = start(&file);
    so_far(&file);
    running.kill();
    let (lines, _) = read(&file);
    assert!(!ledgers(&messages(&lines, Direction::Recv)).is_empty());

    #[cfg(unix)]
    {
        let file = engine.folder().join("asked.jsonl.gz");
        let running = start(&file);
        so_far(&file);
        running.signal("TERM");
        assert_eq!(running.wait(), 0, "{}", engine.stderr());
        let (lines, cut) = read(&file);
        assert!(cut.is_none());
        assert_consecutive(&ledgers(&messages(&lines, Direction::Recv)));
    }
}

#[cfg(unix)]
#[test]
fn a_node_that_is_lost_is_left_for_the_next_and_each_message_says_whose_it_is() {
    let engine = Engine::new();
    let node = StandAlone::start(&engine, &["--speed", "40"], 65_001, "");
    let proxies = Proxies::before(&node.url, 2);
    let certificate = engine.folder().join("ca.pem");
    std::fs::write(&certificate, &proxies.certificate).unwrap();
    let text = format!(
        "[session]\nmode = \"live\"\n[network]\nkind = \"standalone\"\nurl = \"{}\"\nmore_urls = [\"{}\"]\n\
         network_id = 65001\nca_file = '{}'\n[account]\naddress = \"{}\"\nissuer = \"{}\"\n",
        proxies.urls[0],
        proxies.urls[1],
        certificate.display(),
        account(),
        node.token().issuer
    );
    let config = engine.folder().join("record.toml");
    std::fs::write(&config, text).unwrap();
    let file = engine.folder().join("two.jsonl.gz");
    let mut command = engine.command(&["record", file.to_str().unwrap(), "--json", "--config"]);
    let mut child = command.arg(&config).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let has_sent = |number: usize| until(|| (proxies.messages(number) >= 200).then_some(()));
    has_sent(0);
    proxies.strike(0, Fault::Cut, 0);
    has_sent(1);
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut said = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["sources"], json!(proxies.urls), "{told}");

    let (lines, _) = read(&file);
    let reader = Reader::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).unwrap();
    assert_eq!(reader.header().url, proxies.urls[0]);
    // The first node's, a gap that names it, then the second one's: each names that, whichever way it went.
    let gap = lines.iter().position(|line| matches!(line.what, What::Gap { .. })).expect("a gap");
    let What::Gap { reason, .. } = &lines[gap].what else { panic!("a gap") };
    assert!(reason.contains(&proxies.urls[0]), "{reason}");
    let node_of = |line: &Line| match &line.what {
        What::Message { conn, node, .. } => Some((*conn, node.clone())),
        What::Gap { .. } => None,
    };
    assert!(lines[..gap].iter().filter_map(node_of).all(|said| said == (1, None)));
    let after: Vec<_> = lines[gap..].iter().filter_map(node_of).collect();
    assert!(after.len() > 200 && after.iter().all(|(conn, node)| *conn > 1 && node.as_ref() == Some(&proxies.urls[1])));

    // Replay reads it, and says how many ledgers have no whole book.
    let replayed = engine.neo("replay", &[file.to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(0), "{}{}", stdout(&replayed), stderr(&replayed));
    let words = stdout(&replayed);
    let told = words.lines().find(|line| line.ends_with("ledgers without a whole book")).expect("what is missing");
    assert!(!told.contains(", 0 ledgers without"), "{told}");
}

#[test]
fn a_session_records_what_it_heard_and_its_transactions_by_hash() {
    let engine = Engine::new();
    let file = engine.folder().join("session.jsonl.gz");
    let set = format!("feed.record={}", file.display());
    let output = engine.neo("run", &["--for", "60s", "--speed", "max", "--set", &set]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (lines, cut) = read(&file);
    assert!(cut.is_none());
    let ledgers = ledgers(&messages(&lines, Direction::Recv));
    assert_consecutive(&ledgers);
    let record = engine.record();
    let session = record.session(None).unwrap();
    let last = u64::from(session.ending_ledger_index.unwrap());
    assert!(ledgers.contains(&last) && ledgers[0] <= u64::from(session.starting_ledger_index.unwrap()) + 1);
    let sent = messages(&lines, Direction::Sent);
    let submitted: BTreeSet<&str> = sent.iter().filter_map(|sent| sent["tx_hash"].as_str()).collect();
    let intents = record.intents(1).unwrap();
    assert!(!intents.is_empty());
    assert!(intents.iter().all(|intent| submitted.contains(intent.intent.tx_hash.as_str())));
    assert!(sent.iter().all(|sent| sent.get("tx_blob").is_none()));

    // A place that cannot be written costs the recording and nothing else.
    let set = format!("feed.record={}", engine.folder().join("no folder").join("x.gz").display());
    let output = engine.neo("run", &["--for", "20s", "--speed", "max", "--set", &set]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("the recording cannot be written"), "{}", stderr(&output));
}
