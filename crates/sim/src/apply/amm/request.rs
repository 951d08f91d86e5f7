//! AMM transactions as they are read, and the checks that need no ledger.

use neo_ledger::{Asset, Currency, Token};
use serde_json::Value as Json;

use crate::amm::MAX_TRADING_FEE;
use crate::amount::Value;
use crate::apply::tx::{Tx, TxError, amount, optional, required};
use crate::ter::Ter;

/// Deposit or withdraw both assets for a number of pool tokens.
pub const TF_LP_TOKEN: u32 = 0x0001_0000;
/// Withdraw both assets for all of one's pool tokens.
pub const TF_WITHDRAW_ALL: u32 = 0x0002_0000;
/// Withdraw one asset for all of one's pool tokens.
pub const TF_ONE_ASSET_WITHDRAW_ALL: u32 = 0x0004_0000;
/// Deposit or withdraw an amount of one asset.
pub const TF_SINGLE_ASSET: u32 = 0x0008_0000;
/// Deposit or withdraw both assets, up to an amount of each.
pub const TF_TWO_ASSET: u32 = 0x0010_0000;
/// Deposit or withdraw one asset for a number of pool tokens.
pub const TF_ONE_ASSET_LP_TOKEN: u32 = 0x0020_0000;
/// Deposit or withdraw one asset at a price of a pool token.
pub const TF_LIMIT_LP_TOKEN: u32 = 0x0040_0000;
/// Deposit both assets into a pool that is empty.
pub const TF_TWO_ASSET_IF_EMPTY: u32 = 0x0080_0000;

const COMMON_MODES: u32 = TF_LP_TOKEN | TF_SINGLE_ASSET | TF_TWO_ASSET | TF_ONE_ASSET_LP_TOKEN | TF_LIMIT_LP_TOKEN;
pub(super) const DEPOSIT_MODES: u32 = COMMON_MODES | TF_TWO_ASSET_IF_EMPTY;
pub(super) const WITHDRAW_MODES: u32 = COMMON_MODES | TF_WITHDRAW_ALL | TF_ONE_ASSET_WITHDRAW_ALL;

/// What an AMM transaction asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Makes a pool.
    Create {
        /// What it starts with.
        amount: (Value, Asset),
        /// What it starts with of the other asset.
        amount2: (Value, Asset),
        /// Its first fee, in 1/100,000.
        trading_fee: u16,
    },
    /// Puts assets in and takes pool tokens.
    Deposit(Liquidity),
    /// Gives pool tokens back and takes assets out.
    Withdraw(Liquidity),
    /// Votes on the fee.
    Vote {
        /// The pool's assets.
        assets: (Asset, Asset),
        /// The fee wanted, in 1/100,000.
        trading_fee: u16,
    },
}

/// The terms of a deposit or a withdrawal.
#[derive(Clone, Debug, PartialEq)]
pub struct Liquidity {
    /// The pool's assets.
    pub assets: (Asset, Asset),
    /// `Amount`.
    pub amount: Option<(Value, Asset)>,
    /// `Amount2`.
    pub amount2: Option<(Value, Asset)>,
    /// `EPrice`: of a pool token in the asset when depositing, of the asset in pool tokens when withdrawing.
    pub price: Option<(Value, Asset)>,
    /// `LPTokenOut` of a deposit, `LPTokenIn` of a withdrawal.
    pub tokens: Option<(Value, Asset)>,
    /// `TradingFee`, for an empty pool.
    pub trading_fee: Option<u16>,
}

impl Request {
    /// Reads an AMM transaction; `None` when `kind` is no type that is modelled.
    pub(in crate::apply) fn read(kind: &str, json: &Json) -> Result<Option<Request>, TxError> {
        Ok(Some(match kind {
            "AMMCreate" => Request::Create {
                amount: required(json, "Amount", amount)?,
                amount2: required(json, "Amount2", amount)?,
                trading_fee: required(json, "TradingFee", fee)?,
            },
            "AMMDeposit" => Request::Deposit(liquidity(json, "LPTokenOut")?),
            "AMMWithdraw" => Request::Withdraw(liquidity(json, "LPTokenIn")?),
            "AMMVote" => Request::Vote { assets: assets(json)?, trading_fee: required(json, "TradingFee", fee)? },
            _ => return Ok(None),
        }))
    }

    /// The flags it may carry besides the universal ones.
    pub(in crate::apply) const fn flags(&self) -> u32 {
        match self {
            Request::Create { .. } | Request::Vote { .. } => 0,
            Request::Deposit(_) => DEPOSIT_MODES,
            Request::Withdraw(_) => WITHDRAW_MODES,
        }
    }

    /// Checks that need no ledger.
    pub(in crate::apply) fn preflight(&self, tx: &Tx) -> Ter {
        match self {
            Request::Create { amount, amount2, trading_fee } => {
                if amount.1 == amount2.1 {
                    return Ter::TEM_BAD_AMM_TOKENS;
                }
                first([bad_amount(*amount, None, false), bad_amount(*amount2, None, false), bad_fee(*trading_fee)])
            }
            Request::Deposit(terms) => terms.preflight_deposit(tx),
            Request::Withdraw(terms) => terms.preflight_withdraw(tx),
            Request::Vote { assets, trading_fee } => first([bad_pair(*assets), bad_fee(*trading_fee)]),
        }
    }
}

fn liquidity(json: &Json, tokens: &'static str) -> Result<Liquidity, TxError> {
    Ok(Liquidity {
        assets: assets(json)?,
        amount: optional(json, "Amount", amount)?,
        amount2: optional(json, "Amount2", amount)?,
        price: optional(json, "EPrice", amount)?,
        tokens: optional(json, tokens, amount)?,
        trading_fee: optional(json, "TradingFee", fee)?,
    })
}

fn assets(json: &Json) -> Result<(Asset, Asset), TxError> {
    let asset = |value: &Json| serde::Deserialize::deserialize(value).ok();
    Ok((required(json, "Asset", asset)?, required(json, "Asset2", asset)?))
}

fn fee(value: &Json) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok())
}

/// The first complaint, or success.
fn first<const N: usize>(results: [Ter; N]) -> Ter {
    results.into_iter().find(|result| !result.is_success()).unwrap_or(Ter::SUCCESS)
}

const fn bad_fee(trading_fee: u16) -> Ter {
    if trading_fee > MAX_TRADING_FEE { Ter::TEM_BAD_FEE } else { Ter::SUCCESS }
}

/// A token under the name XRP is no asset.
fn bad_asset(asset: Asset) -> Ter {
    const XRP: Currency = Currency([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'X', b'R', b'P', 0, 0, 0, 0, 0]);
    match asset {
        Asset::Token(Token { currency: XRP, .. }) => Ter::TEM_BAD_CURRENCY,
        _ => Ter::SUCCESS,
    }
}

fn bad_pair((asset, asset2): (Asset, Asset)) -> Ter {
    if asset == asset2 {
        return Ter::TEM_BAD_AMM_TOKENS;
    }
    first([bad_asset(asset), bad_asset(asset2)])
}

/// An amount of one of `pair`, above zero or (`zero`) not below it.
fn bad_amount((value, asset): (Value, Asset), pair: Option<(Asset, Asset)>, zero: bool) -> Ter {
    let bad = bad_asset(asset);
    if !bad.is_success() {
        return bad;
    }
    if pair.is_some_and(|(a, b)| asset != a && asset != b) {
        return Ter::TEM_BAD_AMM_TOKENS;
    }
    if value.signum() < 0 || (!zero && value.is_zero()) { Ter::TEM_BAD_AMOUNT } else { Ter::SUCCESS }
}

/// Which optional fields are given.
struct Given {
    amount: bool,
    amount2: bool,
    price: bool,
    tokens: bool,
    fee: bool,
}

impl Liquidity {
    const fn given(&self) -> Given {
        Given {
            amount: self.amount.is_some(),
            amount2: self.amount2.is_some(),
            price: self.price.is_some(),
            tokens: self.tokens.is_some(),
            fee: self.trading_fee.is_some(),
        }
    }

    fn preflight_deposit(&self, tx: &Tx) -> Ter {
        let Given { amount, amount2, price, tokens, fee } = self.given();
        let well_formed = match tx.flags & DEPOSIT_MODES {
            TF_LP_TOKEN => tokens && !price && amount == amount2 && !fee,
            TF_SINGLE_ASSET => amount && !amount2 && !price && !fee,
            TF_TWO_ASSET => amount && amount2 && !price && !fee,
            TF_ONE_ASSET_LP_TOKEN => amount && tokens && !amount2 && !price && !fee,
            TF_LIMIT_LP_TOKEN => amount && price && !tokens && !amount2 && !fee,
            TF_TWO_ASSET_IF_EMPTY => amount && amount2 && !price && !tokens,
            _ => false,
        };
        if !well_formed {
            return Ter::TEM_MALFORMED;
        }
        let common = self.preflight_amounts(price);
        let bad_price = match (self.price, self.amount) {
            (Some(price), Some((_, asset))) => bad_amount(price, Some((asset, asset)), false),
            _ => Ter::SUCCESS,
        };
        first([common, bad_price, bad_fee(self.trading_fee.unwrap_or(0))])
    }

    fn preflight_withdraw(&self, tx: &Tx) -> Ter {
        let Given { amount, amount2, price, tokens, .. } = self.given();
        let mode = tx.flags & WITHDRAW_MODES;
        let well_formed = match mode {
            TF_LP_TOKEN => tokens && !amount && !amount2 && !price,
            TF_WITHDRAW_ALL => !tokens && !amount && !amount2 && !price,
            TF_ONE_ASSET_WITHDRAW_ALL | TF_SINGLE_ASSET => amount && !tokens && !amount2 && !price,
            TF_TWO_ASSET => amount && amount2 && !tokens && !price,
            TF_ONE_ASSET_LP_TOKEN => amount && tokens && !amount2 && !price,
            TF_LIMIT_LP_TOKEN => amount && price && !tokens && !amount2,
            _ => false,
        };
        if !well_formed {
            return Ter::TEM_MALFORMED;
        }
        let zero = mode & (TF_ONE_ASSET_WITHDRAW_ALL | TF_ONE_ASSET_LP_TOKEN) != 0 || price;
        let bad_price = self.price.map_or(Ter::SUCCESS, |price| bad_amount(price, None, false));
        first([self.preflight_amounts(zero), bad_price])
    }

    /// The pair, the tokens, and both amounts; the first may be zero when `zero`.
    fn preflight_amounts(&self, zero: bool) -> Ter {
        let bad = bad_pair(self.assets);
        if !bad.is_success() {
            return bad;
        }
        if let (Some((_, asset)), Some((_, asset2))) = (self.amount, self.amount2)
            && asset == asset2
        {
            return Ter::TEM_BAD_AMM_TOKENS;
        }
        if self.tokens.is_some_and(|(tokens, _)| !tokens.is_positive()) {
            return Ter::TEM_BAD_AMM_TOKENS;
        }
        let check = |amount: Option<_>, zero| amount.map_or(Ter::SUCCESS, |a| bad_amount(a, Some(self.assets), zero));
        first([check(self.amount, zero), check(self.amount2, false)])
    }
}
