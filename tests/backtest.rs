//! The bench of cores and `neo backtest`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Output;

use engine::{Engine, stderr, stdout};

use neo::backtest::drive::{Bench, Ended};
use neo::config::Config;
use neo_ledger::keys::Keypair;
use neo_sim::{Node, Scenario};

/// All that is recorded of half an hour of a generated market.
fn half_an_hour(seed: u64) -> (String, Ended) {
    let node = Node::new(&Scenario::default(), seed).unwrap();
    let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
    let mut said = String::new();
    let sink = |record| writeln!(said, "{record:?}").unwrap();
    let ended = Bench::new(node, &Config::default(), key, 1_800, sink).unwrap().run().unwrap();
    (said, ended)
}

#[test]
fn the_same_market_and_configuration_give_the_same_records_to_the_byte() {
    let (one, ended) = half_an_hour(3);
    assert!(ended.flat && ended.ledgers > 460, "{ended:?}");
    assert!(one.contains("Fill(") && one.contains("Valuation("));
    assert!(one == half_an_hour(3).0);
    assert!(one != half_an_hour(4).0);
}

/// Trades that swing around 2.4, one every two seconds for half an hour, 20 XRP each.
fn swinging(engine: &Engine) -> PathBuf {
    let mut text = "time,side,price,size\n".to_string();
    for at in 0..900_i64 {
        let away = [0, 1_500, 3_000, 1_500, 0, -1_500, -3_000, -1_500][usize::try_from(at / 9 % 8).unwrap()];
        let side = if at % 2 == 0 { "buy" } else { "sell" };
        let time = 1_776_506_400_000 + at * 2_000;
        writeln!(text, "{time},{side},2.{:06},20", 400_000 + away).unwrap();
    }
    let file = engine.folder().join("trades.csv");
    std::fs::write(&file, text).unwrap();
    file
}

/// The market of the trades swings faster than the margin against taking lets offers stand near it.
const UNGUARDED: [&str; 4] = ["--set", "quote.taking_guard_bps=0", "--set", "quote.taking_guard_deviations=0"];

fn backtest(engine: &Engine, arguments: &[&str]) -> Output {
    engine.command(&[&["backtest"], arguments].concat()).output().unwrap()
}

#[test]
fn a_grid_over_trades_is_the_same_on_one_core_and_on_two_and_in_a_session() {
    let engine = Engine::new();
    let file = swinging(&engine);
    let (file, table, picture) = (file.to_str().unwrap(), engine.folder().join("t.csv"), engine.folder().join("p.svg"));
    let grid = ["--grid", "bid_offset_bps=4..8:2", "--grid", "ask_offset_bps=4..8:2", "--paired", "bid,ask"];
    let files = ["--out", table.to_str().unwrap(), "--picture", picture.to_str().unwrap()];
    let one = backtest(&engine, &[&[file, "--json", "--jobs", "1"], &grid[..], &UNGUARDED, &files].concat());
    assert!(one.status.success(), "{}", stderr(&one));
    let two = backtest(&engine, &[&[file, "--json", "--jobs", "2"], &grid[..], &UNGUARDED].concat());
    assert!(one.stdout == two.stdout, "{}\n{}", stdout(&one), stdout(&two));
    let told: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    let rows = told["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["best"], &rows[1]["best"]), (3, &true.into(), &false.into()));
    assert_eq!(std::fs::read_to_string(&table).unwrap().lines().count(), 4);
    assert!(std::fs::read_to_string(&picture).unwrap().ends_with("</svg>\n"));

    // The same engine with actors, sockets and a record has the same fills.
    let db = engine.folder().join("r.db");
    let offsets = ["--set", "quote.bid_offset_bps=6", "--set", "quote.ask_offset_bps=6"];
    let offsets = [&offsets[..], &UNGUARDED].concat();
    let replay = engine
        .command(&[&["replay", file, "--db", db.to_str().unwrap(), "--json"], &offsets[..]].concat())
        .output()
        .unwrap();
    assert!(replay.status.success(), "{}", stderr(&replay));
    let report: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    let fills = |side: usize| report["fills"][side]["fills"].as_u64().unwrap();
    let of_six = rows.iter().find(|row| row["settings"][0][1] == "6").unwrap();
    assert!(fills(0) + fills(1) > 10, "{report}");
    assert_eq!(of_six["outcomes"][0]["fills"], fills(0) + fills(1), "{of_six} {report}");
    assert_eq!(of_six["outcomes"][0]["value_change_rlusd"], report["value_change_rlusd"], "{of_six} {report}");

    let learnt = engine.command(&["calibrate", "--recording", file, "--json"]).output().unwrap();
    assert!(learnt.status.success(), "{}", stderr(&learnt));
    let learnt: serde_json::Value = serde_json::from_slice(&learnt.stdout).unwrap();
    assert!(learnt["recording"]["traded"].as_u64().unwrap() > 400, "{learnt}");
}

/// Trades and the quotes that they were taken from: a touch of two RLUSD that swings, a hundred XRP a side, and what takes of it.
fn quoted(engine: &Engine) -> (PathBuf, PathBuf) {
    let (mut trades, mut quotes) =
        (String::from("time,side,price,size\n"), String::from("time,bid,bid_size,ask,ask_size\n"));
    for step in 0..400_i64 {
        let (at, swing) =
            (1_776_506_400_000 + step * 2_000, [0, 2, 4, 2, 0, -2, -4, -2][usize::try_from(step % 8).unwrap()]);
        let (bid, ask) = (19_990 + swing, 20_010 + swing);
        let price = |ticks: i64| format!("{}.{:04}", ticks / 10_000, ticks % 10_000);
        writeln!(quotes, "{at},{},100,{},100", price(bid), price(ask)).unwrap();
        // A trade beyond the touch takes it away: the quote behind it is the next.
        if step % 2 == 0 {
            let (side, at_price) = if step % 4 == 0 { ("buy", ask + 4) } else { ("sell", bid - 4) };
            writeln!(trades, "{},{side},{},60", at + 1_000, price(at_price)).unwrap();
        }
    }
    let files = (engine.folder().join("trades.csv"), engine.folder().join("quotes.csv"));
    std::fs::write(&files.0, trades).unwrap();
    std::fs::write(&files.1, quotes).unwrap();
    files
}

#[test]
fn quotes_beside_trades_give_a_session_and_a_backtest_the_same_fills() {
    let engine = Engine::new();
    let (trades, quotes) = quoted(&engine);
    let (trades, quotes) = (trades.to_str().unwrap(), quotes.to_str().unwrap());
    let set = ["--set", "quote.bid_offset_bps=6", "--set", "quote.ask_offset_bps=6", "--set", "quote.levels=1"];
    let tried = backtest(&engine, &[&[trades, "--quotes", quotes, "--json"], &set[..]].concat());
    assert!(tried.status.success(), "{}", stderr(&tried));
    let tried: serde_json::Value = serde_json::from_slice(&tried.stdout).unwrap();
    let outcome = &tried["rows"][0]["outcomes"][0];
    let db = engine.folder().join("q.db");
    let arguments = ["replay", trades, "--quotes", quotes, "--db", db.to_str().unwrap(), "--json"];
    let replay = engine.command(&[&arguments, &set[..]].concat()).output().unwrap();
    assert!(replay.status.success(), "{}", stderr(&replay));
    let report: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    let fills: u64 = (0..2).map(|side| report["fills"][side]["fills"].as_u64().unwrap()).sum();
    assert!(fills > 10, "{report}");
    assert_eq!(outcome["fills"], fills, "{tried} {report}");
    assert_eq!(outcome["value_change_rlusd"], report["value_change_rlusd"], "{tried} {report}");
}

#[test]
fn what_cannot_be_tried_is_refused_before_anything_runs() {
    let engine = Engine::new();
    let file = swinging(&engine);
    let file = file.to_str().unwrap();
    let bad = engine.folder().join("bad.csv");
    std::fs::write(&bad, "time,side,price,size\n1776506400000,buy,2.4,x\n").unwrap();
    for (arguments, code, text) in [
        (vec![file, "--grid", "bid_ofset_bps=5"], 2, "no key of a configuration"),
        (vec![file, "--grid", "levels=0,1"], 2, "quote.levels = 0"),
        (vec![file, "--seeds", "1..3"], 2, "--scenario"),
        (vec![file, "--scenario", "calm"], 2, "not both"),
        (vec!["--grid", "bid_offset_bps=1..200:1", "--grid", "ask_offset_bps=1..200:1"], 2, "more than 10000"),
        (vec![file, "--picture", "p.svg"], 2, "--picture shows one key"),
        (vec!["--scenario", "nowhere"], 1, "calm, trending"),
        (vec!["none.csv"], 1, "there is no recording"),
        (vec![bad.to_str().unwrap()], 1, "line 2, column size"),
    ] {
        let refused = backtest(&engine, &arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?} {}", stderr(&refused));
        assert!(stderr(&refused).contains(text), "{arguments:?} {}", stderr(&refused));
    }
}
