//! Entries as the ledger shows them: to JSON and back.
//!
//! What a node answers, what metadata holds and what a recording has are one form. Directory pages and the fields that
//! point into them (`OwnerNode`, `BookNode`, `LowNode`, `HighNode`) are not kept by this ledger.

use neo_ledger::{Address, Asset, Hash, LedgerTime, Token};
use serde_json::{Map, Value as Json};
use thiserror::Error;

use crate::amm::{Amm, AssetPair, AuctionSlot, VoteSlot};
use crate::amount::{Quality, TokenValue, Value};
use crate::apply::meta;
use crate::apply::tx::amount;
use crate::state::{
    AccountDetails, AccountRoot, Book, Entry, Key, LineKey, LineQualities, Offer, OfferKey, Ticket, TicketKey,
    TrustLine,
};

/// Why an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the field {field} of the {kind} is missing or cannot be read: {value}")]
pub struct ImageError {
    /// The entry's `LedgerEntryType`.
    pub kind: String,
    /// The field.
    pub field: &'static str,
    /// What it holds, shortened.
    pub value: String,
}

/// The 256-bit index of an entry.
#[must_use]
pub fn index_of(key: Key) -> Hash {
    meta::index_of(key)
}

/// An entry's `LedgerEntryType`.
#[must_use]
pub fn kind_of(key: Key) -> &'static str {
    meta::kind_of(key)
}

/// An entry's fields, without type, index and the transaction that last changed it.
#[must_use]
pub fn fields(key: Key, entry: &Entry) -> Map<String, Json> {
    meta::fields(key, entry)
}

/// Reads an entry. `order` is the place of an offer among those of its quality. `None` for kinds that this ledger
/// does not keep.
///
/// # Errors
/// [`ImageError`] naming the field that is missing or cannot be read.
pub fn read(json: &Json, order: u64) -> Result<Option<(Key, Entry)>, ImageError> {
    let reader = Reader { json, kind: json["LedgerEntryType"].as_str().unwrap_or_default() };
    match reader.kind {
        "AccountRoot" => reader.account().map(Some),
        "RippleState" => reader.line().map(Some),
        "Offer" => reader.offer(order).map(Some),
        "Ticket" => reader.ticket().map(Some),
        "AMM" => reader.amm().map(Some),
        _ => Ok(None),
    }
}

struct Reader<'a> {
    json: &'a Json,
    kind: &'a str,
}

impl Reader<'_> {
    fn refuse(&self, field: &'static str) -> ImageError {
        let value = self.json[field].to_string().chars().take(80).collect();
        ImageError { kind: self.kind.to_string(), field, value }
    }

    /// A field that may be absent, which is the same as zero.
    fn number<T: TryFrom<u64> + Default>(&self, field: &'static str) -> Result<T, ImageError> {
        match self.json.get(field) {
            None => Ok(T::default()),
            Some(value) => value.as_u64().and_then(|n| T::try_from(n).ok()).ok_or_else(|| self.refuse(field)),
        }
    }

    fn text<T: std::str::FromStr>(&self, field: &'static str) -> Result<T, ImageError> {
        self.json[field].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| self.refuse(field))
    }

    fn optional<T: serde::de::DeserializeOwned>(&self, field: &'static str) -> Result<Option<T>, ImageError> {
        match self.json.get(field) {
            None => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|_| self.refuse(field)),
        }
    }

    fn required<T: serde::de::DeserializeOwned>(&self, field: &'static str) -> Result<T, ImageError> {
        self.optional(field)?.ok_or_else(|| self.refuse(field))
    }

    fn amount(&self, field: &'static str) -> Result<(Value, Asset), ImageError> {
        amount(&self.json[field]).ok_or_else(|| self.refuse(field))
    }

    fn token(&self, field: &'static str) -> Result<(TokenValue, Token), ImageError> {
        match self.amount(field)? {
            (Value::Token(value), Asset::Token(token)) => Ok((value, token)),
            _ => Err(self.refuse(field)),
        }
    }

    fn account(&self) -> Result<(Key, Entry), ImageError> {
        let address: Address = self.text("Account")?;
        let root = AccountRoot {
            balance: self.text("Balance")?,
            sequence: self.number("Sequence")?,
            owner_count: self.number("OwnerCount")?,
            flags: self.number("Flags")?,
            tick_size: self.number("TickSize")?,
            transfer_rate: self.number("TransferRate")?,
            amm_id: self.optional("AMMID")?,
            ticket_count: self.number("TicketCount")?,
            details: self.details()?,
            previous: None,
        };
        Ok((Key::Account(address), Entry::Account(root)))
    }

    fn details(&self) -> Result<Option<Box<AccountDetails>>, ImageError> {
        let details = AccountDetails {
            regular_key: self.optional("RegularKey")?,
            account_txn_id: self.optional("AccountTxnID")?,
            domain: self.optional("Domain")?,
            email_hash: self.optional("EmailHash")?,
            message_key: self.optional("MessageKey")?,
            wallet_locator: self.optional("WalletLocator")?,
            nftoken_minter: self.optional("NFTokenMinter")?,
        };
        Ok(Some(Box::new(details)).filter(|details| **details != AccountDetails::default()))
    }

    fn line(&self) -> Result<(Key, Entry), ImageError> {
        let ((low_limit, low), (high_limit, high)) = (self.token("LowLimit")?, self.token("HighLimit")?);
        let key = LineKey { low: low.issuer, high: high.issuer, currency: low.currency };
        let (balance, _) = self.token("Balance")?;
        let qualities = LineQualities {
            low_in: self.number("LowQualityIn")?,
            low_out: self.number("LowQualityOut")?,
            high_in: self.number("HighQualityIn")?,
            high_out: self.number("HighQualityOut")?,
        };
        let flags = self.number("Flags")?;
        let line = TrustLine { balance, low_limit, high_limit, flags, qualities, previous: None };
        Ok((Key::Line(key), Entry::Line(line)))
    }

    fn ticket(&self) -> Result<(Key, Entry), ImageError> {
        let key = TicketKey { account: self.text("Account")?, sequence: self.number("TicketSequence")? };
        Ok((Key::Ticket(key), Entry::Ticket(Ticket { previous: None })))
    }

    fn offer(&self, order: u64) -> Result<(Key, Entry), ImageError> {
        let ((taker_gets, gets), (taker_pays, pays)) = (self.amount("TakerGets")?, self.amount("TakerPays")?);
        let directory: Hash = self.text("BookDirectory")?;
        // The quality is the directory's last eight bytes, first byte first.
        let quality = directory.0.iter().skip(24).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let expiration = self.json.get("Expiration").map(|_| self.number("Expiration")).transpose()?;
        let offer = Offer {
            book: Book { pays, gets },
            taker_pays,
            taker_gets,
            quality: Quality(quality),
            order,
            flags: self.number("Flags")?,
            expiration: expiration.map(LedgerTime),
            previous: None,
        };
        let key = OfferKey { account: self.text("Account")?, sequence: self.number("Sequence")? };
        Ok((Key::Offer(key), Entry::Offer(offer)))
    }
}

impl Reader<'_> {
    fn amm(&self) -> Result<(Key, Entry), ImageError> {
        let pair = AssetPair::of(self.required("Asset")?, self.required("Asset2")?);
        let votes = self.json["VoteSlots"].as_array().into_iter().flatten();
        let amm = Amm {
            account: self.text("Account")?,
            lp_token_balance: self.token("LPTokenBalance")?.0,
            trading_fee: self.number("TradingFee")?,
            vote_slots: votes.map(|vote| self.vote(&vote["VoteEntry"])).collect::<Result<_, _>>()?,
            auction_slot: self.json.get("AuctionSlot").map(|slot| self.auction_slot(slot)).transpose()?,
            previous: None,
            mirrored: false,
        };
        Ok((Key::Amm(pair), Entry::Amm(amm)))
    }

    fn vote(&self, json: &Json) -> Result<VoteSlot, ImageError> {
        let vote = Reader { json, kind: self.kind };
        Ok(VoteSlot {
            account: vote.text("Account")?,
            trading_fee: vote.number("TradingFee")?,
            weight: vote.number("VoteWeight")?,
        })
    }

    fn auction_slot(&self, json: &Json) -> Result<AuctionSlot, ImageError> {
        let slot = Reader { json, kind: self.kind };
        let named = json["AuthAccounts"].as_array().into_iter().flatten();
        let named = named.map(|one| Reader { json: &one["AuthAccount"], kind: self.kind }.text("Account"));
        Ok(AuctionSlot {
            account: slot.text("Account")?,
            auth_accounts: named.collect::<Result<_, _>>()?,
            discounted_fee: slot.number("DiscountedFee")?,
            expiration: LedgerTime(slot.number("Expiration")?),
            price: slot.token("Price")?.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        let account = "rUYkdjQkbCqYDQsgm7BrFqgQ8bAQp6v12x";
        let issuer = "rhfgRW9rZ4fr6xeobJA36tPwLY6sZDYBHc";
        let usd = |issuer: &str, value: &str| json!({ "currency": "USD", "issuer": issuer, "value": value });
        let entries = [
            json!({ "LedgerEntryType": "AccountRoot", "Account": account, "Balance": "1", "Sequence": 3,
                "OwnerCount": 2, "Flags": 65536, "TickSize": 5, "TransferRate": 1_100_000_000 }),
            json!({ "LedgerEntryType": "RippleState", "Balance": usd("rrrrrrrrrrrrrrrrrrrrBZbvji", "-1.5"),
                "LowLimit": usd(account, "10"), "HighLimit": usd(issuer, "0"), "Flags": 65536,
                "LowNode": "0", "HighNode": "0" }),
            json!({ "LedgerEntryType": "Offer", "Account": account, "Sequence": 7, "Flags": 131_072,
                "TakerGets": "100", "TakerPays": usd(issuer, "5"), "Expiration": 9, "OwnerNode": "0", "BookNode": "0",
                "BookDirectory": "C1E4B7B3B8A0A8C6E6C1D8DDB0A6B5E6A9B7AE3C12345678520A8B9A2C4E0000" }),
        ];
        for shown in entries {
            let (key, entry) = read(&shown, 1).unwrap().unwrap();
            let mut again = fields(key, &entry);
            again.insert("LedgerEntryType".to_string(), shown["LedgerEntryType"].clone());
            if let Some(Json::String(directory)) = again.get_mut("BookDirectory") {
                // The book's own part is its hash; the recorded one here is made up.
                directory.replace_range(..48, &shown["BookDirectory"].as_str().unwrap()[..48]);
            }
            assert_eq!(Json::Object(again), shown);
        }
    }

    #[test]
    fn a_kind_that_is_not_kept_is_none_and_a_bad_field_is_named() {
        assert_eq!(read(&json!({ "LedgerEntryType": "Vault" }), 0), Ok(None));
        let refused = read(&json!({ "LedgerEntryType": "AccountRoot", "Account": 5 }), 0).unwrap_err();
        assert_eq!(refused.field, "Account");
    }
}
