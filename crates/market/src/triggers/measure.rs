//! When a trigger's condition holds: measures and limits in, readings out.

use crate::decimal::LEDGER_DIGITS;
use crate::quote::BPS;
use crate::risk::RiskConfig;
use crate::triggers::worth::{Loss, Losses};
use crate::triggers::{Condition, Reading, Trigger, TriggerConfig};
use crate::{AmountError, Dec, Drops, Rounding};

/// Everything that the triggers look at when a ledger is complete. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Ledgers between this one and the one that was told of before; the first has none before it.
    pub gap_ledgers: u32,
    /// Why ledgers before this one are lost for good, if they are.
    pub history_lost: Option<String>,
    /// What is lost.
    pub losses: Option<Losses>,
    /// All XRP of the account.
    pub xrp: Drops,
    /// XRP above the reserve; below zero where the reserve is not met.
    pub spendable_xrp: Drops,
    /// Transactions without success in the window.
    pub rejects: i64,
    /// Drops burnt in the window.
    pub fees_drops: i64,
    /// Transactions whose fate is open for too long.
    pub unknown_intents: u32,
    /// The middle price that was accepted last, and the one now.
    pub moved: Option<(Dec, Dec)>,
    /// Local clock minus close time, in seconds; `None` where ledgers are not closed by the clock.
    pub clock_ahead_s: Option<i64>,
}

/// The readings of all triggers but [`Trigger::Silence`], which is measured when no ledger comes.
///
/// # Errors
/// [`AmountError`] for absurd amounts.
pub fn readings(risk: &RiskConfig, measured: &Measured) -> Result<Vec<Reading>, AmountError> {
    let config = &risk.triggers;
    let losses = measured.losses.as_ref();
    Ok(vec![
        // A ledger has come.
        Reading { trigger: Trigger::Silence, condition: Condition::Gone },
        gap(config, measured),
        inventory(risk, measured.xrp)?,
        loss(config, Trigger::Drawdown, losses.map(|losses| losses.drawdown), "below the highest value"),
        loss(
            config,
            Trigger::HoldingLoss,
            losses.map(|losses| losses.holding),
            "below what holding the opening inventory is worth",
        ),
        loss(config, Trigger::DayLoss, losses.map(|losses| losses.day), "below the value at the day's first ledger"),
        count(config, Trigger::Rejects, measured.rejects, |n| {
            format!("{n} transactions failed, died or were refused within {} s", config.rejects_window_s)
        }),
        count(config, Trigger::Fees, measured.fees_drops, |n| {
            format!("{n} drops were burnt as fees within {} s", config.fees_window_s)
        }),
        count(config, Trigger::UnknownIntents, i64::from(measured.unknown_intents), |n| {
            format!("the fate of {n} transactions has been open for too long")
        }),
        price_move(config, measured.moved)?,
        clock(config, measured.clock_ahead_s),
        reserve(config, measured.spendable_xrp)?,
    ])
}

/// No complete validated ledger has come for so long.
#[must_use]
pub fn silence(config: &TriggerConfig, silence_s: i64) -> Reading {
    count(config, Trigger::Silence, silence_s, |n| format!("no complete validated ledger has come for {n} s"))
}

fn reading(config: &TriggerConfig, trigger: Trigger, holds: bool, text: impl FnOnce(Dec) -> String) -> Reading {
    let limit = config.rule(trigger).limit;
    let holds = holds && limit.is_positive();
    let condition = if holds { Condition::Holds(text(limit)) } else { Condition::Gone };
    Reading { trigger, condition }
}

/// A whole number at or above its limit.
fn count(config: &TriggerConfig, trigger: Trigger, n: i64, text: impl FnOnce(i64) -> String) -> Reading {
    let holds = Dec::from_i64(n) >= config.rule(trigger).limit;
    reading(config, trigger, holds, |limit| format!("{}; {trigger}.limit is {limit}", text(n)))
}

fn gap(config: &TriggerConfig, measured: &Measured) -> Reading {
    match &measured.history_lost {
        Some(cause) => reading(config, Trigger::Gap, true, |_| format!("ledgers are lost: {cause}")),
        None => count(config, Trigger::Gap, i64::from(measured.gap_ledgers), |n| {
            format!("{n} ledgers went by unseen before this one")
        }),
    }
}

fn inventory(risk: &RiskConfig, owned: Drops) -> Result<Reading, AmountError> {
    let xrp = owned.to_xrp()?;
    let above = risk.max_inventory_xrp.map(|max| xrp.sub(max)).transpose()?;
    let below = risk.min_inventory_xrp.map(|min| min.sub(xrp)).transpose()?;
    let (over, bound) = match (above, below) {
        (Some(over), _) if over.is_positive() => (over, "above max_inventory_xrp"),
        (_, Some(under)) => (under, "below min_inventory_xrp"),
        _ => (Dec::zero(), "beyond the bounds"),
    };
    let holds = over >= risk.triggers.inventory_over_xrp.limit;
    Ok(reading(&risk.triggers, Trigger::Inventory, holds, |limit| {
        format!("{xrp} XRP are owned, {over} {bound}; inventory_over_xrp.limit is {limit}")
    }))
}

fn loss(config: &TriggerConfig, trigger: Trigger, loss: Option<Loss>, than: &str) -> Reading {
    let Some(Loss { pct, from, value }) = loss else {
        return Reading { trigger, condition: Condition::Unknown };
    };
    reading(config, trigger, pct >= config.rule(trigger).limit, |limit| {
        format!(
            "the value of {value:.2} RLUSD is {pct:.2} % {than}, {from:.2} (deposits and withdrawals are left out); \
             {trigger}.limit is {limit}"
        )
    })
}

fn price_move(config: &TriggerConfig, moved: Option<(Dec, Dec)>) -> Result<Reading, AmountError> {
    let trigger = Trigger::PriceMove;
    let Some((accepted, now)) = moved.filter(|(accepted, _)| accepted.is_positive()) else {
        return Ok(Reading { trigger, condition: Condition::Unknown });
    };
    let off = now.sub(accepted)?.abs().mul(Dec::from_i64(BPS), Rounding::HalfEven)?;
    let bps = off.div(accepted, Rounding::HalfEven)?.round_digits(LEDGER_DIGITS, Rounding::HalfEven)?;
    Ok(reading(config, trigger, bps >= config.price_move_bps.limit, |limit| {
        format!("the middle price went from {accepted} to {now}, {bps:.1} bps; {trigger}.limit is {limit}")
    }))
}

fn clock(config: &TriggerConfig, ahead_s: Option<i64>) -> Reading {
    let trigger = Trigger::ClockSkew;
    let Some(ahead_s) = ahead_s else { return Reading { trigger, condition: Condition::Gone } };
    let holds = Dec::from_i64(ahead_s.saturating_abs()) >= config.clock_skew_s.limit;
    reading(config, trigger, holds, |limit| {
        let (off_s, which) = (ahead_s.saturating_abs(), if ahead_s < 0 { "behind" } else { "ahead of" });
        format!("the local clock is {off_s} s {which} the newest ledger; {trigger}.limit is {limit}; set the clock")
    })
}

fn reserve(config: &TriggerConfig, spendable: Drops) -> Result<Reading, AmountError> {
    let xrp = spendable.to_xrp()?;
    let trigger = Trigger::ReserveShort;
    Ok(reading(config, trigger, xrp < config.reserve_short_xrp.limit, |limit| {
        format!("{xrp} XRP are spendable above the reserve, fewer than {trigger}.limit = {limit}; add XRP")
    }))
}
