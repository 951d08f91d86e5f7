//! The engine trades on a ledger in another process, over a network that spoils what passes. However it goes wrong, the
//! record is the ledger's to the last digit, nothing is left behind, and no limit was passed at any ledger. Each fault has its
//! reaction besides, and a test that names it: what the engine says, asks again, sends again or concludes.
//!
//! `NEO_FAULT_SEEDS=1..4 NEO_FAULT_LEDGERS=5000 cargo test --test network_faults every_fault -- --nocapture` runs longer;
//! `scripts/network-faults` does and makes a table. `NEO_FAULT_STRATEGIES=glft` names the strategies (all of them).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly"
)]

mod engine;
mod proxy;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::node::StandAlone;
use engine::{Engine, Running, stderr, stdout};
use neo_ledger::keys::written;
use neo_ledger::types::LedgerTime;
use neo_ledger::{Address, Algorithm, Keypair};
use neo_store::IntentRow;
use neo_store::record::{EndedAtSource, IntentState};
use proxy::Proxies;
use proxy::plan::{Fault, Plan};
use proxy::truth::{self, History};
use proxy::wire::Picture;
use serde_json::Value;

/// XRP at the start; the limits are near, so that they bind.
const START_XRP: i64 = 10_000;
const MOST_XRP: i64 = START_XRP + 350;
const LEAST_XRP: i64 = START_XRP - 350;
const LARGEST_XRP: i64 = 120;
const DROPS: i64 = 1_000_000;
/// The shortest time between two ledgers.
const PACE: Duration = Duration::from_millis(40);
/// Room for a stop, in ledgers at that pace, and for what a fault makes the engine wait.
const PATIENCE: u32 = 600;

/// An engine, the ledger, and what lies between them.
struct Bench<'a> {
    engine: &'a Engine,
    node: StandAlone,
    proxies: Proxies,
    account: Address,
    seed: String,
    config: std::path::PathBuf,
    closes: BTreeMap<u32, LedgerTime>,
    ledger: u32,
}

impl<'a> Bench<'a> {
    /// `entropy` is another one for each test: one account has one engine on a machine.
    fn new(engine: &'a Engine, entropy: [u8; 16], nodes: usize) -> Bench<'a> {
        Bench::quoting(engine, entropy, nodes, "")
    }

    /// The same with more lines in `[quote]`.
    fn quoting(engine: &'a Engine, entropy: [u8; 16], nodes: usize, quote: &str) -> Bench<'a> {
        let pair = Keypair::from_entropy(entropy, Algorithm::Secp256k1).unwrap();
        let seed = written(entropy, &pair).unwrap().0;
        let mut node = StandAlone::start(engine, &["--manual"], 65_001, "history_ledgers = 200000\n");
        let account = pair.address();
        node.fund(account, u64::try_from(START_XRP * DROPS).unwrap());
        let plain = node.config(engine, account, "");
        let setup = engine
            .command(&["setup", "--yes", "--limit", "5000000", "--config", plain.to_str().unwrap()])
            .env("NEO_WALLET_SEED", &seed)
            .output()
            .unwrap();
        assert_eq!(setup.status.code(), Some(0), "{}", stderr(&setup));
        node.issue(account, "50000");
        let proxies = Proxies::before(&node.url, nodes);
        let certificate = engine.folder().join("ca.pem");
        std::fs::write(&certificate, &proxies.certificate).unwrap();
        let text = format!(
            "[session]\nmode = \"live\"\n[network]\nkind = \"standalone\"\nurl = \"{}\"\nmore_urls = {:?}\n\
             network_id = 65001\nca_file = '{}'\n[account]\naddress = \"{account}\"\nissuer = \"{}\"\n\
             [feed]\nsilence_ms = 5000\noutage_ms = 900000\n[quote]\nexpiration_s = 120\nbid_offset_bps = \"3\"\n\
             ask_offset_bps = \"3\"\n{quote}[risk]\nmax_inventory_xrp = \"{MOST_XRP}\"\nmin_inventory_xrp = \"{LEAST_XRP}\"\n\
             max_order_xrp = \"{LARGEST_XRP}\"\n",
            proxies.urls[0],
            &proxies.urls[1..],
            certificate.display(),
            node.token().issuer,
        );
        let config = engine.folder().join("faults.toml");
        std::fs::write(&config, text).unwrap();
        let mut bench = Bench { engine, node, proxies, account, seed, config, closes: BTreeMap::new(), ledger: 0 };
        bench.close();
        bench
    }

    fn start(&self) -> Session<'a> {
        let mut command = self.engine.command(&["run", "--mode", "live", "--config", self.config.to_str().unwrap()]);
        command.env("NEO_WALLET_SEED", &self.seed).env("NEO_SESSION__DB", self.engine.db());
        Session(Some(self.engine.spawn(command)))
    }

    /// The next ledger, and what every node behind it will tell of it.
    fn close(&mut self) {
        self.node.close();
        let (index, picture) = self.picture();
        self.closes.insert(index, LedgerTime(picture.header["ledger_time"].as_u64().unwrap() as u32));
        self.ledger = index;
        self.proxies.advance(index, picture);
    }

    fn picture(&mut self) -> (u32, Picture) {
        let (account, node) = (self.account, &mut self.node);
        let header = node.header();
        let answers = node.answers(account);
        (header["ledger_index"].as_u64().unwrap() as u32, Picture { answers, header })
    }

    /// So many ledgers, with time in between.
    fn go(&mut self, ledgers: u32) {
        for _ in 0..ledgers {
            let began = Instant::now();
            self.close();
            std::thread::sleep(PACE.saturating_sub(began.elapsed()));
        }
    }

    /// Ledgers close until something is so.
    fn until(&mut self, what: &str, mut so: impl FnMut(&Bench<'_>) -> bool) {
        for _ in 0..PATIENCE / 5 {
            if so(self) {
                return;
            }
            self.go(5);
        }
        panic!("{what}: it does not come so far at ledger {}\n{}", self.ledger, tail(&self.engine.stderr()));
    }

    fn status(&self) -> Option<Value> {
        let output = self.engine.neo("status", &["--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    fn quotes(&self) -> bool {
        self.status().is_some_and(|status| {
            let is_near = status["ledger_index"].as_u64().is_some_and(|index| index + 10 >= u64::from(self.ledger));
            is_near && status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())
        })
    }

    fn until_it_quotes(&mut self) {
        self.until("quoting", |bench| bench.quotes());
    }

    fn says(&self, words: &str) -> bool {
        self.engine.stderr().contains(words)
    }

    /// An ordered stop while ledgers go on, then everything that must be true.
    fn ends_well(&mut self, mut running: Session<'_>) -> String {
        let mut stop = self.engine.with_db("stop", &[]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        while stop.try_wait().unwrap().is_none() {
            self.go(1);
        }
        let stop = stop.wait_with_output().unwrap();
        assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), tail(&self.engine.stderr()));
        assert_eq!(running.0.take().unwrap().wait(), 0, "{}", tail(&self.engine.stderr()));
        self.is_true()
    }

    /// What must be true of the record and of the ledger. Gives what there was.
    fn is_true(&mut self) -> String {
        assert_eq!(self.node.offers(self.account), 0, "an offer of ours is left on the ledger");
        let record = self.engine.record();
        let session = record.session(None).unwrap();
        assert_eq!((session.number, session.ended_at_source), (1, Some(EndedAtSource::Clean)));
        let books = record.reconcile(session.number).unwrap();
        let faults: Vec<String> = record.faults(1).unwrap().iter().map(|fault| format!("{fault:?}")).collect();
        assert!(books.adds_up(), "{books:?} {faults:?}");
        let verify = self.engine.neo("verify", &[]);
        assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));

        let transactions = self.node.history(self.account);
        let history = History { account: self.account, token: self.node.token(), transactions: &transactions };
        let fills: Vec<_> = record.fills(session.number).unwrap().into_iter().map(|fill| fill.record).collect();
        let closing = record.last_valuation(session.number).unwrap().unwrap();
        let wrong = truth::differences(&history, &fills, u32::MAX);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let held = self.node.held(self.account);
        assert_eq!((closing.xrp, closing.rlusd), (self.node.account(self.account).balance, held));

        // Each offer that was ever on the ledger has an order that owns it.
        let known: std::collections::BTreeSet<u32> =
            record.orders(session.number).unwrap().into_iter().map(|order| order.order.offer_sequence).collect();
        let strange: Vec<u32> = history.placed().difference(&known).copied().collect();
        assert!(strange.is_empty(), "offers that no order owns: {strange:?}");
        let first = session.starting_ledger_index.unwrap();
        let exposures = history.exposures(first, &self.closes);
        for exposure in &exposures {
            let within = exposure.most <= MOST_XRP * DROPS
                && exposure.least >= LEAST_XRP * DROPS
                && exposure.largest <= LARGEST_XRP * DROPS;
            assert!(within, "{exposure:?}: {MOST_XRP} XRP at most, {LEAST_XRP} at least, {LARGEST_XRP} in one");
        }
        assert!(!fills.is_empty(), "nothing was filled");
        let most = exposures.iter().map(|exposure| exposure.most).max().unwrap_or(0);
        let least = exposures.iter().map(|exposure| exposure.least).min().unwrap_or(0);
        format!("{} fills | {} to {} XRP", fills.len(), least / DROPS, most / DROPS)
    }
}

/// A session that does not outlive a test that failed.
struct Session<'a>(Option<Running<'a>>);

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.kill();
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn entropy(n: u8) -> [u8; 16] {
    [n; 16]
}

/// What is done to which node, and what the engine must say.
struct Case {
    n: u8,
    fault: Fault,
    amount: u32,
    words: &'static str,
}

/// Two nodes; the followed one, behind TLS, is struck. The engine names it, the other takes over, and all is true.
fn the_followed_node_is_struck(case: Case) {
    let engine = Engine::new();
    let mut bench = Bench::new(&engine, entropy(case.n), 2);
    let running = bench.start();
    bench.until_it_quotes();
    bench.until("both nodes are connected", |bench| bench.proxies.all_are_used());
    bench.go(20);
    let history =
        |bench: &Bench<'_>| bench.proxies.world(|world| world.requests.get("account_tx").copied().unwrap_or(0));
    let (asked, opened) = (history(&bench), bench.proxies.world(|world| world.opened));
    bench.proxies.strike(0, case.fault, case.amount);
    bench.until(case.words, |bench| bench.says(case.words) && bench.proxies.count(case.fault) > 0);
    bench.until_it_quotes();
    // The other node is followed without a new connection, and asked for what may have been missed.
    assert!(bench.says("the node that stood by is followed now"), "{}", tail(&engine.stderr()));
    assert!(history(&bench) > asked, "our history since was not asked for");
    bench.proxies.heal(0);
    bench.go(30);
    bench.until_it_quotes();
    // Well again, it stands by: a connection more than before it was struck. One that was unfit is left alone for longer.
    if !matches!(case.fault, Fault::WrongNetwork | Fault::Behind) {
        bench.until("both nodes are connected again", |bench| bench.proxies.all_are_used());
        assert!(bench.proxies.world(|world| world.opened) > opened);
    }
    bench.ends_well(running);
    assert!(bench.proxies.count(case.fault) > 0);
}

/// What the engine did while faults of one kind happened.
#[derive(Debug)]
struct Reaction {
    /// How often the fault happened.
    faults: u64,
    /// Its requests, by method.
    requests: BTreeMap<String, u64>,
    /// Connections that it opened.
    opened: u64,
    /// How often it lost a connection.
    lost: usize,
    /// How often each transaction was handed over in the whole session, by hash.
    handed_over: BTreeMap<String, u64>,
    /// Transactions that never left the node, and those whose answer was lost.
    never_left: std::collections::BTreeSet<String>,
    unanswered: std::collections::BTreeSet<String>,
    /// The session's intents.
    intents: Vec<IntentRow>,
    /// What validated ledgers say of our transactions: result and ledger, by hash.
    on_ledger: BTreeMap<String, (String, u32)>,
}

impl Reaction {
    fn asked(&self, method: &str) -> u64 {
        self.requests.get(method).copied().unwrap_or(0)
    }

    /// Each of these is recorded as the ledger has it: with its result and ledger, or dead after its last one.
    fn settled_by_the_ledger(&self, hashes: &std::collections::BTreeSet<String>) {
        assert!(!hashes.is_empty());
        for hash in hashes {
            let row = self.intents.iter().find(|row| row.intent.tx_hash == *hash).expect("recorded before it was sent");
            match self.on_ledger.get(hash) {
                Some((result, index)) => {
                    let known = (row.state, row.engine_result.as_deref(), row.settled_ledger_index);
                    assert_eq!(known, (IntentState::Validated, Some(result.as_str()), Some(*index)), "{hash}");
                }
                None => {
                    assert_eq!(row.state, IntentState::Dead, "{hash}");
                    assert!(row.settled_ledger_index >= Some(row.intent.last_ledger_sequence), "not before: {row:?}");
                }
            }
        }
    }
}

/// A fault of single messages or transactions, often; all is true at the end. Gives what the engine did about it.
fn messages_suffer(n: u8, fault: Fault, times: u64) -> Reaction {
    let engine = Engine::new();
    let mut bench = Bench::new(&engine, entropy(n), 2);
    let running = bench.start();
    bench.until_it_quotes();
    bench.until("both nodes are connected", |bench| bench.proxies.all_are_used());
    let (before, opened) = bench.proxies.world(|world| (world.requests.clone(), world.opened));
    let said = engine.stderr().len();
    bench.proxies.arm(Plan::only(u64::from(n), fault, times));
    bench.go(200);
    bench.until("it happens", |bench| bench.proxies.count(fault) >= 3);
    bench.proxies.disarm();
    bench.until_it_quotes();
    let said = engine.stderr()[said..].to_string();
    let (after, now_opened) = bench.proxies.world(|world| (world.requests.clone(), world.opened));
    bench.ends_well(running);
    let more = |(method, count): (String, u64)| {
        let before = before.get(&method).copied().unwrap_or(0);
        (method, count - before)
    };
    let world = |world: &proxy::wire::World| (world.handed_over.clone(), world.lost.clone(), world.unanswered.clone());
    let (handed_over, never_left, unanswered) = bench.proxies.world(world);
    let told = |tx: &neo_ledger::ValidatedTransaction| (tx.hash.to_string(), (tx.result.clone(), tx.ledger_index));
    Reaction {
        faults: bench.proxies.count(fault),
        requests: after.into_iter().map(more).collect(),
        opened: now_opened - opened,
        lost: said.matches("no connection:").count(),
        handed_over,
        never_left,
        unanswered,
        intents: engine.record().intents(1).unwrap(),
        on_ledger: bench.node.history(bench.account).iter().map(told).collect(),
    }
}

#[test]
fn a_cut_line_is_opened_again() {
    the_followed_node_is_struck(Case { n: 131, fault: Fault::Cut, amount: 0, words: "no connection:" });
}

#[test]
fn a_stalled_line_is_left_for_the_other_node() {
    the_followed_node_is_struck(Case { n: 132, fault: Fault::Stall, amount: 0, words: "the node has been silent" });
}

#[test]
fn a_half_open_line_is_left_for_the_other_node() {
    the_followed_node_is_struck(Case { n: 133, fault: Fault::HalfOpen, amount: 0, words: "the node has been silent" });
}

#[test]
fn a_line_too_slow_to_answer_is_left() {
    the_followed_node_is_struck(Case { n: 134, fault: Fault::Slow, amount: 1_500, words: "no connection:" });
}

#[test]
fn a_node_whose_certificate_nobody_vouches_for_is_not_spoken_to() {
    let words = "invalid peer certificate";
    the_followed_node_is_struck(Case { n: 135, fault: Fault::TlsCertificate, amount: 0, words });
}

#[test]
fn a_handshake_that_is_cut_is_tried_again_later() {
    let words = "check the node's URL, this machine's clock";
    the_followed_node_is_struck(Case { n: 136, fault: Fault::TlsHandshake, amount: 0, words });
}

#[test]
fn a_node_of_another_network_is_not_followed() {
    let words = "it is on network 1, not 65001";
    the_followed_node_is_struck(Case { n: 137, fault: Fault::WrongNetwork, amount: 0, words });
}

#[test]
fn a_node_that_stays_behind_is_left() {
    let words = "ledgers behind the second node";
    the_followed_node_is_struck(Case { n: 138, fault: Fault::Behind, amount: 4, words });
}

/// The node that stands by has not reached the ledger that was recorded last when it must take over: it is waited for.
#[test]
fn a_node_behind_the_record_is_waited_for_and_nothing_is_called_lost() {
    let engine = Engine::new();
    let mut bench = Bench::new(&engine, entropy(139), 2);
    let running = bench.start();
    bench.until_it_quotes();
    bench.until("both nodes are connected", |bench| bench.proxies.all_are_used());
    bench.proxies.strike(1, Fault::Behind, 3);
    bench.go(20);
    bench.proxies.strike(0, Fault::Cut, 0);
    bench.go(30);
    bench.until_it_quotes();
    bench.proxies.heal(0);
    bench.proxies.heal(1);
    assert!(bench.proxies.count(Fault::Behind) > 0 && bench.proxies.count(Fault::Cut) > 0);
    bench.ends_well(running);
    let faults = engine.record().faults(1).unwrap();
    assert!(faults.iter().all(|fault| !format!("{fault:?}").contains("no history")), "{faults:#?}");
}

/// Whoever takes over lacks our history, and says so or does not: the node that has it is gone back to.
fn history_is_sought_elsewhere(n: u8, fault: Fault) {
    let engine = Engine::new();
    let mut bench = Bench::new(&engine, entropy(n), 2);
    let running = bench.start();
    bench.until_it_quotes();
    bench.until("both nodes are connected", |bench| bench.proxies.all_are_used());
    bench.go(20);
    // The first is gone for a while in which our offers are filled; then the second is there, without that while.
    bench.proxies.strike(0, Fault::Cut, 0);
    bench.proxies.strike(1, Fault::Cut, 0);
    bench.go(12);
    bench.proxies.strike(1, fault, 0);
    bench.until("history is missing", |bench| bench.proxies.count(fault) > 0 && bench.says("has no history"));
    bench.proxies.heal(0);
    bench.until_it_quotes();
    bench.proxies.heal(1);
    bench.ends_well(running);
    let faults = engine.record().faults(1).unwrap();
    assert!(faults.is_empty(), "nothing is lost that another node has: {faults:#?}");
}

#[test]
fn history_that_one_node_refuses_is_taken_from_another() {
    history_is_sought_elsewhere(140, Fault::HistoryGap);
}

#[test]
fn history_that_one_node_cuts_short_is_taken_from_another() {
    history_is_sought_elsewhere(141, Fault::HistoryClamped);
}

#[test]
fn messages_that_never_come_are_missed_and_read() {
    let reaction = messages_suffer(142, Fault::Lose, 8);
    let (history, books) = (reaction.asked("account_tx"), reaction.asked("book_offers"));
    assert!(history > 0 && books > 0, "the picture is read afresh, and our history: {reaction:?}");
}

#[test]
fn messages_that_come_late_are_read_afresh_over_the_same_connection() {
    let reaction = messages_suffer(143, Fault::Delay, 10);
    assert_eq!((reaction.lost, reaction.opened), (0, 0), "{reaction:?}");
    let (history, books) = (reaction.asked("account_tx"), reaction.asked("book_offers"));
    assert!(history > 0 && books > 0, "what comes a ledger late was missed: {reaction:?}");
}

#[test]
fn messages_in_another_order_cost_no_connection() {
    let reaction = messages_suffer(144, Fault::Reorder, 15);
    assert_eq!((reaction.lost, reaction.opened), (0, 0), "{reaction:?}");
}

#[test]
fn messages_that_come_twice_count_once() {
    let reaction = messages_suffer(145, Fault::Duplicate, 30);
    assert_eq!((reaction.lost, reaction.opened), (0, 0), "{reaction:?}");
}

#[test]
fn a_submission_that_never_left_is_dead_when_its_last_ledger_has_passed() {
    let reaction = messages_suffer(146, Fault::LostSubmission, 15);
    assert_eq!((reaction.lost, reaction.opened), (0, 0), "{reaction:?}");
    let again = |hash: &&String| reaction.handed_over[*hash] > 1;
    assert!(reaction.never_left.iter().any(|hash| again(&hash)), "the same blob is handed over again: {reaction:?}");
    reaction.settled_by_the_ledger(&reaction.never_left);
}

#[test]
fn a_submission_whose_answer_is_lost_is_settled_by_the_ledger() {
    let reaction = messages_suffer(147, Fault::AnswerLost, 25);
    // The line broke with each answer; the other node takes over, or a new connection is opened.
    assert!(reaction.lost > 0 && reaction.opened >= reaction.faults.min(3), "{reaction:?}");
    assert!(reaction.asked("account_tx") > 0, "our history since: {reaction:?}");
    reaction.settled_by_the_ledger(&reaction.unanswered);
}

fn from_environment(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_string())
}

/// The lines of a strategy. A third of what the account holds is XRP; the models stand about as near as 3 bps.
fn lines_of(strategy: &str) -> String {
    match strategy {
        "fixed" => String::new(),
        model => format!(
            "strategy = \"{model}\"\ninventory_target_pct = \"33\"\nk_per_bps = \"0.4\"\ngamma_per_bps = \"0.002\"\n\
             max_offset_bps = \"30\"\n"
        ),
    }
}

/// A run with every fault at random.
fn mixed(strategy: &str, seed: u64, ledgers: u32) {
    let engine = Engine::new();
    let mut own = entropy(150);
    own[..8].copy_from_slice(&seed.to_be_bytes());
    own[8] = u8::try_from(strategy.len()).unwrap();
    let mut bench = Bench::quoting(&engine, own, 3, &lines_of(strategy));
    let running = bench.start();
    bench.until_it_quotes();
    let began = Instant::now();
    bench.proxies.arm(Plan::mixed(seed));
    bench.go(ledgers);
    bench.proxies.disarm();
    bench.until_it_quotes();
    let told = bench.ends_well(running);
    let (counts, opened, broken) = bench.proxies.world(|world| {
        let counts: Vec<String> = world.counts.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        (counts.join(", "), world.opened, world.broken)
    });
    let passes = engine.stderr().matches("no connection:").count();
    let seconds = began.elapsed().as_secs();
    println!(
        "| {seed} | {ledgers} | {counts} | {told} | {opened} | {broken} | {passes} | clean | all true | {seconds} |"
    );
}

#[test]
fn every_fault_at_random_leaves_a_true_record_and_nothing_behind() {
    let seeds = from_environment("NEO_FAULT_SEEDS", "1..1");
    let (first, last) = seeds.split_once("..").unwrap_or((&seeds, &seeds));
    let ledgers = from_environment("NEO_FAULT_LEDGERS", "400").parse().unwrap();
    let strategies = from_environment("NEO_FAULT_STRATEGIES", "fixed,avellaneda_stoikov,glft");
    for seed in first.parse::<u64>().unwrap()..=last.parse().unwrap() {
        for strategy in strategies.split(',') {
            println!(
                "{strategy}, seed {seed}, {ledgers} ledgers: NEO_FAULT_STRATEGIES={strategy} \
                 NEO_FAULT_SEEDS={seed}..{seed} NEO_FAULT_LEDGERS={ledgers} repeats it"
            );
            mixed(strategy, seed, ledgers);
        }
    }
}
