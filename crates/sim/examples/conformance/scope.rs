//! What is in scope: judged by the transaction alone, never by how the engine fares with it.

use serde_json::Value as Json;

/// The transaction types that the simulated ledger models.
const TYPES: [&str; 12] = [
    "AMMCreate",
    "AMMDeposit",
    "AMMVote",
    "AMMWithdraw",
    "AccountSet",
    "Clawback",
    "OfferCancel",
    "OfferCreate",
    "Payment",
    "SetRegularKey",
    "TicketCreate",
    "TrustSet",
];

/// True when the transaction has to be right to the last digit.
pub fn contains(tx: &Json) -> bool {
    let kind = tx["TransactionType"].as_str().unwrap_or_default();
    TYPES.contains(&kind) && (kind != "Payment" || books(tx) <= 1)
}

/// The most books that one of a payment's paths leads through.
fn books(tx: &Json) -> usize {
    let start = tx.get("SendMax").unwrap_or(&tx["Amount"]);
    let last = currency(&tx["Amount"]);
    let empty = Json::Array(Vec::new());
    let given = tx["Paths"].as_array().into_iter().flatten();
    given.chain([&empty]).map(|path| books_of(path, start, last)).max().unwrap_or(0)
}

fn books_of(path: &Json, start: &Json, last: &str) -> usize {
    let mut here = (currency(start), start["issuer"].as_str());
    let mut books = 0;
    for element in path.as_array().into_iter().flatten() {
        if element.get("account").is_some() {
            here.1 = element["account"].as_str();
            continue;
        }
        let next = (
            element["currency"].as_str().unwrap_or(here.0),
            // XRP has no issuer; a currency alone keeps the one that it came from.
            element["issuer"].as_str().or(here.1),
        );
        books += usize::from(next != here);
        here = next;
    }
    books + usize::from(here.0 != last)
}

fn currency(amount: &Json) -> &str {
    amount["currency"].as_str().unwrap_or("XRP")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usd() -> Json {
        json!({ "currency": "USD", "issuer": "rA", "value": "1" })
    }

    #[test]
    fn books_are_counted_along_the_longest_path() {
        let mut tx = json!({ "TransactionType": "Payment", "Amount": usd(), "SendMax": "5" });
        assert_eq!(books(&tx), 1);
        tx["Paths"] = json!([[{ "currency": "USD", "issuer": "rB" }, { "account": "rA" }]]);
        assert_eq!(books(&tx), 1);
        tx["Paths"] = json!([[{ "account": "rC" }], [{ "currency": "EUR", "issuer": "rB" }]]);
        assert_eq!(books(&tx), 2);
        assert!(!contains(&tx));
        tx["SendMax"] = usd();
        tx["Paths"] = json!([[{ "account": "rC" }, { "account": "rA" }]]);
        assert_eq!(books(&tx), 0);
        assert!(contains(&tx));
    }

    #[test]
    fn a_type_that_is_not_listed_is_out() {
        assert!(contains(&json!({ "TransactionType": "AMMVote" })));
        assert!(!contains(&json!({ "TransactionType": "AMMBid" })));
        assert!(!contains(&json!({})));
    }
}
