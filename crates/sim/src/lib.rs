//! A simulated XRP Ledger node behind rippled's WebSocket API.
#![warn(clippy::pedantic)]
#![allow(clippy::pedantic)]

pub mod amount;
pub mod apply;
pub mod keylet;
pub mod state;
pub mod ter;
