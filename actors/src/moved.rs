//! What a transaction moved beside its fills.

use neo_ledger::own::OwnTransaction;
use neo_market::{AmountError, Dec, Drops, Side};

/// The changes of XRP and of the token that no fill and no fee of ours explains: a deposit or, below zero, a withdrawal.
///
/// # Errors
/// [`AmountError`] when the node states amounts that do not add up.
pub(crate) fn beside_fills(transaction: &OwnTransaction) -> Result<(Drops, Dec), AmountError> {
    let (mut xrp, mut rlusd) = (transaction.xrp_change, transaction.token_change);
    for fill in &transaction.fills {
        (xrp, rlusd) = match fill.side {
            Side::Bid => (xrp.sub(fill.xrp)?, rlusd.add(fill.token)?),
            Side::Ask => (xrp.add(fill.xrp)?, rlusd.sub(fill.token)?),
        };
    }
    if transaction.fee > Drops::ZERO {
        xrp = xrp.add(transaction.fee)?;
    }
    Ok((xrp, rlusd))
}
