//! What turns fills into money: the size of an offer, what a transaction costs and how often there is one, the price.

use neo_market::model::calibration::{Cost, Economics};
use neo_market::model::statistics::Mean;
use neo_market::model::to_float;
use neo_market::{Dec, Drops, Side};
use neo_store::record::{Flow, FlowCause};

/// The terms of one offer.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// XRP of one offer.
    pub(super) size_xrp: Option<Dec>,
    /// RLUSD for one XRP.
    pub(super) mark: Option<Dec>,
    /// The current offsets: bid, ask.
    pub(super) offsets: Option<(String, String)>,
    /// Whose offsets these are.
    pub(super) offsets_of: String,
    /// Fees paid, in drops.
    pub(super) fees: Drops,
    /// Transactions that paid them.
    pub(super) transactions: u64,
    /// Of these, an hour and offer, those that no fill was the reason of.
    pub(super) renewals_per_hour: Option<f64>,
    /// Decimal places of a price, as the configuration has them.
    pub(super) price_places: Option<i32>,
}

impl Terms {
    pub(super) fn add_flow(&mut self, flow: &Flow) {
        if flow.cause == FlowCause::Fee {
            // Fees are negative; a sum beyond all XRP there is cannot be.
            self.fees = Drops::new(self.fees.get().saturating_sub(flow.xrp.get()));
            self.transactions = self.transactions.saturating_add(1);
        }
    }

    /// Reads a stored configuration leniently: an older engine's has other keys beside these.
    pub(super) fn of_config(&mut self, config: &str, whose: &str) {
        let Ok(config) = config.parse::<toml::Table>() else { return };
        let Some(quote) = config.get("quote") else { return };
        let text = |key: &str| match quote.get(key)? {
            toml::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let size: Option<Result<Dec, _>> = text("size_xrp").map(|text| text.parse());
        if let Some(Ok(size)) = size {
            self.size_xrp = Some(size);
        }
        self.price_places = text("price_places").and_then(|text| text.parse().ok());
        self.offsets = crate::offsets::fixed(quote);
        self.offsets_of = whose.to_string();
    }

    pub(super) fn offset(&self, side: Side) -> Option<Dec> {
        let (bid, ask) = self.offsets.as_ref()?;
        let text = match side {
            Side::Bid => bid,
            Side::Ask => ask,
        };
        let Ok(offset) = text.parse() else { return None };
        Some(offset)
    }

    pub(super) fn size(&self) -> Option<f64> {
        self.size_xrp.map(to_float).filter(|size| *size > 0.0)
    }

    /// RLUSD of one offer.
    pub(super) fn offer_rlusd(&self) -> Option<f64> {
        Some(self.size()? * to_float(self.mark?))
    }

    /// Drops of one transaction.
    pub(super) fn fee_drops(&self) -> Option<f64> {
        (self.transactions > 0).then(|| self.fees.get() as f64 / self.transactions as f64)
    }

    /// One step of the price, in basis points of it.
    pub(super) fn tick_bps(&self) -> Option<f64> {
        let mark = self.mark.map(to_float).filter(|mark| *mark > 0.0)?;
        Some(10.0_f64.powi(-self.price_places?) / mark * 10_000.0)
    }

    /// What an offer is up against; fees and parts of offers that are not known count for nothing.
    pub(super) fn economics(&self, cost: Cost, share: Option<Mean>) -> Economics {
        let plain = Economics::of(cost);
        let fee_bps = self.fee_drops().zip(self.size()).map(|(drops, size)| drops / (size * 1e6) * 10_000.0);
        Economics {
            share: share.filter(|share| share.value > 0.0).unwrap_or(plain.share),
            fee_bps: fee_bps.unwrap_or(0.0),
            renewals_per_hour: self.renewals_per_hour.unwrap_or(0.0),
            ..plain
        }
    }
}
