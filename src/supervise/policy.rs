//! What `neo supervise` decides when its engine has ended: start it again after a wait, or end and say why. Pure: how it
//! died, what its record says, a time and a drawn number in; a decision out.

use neo_store::record::EndReason;

use crate::exit::ExitCode;

/// How often and how soon an engine is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many restarts ...
    pub max_restarts: usize,
    /// ... within so many milliseconds; one more is a crash loop.
    pub within_ms: u64,
    /// The wait before the first restart, in milliseconds; doubled with each one in the window.
    pub wait_ms: u64,
    /// No wait is longer.
    pub wait_max_ms: u64,
}

/// How an engine's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// With an exit code.
    Code(i32),
    /// Killed by a signal; its number where the system tells it.
    Signal(Option<i32>),
    /// It could not be started; what the system said.
    NotStarted(String),
}

/// What the engine left in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It began no session.
    NoSession,
    /// It closed its session itself.
    Closed(EndReason),
    /// It left its session open, and it was closed for it.
    Recovered,
    /// The record could not be read.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the engine again.
    Restart {
        /// After so long.
        wait_ms: u64,
        /// The how-manieth restart within the window this is.
        restart: usize,
        /// What happened, for people.
        why: String,
    },
    /// Start nothing more.
    End {
        /// What the process says.
        exit: ExitCode,
        /// Why, with the next step, for people; `None` when there is nothing to say.
        why: Option<String>,
    },
}

/// The supervisor's memory.
#[derive(Debug)]
pub struct Policy {
    limits: Limits,
    restarts_ms: Vec<u64>,
    stopping: bool,
    crash_loop: bool,
}

/// What an end means.
enum Meaning {
    /// Nothing is to be mended.
    Over(ExitCode, Option<String>),
    /// A restart mends it.
    Crash(ExitCode, String),
}

impl Policy {
    /// A policy that has seen no crash.
    #[must_use]
    pub fn new(limits: Limits) -> Policy {
        Policy { limits, restarts_ms: Vec::new(), stopping: false, crash_loop: false }
    }

    /// Somebody asked for a stop: from here on nothing is started again.
    pub fn stop_requested(&mut self) {
        self.stopping = true;
    }

    /// True once somebody asked for a stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// True once the engine has crashed too often.
    #[must_use]
    pub fn is_crash_loop(&self) -> bool {
        self.crash_loop
    }

    /// The engine has ended. `drawn` is a random number, for the jitter; `now_ms` is monotonic.
    pub fn ended(&mut self, death: &Death, left: Left, drawn: u64, now_ms: u64) -> Decision {
        match meaning(death, left, self.stopping) {
            Meaning::Over(exit, why) => Decision::End { exit, why },
            Meaning::Crash(exit, why) if self.stopping => Decision::End { exit, why: Some(why) },
            Meaning::Crash(exit, why) => self.crashed(exit, why, drawn, now_ms),
        }
    }

    fn crashed(&mut self, exit: ExitCode, why: String, drawn: u64, now_ms: u64) -> Decision {
        let Limits { max_restarts, within_ms, .. } = self.limits;
        self.restarts_ms.retain(|at| now_ms.saturating_sub(*at) < within_ms);
        if self.restarts_ms.len() >= max_restarts {
            self.crash_loop = true;
            let why = format!(
                "crash loop: {max_restarts} restarts within {} s were not enough; the last time {why}. The log beside the \
                 record says more; start again when the cause is mended",
                within_ms / 1_000
            );
            return Decision::End { exit, why: Some(why) };
        }
        let wait_ms = self.wait_ms(drawn);
        self.restarts_ms.push(now_ms);
        Decision::Restart { wait_ms, restart: self.restarts_ms.len(), why }
    }

    /// Half of the doubled wait is fixed, the other half is drawn: engines that a common cause has killed do not come
    /// back in step.
    fn wait_ms(&self, drawn: u64) -> u64 {
        let doublings = u32::try_from(self.restarts_ms.len().min(32)).unwrap_or(32);
        let whole_ms = self.limits.wait_ms.saturating_mul(1 << doublings).min(self.limits.wait_max_ms);
        let fixed_ms = whole_ms / 2;
        fixed_ms + drawn % (whole_ms - fixed_ms + 1)
    }
}

fn meaning(death: &Death, left: Left, stopping: bool) -> Meaning {
    match death {
        Death::NotStarted(error) => {
            Meaning::Crash(ExitCode::Failed, format!("the engine could not be started: {error}"))
        }
        // Asked to stop before it had a session: nothing was lost and nothing is left to do.
        Death::Signal(_) if stopping && left == Left::NoSession => Meaning::Over(ExitCode::Clean, None),
        Death::Signal(signal) => {
            let by = signal.map_or_else(|| "a signal".to_string(), |number| format!("signal {number}"));
            Meaning::Crash(ExitCode::Fault, format!("the engine was killed by {by}"))
        }
        Death::Code(code) => meaning_of_code(*code, left),
    }
}

/// One rule for each exit code; `neo supervise --help` and docs/operating.md name them.
fn meaning_of_code(code: i32, left: Left) -> Meaning {
    let over = |exit: ExitCode, why: &str| Meaning::Over(exit, Some(format!("not started again: {why}")));
    match (ExitCode::of(code), left) {
        (Some(ExitCode::Clean), _) => Meaning::Over(ExitCode::Clean, None),
        (Some(ExitCode::Failed), _) => over(
            ExitCode::Failed,
            "the engine ended with exit code 1; its message or `neo report` says what to look at",
        ),
        (Some(ExitCode::Usage), _) => {
            over(ExitCode::Usage, "the command line or the configuration is wrong; correct it, see `neo config check`")
        }
        (Some(ExitCode::Database), _) => {
            over(ExitCode::Database, "the database cannot be used; the engine's last message says why and what to do")
        }
        // A stage of a stop that was asked for did not end in time: what was asked for is a stop.
        (Some(ExitCode::Deadline), Left::Closed(reason)) if was_asked_for(reason) => {
            over(ExitCode::Deadline, "the stop that was asked for did not end in time; `neo report` says what is left")
        }
        (Some(ExitCode::Deadline), _) => {
            Meaning::Crash(ExitCode::Deadline, "the engine's stop hung (exit code 4)".to_string())
        }
        (Some(ExitCode::Fault), _) => {
            Meaning::Crash(ExitCode::Fault, "the engine lost an actor or its node (exit code 70)".to_string())
        }
        (None, _) => Meaning::Crash(ExitCode::Fault, format!("the engine ended with the unknown exit code {code}")),
    }
}

fn was_asked_for(reason: EndReason) -> bool {
    !matches!(reason, EndReason::Fault | EndReason::Deadline | EndReason::Crash | EndReason::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_restarts: 3, within_ms: 60_000, wait_ms: 1_000, wait_max_ms: 3_000 };

    fn policy() -> Policy {
        Policy::new(LIMITS)
    }

    fn killed(policy: &mut Policy, now_ms: u64) -> Decision {
        policy.ended(&Death::Signal(Some(9)), Left::Recovered, u64::MAX, now_ms)
    }

    fn restarts(death: &Death, left: Left) -> bool {
        matches!(policy().ended(death, left, 0, 0), Decision::Restart { .. })
    }

    #[test]
    fn crashes_are_restarted_and_what_a_restart_cannot_mend_is_not() {
        for death in [Death::Signal(Some(9)), Death::Signal(None), Death::Code(70), Death::Code(101), Death::Code(-1)] {
            assert!(restarts(&death, Left::Recovered), "{death:?}");
        }
        assert!(restarts(&Death::NotStarted("no memory".into()), Left::NoSession));
        for (code, exit) in [(0, ExitCode::Clean), (1, ExitCode::Failed), (2, ExitCode::Usage), (3, ExitCode::Database)]
        {
            let decision = policy().ended(&Death::Code(code), Left::Closed(EndReason::Elapsed), 0, 0);
            let Decision::End { exit: found, why } = decision else { panic!("{code} was restarted") };
            assert_eq!((found, why.is_some()), (exit, code != 0));
        }
    }

    #[test]
    fn a_stop_that_hung_is_restarted_unless_somebody_had_asked_for_it() {
        for reason in [EndReason::Deadline, EndReason::Fault, EndReason::Crash] {
            assert!(restarts(&Death::Code(4), Left::Closed(reason)), "{reason}");
        }
        assert!(restarts(&Death::Code(4), Left::Recovered));
        for reason in [EndReason::Elapsed, EndReason::StopCommand, EndReason::Signal, EndReason::Risk] {
            assert!(!restarts(&Death::Code(4), Left::Closed(reason)), "{reason}");
        }
    }

    #[test]
    fn nothing_is_started_again_once_a_stop_was_asked_for() {
        let mut asked = policy();
        assert!(!asked.is_stopping());
        asked.stop_requested();
        assert!(asked.is_stopping());
        let Decision::End { exit, why } = killed(&mut asked, 0) else { panic!("restarted") };
        assert_eq!(exit, ExitCode::Fault);
        assert!(why.unwrap().contains("signal 9"));
        let before_a_session = asked.ended(&Death::Signal(Some(15)), Left::NoSession, 0, 0);
        assert_eq!(before_a_session, Decision::End { exit: ExitCode::Clean, why: None });
    }

    #[test]
    fn waits_double_up_to_a_limit_and_half_of_each_is_drawn() {
        let mut policy = policy();
        let waits: Vec<u64> = (0..3)
            .map(|at| match killed(&mut policy, at) {
                Decision::Restart { wait_ms, .. } => wait_ms,
                end => panic!("{end:?}"),
            })
            .collect();
        let range = |whole: u64| whole / 2..=whole;
        for (wait_ms, whole_ms) in waits.iter().zip([1_000, 2_000, 3_000]) {
            assert!(range(whole_ms).contains(wait_ms), "{waits:?}");
        }
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|drawn| Policy::new(LIMITS).wait_ms(drawn)).collect();
        assert!(drawn.len() > 50, "the jitter is drawn");
        let at_once = Policy::new(Limits { wait_ms: 0, wait_max_ms: 0, ..LIMITS }).wait_ms(7);
        assert_eq!(at_once, 0);
    }

    #[test]
    fn one_crash_more_than_allowed_in_the_window_ends_it_and_old_ones_are_forgotten() {
        let mut loops = policy();
        for (at, number) in [(0, 1), (10, 2), (20, 3)] {
            assert!(matches!(killed(&mut loops, at), Decision::Restart { restart, .. } if restart == number));
        }
        let Decision::End { exit, why } = killed(&mut loops, 59_999) else { panic!("no crash loop") };
        assert_eq!(exit, ExitCode::Fault);
        assert!(why.unwrap().contains("crash loop: 3 restarts within 60 s"));
        assert!(loops.is_crash_loop());

        let mut now_and_then = policy();
        for at in 0..20 {
            let decision = killed(&mut now_and_then, at * 60_000);
            let Decision::Restart { restart, wait_ms, .. } = decision else { panic!("{decision:?}") };
            assert!(restart == 1 && wait_ms <= 1_000, "an old crash lengthens the wait");
        }
        assert!(!now_and_then.is_crash_loop());
    }
}
