//! Do the records add up? What was traded and what flowed must be exactly what the balances changed by.

use neo_market::{Dec, Drops, Side};
use serde::Serialize;

use crate::error::StoreError;
use crate::open::sqlite;
use crate::read::Reader;
use crate::record::{Fill, Flow, FlowCause, SessionNumber, SnapshotKind, ValuationSnapshot};

/// A session's records held against its balances, from the opening snapshot's ledger to the closing one's.
///
/// Signs are those of our balances: a bid that filled adds XRP and takes RLUSD, a fee takes XRP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Closing minus opening XRP.
    pub xrp_change_drops: Drops,
    /// Closing minus opening RLUSD.
    pub rlusd_change: Dec,
    /// XRP by fills.
    pub fills_xrp: Drops,
    /// RLUSD by fills.
    pub fills_rlusd: Dec,
    /// XRP by transaction fees.
    pub fees_xrp: Drops,
    /// XRP by flows whose cause is known, without fees.
    pub flows_xrp: Drops,
    /// RLUSD by flows whose cause is known.
    pub flows_rlusd: Dec,
    /// XRP by unexplained flows. They say that a balance moved, not why: they explain nothing and so are part of the
    /// difference, which is where a lost fill is seen.
    pub unexplained_xrp: Drops,
    /// RLUSD by unexplained flows; see `unexplained_xrp`.
    pub unexplained_rlusd: Dec,
    /// How many unexplained flows there are.
    pub unexplained_count: u64,
    /// Change of XRP that the records do not explain; zero when they add up.
    pub difference_xrp: Drops,
    /// Change of RLUSD that the records do not explain; zero when they add up.
    pub difference_rlusd: Dec,
    /// Fills and flows of the session at or before the opening ledger, or after the closing one. They are part of the
    /// other snapshots' balances, and so in no sum here: gap repair records what an earlier session missed.
    pub outside: u64,
}

impl Reconciliation {
    /// True when every drop and every digit is explained, and nothing was written down as unexplained.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.unexplained_count == 0 && self.difference_xrp == Drops::ZERO && self.difference_rlusd.is_zero()
    }
}

impl Reader {
    /// Holds a session's fills and flows against its opening and closing snapshot, exactly.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`], [`StoreError::Amount`], [`StoreError::Sqlite`].
    pub fn reconcile(&self, number: SessionNumber) -> Result<Reconciliation, StoreError> {
        // One read transaction: a running engine adds rows between the queries otherwise.
        let tx = self.conn.unchecked_transaction().map_err(sqlite(&self.path, "reconciling"))?;
        let snapshots = self.valuations(number)?;
        let fills = self.fills(number)?;
        let flows = self.flows(number)?;
        tx.finish().map_err(sqlite(&self.path, "reconciling"))?;
        let snapshots: Vec<_> = snapshots.into_iter().map(|row| row.record).collect();
        let opening = find(number, &snapshots, SnapshotKind::Opening)?;
        let closing = find(number, &snapshots, SnapshotKind::Closing)?;
        reconcile(opening, closing, fills.iter().map(|row| &row.record), flows.iter().map(|row| &row.record))
    }
}

/// The first opening snapshot, the last closing one.
fn find(
    number: SessionNumber,
    snapshots: &[ValuationSnapshot],
    kind: SnapshotKind,
) -> Result<&ValuationSnapshot, StoreError> {
    let mut of_kind = snapshots.iter().filter(|snapshot| snapshot.kind == kind);
    let found = if kind == SnapshotKind::Closing { of_kind.next_back() } else { of_kind.next() };
    found.ok_or(StoreError::NoSnapshot { number, kind: kind.as_str() })
}

/// The sums, from the rows alone.
fn reconcile<'a>(
    opening: &ValuationSnapshot,
    closing: &ValuationSnapshot,
    fills: impl Iterator<Item = &'a Fill>,
    flows: impl Iterator<Item = &'a Flow>,
) -> Result<Reconciliation, StoreError> {
    let between = |index: u32| index > opening.ledger_index && index <= closing.ledger_index;
    let mut r = Reconciliation {
        xrp_change_drops: closing.xrp.sub(opening.xrp)?,
        rlusd_change: closing.rlusd.sub(opening.rlusd)?,
        fills_xrp: Drops::ZERO,
        fills_rlusd: Dec::zero(),
        fees_xrp: Drops::ZERO,
        flows_xrp: Drops::ZERO,
        flows_rlusd: Dec::zero(),
        unexplained_xrp: Drops::ZERO,
        unexplained_rlusd: Dec::zero(),
        unexplained_count: 0,
        difference_xrp: Drops::ZERO,
        difference_rlusd: Dec::zero(),
        outside: 0,
    };
    for fill in fills {
        if !between(fill.ledger_index) {
            r.outside += 1;
            continue;
        }
        let (xrp, rlusd) = match fill.side {
            Side::Bid => (fill.xrp, fill.rlusd.neg()),
            Side::Ask => (Drops::ZERO.sub(fill.xrp)?, fill.rlusd),
        };
        r.fills_xrp = r.fills_xrp.add(xrp)?;
        r.fills_rlusd = r.fills_rlusd.add(rlusd)?;
    }
    for flow in flows {
        if !between(flow.ledger_index) {
            r.outside += 1;
            continue;
        }
        let (xrp, rlusd) = match flow.cause {
            FlowCause::Fee => (&mut r.fees_xrp, &mut r.flows_rlusd),
            FlowCause::Deposit | FlowCause::Withdrawal => (&mut r.flows_xrp, &mut r.flows_rlusd),
            FlowCause::Unexplained => {
                r.unexplained_count += 1;
                (&mut r.unexplained_xrp, &mut r.unexplained_rlusd)
            }
        };
        *xrp = xrp.add(flow.xrp)?;
        *rlusd = rlusd.add(flow.rlusd)?;
    }
    r.difference_xrp = r.xrp_change_drops.sub(r.fills_xrp)?.sub(r.fees_xrp)?.sub(r.flows_xrp)?;
    r.difference_rlusd = r.rlusd_change.sub(r.fills_rlusd)?.sub(r.flows_rlusd)?;
    Ok(r)
}
