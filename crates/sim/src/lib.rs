//! A simulated XRP Ledger node behind rippled's WebSocket API.
//!
//! [`Node`] is the pure, deterministic core: text in, text out, with one seed for everything that is random. [`serve`]
//! is the thin server around it. What is modelled: accounts, keys, tickets, trust lines, offers, pools, Payment, TrustSet,
//! AccountSet, SetRegularKey, TicketCreate, Clawback, OfferCreate, OfferCancel, AMMCreate, AMMDeposit, AMMWithdraw, AMMVote,
//! reserves, fees, the open ledger's cost under load and the queue, canonical order and metadata. What is not: directories,
//! AMMBid, AMMDelete, AMMClawback, a node's own load, multi-signing, and the hashes of a real ledger.

pub mod amendment;
pub mod amm;
pub mod amm_math;
pub mod amount;
mod api;
pub mod apply;
mod calendar;
mod digest;
pub mod faults;
pub mod follow;
pub mod generator;
pub mod history;
pub mod image;
pub mod keylet;
pub mod ledger;
pub mod mirror;
pub mod node;
pub mod number;
pub mod queue;
pub mod rng;
pub mod scenario;
pub mod server;
pub mod state;
pub mod tape;
pub mod ter;

pub use mirror::MirrorError;
pub use mirror::market::{Market, Span};
pub use mirror::source::Origin;
pub use node::{ConnectionId, Funds, HttpReply, Node, Outgoing, SaveError};
pub use scenario::{Scenario, ScenarioError, maker_seed};
pub use server::{ServeError, ServeOptions, Speed, serve};
pub use tape::{Tape, TapeError};
