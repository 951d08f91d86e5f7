//! What to quote and what it is worth.
//!
//! This crate is pure: no I/O, no clock, no randomness, no floats outside [`model`]. Everything it needs is passed in,
//! everything it decides is returned as a value. It knows nothing of actors, tables or the ledger's JSON.
#![deny(clippy::float_arithmetic)]

pub mod amount;
pub mod decimal;
pub mod model;
pub mod plan;
pub mod problem;
pub mod quote;
pub mod reference;
pub mod result;
pub mod risk;
pub mod skew;
pub mod strategy;
pub mod tick;
pub mod triggers;
pub mod value;
pub mod view;

pub use amount::Drops;
pub use decimal::{AmountError, Dec, Rounding};
pub use plan::{Action, Resting, plan};
pub use problem::Problem;
pub use quote::{
    Conditions, Desired, Funds, NoQuote, Quote, QuoteConfig, Withheld, WithheldReason, desired, desired_under,
};
pub use reference::{NoReference, Outside, OutsideReading, Reading, Reference, ReferenceConfig};
pub use result::{FillPoint, SpreadStats, bps_from_mid};
pub use risk::{Approved, Refusal, Refused, RiskConfig, RiskLimits, RiskState};
pub use skew::Skew;
pub use strategy::{Shape, Strategy};
pub use tick::{IssuerRules, as_placed};
pub use triggers::{ClearedBy, Trigger, TriggerConfig, TriggerEvent, Triggers, Trip, TripAction};
pub use value::value;
pub use view::{AmmView, Balances, BookLevel, LastTrade, MarketView, Side};
