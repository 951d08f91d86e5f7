//! NEO Engine: the command line, the supervisor and the operator's surfaces.
//!
//! Trading rules live in `neo-market`, the ledger's protocol in `neo-ledger`, the record in `neo-store`, the actors in
//! `neo-actors`, the simulated ledger in `neo-sim`. This crate puts them together, starts them in order, and ends them so
//! that every session is closed.

pub mod alerts;
pub mod backfill;
pub mod backtest;
pub mod backup;
pub mod calibrate;
pub mod cancel_all;
pub mod chart;
pub mod child;
pub mod cli;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod dispatch;
pub mod drive;
pub mod exit;
pub mod export;
pub mod import;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod notify;
mod offsets;
pub mod output;
pub mod outside;
pub mod paper;
pub mod pause;
pub mod preflight;
pub mod progress;
pub mod record;
pub mod recover;
pub mod replay;
pub mod report;
pub mod run;
pub mod sessions;
pub mod setup;
pub mod signals;
pub mod sim_ledger;
pub mod simulator;
pub mod supervise;
pub mod supervisor;
pub mod thin;
pub mod unattended;
pub mod venue;
pub mod verify;
