use chrono::{DateTime, TimeDelta, Utc};
use neo_market::model::calibration::Outcome;
use neo_market::{Dec, Drops, Side};
use neo_store::old::ImportedFill;
use neo_store::record::{Fill, Order, OrderEvent, OrderState, Role, SnapshotKind, ValuationSnapshot};
use serde_json::json;

use super::observe::{Observed, SessionRows, observe, observe_imported};
use super::study::{Input, Session, Study};
use super::terms::Terms;
use super::{chosen, picture, text};
use crate::cli::MeasureFrom;
use crate::report::tests::session;

fn at(ledger: u32) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(4 * i64::from(ledger))
}

fn dec(text: &str) -> Dec {
    text.parse().unwrap()
}

/// The mid is 2 in each ledger.
fn snapshot(ledger_index: u32) -> ValuationSnapshot {
    ValuationSnapshot {
        kind: SnapshotKind::Ledger,
        ledger_index,
        close_time: at(ledger_index),
        total_value_rlusd: None,
        xrp: Drops::ZERO,
        reserve: Drops::ZERO,
        rlusd: Dec::zero(),
        mark_price: None,
        mark_source: "book_mid".to_string(),
        mark_age_ledgers: 0,
        mark_sources: None,
        best_bid: Some(dec("1.999")),
        best_ask: Some(dec("2.001")),
        our_bid: None,
        our_ask: None,
        recorded_at: at(ledger_index),
    }
}

fn order(offer_sequence: u32, side: Side, price: &str) -> Order {
    Order {
        offer_sequence,
        tx_hash: offer_sequence.to_string(),
        side,
        level: 0,
        price: dec(price),
        size: Drops::new(100_000_000),
        rlusd: dec("200"),
        mid_price: Some(dec("2")),
        replaces: None,
        expiration: None,
        ledger_index: 1,
        close_time: at(1),
        recorded_at: at(1),
    }
}

fn event(offer_sequence: u32, state: OrderState, ledger_index: u32) -> OrderEvent {
    OrderEvent {
        offer_sequence,
        state,
        remaining: Drops::ZERO,
        tx_hash: None,
        detail: None,
        ledger_index,
        close_time: at(ledger_index),
        recorded_at: at(ledger_index),
    }
}

fn fill(offer_sequence: u32, side: Side, price: &str, ledger_index: u32) -> Fill {
    Fill {
        tx_hash: format!("F{offer_sequence}"),
        offer_sequence,
        role: Role::Maker,
        side,
        xrp: Drops::new(100_000_000),
        rlusd: dec("200"),
        price: dec(price),
        mid_price: Some(dec("2")),
        ledger_index,
        transaction_index: 0,
        close_time: at(ledger_index),
        recorded_at: at(ledger_index),
    }
}

/// A bid 10 bps away that rests from ledger 2 and is filled in 5, an ask 20 bps away that is cancelled in 8.
fn rows() -> SessionRows {
    SessionRows {
        orders: vec![order(1, Side::Bid, "1.998"), order(2, Side::Ask, "2.004")],
        events: vec![
            event(1, OrderState::Resting, 2),
            event(2, OrderState::Resting, 2),
            event(1, OrderState::Filled, 5),
            event(2, OrderState::Cancelled, 8),
        ],
        fills: vec![fill(1, Side::Bid, "1.998", 5)],
        valuations: (1..=12).map(snapshot).collect(),
    }
}

#[test]
fn an_offer_counts_in_each_ledger_it_rested_in_and_no_other() {
    let observed = observe(&rows(), MeasureFrom::Mid);
    let of = |side| observed.exposures.iter().filter(move |(of, _)| *of == side).map(|(_, each)| each);
    let bids: Vec<_> = of(Side::Bid).map(|each| each.outcome).collect();
    // From ledger 2 to 3, 4 and 5.
    assert_eq!(bids, [false, false, true].map(Outcome::Interval));
    assert!(of(Side::Bid).all(|each| (each.distance_bps - 10.0).abs() < 1e-9 && (each.time_s - 4.0).abs() < 1e-9));
    // From 2 to 3, ..., 7 to 8.
    assert_eq!(of(Side::Ask).count(), 6);
    assert!(of(Side::Ask).all(|each| each.outcome == Outcome::Interval(false)));
    assert_eq!((observed.ledgers, observed.fills), (11, 1));
}

#[test]
fn a_hole_in_the_snapshots_is_no_quiet_time() {
    let mut rows = rows();
    rows.valuations.retain(|snapshot| snapshot.ledger_index != 4);
    rows.valuations.iter_mut().skip(3).for_each(|snapshot| snapshot.close_time += TimeDelta::minutes(5));
    let observed = observe(&rows, MeasureFrom::Mid);
    assert_eq!(observed.exposures.iter().filter(|(side, _)| *side == Side::Bid).count(), 1);
}

#[test]
fn where_the_mid_went_after_a_fill_is_its_mark_out() {
    let mut rows = rows();
    // From ledger 10 on the mid is 10 bps lower: all that the bid had gained.
    for snapshot in rows.valuations.iter_mut().filter(|snapshot| snapshot.ledger_index >= 10) {
        (snapshot.best_bid, snapshot.best_ask) = (Some(dec("1.997")), Some(dec("1.999")));
    }
    let [one, five, thirty] = observe(&rows, MeasureFrom::Mid).mark_outs;
    assert!((one[0].1.gain_bps - 10.0).abs() < 1e-9 && (one[0].1.distance_bps - 10.0).abs() < 1e-9);
    assert!(five[0].1.gain_bps.abs() < 1e-9);
    assert!(thirty.is_empty(), "ledger 35 was not seen");
}

#[test]
fn a_predecessors_session_tells_as_much_as_its_row_does() {
    let fill = |side| ImportedFill { at: None, side, price: None, xrp: None };
    let fills = [fill(Some(Side::Bid)), fill(Some(Side::Bid)), fill(Some(Side::Ask))];
    let told = observe_imported(&fills, &json!({ "bid_offset_bps": 12, "ask_offset_bps": "15.5" }), Some(3_600.0));
    assert_eq!(told.exposures.len(), 2);
    assert_eq!(told.exposures[0].1.outcome, Outcome::Count(2));
    assert!((told.exposures[1].1.distance_bps - 15.5).abs() < 1e-9);
    let nested = observe_imported(&fills, &json!({ "config": "{\"quote\": {\"offset_bps\": 9}}" }), Some(3_600.0));
    assert_eq!(nested.exposures.len(), 2);
    let silent = observe_imported(&fills, &json!({ "id": 1 }), Some(3_600.0));
    assert!(silent.exposures.is_empty() && silent.notes.len() == 2 && silent.fills == 3, "{silent:?}");
    let endless = observe_imported(&fills, &json!({ "offset_bps": 9 }), None);
    assert!(endless.exposures.is_empty() && endless.notes[0].contains("neo backfill"));
}

/// A session of `hours` with as many fills at 5 and at 15 bps.
fn told(number: i64, hours: f64, near: u32, far: u32) -> Session {
    let fills =
        |count: u32| (0..count).map(|_| ImportedFill { at: None, side: Some(Side::Bid), price: None, xrp: None });
    let one = |offset, count| {
        let fills: Vec<_> = fills(count).collect();
        observe_imported(&fills, &json!({ "offset_bps": offset }), Some(hours * 3_600.0))
    };
    let (mut observed, other) = (one(5, near), one(15, far));
    observed.exposures.extend(other.exposures);
    observed.fills += other.fills;
    Session { number, imported: true, observed }
}

const CONFIG: &str =
    "[quote]\nsize_xrp = \"100\"\nbid_offset_bps = \"10\"\nask_offset_bps = \"11\"\nprice_places = 4\n";

fn input(sessions: Vec<Session>) -> Input {
    Input { sessions, recording: None, measured_from: "the middle of the book".to_string(), terms: Terms::default() }
}

#[test]
fn a_session_is_held_against_the_law_of_the_others() {
    let sessions = vec![told(1, 10.0, 400, 100), told(2, 10.0, 390, 110), told(3, 1.0, 0, 0)];
    let study = Study::new(&input(sessions));
    let quiet = &study.sessions[2];
    assert!(!quiet.filled && quiet.law_of_others == Some(true), "{quiet:?}");
    // A side has 39.5 and 10.5 fills an hour, of which the asks saw none: half of both expected.
    assert!(quiet.expected_fills.unwrap() > dec("45") && quiet.expected_fills.unwrap() < dec("55"), "{quiet:?}");
    assert!(quiet.chance_of_so_few.unwrap() < dec("0.000001"));
    assert!(!study.data_suffice, "no mark-outs");
    let shown = text::lines(&study).join("\n");
    for wanted in ["S3  NO", "under 0.01 %", "A exp(-k d)", "the data do not suffice, both: the mid afterwards"] {
        assert!(shown.contains(wanted), "{wanted}:\n{shown}");
    }
}

#[test]
fn with_enough_it_recommends_an_offset_and_draws_it() {
    let mut session = told(1, 10.0, 400, 100);
    let mark_out = |gain_bps| neo_market::model::calibration::MarkOut { distance_bps: 10.0, gain_bps };
    session.observed.mark_outs[1] = (0..40).map(|at| (Side::Bid, mark_out(f64::from(at % 3) + 6.0))).collect();
    session.imported = false;
    session.observed.ledgers = 9_000;
    let mut terms = Terms { mark: Some(dec("2")), ..Terms::default() };
    terms.of_config(CONFIG, "of the latest session");
    let study = Study::new(&Input { terms, ..input(vec![session]) });
    assert!(study.data_suffice);
    let offset = study.sides[0].recommended_offset_bps.as_ref().unwrap();
    // 1/k = 10 / ln 4 = 7.21, and a fill costs about 3.
    assert!(offset.value.unwrap() > dec("10") && offset.value.unwrap() < dec("10.5"), "{offset:?}");
    assert!(study.sides[0].profits.iter().all(|point| point.profit_rlusd_per_hour.is_some()));
    let svg = picture::svg(&study);
    assert!(
        svg.starts_with("<svg ")
            && svg.ends_with("</svg>\n")
            && svg.contains("both: recommended 10.2 bps")
            && !svg.contains("NaN")
    );
    assert_eq!((svg.matches("<polyline").count(), svg.matches("<polygon").count()), (2, 2));
    assert!(svg.contains("bid: current 10 bps") && svg.contains("ask: current 11 bps"));
    assert!(text::lines(&study).iter().any(|line| line.starts_with("current offsets: bid 10 bps, ask 11 bps")));
}

#[test]
fn nothing_is_answered_plainly_too() {
    let empty = Study::new(&input(Vec::new()));
    assert!(text::lines(&empty)[0].contains("no session yet"));
    let quiet = Session { number: 4, imported: false, observed: Observed::default() };
    let study = Study::new(&input(vec![quiet]));
    assert!(study.sides.iter().all(|side| side.data_do_not_suffice.len() == 2));
    let json = serde_json::to_value(&study).unwrap();
    assert_eq!((&json["data_suffice"], &json["sessions"][0]["filled"]), (&json!(false), &json!(false)));
    assert!(picture::svg(&study).contains("do not suffice"));
}

#[test]
fn sessions_are_named_as_ranges() {
    let all: Vec<_> = [30, 31, 33].map(|number| neo_store::SessionRow { number, ..session() }).to_vec();
    let numbers = |asked| chosen(&all, asked).map(|rows| rows.iter().map(|row| row.number).collect::<Vec<_>>());
    assert_eq!(numbers(None).unwrap(), [30, 31, 33]);
    assert_eq!(numbers(Some("S30..S31")).unwrap(), [30, 31]);
    assert_eq!(numbers(Some("latest")).unwrap(), [33]);
    assert_eq!(numbers(Some("s33,30")).unwrap(), [30, 33]);
    for wrong in ["S38..S30", "x", "", "S0", "S99", "S1..", "-3"] {
        assert!(numbers(Some(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn distances_are_those_from_the_price_that_quotes_stood_around_while_it_was_fresh() {
    let mut rows = rows();
    for snapshot in &mut rows.valuations {
        snapshot.mark_price = Some(dec("1.9995"));
        snapshot.mark_age_ledgers = u32::from(snapshot.ledger_index == 4);
    }
    let seen = observe(&rows, MeasureFrom::Reference);
    let bids: Vec<_> = seen.exposures.iter().filter(|(side, _)| *side == Side::Bid).collect();
    // From 2 to 3 and, ledger 4 being worth nothing, from 3 to 5.
    assert_eq!(bids.len(), 2);
    assert!(bids.iter().all(|(_, each)| (each.distance_bps - 15.0 / 1.9995).abs() < 0.01), "{bids:?}");
    let [one, ..] = seen.mark_outs;
    assert!((one[0].1.distance_bps - 15.0 / 1.9995).abs() < 0.01, "not the middle that the fill itself names");
}

#[test]
fn the_part_of_an_offer_that_a_fill_took_is_told() {
    let mut rows = rows();
    let part = |tx: &str, ledger, xrp| Fill {
        tx_hash: tx.to_string(),
        xrp: Drops::new(xrp),
        ..fill(2, Side::Ask, "2.004", ledger)
    };
    // Two takers in one ledger are one fill of the offer.
    rows.fills.extend([part("a", 4, 10_000_000), part("b", 4, 20_000_000), part("c", 6, 50_000_000)]);
    let mut shares = observe(&rows, MeasureFrom::Mid).shares;
    shares.sort_by(|one, other| one.1.total_cmp(&other.1));
    assert_eq!(shares, [(Side::Ask, 0.3), (Side::Ask, 0.5), (Side::Bid, 1.0)]);
}

/// A session of one side that was quoted at two distances, each hour and fill by the law, with parts and mark-outs.
fn busy(side: Side, near: u32, far: u32, moved: f64) -> Session {
    let mut session = told(1, 10.0, near, far);
    session.imported = false;
    session.observed.exposures.retain(|(of, _)| *of == Side::Bid);
    session.observed.exposures.iter_mut().for_each(|(of, _)| *of = side);
    let gain = |at: u32| 10.0 - moved - f64::from(at % 3) + 1.0;
    let mark_out = |at| neo_market::model::calibration::MarkOut { distance_bps: 10.0, gain_bps: gain(at) };
    session.observed.mark_outs[1] = (0..60).map(|at| (side, mark_out(at))).collect();
    session.observed.shares = (0..60).map(|at| (side, if at % 2 == 0 { 0.3 } else { 0.7 })).collect();
    session
}

#[test]
fn each_side_has_an_offset_of_its_own_after_fees_and_parts() {
    let sessions = vec![busy(Side::Bid, 400, 100, 2.0), Session { number: 2, ..busy(Side::Ask, 400, 200, 6.0) }];
    // 50 drops for each of 1,400 transactions; 40 hours of offers and 1,100 fills.
    let mut terms = Terms { mark: Some(dec("2")), fees: Drops::new(70_000), transactions: 1_400, ..Terms::default() };
    terms.of_config(CONFIG, "of the latest session");
    let study = Study::new(&Input { terms, ..input(sessions) });
    let [_, bid, ask] = &study.sides[..] else { panic!() };
    let value = |figure: &super::study::Figure| neo_market::model::to_float(figure.value.unwrap());
    let offset = |side: &super::study::SideStudy| value(side.recommended_offset_bps.as_ref().unwrap());
    // 50 drops of 100 XRP are 0.005 bps, and half an offer pays them.
    let by_hand = |fourfold: f64, cost: f64| 10.0 / fourfold.ln() + cost + 0.005 / 0.5;
    assert!((offset(bid) - by_hand(4.0, 2.0)).abs() < 0.01, "{} {}", offset(bid), by_hand(4.0, 2.0));
    assert!((offset(ask) - by_hand(2.0, 6.0)).abs() < 0.01, "{}", offset(ask));
    assert!((value(bid.filled_share.as_ref().unwrap()) - 0.5).abs() < 1e-9);
    assert_eq!((bid.fee_bps, bid.renewals_per_hour), (Some(dec("0.005")), Some(dec("7.5"))));
    // A step of the price is half a basis point, and the engine rounds away by half of that: 9.2235 - 0.25.
    assert_eq!(bid.recommended_setting.as_deref(), Some("quote.bid_offset_bps=8.97"));
    let (bid_now, ask_now) = (bid.current.as_ref().unwrap(), ask.current.as_ref().unwrap());
    assert!(bid_now.within_the_interval && !ask_now.within_the_interval, "{bid:?} {ask:?}");
    let shown = text::lines(&study).join("\n");
    for wanted in
        ["no reason to change it", "to try it: neo run --set quote.bid_offset_bps=8.97 --set quote.ask_offset"]
    {
        assert!(shown.contains(wanted), "{wanted}:\n{shown}");
    }
    let svg = picture::svg(&study);
    assert!(svg.contains("bid: recommended 9.2 bps") && svg.contains("ask: recommended 20.4 bps"), "{svg}");
}

/// Sessions of half an hour at 10 bps, as a predecessor has left them, with so many fills in all.
fn predecessors(sessions: i64, fills: u32) -> Study {
    let one = |number: i64| {
        let count = if number == 1 { fills } else { 0 };
        let fills: Vec<_> =
            (0..count).map(|_| ImportedFill { at: None, side: Some(Side::Ask), price: None, xrp: None }).collect();
        let observed = observe_imported(&fills, &json!({ "offset_bps": 10 }), Some(1_800.0));
        Session { number, imported: true, observed }
    };
    Study::new(&input((1..=sessions).map(one).collect()))
}

#[test]
fn too_little_says_at_which_offsets_how_many_hours_more_are_needed() {
    for (sessions, fills, why, next) in [
        // No fill in 38 hours of offers: fewer than 3.69 in as much time, so at least 127 fills take 1,310 hours of a side ...
        (38, 0, "0 fills in 38.0 hours of quotes", "at least 656 hours of both sides at 10 and 32.2 bps"),
        (38, 1, "1 fills in 38.0 hours of quotes", "about 2420 hours of both sides at 10 and 32.2 bps"),
        // ... and half an hour alone says no more than that.
        (1, 0, "0 fills in 1.0 hours of quotes", "at least 17.3 hours of both sides"),
        (38, 40, "all quotes stood 10.0 bps from the mid", "about 60.5 hours of both sides at 10 and 32.2 bps"),
    ] {
        let study = predecessors(sessions, fills);
        let shown = text::lines(&study).join("\n");
        assert!(!study.data_suffice && shown.contains(why) && shown.contains(next), "{why}, {next}:\n{shown}");
        assert!(shown.contains("--set 'quote.bid_offsets_bps=[10, 32.2]'"), "{shown}");
        let json = serde_json::to_value(&study).unwrap();
        let both = &json["sides"][0];
        for key in ["law", "adverse_bps", "recommended_offset_bps", "recommended_setting", "earns"] {
            assert!(both[key].is_null(), "{key}: {both}");
        }
        assert_eq!(both["wanted"]["at_least"], json!(fills == 0));
        assert!(!both["data_do_not_suffice"].as_array().unwrap().is_empty());
        assert!(picture::svg(&study).contains("the data do not suffice"));
    }
}
