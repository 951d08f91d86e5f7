//! What an account is valued at, and what the record says of it.

use neo_market::reference::{Outside, PriceSource, reference};
use neo_market::{BookLevel, MarketView, OutsideReading, ReferenceConfig};

use super::*;
use crate::messages::{AccountState, LedgerHeader};

pub(super) fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn market(index: u32, bid: &str, ask: Option<&str>) -> MarketView {
    let level = |price: &str, size: i64| BookLevel { price: d(price), size: Drops::new(size) };
    let asks = ask.into_iter().map(|price| level(price, 1_000_000)).collect();
    MarketView { ledger_index: index, bids: vec![level(bid, 3_000_000)], asks, ..MarketView::default() }
}

pub(super) fn update(view: MarketView, outside: &Outside, config: &ReferenceConfig) -> LedgerUpdate {
    let index = view.ledger_index;
    LedgerUpdate {
        ledger: LedgerHeader {
            index,
            hash: neo_ledger::types::Hash([7; 32]),
            close_time: LedgerTime(800_000_000 + index * 4),
            base_fee: Drops::new(10),
            reserve_base: Drops::new(1_000_000),
            reserve_inc: Drops::new(200_000),
        },
        reference: reference(&view, outside, config),
        view,
        account: AccountState { xrp: Drops::new(10_000_000), rlusd: d("100"), sequence: 1, owner_count: 0 },
        transactions: Vec::new(),
        offers: None,
        owned: None,
        terms: neo_ledger::TokenTerms::default(),
        history_lost: None,
    }
}

fn snapshot(core: &mut ValuerCore, update: &LedgerUpdate) -> ValuationSnapshot {
    let found = core.on(update, DateTime::UNIX_EPOCH).unwrap().into_iter().find_map(|record| match record {
        Record::Valuation(snapshot) => Some(snapshot),
        _ => None,
    });
    found.unwrap()
}

fn weights(snapshot: &ValuationSnapshot) -> Vec<(Source, String, String)> {
    let readings = snapshot.mark_sources.iter().flatten();
    readings.map(|reading| (reading.source, reading.price.to_string(), reading.weight.to_string())).collect()
}

#[test]
fn the_middle_of_the_book_marks_unless_told_otherwise_even_when_nothing_may_be_quoted() {
    let config = ReferenceConfig::default();
    let mut core = ValuerCore::new();
    let outside = Outside { reading: Some(OutsideReading { price: d("2.41"), age_s: 1 }), problem: None };
    let first = snapshot(&mut core, &update(market(7, "2.39", Some("2.41")), &outside, &config));
    assert_eq!((first.mark_price, first.mark_source.as_str()), (Some(d("2.4")), "book_mid"));
    let expected = [(Source::BookMid, "2.4", "1"), (Source::Outside, "2.41", "0")];
    assert_eq!(weights(&first), expected.map(|(source, price, weight)| (source, price.into(), weight.into())));
    // The outside price is too far away to quote.
    let second = snapshot(&mut core, &update(market(8, "2.49", Some("2.51")), &outside, &config));
    assert_eq!((second.mark_price, second.mark_age_ledgers), (Some(d("2.5")), 0));
    assert_eq!(weights(&second), [(Source::BookMid, "2.5".into(), "1".into())]);
    let third = snapshot(&mut core, &update(market(10, "2.3", None), &outside, &config));
    assert_eq!((third.mark_price, third.mark_age_ledgers), (Some(d("2.5")), 2), "the last one, with its age");
    assert_eq!(third.mark_sources, second.mark_sources);
}

#[test]
fn another_source_marks_where_it_is_the_reference_and_ages_where_there_is_none() {
    let config = ReferenceConfig { source: PriceSource::Microprice, ..ReferenceConfig::default() };
    let mut core = ValuerCore::new();
    let none = Outside::default();
    let first = snapshot(&mut core, &update(market(7, "2.39", Some("2.41")), &none, &config));
    assert_eq!((first.mark_price, first.mark_source.as_str()), (Some(d("2.405")), "microprice"));
    assert_eq!(first.total_value_rlusd, Some(d("124.05")));
    let crossed = snapshot(&mut core, &update(market(8, "2.6", Some("2.5")), &none, &config));
    assert_eq!((crossed.mark_price, crossed.mark_age_ledgers), (Some(d("2.405")), 1));
    // One that takes its place goes on with the same mark.
    let state = ValuerState {
        snapshot: crossed.clone(),
        close_time: LedgerTime(1),
        starting_value: None,
        offers: Vec::new(),
        fills: Vec::new(),
        mark_outs: Vec::new(),
    };
    let mut core = ValuerCore::resume(state);
    let later = snapshot(&mut core, &update(market(9, "2.6", Some("2.5")), &none, &config));
    assert_eq!((later.mark_source.as_str(), later.mark_age_ledgers), ("microprice", 2));
    assert_eq!(later.mark_sources, first.mark_sources);
}

#[test]
fn without_any_price_there_is_neither_a_value_nor_a_source() {
    let mut core = ValuerCore::new();
    let config = ReferenceConfig::default();
    let empty = snapshot(&mut core, &update(market(7, "2.39", None), &Outside::default(), &config));
    assert_eq!((empty.mark_price, empty.total_value_rlusd, empty.mark_sources), (None, None, None));
    assert!(empty.mark_source.starts_with("no price"));
}
