//! What a validated transaction traded of the pair, whoever traded it: offers of the book, and the pool.

use neo_market::{AmountError, Dec, Drops};

use crate::message::ValidatedTransaction;
use crate::meta::{Entry, LSF_AMM_NODE, Meta, Node};
use crate::own::{node_trade, side_of};
use crate::types::{Address, Token};

/// Amounts that changed hands, both positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traded {
    /// XRP.
    pub xrp: Drops,
    /// The token.
    pub token: Dec,
}

impl Traded {
    /// The two together.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd amounts.
    pub fn add(self, other: Traded) -> Result<Traded, AmountError> {
        Ok(Traded { xrp: self.xrp.add(other.xrp)?, token: self.token.add(other.token)? })
    }
}

/// XRP and token that changed hands between strangers; nothing for a transaction of ours, and without what it took from our
/// offers: what we do ourselves tells us nothing of the market.
///
/// An offer's part is what its entry lost. The pool's part is what moved between its account and its trust line, in
/// opposite directions: deposits and withdrawals are none. A trade of both at once is one trade.
///
/// # Errors
/// [`AmountError`] for absurd amounts.
pub fn traded(tx: &ValidatedTransaction, own: Address, token: Token) -> Result<Traded, AmountError> {
    let mut sum = Traded::default();
    if tx.account == own || !tx.meta.succeeded() {
        return Ok(sum);
    }
    for node in tx.meta.nodes.iter().filter(|node| node.entry == Entry::Offer && node.fields.account != Some(own)) {
        let (Some(gets), Some(pays)) = (node.fields.taker_gets, node.fields.taker_pays) else { continue };
        if side_of(&gets, &pays, token).is_none() {
            continue;
        }
        if let Some((xrp, value)) = node_trade(node, &gets, &pays)? {
            sum = sum.add(Traded { xrp, token: value })?;
        }
    }
    for node in &tx.meta.nodes {
        sum = sum.add(of_pool(&tx.meta, node, token)?)?;
    }
    Ok(sum)
}

/// What the pool that holds this trust line traded.
fn of_pool(meta: &Meta, node: &Node, token: Token) -> Result<Traded, AmountError> {
    let nothing = Ok(Traded::default());
    let Some((low, high)) = node.line().filter(|_| node.fields.flags.unwrap_or(0) & LSF_AMM_NODE != 0) else {
        return nothing;
    };
    let pool = if low == token.issuer { high } else { low };
    let Some(line) = node.line_balance(pool, token) else { return nothing };
    let root = meta.root(pool).and_then(Node::account_drops);
    let (Some(token_before), Some((xrp_now, Some(xrp_before)))) = (line.before, root) else { return nothing };
    let (xrp, value) = (xrp_now.sub(xrp_before)?, line.now.sub(token_before)?);
    let opposite = (xrp > Drops::ZERO && value.is_negative()) || (xrp < Drops::ZERO && value.is_positive());
    if !opposite {
        return nothing;
    }
    Ok(Traded { xrp: Drops::new(xrp.get().saturating_abs()), token: value.abs() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Currency, Hash, sha512_half};
    use serde_json::{Value, json};

    const US: Address = Address([1; 20]);
    const THEM: Address = Address([2; 20]);
    const POOL: Address = Address([4; 20]);
    const TOKEN: Token = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };

    fn rlusd(value: &str) -> Value {
        json!({"currency": TOKEN.currency, "issuer": TOKEN.issuer, "value": value})
    }

    /// An ask: XRP and RLUSD left, and before.
    fn ask(owner: Address, now: (&str, &str), before: (&str, &str)) -> Value {
        json!({"ModifiedNode": {"LedgerEntryType": "Offer", "LedgerIndex": Hash([9; 32]),
            "FinalFields": {"Account": owner, "Sequence": 5, "TakerGets": now.0, "TakerPays": rlusd(now.1)},
            "PreviousFields": {"TakerGets": before.0, "TakerPays": rlusd(before.1)}}})
    }

    /// The pool's account and its trust line; the pool is the line's high account.
    fn pool(xrp: (u64, u64), token: (&str, &str)) -> [Value; 2] {
        let limit = |account: Address| json!({"currency": TOKEN.currency, "issuer": account, "value": "0"});
        [
            json!({"ModifiedNode": {"LedgerEntryType": "AccountRoot",
                "LedgerIndex": sha512_half(&[b"\0a".as_slice(), &POOL.0]),
                "FinalFields": {"Account": POOL, "Balance": xrp.1.to_string(), "Sequence": 9, "OwnerCount": 2},
                "PreviousFields": {"Balance": xrp.0.to_string()}}}),
            json!({"ModifiedNode": {"LedgerEntryType": "RippleState", "LedgerIndex": Hash([8; 32]),
                "FinalFields": {"Balance": rlusd(token.1), "Flags": LSF_AMM_NODE,
                    "LowLimit": limit(TOKEN.issuer), "HighLimit": limit(POOL)},
                "PreviousFields": {"Balance": rlusd(token.0)}}}),
        ]
    }

    fn of(sender: Address, result: &str, nodes: &[Value]) -> (i64, String) {
        let entry = json!({"validated": true, "hash": Hash([7; 32]), "ledger_index": 7,
            "tx_json": {"Account": sender, "TransactionType": "OfferCreate", "Sequence": 40, "Fee": "10"},
            "meta": {"TransactionIndex": 0, "TransactionResult": result, "AffectedNodes": nodes}});
        let tx = ValidatedTransaction::from_account_tx(&entry).unwrap();
        let sum = traded(&tx, US, TOKEN).unwrap();
        (sum.xrp.get(), sum.token.to_string())
    }

    #[test]
    fn offers_and_the_pool_are_one_trade_and_ours_are_left_out() {
        let theirs = ask(Address([5; 20]), ("1000000", "2.5"), ("3000000", "7.5"));
        let ours = ask(US, ("0", "0"), ("9000000", "27"));
        // The pool gave 1 XRP for 2.6; its balance is written from the issuer's side.
        let [root, line] = pool((50_000_000, 49_000_000), ("-100", "-102.6"));
        let all = [theirs.clone(), ours, root, line];
        assert_eq!(of(THEM, "tesSUCCESS", &all), (3_000_000, "7.6".to_string()));
        assert_eq!(of(THEM, "tecKILLED", &all), (0, "0".to_string()));
        assert_eq!(of(US, "tesSUCCESS", &[theirs]), (0, "0".to_string()), "we took it ourselves");
    }

    #[test]
    fn deposits_withdrawals_and_other_pairs_are_no_trades() {
        for (xrp, token) in [
            ((50, 60), ("-100", "-102")),
            ((60, 50), ("-102", "-100")),
            ((50, 50), ("-100", "-102")),
            ((50, 60), ("-100", "-100")),
        ] {
            assert_eq!(of(THEM, "tesSUCCESS", &pool(xrp, token)), (0, "0".to_string()), "{xrp:?} {token:?}");
        }
        let mut other = ask(THEM, ("1", "1"), ("3", "3"));
        for fields in ["FinalFields", "PreviousFields"] {
            other["ModifiedNode"][fields]["TakerPays"]["issuer"] = json!(THEM);
        }
        let mut line = pool((50, 40), ("-1", "-2"));
        line[1]["ModifiedNode"]["FinalFields"]["Flags"] = json!(0);
        let [root, plain] = line;
        assert_eq!(of(THEM, "tesSUCCESS", &[other, root, plain]), (0, "0".to_string()), "a holder is no pool");
    }
}
