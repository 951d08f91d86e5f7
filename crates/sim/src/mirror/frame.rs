//! A ledger that is being closed: what the mirror does to it becomes transactions with metadata like any other's.

use neo_ledger::{Address, Asset, LedgerTime, sha512_half};
use serde_json::{Value as Json, json};

use crate::amendment::Amendments;
use crate::apply::meta::{self, amount_json};
use crate::apply::tx::{Signer, TF_IMMEDIATE_OR_CANCEL, TF_SELL, Tx};
use crate::apply::{Context, apply};
use crate::ledger::ClosedTx;
use crate::state::{AccountRoot, Key, Mark, State};
use crate::ter::Ter;

/// The closed state and the transactions that made it.
pub(crate) struct Frame<'a> {
    /// The state.
    pub state: &'a mut State,
    context: Context<'a>,
    keeper: Address,
    /// Where the writes begin that no transaction has yet.
    mark: Mark,
    closed: Vec<ClosedTx>,
}

impl<'a> Frame<'a> {
    /// A ledger without a transaction yet; `keeper` sends what sets the book right.
    pub(crate) fn new(state: &'a mut State, context: Context<'a>, keeper: Address) -> Frame<'a> {
        let mark = state.mark();
        Frame { state, context, keeper, mark, closed: Vec::new() }
    }

    /// When the ledger before it closed.
    pub(crate) const fn parent_close_time(&self) -> LedgerTime {
        self.context.parent_close_time
    }

    /// The amendments in force.
    pub(crate) const fn amendments(&self) -> &Amendments {
        &self.context.rules.amendments
    }

    /// Its transactions; what was written last becomes one too.
    pub(crate) fn finish(mut self) -> Vec<ClosedTx> {
        self.flush();
        self.closed
    }

    fn next(&mut self) -> Context<'a> {
        let transaction_index = u32::try_from(self.closed.len()).unwrap_or(u32::MAX);
        // What crosses nothing must leave no trace.
        Context { transaction_index, retry: true, open: false, ..self.context }
    }

    fn tx(&self, account: Address, mut fields: Json) -> Option<Tx> {
        fields["Account"] = json!(account);
        fields["Fee"] = json!(self.context.rules.base_fee_drops.to_string());
        fields["Sequence"] = json!(self.state.account(account)?.sequence);
        fields["SigningPubKey"] = json!("");
        let ledger = self.context.ledger_index.to_be_bytes();
        let hash = sha512_half(&[b"MIR\0", &ledger, fields.to_string().as_bytes()]);
        match Tx::parse(fields, hash, Signer::Simulation) {
            Ok(tx) => Some(tx),
            Err(error) => {
                tracing::error!(%account, %error, "a transaction of the mirror cannot be read and is left out");
                None
            }
        }
    }

    /// Makes one transaction of what was written since the last.
    pub(crate) fn flush(&mut self) {
        let touched = self.state.touched(self.mark);
        let changed = |key: &Key| self.state.entry_at(self.mark, *key) != self.state.entry(*key);
        if touched.iter().any(changed)
            && let Some(tx) = self.tx(self.keeper, json!({ "TransactionType": "AccountSet" }))
            && let Some(root) = self.state.account(self.keeper).cloned()
        {
            let (balance, sequence) = (root.balance.saturating_sub(tx.fee), root.sequence.saturating_add(1));
            self.state.put_account(self.keeper, AccountRoot { balance, sequence, ..root });
            let context = self.next();
            let mut meta = meta::build(self.state, self.mark, &tx, &context, Ter::SUCCESS, None);
            // Of an offer of which one side alone changed the books are told as well: it was set right by hand.
            for key in touched {
                if let Key::Offer(key) = key
                    && let Some(offer) = self.state.offer(key)
                {
                    meta.books.insert(offer.book);
                }
            }
            let (index, fee) = (context.transaction_index, tx.fee);
            self.closed.push(ClosedTx { tx, result: Ter::SUCCESS, fee, index, meta });
        }
        self.mark = self.state.mark();
    }

    /// Sends an order that trades at once or not at all; gives the drops that it traded.
    pub(crate) fn take(
        &mut self,
        taker: Address,
        gets: (crate::amount::Value, Asset),
        pays: (crate::amount::Value, Asset),
    ) -> i64 {
        self.flush();
        let sells = if gets.1 == Asset::Xrp { TF_SELL } else { 0 };
        let fields = json!({
            "TransactionType": "OfferCreate",
            "TakerGets": amount_json(gets.0, gets.1),
            "TakerPays": amount_json(pays.0, pays.1),
            "Flags": TF_IMMEDIATE_OR_CANCEL | sells,
        });
        let Some(tx) = self.tx(taker, fields) else { return 0 };
        let context = self.next();
        let held = |state: &State| state.account(taker).map_or(0, |root| root.balance);
        let before = held(self.state);
        let applied = apply(self.state, &tx, &context);
        let fee = if applied.applied { applied.fee } else { 0 };
        let traded = held(self.state).saturating_sub(before).saturating_add(fee).saturating_abs();
        if let Some(meta) = applied.meta.filter(|_| applied.applied) {
            let (index, fee, result) = (context.transaction_index, applied.fee, applied.result);
            self.closed.push(ClosedTx { tx, result, fee, index, meta });
        }
        self.mark = self.state.mark();
        traded
    }
}
