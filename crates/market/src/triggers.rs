//! Triggers: what has the quotes withdrawn although each of them would pass the limits. Pure: readings and ledger times
//! in, events out.
//!
//! A trigger whose condition holds is tripped. What follows is its action: a pause ends by itself when the condition has
//! been gone for long enough, a latch is held until the operator resumes, a stop ends the session. [`measure`] says when
//! a condition holds, [`worth`] what a loss is counted from, [`window`] what happened lately.

pub mod measure;
pub mod window;
pub mod worth;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Dec;
use crate::problem::Problem;
use crate::problem::Problems;

/// What a tripped trigger does. The greater one wins where several are tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TripAction {
    /// Quotes are withdrawn, and come back by themselves.
    Pause,
    /// Quotes are withdrawn until the operator resumes, over restarts too.
    Latch,
    /// The session ends, and the next one begins latched.
    Stop,
}

impl TripAction {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TripAction::Pause => "pause",
            TripAction::Latch => "latch",
            TripAction::Stop => "stop",
        }
    }

    /// The action of a stored word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<TripAction> {
        [TripAction::Pause, TripAction::Latch, TripAction::Stop].into_iter().find(|action| action.as_str() == word)
    }

    /// True for what only the operator ends.
    #[must_use]
    pub const fn is_latched(self) -> bool {
        matches!(self, TripAction::Latch | TripAction::Stop)
    }
}

impl fmt::Display for TripAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When a trigger trips, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerRule {
    /// It trips here, in the unit of its name; 0: it is off.
    pub limit: Dec,
    /// What follows.
    pub action: TripAction,
    /// A pause ends when the condition has been gone for so long, in seconds of ledger time.
    pub resume_after_s: u32,
}

/// Defines the triggers, their settings and their defaults in one place.
macro_rules! triggers {
    ($($(#[$doc:meta])* $name:ident $word:ident = $limit:literal, $action:ident, $resume_after_s:literal;)+) => {
        /// What may trip.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Trigger { $($(#[$doc])* $name),+ }

        impl Trigger {
            /// All of them.
            pub const ALL: [Trigger; [$(stringify!($word)),+].len()] = [$(Trigger::$name),+];

            /// The word in the configuration, the record and the metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Trigger::$name => stringify!($word)),+ }
            }

            /// The trigger of a stored word; `None` for one that this version does not know.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Trigger> {
                match word { $(stringify!($word) => Some(Trigger::$name),)+ _ => None }
            }

            const fn limit_key(self) -> &'static str {
                match self { $(Trigger::$name => concat!("triggers.", stringify!($word), ".limit")),+ }
            }

            const fn resume_key(self) -> &'static str {
                match self { $(Trigger::$name => concat!("triggers.", stringify!($word), ".resume_after_s")),+ }
            }
        }

        /// The triggers' settings, one table each.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct TriggerConfig {
            /// `rejects` are counted over so many seconds of ledger time.
            pub rejects_window_s: u32,
            /// `fees_drops` are summed over so many seconds of ledger time.
            pub fees_window_s: u32,
            /// Drawdown and loss against holding look back so many days (UTC), today among them.
            pub loss_days: u32,
            $($(#[$doc])* pub $word: TriggerRule,)+
        }

        impl Default for TriggerConfig {
            fn default() -> TriggerConfig {
                TriggerConfig {
                    rejects_window_s: 300,
                    fees_window_s: 3_600,
                    loss_days: 7,
                    $($word: TriggerRule {
                        limit: Dec::from_i64($limit),
                        action: TripAction::$action,
                        resume_after_s: $resume_after_s,
                    },)+
                }
            }
        }

        impl TriggerConfig {
            /// The settings of one trigger.
            #[must_use]
            pub const fn rule(&self, trigger: Trigger) -> &TriggerRule {
                match trigger { $(Trigger::$name => &self.$word),+ }
            }

            /// The same, to be changed.
            pub const fn rule_mut(&mut self, trigger: Trigger) -> &mut TriggerRule {
                match trigger { $(Trigger::$name => &mut self.$word),+ }
            }
        }
    };
}

triggers! {
    /// No complete validated ledger for so many seconds of real time.
    Silence silence_s = 30, Pause, 12;
    /// So many ledgers between two that the feed told of; history that no node has is any number.
    Gap gap_ledgers = 60, Pause, 12;
    /// XRP owned beyond `max_inventory_xrp` or below `min_inventory_xrp`.
    Inventory inventory_over_xrp = 0, Pause, 60;
    /// Percent of the highest value that are lost.
    Drawdown drawdown_pct = 0, Latch, 300;
    /// Percent lost against having held what was held at the beginning.
    HoldingLoss holding_loss_pct = 0, Latch, 300;
    /// Percent of the value at the day's first ledger (UTC) that are lost.
    DayLoss day_loss_pct = 0, Latch, 300;
    /// Transactions of ours that failed, died or were refused, within `rejects_window_s`.
    Rejects rejects = 0, Pause, 300;
    /// Drops that the ledger took as fees within `fees_window_s`.
    Fees fees_drops = 0, Pause, 300;
    /// Transactions whose fate is open for longer than is usual.
    UnknownIntents unknown_intents = 0, Pause, 20;
    /// Basis points that the middle of the book moved since it was last accepted.
    PriceMove price_move_bps = 0, Pause, 60;
    /// Seconds between the local clock and the close time of a ledger that has just come.
    ClockSkew clock_skew_s = 120, Pause, 30;
    /// Fewer spendable XRP than this above the reserve.
    ReserveShort reserve_short_xrp = 0, Pause, 20;
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Trigger {
    /// True for those that measure a loss: what they are counted from begins anew when the operator resumes.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Trigger::Drawdown | Trigger::HoldingLoss | Trigger::DayLoss)
    }
}

impl TriggerConfig {
    /// Every mistake; empty when the triggers can be used. Keys are those of the section `risk`.
    pub(crate) fn check(&self, found: &mut Problems) {
        for trigger in Trigger::ALL {
            let rule = self.rule(trigger);
            let reason = "a limit is 0 (off) or more";
            found.require(!rule.limit.is_negative(), trigger.limit_key(), rule.limit, reason, "use 0 or more");
            let reachable = !trigger.is_loss() || rule.limit < Dec::from_i64(100);
            let reason = "nobody loses 100 percent: it would never trip";
            found.require(reachable, trigger.limit_key(), rule.limit, reason, "use less than 100, such as 5");
            let resume = rule.resume_after_s <= 86_400;
            let reason = "a pause that waits for more than a day is a latch";
            let fix = "use 0 to 86400, or action = \"latch\"";
            found.require(resume, trigger.resume_key(), rule.resume_after_s, reason, fix);
        }
        let windows =
            [("triggers.rejects_window_s", self.rejects_window_s), ("triggers.fees_window_s", self.fees_window_s)];
        for (key, window_s) in windows {
            let reason = "a window holds at least a few ledgers and at most a day";
            found.require((10..=86_400).contains(&window_s), key, window_s, reason, "use 10 to 86400, such as 300");
        }
        let days = (1..=31).contains(&self.loss_days);
        let reason = "a loss is looked for in today and at most a month before";
        found.require(days, "triggers.loss_days", self.loss_days, reason, "use 1 to 31, such as 7");
    }

    /// Every mistake, alone.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        self.check(&mut found);
        found.into_vec()
    }

    /// True when the trigger has a limit.
    #[must_use]
    pub fn is_on(&self, trigger: Trigger) -> bool {
        self.rule(trigger).limit.is_positive()
    }

    /// True when a loss is measured at all.
    #[must_use]
    pub fn measures_loss(&self) -> bool {
        Trigger::ALL.into_iter().any(|trigger| trigger.is_loss() && self.is_on(trigger))
    }
}

/// Whether a trigger's condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does; the figures in words.
    Holds(String),
    /// It does not.
    Gone,
    /// What it is measured by is not known: it neither trips nor counts as gone.
    Unknown,
}

/// One trigger's condition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which.
    pub trigger: Trigger,
    /// Whether its condition holds.
    pub condition: Condition,
}

/// A trigger that is tripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Which.
    pub trigger: Trigger,
    /// What follows.
    pub action: TripAction,
    /// Why, with the figures.
    pub reason: String,
    /// When, in seconds of ledger time.
    pub since_s: u32,
}

/// Who ended what a trigger did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearedBy {
    /// Its condition was gone for long enough.
    Itself,
    /// The operator resumed.
    Operator,
}

impl ClearedBy {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClearedBy::Itself => "itself",
            ClearedBy::Operator => "operator",
        }
    }

    /// Who a stored word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ClearedBy> {
        [ClearedBy::Itself, ClearedBy::Operator].into_iter().find(|by| by.as_str() == word)
    }
}

/// What a trigger did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerEvent {
    /// It tripped.
    Tripped(Trip),
    /// It is not tripped any more.
    Cleared {
        /// Which.
        trigger: Trigger,
        /// Who ended it.
        by: ClearedBy,
    },
}

#[derive(Clone, Debug)]
struct Standing {
    trip: Trip,
    /// Since when the condition has been gone, without a break.
    gone_since_s: Option<u32>,
}

/// The triggers at work.
#[derive(Clone, Debug)]
pub struct Triggers {
    config: TriggerConfig,
    standing: BTreeMap<Trigger, Standing>,
    counts: BTreeMap<Trigger, u64>,
}

impl Triggers {
    /// Triggers of which `latched` are tripped from before, each for its reason.
    #[must_use]
    pub fn new(config: TriggerConfig, latched: &[(Trigger, String)]) -> Triggers {
        let held = |(trigger, reason): &(Trigger, String)| {
            let (trigger, action) = (*trigger, TripAction::Latch);
            let trip = Trip { trigger, action, reason: reason.clone(), since_s: 0 };
            (trigger, Standing { trip, gone_since_s: None })
        };
        Triggers { config, standing: latched.iter().map(held).collect(), counts: BTreeMap::new() }
    }

    /// Readings at a ledger time. A trigger without a reading stays as it is.
    pub fn on(&mut self, readings: &[Reading], now_s: u32) -> Vec<TriggerEvent> {
        readings.iter().filter_map(|reading| self.read(reading, now_s)).collect()
    }

    fn read(&mut self, reading: &Reading, now_s: u32) -> Option<TriggerEvent> {
        let trigger = reading.trigger;
        let rule = *self.config.rule(trigger);
        let Some(standing) = self.standing.get_mut(&trigger) else {
            let Condition::Holds(reason) = &reading.condition else { return None };
            if !rule.limit.is_positive() {
                return None;
            }
            let trip = Trip { trigger, action: rule.action, reason: reason.clone(), since_s: now_s };
            self.standing.insert(trigger, Standing { trip: trip.clone(), gone_since_s: None });
            let count = self.counts.entry(trigger).or_default();
            *count = count.saturating_add(1);
            return Some(TriggerEvent::Tripped(trip));
        };
        match &reading.condition {
            Condition::Holds(reason) => {
                standing.gone_since_s = None;
                if !standing.trip.action.is_latched() {
                    standing.trip.reason.clone_from(reason);
                }
                None
            }
            Condition::Unknown => {
                standing.gone_since_s = None;
                None
            }
            Condition::Gone => {
                let since_s = *standing.gone_since_s.get_or_insert(now_s);
                let calm = now_s.saturating_sub(since_s) >= rule.resume_after_s;
                if standing.trip.action.is_latched() || !calm {
                    return None;
                }
                self.standing.remove(&trigger);
                Some(TriggerEvent::Cleared { trigger, by: ClearedBy::Itself })
            }
        }
    }

    /// The operator resumes: every latch is gone. Pauses end by themselves.
    pub fn resume(&mut self) -> Vec<TriggerEvent> {
        let held = |trigger: &Trigger, standing: &mut Standing| (*trigger, standing.trip.action.is_latched());
        let mut events = Vec::new();
        self.standing.retain(|trigger, standing| {
            let (trigger, latched) = held(trigger, standing);
            if latched {
                events.push(TriggerEvent::Cleared { trigger, by: ClearedBy::Operator });
            }
            !latched
        });
        events
    }

    /// The trip that decides: the one with the greatest action, of those the first.
    #[must_use]
    pub fn deciding(&self) -> Option<&Trip> {
        self.standing.values().map(|standing| &standing.trip).rev().max_by_key(|trip| trip.action)
    }

    /// Everything that is tripped.
    pub fn standing(&self) -> impl Iterator<Item = &Trip> {
        self.standing.values().map(|standing| &standing.trip)
    }

    /// How often each trigger tripped.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<Trigger, u64> {
        &self.counts
    }
}

#[cfg(test)]
#[path = "triggers_tests.rs"]
mod tests;
