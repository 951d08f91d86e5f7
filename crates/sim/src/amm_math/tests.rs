use proptest::prelude::*;

use super::*;
use crate::amount::{InOut, Quality};

fn token(text: &str) -> Value {
    Value::Token(token_value(text))
}

fn token_value(text: &str) -> TokenValue {
    TokenValue::from_dec(text.parse().unwrap()).unwrap()
}

/// 1,000 XRP with 460 RLUSD, as rippled 2.6.1 was recorded to create it.
#[test]
fn a_new_pools_tokens_are_those_of_a_real_node() {
    let all = Amendments::default();
    let tokens = initial_tokens(Value::Drops(1_000_000_000), token("460"), &all).unwrap();
    assert_eq!(tokens, token_value("678232.9983125265"));
}

fn pool(input: i64, output: i64) -> InOut {
    InOut { input: Value::Drops(input), output: Value::Token(TokenValue::new(output, -6).unwrap()) }
}

fn product(x: Value, y: Value, rounding: Rounding) -> Number {
    rounding.mul(rounding.of(x).unwrap(), rounding.of(y).unwrap()).unwrap()
}

proptest! {
    /// Whatever is swapped, the product of the pool's assets does not fall.
    #[test]
    fn a_swap_never_costs_the_pool(
        drops in 1_000_i64..1_000_000_000_000,
        micros in 1_000_i64..1_000_000_000_000_000,
        part in 1_i64..1_000,
        fee in 0_u16..=1_000,
    ) {
        let all = Amendments::default();
        let pool = pool(drops, micros);
        let before = product(pool.input, pool.output, Rounding::Downward);
        let input = Value::Drops((drops / part).max(1));
        let output = swap_in(pool, input, fee, &all).unwrap();
        let after = product(pool.input.add(input).unwrap(), pool.output.sub(output).unwrap(), Rounding::Upward);
        prop_assert!(after >= before, "{after:?} < {before:?}");
        let back = swap_out(pool, output, fee, &all).unwrap();
        prop_assert!(back <= input.add(Value::Drops(1)).unwrap(), "{back:?} for {output:?}, first {input:?}");
    }

    /// One asset in for tokens, and the same tokens back for that asset: nobody gains.
    #[test]
    fn tokens_bought_and_sold_back_gain_nothing(
        drops in 1_000_000_i64..1_000_000_000_000,
        micros in 1_000_000_i64..1_000_000_000_000_000,
        part in 2_i64..1_000,
        fee in 0_u16..=1_000,
    ) {
        let all = Amendments::default();
        let (asset, other) = (Value::Drops(drops), Value::Token(TokenValue::new(micros, -6).unwrap()));
        let tokens = initial_tokens(asset, other, &all).unwrap();
        let asked = Value::Drops(drops / part);
        let bought = tokens_for_deposit(asset, asked, tokens, fee, &all).unwrap();
        let kept = keepable_tokens(tokens, bought, Direction::Deposit).unwrap();
        prop_assume!(!kept.is_zero());
        let (out, paid) = settle_deposit(asset, asked, tokens, kept, fee, &all).unwrap();
        let (balance, supply) = (asset.add(paid).unwrap(), tokens.add(out).unwrap());
        let back = withdrawal_for_tokens(balance, supply, out, fee, &all).unwrap();
        prop_assert!(back <= paid, "{back:?} back for {paid:?}");
    }

    /// The offer that moves the price is never worse than the price it was made for.
    #[test]
    fn an_offer_to_a_price_is_as_good_as_the_price(
        drops in 1_000_000_i64..1_000_000_000_000,
        micros in 1_000_000_i64..1_000_000_000_000_000,
        worse in 1_001_i64..3_000,
        fee in 0_u16..=1_000,
        turned in any::<bool>(),
    ) {
        let all = Amendments::default();
        let pool = pool(drops, micros);
        let pool = if turned { InOut { input: pool.output, output: pool.input } } else { pool };
        let spot = Number::of_token(Quality::of(pool).rate());
        let asked = Rounding::Nearest.mul(spot, n(worse, -3)).unwrap().to_token().unwrap();
        let quality = Quality::of(InOut { input: Value::Token(asked), output: token("1") });
        if let Some(offer) = change_spot_price(pool, quality, fee, &all).unwrap() {
            prop_assert!(!Quality::of(offer).is_worse_than(quality));
        }
    }
}

fn n(mantissa: i64, exponent: i32) -> Number {
    Rounding::Nearest.number(mantissa, exponent).unwrap()
}
