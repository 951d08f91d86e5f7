//! A transaction's metadata: what it changed on the ledger.
//!
//! Only the fields a market maker needs are kept; unknown fields and entry types are passed over, wrong ones refused.

use neo_market::{Dec, Drops};
use serde::{Deserialize, Deserializer};

use crate::amount::AnyAmount;
use crate::types::{Address, Amount, Asset, Hash, LedgerTime, Token, sha512_half};

pub use crate::own::{
    AccountAfter, FilledOffer, MetaError, OfferChange, OfferChangeKind, OwnTransaction, Removal, own_transaction,
};

/// Ledger flag of a trust line whose low or high account is an AMM (rippled, `lsfAMMNode`).
pub const LSF_AMM_NODE: u32 = 0x0100_0000;

/// What a validated transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Meta {
    /// Its place within the ledger.
    #[serde(rename = "TransactionIndex")]
    pub transaction_index: u32,
    /// Its result code, such as `tesSUCCESS`.
    #[serde(rename = "TransactionResult")]
    pub result: String,
    /// The ledger entries it touched.
    #[serde(rename = "AffectedNodes")]
    pub nodes: Vec<Node>,
}

impl Meta {
    /// True when the transaction did what it says; others only cost their fee and may remove dead offers.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.result == "tesSUCCESS"
    }

    /// The entry of `account`'s root, when the transaction changed or threaded it: the root's `PreviousTxnID` then names
    /// the transaction, and the entry's own names the one before.
    ///
    /// A threaded root is listed without its fields (rippled, `ApplyStateTable::threadOwners`), so the entry's index is
    /// what tells: SHA-512Half of the space key `a` and the account.
    #[must_use]
    pub fn root(&self, account: Address) -> Option<&Node> {
        let root = sha512_half(&[b"\0a".as_slice(), &account.0]);
        self.nodes.iter().find(|node| node.entry == Entry::AccountRoot && node.index == root)
    }

    /// Our balance of the token after the transaction; `None` when it did not touch it.
    #[must_use]
    pub fn token_balance_after(&self, account: Address, token: Token) -> Option<Dec> {
        self.nodes.iter().rev().find_map(|node| node.line_balance(account, token)).map(|line| line.now)
    }
}

/// What happened to a ledger entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Created,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// The type of a ledger entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Entry {
    /// An account.
    AccountRoot,
    /// A trust line.
    RippleState,
    /// An offer.
    Offer,
    /// A page of offers or of an owner's objects.
    DirectoryNode,
    /// An automated market maker.
    #[serde(rename = "AMM")]
    Amm,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// One ledger entry that a transaction touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What happened to it.
    pub action: Action,
    /// Its type.
    pub entry: Entry,
    /// Its index in the ledger.
    pub index: Hash,
    /// `NewFields` of a created entry (default values are left out), `FinalFields` of any other.
    pub fields: Fields,
    /// `PreviousFields`: only what changed.
    pub previous: Fields,
    /// The transaction that changed the entry before, where the entry keeps that.
    pub previous_txn_id: Option<Hash>,
}

/// Fields of accounts, trust lines and offers; `None` when absent or, for amounts, of a multi-purpose token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Fields {
    /// Owner of an offer; the account itself of an account.
    pub account: Option<Address>,
    /// Identity of an offer; next sequence of an account.
    pub sequence: Option<u32>,
    /// What an offer still sells.
    #[serde(deserialize_with = "known_amount")]
    pub taker_gets: Option<Amount>,
    /// What an offer still buys.
    #[serde(deserialize_with = "known_amount")]
    pub taker_pays: Option<Amount>,
    /// An account's drops, or a trust line's balance as the low account sees it.
    #[serde(deserialize_with = "known_amount")]
    pub balance: Option<Amount>,
    /// Ledger flags of the entry.
    pub flags: Option<u32>,
    /// The high account's limit; its issuer is the high account.
    #[serde(deserialize_with = "known_amount")]
    pub high_limit: Option<Amount>,
    /// The low account's limit; its issuer is the low account.
    #[serde(deserialize_with = "known_amount")]
    pub low_limit: Option<Amount>,
    /// Objects that an account pays reserve for.
    pub owner_count: Option<u32>,
    /// When an offer dies.
    pub expiration: Option<LedgerTime>,
    /// The page an offer stands in; its last eight bytes are the offer's rate at placement.
    pub book_directory: Option<Hash>,
    /// Billionths that an issuer's tokens cost to move; one billion is free.
    pub transfer_rate: Option<u32>,
    /// Digits of rates of offers for an issuer's tokens.
    pub tick_size: Option<u8>,
    /// The pool that an account stands for.
    #[serde(rename = "AMMID")]
    pub amm_id: Option<Hash>,
    /// What a pool keeps of each swap, in 1/100,000; absent when that is nothing.
    pub trading_fee: Option<u16>,
    /// The pool's tokens, as they are written: who trades with a pool needs none of this and of the next two.
    #[serde(rename = "LPTokenBalance")]
    pub lp_token_balance: Option<Box<serde_json::Value>>,
    /// Who has a pool's discount, as it is written.
    pub auction_slot: Option<Box<serde_json::Value>>,
    /// Who votes on a pool's fee, as it is written.
    pub vote_slots: Option<Box<serde_json::Value>>,
}

fn known_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
    AnyAmount::deserialize(deserializer).map(|amount| match amount {
        AnyAmount::Known(amount) => Some(amount),
        AnyAmount::MultiPurposeToken => None,
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        #[derive(Deserialize)]
        enum Raw {
            #[serde(rename = "CreatedNode")]
            Created(Body),
            #[serde(rename = "ModifiedNode")]
            Modified(Body),
            #[serde(rename = "DeletedNode")]
            Deleted(Body),
        }
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "LedgerEntryType")]
            entry: Entry,
            #[serde(rename = "LedgerIndex")]
            index: Hash,
            #[serde(rename = "FinalFields", default)]
            final_fields: Option<Fields>,
            #[serde(rename = "NewFields", default)]
            new_fields: Option<Fields>,
            #[serde(rename = "PreviousFields", default)]
            previous: Fields,
            #[serde(rename = "PreviousTxnID", default)]
            previous_txn_id: Option<Hash>,
        }
        let (action, body) = match Raw::deserialize(deserializer)? {
            Raw::Created(body) => (Action::Created, body),
            Raw::Modified(body) => (Action::Modified, body),
            Raw::Deleted(body) => (Action::Deleted, body),
        };
        let fields = match action {
            Action::Created => body.new_fields,
            Action::Modified | Action::Deleted => body.final_fields,
        };
        Ok(Node {
            action,
            entry: body.entry,
            index: body.index,
            fields: fields.unwrap_or_default(),
            previous: body.previous,
            previous_txn_id: body.previous_txn_id,
        })
    }
}

impl Node {
    /// The balance of this trust line as `account` sees it, now and (when it changed) before; `None` when the node is
    /// no trust line between the account and the token's issuer in the token's currency.
    #[must_use]
    pub fn line_balance(&self, account: Address, token: Token) -> Option<LineBalance> {
        let line = self.line()?;
        let balance = self.fields.balance?;
        let Asset::Token(Token { currency, .. }) = balance.asset() else { return None };
        if currency != token.currency {
            return None;
        }
        // The balance is written from the low account's view (xrpl.org, "RippleState").
        let view: fn(Dec) -> Dec = if line == (account, token.issuer) {
            |balance| balance
        } else if line == (token.issuer, account) {
            Dec::neg
        } else {
            return None;
        };
        let value = |amount: Amount| match amount {
            Amount::Token { value, .. } => Some(view(value)),
            Amount::Xrp(_) => None,
        };
        let before = match self.action {
            Action::Created => Some(Dec::zero()),
            Action::Modified | Action::Deleted => self.previous.balance.and_then(value),
        };
        Some(LineBalance { now: value(balance)?, before })
    }

    /// The low and the high account of a trust line.
    #[must_use]
    pub fn line(&self) -> Option<(Address, Address)> {
        let account = |limit: Option<Amount>| match limit?.asset() {
            Asset::Token(token) => Some(token.issuer),
            Asset::Xrp => None,
        };
        if self.entry != Entry::RippleState {
            return None;
        }
        Some((account(self.fields.low_limit)?, account(self.fields.high_limit)?))
    }

    /// An account's drops now and (when they changed) before; `None` when the node is no account with a balance.
    #[must_use]
    pub fn account_drops(&self) -> Option<(Drops, Option<Drops>)> {
        if self.entry != Entry::AccountRoot {
            return None;
        }
        let before = match self.action {
            Action::Created => Some(Drops::ZERO),
            Action::Modified | Action::Deleted => self.previous.balance.and_then(|b| b.drops()),
        };
        Some((self.fields.balance?.drops()?, before))
    }
}

/// A trust line's balance as one of its accounts sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineBalance {
    /// After the transaction.
    pub now: Dec,
    /// Before it; `None` when it did not change.
    pub before: Option<Dec>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_entries_and_multi_purpose_tokens_are_passed_over() {
        let text = format!(
            r#"{{"TransactionIndex":1,"TransactionResult":"tesSUCCESS","delivered_amount":"5","AffectedNodes":[
            {{"CreatedNode":{{"LedgerEntryType":"Novelty","LedgerIndex":"{0}","NewFields":{{"Odd":[1]}}}}}},
            {{"ModifiedNode":{{"LedgerEntryType":"AccountRoot","LedgerIndex":"{0}"}}}},
            {{"DeletedNode":{{"LedgerEntryType":"Offer","LedgerIndex":"{0}","FinalFields":
            {{"TakerGets":{{"mpt_issuance_id":"00","value":"1"}},"TakerPays":"7"}}}}}}]}}"#,
            "0A".repeat(32)
        );
        let meta: Meta = serde_json::from_str(&text).unwrap();
        let entries: Vec<_> = meta.nodes.iter().map(|n| (n.action, n.entry)).collect();
        let expected =
            [(Action::Created, Entry::Other), (Action::Modified, Entry::AccountRoot), (Action::Deleted, Entry::Offer)];
        assert_eq!(entries, expected);
        let offer = meta.nodes.last().map(|n| (n.fields.taker_gets, n.fields.taker_pays));
        assert_eq!(offer, Some((None, Some(Amount::Xrp(Drops::new(7))))));
        let wrong = text.replace("\"7\"", "\"seven\"");
        assert!(serde_json::from_str::<Meta>(&wrong).unwrap_err().to_string().contains("seven"));
        assert!(serde_json::from_str::<Meta>(&text.replace("CreatedNode", "InventedNode")).is_err());
    }

    #[test]
    fn a_root_that_is_only_threaded_is_touched() {
        // The index of an account's root as a node prints it.
        let account: Address = "rUYkdjQkbCqYDQsgm7BrFqgQ8bAQp6v12x".parse().unwrap();
        let text = r#"{"TransactionIndex":1,"TransactionResult":"tesSUCCESS","AffectedNodes":[{"ModifiedNode":
            {"LedgerEntryType":"AccountRoot",
            "LedgerIndex":"0D67B417B2A64C1F4ED5A2103075ADE38A8FFA7938C015CB694BDE88E1B26EAB"}}]}"#;
        let meta: Meta = serde_json::from_str(text).unwrap();
        assert!(meta.root(account).is_some());
        assert!(meta.root(Address([0; 20])).is_none());
    }
}
