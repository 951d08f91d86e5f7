//! `neo backtest`: many configurations over the same market, on all cores of the machine.

pub mod drive;
