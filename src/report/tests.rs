//! Reports of made-up rows, and one of a real file.

use chrono::TimeDelta;
use neo_store::record::{CheckpointCause, Mode, Role, SnapshotKind, StageOutcome};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

const START: &str = "2026-04-18T19:00:00Z";

/// A session of 30 minutes that was closed in order.
pub(crate) fn session() -> SessionRow {
    SessionRow {
        number: 39,
        mode: Mode::Sim,
        network: "sim-1".to_string(),
        account: "rMaker".to_string(),
        started_at: at(START),
        last_seen_at: at("2026-04-18T19:30:02Z"),
        starting_ledger_index: Some(100),
        starting_close_time: Some(at(START)),
        starting_value_rlusd: Some(d("100")),
        last_ledger_index: Some(562),
        last_close_time: Some(at("2026-04-18T19:30:00Z")),
        coalesced_rows: 0,
        ended_at: Some(at("2026-04-18T19:30:02Z")),
        ended_at_source: Some(EndedAtSource::Clean),
        ending_ledger_index: Some(562),
        ending_close_time: Some(at("2026-04-18T19:30:00Z")),
        ending_value_rlusd: Some(d("101.255")),
        ending_value_reason: None,
        end_reason: Some(EndReason::Elapsed),
        end_detail: None,
        config: "[quote]\nbid_offset_bps = \"10\"\nask_offset_bps = \"12.5\"\n".to_string(),
        config_hash: "0123456789abcdef".to_string(),
        version: "0.1.0".to_string(),
        seed: Some(7),
        resumed_from: None,
        fills: 3,
        imported: false,
    }
}

fn fill(side: Side, offer_sequence: u32, xrp: i64, rlusd: &str, mid: &str) -> Fill {
    let xrp_drops = Drops::new(xrp * 1_000_000);
    let price = d(rlusd).div(Dec::from_i64(xrp), neo_market::Rounding::HalfEven).unwrap();
    Fill {
        tx_hash: format!("{offer_sequence:064X}"),
        offer_sequence,
        role: Role::Maker,
        side,
        xrp: xrp_drops,
        rlusd: d(rlusd),
        price,
        mid_price: Some(d(mid)),
        ledger_index: 200,
        transaction_index: 0,
        close_time: at(START),
        recorded_at: at(START),
    }
}

fn order(side: Side, offer_sequence: u32, price: &str, mid: &str) -> Order {
    Order {
        offer_sequence,
        tx_hash: format!("{offer_sequence:064X}"),
        side,
        level: 0,
        price: d(price),
        size: Drops::new(100_000_000),
        rlusd: d("200"),
        mid_price: Some(d(mid)),
        replaces: None,
        expiration: None,
        ledger_index: 199,
        close_time: at(START),
        recorded_at: at(START),
    }
}

fn snapshot(minute: i64, xrp_drops: i64, rlusd: &str) -> ValuationSnapshot {
    let time = at(START) + TimeDelta::minutes(minute);
    ValuationSnapshot {
        kind: SnapshotKind::Ledger,
        ledger_index: 100,
        close_time: time,
        total_value_rlusd: None,
        xrp: Drops::new(xrp_drops),
        reserve: Drops::ZERO,
        rlusd: d(rlusd),
        mark_price: None,
        mark_source: "book_mid".to_string(),
        mark_age_ledgers: 0,
        mark_sources: None,
        best_bid: None,
        best_ask: None,
        our_bid: None,
        our_ask: None,
        recorded_at: time,
    }
}

fn rows() -> Rows {
    let stage = |stage| StopStage { stage, outcome: StageOutcome::Done, ms: 12, error: None };
    let fee = Flow {
        tx_hash: Some("A".repeat(64)),
        cause: FlowCause::Fee,
        xrp: Drops::new(-10),
        rlusd: Dec::zero(),
        detail: None,
        ledger_index: 150,
        close_time: at(START),
        recorded_at: at(START),
    };
    let checkpoint = |busy, pause_us| Checkpoint {
        cause: CheckpointCause::Timer,
        busy,
        wal_frames: 3,
        checkpointed_frames: 3,
        wal_bytes: 8_192,
        pause_us,
        recorded_at: at(START),
    };
    Rows {
        session: session(),
        stages: Stage::ALL.into_iter().map(stage).collect(),
        fills: vec![
            fill(Side::Bid, 5, 100, "199.8", "2"),
            fill(Side::Bid, 6, 50, "99.9", "2"),
            fill(Side::Ask, 7, 100, "200.3", "2"),
        ],
        orders: vec![
            order(Side::Bid, 5, "1.998", "2"),
            order(Side::Bid, 6, "1.998", "2"),
            order(Side::Ask, 7, "2.003", "2.0005"),
        ],
        flows: vec![fee.clone(), Flow { tx_hash: None, ..fee }],
        valuations: vec![
            snapshot(0, 1_000_000_000, "1000"),
            snapshot(10, 1_149_999_990, "700.3"),
            snapshot(20, 949_999_990, "1100"),
            snapshot(30, 1_049_999_980, "900.6"),
        ],
        checkpoints: vec![checkpoint(false, 900), checkpoint(true, 1_250)],
        refusals: Vec::new(),
        trips: Vec::new(),
        faults: Vec::new(),
        books: Ok(books()),
        moves: Err("no validated ledger was valued".to_string()),
        mark_outs: Vec::new(),
        imported: None,
    }
}

fn books() -> Reconciliation {
    Reconciliation {
        xrp_change_drops: Drops::new(49_999_980),
        rlusd_change: d("-99.4"),
        fills_xrp: Drops::new(50_000_000),
        fills_rlusd: d("-99.4"),
        fees_xrp: Drops::new(-20),
        flows_xrp: Drops::ZERO,
        flows_rlusd: Dec::zero(),
        unexplained_xrp: Drops::ZERO,
        unexplained_rlusd: Dec::zero(),
        unexplained_count: 0,
        difference_xrp: Drops::ZERO,
        difference_rlusd: Dec::zero(),
        outside: 0,
    }
}

fn text(rows: Rows) -> String {
    Report::new(rows).unwrap().lines().join("\n")
}

#[test]
fn a_clean_session_is_told_whole() {
    let report = Report::new(rows()).unwrap();
    assert!(report.clean && report.problems.is_empty());
    let text = report.lines().join("\n");
    for part in [
        "S39  sim on sim-1, account rMaker",
        "ended_at written: yes (clean) at 2026-04-18 19:30:02Z",
        "ended by   elapsed, after 30m 2s",
        "quiesce     done     12",
        "bids      2  150  299.700000           10.00 bps  10.00 bps",
        "asks      1  100  200.300000           12.50 bps  15.00 bps",
        "filled with the current offsets: yes, 2 bids / 1 asks in 30m trading time (one per 154.0 ledgers)",
        "XRP        1000.000000  949.999990  1149.999990  1049.999980",
        "RLUSD      1000.000000  700.300000  1100.000000   900.600000",
        "XRP over time  ▂█▁▄  (4 snapshots)",
        "value  100.000000 -> 101.255000 RLUSD (+1.26)",
        "fee          2  -0.00002      0",
        "fills + flows = change of balances: yes, to the last drop and digit",
        "checkpoints  2 (1 blocked by a reader), worst pause 1.250 ms, largest WAL 8192 bytes",
        "faults       0",
        "verdict: S39 was closed cleanly",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_failed_or_missing_stage_is_the_verdict() {
    for outcome in [StageOutcome::Failed, StageOutcome::TimedOut] {
        let mut failed = rows();
        failed.stages[2].outcome = outcome;
        failed.stages[2].error = Some("offer 5 is still on the ledger".to_string());
        failed.session.end_detail = Some(r#"{"cause":null,"open_offers":[5],"urgent":false}"#.to_string());
        let report = Report::new(failed).unwrap();
        assert_eq!(report.problems, [format!("stop stage cancel {outcome}: offer 5 is still on the ledger")]);
        let text = report.lines().join("\n");
        assert!(text.contains("not done:\n  open_offers: [5]\n"), "{text}");
        assert!(text.contains(&outcome.to_string().to_uppercase()), "{text}");
        assert!(text.contains("verdict: S39 was NOT closed cleanly\n  stop stage cancel"), "{text}");
    }
    let mut skipped = rows();
    skipped.stages[5].outcome = StageOutcome::Skipped;
    assert!(Report::new(skipped).unwrap().clean);
    let mut missing = rows();
    missing.stages.remove(4);
    assert_eq!(Report::new(missing).unwrap().problems, ["the outcome of stop stage flush is not recorded"]);
}

#[test]
fn an_open_session_is_never_clean() {
    let mut open = rows();
    open.session = SessionRow {
        ended_at: None,
        ended_at_source: None,
        end_reason: None,
        ending_value_rlusd: None,
        ending_close_time: None,
        ending_ledger_index: None,
        ..session()
    };
    open.stages.clear();
    open.books = Err("session S39 has no closing snapshot".to_string());
    let report = Report::new(open).unwrap();
    assert!(!report.clean);
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    // What is known of the trading so far is told all the same.
    assert_eq!((report.trading_s, report.ledgers()), (Some(1_800), Some(462)));
    let text = report.lines().join("\n");
    for part in ["ended_at written: NO, the session is open", "stop stages: none recorded", "not known, session S39"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn an_end_that_the_stop_sequence_did_not_write_is_not_clean() {
    for source in
        [EndedAtSource::Watchdog, EndedAtSource::StopNote, EndedAtSource::Recovered, EndedAtSource::Backfilled]
    {
        let mut other = rows();
        other.session.ended_at_source = Some(source);
        let report = Report::new(other).unwrap();
        assert_eq!(report.problems.len(), 1);
        assert!(report.problems[0].contains(source.as_str()));
    }
}

#[test]
fn books_that_do_not_balance_are_not_clean() {
    let mut off = rows();
    off.books = Ok(Reconciliation { difference_xrp: Drops::new(1), ..books() });
    let report = Report::new(off).unwrap();
    assert_eq!(
        report.problems,
        [
            "fills and flows do not explain the balances: 0.000001 XRP and 0 RLUSD are left over, in 0 unexplained changes"
        ]
    );
    assert!(report.lines().join("\n").contains("change of balances: NO, 0.000001 XRP"));
    let mut digit = rows();
    digit.books = Ok(Reconciliation { difference_rlusd: d("1e-15"), ..books() });
    assert!(!Report::new(digit).unwrap().clean);
}

#[test]
fn without_fills_the_offsets_are_named() {
    let mut none = rows();
    none.fills.clear();
    let line = "no fills: nobody took bids 10 bps and asks 12.5 bps from the middle in 30m trading time (462 ledgers)";
    let told = text(none.clone());
    assert!(told.contains(line), "{told}");
    assert!(Report::new(none.clone()).unwrap().clean);
    for config in ["not toml [", "", "[quote]\nlevels = 2\n"] {
        none.session.config = config.to_string();
        assert!(text(none.clone()).contains("the stored configuration has no fixed offsets"), "{config}");
    }
    none.session.config = "[quote]\nbid_offset_bps = 10\nask_offset_bps = 2.5\n".to_string();
    assert!(text(none).contains("bids 10 bps and asks 2.5 bps"));
}

#[test]
fn a_fill_of_an_earlier_sessions_offer_counts_without_a_quoted_distance() {
    let mut earlier = rows();
    earlier.orders.clear();
    let report = Report::new(earlier).unwrap();
    let bids = &report.fills[0].stats;
    assert_eq!((bids.fills, bids.quoted_half_spread_bps), (2, None));
    assert_eq!(bids.captured_half_spread_bps, Some(d("10")));
}

#[test]
fn an_empty_session_has_a_report() {
    let mut empty = rows();
    (empty.fills, empty.orders, empty.flows) = (Vec::new(), Vec::new(), Vec::new());
    (empty.valuations, empty.checkpoints, empty.stages) = (Vec::new(), Vec::new(), Vec::new());
    empty.books = Err("session S39 has no opening snapshot".to_string());
    empty.session = SessionRow {
        starting_ledger_index: None,
        starting_close_time: None,
        starting_value_rlusd: None,
        ending_value_rlusd: None,
        ending_value_reason: Some("no validated ledger was seen".to_string()),
        ..session()
    };
    let report = Report::new(empty).unwrap();
    assert!(!report.clean && report.inventory.is_none());
    assert!(report.lines().join("\n").contains("not known -> not known RLUSD; not known at the start: no validated"));
}

#[test]
fn absurd_rows_neither_panic_nor_reach_the_terminal_raw() {
    let mut absurd = rows();
    absurd.fills[0].mid_price = Some(Dec::zero());
    assert!(Report::new(absurd).is_err());
    let mut hostile = rows();
    hostile.session.account = "r\x1b[2J".to_string();
    hostile.session.end_detail = Some("\x07no json".to_string());
    hostile.faults.push(Fault {
        actor: "feed".to_string(),
        cause: "a\nb".to_string(),
        backtrace: None,
        action: "restarted".to_string(),
        recorded_at: at(START),
    });
    hostile.valuations = vec![snapshot(0, i64::MIN, "9999999999999999e80"), snapshot(1, i64::MAX, "-1e-90")];
    for line in Report::new(hostile).unwrap().lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn json_says_what_the_text_says() {
    let json = serde_json::to_value(Report::new(rows()).unwrap()).unwrap();
    for (path, value) in [
        ("/clean", serde_json::json!(true)),
        ("/session", "S39".into()),
        ("/ended_at_source", "clean".into()),
        ("/stop_stages/2/stage", "cancel".into()),
        ("/fills/0/side", serde_json::to_value(Side::Bid).unwrap()),
        ("/fills/0/fills", 2.into()),
        ("/fills/1/captured_half_spread_bps", "15".into()),
        ("/inventory/xrp_drops/min", 949_999_990.into()),
        ("/flows/0/xrp_drops", (-20).into()),
        ("/reconciliation/difference_rlusd", "0".into()),
        ("/checkpoints/worst_pause_us", 1_250.into()),
        ("/offsets/ask_offset_bps", "12.5".into()),
    ] {
        assert_eq!(json.pointer(path), Some(&value), "{path}");
    }
}

#[test]
fn a_session_is_named_in_three_ways() {
    assert_eq!(parse_session("latest"), Ok(None));
    assert_eq!(parse_session("S3"), Ok(Some(3)));
    assert_eq!(parse_session("39"), Ok(Some(39)));
    for wrong in ["", "S", "S-1", "0", "3x", "last"] {
        assert!(parse_session(wrong).unwrap_err().contains("`neo sessions`"), "{wrong}");
    }
}

#[test]
fn sparklines_go_from_the_least_to_the_most() {
    let path = |drops: &[i64]| drops.iter().map(|drops| Drops::new(*drops)).collect::<Vec<_>>();
    assert_eq!(text::sparkline(&path(&[])), "");
    assert_eq!(text::sparkline(&path(&[5, 5])), "▁▁");
    assert_eq!(text::sparkline(&path(&[0, 7, 14])), "▁▄█");
    let long = text::sparkline(&path(&(0..1_000).collect::<Vec<_>>()));
    assert_eq!((long.chars().count(), long.chars().last()), (48, Some('█')));
}

/// Keeps what is printed where the test can see it.
#[derive(Clone, Default)]
struct Printed(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_real_file_is_read_and_an_open_session_fails() {
    use neo_store::record::NewSession;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("neo.db");
    let identity = neo_store::Identity { mode: Mode::Sim, network: "sim-1".to_string(), account: "rMaker".to_string() };
    let clock: fn() -> DateTime<Utc> = || at(START);
    let mut store = neo_store::Store::open(&db, &identity, &neo_store::Options::new(clock), clock()).unwrap();
    let new = NewSession {
        started_at: clock(),
        config: String::new(),
        config_hash: "h".to_string(),
        version: "0.1.0".to_string(),
        seed: None,
    };
    store.begin_session(&new).unwrap();
    let printed = Printed::default();
    let out = || Out::to(Box::new(printed.clone()));
    assert_eq!(run(&db, "latest", false, &mut out()).unwrap(), ExitCode::Failed);
    assert_eq!(run(&db, "S1", true, &mut out()).unwrap(), ExitCode::Failed);
    assert_eq!(run(&db, "first", true, &mut out()).unwrap(), ExitCode::Usage);
    assert!(run(&db, "2", true, &mut out()).unwrap_err().downcast_ref::<StoreError>().is_some());
    assert_eq!(crate::sessions::run(&db, false, &mut out()).unwrap(), ExitCode::Clean);
    assert_eq!(crate::sessions::run(&db, true, &mut out()).unwrap(), ExitCode::Clean);
    let text = String::from_utf8(printed.0.lock().clone()).unwrap();
    for part in
        ["verdict: S1 was NOT closed cleanly", "\"problems\":[\"the session is open", "open", "\"session\":\"S1\""]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let missing = run(&dir.path().join("none.db"), "latest", false, &mut out()).unwrap_err();
    assert!(matches!(missing.downcast_ref(), Some(StoreError::Missing { .. })));
}

#[test]
fn refusals_are_summed_by_kind_and_trips_are_told_with_their_end() {
    let refusal = |kind: &str, side, count| Refusal {
        side,
        level: Some(0),
        kind: kind.to_string(),
        reason: format!("{count} figures"),
        first_ledger_index: 1,
        first_close_time: at(START),
        last_ledger_index: 9,
        last_close_time: at(START),
        count,
        recorded_at: at(START),
    };
    let by = neo_market::ClearedBy::Itself;
    let cleared = Some(neo_store::record::TripCleared { ledger_index: 12, close_time: at(START), by });
    let (pause, latch) = (neo_market::TripAction::Pause, neo_market::TripAction::Latch);
    let trip = |cleared, action| TripRow {
        trigger: neo_market::Trigger::Rejects,
        action,
        reason: "5 failed".to_string(),
        ledger_index: 10,
        close_time: at(START),
        cleared,
        recorded_at: at(START),
    };
    let refusals = vec![
        refusal("unfunded", Some(Side::Bid), 3),
        refusal("unfunded", Some(Side::Ask), 4),
        refusal("unfunded", Some(Side::Bid), 5),
        refusal("crossed_book", None, 1),
    ];
    let trips =
        vec![trip(cleared, pause), trip(None, pause), trip(None, latch), trip(None, neo_market::TripAction::Stop)];
    let report = Report::new(Rows { refusals, trips: trips.clone(), ..rows() }).unwrap();
    let sum = &report.refusals[1];
    assert_eq!((sum.kind.as_str(), sum.bids, sum.asks, sum.all, sum.times), ("unfunded", 8, 4, 0, 3));
    assert_eq!(sum.last_reason, "5 figures");
    let text = report.lines().join("\n");
    assert!(text.contains("trips        4") && text.contains("rejects pause: 5 failed (until "), "{text}");
    assert!(text.contains("5 failed (it stood when the session ended, and ended with it)"), "{text}");
    assert!(text.contains("crossed_book"), "{text}");
    assert_eq!(text.matches("(latched until `neo resume`, which no session since has seen)").count(), 2, "{text}");
    assert!(report.clean, "a trip is no fault of the record");
    let states = |report: &Report| report.trips.iter().map(|trip| trip.state).collect::<Vec<_>>();
    let latched = TripState::Latched;
    assert_eq!(states(&report), [TripState::Cleared, TripState::EndedWithSession, latched, latched]);
    // While the session runs, what is not cleared stands.
    let mut open = Rows { trips, ..rows() };
    (open.session.ended_at, open.session.ended_at_source) = (None, None);
    let open = Report::new(open).unwrap();
    assert_eq!(states(&open)[1..], [TripState::Standing; 3]);
    assert_eq!(open.lines().join("\n").matches("5 failed (it stands)").count(), 3);
}
