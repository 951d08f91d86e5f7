//! The ledger as a payment sees and changes it: balances under the payment's notes, moves of XRP and tokens, removal of
//! offers, and a point to fall back to when a strand does not work out.

use neo_ledger::{Address, Asset, Currency, LedgerTime, Token};

use super::Stop;
use super::deferred::{Deferred, XRP_ACCOUNT, reserved_count, spendable};
use super::pool::PoolUse;
use crate::amount::{PARITY_RATE, TokenValue, Value};
use crate::apply::funds::{is_deep_frozen, is_frozen, new_line, releases_reserve, reserve_flag};
use crate::apply::{Failure, Rules};
use crate::state::{AccountRoot, Entry, Key, LineKey, Mark, OfferKey, State, TrustLine};
use crate::ter::Ter;

/// Whether frozen tokens count as a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frozen {
    Counts,
    IsNothing,
}

/// The ledger during a payment.
pub(crate) struct View<'a> {
    pub(super) state: &'a mut State,
    pub(super) rules: &'a Rules,
    pub(super) parent_close_time: LedgerTime,
    /// The pools' part in the payment.
    pub(super) pools: PoolUse,
    whole: Deferred,
    strand: Deferred,
    start: Mark,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a mut State, rules: &'a Rules, parent_close_time: LedgerTime) -> View<'a> {
        let start = state.mark();
        let (pools, whole, strand) = (PoolUse::default(), Deferred::default(), Deferred::default());
        View { state, rules, parent_close_time, pools, whole, strand, start }
    }

    /// A strand begins: what it does can be dropped or kept.
    pub(super) fn begin(&mut self) {
        self.start = self.state.mark();
        self.strand.clear();
    }

    /// Back to where the strand began.
    pub(super) fn fall_back(&mut self) {
        self.state.roll_back(self.start);
        self.strand.clear();
    }

    /// What the strand did counts.
    pub(super) fn keep(&mut self) -> Result<(), Stop> {
        self.whole.absorb(&mut self.strand)?;
        self.start = self.state.mark();
        Ok(())
    }

    pub(super) fn root(&self, account: Address) -> Option<&AccountRoot> {
        self.state.account(account)
    }

    pub(super) fn has_flag(&self, account: Address, flag: u32) -> bool {
        self.root(account).is_some_and(|root| root.flags & flag != 0)
    }

    pub(super) fn line(&self, a: Address, b: Address, currency: Currency) -> Option<&TrustLine> {
        self.state.line(LineKey::of(a, b, currency))
    }

    /// The rate at which an account's tokens move between others, in billionths.
    pub(crate) fn transfer_rate(&self, issuer: Address) -> u32 {
        match self.root(issuer).map_or(0, |root| root.transfer_rate) {
            0 => PARITY_RATE,
            rate => rate,
        }
    }

    fn layers(&self) -> [&Deferred; 2] {
        [&self.strand, &self.whole]
    }

    fn liquid(
        &self,
        root: Option<&AccountRoot>,
        layers: &[&Deferred],
        account: Address,
        more: i32,
    ) -> Result<i64, Stop> {
        let Some(root) = root else { return Ok(0) };
        let count = reserved_count(layers, account, root.owner_count).saturating_add_signed(more);
        let reserve = if self.is_pool(account) { 0 } else { self.rules.reserve(count) };
        match spendable(layers, account, XRP_ACCOUNT, None, Value::Drops(root.balance))? {
            Value::Drops(drops) => Ok(drops.saturating_sub(reserve).max(0)),
            Value::Token(_) => Err(Failure(Ter::TEF_INTERNAL).into()),
        }
    }

    /// XRP that an account can spend above the reserve of its entries and `more` (rippled, `xrpLiquid`).
    pub(super) fn liquid_xrp(&self, account: Address, more: i32) -> Result<i64, Stop> {
        self.liquid(self.root(account), &self.layers(), account, more)
    }

    fn tokens(
        &self,
        line: Option<&TrustLine>,
        layers: &[&Deferred],
        holder: Address,
        token: Token,
        frozen: Frozen,
    ) -> Result<TokenValue, Stop> {
        let balance = match line {
            Some(_) if frozen == Frozen::IsNothing && self.cannot_leave(holder, token) => TokenValue::ZERO,
            Some(line) if holder < token.issuer => line.balance,
            Some(line) => line.balance.neg(),
            None => TokenValue::ZERO,
        };
        match spendable(layers, holder, token.issuer, Some(token.currency), Value::Token(balance))? {
            Value::Token(value) => Ok(value),
            Value::Drops(_) => Err(Failure(Ter::TEF_INTERNAL).into()),
        }
    }

    fn cannot_leave(&self, holder: Address, token: Token) -> bool {
        is_frozen(self.state, holder, token)
            || is_deep_frozen(self.state, holder, token)
            || self.pool_token_is_frozen(holder, token.issuer)
    }

    /// What `holder` has of a token, negative when he owes it; `token.issuer` is the other end of the line.
    pub(super) fn held(&self, holder: Address, token: Token, frozen: Frozen) -> Result<TokenValue, Stop> {
        let line = self.line(holder, token.issuer, token.currency);
        self.tokens(line, &self.layers(), holder, token, frozen)
    }

    /// What an account can pay of an asset; an issuer has as much of his own token as is asked (rippled,
    /// `accountFunds`).
    pub(crate) fn funds(&self, account: Address, asset: Asset, asked: Value) -> Result<Value, Stop> {
        match asset {
            Asset::Xrp => self.liquid_xrp(account, 0).map(Value::Drops),
            Asset::Token(token) if token.issuer == account => Ok(asked),
            Asset::Token(token) => self.held(account, token, Frozen::IsNothing).map(Value::Token),
        }
    }

    /// The same as before the strand began.
    pub(super) fn funds_before(&self, account: Address, asset: Asset, asked: Value) -> Result<Value, Stop> {
        let layers = [&self.whole];
        match asset {
            Asset::Xrp => {
                let root = match self.state.entry_at(self.start, Key::Account(account)) {
                    Some(Entry::Account(root)) => Some(root),
                    _ => None,
                };
                self.liquid(root.as_ref(), &layers, account, 0).map(Value::Drops)
            }
            Asset::Token(token) if token.issuer == account => Ok(asked),
            Asset::Token(token) => {
                let key = LineKey::of(account, token.issuer, token.currency);
                let line = match self.state.entry_at(self.start, Key::Line(key)) {
                    Some(Entry::Line(line)) => Some(line),
                    _ => None,
                };
                self.tokens(line.as_ref(), &layers, account, token, Frozen::IsNothing).map(Value::Token)
            }
        }
    }

    /// Moves drops; `None` is the XRP that a strand takes up and hands on. False when there are not as many.
    pub(super) fn send_xrp(&mut self, from: Option<Address>, to: Option<Address>, drops: i64) -> Result<bool, Stop> {
        if drops < 0 {
            return Ok(false);
        }
        if drops == 0 || from == to {
            return Ok(true);
        }
        let amount = Value::Drops(drops);
        if let Some(root) = from.and_then(|from| self.root(from)).cloned() {
            let Some(from) = from else { return Ok(true) };
            if root.balance < drops {
                return Ok(false);
            }
            self.strand.note(from, XRP_ACCOUNT, None, amount, Value::Drops(root.balance))?;
            self.state.put_account(from, AccountRoot { balance: root.balance - drops, ..root });
        }
        if let Some(root) = to.and_then(|to| self.root(to)).cloned() {
            let Some(to) = to else { return Ok(true) };
            self.strand.note(XRP_ACCOUNT, to, None, amount, Value::Drops(-root.balance))?;
            let balance = root.balance.checked_add(drops).ok_or(Failure(Ter::TEC_INTERNAL))?;
            self.state.put_account(to, AccountRoot { balance, ..root });
        }
        Ok(true)
    }

    /// Moves a token along a trust line, making the line when there is none and removing it when nothing of it is left
    /// (rippled, `rippleCredit`).
    pub(super) fn credit(
        &mut self,
        from: Address,
        to: Address,
        currency: Currency,
        value: TokenValue,
    ) -> Result<(), Stop> {
        let key = LineKey::of(from, to, currency);
        let Some(mut line) = self.state.line(key).cloned() else {
            return self.credit_new_line(from, to, currency, value);
        };
        let before = if from == key.low { line.balance } else { line.balance.neg() };
        self.strand.note(from, to, Some(currency), Value::Token(value), Value::Token(before))?;
        let after = before.sub(value)?;
        let from_ripples = self.has_flag(from, crate::state::LSF_DEFAULT_RIPPLE);
        let mut removed = false;
        if releases_reserve(&line, key, from, from_ripples, before, after) {
            self.change_owner_count(from, -1)?;
            line.flags &= !reserve_flag(key, from);
            removed = after.is_zero() && line.flags & reserve_flag(key, to) == 0;
        }
        line.balance = if from == key.low { after } else { after.neg() };
        if removed {
            // The metadata of a removed line shows its last balance.
            self.state.put_line(key, line);
            self.state.put(Key::Line(key), None);
        } else {
            self.state.put_line(key, line);
        }
        Ok(())
    }

    /// The receiver pays the reserve of a line that a payment makes.
    fn credit_new_line(
        &mut self,
        from: Address,
        to: Address,
        currency: Currency,
        value: TokenValue,
    ) -> Result<(), Stop> {
        let (Some(_), Some(_)) = (self.root(from), self.root(to)) else {
            return Err(Failure(Ter::TEF_INTERNAL).into());
        };
        let token = Token { currency, issuer: from };
        let (key, line) = new_line(self.state, to, token, TokenValue::ZERO, value, 0);
        self.state.put_line(key, line);
        self.change_owner_count(to, 1)?;
        self.strand.note(from, to, Some(currency), Value::Token(value), Value::Token(TokenValue::ZERO))?;
        Ok(())
    }

    /// Moves an asset between an account and whoever stands behind it: the issuer, or XRP itself. False when the account
    /// has not as much XRP.
    pub(super) fn settle(
        &mut self,
        account: Address,
        asset: Asset,
        amount: Value,
        receives: bool,
    ) -> Result<bool, Stop> {
        match (asset, amount) {
            (Asset::Xrp, Value::Drops(drops)) if receives => self.send_xrp(None, Some(account), drops),
            (Asset::Xrp, Value::Drops(drops)) => self.send_xrp(Some(account), None, drops),
            (Asset::Token(token), Value::Token(value)) => {
                if value.mantissa() < 0 {
                    return Ok(false);
                }
                if !value.is_zero() && token.issuer != account {
                    let (from, to) = if receives { (token.issuer, account) } else { (account, token.issuer) };
                    self.credit(from, to, token.currency, value)?;
                }
                Ok(true)
            }
            _ => Err(Failure(Ter::TEF_INTERNAL).into()),
        }
    }

    fn change_owner_count(&mut self, account: Address, change: i32) -> Result<(), Stop> {
        let root = self.root(account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
        let owner_count = root.owner_count.saturating_add_signed(change);
        self.strand.note_count(account, root.owner_count.max(owner_count));
        self.state.put_account(account, AccountRoot { owner_count, ..root });
        Ok(())
    }

    /// Removes an offer and its owner's reserve for it; nothing when it is gone.
    pub(super) fn delete_offer(&mut self, key: OfferKey) -> Result<(), Stop> {
        if self.state.offer(key).is_none() {
            return Ok(());
        }
        self.state.put(Key::Offer(key), None);
        self.change_owner_count(key.account, -1)
    }
}
