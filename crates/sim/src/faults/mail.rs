//! Messages that do not arrive as they were sent.

use std::collections::BTreeMap;

use super::chance;
use super::plan::Messages;
use crate::node::{ConnectionId, Outgoing};

/// Messages held back for one client at most; what comes beyond is lost.
const MOST_HELD: usize = 4_096;

/// What goes wrong with messages to clients.
#[derive(Clone, Debug)]
pub struct Mail {
    plan: Messages,
    seed: u64,
    ledger: u32,
    sent: u64,
    held: BTreeMap<ConnectionId, Vec<(u32, Outgoing)>>,
}

impl Mail {
    pub(super) fn new(plan: Messages, seed: u64) -> Mail {
        Mail { plan, seed, ledger: 0, sent: 0, held: BTreeMap::new() }
    }

    fn is_sound(&self) -> bool {
        let Messages { lost, delayed, duplicated, reordered, .. } = &self.plan;
        [lost, delayed, duplicated, reordered].into_iter().all(|rate| *rate <= 0.0)
    }

    /// A client is gone, and what was held back for it.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.held.remove(&connection);
    }

    /// What was held back until this ledger.
    pub fn due(&mut self, ledger: u32) -> Vec<Outgoing> {
        let mut due = Vec::new();
        for held in self.held.values_mut() {
            let (now, later) = std::mem::take(held).into_iter().partition(|(until, _)| *until <= ledger);
            *held = later;
            let now: Vec<(u32, Outgoing)> = now;
            due.extend(now.into_iter().map(|(_, message)| message));
        }
        self.held.retain(|_, held| !held.is_empty());
        due
    }

    /// What arrives of messages that are sent after this ledger.
    pub fn send(&mut self, ledger: u32, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        if self.is_sound() {
            return messages;
        }
        if self.ledger != ledger {
            (self.ledger, self.sent) = (ledger, 0);
        }
        let mut arriving: Vec<Outgoing> = Vec::new();
        // Messages that let the next one of their client pass.
        let mut waiting: BTreeMap<ConnectionId, Outgoing> = BTreeMap::new();
        for message in messages {
            let connection = message.connection;
            if self.happens("lost", self.plan.lost) {
                continue;
            }
            if self.happens("delayed", self.plan.delayed) {
                let held = self.held.entry(connection).or_default();
                if held.len() < MOST_HELD {
                    held.push((ledger.saturating_add(self.plan.delay_ledgers), message));
                }
                continue;
            }
            if self.happens("duplicated", self.plan.duplicated) {
                arriving.push(message.clone());
            }
            if !waiting.contains_key(&connection) && self.happens("reordered", self.plan.reordered) {
                waiting.insert(connection, message);
                continue;
            }
            arriving.push(message);
            arriving.extend(waiting.remove(&connection));
        }
        arriving.extend(waiting.into_values());
        arriving
    }

    fn happens(&mut self, name: &str, rate: f64) -> bool {
        self.sent += 1;
        let what = [u64::from(self.ledger).to_be_bytes(), self.sent.to_be_bytes()].concat();
        rate > 0.0 && chance(self.seed, name, &what) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(count: usize) -> Vec<Outgoing> {
        (0..count).map(|number| Outgoing { connection: ConnectionId(1), text: number.to_string() }).collect()
    }

    fn texts(messages: Vec<Outgoing>) -> Vec<usize> {
        messages.into_iter().map(|message| message.text.parse().unwrap()).collect()
    }

    fn mail(change: impl FnOnce(&mut Messages)) -> Mail {
        let mut plan = Messages::default();
        change(&mut plan);
        Mail::new(plan, 1)
    }

    #[test]
    fn each_kind_does_what_it_says_and_nothing_else() {
        let sent: Vec<usize> = (0..1_000).collect();
        let lost = texts(mail(|plan| plan.lost = 0.1).send(5, messages(1_000)));
        assert!((850..950).contains(&lost.len()) && lost.is_sorted(), "{}", lost.len());
        let doubled = texts(mail(|plan| plan.duplicated = 0.1).send(5, messages(1_000)));
        assert!((1_050..1_150).contains(&doubled.len()) && doubled.is_sorted(), "{}", doubled.len());
        let mut reordered = texts(mail(|plan| plan.reordered = 0.1).send(5, messages(1_000)));
        assert!(!reordered.is_sorted());
        reordered.sort_unstable();
        assert_eq!(reordered, sent);
        assert_eq!(texts(mail(|_| {}).send(5, messages(1_000))), sent);
    }

    #[test]
    fn what_is_held_back_comes_later_and_goes_with_its_client() {
        let mut late = mail(|plan| (plan.delayed, plan.delay_ledgers) = (0.5, 2));
        let mut arrived = texts(late.send(5, messages(100)));
        assert!(arrived.len() < 100 && late.due(6).is_empty());
        arrived.extend(texts(late.due(7)));
        arrived.sort_unstable();
        assert_eq!(arrived, (0..100).collect::<Vec<_>>());
        late.send(8, messages(100));
        late.forget(ConnectionId(1));
        assert!(late.due(10).is_empty());
    }

    #[test]
    fn the_same_seed_hurts_the_same_messages() {
        let run = || texts(mail(|plan| (plan.lost, plan.reordered) = (0.2, 0.2)).send(9, messages(200)));
        assert_eq!(run(), run());
    }
}
