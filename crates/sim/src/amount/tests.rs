use proptest::prelude::*;

use super::*;

fn token(mantissa: i64, exponent: i32) -> Value {
    Value::Token(TokenValue::new(mantissa, exponent).unwrap())
}

#[test]
fn values_print_as_a_node_prints_them() {
    for (mantissa, exponent, text) in [
        (1, 0, "1"),
        (-25, -1, "-2.5"),
        (1, -10, "0.0000000001"),
        (1, -11, "1000000000000000e-26"),
        (99_999_999_999, 0, "99999999999"),
        (1, 11, "1000000000000000e-4"),
        (9_999_999_999_999_999, 80, "9999999999999999e80"),
        (1_000_000_000_000_000, -96, "1000000000000000e-96"),
        (9_999_999_999_999_999, 0, "9999999999999999"),
    ] {
        assert_eq!(TokenValue::new(mantissa, exponent).unwrap().text(), text);
    }
    assert_eq!(TokenValue::new(1, -97 - 15).unwrap(), TokenValue::ZERO);
    assert!(TokenValue::new(1, 96).is_err());
}

/// Directory qualities that a running rippled 2.6.1 gave.
#[test]
fn qualities_are_those_of_a_real_node() {
    let quality = |pays, gets| Quality::of(InOut { input: pays, output: gets }).0;
    assert_eq!(quality(token(408, -1), Value::Drops(20_000_000)), 0x4F07_3F5E_8357_8000);
    assert_eq!(quality(Value::Drops(60_000_000), token(1128, -1)), 0x5A12_E5BC_DED9_0AE5);
    assert_eq!(quality(Value::Drops(2_000_000_000), token(3700, 0)), 0x5A13_3430_050E_60DE);
    assert_eq!(quality(Value::Drops(40_000_000), token(792, -1)), 0x5A11_F168_5778_BF5B);
    assert_eq!(Quality(0x5A11_F168_5778_BF5B).rate().text(), "505050.5050505051");
    assert_eq!(quality(token(0, 0), Value::Drops(1)), 0);
    assert_eq!(quality(Value::Drops(1), Value::Drops(0)), 0);
}

#[test]
fn both_kinds_of_drop_rounding_are_kept() {
    // 100.05 drops: the older form forgets what is below a tenth, the strict one does not.
    let (a, b) = (token(10_005, -2), token(1, 0));
    assert_eq!(mul_round(a, b, true, true), Ok(Value::Drops(100)));
    assert_eq!(mul_round_strict(a, b, true, true), Ok(Value::Drops(101)));
    assert_eq!(mul_round_strict(a, b, true, false), Ok(Value::Drops(100)));
    assert_eq!(mul_round(token(1, -40), token(1, -40), true, true), Ok(Value::Drops(1)));
}

#[test]
fn ticks_round_a_rate_up() {
    let quality = Quality::of(InOut { input: token(12_345_678, -7), output: Value::Drops(1_000_000) });
    assert_eq!(quality.round(5).rate().text(), "0.0000012346");
    assert_eq!(quality.round(16), quality);
}

#[test]
fn fees_round_the_way_they_are_told() {
    let value = TokenValue::new(1, 0).unwrap();
    assert_eq!(value.mul_ratio(1_002_000_000, PARITY_RATE, true).unwrap().text(), "1.002");
    assert_eq!(value.mul_ratio(PARITY_RATE, 3 * PARITY_RATE, false).unwrap().text(), "0.3333333333333333");
    assert_eq!(value.mul_ratio(PARITY_RATE, 3 * PARITY_RATE, true).unwrap().text(), "0.3333333333333334");
    assert!(value.mul_ratio(1, 0, true).is_err());
}

proptest! {
    #[test]
    fn sums_are_the_nearest_value(a in 1_000_000_000_000_000_i64..=9_999_999_999_999_999,
                                  b in 1_000_000_000_000_000_i64..=9_999_999_999_999_999,
                                  gap in 0_i32..20, minus in any::<bool>()) {
        let (x, y) = (TokenValue::new(a, 0).unwrap(), TokenValue::new(if minus { -b } else { b }, -gap).unwrap());
        let exact = i128::from(a) * 10_i128.pow(gap.unsigned_abs()) + i128::from(if minus { -b } else { b });
        let sum = x.add(y).unwrap();
        let got = i128::from(sum.mantissa());
        // Compare at a common scale: the error is at most half of the last digit kept.
        let shift = sum.exponent() + gap;
        if sum.is_zero() {
            prop_assert_eq!(exact, 0);
        } else if shift >= 0 {
            let unit = 10_i128.pow(shift.unsigned_abs());
            prop_assert!((got * unit - exact).abs() * 2 <= unit);
        } else {
            prop_assert_eq!(got, exact * 10_i128.pow(shift.unsigned_abs()));
        }
    }

    #[test]
    fn strict_products_in_drops_are_exact(a in 1_000_000_000_000_000_u64..=9_999_999_999_999_999,
                                          b in 1_000_000_000_000_000_u64..=9_999_999_999_999_999,
                                          down in 22_u32..30) {
        let (x, y) = (token(i64::try_from(a).unwrap(), 0), token(i64::try_from(b).unwrap(), -i32::try_from(down).unwrap()));
        let (product, unit) = (u128::from(a) * u128::from(b), 10_u128.pow(down));
        let floor = i64::try_from(product / unit).unwrap();
        prop_assert_eq!(mul_round_strict(x, y, true, false), Ok(Value::Drops(floor)));
        let up = mul_round_strict(x, y, true, true).unwrap();
        // The product is cut at 17 or 18 digits before it is rounded up; what is cut there can only be rounded up too.
        prop_assert_eq!(up, Value::Drops(i64::try_from(product.div_ceil(unit)).unwrap()));
    }

    #[test]
    fn text_and_decimals_round_trip(mantissa in 1_000_000_000_000_000_i64..=9_999_999_999_999_999,
                                    exponent in -96_i32..=80) {
        let value = TokenValue::new(mantissa, exponent).unwrap();
        prop_assert_eq!(TokenValue::from_dec(value.to_dec().unwrap()).unwrap(), value);
        let dec: Dec = value.text().parse().unwrap();
        prop_assert_eq!(TokenValue::from_dec(dec).unwrap(), value);
        prop_assert_eq!(neo_ledger::types::format_token_value(dec).unwrap(), value.text());
    }
}
