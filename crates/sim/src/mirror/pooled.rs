//! The mirrored pool in the mirrored state: put to what the ledger says of it, and moved by nothing else.
//!
//! Nobody trades with it here ([`Amm::mirrored`]): what it gave it gave to the real ledger's takers, and what of that would
//! have been taken of ours first is for [`super::curve`] to say. Ours, where it would have taken from the pool, rests.

use neo_ledger::{Asset, Token};

use super::pool::{Picture, PoolChange, PoolState};
use crate::amm::AssetPair;
use crate::amount::TokenValue;
use crate::state::{
    AccountRoot, Key, LSF_AMM_NODE, LSF_DEFAULT_RIPPLE, LSF_DEPOSIT_AUTH, LSF_DISABLE_MASTER, LSF_HIGH_FREEZE,
    LSF_HIGH_RESERVE, LSF_LOW_FREEZE, LSF_LOW_RESERVE, LineKey, LineQualities, State, TrustLine,
};

/// The pool of the mirrored pair.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    token: Token,
    /// As the ledger had it last; kept when it is not known any more, as its fee and account hardly ever change.
    pool: Option<PoolState>,
    /// Whether that is true now. A pool that is not known is frozen: it has no price, as a side that is not known is empty.
    known: bool,
}

impl Pooled {
    pub(crate) const fn new(token: Token) -> Pooled {
        Pooled { token, pool: None, known: false }
    }

    /// The pool, as far as is known; nobody knows whether it is still so after a hole.
    pub(crate) const fn last(&self) -> Option<&PoolState> {
        self.pool.as_ref()
    }

    /// A transaction was applied.
    pub(crate) fn changed(&mut self, state: &mut State, change: Option<&PoolChange>) {
        let Some(change) = change else { return };
        self.put(state, change.after(self.pool.clone()));
    }

    /// A ledger begins, before which the pool is `known` or not.
    pub(crate) fn begins(&mut self, state: &mut State, known: bool) {
        if self.known != known {
            self.known = known;
            self.put(state, self.pool.clone());
        }
    }

    /// A ledger's transactions are applied, and a node said this of the pool after them.
    pub(crate) fn told(&mut self, state: &mut State, picture: Option<&Picture>) {
        let Some(picture) = picture else { return };
        self.known = true;
        let pool = match picture {
            Picture::Pool(pool) => Some(PoolState::clone(pool)),
            Picture::Absent => None,
        };
        self.put(state, pool);
    }

    fn put(&mut self, state: &mut State, pool: Option<PoolState>) {
        let is_other = |old: &PoolState| pool.as_ref().is_none_or(|pool| pool.amm.account != old.amm.account);
        if let Some(old) = self.pool.take_if(|old| is_other(old)) {
            self.take_out(state, &old);
        }
        if let Some(pool) = &pool {
            self.write(state, pool);
        }
        self.pool = pool;
    }

    fn pair(&self) -> AssetPair {
        AssetPair::of(Asset::Xrp, Asset::Token(self.token))
    }

    fn line_of(&self, pool: &PoolState) -> LineKey {
        LineKey::of(pool.amm.account, self.token.issuer, self.token.currency)
    }

    fn take_out(&self, state: &mut State, pool: &PoolState) {
        for key in [Key::Line(self.line_of(pool)), Key::Amm(self.pair()), Key::Account(pool.amm.account)] {
            state.put(key, None);
        }
    }

    fn write(&self, state: &mut State, pool: &PoolState) {
        let (account, pair) = (pool.amm.account, self.pair());
        let root = state.account(account).cloned().unwrap_or_else(|| AccountRoot {
            flags: LSF_DISABLE_MASTER | LSF_DEFAULT_RIPPLE | LSF_DEPOSIT_AUTH,
            owner_count: 1,
            amm_id: Some(pair.id()),
            ..AccountRoot::default()
        });
        if state.account(account).is_none_or(|root| root.balance != pool.xrp) {
            state.put_account(account, AccountRoot { balance: pool.xrp, ..root });
        }
        let known = state.amm(pair);
        let entry = crate::amm::Amm { previous: known.and_then(|amm| amm.previous), ..pool.amm.clone() };
        if known != Some(&entry) {
            state.put_amm(pair, entry);
        }
        let key = self.line_of(pool);
        let low = account == key.low;
        let (reserve, freeze) =
            if low { (LSF_LOW_RESERVE, LSF_HIGH_FREEZE) } else { (LSF_HIGH_RESERVE, LSF_LOW_FREEZE) };
        let frozen = if pool.frozen || !self.known { freeze } else { 0 };
        let line = TrustLine {
            balance: if low { pool.token } else { pool.token.neg() },
            low_limit: TokenValue::ZERO,
            high_limit: TokenValue::ZERO,
            flags: LSF_AMM_NODE | reserve | frozen,
            qualities: LineQualities::default(),
            previous: state.line(key).and_then(|line| line.previous),
        };
        if state.line(key) != Some(&line) {
            state.put_line(key, line);
        }
    }
}
