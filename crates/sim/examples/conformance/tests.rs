//! Whole runs over small directories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::io::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;

const MASTER: &str = "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh";
const MASTER_INDEX: &str = "2B6AC232AA4C4BE41BF49D2459FA4A0347E1B543A4C92FCEE0821C0201E2E9A8";

/// A sequence in which the master account sets options three times.
fn sequence() -> Json {
    let root = json!({ "LedgerEntryType": "AccountRoot", "Account": MASTER, "Balance": "1000", "Flags": 0,
        "OwnerCount": 0, "Sequence": 1 });
    let step = |op: &str, more: Json| {
        let mut step = json!({ "op": op, "ledger_index": 3, "parent_close_time": 10 });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    let set = |sequence: u32, balance: u32| {
        let tx = json!({ "TransactionType": "AccountSet", "Account": MASTER, "Fee": "10", "Sequence": sequence });
        let new = json!({ "Balance": balance.to_string(), "Sequence": sequence + 1 });
        let change = json!({ "kind": "modified", "type": "AccountRoot", "index": MASTER_INDEX, "new": new });
        step(
            "submit",
            json!({ "tx_json": tx, "engine_result": "tesSUCCESS", "applied": true,
            "state_changes": [change] }),
        )
    };
    let genesis = json!({ "kind": "created", "type": "AccountRoot", "index": MASTER_INDEX, "entry": root });
    json!({
        "suite": "small", "env": { "base_fee": 10, "reserve_base": "200", "reserve_increment": 50 },
        "accounts": { "master": MASTER },
        "steps": [step("genesis", json!({ "state_changes": [genesis] })), set(1, 990), set(2, 980), set(3, 970)],
    })
}

fn run_over(files: &[(&str, Vec<u8>)]) -> Result<Report, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    over(dir.path())
}

fn over(dir: &Path) -> Result<Report, String> {
    run(&Options { dir: dir.to_path_buf(), json: false, metadata: false, only: String::new() })
}

fn bytes(json: &Json) -> Vec<u8> {
    json.to_string().into_bytes()
}

fn counts(report: &Report) -> (usize, usize, usize) {
    (report.total.passed, report.total.failed, report.total.out_of_scope)
}

#[test]
fn plain_and_packed_sequences_pass_and_an_index_is_passed_over_whatever_its_name() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&bytes(&sequence())).unwrap();
    let index = json!({ "count": 2, "files": ["a.json"] });
    let report = run_over(&[
        ("a.json", bytes(&sequence())),
        ("b.json.gz", gz.finish().unwrap()),
        ("contents.json", bytes(&index)),
        ("index-of-all.json", bytes(&sequence())),
        ("notes.txt", b"nothing".to_vec()),
    ])
    .unwrap();
    assert_eq!((counts(&report), report.files), ((9, 0, 0), 3));
}

#[test]
fn a_failed_step_is_counted_once_and_the_next_is_judged_on_its_own() {
    let mut wrong = sequence();
    wrong["steps"][2]["state_changes"][0]["new"]["Balance"] = json!("977");
    wrong["steps"][3]["state_changes"][0]["new"]["Balance"] = json!("967");
    let report = run_over(&[("a.json", bytes(&wrong))]).unwrap();
    assert_eq!(counts(&report), (2, 1, 0));
    let json: Json = serde_json::from_str(&report.json()).unwrap();
    let failure = json!({ "file": "a.json", "step": 2, "field": format!("AccountRoot {MASTER} (master) Balance"),
        "expected": "977", "got": "980" });
    assert_eq!(json["failures"], json!([failure]));
    assert_eq!(json["by_suite"]["small"], json!({ "passed": 2, "failed": 1, "out_of_scope": 0 }));
    assert_eq!(json["by_type"]["AccountSet"]["failed"], json!(1));
}

#[test]
fn a_step_out_of_scope_is_applied_from_its_changes() {
    let mut other = sequence();
    other["steps"][2]["tx_json"]["TransactionType"] = json!("AccountDelete");
    assert_eq!(counts(&run_over(&[("a.json", bytes(&other))]).unwrap()), (2, 0, 1));
    let mut listed = sequence();
    listed["steps"][1]["replay"] = json!(false);
    listed["steps"][1]["state_changes"] = json!([]);
    listed["steps"][2]["tx_json"]["Sequence"] = json!(1);
    listed["steps"][2]["state_changes"][0]["new"] = json!({ "Balance": "990", "Sequence": 2 });
    listed["steps"][3]["engine_result"] = Json::Null;
    assert_eq!(counts(&run_over(&[("a.json", bytes(&listed))]).unwrap()), (1, 0, 0));
}

#[test]
fn whatever_is_malformed_is_a_failure_with_a_name() {
    let mut bad_step = sequence();
    bad_step["steps"][1]["ledger_index"] = json!("three");
    let mut bad_change = sequence();
    bad_change["steps"][1]["state_changes"][0]["index"] = json!("00".repeat(32));
    let mut bad_tx = sequence();
    bad_tx["steps"][1]["tx_json"]["Account"] = json!(5);
    for (text, failed) in [
        (b"{".to_vec(), 1),
        (b"[]".to_vec(), 1),
        (b"{\"steps\":7}".to_vec(), 1),
        (vec![0x1F, 0x8B, 1], 1),
        (vec![0xFF, 0xFE], 1),
        // The step after one that cannot be applied stands on another state than it was recorded on.
        (bytes(&bad_step), 2),
        (bytes(&bad_change), 2),
        (bytes(&bad_tx), 1),
    ] {
        let report = run_over(&[("a.json", text.clone())]).unwrap();
        assert_eq!(report.total.failed, failed, "{}", String::from_utf8_lossy(&text));
        let json: Json = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["failures"][0]["file"], json!("a.json"));
    }
}

#[test]
fn a_directory_without_sequences_is_an_error() {
    assert!(over(Path::new("/no/such/directory")).is_err_and(|error| error.contains("/no/such/directory")));
    assert!(run_over(&[]).is_err());
    assert!(run_over(&[("index.json", bytes(&json!({ "files": [] })))]).is_err());
}

#[test]
fn arguments_are_read_or_explained() {
    let ask = |args: &[&str]| ask(args.iter().map(ToString::to_string));
    assert!(matches!(ask(&["x", "--json"]), Ok(Asked::Run(Options { json: true, .. }))));
    assert!(matches!(ask(&["--help"]), Ok(Asked::Help)));
    for bad in [vec![], vec!["x", "y"], vec!["--jsn", "x"], vec!["x", "--only"]] {
        assert!(ask(&bad).is_err());
    }
}
