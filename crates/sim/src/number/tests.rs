use proptest::prelude::*;

use super::*;

fn n(mantissa: i64, exponent: i32) -> Number {
    Rounding::Nearest.number(mantissa, exponent).unwrap()
}

const ALL: [Rounding; 4] = [Rounding::Nearest, Rounding::TowardsZero, Rounding::Upward, Rounding::Downward];

#[test]
fn a_whole_number_is_normalized() {
    assert_eq!(Number::whole(7), n(7, 0));
    assert_eq!(Number::whole(1), Number::ONE);
    assert_eq!(Number::whole(0), Number::ZERO);
    assert_eq!(Number::whole(100_000), n(1, 5));
}

#[test]
fn surplus_digits_are_rounded_as_told() {
    let digits = |value: i64| ALL.map(|rounding| rounding.number(value, 0).unwrap().mantissa());
    assert_eq!(
        digits(12_345_678_901_234_565),
        [1_234_567_890_123_456, 1_234_567_890_123_456, 1_234_567_890_123_457, 1_234_567_890_123_456]
    );
    assert_eq!(digits(12_345_678_901_234_575)[0], 1_234_567_890_123_458, "a tie goes to the even digit");
    assert_eq!(
        digits(-12_345_678_901_234_561),
        [-1_234_567_890_123_456, -1_234_567_890_123_456, -1_234_567_890_123_456, -1_234_567_890_123_457]
    );
    assert_eq!(n(99_999_999_999_999_999, 0), n(1, 17), "an overflow of the digits moves the exponent");
}

#[test]
fn a_small_operand_decides_the_last_digit_in_one_direction() {
    let (big, small) = (n(1_234_567_890_123_456, 0), n(1, -3));
    let sums = ALL.map(|rounding| rounding.add(big, small).unwrap().mantissa());
    assert_eq!(sums, [1_234_567_890_123_456, 1_234_567_890_123_456, 1_234_567_890_123_457, 1_234_567_890_123_456]);
    let differences = ALL.map(|rounding| rounding.sub(big, small).unwrap().mantissa());
    assert_eq!(differences[2], 1_234_567_890_123_456);
    assert_eq!(differences[3], 1_234_567_890_123_455);
}

#[test]
fn a_quotient_is_cut_before_it_is_rounded() {
    // 2/3 has 17 digits to be rounded from; the eighteenth and all others are gone.
    let quotients = ALL.map(|rounding| rounding.div(Number::whole(2), Number::whole(3)).unwrap());
    assert_eq!(quotients[0], n(6_666_666_666_666_667, -16));
    assert_eq!(quotients[1], n(6_666_666_666_666_666, -16));
    assert_eq!(quotients[2], n(6_666_666_666_666_667, -16));
    assert!(Rounding::Nearest.div(Number::ONE, Number::ZERO).is_err());
}

#[test]
fn a_root_is_exact_where_it_can_be() {
    let root = |value| Rounding::Nearest.root2(value).unwrap();
    assert_eq!(root(n(144, 0)), n(12, 0));
    assert_eq!(root(n(2, 0)), n(1_414_213_562_373_095, -15));
    assert_eq!(root(Number::ONE), Number::ONE);
    assert_eq!(root(Number::ZERO), Number::ZERO);
    assert_eq!(root(n(1, -6)), n(1, -3));
    assert_eq!(Rounding::Nearest.root2(n(-1, 0)), Err(ArithmeticError::NegativeRoot));
}

/// The pool's tokens of a recorded AMMCreate of rippled 2.6.1: 1,000 XRP with 460 RLUSD.
#[test]
fn the_root_of_a_recorded_pool() {
    let product = Rounding::Downward.mul(n(1_000_000_000, 0), n(460, 0)).unwrap();
    assert_eq!(Rounding::Downward.root2(product).unwrap(), n(6_782_329_983_125_265, -10));
}

#[test]
fn whole_numbers_are_rounded_as_told() {
    let wholes = |value| ALL.map(|rounding| rounding.to_whole(value).unwrap());
    assert_eq!(wholes(n(25, -1)), [2, 2, 3, 2]);
    assert_eq!(wholes(n(35, -1)), [4, 3, 4, 3]);
    assert_eq!(wholes(n(-25, -1)), [-2, -2, -2, -3]);
    assert_eq!(wholes(n(1, -90)), [0, 0, 1, 0]);
    assert!(Rounding::Nearest.to_whole(n(1, 19)).is_err());
}

#[test]
fn a_power_is_a_product() {
    let power = |x, exponent| Rounding::Nearest.power(x, exponent).unwrap();
    assert_eq!(power(n(3, 0), 5), n(243, 0));
    assert_eq!(power(n(3, 0), 0), Number::ONE);
    assert_eq!(power(n(3, 0), 1), n(3, 0));
}

prop_compose! {
    fn any_number()(mantissa in -9_999_999_999_999_999_i64..=9_999_999_999_999_999, exponent in -30..30_i32) -> Number {
        n(mantissa, exponent)
    }
}

proptest! {
    #[test]
    fn rounding_down_is_never_above_rounding_up(x in any_number(), y in any_number()) {
        let in_order = |operation: fn(Rounding, Number, Number) -> Result<Number, ArithmeticError>| {
            let [near, zero, up, down] = ALL.map(|rounding| operation(rounding, x, y).unwrap());
            (down <= near && near <= up && down <= zero && zero <= up, up <= near && near <= down)
        };
        let (sum, sum_reversed) = in_order(Rounding::add);
        // rippled's sum of two numbers of one exponent rounds as if it were above zero (Number.cpp, operator+=: only the
        // number that is shifted tells the guard its sign): below zero up and down are the other way round.
        prop_assert!(sum || x.exponent() == y.exponent() && x.signum() < 0 && y.signum() < 0 && sum_reversed);
        prop_assert!(in_order(Rounding::mul).0);
    }

    #[test]
    fn a_root_squared_is_the_number(x in any_number()) {
        let x = if x.signum() < 0 { x.neg() } else { x };
        let root = Rounding::Nearest.root2(x).unwrap();
        let square = Rounding::Nearest.mul(root, root).unwrap();
        let error = Rounding::Nearest.sub(square, x).unwrap();
        let error = if error.signum() < 0 { error.neg() } else { error };
        prop_assert!(error <= Rounding::Upward.mul(x, n(1, -14)).unwrap());
    }
}
