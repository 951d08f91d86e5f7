//! What is wrong with a setting, told so that it can be put right.

use std::fmt::{self, Display};

use serde::Serialize;

/// One mistake in a configuration section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key within its section, such as `bid_offset_bps`.
    pub key: &'static str,
    /// The value given.
    pub value: String,
    /// Why it cannot be used.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}; {}", self.key, self.value, self.reason, self.fix)
    }
}

/// Collects every mistake of a section, so that all are told at once.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a mistake unless `ok`.
    pub(crate) fn require(&mut self, ok: bool, key: &'static str, value: impl Display, reason: &str, fix: &str) {
        if !ok {
            self.0.push(Problem { key, value: value.to_string(), reason: reason.into(), fix: fix.into() });
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}
