//! The watchdog: a plain thread, independent of every actor and runtime, armed from the session's first moment until the
//! process is about to end. It ends a supervisor that stands still and a stop stage that hangs, and closes the session
//! itself: over a connection of its own where the database lets it, else by a note beside the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use neo_actors::clock::{monotonic_ms, now};
use neo_store::close::{add_faults, amend_end, close_directly};
use neo_store::record::{EndReason, EndedAtSource, Fault, SessionEnd, Stage, StageOutcome, StopStage};
use parking_lot::Mutex;
use serde_json::json;

use super::dump::{Bell, Sources};
use super::note::NoteBook;
use super::stop::Deadlines;
use crate::exit::ExitCode;

/// How often the thread looks.
const LOOK: Duration = Duration::from_millis(100);
/// What the supervisor's own work between two beats may take beyond the limit of an actor: it reads the record back.
const SUPERVISOR_GRACE_MS: u64 = 3_000;
/// What a stop may take beyond its urgent deadline when the console was closed: what is not done in four seconds must be
/// done before the system ends the process in the fifth.
const CONSOLE_GRACE_MS: u64 = 1_000;
/// The longest wait then: Windows ends the process after five seconds, and closing the session directly may wait half a
/// second for a lock.
const CONSOLE_WAIT_MAX_MS: u64 = 4_200;
/// How long the watchdog waits for a lock of the supervisor that hangs.
const LOCK: Duration = Duration::from_millis(200);
/// A dump that the supervisor's loop has not written after so long is the watchdog's: the loop goes round every 100 ms.
const DUMP_GRACE_MS: u64 = 1_000;

/// The stop sequence's notes, shared with the watchdog.
pub type SharedNotes = Arc<Mutex<NoteBook>>;

/// What a supervisor that stands still leaves to be done.
pub struct LastOrders {
    /// Asks the orders' actor to withdraw everything. Must not wait.
    pub withdraw: Box<dyn Fn() + Send>,
    /// True once nothing of ours is open. Must not wait.
    pub is_flat: Box<dyn Fn() -> bool + Send>,
}

/// Tells what the engine is doing when the supervisor does not.
pub struct Onlooker {
    /// The supervisor has the first word.
    pub bell: Bell,
    /// What is looked at.
    pub sources: Sources,
}

/// What the watchdog watches.
#[derive(Default)]
struct Watched {
    /// The supervisor's last beat.
    beat_ms: AtomicU64,
    /// Since when the session is being stopped; 0 while it is not.
    stopping_ms: AtomicU64,
    /// Since when somebody is in a hurry; 0 while nobody is.
    urgent_ms: AtomicU64,
    /// Since when the console is closed; 0 while it is not.
    console_closed_ms: AtomicU64,
    /// The running stage's place in `Stage::ALL`, plus one; 0 between two.
    stage: AtomicUsize,
    /// When it should have ended.
    due_ms: AtomicU64,
    /// Stages that have ended.
    ended: Mutex<Vec<StopStage>>,
}

/// The supervisor's side.
pub struct Watchdog {
    disarm: Sender<()>,
    watched: Arc<Watched>,
}

impl Watchdog {
    /// Starts watching.
    ///
    /// # Errors
    /// What the system said when it could not start a thread.
    pub fn start(
        notes: SharedNotes,
        deadlines: Deadlines,
        frozen_ms: u64,
        last_orders: LastOrders,
        onlooker: Onlooker,
    ) -> std::io::Result<Watchdog> {
        let (disarm, disarmed) = bounded(1);
        let watched = Arc::new(Watched::default());
        watched.beat_ms.store(monotonic_ms(), Ordering::SeqCst);
        let seen = Arc::clone(&watched);
        // A copy, for when the supervisor hangs with its notes in its hand.
        let copy = notes.lock().clone();
        std::thread::Builder::new().name("neo-watchdog".to_string()).spawn(move || {
            let mut judge = Judge::new(deadlines, frozen_ms, monotonic_ms());
            while disarmed.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if onlooker.bell.answer(DUMP_GRACE_MS) {
                    onlooker.sources.log();
                }
                if let Some(hung) = judge.judge(monotonic_ms(), &Seen::of(&seen)) {
                    if hung.leaves_offers() {
                        withdraw(&last_orders, deadlines.urgent_ms);
                    }
                    let notes = notes.try_lock_for(LOCK).map_or(copy, |notes| notes.clone());
                    let ended = seen.ended.try_lock_for(LOCK).map(|ended| ended.clone()).unwrap_or_default();
                    let exit = bite(notes, hung, ended);
                    // After the close: nothing that helps a person may cost the session its end.
                    onlooker.sources.log();
                    std::process::exit(exit.code())
                }
            }
        })?;
        Ok(Watchdog { disarm, watched })
    }

    /// The supervisor goes round.
    pub fn beat(&self) {
        self.watched.beat_ms.store(monotonic_ms(), Ordering::SeqCst);
    }

    /// The stop sequence begins: from here on its deadlines count.
    pub fn stopping(&self) {
        self.watched.stopping_ms.store(monotonic_ms().max(1), Ordering::SeqCst);
    }

    /// A stage begins.
    pub fn stage(&self, stage: Stage, budget_ms: u64) {
        let place = Stage::ALL.iter().position(|known| *known == stage).map_or(0, |place| place + 1);
        self.watched.due_ms.store(monotonic_ms().saturating_add(budget_ms), Ordering::SeqCst);
        self.watched.stage.store(place, Ordering::SeqCst);
    }

    /// A stage has ended.
    pub fn stage_ended(&self, row: &StopStage) {
        self.watched.stage.store(0, Ordering::SeqCst);
        if let Some(mut ended) = self.watched.ended.try_lock_for(LOCK) {
            ended.push(row.clone());
        }
    }

    /// Somebody is in a hurry.
    pub fn hurry(&self) {
        self.watched.urgent_ms.store(monotonic_ms().max(1), Ordering::SeqCst);
    }

    /// The console was closed: less than five seconds are left.
    pub fn console_closed(&self) {
        self.watched.console_closed_ms.store(monotonic_ms().max(1), Ordering::SeqCst);
        self.hurry();
    }

    /// The process is about to end.
    pub fn disarm(self) {
        if self.disarm.try_send(()).is_err() {
            tracing::warn!("the watchdog does not listen");
        }
    }
}

/// The longest that a stop can take before the process is ended.
#[must_use]
pub fn patience(deadlines: Deadlines, frozen_ms: u64) -> Duration {
    Duration::from_millis(deadlines.whole_ms.saturating_mul(2).saturating_add(frozen_ms))
}

/// What does not go on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hung {
    /// The supervisor's loop, while the session traded.
    Supervisor,
    /// A stop stage.
    Stage(Stage),
    /// The stop sequence, between or after its stages.
    Stop,
}

impl Hung {
    /// True when offers of ours may rest that nobody has withdrawn.
    fn leaves_offers(self) -> bool {
        matches!(self, Hung::Supervisor | Hung::Stage(Stage::Quiesce | Stage::Settle | Stage::Cancel))
    }
}

/// What was seen at one look.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    beat_ms: u64,
    stopping_ms: u64,
    urgent_ms: u64,
    console_closed_ms: u64,
    stage: Option<(Stage, u64)>,
}

impl Seen {
    fn of(watched: &Watched) -> Seen {
        let at = |time: &AtomicU64| time.load(Ordering::SeqCst);
        let stage = watched.stage.load(Ordering::SeqCst).checked_sub(1).and_then(|place| Stage::ALL.get(place));
        Seen {
            beat_ms: at(&watched.beat_ms),
            stopping_ms: at(&watched.stopping_ms),
            urgent_ms: at(&watched.urgent_ms),
            console_closed_ms: at(&watched.console_closed_ms),
            stage: stage.map(|stage| (*stage, at(&watched.due_ms))),
        }
    }
}

/// Decides what hangs. Pure: times in, verdicts out.
struct Judge {
    deadlines: Deadlines,
    frozen_ms: u64,
    looked_ms: u64,
    /// Nobody is judged before this.
    from_ms: u64,
}

impl Judge {
    fn new(deadlines: Deadlines, frozen_ms: u64, now_ms: u64) -> Judge {
        Judge { deadlines, frozen_ms, looked_ms: now_ms, from_ms: now_ms }
    }

    fn judge(&mut self, now_ms: u64, seen: &Seen) -> Option<Hung> {
        // A process that was stopped or a machine that slept: nobody could go on, so nobody is judged for a while.
        if now_ms.saturating_sub(self.looked_ms) > self.frozen_ms / 2 {
            self.from_ms = now_ms.saturating_add(self.frozen_ms).saturating_add(SUPERVISOR_GRACE_MS);
        }
        self.looked_ms = now_ms;
        if now_ms < self.from_ms {
            return None;
        }
        let over = |since_ms: u64, limit_ms: u64| now_ms.saturating_sub(since_ms) > limit_ms + self.frozen_ms;
        if seen.stopping_ms == 0 {
            return over(seen.beat_ms, SUPERVISOR_GRACE_MS).then_some(Hung::Supervisor);
        }
        let urgent = seen.urgent_ms > 0 && over(seen.urgent_ms, self.deadlines.urgent_ms);
        let console_ms = self.deadlines.urgent_ms.saturating_add(CONSOLE_GRACE_MS).min(CONSOLE_WAIT_MAX_MS);
        if seen.console_closed_ms > 0 && now_ms.saturating_sub(seen.console_closed_ms) > console_ms {
            return Some(seen.stage.map_or(Hung::Stop, |(stage, _)| Hung::Stage(stage)));
        }
        match seen.stage {
            Some((stage, due_ms)) if over(due_ms, 0) || urgent => Some(Hung::Stage(stage)),
            // What comes after the last stage has its own limits; together they are less than another stop.
            None if over(seen.stopping_ms, 2 * self.deadlines.whole_ms) => Some(Hung::Stop),
            Some(_) | None => None,
        }
    }
}

/// The supervisor stands still while offers may be out: their actor is asked to take them back, and given an urgent stop's
/// time to see them gone.
fn withdraw(last_orders: &LastOrders, patience_ms: u64) {
    (last_orders.withdraw)();
    let until_ms = monotonic_ms().saturating_add(patience_ms);
    while monotonic_ms() < until_ms && !(last_orders.is_flat)() {
        std::thread::sleep(LOOK);
    }
}

fn bite(mut notes: NoteBook, hung: Hung, mut stages: Vec<StopStage>) -> ExitCode {
    let (what, stage, exit) = match hung {
        Hung::Supervisor => ("the supervisor stands still".to_string(), None, ExitCode::Fault),
        Hung::Stage(stage) => (format!("the stop stage {stage} hung"), Some(stage), ExitCode::Deadline),
        Hung::Stop => ("the stop sequence hung".to_string(), None, ExitCode::Deadline),
    };
    tracing::error!("{what}; the watchdog closes the session");
    let detail = json!({
        "cause": what,
        "hung_stage": stage,
        "before": notes.cause,
        "asked_for": (hung != Hung::Supervisor).then_some(notes.end_reason),
        "unrecorded_cancels": notes.unrecorded,
    });
    notes.end_reason = if hung == Hung::Supervisor { EndReason::Fault } else { EndReason::Deadline };
    notes.cause = Some(what.clone());
    stages.extend(stage.map(|stage| StopStage {
        stage,
        outcome: StageOutcome::TimedOut,
        ms: 0,
        error: Some("it hung; the watchdog ended it".to_string()),
    }));
    let end = SessionEnd {
        ended_at: now(),
        ended_at_source: EndedAtSource::Watchdog,
        ending_value_rlusd: Err(what.clone()),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: notes.end_reason,
        end_detail: Some(detail.to_string()),
    };
    notes.faults.push(Fault {
        actor: "supervisor".to_string(),
        cause: what,
        backtrace: None,
        action: "the watchdog closed the session".to_string(),
        recorded_at: end.ended_at,
    });
    close(&notes, &end, &stages, stage);
    exit
}

fn close(notes: &NoteBook, end: &SessionEnd, stages: &[StopStage], stage: Option<Stage>) {
    let (path, session) = (&notes.path, notes.session);
    let detail = end.end_detail.as_deref();
    // Closed already when a stage after `close` hung: then only what hung is added.
    let closed = match close_directly(path, session, end, stages) {
        Ok(true) => Ok(()),
        Ok(false) => amend_end(path, session, stages, detail, true).map(|_| ()),
        Err(error) => Err(error),
    };
    match closed {
        Ok(()) => {
            if let Err(error) = add_faults(path, session, &notes.faults) {
                tracing::error!(%error, "the fault is not in the record");
            }
            notes.done();
            tracing::error!("closed by the watchdog");
        }
        Err(error) => match notes.ends(end.ended_at, stage) {
            Ok(()) => {
                tracing::error!(%error, "the database does not take the end; the stop note tells it to the next start")
            }
            Err(note) => {
                tracing::error!(%error, %note, "neither the database nor a note takes the end; the next start closes it")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines { whole_ms: 30_000, urgent_ms: 3_000 };

    /// Looks every 100 ms from `from_ms` on until something hangs or `to_ms` is reached.
    fn until(judge: &mut Judge, from_ms: u64, to_ms: u64, seen: Seen) -> Option<(u64, Hung)> {
        (from_ms..=to_ms).step_by(100).find_map(|now_ms| judge.judge(now_ms, &seen).map(|hung| (now_ms, hung)))
    }

    #[test]
    fn a_supervisor_that_stands_still_is_found_and_one_that_beats_is_not() {
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        for now_ms in (0..60_000).step_by(100) {
            assert_eq!(judge.judge(now_ms, &Seen { beat_ms: now_ms, ..Seen::default() }), None);
        }
        let seen = Seen { beat_ms: 60_000, ..Seen::default() };
        assert_eq!(until(&mut judge, 60_000, 90_000, seen), Some((73_100, Hung::Supervisor)));
    }

    #[test]
    fn a_stage_hangs_when_it_is_over_its_own_time() {
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        let seen = Seen { stopping_ms: 100, stage: Some((Stage::Flush, 5_000)), ..Seen::default() };
        assert_eq!(until(&mut judge, 100, 60_000, seen), Some((15_100, Hung::Stage(Stage::Flush))));
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        let hurried = Seen { stage: Some((Stage::Cancel, 50_000)), urgent_ms: 1_000, stopping_ms: 100, ..seen };
        assert_eq!(until(&mut judge, 100, 60_000, hurried), Some((14_100, Hung::Stage(Stage::Cancel))));
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        let after = Seen { stage: None, ..seen };
        assert_eq!(until(&mut judge, 100, 90_000, after), Some((70_200, Hung::Stop)));
    }

    #[test]
    fn a_closed_console_leaves_no_time_for_a_hang() {
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        let stage = Some((Stage::Flush, 5_000));
        let seen = Seen { stopping_ms: 100, urgent_ms: 1_000, console_closed_ms: 1_000, stage, ..Seen::default() };
        assert_eq!(until(&mut judge, 100, 60_000, seen), Some((5_100, Hung::Stage(Stage::Flush))));
        // However long an urgent stop may take otherwise, the system waits five seconds.
        let patient = Deadlines { urgent_ms: 20_000, ..DEADLINES };
        let mut judge = Judge::new(patient, 10_000, 0);
        assert_eq!(until(&mut judge, 100, 60_000, seen), Some((5_300, Hung::Stage(Stage::Flush))));
    }

    #[test]
    fn after_a_sleep_nobody_is_judged_for_a_while() {
        let mut judge = Judge::new(DEADLINES, 10_000, 0);
        let seen = Seen { beat_ms: 0, ..Seen::default() };
        assert_eq!(judge.judge(1_000_000, &seen), None);
        assert_eq!(until(&mut judge, 1_000_000, 1_050_000, seen), Some((1_013_000, Hung::Supervisor)));
    }
}
