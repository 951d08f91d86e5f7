//! A mirrored market: a recording's ledgers with our offers among them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "tests fail by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
mod hand;
mod live;
mod market;
mod places;
mod pool;
mod whole;
