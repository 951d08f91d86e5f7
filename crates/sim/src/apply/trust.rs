//! TrustSet (rippled 2.6.1, `SetTrust.cpp`).

use neo_ledger::{Asset, Token};

use super::funds::{LSF_HIGH_DEEP_FREEZE, LSF_LOW_DEEP_FREEZE, adjust_owner_count};
use super::tx::Tx;
use super::{Context, Failure};
use crate::amendment::Amendment;
use crate::amount::{PARITY_RATE, TokenValue, Value};
use crate::state::{
    AccountRoot, Entry, Key, LSF_DEFAULT_RIPPLE, LSF_DISALLOW_INCOMING_TRUSTLINE, LSF_HIGH_AUTH, LSF_HIGH_FREEZE,
    LSF_HIGH_NO_RIPPLE, LSF_HIGH_RESERVE, LSF_LOW_AUTH, LSF_LOW_FREEZE, LSF_LOW_NO_RIPPLE, LSF_LOW_RESERVE,
    LSF_NO_FREEZE, LSF_REQUIRE_AUTH, LineKey, LineQualities, State, TrustLine,
};
use crate::ter::Ter;

/// Let the other side hold one's tokens.
const TF_SET_AUTH: u32 = 0x0001_0000;
/// Let nothing ripple through.
const TF_SET_NO_RIPPLE: u32 = 0x0002_0000;
/// Let ripple again.
const TF_CLEAR_NO_RIPPLE: u32 = 0x0004_0000;
/// Freeze the line.
pub(crate) const TF_SET_FREEZE: u32 = 0x0010_0000;
/// Thaw it.
pub(crate) const TF_CLEAR_FREEZE: u32 = 0x0020_0000;
/// Freeze it so that nothing comes in either.
pub(crate) const TF_SET_DEEP_FREEZE: u32 = 0x0040_0000;
/// Let in again.
pub(crate) const TF_CLEAR_DEEP_FREEZE: u32 = 0x0080_0000;
/// Flags that a TrustSet may carry.
pub(super) const FLAGS: u32 = TF_SET_AUTH
    | TF_SET_NO_RIPPLE
    | TF_CLEAR_NO_RIPPLE
    | TF_SET_FREEZE
    | TF_CLEAR_FREEZE
    | TF_SET_DEEP_FREEZE
    | TF_CLEAR_DEEP_FREEZE;

/// Entries an account may own before a trust line needs reserve.
const FREE_LINES: u32 = 2;

/// What a TrustSet asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrustSet {
    /// Most that is accepted, of which token.
    pub limit: (Value, Asset),
    /// What is charged for what comes in, in billionths; 0 removes it.
    pub quality_in: Option<u32>,
    /// What is charged for what goes out, in billionths; 0 removes it.
    pub quality_out: Option<u32>,
}

/// The flags of one side of a line.
struct Side {
    reserve: u32,
    no_ripple: u32,
    auth: u32,
    freeze: u32,
    deep_freeze: u32,
}

const LOW: Side = Side {
    reserve: LSF_LOW_RESERVE,
    no_ripple: LSF_LOW_NO_RIPPLE,
    auth: LSF_LOW_AUTH,
    freeze: LSF_LOW_FREEZE,
    deep_freeze: LSF_LOW_DEEP_FREEZE,
};
const HIGH: Side = Side {
    reserve: LSF_HIGH_RESERVE,
    no_ripple: LSF_HIGH_NO_RIPPLE,
    auth: LSF_HIGH_AUTH,
    freeze: LSF_HIGH_FREEZE,
    deep_freeze: LSF_HIGH_DEEP_FREEZE,
};

const fn side(is_low: bool) -> &'static Side {
    if is_low { &LOW } else { &HIGH }
}

impl TrustSet {
    /// Checks that need no ledger.
    pub(super) fn preflight(&self, tx: &Tx, context: &Context<'_>) -> Ter {
        let deep = tx.has(TF_SET_DEEP_FREEZE | TF_CLEAR_DEEP_FREEZE);
        let (Value::Token(limit), Asset::Token(token)) = self.limit else { return Ter::TEM_BAD_LIMIT };
        let checks = [
            (deep && !context.rules.enabled(Amendment::DeepFreeze), Ter::TEM_INVALID_FLAG),
            (super::is_bad_currency(token.currency), Ter::TEM_BAD_CURRENCY),
            (limit.mantissa() < 0, Ter::TEM_BAD_LIMIT),
            (super::is_nobody(token.issuer), Ter::TEM_DST_NEEDED),
        ];
        checks.into_iter().find_map(|(fails, result)| fails.then_some(result)).unwrap_or(Ter::SUCCESS)
    }

    fn parts(&self) -> Result<(TokenValue, Token), Failure> {
        match self.limit {
            (Value::Token(limit), Asset::Token(token)) => Ok((limit, token)),
            _ => Err(Failure(Ter::TEF_INTERNAL)),
        }
    }

    /// Checks against the ledger.
    pub(super) fn preclaim(
        &self,
        state: &State,
        tx: &Tx,
        root: &AccountRoot,
        context: &Context<'_>,
    ) -> Result<Ter, Failure> {
        let (_, token) = self.parts()?;
        if tx.has(TF_SET_AUTH) && root.flags & LSF_REQUIRE_AUTH == 0 {
            return Ok(Ter::TEF_NO_AUTH_REQUIRED);
        }
        if token.issuer == tx.account {
            return Ok(Ter::TEM_DST_IS_SRC);
        }
        let Some(peer) = state.account(token.issuer) else { return Ok(Ter::TEC_NO_DST) };
        let line = state.line(LineKey::of(tx.account, token.issuer, token.currency));
        let refuses = peer.flags & LSF_DISALLOW_INCOMING_TRUSTLINE != 0;
        let known = line.is_some() && context.rules.enabled(Amendment::FixDisallowIncomingV1);
        if refuses && !known && context.rules.enabled(Amendment::DisallowIncoming) {
            return Ok(Ter::TEC_NO_PERMISSION);
        }
        if peer.amm_id.is_some() && line.is_none() {
            // A pool's account issues its pool tokens and nothing else.
            let refused = match state.amm_of(token.issuer) {
                None => Ter::TEC_INTERNAL,
                Some((_, amm)) if amm.lp_token_balance.is_zero() => Ter::TEC_AMM_EMPTY,
                Some((pair, _)) if pair.lp_currency() != token.currency => Ter::TEC_NO_PERMISSION,
                Some(_) => Ter::SUCCESS,
            };
            if !refused.is_success() {
                return Ok(refused);
            }
        }
        let flags = line.map_or(0, |line| line.flags);
        let allowed =
            !context.rules.enabled(Amendment::DeepFreeze) || may_freeze(tx, root, flags, tx.account < token.issuer);
        Ok(if allowed { Ter::SUCCESS } else { Ter::TEC_NO_PERMISSION })
    }

    /// Does it.
    pub(super) fn apply(
        &self,
        state: &mut State,
        tx: &Tx,
        context: &Context<'_>,
        prior_balance: i64,
    ) -> Result<Ter, Failure> {
        let (limit, token) = self.parts()?;
        let root = state.account(tx.account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
        let needed = match root.owner_count {
            ..FREE_LINES => 0,
            count => context.rules.reserve(count.saturating_add(1)),
        };
        let can_pay = prior_balance >= needed;
        let key = LineKey::of(tx.account, token.issuer, token.currency);
        match state.line(key).cloned() {
            Some(line) => self.change(state, tx, &root, limit, key, line, can_pay),
            None if self.is_redundant(tx, limit) => Ok(Ter::TEC_NO_LINE_REDUNDANT),
            None if !can_pay => Ok(Ter::TEC_NO_LINE_INSUF_RESERVE),
            None => self.create(state, tx, &root, limit, key),
        }
    }

    /// True when the line that is asked for is the one that there is without one.
    fn is_redundant(&self, tx: &Tx, limit: TokenValue) -> bool {
        limit.is_zero()
            && self.quality_in.unwrap_or(0) == 0
            && self.asked_quality_out().unwrap_or(0) == 0
            && !tx.has(TF_SET_AUTH)
    }

    /// The outgoing quality that is asked for; par is none.
    fn asked_quality_out(&self) -> Option<u32> {
        self.quality_out.map(|quality| if quality == PARITY_RATE { 0 } else { quality })
    }

    fn create(
        &self,
        state: &mut State,
        tx: &Tx,
        root: &AccountRoot,
        limit: TokenValue,
        key: LineKey,
    ) -> Result<Ter, Failure> {
        let is_low = tx.account == key.low;
        let (own, peer) = (side(is_low), side(!is_low));
        let peer_root = state.account(key.peer_of(tx.account)).ok_or(Failure(Ter::TEC_NO_TARGET))?;
        let mut flags = freeze_flags(tx, root, own, own.reserve);
        for (set, flag) in [
            (tx.has(TF_SET_AUTH), own.auth),
            (tx.has(TF_SET_NO_RIPPLE) && !tx.has(TF_CLEAR_NO_RIPPLE), own.no_ripple),
            (peer_root.flags & LSF_DEFAULT_RIPPLE == 0, peer.no_ripple),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let mut line = TrustLine {
            balance: TokenValue::ZERO,
            low_limit: TokenValue::ZERO,
            high_limit: TokenValue::ZERO,
            flags,
            qualities: LineQualities::default(),
            previous: None,
        };
        self.set_terms(&mut line, is_low, limit);
        state.put_line(key, line);
        adjust_owner_count(state, tx.account, 1)?;
        Ok(Ter::SUCCESS)
    }

    /// Sets limit and qualities of one side.
    fn set_terms(&self, line: &mut TrustLine, is_low: bool, limit: TokenValue) {
        let qualities = &mut line.qualities;
        let (own_limit, quality_in, quality_out) = if is_low {
            (&mut line.low_limit, &mut qualities.low_in, &mut qualities.low_out)
        } else {
            (&mut line.high_limit, &mut qualities.high_in, &mut qualities.high_out)
        };
        *own_limit = limit;
        *quality_in = self.quality_in.unwrap_or(*quality_in);
        *quality_out = self.asked_quality_out().unwrap_or(*quality_out);
    }

    #[allow(clippy::too_many_arguments, reason = "one step of `apply`, which has all of them at hand")]
    fn change(
        &self,
        state: &mut State,
        tx: &Tx,
        root: &AccountRoot,
        limit: TokenValue,
        key: LineKey,
        mut line: TrustLine,
        can_pay: bool,
    ) -> Result<Ter, Failure> {
        let is_low = tx.account == key.low;
        let own = side(is_low);
        self.set_terms(&mut line, is_low, limit);
        let held = if is_low { line.balance } else { line.balance.neg() };
        if tx.has(TF_SET_NO_RIPPLE) && !tx.has(TF_CLEAR_NO_RIPPLE) {
            if held.mantissa() < 0 {
                return Ok(Ter::TEC_NO_PERMISSION);
            }
            line.flags |= own.no_ripple;
        } else if tx.has(TF_CLEAR_NO_RIPPLE) && !tx.has(TF_SET_NO_RIPPLE) {
            line.flags &= !own.no_ripple;
        }
        line.flags = freeze_flags(tx, root, own, line.flags);
        if tx.has(TF_SET_AUTH) {
            line.flags |= own.auth;
        }
        let settled = settle_reserves(state, key, &mut line, is_low)?;
        if settled.unused {
            // The metadata of a removed line shows its last form.
            state.put_line(key, line);
            state.put(Key::Line(key), None);
            return Ok(Ter::SUCCESS);
        }
        if settled.starts_to_pay && !can_pay {
            return Ok(Ter::TEC_INSUF_RESERVE_LINE);
        }
        state.put(Key::Line(key), Some(Entry::Line(line)));
        Ok(Ter::SUCCESS)
    }
}

/// The flags of a side's freezes after the transaction's own.
fn freeze_flags(tx: &Tx, root: &AccountRoot, own: &Side, mut flags: u32) -> u32 {
    let may = root.flags & LSF_NO_FREEZE == 0;
    for (set, clear, flag) in
        [(TF_SET_FREEZE, TF_CLEAR_FREEZE, own.freeze), (TF_SET_DEEP_FREEZE, TF_CLEAR_DEEP_FREEZE, own.deep_freeze)]
    {
        if tx.has(set) && !tx.has(clear) && may {
            flags |= flag;
        } else if tx.has(clear) && !tx.has(set) {
            flags &= !flag;
        }
    }
    flags
}

/// False for a freeze by who gave it up, for freezing and thawing at once, and for a deep freeze without a plain one.
fn may_freeze(tx: &Tx, root: &AccountRoot, flags: u32, is_low: bool) -> bool {
    let sets = tx.has(TF_SET_FREEZE | TF_SET_DEEP_FREEZE);
    if sets && (root.flags & LSF_NO_FREEZE != 0 || tx.has(TF_CLEAR_FREEZE | TF_CLEAR_DEEP_FREEZE)) {
        return false;
    }
    let own = side(is_low);
    let flags = freeze_flags(tx, root, own, flags);
    flags & own.deep_freeze == 0 || flags & own.freeze != 0
}

/// What the sides of a changed line pay.
struct Settled {
    /// True when the changing side starts to pay.
    starts_to_pay: bool,
    /// True when neither side has any use for the line.
    unused: bool,
}

/// Each side pays reserve for a line that it uses: holds something, limits or charges something, or set apart from its
/// defaults.
fn settle_reserves(
    state: &mut State,
    key: LineKey,
    line: &mut TrustLine,
    low_changes: bool,
) -> Result<Settled, Failure> {
    let mut settled = Settled { starts_to_pay: false, unused: true };
    for is_low in [true, false] {
        let own = side(is_low);
        let (owner, limit, held) = if is_low {
            (key.low, line.low_limit, line.balance)
        } else {
            (key.high, line.high_limit, line.balance.neg())
        };
        let (quality_in, quality_out) = line.qualities.of_side(is_low);
        let ripples = state.account(owner).is_some_and(|root| root.flags & LSF_DEFAULT_RIPPLE != 0);
        let uses = ![0, PARITY_RATE].contains(&quality_in)
            || ![0, PARITY_RATE].contains(&quality_out)
            || (line.flags & own.no_ripple == 0) != ripples
            || line.flags & own.freeze != 0
            || !limit.is_zero()
            || held.mantissa() > 0;
        let pays = line.flags & own.reserve != 0;
        settled.unused &= !uses;
        if uses && !pays {
            line.flags |= own.reserve;
            adjust_owner_count(state, owner, 1)?;
            settled.starts_to_pay |= is_low == low_changes;
        } else if !uses && pays {
            line.flags &= !own.reserve;
            adjust_owner_count(state, owner, -1)?;
        }
    }
    Ok(settled)
}
