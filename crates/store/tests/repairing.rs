//! A damaged record is mended from its newest good backup and every row that can still be read; what is lost is written
//! down, nothing is invented, and a repair may be killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use common::child::{self, Child};
use common::*;
use neo_market::Side;
use neo_store::backup::{self, BackupError, Retention, check, folder_of};
use neo_store::record::*;
use neo_store::repair::{Outcome, ReadAs, Repaired, Step, TableAccount, Whose, repair};
use neo_store::verify::{Check, Severity, Verification};
use neo_store::{Identity, Reader, Store, StoreError, schema, verify};

const PARTS: [&str; 3] = ["", "-wal", "-shm"];
const PAGE: usize = 4_096;

fn mend(place: &Place) -> Result<Outcome, BackupError> {
    repair(&place.path, &Whose::Only(identity()), at(5_000), &mut |_| {})
}

fn mended(place: &Place) -> Repaired {
    match mend(place).unwrap() {
        Outcome::Repaired(done) => *done,
        Outcome::Sound { .. } => panic!("it was not damaged"),
    }
}

fn parts(place: &Place) -> Vec<Option<Vec<u8>>> {
    PARTS.map(|part| fs::read(place.beside(part)).ok()).to_vec()
}

/// A ledger of trading as the engine records it: the orders' part, then the valuer's. Every fill and fee is in the
/// balances, which begin with 1,000 XRP and 5,000 RLUSD.
fn ledger(n: u32) -> Vec<Record> {
    vec![
        Record::OrderEvent(OrderEvent { ledger_index: n, ..event(n, OrderState::Filled, 0) }),
        Record::Fill(fill(n, Side::Bid, 1_000, "0.0024")),
        processed(Processor::Orders, n),
        Record::Intent(Intent { recorded_at: at(0), ..intent(n + 1) }),
        Record::Order(Order { side: Side::Bid, ..order(n + 1) }),
        Record::Flow(flow(n, FlowCause::Fee, -10, "0")),
        Record::Valuation(valued(SnapshotKind::Ledger, n)),
        processed(Processor::Valuer, n),
        Record::IntentUpdate(IntentUpdate {
            tx_hash: hash(n + 1),
            state: IntentState::Validated,
            engine_result: None,
            ledger_index: Some(n + 1),
            recorded_at: at(50),
        }),
    ]
}

/// What the ledger says after ledger `n`, `n - 10` ledgers after the first.
fn valued(kind: SnapshotKind, n: u32) -> ValuationSnapshot {
    let traded = i64::from(n) - 10;
    let rlusd = dec("5000").sub(dec(&rust_decimal(traded))).unwrap();
    let xrp = 1_000_000_000 + traded * 990;
    ValuationSnapshot {
        rlusd,
        mark_price: None,
        total_value_rlusd: None,
        mark_source: "no price".into(),
        mark_sources: None,
        ..snapshot(kind, n, xrp, "0", None)
    }
}

/// 0.0024 RLUSD a trade.
fn rust_decimal(traded: i64) -> String {
    format!("{}.{:04}", traded * 24 / 10_000, traded * 24 % 10_000)
}

/// The ledgers after `from` up to `to`, traded in a session of their own, that ends in order.
fn session(place: &Place, from: u32, to: u32) {
    let running = begin(place, from);
    for n in from + 1..=to {
        running.durably(ledger(n)).unwrap();
    }
    running.durably(vec![Record::Valuation(valued(SnapshotKind::Closing, to))]).unwrap();
    let reason = Err("no price".to_string());
    running.close(SessionEnd { ending_value_rlusd: reason, ..clean_end() }, vec![stage(Stage::Flush)]).unwrap();
    running.seal();
}

fn begin(place: &Place, ledger_index: u32) -> Running {
    let running = place.start();
    let opened = SessionOpened { ledger_index, close_time: at(1), starting_value_rlusd: None };
    let mut records = vec![Record::Valuation(valued(SnapshotKind::Opening, ledger_index))];
    records.push(Record::SessionOpened(opened));
    if ledger_index == 10 {
        records.push(Record::Order(Order { side: Side::Bid, ..order(11) }));
    }
    records.extend([processed(Processor::Orders, ledger_index), processed(Processor::Valuer, ledger_index)]);
    running.durably(records).unwrap();
    running
}

fn take(place: &Place, seconds: i64) {
    backup::take(&place.path, &Retention::default(), at(seconds), &mut |_| {}).unwrap();
}

/// Three sessions with a backup after the first: 600 ledgers, the last half of them in the third.
fn record() -> Place {
    let place = Place::new();
    session(&place, 10, 160);
    take(&place, 0);
    session(&place, 160, 310);
    session(&place, 310, 610);
    place
}

/// All rows of all numbered tables, by table and number.
fn rows(place: &Place) -> BTreeMap<(String, i64), String> {
    let sql = place.sql();
    let mut rows = BTreeMap::new();
    for table in schema::SEQUENCED {
        let mut statement = sql.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let columns: Vec<String> = (0..row.as_ref().column_count())
                .map(|column| format!("{:?}", row.get::<_, rusqlite::types::Value>(column).unwrap()))
                .collect();
            rows.insert((table.to_string(), row.get(0).unwrap()), columns.join("|"));
        }
    }
    rows
}

/// The pages that a table or an index has, leaves only or all.
fn pages(place: &Place, name: &str, leaves: bool) -> Vec<usize> {
    let sql = place.sql();
    let kind = if leaves { "AND pagetype = 'leaf'" } else { "" };
    let mut statement =
        sql.prepare(&format!("SELECT pageno FROM dbstat WHERE name = ?1 {kind} ORDER BY path")).unwrap();
    let pages = statement.query_map([name], |row| row.get::<_, i64>(0)).unwrap();
    pages.map(|page| usize::try_from(page.unwrap()).unwrap()).collect()
}

fn damage(place: &Place, page: usize, how: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(&place.path).unwrap();
    how(&mut bytes[(page - 1) * PAGE..page * PAGE]);
    fs::write(&place.path, bytes).unwrap();
}

fn account<'a>(done: &'a Repaired, table: &str) -> &'a TableAccount {
    done.tables.iter().find(|account| account.table == table).unwrap()
}

fn found(place: &Place) -> Verification {
    verify(&place.path).unwrap()
}

fn errors(verification: &Verification) -> Vec<String> {
    let errors = verification.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| format!("{:?} {}", finding.check, finding.text)).collect()
}

#[test]
fn the_record_that_is_damaged_here_is_sound_before() {
    let place = record();
    assert_eq!(errors(&found(&place)), [] as [String; 0]);
    assert_eq!(mend(&place).unwrap(), Outcome::Sound { settled: None });
}

#[test]
fn a_broken_leaf_costs_the_rows_on_it_and_no_others() {
    let _alone = child::alone();
    let place = record();
    let before = rows(&place);
    let leaves = pages(&place, "fills", true);
    let page = leaves[leaves.len() - 3];
    damage(&place, page, |bytes| bytes.fill(0));
    let broken = parts(&place);
    let done = mended(&place);

    // The damaged files are aside as they were.
    let aside = done.set_aside.clone().unwrap();
    assert_eq!(fs::read(aside.join("neo-sim.db")).unwrap(), broken[0].clone().unwrap());
    // Only fills are missing, as many as a page has, and what is there is what was there.
    let after = rows(&place);
    let lost: BTreeSet<_> = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
    assert!(lost.iter().all(|(table, _)| table == "fills"), "{lost:?}");
    assert!(!lost.is_empty() && lost.len() < 40, "{lost:?}");
    assert!(after.iter().all(|(key, row)| before[key] == *row), "nothing is invented");
    assert_eq!(done.missing_rows, lost.len() as u64);
    let gaps: BTreeSet<i64> = done.gaps.iter().flat_map(|gap| gap.first_seq..=gap.last_seq).collect();
    assert_eq!(gaps, lost.iter().map(|(_, seq)| *seq).collect());
    assert_eq!(done.read_as, ReadAs::Alone);
    assert!(account(&done, "fills").unread.as_ref().unwrap().contains("could not be read"));
    assert_eq!(account(&done, "flows").unread, None);
    assert!(account(&done, "fills").from_backup == 150 && account(&done, "fills").added > 300);

    // Verify tells the hole as this repair's, and that the history is to be fetched.
    let verification = found(&place);
    assert_eq!(errors(&verification), [] as [String; 0]);
    let notes = |check: Check, severity: Severity| {
        verification.findings.iter().filter(|f| f.check == check && f.severity == severity).count()
    };
    assert!(notes(Check::Sequence, Severity::Note) > 0, "{verification:#?}");
    assert_eq!(notes(Check::Repairs, Severity::Warning), 1, "{verification:#?}");
    assert!(notes(Check::Balances, Severity::Warning) > 0, "{verification:#?}");

    // A hole that the repair does not know of is an error all the same.
    let tampered = place.sql();
    tampered.execute("DELETE FROM faults", []).unwrap();
    tampered.execute("DELETE FROM flows WHERE seq = (SELECT max(seq) FROM flows)", []).unwrap();
    drop(tampered);
    assert!(
        errors(&found(&place)).iter().any(|text| text.contains("missing although they were")),
        "{:?}",
        found(&place)
    );
}

#[test]
fn the_next_session_fetches_from_before_the_hole_and_what_was_lost_comes_in_once() {
    let _alone = child::alone();
    let place = record();
    let leaves = pages(&place, "fills", true);
    damage(&place, leaves[leaves.len() - 3], |bytes| bytes.fill(0));
    let done = mended(&place);
    let from = done.refetch_from_ledger.unwrap();
    let store = place.open();
    assert_eq!(store.last_processed_ledger().unwrap(), Some(610));
    assert_eq!(store.refetch_from().unwrap(), Some(from));
    drop(store);
    let fills = "SELECT ledger_index FROM fills ORDER BY 1";
    let ledgers = |place: &Place| -> Vec<u32> {
        let sql = place.sql();
        let mut statement = sql.prepare(fills).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let there: BTreeSet<u32> = ledgers(&place).into_iter().collect();
    let first_lost = (11..=610).find(|ledger| !there.contains(ledger)).unwrap();
    assert!(from < first_lost && from + 3 >= first_lost, "from {from}, the first lost is of {first_lost}");

    // As the feed gives it: the history after `from`, all of it, in the first update.
    let running = place.start();
    let history = |part: fn(&Record) -> bool| (from + 1..=610).flat_map(ledger).filter(part).collect::<Vec<Record>>();
    running.durably(history(|record| matches!(record, Record::OrderEvent(_) | Record::Fill(_)))).unwrap();
    running.durably(history(|record| matches!(record, Record::Flow(_)))).unwrap();
    // The offer that the last session left is cancelled, as each start does.
    let cancelled = OrderEvent { ledger_index: 610, ..event(611, OrderState::Cancelled, 25_000_000) };
    running.durably(vec![Record::OrderEvent(cancelled)]).unwrap();
    running
        .durably(vec![
            Record::Valuation(valued(SnapshotKind::Opening, 610)),
            Record::SessionOpened(SessionOpened { ledger_index: 610, close_time: at(1), starting_value_rlusd: None }),
            processed(Processor::Orders, 610),
            processed(Processor::Valuer, 610),
        ])
        .unwrap();
    let reason = Err("no price".to_string());
    running.close(SessionEnd { ending_value_rlusd: reason, ..clean_end() }, vec![]).unwrap();
    running.seal();
    assert_eq!(ledgers(&place), (11..=610).collect::<Vec<u32>>(), "each once");
    let verification = found(&place);
    // The sessions here all begin at one moment, which is told.
    let weighty = verification.findings.iter().filter(|f| f.severity != Severity::Note && f.check != Check::Sessions);
    let weighty: Vec<_> = weighty.collect();
    assert!(weighty.is_empty(), "{weighty:#?}");
    assert_eq!(place.open().refetch_from().unwrap(), None, "once is enough");
}

#[test]
fn an_event_that_comes_late_does_not_undo_what_came_after_it() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Order(order(5)), Record::OrderEvent(event(5, OrderState::Filled, 0))]).unwrap();
    let early = OrderEvent { ledger_index: 5, ..event(5, OrderState::Resting, 25_000_000) };
    running.durably(vec![Record::OrderEvent(early)]).unwrap();
    let orders = Reader::open(&place.path).unwrap().orders(1).unwrap();
    assert_eq!(orders[0].state, OrderState::Filled);
    running.seal();
}

/// A way to break a page, with its name.
type How = (&'static str, fn(&mut [u8]));

#[test]
fn whatever_page_is_broken_the_record_is_mended_and_what_is_lost_is_known() {
    let _alone = child::alone();
    let whole = record();
    let (before, bytes) = (rows(&whole), fs::read(&whole.path).unwrap());
    let count = bytes.len() / PAGE;
    let hows: [How; 3] = [
        ("zeroed", |page| page.fill(0)),
        ("noise", |page| page.iter_mut().enumerate().for_each(|(n, byte)| *byte ^= (n * 7 + 13) as u8)),
        ("first half", |page| page[..PAGE / 2].fill(0xA5)),
    ];
    let mut lost_most = 0;
    for number in (1..=count).filter(|number| *number < 24 || number % 7 == 0) {
        let (how, change) = hows[number % hows.len()];
        fs::write(&whole.path, &bytes).unwrap();
        damage(&whole, number, change);
        match mend(&whole).unwrap() {
            // A page that nothing is on.
            Outcome::Sound { .. } => {}
            Outcome::Repaired(done) => {
                let after = rows(&whole);
                assert!(after.iter().all(|(key, row)| before.get(key) == Some(row)), "page {number} {how}: invented");
                let lost = before.len() - after.len();
                lost_most = lost_most.max(lost);
                let verification = found(&whole);
                assert_eq!(errors(&verification), [] as [String; 0], "page {number} {how}: {done:#?}");
                if done.watermark_read {
                    assert_eq!(done.missing_rows, lost as u64, "page {number} {how}");
                }
                check(&whole.path).unwrap();
            }
        }
    }
    println!("{count} pages, {} rows, at most {lost_most} lost to one page", before.len());
}

#[test]
fn a_transaction_whose_fate_is_forgotten_is_fetched_again() {
    let _alone = child::alone();
    let place = Place::new();
    session(&place, 10, 160);
    let state = |state: &str| {
        place.sql().execute("UPDATE intents SET state = ?1 WHERE sequence = 13", [state]).unwrap();
    };
    state("submitted");
    take(&place, 0);
    state("validated");
    damage(&place, pages(&place, "intents", true)[0], |bytes| bytes.fill(0));
    let done = mended(&place);
    assert_eq!((done.missing_rows, done.refetch_from_ledger), (0, Some(13)));
    assert_eq!(place.open().refetch_from().unwrap(), Some(13));
}

#[test]
fn ledgers_of_which_only_the_session_tells_are_fetched_again() {
    let _alone = child::alone();
    let place = record();
    let sql = place.sql();
    let root = |table: &str| {
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        usize::try_from(sql.query_row(root, [table], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
    };
    let roots: Vec<usize> = schema::SEQUENCED.iter().chain(&["meta"]).map(|table| root(table)).collect();
    sql.close().unwrap();
    for page in roots {
        damage(&place, page, |bytes| bytes.fill(0));
    }
    let done = mended(&place);
    assert_eq!((done.watermark_read, done.missing_rows, done.refetch_from_ledger), (false, 0, Some(160)));
    assert_eq!(place.open().refetch_from().unwrap(), Some(160));
    assert_eq!(errors(&found(&place)), [] as [String; 0]);
}

#[test]
fn without_any_backup_what_can_be_read_is_the_record() {
    let _alone = child::alone();
    let place = record();
    fs::remove_dir_all(folder_of(&place.path)).unwrap();
    let before = rows(&place);
    let page = pages(&place, "orders", true)[2];
    damage(&place, page, |bytes| bytes.fill(0xA5));
    let id =
        |place: &Place| place.sql().query_row("SELECT record_id FROM meta", [], |row| row.get::<_, String>(0)).unwrap();
    let was = id(&place);
    let done = mended(&place);
    assert_eq!((done.backup, id(&place)), (None, was));
    let after = rows(&place);
    assert!(after.iter().all(|(key, row)| before[key] == *row));
    assert!(before.len() - after.len() < 40);
    assert_eq!(errors(&found(&place)), [] as [String; 0], "fills whose order is lost are the repair's");
    assert_eq!(Reader::open(&place.path).unwrap().sessions().unwrap().len(), 3);
}

#[test]
fn a_broken_backup_is_passed_over_for_an_older_one() {
    let _alone = child::alone();
    let place = record();
    take(&place, 60);
    let newest = backup::list(&place.path).unwrap().remove(0);
    let mut bytes = fs::read(&newest.path).unwrap();
    bytes[9_000] ^= 1;
    fs::write(&newest.path, bytes).unwrap();
    damage(&place, pages(&place, "fills", true)[9], |bytes| bytes.fill(0));
    let done = mended(&place);
    assert_eq!(done.backups_refused.len(), 1);
    assert_eq!(done.backups_refused[0].name, newest.name);
    assert_eq!(done.backup_contents.unwrap().sessions, 1);
}

#[test]
fn the_page_that_names_the_tables_comes_from_the_backup() {
    let _alone = child::alone();
    let place = record();
    let before = rows(&place);
    damage(&place, 1, |bytes| bytes.fill(0));
    assert!(matches!(Store::open(&place.path, &identity(), &options(), at(0)), Err(StoreError::NotADatabase { .. })));
    let done = mended(&place);
    assert_eq!(done.read_as, ReadAs::WithContentsOfBackup);
    assert!(rows(&place) == before, "not a row is lost");
    assert_eq!((done.missing_rows, done.refetch_from_ledger), (0, None));
}

#[test]
fn the_session_that_was_killed_is_closed_and_a_lost_one_stands_by_its_records() {
    let _alone = child::alone();
    let place = record();
    // A fourth session, killed; then the page of the sessions is lost. The backup knows the first alone.
    let running = begin(&place, 610);
    running.durably(ledger(611)).unwrap();
    running.vanish();
    damage(&place, pages(&place, "sessions", true)[0], |bytes| bytes.fill(0));
    let done = mended(&place);
    assert_eq!(done.sessions_from_records, [2, 3, 4]);
    let sessions = Reader::open(&place.path).unwrap().sessions().unwrap();
    assert_eq!(sessions.len(), 4);
    for session in &sessions[1..] {
        assert_eq!(
            (session.end_reason, session.ended_at_source),
            (Some(EndReason::Crash), Some(EndedAtSource::Recovered))
        );
        assert!(session.config.contains("lost") && session.version == "not known");
    }
    assert_eq!(sessions[1].starting_ledger_index, Some(160), "its opening snapshot says so");
    assert_eq!(done.closed.len(), 3);
    assert_eq!(errors(&found(&place)), [] as [String; 0]);
}

#[test]
fn a_strangers_log_is_set_aside_with_the_record_and_not_replayed() {
    let _alone = child::alone();
    let place = record();
    let before = rows(&place);
    let other = Place::new();
    let running = other.start();
    running.durably((11..40).flat_map(ledger).collect()).unwrap();
    let stranger = fs::read(other.wal()).unwrap();
    running.vanish();
    fs::write(place.wal(), &stranger).unwrap();
    let done = mended(&place);
    assert_eq!(fs::read(done.set_aside.unwrap().join("neo-sim.db-wal")).unwrap(), stranger);
    assert!(rows(&place) == before);
}

#[test]
fn rows_in_the_log_of_a_damaged_record_are_taken_over() {
    let _alone = child::alone();
    let place = record();
    let running = begin(&place, 610);
    for n in 611..=640 {
        running.durably(ledger(n)).unwrap();
    }
    let killed = child::as_killed(&place);
    fs::create_dir(folder_of(&killed.path)).unwrap();
    for entry in fs::read_dir(folder_of(&place.path)).unwrap() {
        let from = entry.unwrap();
        fs::copy(from.path(), folder_of(&killed.path).join(from.file_name())).unwrap();
    }
    // The writer lives on: rows are read of the copy after its repair.
    damage(&killed, pages(&place, "order_events", true)[5], |bytes| bytes.fill(0));
    let done = mended(&killed);
    assert_eq!(done.read_as, ReadAs::WithWal);
    let (before, after) = (rows(&place), rows(&killed));
    assert!(after.iter().all(|(key, row)| before[key] == *row));
    assert!(before.keys().filter(|key| !after.contains_key(*key)).all(|(table, _)| table == "order_events"));
    assert_eq!(done.closed.len(), 1);
    running.vanish();
}

#[test]
fn a_row_whose_content_cannot_be_true_is_refused_and_the_backup_has_the_last_word() {
    let _alone = child::alone();
    let place = record();
    let sql = place.sql();
    // A flipped bit in an amount that the backup has; a text that is no amount, and a word that nobody knows, after it.
    sql.execute("UPDATE fills SET xrp_drops = 1001 WHERE ledger_index = 20", []).unwrap();
    sql.execute("UPDATE fills SET rlusd = '0.00\"4' WHERE ledger_index = 400", []).unwrap();
    sql.execute("UPDATE orders SET state = 'filmed' WHERE ledger_index = 401", []).unwrap();
    // A fee that the tables refuse, a number that is an order's, and a session that never was.
    sql.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    sql.execute("UPDATE intents SET fee_drops = -1 WHERE sequence = 402", []).unwrap();
    let number = "(SELECT seq FROM orders WHERE offer_sequence = 403)";
    sql.execute(&format!("UPDATE order_events SET seq = {number} WHERE offer_sequence = 403"), []).unwrap();
    sql.execute("UPDATE flows SET session = 99 WHERE ledger_index = 404", []).unwrap();
    drop(sql);
    damage(&place, pages(&place, "checkpoints", true)[0], |bytes| bytes.fill(0));
    let done = mended(&place);
    assert_eq!((account(&done, "fills").conflicting, account(&done, "fills").refused), (1, 1));
    for table in ["orders", "intents", "order_events", "flows"] {
        assert_eq!(account(&done, table).refused, 1, "{table}");
    }
    assert_eq!(errors(&found(&place)), [] as [String; 0]);
    let drops = "SELECT xrp_drops FROM fills WHERE ledger_index = 20";
    assert_eq!(place.sql().query_row(drops, [], |row| row.get::<_, i64>(0)).unwrap(), 1_000);
}

/// A change to a row that the backup has: its table, the change, and whether it can be a later state of the row.
const CHANGES: [(&str, &str, bool); 9] = [
    ("orders", "state = 'resting', remaining_drops = 5 WHERE offer_sequence = 30", false),
    ("orders", "state = 'resting', remaining_drops = 26000000 WHERE offer_sequence = 161", false),
    ("orders", "price = '2.5' WHERE offer_sequence = 161", false),
    ("intents", "state = 'submitted' WHERE sequence = 30", false),
    ("intents", "engine_result = 'tecKILLED', updated_at = '2020-01-01T00:00:00.000Z' WHERE sequence = 30", false),
    ("intents", "engine_result = 'tecKILLED', updated_at = '2030-01-01T00:00:00.000Z' WHERE sequence = 30", true),
    ("sessions", "last_seen_at = '2020-01-01T00:00:00.000Z' WHERE number = 1", false),
    ("sessions", "last_seen_at = '2030-01-01T00:00:00.000Z' WHERE number = 1", true),
    (
        "sessions",
        "ended_at = NULL, ended_at_source = NULL, ending_value_reason = NULL, end_reason = NULL WHERE number = 1",
        false,
    ),
];

#[test]
fn of_a_row_that_both_have_only_a_later_state_is_taken() {
    let _alone = child::alone();
    let sound = record();
    let damaged = |place: &Place| damage(place, pages(&sound, "checkpoints", true)[0], |bytes| bytes.fill(0));
    let place = twin(&sound);
    damaged(&place);
    let whole = mended(&place);
    let session = |place: &Place| Reader::open(&place.path).unwrap().session(Some(1)).unwrap();
    let ended = session(&sound);
    let expected = rows(&place);
    for (table, change, later) in CHANGES {
        let place = twin(&sound);
        let sql = place.sql();
        assert_eq!(sql.execute(&format!("UPDATE {table} SET {change}"), []).unwrap(), 1, "{change}");
        sql.close().unwrap();
        let changed = rows(&place);
        damaged(&place);
        let done = mended(&place);
        let (before, after) = (account(&whole, table), account(&done, table));
        let offer_161 = u64::from(change.ends_with("161"));
        let updated = before.updated + u64::from(later) - offer_161;
        assert_eq!((after.updated, after.conflicting), (updated, u64::from(!later)), "{change}");
        let there = rows(&place);
        let differ: Vec<_> = there.keys().filter(|key| there[*key] != expected[*key]).collect();
        assert_eq!((there.len(), differ.len()), (expected.len(), usize::from(later && table == "intents")), "{change}");
        assert!(differ.iter().all(|key| there[*key] == changed[*key]), "{change}");
        let seen = session(&place);
        assert_eq!((seen.ended_at, seen.end_reason), (ended.ended_at, ended.end_reason), "{change}");
        assert_eq!(seen.last_seen_at != ended.last_seen_at, later && table == "sessions", "{change}");
    }
}

#[test]
fn what_was_never_a_record_is_left_where_it_is() {
    let _alone = child::alone();
    let place = Place::new();
    fs::create_dir_all(place.path.parent().unwrap()).unwrap();
    let text = "these are notes, and they are longer than a header of SQLite, which has a hundred bytes ".repeat(20);
    fs::write(&place.path, &text).unwrap();
    let error = mend(&place).unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::NotADatabase { .. })), "{error}");
    assert_eq!(fs::read_to_string(&place.path).unwrap(), text);
    let place = record();
    damage(&place, pages(&place, "fills", true)[3], |bytes| bytes.fill(0));
    let other = Identity { account: "rOther".into(), ..identity() };
    let error = repair(&place.path, &Whose::Only(other.clone()), at(0), &mut |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::OtherIdentity { .. })), "{error}");
    let done = repair(&place.path, &Whose::AsFound(other), at(0), &mut |_| {}).unwrap();
    let Outcome::Repaired(done) = done else { panic!("{done:?}") };
    assert_eq!(done.contents.account, identity().account);
}

#[test]
fn a_second_repair_knows_the_holes_of_the_first() {
    let _alone = child::alone();
    let place = record();
    damage(&place, pages(&place, "fills", true)[8], |bytes| bytes.fill(0));
    let first = mended(&place);
    let flows = pages(&place, "flows", true);
    damage(&place, flows[flows.len() - 2], |bytes| bytes.fill(0));
    let second = mended(&place);
    assert_eq!((first.repair, second.repair), (1, 2));
    let known: BTreeSet<i64> = first.gaps.iter().flat_map(|gap| gap.first_seq..=gap.last_seq).collect();
    assert!(second.gaps.iter().all(|gap| !known.contains(&gap.first_seq)));
    assert_eq!(errors(&found(&place)), [] as [String; 0]);
}

/// The record that is repaired in a child, damaged.
fn broken() -> Place {
    let place = record();
    let leaves = pages(&place, "fills", true);
    damage(&place, leaves[leaves.len() - 3], |bytes| bytes.fill(0));
    place
}

/// The same file and backups elsewhere. Two records that are made alike are not the same: when the writer checkpoints by
/// itself is a matter of time.
fn twin(place: &Place) -> Place {
    let copy = Place::new();
    fs::create_dir_all(folder_of(&copy.path)).unwrap();
    fs::copy(&place.path, &copy.path).unwrap();
    for entry in fs::read_dir(folder_of(&place.path)).unwrap() {
        let from = entry.unwrap();
        fs::copy(from.path(), folder_of(&copy.path).join(from.file_name())).unwrap();
    }
    copy
}

#[test]
#[ignore = "the child of a_repair_that_is_killed_leaves_the_old_record_or_the_new_one"]
fn child_repair() {
    let mut left = child::step();
    let ended = repair(&child::path(), &Whose::Only(identity()), at(5_000), &mut |_| {
        if left == 0 {
            child::inside();
        }
        left -= 1;
    });
    panic!("it ended: {ended:?}");
}

#[test]
fn a_repair_that_is_killed_leaves_the_old_record_or_the_new_one() {
    let _alone = child::alone();
    let mut steps = Vec::new();
    let damaged = broken();
    let before = fs::read(&damaged.path).unwrap();
    let whole = twin(&damaged);
    repair(&whole.path, &Whose::Only(identity()), at(5_000), &mut |progress| steps.push(progress.step)).unwrap();
    let expected = rows(&whole);
    for (index, step) in steps.into_iter().enumerate() {
        let place = twin(&damaged);
        Child::run("child_repair", &place.path, index).killed();
        let opened = Store::open(&place.path, &identity(), &options(), at(0)).unwrap_err();
        if matches!(step, Step::Exchanging(step) if step != neo_store::restore::Step::Verified) {
            assert!(matches!(opened, StoreError::RestoreUnfinished { .. }), "{step:?}: {opened}");
            assert!(opened.to_string().contains("neo recover --repair"), "{opened}");
        } else {
            assert!(matches!(opened, StoreError::Damaged { .. }), "{step:?}: {opened}");
            assert!(fs::read(&place.path).unwrap() == before, "{step:?}: nothing has changed");
        }
        match mend(&place).unwrap() {
            Outcome::Repaired(_) => {}
            Outcome::Sound { settled } => assert!(settled.is_some(), "{step:?}"),
        }
        assert!(rows(&place) == expected, "{step:?}");
        for suffix in [".restoring", ".restoring-journal", ".restore", ".restore.new", ".comparing", "-wal"] {
            assert!(!exists(&place.beside(suffix)), "{step:?}: {suffix} was left");
        }
        drop(place.open());
    }
}
