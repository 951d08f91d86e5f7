//! Mode paper: the real binary on the mirror of a market that is another process, known by its address alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use engine::node::StandAlone;
use engine::{Engine, Running, stderr, stdout};
use neo::live::link::Link;
use neo::{live::facts, simulator};
use neo_ledger::recording::{self, Reader};
use neo_market::{Dec, Drops, Side};
use neo_sim::mirror::read::{Item, Ledgers, MirrorLedger};
use neo_store::record::{EndReason, EndedAtSource, Mode, StageOutcome};

const REAL: u32 = 65_002;

/// A market whose ledgers close ten times faster than a real one's, and a configuration for its mirror.
fn market(engine: &Engine, more: &str) -> (StandAlone, PathBuf) {
    let node = StandAlone::start(engine, &["--speed", "10"], REAL, "");
    let text = format!(
        "[session]\nmode = \"paper\"\n[network]\nkind = \"standalone\"\nurl = \"{}\"\nnetwork_id = {REAL}\n[account]\n\
         issuer = \"{}\"\n[quote]\nbid_offset_bps = 4\nask_offset_bps = 4\n{more}",
        node.url,
        node.token().issuer
    );
    let file = engine.folder().join("paper.toml");
    std::fs::write(&file, text).unwrap();
    (node, file)
}

fn command(engine: &Engine, arguments: &[&str], config: &Path) -> Command {
    let mut command = engine.command(arguments);
    command.arg("--config").arg(config).env("NEO_SESSION__DB", engine.db());
    command
}

fn start<'a>(engine: &'a Engine, config: &Path, more: &[&str]) -> Running<'a> {
    let mut arguments = vec!["run"];
    arguments.extend(more);
    engine.spawn(command(engine, &arguments, config))
}

/// Every stage of the session's stop was done, and its record is true.
fn closed_in_order(engine: &Engine, reason: EndReason) {
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert_eq!((session.mode, session.end_reason), (Mode::Paper, Some(reason)), "{session:?}");
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    for stage in record.stop_stages(session.number).unwrap() {
        assert!(matches!(stage.outcome, StageOutcome::Done), "{stage:?}\n{}", engine.stderr());
    }
    assert!(record.resting_orders(session.number).unwrap().is_empty());
    assert!(record.reconcile(session.number).unwrap().adds_up());
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
}

/// What an onlooker recorded of the real market.
fn real_ledgers(file: &Path, node: &StandAlone) -> BTreeMap<u32, MirrorLedger> {
    let mut items = Vec::new();
    for (_, part) in recording::parts(file).unwrap() {
        let reader = Reader::new(std::io::BufReader::new(std::fs::File::open(part).unwrap())).unwrap();
        items.extend(reader.map(|line| line.map(Item::Line)));
    }
    Ledgers::new(items.into_iter(), node.token()).map(|ledger| ledger.unwrap()).map(|l| (l.index, l)).collect()
}

/// The most XRP that offers of a side at `price` can have been filled with by what really happened in a ledger: what was
/// traded of others' offers there or beyond it, and what was placed against it.
fn most(ledger: &MirrorLedger, side: Side, price: Dec) -> i64 {
    let price_of = |sizes: neo_sim::mirror::standing::Sizes| {
        sizes.token.to_dec().unwrap().div(Drops::new(sizes.xrp).to_xrp().unwrap(), neo_market::Rounding::HalfEven)
    };
    let mut sum = 0;
    for tx in &ledger.txs {
        for touched in &tx.touched {
            let at = price_of(touched.before.unwrap_or(touched.offer.sizes)).unwrap();
            // An offer's own price is rounded in its last digits.
            let reaches = |better: bool| better || (at.sub(price).unwrap().abs() <= "0.0000001".parse().unwrap());
            let beyond = reaches(if side == Side::Ask { at >= price } else { at <= price });
            match touched.before {
                Some(_) if touched.offer.side == side && beyond => sum += touched.traded(),
                None if touched.offer.side != side && beyond => sum += touched.offer.sizes.xrp,
                _ => {}
            }
        }
        if tx.pool.is_some_and(|pool| pool.side == side) {
            sum += tx.pool.unwrap().xrp;
        }
    }
    sum
}

#[test]
fn ours_is_filled_by_real_trades_alone_and_the_real_node_hears_nothing_of_us() {
    let engine = Engine::new();
    let (node, config) = market(&engine, "");
    let file = engine.folder().join("real.jsonl.gz");
    let onlooker = engine.spawn_as_is(command(&engine, &["record", file.to_str().unwrap()], &config));
    let mut running = start(&engine, &config, &["--for", "6m"]);
    running.until_it_quotes();
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    onlooker.signal("INT");
    assert_eq!(onlooker.wait(), 0);

    closed_in_order(&engine, EndReason::Elapsed);
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert_eq!(session.network, "standalone-65002");
    let shown = stdout(&engine.neo("sessions", &[]));
    assert!(shown.contains("paper"), "{shown}");
    let report = stdout(&engine.neo("report", &[]));
    assert!(report.contains("paper on standalone-65002"), "{report}");

    let real = real_ledgers(&file, &node);
    let orders: BTreeMap<u32, Dec> = record
        .orders(session.number)
        .unwrap()
        .into_iter()
        .map(|row| (row.order.offer_sequence, row.order.price))
        .collect();
    let opening = record.valuations(session.number).unwrap().remove(0).record;
    assert_eq!((opening.xrp, opening.rlusd), (Drops::new(10_000_000_000), Dec::from_i64(25_000)), "the funds of [sim]");
    let fills = record.fills(session.number).unwrap();
    assert!(fills.len() >= 5, "{} fills:\n{}", fills.len(), engine.stderr());
    let mut by_ledger: BTreeMap<(u32, Side), (i64, Dec)> = BTreeMap::new();
    for fill in fills {
        let fill = fill.record;
        let price = orders[&fill.offer_sequence];
        // What the balances say has the rounding of their last digit.
        let worth = fill.xrp.to_xrp().unwrap().mul(price, neo_market::Rounding::HalfEven).unwrap();
        let gained = fill.rlusd.sub(worth).unwrap();
        let gained = if fill.side == Side::Ask { gained } else { gained.neg() };
        assert!(gained >= "-0.0000000001".parse().unwrap(), "{fill:?} at {price}");
        let ledger = &real[&fill.ledger_index];
        assert_eq!(ledger.close_time.to_unix_s(), fill.close_time.timestamp(), "the real ledger's time");
        assert!(fill.xrp.get() <= most(ledger, fill.side, price), "{fill:?} in {ledger:?}");
        let sum = by_ledger.entry((fill.ledger_index, fill.side)).or_insert((0, price));
        sum.0 += fill.xrp.get();
        sum.1 = if fill.side == Side::Ask { sum.1.min(price) } else { sum.1.max(price) };
    }
    for ((index, side), (xrp, price)) in by_ledger {
        assert!(xrp <= most(&real[&index], side, price), "{side:?} of ledger {index} together");
    }
    // Our account is not even there.
    let mut link = Link::open(node.url.as_str()).unwrap();
    assert!(facts::account(&mut link, simulator::key().unwrap().address()).unwrap().is_none());
    assert!(!node.log().contains("submit"));
}

#[test]
fn a_market_that_goes_away_ends_the_session_in_order() {
    let engine = Engine::new();
    let (node, config) = market(&engine, "[feed]\noutage_ms = 8000\n");
    let mut running = start(&engine, &config, &[]);
    running.until_it_quotes();
    drop(node);
    assert_eq!(running.wait(), 70, "{}", engine.stderr());
    closed_in_order(&engine, EndReason::Fault);
    let detail = engine.record().session(None).unwrap().end_detail.unwrap();
    assert!(detail.contains("the mirror of the real market has ended"), "{detail}");
    let log = std::fs::read_to_string(engine.db().with_extension("ledger").join("ledger.log")).unwrap();
    assert!(log.contains("no ledger of the market came"), "{log}");
}

#[test]
fn a_stop_while_the_market_is_dark_withdraws_everything_and_does_not_wait_for_it() {
    let engine = Engine::new();
    let (node, config) = market(&engine, "");
    let mut running = start(&engine, &config, &[]);
    running.until_it_quotes();
    drop(node);
    let began = Instant::now();
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), stderr(&stop));
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    // The market is called gone after a minute.
    assert!(began.elapsed() < Duration::from_secs(50));
    closed_in_order(&engine, EndReason::StopCommand);
}

#[test]
fn after_a_crash_the_mirror_goes_on_and_without_it_a_new_world_begins() {
    let engine = Engine::new();
    let (_node, config) = market(&engine, "");
    let mut running = start(&engine, &config, &[]);
    running.until_it_quotes();
    running.kill();
    let next = command(&engine, &["run", "--for", "40s"], &config).output().unwrap();
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert!(stderr(&next).contains("still runs"), "{}", stderr(&next));
    closed_in_order(&engine, EndReason::Elapsed);
    assert_eq!(engine.record().session(None).unwrap().resumed_from, Some(1));
    assert!(engine.record().faults(2).unwrap().is_empty(), "{:?}", engine.record().faults(2).unwrap());

    // In order, and then again: a new world, and nothing is missing from the record.
    let next = command(&engine, &["run", "--for", "20s"], &config).output().unwrap();
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert!(stderr(&next).contains("the mirrored world is a new one"), "{}", stderr(&next));
    closed_in_order(&engine, EndReason::Elapsed);
    assert!(engine.record().faults(3).unwrap().is_empty(), "{:?}", engine.record().faults(3).unwrap());

    // The mirror dies with the engine: what was open in its world is lost, and the record says so.
    let mut running = start(&engine, &config, &[]);
    running.until_it_quotes();
    running.kill();
    engine.kill_world();
    let next = command(&engine, &["run", "--for", "20s"], &config).output().unwrap();
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    closed_in_order(&engine, EndReason::Elapsed);
    let faults = engine.record().faults(5).unwrap();
    assert!(faults.iter().any(|fault| format!("{fault:?}").contains("history")), "{faults:?}");
}

#[test]
fn what_is_no_market_of_the_configuration_is_refused_before_there_is_a_record() {
    let engine = Engine::new();
    let (node, config) = market(&engine, "");
    let refused = |exit: i32, says: &str, more: &[&str]| {
        let mut arguments = vec!["run", "--for", "10s"];
        arguments.extend(more.iter().flat_map(|setting| ["--set", setting]));
        let run = command(&engine, &arguments, &config).output().unwrap();
        assert_eq!(run.status.code(), Some(exit), "{says}: {}", stderr(&run));
        assert!(stderr(&run).contains(says), "{says}: {}", stderr(&run));
        assert!(!engine.db().exists(), "{says}: a record was made");
    };
    refused(2, "network 65002", &["network.network_id=65003"]);
    refused(2, "is not on this ledger", &["account.issuer=rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY"]);
    refused(2, "sim.network_id", &["sim.network_id=65002"]);
    refused(2, "sim.tape", &["sim.tape=x.csv"]);
    refused(2, "sim.faults", &["sim.faults.clawback_rlusd=1"]);
    refused(2, "account.currency", &["account.currency=USD"]);
    refused(70, "not reached", &["network.url=ws://127.0.0.1:1"]);
    drop(node);
}
