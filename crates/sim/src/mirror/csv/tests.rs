#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const TRADES: &str = "time,side,price,size\n\
    2026-04-18T10:00:00.500Z,buy,2.4,10\n\
    1776506404000,sell,2.39,5.5\n\
    2026-04-18T10:00:13Z,buy,2.41,0.000001\n";

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

#[test]
fn a_ledger_closes_every_four_seconds_and_holds_what_happened_in_them() {
    let all = ledgers(TRADES, None).unwrap();
    let closes: Vec<i64> = all.iter().map(|ledger| i64::from(ledger.close_time.0) + 946_684_800).collect();
    assert_eq!(closes, [1_776_506_404, 1_776_506_408, 1_776_506_412, 1_776_506_416]);
    assert_eq!(all.iter().map(|ledger| ledger.txs.len()).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert_eq!(all.iter().map(|ledger| ledger.index).collect::<Vec<_>>(), [1_000, 1_001, 1_002, 1_003]);
    // The first is known when it has closed; a trade counts at its price, to the drop.
    assert!(all[0].has_gap() && !all[1].has_gap() && all[0].sound_after() == [true, true]);
    let pool = all[1].txs[0].pool.unwrap();
    assert_eq!((pool.side, pool.xrp), (Side::Bid, 5_500_000));
    assert_eq!(all[3].txs[0].pool.unwrap().xrp, 1);
}

#[test]
fn without_quotes_two_offers_stand_a_basis_point_beside_the_last_trade() {
    let all = ledgers(TRADES, None).unwrap();
    let price = |at: usize, side| {
        let sizes = all[at].snapshots[&side][0].sizes;
        let xrp = Drops::new(sizes.xrp).to_xrp().unwrap();
        sizes.token.to_dec().unwrap().div(xrp, Rounding::HalfEven).unwrap()
    };
    assert_eq!((price(0, Side::Bid), price(0, Side::Ask)), (d("2.39976"), d("2.40024")));
    assert_eq!((price(1, Side::Bid), price(1, Side::Ask)), (d("2.389761"), d("2.390239")));
}

#[test]
fn what_is_quoted_is_taken_first_at_its_price_and_gone_before_a_worse_one() {
    let quotes = "time,bid,bid_size,ask,ask_size\n\
        1776506400000,2.39,100,2.40,30\n1776506409000,2.39,90,2.40,30\n1776506413000,2.38,1,2.41,8\n";
    let trades =
        "time,side,price,size\n1776506405000,buy,2.40,10\n1776506406000,buy,2.40,25\n1776506410000,buy,2.405,3\n";
    let all = ledgers(trades, Some(quotes)).unwrap();
    assert_eq!(all[0].snapshots.len(), 2);
    let txs = &all[1].txs;
    // 10 of 30, then the 20 that are left and 5 that nobody quoted.
    let touched = txs[0].touched[0];
    assert_eq!((touched.traded(), touched.after().unwrap().xrp, txs[0].pool), (10_000_000, 20_000_000, None));
    let touched = txs[1].touched[0];
    assert_eq!((touched.traded(), touched.gone, txs[1].pool.unwrap().xrp), (20_000_000, true, 5_000_000));
    // The next quote puts a new offer behind ours and only makes the bid smaller; the trade at a worse price has passed it.
    let [quote, trade] = &all[2].txs[..] else { panic!("{:?}", all[2].txs) };
    let [bid, ask] = quote.touched[..] else { panic!("{quote:?}") };
    assert_eq!((bid.traded(), bid.after().unwrap().xrp, bid.before.is_some()), (0, 90_000_000, true));
    assert_eq!((ask.before, ask.offer.key == touched.offer.key), (None, false));
    assert_eq!((trade.touched[0].traded(), trade.touched[0].gone, trade.pool.unwrap().xrp), (0, true, 3_000_000));
    assert_eq!(all[3].txs[0].touched.len(), 3, "both bids and the new ask: {:?}", all[3].txs);
}

#[test]
fn mistakes_name_the_line_and_the_column() {
    let wrong = |text: &str| ledgers(text, None).unwrap_err().to_string();
    let field = |line: &str| wrong(&format!("time,side,price,size\n1776506404000,buy,2,1\n{line}\n"));
    for (line, column) in [
        ("x,buy,2,1", "time"),
        ("1776506403999,buy,2,1", "time"),
        ("5,buy,2,1", "time"),
        ("9223372036854775807,buy,2,1", "time"),
        ("1776506404000,up,2,1", "side"),
        ("1776506404000,buy,0,1", "price"),
        ("1776506404000,buy,1e30,1", "price"),
        ("1776506404000,buy,NaN,1", "price"),
        ("1776506404000,buy,2,0.0000001", "size"),
        ("1776506404000,buy,2,-1", "size"),
        ("1776506404000,buy,2", "size"),
    ] {
        let text = field(line);
        assert!(text.starts_with(&format!("line 3, column {column}:")), "{line}: {text}");
    }
    assert!(wrong("time,side,price\n").contains("no column \"size\""));
    assert!(wrong("time,side,price,size\n\n").contains("no trade"));
    assert!(wrong("time,side,price,size\n946684800000,buy,2,1\n1776506404000,buy,2,1\n").contains("days"));
    let crossed = "time,bid,bid_size,ask,ask_size\n1776506404000,2,1,2,1\n";
    assert!(ledgers(TRADES, Some(crossed)).unwrap_err().to_string().starts_with("line 2, column ask:"));
}

#[test]
fn a_file_of_trades_is_known_by_its_first_line() {
    assert!(is_trades(b"time,side,price,size\n") && is_trades("\u{feff}size,\"price\",side,time,id\r\n1".as_bytes()));
    assert!(!is_trades(b"t_ms,price\n") && !is_trades(b"") && !is_trades(&[0x1f, 0x8b, 0, 0]));
}
