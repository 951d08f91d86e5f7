//! Several nodes: when the one that is followed fails, in whatever way, the one that stands by takes over, and the record
//! is the ledger's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use engine::node::{StandAlone, until};
use engine::{Engine, Running, stderr, stdout};
use neo_ledger::{Address, Algorithm, Keypair, keys::written};
use neo_store::record::EndedAtSource;
use serde_json::Value;

/// What a proxy does to its connections.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Weather {
    /// Passes everything on.
    Fair = 0,
    /// Cuts every connection, and takes no new one.
    Cut = 1,
    /// Keeps them open and passes nothing on, neither way.
    Stall = 2,
    /// Passes on what the engine sends and nothing that the node answers.
    HalfOpen = 3,
}

/// A wire between the engine and a node that can be made to fail: to the engine it is a node.
struct Proxy {
    url: String,
    weather: Arc<AtomicU8>,
    open: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(node: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let target = node.strip_prefix("ws://").unwrap().to_string();
        let (weather, open) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sky, count) = (Arc::clone(&weather), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(near) = stream else { return };
                if sky.load(Ordering::SeqCst) == Weather::Cut as u8 {
                    continue;
                }
                let Ok(far) = TcpStream::connect(&target) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let up = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (sky_up, sky_down, count) = (Arc::clone(&sky), Arc::clone(&sky), Arc::clone(&count));
                thread::spawn(move || pump(up.0, up.1, &sky_up, false));
                thread::spawn(move || {
                    pump(far, near, &sky_down, true);
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Proxy { url, weather, open }
    }

    fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
    }

    fn is_used(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

/// Moves bytes one way until an end is gone or the weather cuts it.
fn pump(mut from: TcpStream, mut to: TcpStream, weather: &AtomicU8, answers: bool) {
    let mut buffer = [0; 16_384];
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        let sky = weather.load(Ordering::SeqCst);
        let held = sky == Weather::Stall as u8 || (answers && sky == Weather::HalfOpen as u8);
        if sky == Weather::Cut as u8 {
            break;
        }
        if held {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if to.write_all(&buffer[..n]).is_err() => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    for end in [from, to] {
        // The other direction may have closed it already.
        if let Err(error) = end.shutdown(Shutdown::Both) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected, "{error}");
        }
    }
}

/// An engine on a node that closes ten times faster than a real one, reached over two wires.
struct Bench {
    engine: Engine,
    node: StandAlone,
    first: Proxy,
    second: Proxy,
    account: Address,
    seed: String,
    config: std::path::PathBuf,
}

impl Bench {
    fn new(n: u8) -> Bench {
        let engine = Engine::new();
        let pair = Keypair::from_entropy([n; 16], Algorithm::Secp256k1).unwrap();
        let seed = written([n; 16], &pair).unwrap().0;
        let mut node = StandAlone::start(&engine, &["--speed", "10"], 65_001, "");
        let account = pair.address();
        node.fund(account, 10_000_000_000);
        let plain = node.config(&engine, account, "");
        let setup = engine
            .command(&["setup", "--yes", "--limit", "5000000", "--config", plain.to_str().unwrap()])
            .env("NEO_WALLET_SEED", &seed)
            .output()
            .unwrap();
        assert_eq!(setup.status.code(), Some(0), "{}", stderr(&setup));
        node.issue(account, "20000");
        let (first, second) = (Proxy::before(&node.url), Proxy::before(&node.url));
        let more = "[feed]\nsilence_ms = 5000\n";
        let config = node.config(&engine, account, more);
        let text = std::fs::read_to_string(&config).unwrap();
        let urls = format!("url = \"{}\"\nmore_urls = [\"{}\"]", first.url, second.url);
        std::fs::write(&config, text.replace(&format!("url = \"{}\"", node.url), &urls)).unwrap();
        Bench { engine, node, first, second, account, seed, config }
    }

    fn start(&self) -> Running<'_> {
        let mut command = self.engine.command(&["run", "--mode", "live", "--config", self.config.to_str().unwrap()]);
        command.env("NEO_WALLET_SEED", &self.seed).env("NEO_SESSION__DB", self.engine.db());
        self.engine.spawn(command)
    }

    fn ledger(&self) -> u64 {
        let status = self.engine.neo("status", &["--json"]);
        serde_json::from_slice::<Value>(&status.stdout).unwrap()["ledger_index"].as_u64().unwrap()
    }

    /// The engine works through so many ledgers more.
    fn goes_on(&self, ledgers: u64) {
        let from = self.ledger();
        until(|| (self.ledger() >= from + ledgers).then_some(()));
    }
}

#[test]
fn whatever_becomes_of_the_followed_node_the_one_that_stands_by_takes_over_and_nothing_is_missed() {
    for (n, weather) in [(121, Weather::Cut), (122, Weather::Stall), (123, Weather::HalfOpen)] {
        let mut bench = Bench::new(n);
        let mut running = bench.start();
        running.until_it_quotes();
        until(|| (bench.first.is_used() && bench.second.is_used()).then_some(()));
        bench.goes_on(5);
        bench.first.set(weather);
        bench.goes_on(20);
        running.until_it_quotes();
        // And back: the first is well again and stands by, then the second fails.
        bench.first.set(Weather::Fair);
        bench.goes_on(10);
        bench.second.set(weather);
        bench.goes_on(20);
        running.until_it_quotes();
        let stop = bench.engine.neo("stop", &[]);
        assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), stderr(&stop));
        assert_eq!(running.wait(), 0, "{}", bench.engine.stderr());
        assert_eq!(bench.node.offers(bench.account), 0);
        let record = bench.engine.record();
        let session = record.session(None).unwrap();
        assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
        let books = record.reconcile(session.number).unwrap();
        assert!(books.adds_up(), "{books:?}");
        assert!(!record.fills(session.number).unwrap().is_empty());
        let closing = record.last_valuation(session.number).unwrap().unwrap();
        let held = bench.node.held(bench.account);
        assert_eq!((closing.xrp, closing.rlusd), (bench.node.account(bench.account).balance, held));
        let verify = bench.engine.neo("verify", &[]);
        assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    }
}
