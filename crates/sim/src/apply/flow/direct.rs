//! A step along a trust line (rippled, `DirectStep`): the sender redeems what he holds of the receiver's tokens, or
//! issues his own as far as the receiver trusts him.

use neo_ledger::{Address, Currency, Token};

use super::Stop;
use super::step::{Debt, Step};
use super::view::{Frozen, View};
use crate::amount::{InOut, PARITY_RATE, Quality, TokenValue, Value};
use crate::state::LineKey;

/// Forward results up to this much above those of the reverse pass are rounding (10^-9).
const ROUNDING_EXPONENT: i32 = -9;

/// What the step last came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cache {
    pub input: TokenValue,
    moved: TokenValue,
    pub output: TokenValue,
    debt: Debt,
}

/// Tokens go from one account to another that trusts it or that issued them.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub from: Address,
    pub to: Address,
    pub currency: Currency,
    is_last: bool,
    /// Offer crossing knows no qualities of lines and no limits for its taker.
    crossing: bool,
    pub cache: Option<Cache>,
}

/// What a step charges: the sender's quality out and the receiver's quality in, in billionths.
#[derive(Clone, Copy)]
struct Charges {
    out: u32,
    into: u32,
}

impl Direct {
    pub(super) const fn new(from: Address, to: Address, currency: Currency, is_last: bool, crossing: bool) -> Direct {
        Direct { from, to, currency, is_last, crossing, cache: None }
    }

    pub(super) fn is_same(&self, other: &Direct) -> bool {
        self.from == other.from && self.to == other.to && self.currency == other.currency
    }

    fn balance(&self, view: &View<'_>) -> Result<TokenValue, Stop> {
        view.held(self.from, Token { currency: self.currency, issuer: self.to }, Frozen::Counts)
    }

    /// Whether the sender redeems or issues.
    pub(super) fn debt(&self, view: &View<'_>, forward: bool) -> Result<Debt, Stop> {
        match (&self.cache, forward) {
            (Some(cache), true) => Ok(cache.debt),
            _ => Ok(if self.balance(view)?.mantissa() > 0 { Debt::Redeems } else { Debt::Issues }),
        }
    }

    /// Most that can flow, and whether the sender redeems or issues it.
    fn most(&self, view: &View<'_>, wanted: TokenValue) -> Result<(TokenValue, Debt), Stop> {
        // Whoever crosses an offer takes what he asked for, whatever his line's limit is.
        if self.crossing && self.is_last {
            return Ok((wanted, Debt::Issues));
        }
        let held = self.balance(view)?;
        if held.mantissa() > 0 {
            return Ok((held, Debt::Redeems));
        }
        Ok((self.limit(view).add(held)?, Debt::Issues))
    }

    /// How much of the sender's tokens the receiver accepts.
    fn limit(&self, view: &View<'_>) -> TokenValue {
        match view.line(self.from, self.to, self.currency) {
            Some(line) if self.to < self.from => line.low_limit,
            Some(line) => line.high_limit,
            None => TokenValue::ZERO,
        }
    }

    /// The receiver's quality in.
    pub(super) fn quality_in(&self, view: &View<'_>) -> u32 {
        self.quality(view, self.to, true)
    }

    fn quality(&self, view: &View<'_>, account: Address, into: bool) -> u32 {
        if self.crossing {
            return PARITY_RATE;
        }
        let key = LineKey::of(self.from, self.to, self.currency);
        let (quality_in, quality_out) =
            view.state.line(key).map_or((0, 0), |line| line.qualities.of_side(account == key.low));
        match if into { quality_in } else { quality_out } {
            0 => PARITY_RATE,
            quality => quality,
        }
    }

    fn charges(&self, view: &View<'_>, before: Option<&Step>, debt: Debt, before_debt: Debt) -> Charges {
        if debt == Debt::Redeems {
            let Some(before) = before else { return Charges { out: PARITY_RATE, into: PARITY_RATE } };
            let out = self.quality(view, self.from, false).max(before.quality_in(view));
            return Charges { out, into: PARITY_RATE };
        }
        // Tokens that come in and go out again pay the issuer's fee.
        let out = if before_debt == Debt::Redeems { view.transfer_rate(self.from) } else { PARITY_RATE };
        let into = self.quality_in(view);
        Charges { out, into: if self.is_last { into.min(PARITY_RATE) } else { into } }
    }

    fn charges_now(&self, view: &View<'_>, before: Option<&Step>, debt: Debt, forward: bool) -> Result<Charges, Stop> {
        let before_debt = match before {
            Some(before) if debt == Debt::Issues => before.debt(view, forward)?,
            _ => Debt::Issues,
        };
        Ok(self.charges(view, before, debt, before_debt))
    }

    /// The best quality the step can have, for strands to be compared by.
    pub(super) fn quality_bound(
        &self,
        view: &View<'_>,
        before: Option<&Step>,
        before_debt: Debt,
    ) -> Result<(Quality, Debt), Stop> {
        let debt = self.debt(view, true)?;
        let charges = self.charges(view, before, debt, before_debt);
        let [input, output] = [charges.out, charges.into].map(|rate| TokenValue::new(i64::from(rate), 0));
        Ok((Quality::of(InOut { input: Value::Token(input?), output: Value::Token(output?) }), debt))
    }

    fn set(&mut self, input: TokenValue, moved: TokenValue, output: TokenValue, debt: Debt) -> InOut {
        self.cache = Some(Cache { input, moved, output, debt });
        InOut { input: Value::Token(input), output: Value::Token(output) }
    }

    /// What must come in for `output` to come out, or for as much as can.
    pub(super) fn reverse(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        output: TokenValue,
    ) -> Result<InOut, Stop> {
        self.cache = None;
        let (most, debt) = self.most(view, output)?;
        let charges = self.charges_now(view, before, debt, false)?;
        if most.mantissa() <= 0 {
            return Ok(self.set(TokenValue::ZERO, TokenValue::ZERO, TokenValue::ZERO, debt));
        }
        let wanted = output.mul_ratio(PARITY_RATE, charges.into, true)?;
        let (moved, output) =
            if wanted <= most { (wanted, output) } else { (most, most.mul_ratio(charges.into, PARITY_RATE, false)?) };
        let input = moved.mul_ratio(charges.out, PARITY_RATE, true)?;
        let result = self.set(input, moved, output, debt);
        view.credit(self.from, self.to, self.currency, moved)?;
        Ok(result)
    }

    /// What comes out for `input`, or for as much of it as can go in.
    pub(super) fn forward(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        input: TokenValue,
    ) -> Result<InOut, Stop> {
        let Some(cache) = self.cache else { return Err(Stop::Dry) };
        let (most, debt) = self.most(view, cache.moved)?;
        let charges = self.charges_now(view, before, debt, true)?;
        if most.mantissa() <= 0 {
            return Ok(self.set(TokenValue::ZERO, TokenValue::ZERO, TokenValue::ZERO, debt));
        }
        let wanted = input.mul_ratio(PARITY_RATE, charges.out, false)?;
        let (input, moved) =
            if wanted <= most { (input, wanted) } else { (most.mul_ratio(charges.out, PARITY_RATE, true)?, most) };
        let output = moved.mul_ratio(charges.into, PARITY_RATE, false)?;
        let limited = limited(cache, Cache { input, moved, output, debt })?;
        self.cache = Some(limited);
        view.credit(self.from, self.to, self.currency, limited.moved)?;
        Ok(InOut { input: Value::Token(limited.input), output: Value::Token(limited.output) })
    }
}

/// A forward pass cannot bring more than the reverse pass found, but for rounding, which is cut off here; a difference
/// too large for rounding is left.
fn limited(reverse: Cache, forward: Cache) -> Result<Cache, Stop> {
    if reverse.input < forward.input {
        let large = forward.input.sub(reverse.input)? > TokenValue::new(1, ROUNDING_EXPONENT)?;
        let same_size = forward.input.exponent() == reverse.input.exponent()
            && !reverse.input.is_zero()
            && i128::from(forward.input.mantissa()) * 100 <= i128::from(reverse.input.mantissa()) * 101;
        if large && !same_size {
            return Ok(forward);
        }
    }
    Ok(Cache { moved: forward.moved.min(reverse.moved), output: forward.output.min(reverse.output), ..forward })
}
