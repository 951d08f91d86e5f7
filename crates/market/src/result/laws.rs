//! The laws of a result, over random sessions: everything adds up to the last digit.

use proptest::prelude::*;

use super::holding::Holding;
use super::lots::{Gains, Method, gains};
use super::moves::{Change, Move, Moves, Point, Unknown};
use super::split::Split;
use crate::{Dec, Drops, Side};

/// What a random session is made of: kind, drops, and two decimals of sixteen digits, for RLUSD and for the price.
type Raw = (u8, i64, i64, i64);

fn rlusd(mantissa: i64) -> Dec {
    Dec::from_parts(mantissa, -11).unwrap()
}

fn price(mantissa: i64) -> Dec {
    Dec::from_parts(mantissa, -15).unwrap()
}

/// A session that the raw numbers tell; XRP never goes below zero. `sells_out` ends it without any XRP.
fn session(opening: Raw, raw: &[Raw], closing: i64, sells_out: bool) -> Moves {
    let opening = Point { xrp: Drops::new(opening.1), rlusd: rlusd(opening.2), mark: Some(price(opening.3)) };
    let (mut xrp, mut moves) = (opening.xrp.get(), Vec::new());
    for (kind, drops, amount, mark) in raw {
        let (mid, leaves) = (Some(price(*mark)), (*drops).min(xrp));
        let one = match kind % 8 {
            0 | 1 => Move::fill(Side::Bid, Drops::new(*drops), rlusd(*amount), mid).unwrap(),
            2 | 3 => Move::fill(Side::Ask, Drops::new(leaves), rlusd(*amount), mid).unwrap(),
            4 => Move::Fee { change: Change { xrp: Drops::new(-(drops % 5_000).min(xrp)), rlusd: Dec::zero() } },
            5 => flow(*drops, rlusd(*amount), mid, false),
            6 => flow(-leaves, rlusd(*amount).neg(), mid, false),
            _ => flow(-leaves, rlusd(*amount), mid, true),
        };
        xrp += one.change().xrp.get();
        moves.push(one);
    }
    if sells_out {
        let last = Move::fill(Side::Ask, Drops::new(xrp), rlusd(7_777), Some(price(closing))).unwrap();
        moves.push(last);
    }
    let closing = ends_at(&opening, &moves, Some(price(closing)));
    Moves { opening, closing, moves }
}

fn flow(drops: i64, rlusd: Dec, mark: Option<Dec>, unexplained: bool) -> Move {
    Move::Flow { change: Change { xrp: Drops::new(drops), rlusd }, mark, unexplained }
}

fn ends_at(opening: &Point, moves: &[Move], mark: Option<Dec>) -> Point {
    let start = Change { xrp: opening.xrp, rlusd: opening.rlusd };
    let end = moves.iter().fold(start, |sum, one| sum.plus(one.change()).unwrap());
    Point { xrp: end.xrp, rlusd: end.rlusd, mark }
}

fn sum(figures: &[super::moves::Figure]) -> Dec {
    figures.iter().fold(Dec::zero(), |sum, figure| sum.add_exact(figure.unwrap()).unwrap())
}

/// What each move would have made by the end had it been made at the price it is held against: a sum over moves, not
/// along the path.
fn inventory_by_moves(session: &Moves) -> Dec {
    let closing = session.closing.mark.unwrap();
    let gain = |drops: Drops, from: Dec| drops.to_xrp().unwrap().mul_exact(closing.sub_exact(from).unwrap()).unwrap();
    let opening = gain(session.opening.xrp, session.opening.mark.unwrap());
    session.moves.iter().fold(opening, |sum, one| match one {
        Move::Fill { change, mid: Some(at) } | Move::Flow { change, mark: Some(at), .. } => {
            sum.add_exact(gain(change.xrp, *at)).unwrap()
        }
        _ => sum,
    })
}

prop_compose! {
    fn any_raw()(kind in 0_u8..8, drops in 0_i64..90_000_000_000, amount in 0_i64..9_999_999_999_999_999,
        mark in 1_000_000_000_000_000_i64..9_999_999_999_999_999) -> Raw {
        (kind, drops, amount, mark)
    }
}

prop_compose! {
    fn any_session()(opening in any_raw(), raw in prop::collection::vec(any_raw(), 0..40),
        closing in 1_000_000_000_000_000_i64..9_999_999_999_999_999, sells_out in any::<bool>()) -> (Moves, bool) {
        (session(opening, &raw, closing, sells_out), sells_out)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_are_the_change_of_the_value_to_the_last_digit((session, _) in any_session()) {
        let split = Split::of(&session).unwrap();
        prop_assert_eq!(split.adds_up(), Some(true));
        let parts = [split.starting, split.spread, split.inventory, split.fees, split.flows, split.unexplained];
        prop_assert_eq!(sum(&parts), split.ending.unwrap());
        prop_assert_eq!(sum(&[split.spread, split.inventory]), split.trading.unwrap());
        prop_assert_eq!(split.inventory.unwrap(), inventory_by_moves(&session));
    }

    #[test]
    fn what_a_move_lost_is_left_over((session, _) in any_session(), at in any::<prop::sample::Index>()) {
        prop_assume!(!session.moves.is_empty());
        let mut short = session.clone();
        let lost = short.moves.remove(at.index(session.moves.len()));
        let left = Split::of(&short).unwrap().difference.unwrap();
        let worth = lost.change().at(session.closing.mark.unwrap()).unwrap();
        prop_assert_eq!(short.left_over().unwrap(), lost.change());
        prop_assert_eq!(session.left_over().unwrap(), Change::default());
        prop_assert_eq!(left, worth, "what is not recorded is worth what it is at the last ledger");
    }

    #[test]
    fn by_either_method_the_gains_are_what_trading_made((session, sells_out) in any_session()) {
        let trading = Split::of(&session).unwrap().trading.unwrap();
        for method in [Method::Fifo, Method::AverageCost] {
            let gains: Gains = gains(&session, method).unwrap();
            prop_assert_eq!(sum(&[gains.realised, gains.unrealised]), trading, "{:?}", method);
            let worth = session.closing.xrp.to_xrp().unwrap().mul_exact(session.closing.mark.unwrap()).unwrap();
            prop_assert_eq!(sum(&[gains.unrealised, gains.cost]), worth, "{:?}", method);
            if sells_out {
                prop_assert_eq!((gains.realised, gains.unrealised), (Ok(trading), Ok(Dec::zero())));
            }
        }
    }

    #[test]
    fn holding_and_what_trading_made_of_it_are_the_value((session, _) in any_session()) {
        let holding = Holding::of(&session).unwrap();
        prop_assert_eq!(sum(&[holding.value, holding.result]), Split::of(&session).unwrap().ending.unwrap());
    }

    #[test]
    fn no_order_of_the_moves_changes_the_split_or_the_holding(
        ((session, _), order) in any_session().prop_flat_map(|session| {
            let indexes: Vec<usize> = (0..session.0.moves.len()).collect();
            (Just(session), Just(indexes).prop_shuffle())
        })
    ) {
        let moves = order.iter().map(|at| session.moves[*at]).collect();
        let shuffled = Moves { moves, ..session.clone() };
        prop_assert_eq!(Split::of(&shuffled).unwrap(), Split::of(&session).unwrap());
        prop_assert_eq!(Holding::of(&shuffled).unwrap(), Holding::of(&session).unwrap());
    }

    #[test]
    fn two_halves_of_a_session_have_the_parts_of_the_whole(
        (session, _) in any_session(), cut in any::<prop::sample::Index>(),
        mark in 1_000_000_000_000_000_i64..9_999_999_999_999_999,
    ) {
        let cut = cut.index(session.moves.len() + 1);
        let (first, second) = session.moves.split_at(cut);
        let between = ends_at(&session.opening, first, Some(price(mark)));
        let first = Moves { closing: between, moves: first.to_vec(), ..session.clone() };
        let second = Moves { opening: between, moves: second.to_vec(), ..session.clone() };
        let (whole, first, second) =
            (Split::of(&session).unwrap(), Split::of(&first).unwrap(), Split::of(&second).unwrap());
        prop_assert_eq!(sum(&[first.spread, second.spread]), whole.spread.unwrap());
        prop_assert_eq!(sum(&[first.flows, second.flows]), whole.flows.unwrap());
        // Only fees know at which price a session ended.
        prop_assert_eq!(
            sum(&[first.inventory, second.inventory, first.fees, second.fees]),
            sum(&[whole.inventory, whole.fees])
        );
    }
}

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

/// The example of docs/results.md: 100 XRP and 200 RLUSD at 2.00; a bid of 10 XRP at 1.99 while the middle is 2.00; a deposit of
/// 50 XRP at 2.02; an ask of 20 XRP at 2.05 while the middle is 2.04; fees of 20 drops; at the end 2.10.
fn example() -> Moves {
    let opening = Point { xrp: Drops::new(100_000_000), rlusd: d("200"), mark: Some(d("2")) };
    let moves = vec![
        Move::fill(Side::Bid, Drops::new(10_000_000), d("19.9"), Some(d("2"))).unwrap(),
        flow(50_000_000, Dec::zero(), Some(d("2.02")), false),
        Move::fill(Side::Ask, Drops::new(20_000_000), d("41"), Some(d("2.04"))).unwrap(),
        Move::Fee { change: Change { xrp: Drops::new(-20), rlusd: Dec::zero() } },
    ];
    let closing = ends_at(&opening, &moves, Some(d("2.1")));
    Moves { opening, closing, moves }
}

#[test]
fn the_example_of_the_readme() {
    let split = Split::of(&example()).unwrap();
    // 10 * 0.01 + 20 * 0.01; 100 * 0 + 110 * 0.02 + 160 * 0.02 + 140 * 0.06.
    assert_eq!((split.starting, split.spread, split.inventory), (Ok(d("400")), Ok(d("0.3")), Ok(d("13.8"))));
    assert_eq!((split.fees, split.flows, split.ending), (Ok(d("-0.000042")), Ok(d("101")), Ok(d("515.099958"))));
    // First in, first out: the 20 XRP sold had cost 2.00 each. By average 160 XRP had cost 320.9.
    let fifo = gains(&example(), Method::Fifo).unwrap();
    assert_eq!(fifo.realised, Ok(d("1.000002")));
    let average = gains(&example(), Method::AverageCost).unwrap();
    // 320.9 / 8 is 40.1125; the fees' 20 drops had cost 0.0000401125.
    assert_eq!(average.realised, Ok(d("0.8875018875")));
    assert_eq!(average.unrealised, Ok(d("13.2124981125")));
    let holding = Holding::of(&example()).unwrap();
    assert_eq!((holding.value, holding.result), (Ok(d("515")), Ok(d("0.099958"))));
}

#[test]
fn the_cost_of_a_part_is_rounded_and_the_rest_stays() {
    let opening = Point { xrp: Drops::new(3_000_000), rlusd: Dec::zero(), mark: Some(d("0.3333333333333334")) };
    let moves = vec![Move::fill(Side::Ask, Drops::new(1_000_000), d("1"), None).unwrap()];
    let closing = ends_at(&opening, &moves, Some(d("1")));
    let gains = gains(&Moves { opening, closing, moves }, Method::Fifo).unwrap();
    // A third of 1.0000000000000002 to fifteen places; what was cut off stays with the two XRP that are left.
    assert_eq!(gains.realised, Ok(d("0.666666666666667")));
    assert_eq!(gains.cost, Ok(d("0.6666666666666672")));
}

#[test]
fn without_a_price_a_part_is_unknown_and_the_others_are_not() {
    let mut session = example();
    session.moves.push(Move::fill(Side::Bid, Drops::new(1_000_000), d("2"), None).unwrap());
    session.closing = ends_at(&session.opening, &session.moves, session.closing.mark);
    let split = Split::of(&session).unwrap();
    let unknown = Err(Unknown::FillMid(1));
    assert_eq!((split.spread, split.inventory, split.flows), (unknown, unknown, Ok(d("101"))));
    // What trading made needs no middle, and the books still close.
    assert_eq!((split.trading, split.adds_up()), (Ok(d("14.2")), Some(true)));
    assert_eq!(Unknown::FillMid(1).to_string(), "the middle of the ledger before is not known for 1 of the fills");

    let mut session = example();
    session.moves[1] = flow(50_000_000, Dec::zero(), None, false);
    let split = Split::of(&session).unwrap();
    let unknown = Err(Unknown::FlowMark(1));
    assert_eq!((split.flows, split.inventory, split.trading, split.difference), (unknown, unknown, unknown, unknown));
    assert_eq!((split.spread, split.adds_up()), (Ok(d("0.3")), None));
    assert_eq!(gains(&session, Method::Fifo).unwrap().realised, unknown);
    session.moves[1] = flow(0, d("7"), None, false);
    assert_eq!(Split::of(&session).unwrap().flows, Ok(d("7")), "RLUSD needs no price");

    let mut session = example();
    session.opening.mark = None;
    let split = Split::of(&session).unwrap();
    let unknown = Err(Unknown::OpeningMark);
    assert_eq!((split.starting, split.inventory, split.difference), (unknown, unknown, unknown));
    assert!(split.ending.is_ok() && split.fees.is_ok());
    session.closing.mark = None;
    let split = Split::of(&session).unwrap();
    let unknown = Err(Unknown::ClosingMark);
    assert_eq!((split.ending, split.fees, Holding::of(&session).unwrap().value), (unknown, unknown, unknown));
}

#[test]
fn more_than_there_was_is_not_sold_below_zero() {
    let mut session = example();
    session.moves.insert(0, Move::fill(Side::Ask, Drops::new(100_000_001), d("200"), Some(d("2"))).unwrap());
    for method in [Method::Fifo, Method::AverageCost] {
        assert_eq!(gains(&session, method).unwrap().realised, Err(Unknown::Oversold));
    }
    assert_eq!(Split::of(&session).unwrap().adds_up(), Some(false));
}

#[test]
fn digits_that_do_not_fit_are_an_error_and_not_rounded() {
    let mut session = example();
    session.opening.rlusd = d("1e-40");
    session.closing.rlusd = d("1e20");
    assert!(Split::of(&session).is_err());
}
