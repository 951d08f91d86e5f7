//! Whatever is wrong with a record is found, by the check that it is for, and what is right is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;

use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::verify::{Check, Finding, Severity, Verification};
use neo_store::{StoreError, verify};

/// A bid of 2 XRP at 2.4 in ledger 5, an ask of 1 XRP in ledger 7, their fees; balances that agree. Two sessions, the
/// second of which begins at ledger 9 and records what nobody saw in ledger 8.
fn record() -> Place {
    let place = Place::new();
    let running = start(&place, 1);
    let mut first = vec![valued(SnapshotKind::Opening, 3, 100_000_000, "500")];
    first.push(opened(3, "740"));
    first.extend(trade(5, Side::Bid, 2_000_000, "4.8"));
    first.push(valued(SnapshotKind::Ledger, 5, 101_999_990, "495.2"));
    first.extend(trade(7, Side::Ask, 1_000_000, "2.400000000000001"));
    first.push(valued(SnapshotKind::Closing, 7, 100_999_980, "497.600000000000001"));
    first.extend([processed(Processor::Orders, 7), processed(Processor::Valuer, 7)]);
    running.durably(first).unwrap();
    running.checkpoint();
    finish(running, "739.999952000000001");

    let running = start(&place, 2);
    let mut second: Vec<Record> = trade(8, Side::Bid, 1_000_000, "2.4");
    second.push(valued(SnapshotKind::Opening, 9, 101_999_970, "495.200000000000001"));
    second.push(opened(9, "739.999928000000001"));
    second.push(valued(SnapshotKind::Closing, 9, 101_999_970, "495.200000000000001"));
    second.extend([processed(Processor::Orders, 9), processed(Processor::Valuer, 9)]);
    running.durably(second).unwrap();
    finish(running, "739.999928000000001");
    place
}

fn opened(ledger_index: u32, value: &str) -> Record {
    let (close_time, starting_value_rlusd) = (at(2), Some(dec(value)));
    Record::SessionOpened(SessionOpened { ledger_index, close_time, starting_value_rlusd })
}

/// Session `n` begins 1,000 seconds after the one before.
fn start(place: &Place, n: i64) -> Running {
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(1_000 * n))).unwrap();
    let (writer, thread) = store.start_writer(session).unwrap();
    Running { writer, thread, session }
}

fn finish(running: Running, value: &str) {
    let ended_at = at(1_000 * running.session + 500);
    let end = SessionEnd { ended_at, ending_value_rlusd: Ok(dec(value)), ..clean_end() };
    running.close(end, vec![stage(Stage::Flush)]).unwrap();
    running.seal();
}

fn trade(n: u32, side: Side, drops: i64, rlusd: &str) -> Vec<Record> {
    let settled = IntentUpdate {
        tx_hash: hash(n),
        state: IntentState::Validated,
        engine_result: Some("tesSUCCESS".into()),
        ledger_index: Some(n),
        recorded_at: at(5),
    };
    vec![
        Record::Intent(intent(n)),
        Record::Order(Order { side, ..order(n) }),
        Record::IntentUpdate(settled),
        Record::Fill(fill(n, side, drops, rlusd)),
        Record::OrderEvent(event(n, OrderState::Filled, 0)),
        Record::Flow(flow(n, FlowCause::Fee, -10, "0")),
    ]
}

fn valued(kind: SnapshotKind, ledger_index: u32, drops: i64, rlusd: &str) -> Record {
    let mut snapshot = snapshot(kind, ledger_index, drops, rlusd, Some("0"));
    let balances = neo_market::Balances { xrp: snapshot.xrp, rlusd: snapshot.rlusd, reserve: snapshot.reserve };
    snapshot.total_value_rlusd = neo_market::value(&balances, snapshot.mark_price).unwrap();
    Record::Valuation(snapshot)
}

/// Changes the file behind the engine's back.
fn tamper(place: &Place, sql: &str) {
    let conn = place.sql();
    conn.pragma_update(None, "foreign_keys", "OFF").unwrap();
    conn.pragma_update(None, "ignore_check_constraints", "ON").unwrap();
    conn.execute_batch(sql).unwrap();
    conn.close().unwrap();
}

/// What weighs, as words.
fn found(verification: &Verification) -> Vec<(Check, Severity)> {
    let weighs = |finding: &&Finding| finding.severity != Severity::Note;
    verification.findings.iter().filter(weighs).map(|finding| (finding.check, finding.severity)).collect()
}

#[test]
fn a_whole_record_has_no_finding_and_is_left_as_it_was() {
    let place = record();
    let before = std::fs::read(&place.path).unwrap();
    let verification = verify(&place.path).unwrap();
    assert_eq!(verification.findings, []);
    assert!(verification.is_clean() && !verification.malformed);
    let facts = &verification.facts;
    assert_eq!((facts.sessions, facts.fills, facts.balances_checked, facts.wal_bytes), (2, 3, 4, 0));
    assert_eq!(facts.rows, facts.durable_seq);
    assert!(!facts.engine_runs);
    assert_eq!(std::fs::read(&place.path).unwrap(), before);
    for suffix in ["-wal", "-shm"] {
        assert!(!exists(&place.beside(suffix)), "{suffix} was left");
    }
}

#[test]
fn each_kind_of_damage_is_found_by_its_check() {
    use Check::*;
    use Severity::{Error, Warning};
    let cases: [(&str, &[(Check, Severity)]); 31] = [
        ("DELETE FROM valuation_snapshots WHERE seq = 7", &[(Sequence, Error)]),
        (
            "DELETE FROM fills WHERE ledger_index = 5",
            &[(Sequence, Error), (Balances, Error), (Results, Error), (MarkOuts, Error)],
        ),
        ("UPDATE meta SET durable_seq = durable_seq + 3", &[(Sequence, Error)]),
        ("UPDATE meta SET durable_seq = durable_seq - 1", &[(Sequence, Error)]),
        ("DELETE FROM meta", &[(Sequence, Error)]),
        (
            "INSERT INTO faults VALUES (5, 1, 'feed', 'c', NULL, 'a', '2026-04-18T19:21:19.123Z')",
            &[(Sequence, Error)],
        ),
        ("UPDATE fills SET session = 77 WHERE ledger_index = 5", &[(ForeignKeys, Error), (Balances, Error)]),
        ("UPDATE fills SET xrp_drops = xrp_drops + 1 WHERE ledger_index = 7", &[(Balances, Error), (Results, Error)]),
        (
            "UPDATE fills SET rlusd = '2.400000000000002' WHERE ledger_index = 7",
            &[(Balances, Error), (Results, Error)],
        ),
        ("UPDATE fills SET rlusd = '2,4' WHERE ledger_index = 8", &[(Balances, Error), (Values, Error), (Results, Error)]),
        ("UPDATE flows SET xrp_drops = -11 WHERE ledger_index = 8", &[(Balances, Error)]),
        ("UPDATE flows SET cause = 'unexplained' WHERE ledger_index = 7", &[(Balances, Error), (Balances, Error)]),
        ("UPDATE valuation_snapshots SET mark_price = '2.5' WHERE ledger_index = 5", &[(Values, Error), (Values, Error)]),
        (
            "UPDATE valuation_snapshots SET mark_sources = replace(mark_sources, '\"weight\":\"1\"', '\"weight\":\"0.9\"')
             WHERE ledger_index = 5",
            &[(Values, Error)],
        ),
        ("UPDATE sessions SET ending_value_rlusd = '740.1' WHERE number = 1", &[(Values, Error)]),
        ("UPDATE sessions SET starting_value_rlusd = NULL WHERE number = 2", &[(Values, Error)]),
        (
            "UPDATE sessions SET ended_at = NULL, ended_at_source = NULL, end_reason = NULL WHERE number = 2",
            &[(Sessions, Error)],
        ),
        ("UPDATE sessions SET end_reason = 'boredom' WHERE number = 2", &[(Sessions, Error)]),
        ("UPDATE sessions SET ended_at = '2026-04-18T19:20:19.123Z' WHERE number = 1", &[(Sessions, Warning)]),
        ("UPDATE sessions SET started_at = '2026-04-17T19:21:19.123Z' WHERE number = 2", &[(Sessions, Warning)]),
        (
            "UPDATE sessions SET number = 5 WHERE number = 2; UPDATE fills SET session = 5 WHERE session = 2;
             UPDATE flows SET session = 5 WHERE session = 2; UPDATE orders SET session = 5 WHERE session = 2;
             UPDATE intents SET session = 5 WHERE session = 2; UPDATE stop_stages SET session = 5 WHERE session = 2;
             UPDATE order_events SET session = 5 WHERE session = 2; UPDATE checkpoints SET session = 5 WHERE session = 2;
             UPDATE valuation_snapshots SET session = 5 WHERE session = 2; UPDATE markouts SET session = 5 WHERE session = 2",
            &[(Sessions, Error)],
        ),
        (
            "UPDATE fills SET offer_sequence = 99 WHERE ledger_index = 7",
            &[(Fills, Error), (MarkOuts, Error), (MarkOuts, Error)],
        ),
        ("DELETE FROM markouts WHERE ledgers = 5 AND ledger_index = 10", &[(MarkOuts, Error)]),
        ("UPDATE markouts SET mid_price = '2,4', reason = NULL WHERE ledger_index = 6", &[(MarkOuts, Error)]),
        ("UPDATE markouts SET ledger_index = 7 WHERE ledger_index = 6", &[(MarkOuts, Error)]),
        ("UPDATE orders SET side = 'bid' WHERE offer_sequence = 7", &[(Fills, Error)]),
        ("UPDATE intents SET state = 'submitted' WHERE sequence = 7", &[(Intents, Error)]),
        ("UPDATE orders SET state = 'resting' WHERE offer_sequence = 7", &[(Orders, Warning)]),
        ("UPDATE orders SET state = 'fklled' WHERE offer_sequence = 7", &[(Values, Error)]),
        ("UPDATE flows SET tx_hash = 'G' || substr(tx_hash, 2) WHERE ledger_index = 7", &[(Values, Error)]),
        ("UPDATE fills SET recorded_at = '2026-04-18 19:21' WHERE ledger_index = 7", &[(Values, Error)]),
    ];
    for (sql, wanted) in cases {
        let place = record();
        tamper(&place, sql);
        let verification = verify(&place.path).unwrap();
        // A snapshot that is gone takes nothing from the sums of the others.
        let wanted: Vec<_> = wanted.to_vec();
        assert_eq!(found(&verification), wanted, "{sql}: {:#?}", verification.findings);
        assert!(!verification.is_clean());
    }
}

#[test]
fn a_fill_that_is_recorded_twice_is_found_whatever_its_role_or_the_case_of_its_hash() {
    for (hash, role) in [("tx_hash", "'taker'"), ("lower(tx_hash)", "role")] {
        let place = record();
        // A hash with a letter in it, so that it has a case.
        let sql = format!(
            "UPDATE fills SET tx_hash = 'A' || substr(tx_hash, 2);
             UPDATE markouts SET tx_hash = 'A' || substr(tx_hash, 2);
             UPDATE meta SET durable_seq = durable_seq + 1;
             INSERT INTO fills SELECT (SELECT durable_seq FROM meta), session, {hash}, offer_sequence, {role}, side,
                 xrp_drops, rlusd, price, mid_price, ledger_index, transaction_index, close_time, recorded_at, era
             FROM fills WHERE ledger_index = 5"
        );
        tamper(&place, &sql);
        let verification = verify(&place.path).unwrap();
        // Lower case is a finding of its own: the engine writes no such hash.
        let mut expected = vec![(Check::Fills, Severity::Error), (Check::Balances, Severity::Error)];
        expected.extend((hash != "tx_hash").then_some((Check::Values, Severity::Error)));
        expected.extend([(Check::Results, Severity::Error), (Check::MarkOuts, Severity::Error)]);
        assert_eq!(found(&verification), expected);
    }
}

#[test]
fn an_unknown_fate_is_a_note() {
    let place = record();
    tamper(&place, "UPDATE intents SET state = 'unknown' WHERE sequence = 7");
    let verification = verify(&place.path).unwrap();
    assert!(verification.is_clean());
    assert_eq!(verification.findings[0].severity, Severity::Note);
    assert!(verification.findings[0].text.contains("unknown"));
}

#[test]
fn an_open_session_is_a_note_while_its_engine_lives_and_an_error_after_it_was_killed() {
    let place = Place::new();
    let running = place.start();
    // The dying engine has one half of ledger 8: no balance may be held against it.
    let mut records = vec![valued(SnapshotKind::Opening, 3, 100, "5"), valued(SnapshotKind::Ledger, 8, 77, "6")];
    records.extend([opened(3, "5.00024"), processed(Processor::Orders, 3), processed(Processor::Valuer, 8)]);
    running.durably(records).unwrap();
    let beside = verify(&place.path).unwrap();
    assert!(beside.is_clean() && beside.facts.engine_runs, "{beside:?}");
    assert_eq!(beside.findings[0].check, Check::Sessions);
    running.vanish();
    let after = verify(&place.path).unwrap();
    assert_eq!(found(&after), [(Check::Sessions, Severity::Error)]);
    assert!(after.findings[0].text.contains("neo run"), "{after:?}");
    drop(place.open());
    assert!(verify(&place.path).unwrap().is_clean());
}

#[test]
fn a_ledger_that_begins_anew_begins_the_chain_anew_and_is_told() {
    let place = record();
    let running = start(&place, 3);
    let records = vec![
        valued(SnapshotKind::Opening, 2, 1, "1"),
        opened(2, "1.0000024"),
        valued(SnapshotKind::Ledger, 9, 1, "1"),
        processed(Processor::Orders, 9),
        processed(Processor::Valuer, 9),
    ];
    running.durably(records).unwrap();
    finish(running, "1.0000024");
    let verification = verify(&place.path).unwrap();
    assert_eq!(found(&verification), [(Check::Balances, Severity::Warning)], "{verification:#?}");
}

#[test]
fn many_findings_of_a_kind_are_counted_and_not_all_told() {
    let place = Place::new();
    let running = place.start();
    running.durably((1..=90).map(|n| Record::Fault(fault(&n.to_string()))).collect()).unwrap();
    finish(running, "1");
    tamper(&place, "DELETE FROM faults WHERE seq % 2 = 0 AND seq < 90");
    let verification = verify(&place.path).unwrap();
    assert_eq!(verification.findings.len(), 21);
    assert!(verification.findings[20].text.contains("and 24 more"), "{:?}", verification.findings[20]);
}

#[test]
fn a_malformed_file_is_told_apart_and_left_alone() {
    let place = record();
    // The last page of the fills' index, or whatever is there: any page but the first.
    let mut bytes = std::fs::read(&place.path).unwrap();
    let page = bytes.len() - 4_096;
    bytes[page..page + 64].fill(0xA5);
    std::fs::write(&place.path, &bytes).unwrap();
    match verify(&place.path) {
        Ok(verification) => {
            assert!(verification.malformed && !verification.is_clean(), "{verification:?}");
            assert!(verification.findings.iter().all(|finding| finding.check == Check::Integrity));
        }
        Err(StoreError::Damaged { .. }) => {}
        Err(other) => panic!("{other}"),
    }
    assert_eq!(std::fs::read(&place.path).unwrap(), bytes);
    std::fs::write(&place.path, b"not a database at all, but longer than a header would be, to be sure").unwrap();
    assert!(matches!(verify(&place.path), Err(StoreError::NotADatabase { .. })));
    std::fs::remove_file(&place.path).unwrap();
    assert!(matches!(verify(&place.path), Err(StoreError::Missing { .. })));
}

fn backup(place: &Place, name: &str) -> PathBuf {
    let folder = place.path.parent().unwrap().join("backups");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::copy(&place.path, &path).unwrap();
    path
}

fn sha256(path: &std::path::Path) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(place: &Place, name: &str, digest: &str, size: u64) {
    let sql = format!("INSERT INTO backups VALUES ('{name}', '{digest}', {size}, '2026-04-18T19:21:19.123Z', 1)");
    tamper(place, &sql);
}

#[test]
fn good_backups_are_counted_and_leave_nothing_beside_them() {
    let place = record();
    let path = backup(&place, "neo-sim-20260418T192119Z.db");
    list(&place, "neo-sim-20260418T192119Z.db", &sha256(&path), std::fs::metadata(&path).unwrap().len());
    // Listed nowhere, proven by the checksum beside it; a name that a URI would take apart.
    let other = backup(&place, if cfg!(windows) { "neo-sim-a b#c%20d.db" } else { "neo-sim-a?b#c%20d.db" });
    std::fs::write(other.with_extension("db.sha256"), format!("{}  neo-sim-x.db\n", sha256(&other))).unwrap();
    // Of another record.
    std::fs::write(path.with_file_name("other-20260418T192119Z.db"), b"?").unwrap();
    let verification = verify(&place.path).unwrap();
    assert_eq!((verification.findings.len(), verification.facts.backups_readable), (0, 2), "{verification:#?}");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 4);
}

#[test]
fn a_backup_that_is_not_what_was_written_or_cannot_be_read_or_is_gone_is_told() {
    let place = record();
    let path = backup(&place, "neo-sim-1.db");
    let good = sha256(&path);
    let size = std::fs::metadata(&path).unwrap().len();
    list(&place, "neo-sim-1.db", &good, size);
    let whole = std::fs::read(&path).unwrap();
    let expect = |severity: Severity, words: &str| {
        let verification = verify(&place.path).unwrap();
        assert_eq!(found(&verification), [(Check::Backups, severity)], "{words}: {verification:?}");
        let text = &verification.findings.iter().find(|finding| finding.severity == severity).unwrap().text;
        assert!(text.contains(words), "{text}");
    };
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    expect(Severity::Error, "not what was written");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    expect(Severity::Error, "not what was written");
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(path.with_extension("db.sha256"), "00  neo-sim-1.db").unwrap();
    expect(Severity::Error, "beside it stands 00");
    std::fs::remove_file(path.with_extension("db.sha256")).unwrap();
    // Not listed and without a checksum: only reading tells.
    tamper(&place, "DELETE FROM backups");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    expect(Severity::Error, "neo-sim-1.db");
    std::fs::remove_file(&path).unwrap();
    list(&place, "neo-sim-1.db", &good, size);
    expect(Severity::Warning, "is not in");
}
