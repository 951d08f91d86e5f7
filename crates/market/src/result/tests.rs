use super::mark_out::{MarkOutPoint, MarkOutStats};
use super::*;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn point(side: Side, price: &str, mid: Option<&str>, xrp: i64) -> FillPoint {
    FillPoint { side, price: d(price), mid: mid.map(d), size: Drops::new(xrp * 1_000_000) }
}

#[test]
fn the_sign_is_ours() {
    assert_eq!(bps_from_mid(Side::Bid, d("1.998"), d("2")).unwrap(), d("10"));
    assert_eq!(bps_from_mid(Side::Ask, d("2.002"), d("2")).unwrap(), d("10"));
    assert_eq!(bps_from_mid(Side::Ask, d("1.998"), d("2")).unwrap(), d("-10"));
    assert_eq!(bps_from_mid(Side::Bid, d("1"), Dec::zero()), Err(AmountError::DivisionByZero));
}

#[test]
fn half_spreads_are_weighted_by_volume_and_take_one_side() {
    let captured = [
        point(Side::Bid, "1.998", Some("2"), 100),
        point(Side::Bid, "2", Some("2"), 200),
        point(Side::Bid, "1.5", None, 50),
        point(Side::Ask, "2.2", Some("2"), 1_000),
    ];
    let quoted = [point(Side::Bid, "1.997", Some("2"), 100), point(Side::Bid, "1.998", Some("2"), 200)];
    let stats = SpreadStats::new(Side::Bid, quoted, captured).unwrap();
    assert_eq!((stats.fills, stats.volume), (3, Drops::new(350_000_000)));
    // (15 * 100 + 10 * 200) / 300 and (10 * 100 + 0 * 200) / 300, to two places.
    assert_eq!(stats.quoted_half_spread_bps, Some(d("11.67")));
    assert_eq!(stats.captured_half_spread_bps, Some(d("3.33")));
}

#[test]
fn without_a_middle_the_half_spread_is_unknown_not_zero() {
    let stats = SpreadStats::new(Side::Ask, [], [point(Side::Ask, "2", None, 1)]).unwrap();
    assert_eq!((stats.fills, stats.captured_half_spread_bps, stats.quoted_half_spread_bps), (1, None, None));
}

#[test]
fn mark_outs_are_gains_by_side_and_what_is_unknown_is_counted_apart() {
    let fill = |side, price: &str, mid: Option<&str>, xrp: i64| MarkOutPoint {
        side,
        xrp: Drops::new(xrp * 1_000_000),
        rlusd: d(price).mul_exact(Dec::from_i64(xrp)).unwrap(),
        price: d(price),
        mid: mid.map(d),
    };
    let points = [
        fill(Side::Bid, "1.998", Some("2"), 100),
        fill(Side::Bid, "2.002", Some("2"), 300),
        fill(Side::Bid, "1.5", None, 7),
        fill(Side::Ask, "2.002", Some("2"), 50),
    ];
    let bids = MarkOutStats::of(5, Side::Bid, &points).unwrap();
    assert_eq!((bids.ledgers, bids.fills, bids.unknown, bids.volume), (5, 2, 1, Drops::new(400_000_000)));
    // (10 - 10) / 2; (10 * 100 - 10 * 300) / 400; 100 * 0.002 - 300 * 0.002.
    assert_eq!((bids.mean_bps, bids.weighted_bps, bids.gain_rlusd), (Some(d("0")), Some(d("-5")), Some(d("-0.4"))));
    let asks = MarkOutStats::of(5, Side::Ask, &points).unwrap();
    assert_eq!((asks.mean_bps, asks.gain_rlusd), (Some(d("10")), Some(d("0.1"))));
    let none = MarkOutStats::of(1, Side::Ask, &points[..1]).unwrap();
    assert_eq!((none.fills, none.mean_bps, none.weighted_bps, none.gain_rlusd), (0, None, None, None));
}
