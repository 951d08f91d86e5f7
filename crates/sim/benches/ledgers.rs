//! What a ledger costs: a day of the default market on one core, and one ledger as the books grow and as more of them is
//! taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark fails by panicking and prints its figures"
)]

use std::time::{Duration, Instant};

use neo_ledger::{Address, Currency, LedgerTime, sha512_half};
use neo_sim::amount::TokenValue;
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::ledger::Chain;
use neo_sim::state::{AccountRoot, LSF_DEFAULT_RIPPLE, LineKey, State, TrustLine};
use neo_sim::{Node, Scenario};
use serde_json::{Value as Json, json};

/// Ledgers of 3.9 seconds in a day.
const DAY: u32 = 22_154;
/// Makers among whom the offers of a book are shared.
const MAKERS: u8 = 20;
/// Times that a ledger is measured; the median counts.
const ROUNDS: usize = 41;
const ISSUER: Address = Address([200; 20]);
const TAKER: Address = Address([201; 20]);

/// One line of the table: what and how much.
type Figure = (String, String);

/// One part of the table.
type Part = fn() -> Vec<Figure>;

fn main() {
    let parts: [(&str, Part); 4] = [("day", day), ("growth", growth), ("depth", depth), ("mirror", mirror)];
    // `cargo bench ... -- growth` runs one part; cargo's own flag is none.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut figures = Vec::new();
    for (name, run) in parts {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            figures.extend(run());
        }
    }
    println!("\n| what | figure |\n| --- | --- |");
    for (what, figure) in figures {
        println!("| {what} | {figure} |");
    }
}

fn day() -> Vec<Figure> {
    let subscribe = json!({ "id": 1, "command": "subscribe", "streams": ["ledger", "transactions"] }).to_string();
    [("nobody connected", false), ("a client on the streams ledger and transactions", true)]
        .into_iter()
        .map(|(who, watched)| {
            let mut node = Node::new(&Scenario::default(), 1).unwrap();
            let (mut bytes, mut transactions) = (0, 0);
            if watched {
                let id = node.connect();
                node.request(id, &subscribe);
            }
            let begun = Instant::now();
            for _ in 0..DAY {
                bytes += node.close_ledger().iter().map(|out| out.text.len()).sum::<usize>();
                transactions += node.last_ledger().txn_count;
            }
            let seconds = begun.elapsed().as_secs_f64();
            let text = format!("{seconds:.1} s ({transactions} transactions, {} MB sent)", bytes >> 20);
            println!("day, {who}: {text}");
            (format!("a day of the default market ({DAY} ledgers), {who}"), text)
        })
        .collect()
}

/// A recording's ledgers, mirrored with nobody connected; `NEO_RECORDING` names it.
fn mirror() -> Vec<Figure> {
    let Ok(file) = std::env::var("NEO_RECORDING") else {
        println!("mirror: set NEO_RECORDING to a recording's file to measure it");
        return Vec::new();
    };
    let begun = Instant::now();
    let scenario = Scenario { recording: Some(file.into()), ..Scenario::default() };
    let mut node = Node::new(&scenario, 1).unwrap();
    let (mut ledgers, mut transactions) = (0_u32, 0);
    while node.mirror_ended().is_none() {
        node.close_ledger();
        ledgers += 1;
        transactions += node.last_ledger().txn_count;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (a_second, of_them) = (f64::from(ledgers) / seconds, f64::from(transactions) / seconds);
    let text = format!("{seconds:.1} s: {a_second:.0} ledgers and {of_them:.0} transactions a second");
    vec![(format!("a recording of {ledgers} ledgers and {transactions} transactions, mirrored"), text)]
}

/// A ledger in which ten offers are taken, in books of 10 to 10,000 offers a side.
fn growth() -> Vec<Figure> {
    [10, 100, 1_000, 10_000].into_iter().map(|offers| figure(offers, 10)).collect()
}

/// A ledger in which 1 to 1,000 offers are taken, in books of 10,000 offers a side.
fn depth() -> Vec<Figure> {
    [1, 10, 100, 1_000].into_iter().map(|taken| figure(10_000, taken)).collect()
}

fn figure(offers: u32, taken: u32) -> Figure {
    let mut market = Market::new(offers);
    let (mut take, mut quote) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        take.push(market.take(taken));
        quote.push(market.quote(taken));
    }
    let (take, quote) = (median(take), median(quote));
    let what = format!("a ledger that takes {taken} of {offers} offers a side; one that places as many");
    let text = format!("{:.0} us; {:.0} us", take.as_secs_f64() * 1e6, quote.as_secs_f64() * 1e6);
    println!("{what}: {text}");
    (what, text)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Two books of many offers, each of one XRP.
struct Market {
    chain: Chain,
    clock: u32,
}

impl Market {
    fn new(offers: u32) -> Market {
        let mut state = State::default();
        let rules = Scenario { network_id: 1, ..Scenario::default() }.rules();
        let makers = (1..=MAKERS).map(|number| Address([number; 20]));
        for account in makers.chain([TAKER, ISSUER]) {
            let flags = if account == ISSUER { LSF_DEFAULT_RIPPLE } else { 0 };
            let root = AccountRoot { balance: 1_000_000_000_000_000, sequence: 1, flags, ..AccountRoot::default() };
            state.put_account(account, root);
            if account != ISSUER {
                let key = LineKey::of(account, ISSUER, Currency::RLUSD);
                let (held, limit) = (TokenValue::new(1, 9).unwrap(), TokenValue::new(1, 12).unwrap());
                let low = account == key.low;
                let line = TrustLine {
                    balance: if low { held } else { held.neg() },
                    low_limit: if low { limit } else { TokenValue::ZERO },
                    high_limit: if low { TokenValue::ZERO } else { limit },
                    flags: 0,
                    qualities: neo_sim::state::LineQualities::default(),
                    previous: None,
                };
                state.put_line(key, line);
            }
        }
        let mut market = Market { chain: Chain::new(rules, state, 5, LedgerTime(1_000)), clock: 1_000 };
        for level in 0..offers {
            market.place(level, true);
            market.place(level, false);
        }
        market.close();
        assert_eq!(market.chain.validated().offers().count(), 2 * offers as usize);
        market
    }

    fn close(&mut self) -> usize {
        self.clock += 4;
        self.chain.close(1, LedgerTime(self.clock)).len()
    }

    fn submit(&mut self, account: Address, mut fields: Json) {
        fields["TransactionType"] = json!("OfferCreate");
        fields["Account"] = json!(account);
        fields["Fee"] = json!("10");
        fields["Sequence"] = json!(self.chain.open().account(account).unwrap().sequence);
        let hash = sha512_half(&[fields.to_string().as_bytes()]);
        let tx = Tx::parse(fields, hash, Signer::Simulation).unwrap();
        let submitted = self.chain.submit(tx, false);
        assert!(submitted.applied, "{:?}", submitted.result);
    }

    /// An offer of one XRP so many levels from the middle.
    fn place(&mut self, level: u32, ask: bool) {
        let millionths = if ask { 2_400_000 + level } else { 2_399_000 - level };
        let rlusd = rlusd(millionths);
        let maker = Address([u8::try_from(level % u32::from(MAKERS)).unwrap() + 1; 20]);
        let xrp = json!("1000000");
        let (gets, pays) = if ask { (xrp, rlusd) } else { (rlusd, xrp) };
        self.submit(maker, json!({ "TakerGets": gets, "TakerPays": pays }));
    }

    /// The ledger in which the best so many asks are taken, its submission included.
    fn take(&mut self, offers: u32) -> Duration {
        let begun = Instant::now();
        let pays = json!((u64::from(offers) * 1_000_000).to_string());
        // 0x00020000 is tfImmediateOrCancel.
        self.submit(TAKER, json!({ "TakerGets": rlusd(2_500_000 * offers), "TakerPays": pays, "Flags": 0x0002_0000 }));
        assert_eq!(self.close(), 1);
        begun.elapsed()
    }

    /// The ledger in which they are placed again.
    fn quote(&mut self, offers: u32) -> Duration {
        let begun = Instant::now();
        (0..offers).for_each(|level| self.place(level, true));
        assert_eq!(self.close(), offers as usize);
        begun.elapsed()
    }
}

fn rlusd(millionths: u32) -> Json {
    let value = TokenValue::new(i64::from(millionths), -6).unwrap().text();
    json!({ "currency": Currency::RLUSD, "issuer": ISSUER, "value": value })
}
