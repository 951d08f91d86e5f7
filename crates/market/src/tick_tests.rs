use proptest::prelude::*;

use super::*;
use crate::{BookLevel, Conditions, Funds, MarketView, QuoteConfig, desired, desired_under};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

/// Worked out by hand: the rate of an ask is RLUSD for a drop, of a bid drops for one RLUSD, and both go up.
#[test]
fn an_offer_keeps_what_it_asks_for_and_gives_less() {
    let xrp = Drops::new(100_000_000);
    // 2.40123456 RLUSD for an XRP go up to 2.4013: 240.123456 buy 99.997275 XRP.
    let ask = as_placed(Side::Ask, xrp, d("240.123456"), Some(5)).unwrap().unwrap();
    assert_eq!(ask, (Drops::new(99_997_275), d("240.123456")));
    // 416,452.4462... drops for an RLUSD go up to 416,460: 240.1190990731403 for 100 XRP.
    let bid = as_placed(Side::Bid, xrp, d("240.123456"), Some(5)).unwrap().unwrap();
    assert_eq!(bid, (xrp, d("240.1190990731403")));
    for free in [None, Some(0), Some(16)] {
        assert_eq!(as_placed(Side::Ask, xrp, d("240.123456"), free).unwrap(), Some((xrp, d("240.123456"))));
    }
    assert_eq!(as_placed(Side::Ask, Drops::new(1), d("0.001111"), Some(3)).unwrap().unwrap().0, Drops::new(1));
    assert_eq!(as_placed(Side::Ask, Drops::ZERO, d("1"), Some(3)).unwrap(), None);
}

#[test]
fn a_transfer_fee_lowers_bids_and_what_they_may_promise_and_leaves_asks() {
    let rules = IssuerRules { tick_size: None, transfer_rate: Some(1_002_000_000) };
    assert_eq!(rules.promisable(d("100.2")).unwrap(), d("100"));
    assert_eq!(rules.promisable(d("-3")).unwrap(), d("-3"));
    let level = |price: &str| vec![BookLevel { price: d(price), size: Drops::new(1_000_000_000) }];
    let view = MarketView { ledger_index: 1, bids: level("2.39"), asks: level("2.41"), ..MarketView::default() };
    let config = QuoteConfig { levels: 1, ..QuoteConfig::default() };
    let funds = Funds { spendable_xrp: Drops::new(1_000_000_000), rlusd: d("200") };
    let free = desired(&view, &funds, &config).unwrap();
    let taxed = desired_under(&view, &funds, &config, Conditions { rules, ..Conditions::default() }).unwrap();
    assert_eq!(taxed.quote(Side::Ask, 0), free.quote(Side::Ask, 0));
    let (bid, before) = (taxed.quote(Side::Bid, 0).unwrap(), free.quote(Side::Bid, 0).unwrap());
    assert_eq!((before.price, bid.price), (d("2.3976"), d("2.392814")));
    let cost = |quote: &Quote| quote.rlusd.mul(d("1.002"), Rounding::Up).unwrap();
    assert!(cost(bid) <= d("200") && cost(before) > d("200"), "{bid:?}");
    assert!(cost(bid).div(bid.size.to_xrp().unwrap(), Rounding::Up).unwrap() <= before.price);
}

prop_compose! {
    fn any_quote()(digits in 3_u8..=15, price in 1_000_000_i64..9_999_999_999_999_999, exponent in -17_i32..-13,
                   size in 1_000_000_i64..1_000_000_000_000, bid: bool) -> (u8, Dec, Drops, Side) {
        let price = Dec::from_parts(price, exponent).unwrap();
        (digits, price, Drops::new(size), if bid { Side::Bid } else { Side::Ask })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn what_is_signed_stays_as_it_is_and_is_never_worse((digits, price, size, side) in any_quote()) {
        let asked = Quote::new(side, 0, price, size).unwrap();
        prop_assume!(asked.rlusd >= d("0.000001"));
        let quote = Quote::on_grid(side, 0, price, size, Some(digits)).unwrap();
        prop_assert!(quote.is_some(), "nothing for {} of {:?} at {}, {} digits", size, side, price, digits);
        let quote = quote.unwrap();
        prop_assert_eq!(as_placed(side, quote.size, quote.rlusd, Some(digits)).unwrap(), Some((quote.size, quote.rlusd)));
        prop_assert!(quote.size <= size && quote.size > Drops::ZERO);
        let exact = |price: Dec, rounding| quote.size.to_xrp().unwrap().mul(price, rounding).unwrap();
        match side {
            Side::Bid => {
                prop_assert!(quote.rlusd <= exact(price, Rounding::Down) && quote.rlusd <= exact(quote.price, Rounding::Up));
                prop_assert!(quote.rlusd <= asked.rlusd);
            }
            Side::Ask => {
                prop_assert!(quote.rlusd >= exact(price, Rounding::Up) && quote.rlusd >= exact(quote.price, Rounding::Down));
            }
        }
        // No farther than two steps of the grid.
        let step = Dec::from_parts(21, -i32::from(digits)).unwrap().max(d("0.000000001"));
        let off = quote.price.sub(price).unwrap().abs();
        prop_assert!(off <= price.mul(step, Rounding::Up).unwrap(), "{} for {}", quote.price, price);
    }
}
