//! A simulated XRP Ledger node behind rippled's WebSocket API.

pub mod amount;
pub mod apply;
pub mod generator;
pub mod keylet;
pub mod ledger;
pub mod rng;
pub mod scenario;
pub mod state;
pub mod tape;
pub mod ter;
