//! Careless hands: what people and programs do to the files of a record, and what comes of it. Each has a stated outcome;
//! the table in docs/record.md is made of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod flips;
mod pages;
mod trader;
