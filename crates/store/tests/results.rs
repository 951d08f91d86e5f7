//! What a session's result is made of and where the price went after each fill, over ends, crashes and thinning.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod traded;

use common::*;
use neo_market::result::moves::Unknown;
use neo_market::result::split::Split;
use neo_market::{Dec, Side};
use neo_store::record::*;
use neo_store::{ExportTable, Reader, verify};

fn marked(n: u32, ledgers: u32, mid: &str) -> Record {
    Record::MarkOut(MarkOut {
        tx_hash: hash(n),
        offer_sequence: n,
        role: Role::Maker,
        ledgers,
        ledger_index: n + ledgers,
        mid_price: Ok(dec(mid)),
    })
}

fn told(place: &Place) -> Vec<(u32, u32, Result<String, String>)> {
    let rows = Reader::open(&place.path).unwrap().mark_outs(1).unwrap();
    rows.into_iter().map(|row| (row.ledgers, row.ledger_index, row.mid_price.map(|mid| mid.to_string()))).collect()
}

const ENDED: &str = "the session ended before that ledger was valued";

#[test]
fn a_mark_out_is_taken_once_and_the_end_leaves_the_rest_unknown_with_its_reason() {
    let place = Place::new();
    let running = place.start();
    let seq = running.durably(vec![Record::Fill(fill(7, Side::Bid, 1_000_000, "2.4"))]).unwrap();
    let same = running.durably(vec![marked(7, 1, "2.41"), marked(7, 1, "9")]).unwrap();
    assert_eq!(same, seq, "a mark-out takes no number");
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    let wanted = [(1, 8, Ok("2.41".into())), (5, 12, Err(ENDED.into())), (30, 37, Err(ENDED.into()))];
    assert_eq!(told(&place), wanted);
    let reader = Reader::open(&place.path).unwrap();
    let columns = reader.export_columns(ExportTable::MarkOuts).unwrap();
    assert_eq!(columns[..3], ["id", "session", "tx_hash"]);
    assert_eq!(reader.export(ExportTable::MarkOuts, Some(1)).unwrap().page().unwrap().len(), 3);
}

#[test]
fn a_killed_sessions_mark_outs_are_ended_by_the_next_start_and_once() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Fill(fill(7, Side::Bid, 1_000_000, "2.4")), marked(7, 1, "2.41")]).unwrap();
    running.vanish();
    place.open().close().unwrap();
    let ended = told(&place);
    assert_eq!(ended[1..], [(5, 12, Err(ENDED.into())), (30, 37, Err(ENDED.into()))]);
    // What a late record says of the same fill does not undo it.
    let running = place.start();
    running.durably(vec![marked(7, 30, "2.5"), Record::Fill(fill(7, Side::Bid, 1_000_000, "2.4"))]).unwrap();
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    assert_eq!(told(&place), ended);
}

fn split(place: &Place, number: i64) -> Split {
    let moves = Reader::open(&place.path).unwrap().moves(number, number).unwrap();
    Split::of(&moves[&number].as_ref().unwrap().moves).unwrap()
}

#[test]
fn a_result_is_the_same_after_old_snapshots_are_thinned_out() {
    let place = traded::traded();
    let before = [split(&place, 1), split(&place, 2)];
    let told_before = told(&place);
    for (split, deposits) in before.iter().zip([true, false]) {
        assert_eq!(split.adds_up(), Some(true), "{split:?}");
        assert_eq!(!split.flows.unwrap().is_zero(), deposits, "{split:?}");
    }
    assert!(traded::thin(&place).rows > 0);
    assert_eq!([split(&place, 1), split(&place, 2)], before);
    assert_eq!(told(&place), told_before);
    assert_eq!(verify(&place.path).unwrap().findings.iter().filter(|f| f.severity.as_str() == "error").count(), 0);
}

#[test]
fn what_a_killed_session_missed_counts_to_it_when_the_next_one_records_it() {
    let place = Place::new();
    let running = place.start();
    let opening = snapshot(SnapshotKind::Opening, 3, 100_000_000, "500", Some("740"));
    let after = snapshot(SnapshotKind::Ledger, 5, 102_000_000, "495.3", Some("740.1"));
    running.durably(vec![Record::Valuation(opening), Record::Valuation(after)]).unwrap();
    running.durably(vec![processed(Processor::Orders, 5), processed(Processor::Valuer, 5)]).unwrap();
    running.vanish();
    let difference = |place: &Place| split(place, 1).difference;
    assert_eq!(difference(&place), Ok(dec("0.1")));
    let spread = |place: &Place| split(place, 1).spread;
    assert_eq!(spread(&place), Ok(Dec::zero()));
    let running = place.start();
    let missed = Fill { mid_price: None, ..fill(5, Side::Bid, 2_000_000, "4.7") };
    running.durably(vec![Record::Fill(missed)]).unwrap();
    assert_eq!(spread(&place), Err(Unknown::FillMid(1)));
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    assert_eq!(difference(&place), Ok(Dec::zero()));
}
