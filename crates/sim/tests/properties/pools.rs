//! What must be true of a pool after each transaction, as rippled checks it (`InvariantCheck.cpp`, `ValidAMM`), and that
//! no trade takes from those whose pool it is.

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset, Hash};
use neo_sim::amm::AssetPair;
use neo_sim::amount::{TokenValue, Value};
use neo_sim::image;
use neo_sim::ledger::ClosedTx;
use neo_sim::number::{Number, Rounding};
use neo_sim::state::{Key, LineKey};
use serde_json::{Map, Value as Json};

use super::tokens;

const M: Rounding = Rounding::Nearest;
/// How much, in relation, the root of the product may be below the pool's tokens: rippled's figure.
const MAY_MISS: (i64, i32) = (1, -11);
/// How much a trade may lower the root of the product by the last digits of a number of 16.
const LAST_DIGITS: (i64, i32) = (1, -14);

/// Every entry as the metadata of all transactions so far tells it, by index.
pub(super) type Told = BTreeMap<String, Map<String, Json>>;

/// A pool after a transaction.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Pool {
    account: Address,
    holds: [Number; 2],
    lp_tokens: Number,
    /// Root of the product of what it holds.
    root: Number,
}

/// The pools after the transaction before.
#[derive(Default)]
pub(super) struct Pools {
    before: BTreeMap<Hash, Pool>,
    /// Transactions that changed a pool.
    pub(super) changes: u64,
}

/// The pairs that the runs make pools of.
fn pairs() -> [AssetPair; 3] {
    let [usd, eur, _] = tokens().map(Asset::Token);
    [AssetPair::of(Asset::Xrp, usd), AssetPair::of(Asset::Xrp, eur), AssetPair::of(usd, eur)]
}

impl Pools {
    /// Looks at every pool after a transaction.
    pub(super) fn check(&mut self, told: &Told, closed: &ClosedTx) {
        for pair in pairs() {
            let after = Pool::read(told, pair);
            let before = match after {
                Some(pool) => self.before.insert(pair.id(), pool),
                None => self.before.remove(&pair.id()),
            };
            if before != after {
                self.changes += 1;
                judge(before, after, closed);
            }
        }
    }
}

fn judge(before: Option<Pool>, after: Option<Pool>, closed: &ClosedTx) {
    let (kind, say) = (closed.tx.kind(), format!("{} {:?} {before:?} {after:?}", closed.tx.json, closed.result));
    let Some(after) = after else {
        return assert_eq!(kind, "AMMWithdraw", "{say}");
    };
    let all = [after.holds[0], after.holds[1], after.lp_tokens];
    assert!(all.iter().all(|number| number.signum() > 0), "not all positive: {say}");
    let Some(before) = before.filter(|before| before.account == after.account) else {
        assert_eq!((kind, less(after.root, after.lp_tokens, MAY_MISS)), ("AMMCreate", false), "{say}");
        return;
    };
    match kind {
        "AMMDeposit" | "AMMWithdraw" => {
            assert!(!less(after.root, after.lp_tokens, MAY_MISS), "tokens without backing: {say}");
            let share = |pool: Pool| M.div(pool.root, pool.lp_tokens).unwrap();
            assert!(!less(share(after), share(before), MAY_MISS), "each token is worth less: {say}");
        }
        "Payment" | "OfferCreate" => {
            assert_eq!(before.lp_tokens, after.lp_tokens, "a trade changed the pool's tokens: {say}");
            assert!(!less(after.root, before.root, LAST_DIGITS), "a trade took from the pool: {say}");
        }
        other => panic!("{other} changed a pool: {say}"),
    }
}

/// True when `a` is below `b` by more than this part of it.
fn less(a: Number, b: Number, part: (i64, i32)) -> bool {
    let part = M.mul(b, M.number(part.0, part.1).unwrap()).unwrap();
    M.add(a, part).unwrap() < b
}

impl Pool {
    fn read(told: &Told, pair: AssetPair) -> Option<Pool> {
        let entry = told.get(&image::index_of(Key::Amm(pair)).to_string())?;
        let account: Address = entry["Account"].as_str().unwrap().parse().unwrap();
        let lp_tokens = Number::of_token(value(&entry["LPTokenBalance"]));
        let holds = [pair.asset, pair.asset2].map(|asset| held(told, account, asset));
        let root = M.root2(M.mul(holds[0], holds[1]).unwrap()).unwrap();
        Some(Pool { account, holds, lp_tokens, root })
    }
}

/// What an account holds of an asset.
pub(super) fn held(told: &Told, account: Address, asset: Asset) -> Number {
    match asset {
        Asset::Xrp => {
            let root = &told[&image::index_of(Key::Account(account)).to_string()];
            let drops = root.get("Balance").map_or(0, |drops| drops.as_str().unwrap().parse().unwrap());
            M.of(Value::Drops(drops)).unwrap()
        }
        Asset::Token(token) => {
            let key = LineKey::of(account, token.issuer, token.currency);
            let Some(line) = told.get(&image::index_of(Key::Line(key)).to_string()) else { return Number::ZERO };
            let low = Number::of_token(value(&line["Balance"]));
            if key.low == account { low } else { low.neg() }
        }
    }
}

pub(super) fn value(amount: &Json) -> TokenValue {
    TokenValue::from_dec(amount["value"].as_str().unwrap().parse().unwrap()).unwrap()
}
