//! What the issuer forbids: a freeze, or an authorisation that is missing. Balances show neither.
//!
//! Pure: the terms of each ledger in, what may stand and what is recorded out. A stop ends by itself with the terms that
//! made it.

use chrono::{DateTime, Utc};
use neo_ledger::TokenTerms;
use neo_market::{IssuerRules, Side};
use neo_store::record::{Fault, Record};

/// Why a side may not trade, the widest reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// No offer of the token is taken (rippled, `CreateOffer.cpp`, `preclaim`: tecFROZEN).
    GlobalFreeze,
    /// Nothing may come in (`checkAcceptAsset`: tecFROZEN; a resting ask is removed by who meets it, `OfferStream.cpp`)
    /// and nothing may go out.
    DeepFreeze,
    /// Nothing may come in (`checkAcceptAsset`: tecNO_AUTH, tecNO_LINE). A bid alone would sell what cannot be had again.
    NoAuthorization,
    /// A holder whose line is frozen has nothing to give (`accountHolds`, zero if frozen: tecUNFUNDED_OFFER); buying the
    /// token stays allowed, so that asks stand.
    LineFreeze,
}

impl Stop {
    fn of(terms: &TokenTerms) -> Option<Stop> {
        let line = terms.line.unwrap_or_default();
        if terms.issuer.global_freeze {
            Some(Stop::GlobalFreeze)
        } else if line.deep_frozen {
            Some(Stop::DeepFreeze)
        } else if terms.issuer.requires_authorization && !line.authorized {
            Some(Stop::NoAuthorization)
        } else {
            line.frozen.then_some(Stop::LineFreeze)
        }
    }

    fn stops(self, side: Side) -> bool {
        side == Side::Bid || self != Stop::LineFreeze
    }

    const fn reason(self) -> &'static str {
        match self {
            Stop::GlobalFreeze => {
                "the issuer has frozen all of its tokens (global freeze): nothing is quoted until it lifts that"
            }
            Stop::DeepFreeze => {
                "our trust line is frozen deeply: nothing is quoted until that is lifted, by the issuer or, where we \
                 did it, by us"
            }
            Stop::NoAuthorization => {
                "the issuer asks for its authorisation and has not given it to our trust line: nothing is quoted until \
                 it does; ask the issuer"
            }
            Stop::LineFreeze => {
                "the issuer has frozen our trust line: no bids until it lifts that; asks stand, XRP is not frozen"
            }
        }
    }
}

/// The rules as the newest ledger has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenRules {
    stop: Option<Stop>,
    rules: IssuerRules,
}

impl TokenRules {
    /// The terms of a ledger. The records of what begins and of what ends, once each.
    pub(super) fn hear(&mut self, terms: &TokenTerms, ledger_index: u32, now: DateTime<Utc>) -> Vec<Record> {
        let rules = IssuerRules { tick_size: terms.issuer.tick_size, transfer_rate: terms.issuer.transfer_rate };
        let before = std::mem::replace(&mut self.rules, rules);
        if before != rules {
            tracing::info!(ledger_index, ?before, now = ?rules, "the issuer's tick size or transfer fee is another");
        }
        let stop = Stop::of(terms);
        let before = std::mem::replace(&mut self.stop, stop);
        if before == stop {
            return Vec::new();
        }
        let fault = |cause: String, action: &str| {
            let action = action.to_string();
            Record::Fault(Fault { actor: "orders".into(), cause, backtrace: None, action, recorded_at: now })
        };
        let ended = before.map(|before| {
            let cause = format!("no longer at ledger {ledger_index}: {}", before.reason());
            tracing::warn!(cause, "the issuer allows it again");
            fault(cause, "quoted again, as far as nothing else forbids it")
        });
        let began = stop.map(|stop| {
            let cause = format!("at ledger {ledger_index} {}", stop.reason());
            tracing::warn!(cause, "the issuer forbids it");
            fault(cause, if stop.stops(Side::Ask) { "all offers are withdrawn" } else { "bids are withdrawn" })
        });
        ended.into_iter().chain(began).collect()
    }

    /// How its rates are rounded and what moving it costs.
    pub(super) const fn issuer(&self) -> IssuerRules {
        self.rules
    }

    /// True while no offer of this side may stand.
    pub(super) fn stops(&self, side: Side) -> bool {
        self.stop.is_some_and(|stop| stop.stops(side))
    }

    /// Why a side may not stand, if one may not.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.stop.map(Stop::reason)
    }
}
