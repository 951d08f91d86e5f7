//! Many runs on all cores of the machine: threads that take the next run when they are done with one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crossbeam_channel::unbounded;
use neo_ledger::keys::Keypair;
use neo_sim::{Market, Node};

use super::drive::Bench;
use super::outcome::{Outcome, Tally};
use crate::config::Config;
use crate::drive::Spent;

/// One run.
pub struct Job {
    /// What is configured.
    pub config: Config,
    /// The seed of its world.
    pub seed: u64,
    /// What it is called when it fails.
    pub name: String,
}

/// What all runs together took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Ledgers of all runs.
    pub ledgers: u64,
    /// Where the time went, over all threads.
    pub spent: Spent,
}

impl Work {
    fn add(&mut self, other: Work) {
        self.ledgers += other.ledgers;
        self.spent.node += other.spent.node;
        self.spent.feed += other.spent.feed;
        self.spent.orders += other.spent.orders;
        self.spent.valuer += other.spent.valuer;
    }

    /// Processor time.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.spent.node + self.spent.feed + self.spent.orders + self.spent.valuer
    }
}

/// Does all jobs on so many threads; `done` is told of each as it ends. The outcomes are in the order of the jobs.
///
/// # Errors
/// The first run that failed, by its name; the others are left.
pub fn all(
    jobs: &[Job],
    market: Option<&Market>,
    trade_for_s: u32,
    threads: usize,
    mut done: impl FnMut(usize, &Outcome),
) -> Result<(Vec<Outcome>, Work)> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (tell, hear) = unbounded();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            let (tell, next, failed) = (tell.clone(), &next, &failed);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { return };
                    let came = one(job, market, trade_for_s).with_context(|| job.name.clone());
                    if came.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    // Nobody hears any more: a run before failed.
                    if tell.send((at, came)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let (mut outcomes, mut work): (Vec<Option<Outcome>>, Work) =
            (jobs.iter().map(|_| None).collect(), Work::default());
        for (at, came) in hear {
            let (outcome, of_run) = came?;
            work.add(of_run);
            done(at, &outcome);
            if let Some(place) = outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
        let whole: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        // A thread that panicked takes the scope with it, so this is never missing.
        Ok((whole.context("a run gave no outcome; report it")?, work))
    })
}

fn one(job: &Job, market: Option<&Market>, trade_for_s: u32) -> Result<(Outcome, Work)> {
    let node = match market {
        Some(market) => Node::on_market(&job.config.sim, job.seed, market)?,
        None => Node::new(&job.config.sim, job.seed)?,
    };
    let key = Keypair::from_seed(&neo_sim::maker_seed()).context("the key of the simulated account")?.for_backtest();
    let mut tally = Tally::default();
    let bench = Bench::new(node, &job.config, key, trade_for_s, |record| tally.take(&record))?;
    let ended = bench.run()?;
    let work = Work { ledgers: ended.ledgers, spent: ended.spent };
    Ok((tally.outcome()?, work))
}
