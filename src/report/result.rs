//! A session's result in parts that add up, and where the price went after its fills. Pure: rows in, figures out.

use std::collections::BTreeMap;

use neo_market::result::holding::Holding;
use neo_market::result::lots::{Gains, Method, gains};
use neo_market::result::mark_out::{HORIZONS_LEDGERS, MarkOutPoint, MarkOutStats};
use neo_market::result::moves::Figure;
use neo_market::result::split::Split;
use neo_market::{AmountError, Dec, Side};
use neo_store::SessionMoves;
use neo_store::record::{Fill, MarkOut};
use serde::Serialize;

/// A session's result, in RLUSD; `starting + spread + inventory + fees + flows + unexplained = ending`, exactly. What is
/// not known is null, and `unknown` says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionResult {
    /// The ledger of the starting value.
    pub opening_ledger_index: u32,
    /// The ledger of the ending value.
    pub closing_ledger_index: u32,
    /// The parts.
    #[serde(flatten)]
    pub parts: Parts,
    /// `spread` and `inventory` together, also where the one cannot be told from the other.
    pub trading_rlusd: Option<Dec>,
    /// Gains by first in, first out: `realised + unrealised` is `trading`.
    pub fifo: GainsOf,
    /// Gains by average cost: `realised + unrealised` is `trading`.
    pub average_cost: GainsOf,
    /// The ending value if nothing had been traded: the opening balances and the flows at the closing price.
    pub holding_value_rlusd: Option<Dec>,
    /// The ending value minus that.
    pub versus_holding_rlusd: Option<Dec>,
    /// Why what is null is not known, by its name.
    pub unknown: BTreeMap<&'static str, String>,
}

/// The parts of a change of value, in RLUSD; losses are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// At the first ledger.
    pub starting_value_rlusd: Option<Dec>,
    /// By how much fills were better than the middle of the ledger before.
    pub spread_rlusd: Option<Dec>,
    /// What the price did to what was held.
    pub inventory_rlusd: Option<Dec>,
    /// Fees, negative.
    pub fees_rlusd: Option<Dec>,
    /// Deposits and withdrawals.
    pub flows_rlusd: Option<Dec>,
    /// Changes that nothing explains.
    pub unexplained_rlusd: Option<Dec>,
    /// At the last ledger.
    pub ending_value_rlusd: Option<Dec>,
    /// What the ending value is more than all that; 0 when it adds up.
    pub difference_rlusd: Option<Dec>,
}

/// Gains by one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GainsOf {
    /// By what was sold or left.
    pub realised_rlusd: Option<Dec>,
    /// By what is left, at the closing price.
    pub unrealised_rlusd: Option<Dec>,
    /// What that had cost.
    pub cost_rlusd: Option<Dec>,
}

impl SessionResult {
    /// The result of what a session was made of.
    ///
    /// # Errors
    /// [`AmountError`] when a sum does not fit 34 digits.
    pub fn of(session: &SessionMoves) -> Result<SessionResult, AmountError> {
        let (split, holding) = (Split::of(&session.moves)?, Holding::of(&session.moves)?);
        let mut unknown = BTreeMap::new();
        let mut known = |name: &'static str, figure: Figure| match figure {
            Ok(known) => Some(known),
            Err(why) => {
                unknown.insert(name, why.to_string());
                None
            }
        };
        let parts = Parts {
            starting_value_rlusd: known("starting_value_rlusd", split.starting),
            spread_rlusd: known("spread_rlusd", split.spread),
            inventory_rlusd: known("inventory_rlusd", split.inventory),
            fees_rlusd: known("fees_rlusd", split.fees),
            flows_rlusd: known("flows_rlusd", split.flows),
            unexplained_rlusd: known("unexplained_rlusd", split.unexplained),
            ending_value_rlusd: known("ending_value_rlusd", split.ending),
            difference_rlusd: known("difference_rlusd", split.difference),
        };
        let mut of = |name: &'static str, gains: Gains| GainsOf {
            realised_rlusd: known(name, gains.realised),
            unrealised_rlusd: known(name, gains.unrealised),
            cost_rlusd: known(name, gains.cost),
        };
        Ok(SessionResult {
            opening_ledger_index: session.opening_ledger,
            closing_ledger_index: session.closing_ledger,
            parts,
            fifo: of("fifo", gains(&session.moves, Method::Fifo)?),
            average_cost: of("average_cost", gains(&session.moves, Method::AverageCost)?),
            trading_rlusd: known("trading_rlusd", split.trading),
            holding_value_rlusd: known("holding_value_rlusd", holding.value),
            versus_holding_rlusd: known("versus_holding_rlusd", holding.result),
            unknown,
        })
    }

    /// True when the parts are the whole change; `None` when that is not known.
    #[must_use]
    pub fn adds_up(&self) -> Option<bool> {
        self.parts.difference_rlusd.map(Dec::is_zero)
    }
}

/// The mark-outs of fills by ledgers and side, and why others are not known, each reason with how many.
///
/// # Errors
/// [`AmountError`] when a sum does not fit 34 digits.
pub fn mark_outs(fills: &[Fill], rows: &[MarkOut]) -> Result<(Vec<MarkOutStats>, BTreeMap<String, u64>), AmountError> {
    let of: BTreeMap<_, _> = rows.iter().map(|row| (key(&row.tx_hash, row.offer_sequence, row.ledgers), row)).collect();
    let (mut stats, mut reasons) = (Vec::new(), BTreeMap::new());
    for ledgers in HORIZONS_LEDGERS {
        let point = |fill: &Fill| {
            let mid = match of.get(&key(&fill.tx_hash, fill.offer_sequence, ledgers)).map(|row| &row.mid_price) {
                Some(Ok(mid)) => Ok(*mid),
                Some(Err(reason)) => Err(without_numbers(reason)),
                None => Err("not measured yet".to_string()),
            };
            let mid = match mid {
                Ok(mid) => Some(mid),
                Err(reason) => {
                    *reasons.entry(reason).or_insert(0) += 1;
                    None
                }
            };
            MarkOutPoint { side: fill.side, xrp: fill.xrp, rlusd: fill.rlusd, price: fill.price, mid }
        };
        let points: Vec<_> = fills.iter().map(point).collect();
        for side in Side::BOTH {
            stats.push(MarkOutStats::of(ledgers, side, &points)?);
        }
    }
    Ok((stats, reasons))
}

/// One transaction fills an offer of ours once, as maker or as taker.
fn key(tx_hash: &str, offer_sequence: u32, ledgers: u32) -> (&str, u32, u32) {
    (tx_hash, offer_sequence, ledgers)
}

/// A reason that names its ledger is counted with those that name others.
fn without_numbers(reason: &str) -> String {
    let words = reason.split(' ').map(|word| if word.parse::<u64>().is_ok() { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
