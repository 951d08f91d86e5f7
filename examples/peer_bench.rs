//! The way from a node's bytes to signed transactions, timed stage by stage; `scripts/peer-bench` runs it beside the official
//! clients on the same input.
//!
//! `peer_bench make COUNT SEED FILE` trades on the simulated ledger and writes the messages that touched our account: one JSON
//! object a line, the first says who and how. `peer_bench run FILE` times each line and prints one JSON object;
//! `peer_bench engine COUNT SEED` times the engine's own cores, whole ledgers of the same market.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly"
)]
#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../tests/runner/mod.rs"]
mod runner;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use neo_ledger::message::{self, Message};
use neo_ledger::own::own_transaction;
use neo_ledger::tx::{Body, Transaction};
use neo_ledger::types::{Amount, LedgerTime, Token};
use neo_ledger::{Address, Currency, Keypair};
use neo_market::plan::{Action, plan};
use neo_market::quote::{Funds, Quote, QuoteConfig, desired};
use neo_market::risk::{RiskConfig, RiskLimits, RiskState};
use neo_market::{Balances, BookLevel, Dec, Drops, MarketView, Side};
use neo_sim::Scenario;
use runner::{Event, Fate, Part, Runner};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Who trades, the first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    seed: String,
    account: Address,
    issuer: Address,
    network_id: u32,
}

/// A message that touched our account, and what stands in the book after its ledger.
#[derive(Serialize, Deserialize)]
struct Tick {
    message: String,
    bid: Dec,
    ask: Dec,
    ledger_index: u32,
    sequence: u32,
    expiration: u32,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", count, seed, file] => make(count.parse().unwrap(), seed.parse().unwrap(), file),
        ["run", file] => run(file),
        ["engine", count, seed] => engine(count.parse().unwrap(), seed.parse().unwrap()),
        _ => panic!("usage: peer_bench make COUNT SEED FILE | run FILE | engine COUNT SEED"),
    }
}

/// A market in which every few ledgers somebody trades with us.
fn market() -> Scenario {
    Scenario { maker_xrp: "1000000".parse().unwrap(), maker_rlusd: "2500000".parse().unwrap(), ..Scenario::default() }
}

fn make(count: usize, seed: u64, file: &str) {
    let scenario = market();
    let text = neo_sim::maker_seed();
    let account = Keypair::from_seed(&text).unwrap().address();
    let token = scenario.token();
    let ticks: Rc<RefCell<(Vec<String>, Vec<Tick>)>> = Rc::default();
    let heard = Rc::clone(&ticks);
    let listen = move |_: u64, event: &Event| {
        let (waiting, ticks) = &mut *heard.borrow_mut();
        match event {
            Event::FromNode(text) if touches(text, account, token) => waiting.push(text.clone()),
            Event::Update(update) => {
                for message in waiting.drain(..) {
                    let (Some(bid), Some(ask)) = (update.view.best(Side::Bid), update.view.best(Side::Ask)) else {
                        continue;
                    };
                    ticks.push(Tick {
                        message,
                        bid,
                        ask,
                        ledger_index: update.ledger.index,
                        sequence: update.account.sequence,
                        expiration: update.ledger.close_time.plus_s(120).0,
                    });
                }
            }
            _ => {}
        }
        Fate::Arrives
    };
    let mut runner = Runner::new(&scenario, seed, u32::MAX).quiet().with_fault(Box::new(listen));
    while ticks.borrow().1.len() < count {
        runner.step();
    }
    let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
    let head = Head { seed: text, account, issuer: token.issuer, network_id: scenario.network_id };
    writeln!(out, "{}", serde_json::to_string(&head).unwrap()).unwrap();
    for tick in ticks.borrow().1.iter().take(count) {
        writeln!(out, "{}", serde_json::to_string(tick).unwrap()).unwrap();
    }
    out.flush().unwrap();
}

/// True for a message that changed our balance of the token: a trade, not one of our own fees.
fn touches(text: &str, account: Address, token: Token) -> bool {
    decode(text, account, token).is_some_and(|(_, change)| !change.is_zero())
}

/// Changes of our XRP and of our balance of the token.
fn decode(text: &str, account: Address, token: Token) -> Option<(Drops, Dec)> {
    let Message::Transaction(stream) = message::parse(text).unwrap() else { return None };
    let own = own_transaction(&stream.transaction, account, token, None).unwrap()?;
    Some((own.xrp_change, own.token_change))
}

/// Four offers around the middle, all of them within the limits.
fn planned(tick: &Tick, config: &QuoteConfig, limits: &RiskLimits) -> Vec<Quote> {
    let level = |price| BookLevel { price, size: Drops::new(1_000_000_000) };
    let view = MarketView {
        ledger_index: tick.ledger_index,
        bids: vec![level(tick.bid)],
        asks: vec![level(tick.ask)],
        ..MarketView::default()
    };
    let balances = Balances {
        xrp: Drops::new(1_000_000_000_000),
        reserve: Drops::new(2_000_000),
        rlusd: Dec::from_i64(1_000_000),
    };
    let funds = Funds::of(&balances, Drops::new(200_000), 0, config);
    let wanted = desired(&view, &funds, config).unwrap();
    let state = RiskState {
        balances,
        reference_price: Some(wanted.reference_price),
        open_bid_xrp: Drops::ZERO,
        open_ask_xrp: Drops::ZERO,
        reserve_inc: Drops::new(200_000),
        data_age_ledgers: 0,
    };
    plan(Some(&wanted), &[], &[], tick.ledger_index, tick.expiration, config)
        .into_iter()
        .map(|action| match limits.check(action, &state).unwrap().into_action() {
            Action::Place(quote) => quote,
            other => panic!("{other:?} is no new offer"),
        })
        .collect()
}

fn signed(quotes: &[Quote], tick: &Tick, head: &Head, key: &Keypair, token: Token) -> Vec<(String, String)> {
    let sign = |(n, quote): (u32, &Quote)| {
        let (xrp, rlusd) = (Amount::Xrp(quote.size), Amount::Token { value: quote.rlusd, token });
        let (taker_gets, taker_pays) = if quote.side == Side::Bid { (rlusd, xrp) } else { (xrp, rlusd) };
        let expiration = Some(LedgerTime(tick.expiration));
        let transaction = Transaction {
            account: head.account,
            sequence: tick.sequence + n,
            ticket_sequence: None,
            fee: Drops::new(10),
            flags: 0,
            last_ledger_sequence: Some(tick.ledger_index + 5),
            network_id: head.network_id,
            body: Body::OfferCreate { taker_gets, taker_pays, expiration, offer_sequence: None },
        };
        let signed = key.sign(&transaction).unwrap();
        (signed.blob, signed.hash.to_string())
    };
    (0..).zip(quotes).map(sign).collect()
}

fn run(file: &str) {
    let mut lines = BufReader::new(std::fs::File::open(file).unwrap()).lines().map(Result::unwrap);
    let head: Head = serde_json::from_str(&lines.next().unwrap()).unwrap();
    let ticks: Vec<Tick> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let key = Keypair::from_seed(&head.seed).unwrap();
    let token = Token { currency: Currency::RLUSD, issuer: head.issuer };
    let (config, limits) = (QuoteConfig::default(), RiskLimits::new(RiskConfig::default()));
    let mut said = Sha256::new();
    let mut times = Times::default();
    // The first round warms up, as it does for the clients.
    for timed in [false, true] {
        for tick in &ticks {
            let start = Instant::now();
            let change = decode(&tick.message, head.account, token).unwrap();
            let decoded = Instant::now();
            let quotes = planned(tick, &config, &limits);
            let plan = Instant::now();
            let blobs = signed(&quotes, tick, &head, &key, token);
            let end = Instant::now();
            if timed {
                times.push([decoded - start, plan - decoded, end - plan, end - start]);
                said.update(words(change, &quotes, &blobs));
            }
        }
    }
    println!(
        "{}",
        json!({ "what": "neo", "ticks": ticks.len(), "output": hex(&said.finalize()), "us": times.summary() })
    );
}

/// What a tick led to, in words that every client writes alike.
fn words(change: (Drops, Dec), quotes: &[Quote], blobs: &[(String, String)]) -> String {
    let mut words = format!("{} {}\n", change.0.get(), change.1);
    for quote in quotes {
        let (side, drops) = (quote.side.as_str(), quote.size.get());
        writeln!(words, "{side} {} {} {drops} {}", quote.level, quote.price, quote.rlusd).unwrap();
    }
    for (blob, hash) in blobs {
        writeln!(words, "{blob} {hash}").unwrap();
    }
    words
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Durations of decode, plan, sign, and the whole.
#[derive(Default)]
struct Times([Vec<Duration>; 4]);

impl Times {
    fn push(&mut self, times: [Duration; 4]) {
        for (to, time) in self.0.iter_mut().zip(times) {
            to.push(time);
        }
    }

    fn summary(mut self) -> serde_json::Value {
        let names = ["decode", "plan", "sign", "all"];
        let stages = names.into_iter().zip(&mut self.0).map(|(name, times)| (name.to_string(), quantiles(times)));
        serde_json::Value::Object(stages.collect())
    }
}

/// p50 and p99 in microseconds.
fn quantiles(times: &mut [Duration]) -> serde_json::Value {
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1)).unwrap().as_nanos();
    let us = |ns: u128| format!("{}.{:01}", ns / 1_000, ns % 1_000 / 100);
    json!({ "p50": us(at(50)), "p99": us(at(99)) })
}

/// The cores as they run: all messages of a ledger to one update, that to signed intents.
fn engine(count: usize, seed: u64) {
    let mut runner = Runner::new(&market(), seed, u32::MAX).quiet();
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut before = [Duration::ZERO; 2];
    let mut updates = 0;
    while times[0].len() < count {
        runner.step();
        if runner.updates == updates {
            continue;
        }
        updates = runner.updates;
        let now = [runner.spent(Part::Feed), runner.spent(Part::Orders)];
        let [feed, orders] = [now[0] - before[0], now[1] - before[1]];
        before = now;
        for (to, time) in times.iter_mut().zip([feed, orders, feed + orders]) {
            to.push(time);
        }
    }
    let [feed, orders, all] = &mut times;
    let us = json!({ "feed": quantiles(feed), "orders": quantiles(orders), "all": quantiles(all) });
    println!("{}", json!({ "what": "neo's cores, whole ledgers", "ledgers": count, "us": us }));
}
