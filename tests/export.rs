//! `neo export`, as an operator runs it: what leaves the record sums up to what the report says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod engine;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use engine::{Engine, stderr, stdout};
use neo_market::{Dec, Drops};
use serde_json::Value;

fn export(engine: &Engine, more: &[&str]) -> String {
    let done = engine.neo("export", more);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    stdout(&done)
}

fn json_rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of a CSV whose fields need no quotes, each by its column's name.
fn csv_rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), names.len(), "{line}");
        names.iter().zip(fields).map(|(name, field)| (name.to_string(), field.to_string())).collect()
    };
    lines.map(row).collect()
}

#[test]
fn what_is_exported_sums_up_to_the_report_to_the_last_digit() {
    let engine = Engine::new();
    for _ in 1..=2 {
        let run = engine.neo("run", &["--for", "30m", "--speed", "max"]);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    }
    let report: Value = serde_json::from_str(&stdout(&engine.neo("report", &["S2", "--json"]))).unwrap();

    let file = engine.folder().join("fills.csv");
    let told = export(&engine, &["fills", "--session", "S2", "--out", file.to_str().unwrap()]);
    assert_eq!(told, "");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, export(&engine, &["fills", "--session", "latest"]), "a file says what standard output says");
    let fills = csv_rows(&text);
    for side in report["fills"].as_array().unwrap() {
        let (mut xrp, mut rlusd, mut count) = (Drops::ZERO, Dec::zero(), 0_u64);
        for fill in fills.iter().filter(|fill| side["side"] == fill["side"].as_str()) {
            xrp = xrp.add(Drops::new(fill["xrp_drops"].parse().unwrap())).unwrap();
            rlusd = rlusd.add(fill["rlusd"].parse().unwrap()).unwrap();
            count += 1;
            assert!(chrono::DateTime::parse_from_rfc3339(&fill["close_time"]).is_ok(), "{fill:?}");
        }
        assert!(count > 0);
        assert_eq!(side["fills"], count);
        assert_eq!(side["volume_rlusd"], rlusd.to_string());
        assert_eq!(side["volume"], serde_json::to_value(xrp).unwrap(), "{side}");
    }

    let flows = json_rows(&export(&engine, &["flows", "--session", "2", "--format", "json"]));
    let mut fees = 0;
    for flow in flows.iter().filter(|flow| flow["cause"] == "fee") {
        fees += flow["xrp_drops"].as_i64().unwrap();
        assert!(flow["rlusd"].is_string() && flow["session"] == 2, "{flow}");
    }
    let told = report["flows"].as_array().unwrap().iter().find(|sum| sum["cause"] == "fee").unwrap();
    assert_eq!((told["count"].as_u64().unwrap(), &told["xrp_drops"]), (flows.len() as u64, &fees.into()));

    let valuations = json_rows(&export(&engine, &["valuations", "--session", "S2", "--format", "json"]));
    assert_eq!(report["inventory"]["snapshots"], valuations.len());
    assert_eq!(report["ending_value_rlusd"], valuations.last().unwrap()["total_value_rlusd"]);

    let all = json_rows(&export(&engine, &["orders", "--format", "json"]));
    let stored = |session| engine.record().orders(session).unwrap().len();
    assert_eq!(all.len(), stored(1) + stored(2));
    assert!(all.iter().any(|order| order["session"] == 1) && all.iter().any(|order| order["mid_price"].is_string()));
}

#[test]
fn a_running_session_is_exported_and_a_reader_that_leaves_is_no_error() {
    let engine = Engine::new();
    let run = engine.neo("run", &["--for", "90m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let mut running = engine.start(&["--speed", "50"]);
    running.until_it_quotes();
    // More than a page.
    let valuations = export(&engine, &["valuations", "--session", "S1"]);
    let numbers =
        |text: &str| text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_string()).collect::<Vec<_>>();
    let stored: Vec<String> = engine.record().valuations(1).unwrap().iter().map(|row| row.seq.to_string()).collect();
    assert!(stored.len() > 1_100, "{}", stored.len());
    assert!(valuations.starts_with("seq,"));
    assert_eq!(numbers(&valuations), stored);
    assert!(export(&engine, &["valuations"]).lines().count() > stored.len() + 1, "the running session's too");

    let mut command = engine.with_db("export", &["valuations", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = BufReader::with_capacity(64, child.stdout.take().unwrap());
    let mut first = String::new();
    pipe.read_line(&mut first).unwrap();
    drop(pipe);
    let left = child.wait_with_output().unwrap();
    assert_eq!((left.status.code(), stderr(&left)), (Some(0), String::new()));
    assert!(json_rows(&first)[0]["total_value_rlusd"].is_string());
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "{}", stderr(&stop));
}

#[test]
fn mistakes_say_what_to_do() {
    let engine = Engine::new();
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let wrong = |more: &[&str], code: i32, wanted: &str| {
        let done = engine.neo("export", more);
        assert_eq!(done.status.code(), Some(code), "{}", stderr(&done));
        assert!(stderr(&done).contains(wanted), "{}", stderr(&done));
    };
    wrong(&["fills", "--session", "x"], 2, "neo sessions");
    wrong(&["fills", "--session", "S9"], 3, "S9");
    wrong(&["money"], 2, "valuations");
    wrong(&["fills", "--out", engine.db().to_str().unwrap()], 1, "is a database");
    let report = engine.neo("report", &["latest"]);
    assert_eq!(report.status.code(), Some(0), "{}", stderr(&report));
    let help = stdout(&engine.command(&["export", "--help"]).output().unwrap());
    assert!(help.contains("neo export fills --session latest --out fills.csv"), "{help}");
}
