//! The stop sequence: which stages run, in which order, for how long, and what their outcomes add up to.
//!
//! Every stage runs even if an earlier one failed. What a stage does is behind [`Stages`]; here is only the order, the
//! clock and the account of it, so that a test can make any stage fail.

use neo_store::record::{Stage, StageOutcome, StopStage};

/// Why a stage did not do what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageError {
    /// It failed; the text says what and what to do.
    Failed(String),
    /// Its deadline passed.
    TimedOut(String),
    /// It was not tried, for this reason.
    Skipped(String),
}

impl StageError {
    fn parts(self) -> (StageOutcome, String) {
        match self {
            StageError::Failed(error) => (StageOutcome::Failed, error),
            StageError::TimedOut(error) => (StageOutcome::TimedOut, error),
            StageError::Skipped(error) => (StageOutcome::Skipped, error),
        }
    }
}

/// What the stages do.
pub trait Stages {
    /// Runs one stage within `budget_ms`; `so_far` holds the outcomes of the stages before it.
    ///
    /// # Errors
    /// [`StageError`]; the next stage runs all the same.
    fn run(&mut self, stage: Stage, budget_ms: u64, so_far: &[StopStage]) -> Result<(), StageError>;

    /// Milliseconds on a clock that never goes back.
    fn now_ms(&self) -> u64;

    /// True when somebody is in a hurry: cancels are sent but not waited for, `ended_at` is written first.
    fn urgent(&self) -> bool;
}

/// How long the stages may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The whole sequence.
    pub whole_ms: u64,
    /// The whole sequence, in a hurry.
    pub urgent_ms: u64,
}

/// Each of value, flush, checkpoint, close and seal gets at most this.
const LOCAL_STAGE_MS: u64 = 5_000;
/// The checkpoint stage is bounded to a fraction of a second: it is a convenience, `ended_at` is not.
const CHECKPOINT_STAGE_MS: u64 = 500;

/// Runs all stages and returns their outcomes, in the order they ran. `observe` hears each as it ends.
pub fn run_stages(
    stages: &mut impl Stages,
    deadlines: Deadlines,
    mut observe: impl FnMut(&StopStage),
) -> Vec<StopStage> {
    let started_ms = stages.now_ms();
    let mut outcomes: Vec<StopStage> = Vec::with_capacity(Stage::ALL.len());
    while let Some(stage) = next_stage(&outcomes, stages.urgent()) {
        let begun_ms = stages.now_ms();
        let budget_ms = budget(stage, stages.urgent(), deadlines, begun_ms.saturating_sub(started_ms));
        let result = stages.run(stage, budget_ms, &outcomes);
        let ms = stages.now_ms().saturating_sub(begun_ms);
        let (outcome, error) = match result {
            Ok(()) => (StageOutcome::Done, None),
            Err(error) => {
                let (outcome, text) = error.parts();
                (outcome, Some(text))
            }
        };
        let row = StopStage { stage, outcome, ms, error };
        log(&row);
        observe(&row);
        outcomes.push(row);
    }
    outcomes
}

fn log(row: &StopStage) {
    let (stage, ms) = (row.stage.as_str(), row.ms);
    match row.outcome {
        StageOutcome::Done => tracing::info!(stage, ms, "stop stage done"),
        StageOutcome::Skipped => tracing::warn!(stage, ms, reason = row.error, "stop stage skipped"),
        outcome => tracing::error!(stage, ms, error = row.error, outcome = outcome.as_str(), "stop stage not done"),
    }
}

/// The next stage. In a hurry `close` comes before `flush`, so that `ended_at` rides in the same commit.
fn next_stage(done: &[StopStage], urgent: bool) -> Option<Stage> {
    const URGENT: [Stage; 8] = [
        Stage::Quiesce,
        Stage::Settle,
        Stage::Cancel,
        Stage::Value,
        Stage::Close,
        Stage::Flush,
        Stage::Checkpoint,
        Stage::Seal,
    ];
    let order = if urgent { &URGENT } else { &Stage::ALL };
    order.iter().copied().find(|stage| done.iter().all(|row| row.stage != *stage))
}

/// What a stage may take: the ledger's stages share what is left after the local stages' part has been set aside.
fn budget(stage: Stage, urgent: bool, deadlines: Deadlines, spent_ms: u64) -> u64 {
    let whole_ms = if urgent { deadlines.urgent_ms } else { deadlines.whole_ms };
    let left_ms = whole_ms.saturating_sub(spent_ms);
    match stage {
        Stage::Quiesce => left_ms.min(LOCAL_STAGE_MS),
        // A fifth is kept for the stages that make the record whole.
        Stage::Settle | Stage::Cancel => left_ms.saturating_sub(whole_ms / 5),
        Stage::Checkpoint => CHECKPOINT_STAGE_MS,
        // These are what the promise rests on: they get their time even when the ledger's stages used it all.
        Stage::Value | Stage::Flush | Stage::Close | Stage::Seal => left_ms.clamp(LOCAL_STAGE_MS / 5, LOCAL_STAGE_MS),
    }
}

/// What the outcomes of all stages add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every stage did what it is for; a checkpoint that is another program's was left to it.
    Clean,
    /// A stage failed, or something of ours was left on the ledger.
    NotDone,
    /// A stage did not end within its deadline.
    TimedOut,
}

/// The one rule of what counts as done: a checkpoint that was left to another program is, a cancel that was not waited
/// for is not.
#[must_use]
pub fn is_done(row: &StopStage) -> bool {
    row.outcome == StageOutcome::Done || (row.outcome == StageOutcome::Skipped && row.stage == Stage::Checkpoint)
}

/// Adds the outcomes up.
#[must_use]
pub fn verdict(outcomes: &[StopStage]) -> Verdict {
    if outcomes.iter().any(|row| row.outcome == StageOutcome::TimedOut) {
        Verdict::TimedOut
    } else if outcomes.iter().any(|row| !is_done(row)) {
        Verdict::NotDone
    } else {
        Verdict::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script {
        failing: Option<Stage>,
        urgent_from: Option<Stage>,
        urgent: bool,
        ran: Vec<(Stage, u64)>,
        now_ms: u64,
        each_ms: u64,
    }

    impl Stages for Script {
        fn run(&mut self, stage: Stage, budget_ms: u64, so_far: &[StopStage]) -> Result<(), StageError> {
            assert_eq!(so_far.len(), self.ran.len());
            self.ran.push((stage, budget_ms));
            self.now_ms += self.each_ms;
            self.urgent |= self.urgent_from == Some(stage);
            if self.failing == Some(stage) { Err(StageError::Failed("on purpose".into())) } else { Ok(()) }
        }
        fn now_ms(&self) -> u64 {
            self.now_ms
        }
        fn urgent(&self) -> bool {
            self.urgent
        }
    }

    fn script(failing: Option<Stage>) -> Script {
        Script { failing, urgent_from: None, urgent: false, ran: Vec::new(), now_ms: 0, each_ms: 10 }
    }

    const DEADLINES: Deadlines = Deadlines { whole_ms: 30_000, urgent_ms: 3_000 };

    #[test]
    fn every_stage_runs_in_order_whichever_fails() {
        for failing in Stage::ALL {
            let mut stages = script(Some(failing));
            let outcomes = run_stages(&mut stages, DEADLINES, |_| {});
            let order: Vec<Stage> = stages.ran.iter().map(|(stage, _)| *stage).collect();
            assert_eq!(order, Stage::ALL);
            let failed: Vec<Stage> =
                outcomes.iter().filter(|row| row.outcome == StageOutcome::Failed).map(|row| row.stage).collect();
            assert_eq!(failed, [failing]);
            assert_eq!(verdict(&outcomes), Verdict::NotDone);
        }
        assert_eq!(verdict(&run_stages(&mut script(None), DEADLINES, |_| {})), Verdict::Clean);
    }

    #[test]
    fn a_skipped_checkpoint_is_clean_and_a_skipped_cancel_is_not() {
        let row = |stage, outcome| StopStage { stage, outcome, ms: 0, error: None };
        assert_eq!(verdict(&[row(Stage::Checkpoint, StageOutcome::Skipped)]), Verdict::Clean);
        assert_eq!(verdict(&[row(Stage::Cancel, StageOutcome::Skipped)]), Verdict::NotDone);
        let hung = [row(Stage::Cancel, StageOutcome::TimedOut), row(Stage::Flush, StageOutcome::Failed)];
        assert_eq!(verdict(&hung), Verdict::TimedOut);
    }

    #[test]
    fn in_a_hurry_ended_at_is_written_before_anything_local_that_can_wait() {
        let mut stages = script(None);
        stages.urgent_from = Some(Stage::Settle);
        run_stages(&mut stages, DEADLINES, |_| {});
        let order: Vec<Stage> = stages.ran.iter().map(|(stage, _)| *stage).collect();
        let at = |stage: Stage| order.iter().position(|other| *other == stage).unwrap();
        assert!(at(Stage::Close) < at(Stage::Flush) && at(Stage::Close) < at(Stage::Checkpoint));
        assert_eq!(order.len(), 8);
    }

    #[test]
    fn the_ledgers_stages_have_four_fifths_of_the_time_that_is_left() {
        for stage in [Stage::Settle, Stage::Cancel] {
            assert_eq!(budget(stage, false, DEADLINES, 0), DEADLINES.whole_ms / 5 * 4);
            assert_eq!(budget(stage, false, DEADLINES, 10_000), DEADLINES.whole_ms / 5 * 4 - 10_000);
            assert_eq!(budget(stage, true, DEADLINES, 0), DEADLINES.urgent_ms / 5 * 4);
        }
    }

    #[test]
    fn the_ledger_never_eats_the_time_of_the_record() {
        let mut stages = script(None);
        stages.each_ms = 40_000;
        run_stages(&mut stages, DEADLINES, |_| {});
        let budget = |stage: Stage| stages.ran.iter().find(|(other, _)| *other == stage).unwrap().1;
        assert_eq!(budget(Stage::Cancel), 0);
        assert!(budget(Stage::Close) >= 1_000 && budget(Stage::Flush) >= 1_000);
    }
}
