//! The way from the orders to the feed. Both start at once, each on a thread of its own: what the orders say of the first
//! ledger before they were given the feed's address waits for it. Dropped, nobody would ask for the next ledger.

use super::FeedLink;
use crate::messages::{LedgerDone, ListAgain, Submission};

/// What the orders say to the feed.
#[derive(Clone, Debug)]
pub(super) enum ForFeed {
    Submit(Submission),
    Done(LedgerDone),
    ListAgain,
}

/// The feed's address, once there is one, and what waits for it.
#[derive(Default)]
pub(super) struct ToFeed {
    link: Option<FeedLink>,
    early: Vec<ForFeed>,
}

impl ToFeed {
    /// Says it; gives back what a feed that is gone does not take, and why.
    pub(super) fn tell(&mut self, what: ForFeed) -> Option<(ForFeed, String)> {
        let Some(link) = &self.link else {
            self.early.push(what);
            return None;
        };
        let told = match what.clone() {
            ForFeed::Submit(submission) => (link.submit)(submission),
            ForFeed::Done(done) => (link.ledger_done)(done),
            ForFeed::ListAgain => (link.list_again)(ListAgain),
        };
        told.err().map(|error| (what, error.to_string()))
    }

    /// The feed's address, or that of one that was started again. What waited is said now; gives back what is not taken.
    pub(super) fn open(&mut self, link: FeedLink) -> Vec<(ForFeed, String)> {
        self.link = Some(link);
        std::mem::take(&mut self.early).into_iter().filter_map(|what| self.tell(what)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_is_said_before_there_is_a_feed_is_said_when_there_is_one() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = |what: &'static str| {
            let heard = Arc::clone(&heard);
            move |index: u32| heard.lock().unwrap().push((what, index))
        };
        let (done, list) = (hear("done"), hear("list"));
        let link = FeedLink {
            submit: Arc::new(|_| Ok(())),
            ledger_done: Arc::new(move |LedgerDone(index)| {
                done(index);
                Ok(())
            }),
            list_again: Arc::new(move |_| {
                list(0);
                Ok(())
            }),
        };
        let mut feed = ToFeed::default();
        assert!(feed.tell(ForFeed::ListAgain).is_none() && feed.tell(ForFeed::Done(LedgerDone(7))).is_none());
        assert!(heard.lock().unwrap().is_empty());
        assert!(feed.open(link.clone()).is_empty());
        assert!(feed.tell(ForFeed::Done(LedgerDone(8))).is_none());
        assert!(feed.open(link).is_empty(), "nothing is said twice");
        assert_eq!(*heard.lock().unwrap(), [("list", 0), ("done", 7), ("done", 8)]);
    }
}
