//! Issued currency is conserved but for its issuer: after each transaction, what all holders have together.

use neo_ledger::{Asset, Token};
use neo_sim::ledger::ClosedTx;
use neo_sim::number::{Number, Rounding};
use serde_json::Value as Json;

use super::pools::{Told, held, value};
use super::{ISSUERS, TRADERS, tokens, trader};

const M: Rounding = Rounding::Nearest;
/// What balances of 16 digits may lose or gain in one transaction, in relation to the largest of all: one that is too large
/// for what it gets does not change and is not in the metadata.
const LAST_DIGITS: (i64, i32) = (1, -13);

/// Judges one transaction by the trust lines in its metadata.
pub(super) fn check(told: &Told, closed: &ClosedTx) {
    for token in tokens() {
        let asset = Asset::Token(token);
        let holders = (0..u64::from(TRADERS)).map(|number| held(told, trader(number), asset));
        let (mut change, mut largest) = (Number::ZERO, holders.max().unwrap());
        for (before, after) in
            closed.meta.json["AffectedNodes"].as_array().unwrap().iter().filter_map(|n| line(n, token))
        {
            change = M.add(change, M.sub(after, before).unwrap()).unwrap();
            largest = largest.max(before).max(after);
        }
        let slack = M.mul(largest, M.number(LAST_DIGITS.0, LAST_DIGITS.1).unwrap()).unwrap();
        let (most, least) = (M.add(change, slack).unwrap(), M.sub(change, slack).unwrap());
        let asked = &closed.tx.json["Amount"];
        let say = || format!("{} of {change:?}: {} {}", token.currency, closed.tx.json, closed.meta.json);
        if closed.tx.account != token.issuer {
            assert!(least <= Number::ZERO, "out of nothing, {}", say());
            // The first issuer takes no fee for a transfer, so nothing goes away either.
            assert!(token.issuer != ISSUERS[0] || most >= Number::ZERO, "gone, {}", say());
            continue;
        }
        let amount = if asked.is_object() { Number::of_token(value(asked)) } else { Number::ZERO };
        match closed.tx.kind() {
            _ if asked["currency"] != serde_json::json!(token.currency) => {
                assert_eq!(change, Number::ZERO, "{}", say())
            }
            "Payment" if closed.result.is_success() => {
                assert!(least <= amount && most >= amount, "issued another amount, {}", say());
            }
            "Clawback" if closed.result.is_success() => {
                assert!(
                    change < Number::ZERO && M.add(most, amount).unwrap() >= Number::ZERO,
                    "clawed back, {}",
                    say()
                );
            }
            _ => assert_eq!(change, Number::ZERO, "{}", say()),
        }
    }
}

/// What a holder had before and has after on a line of the token.
fn line(node: &Json, token: Token) -> Option<(Number, Number)> {
    let (kind, body) = node.as_object()?.iter().next()?;
    let fields = if kind == "CreatedNode" { &body["NewFields"] } else { &body["FinalFields"] };
    let is_line = body["LedgerEntryType"] == "RippleState";
    let issuer = serde_json::json!(token.issuer);
    let owes = |side: &str| fields[side]["issuer"] == issuer;
    if !is_line
        || fields["Balance"]["currency"] != serde_json::json!(token.currency)
        || !(owes("LowLimit") || owes("HighLimit"))
    {
        return None;
    }
    let holders = |amount: &Json| {
        let low = Number::of_token(value(amount));
        if owes("LowLimit") { low.neg() } else { low }
    };
    let after = holders(&fields["Balance"]);
    let before = match (kind.as_str(), body["PreviousFields"].get("Balance")) {
        ("CreatedNode", _) => Number::ZERO,
        (_, Some(before)) => holders(before),
        (_, None) => after,
    };
    Some((before, after))
}
