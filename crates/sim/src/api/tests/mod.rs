//! The API as a client sees it, message by message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say what they left out"
)]

mod compare;
mod http;
mod methods;
mod recorded;
mod world;
