//! Faults on purpose: a test of the real binary says in `NEO_FAIL` which place shall panic, fail or freeze, and when.
//!
//! `NEO_FAIL=PLACE:KIND[:MOMENT[:always]]`, several separated by commas: `feed:panic:quoting`, `writer:error:start:always`.
//! A place that is passed once the moment has come fails; without `always` it fails once. Release builds have none of
//! it: there [`hit`] is an empty function and the variable is never read.

#[cfg(debug_assertions)]
mod armed;

use std::fmt;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The feed's actor.
    Feed,
    /// The task of the feed that moves the socket's text.
    WebSocket,
    /// The orders' actor, while it holds nothing.
    Orders,
    /// The orders' actor, while it holds their state.
    OrdersState,
    /// The valuer's actor.
    Valuer,
    /// The actor that watches the writer's thread.
    WriterWatch,
    /// The checkpoint timer.
    Checkpoint,
    /// The writer's thread.
    Writer,
    /// The supervisor's loop.
    Supervisor,
    /// The stop stage that the moment names.
    Stage,
}

impl Place {
    /// Its name in `NEO_FAIL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Place::Feed => "feed",
            Place::WebSocket => "websocket",
            Place::Orders => "orders",
            Place::OrdersState => "orders-state",
            Place::Valuer => "valuer",
            Place::WriterWatch => "writer-watch",
            Place::Checkpoint => "checkpoint",
            Place::Writer => "writer",
            Place::Supervisor => "supervisor",
            Place::Stage => "stage",
        }
    }
}

/// How far the session has come. A fault waits for its moment, and strikes at the first chance from then on.
pub const MOMENTS: [&str; 10] =
    ["start", "quoting", "quiesce", "settle", "cancel", "value", "flush", "checkpoint", "close", "seal"];

/// An error that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Which request asked for it.
    pub request: String,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "injected by NEO_FAIL={}", self.request)
    }
}

impl std::error::Error for Injected {}

/// A place that a test may want to break. Debug builds may panic or freeze here.
///
/// # Errors
/// [`Injected`], in debug builds.
#[cfg(debug_assertions)]
pub fn hit(place: Place) -> Result<(), Injected> {
    armed::hit(place)
}

/// Release builds inject nothing.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_: Place) -> Result<(), Injected> {
    Ok(())
}

/// The session has come this far; one of [`MOMENTS`].
#[cfg(debug_assertions)]
pub fn moment(name: &str) {
    armed::moment(name);
}

/// Release builds inject nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn moment(_: &str) {}
