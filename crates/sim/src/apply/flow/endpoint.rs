//! The first or last step of a strand that is in XRP (rippled, `XRPEndpointStep`).

use neo_ledger::{Address, Asset};

use super::Stop;
use super::view::View;
use crate::amount::{InOut, Value};

/// XRP leaves its sender or reaches its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub account: Address,
    pub is_last: bool,
    /// Entries that the sender needs no reserve for: a trust line that offer crossing will make.
    reserve_reduction: i32,
    pub cache: Option<i64>,
}

impl Endpoint {
    pub(super) const fn new(account: Address, is_last: bool) -> Endpoint {
        Endpoint { account, is_last, reserve_reduction: 0, cache: None }
    }

    /// Offer crossing digs into the reserve of the line that it makes for its taker.
    pub(super) fn crossing(
        account: Address,
        is_first: bool,
        is_last: bool,
        view: &View<'_>,
        deliver: Asset,
    ) -> Endpoint {
        let has_line = match deliver {
            Asset::Token(token) => view.line(account, token.issuer, token.currency).is_some(),
            Asset::Xrp => false,
        };
        let reserve_reduction = if is_first && !has_line { -1 } else { 0 };
        Endpoint { reserve_reduction, ..Endpoint::new(account, is_last) }
    }

    /// The same in both directions: as much as is asked, or as the sender has.
    pub(super) fn run(&mut self, view: &mut View<'_>, asked: i64) -> Result<InOut, Stop> {
        let drops =
            if self.is_last { asked } else { asked.min(view.liquid_xrp(self.account, self.reserve_reduction)?) };
        let (from, to) = if self.is_last { (None, Some(self.account)) } else { (Some(self.account), None) };
        if !view.send_xrp(from, to, drops)? {
            return Ok(InOut { input: Value::Drops(0), output: Value::Drops(0) });
        }
        self.cache = Some(drops);
        Ok(InOut { input: Value::Drops(drops), output: Value::Drops(drops) })
    }
}
