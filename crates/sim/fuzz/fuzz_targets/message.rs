//! Any bytes as a node's message and as each of its answers: understood or refused, and what a transaction is said to have
//! done to an account is read or refused too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use neo_ledger::message::{self, LedgerClosed, Message, ValidatedTransaction};
use neo_ledger::result::{
    AccountInfo, AccountLines, AccountOffers, AccountTx, BookOffers, FeeResult, ServerInfo, SubmitResult, TxResult,
};
use neo_ledger::{Currency, Token, own};
use serde_json::Value;

/// The account whose transactions are read is the sender, or whoever else the metadata names.
fn read(tx: &ValidatedTransaction) {
    let issuers = tx.meta.nodes.iter().filter_map(|node| node.line());
    for (one, other) in issuers.chain([(tx.account, tx.account)]).take(8) {
        for (account, issuer) in [(one, other), (other, one)] {
            let token = Token { currency: Currency::RLUSD, issuer };
            std::hint::black_box(own::own_transaction(tx, account, token, None).is_ok());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(Message::Transaction(stream)) = message::parse(text) {
        read(&stream.transaction);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if let Ok(tx) = ValidatedTransaction::from_account_tx(&value) {
        read(&tx);
    }
    let understood = [
        LedgerClosed::from_value(&value).is_ok(),
        AccountInfo::from_value(&value).is_ok(),
        ServerInfo::from_value(&value).is_ok(),
        AccountLines::from_value(&value).is_ok(),
        AccountOffers::from_value(&value).is_ok(),
        BookOffers::from_value(&value).is_ok(),
        AccountTx::from_value(&value).is_ok(),
        SubmitResult::from_value(&value).is_ok(),
        FeeResult::from_value(&value).is_ok(),
        TxResult::from_value(&value).is_ok(),
    ];
    std::hint::black_box(understood);
});
