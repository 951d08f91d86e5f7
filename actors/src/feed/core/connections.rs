//! Which node is followed, which one stands by, and what may be sent to them.

use neo_ledger::request;

use super::{Asked, Closes, FeedCore, FeedEffect, FeedError, Phase};
use crate::feed::budget::{MEDIUM, REFERENCE};
use crate::feed::nodes::Parting;
use crate::feed::standby::{Finding, StandbyEffect};
use crate::messages::{Submission, SubmissionReply};

/// What a fresh picture costs: offers, objects, both sides of the book, history; the account, the trust line, the issuer
/// and the pool.
const PICTURE: u32 = 5 * MEDIUM + 4 * REFERENCE;

/// What happens on the second connection.
#[derive(Clone, Copy, Debug)]
pub enum SecondInput<'a> {
    /// It is open.
    Connected,
    /// A message of its node.
    Text(&'a str),
    /// It is closed or could not be opened.
    Disconnected(Parting, &'a str),
}

/// What the shell must do with the second connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondEffect {
    /// Open one to this node.
    Connect(usize),
    /// Send a message.
    Send(String),
    /// Close it; `Disconnected` follows.
    Disconnect(Parting, String),
    /// It is the first connection from now on: `Connected` follows for that one.
    Promote,
}

impl FeedCore {
    /// Leaves the followed node, once an event: a second parting would hit the node that takes its place.
    pub(super) fn leave(&mut self, parting: Parting, reason: &str, effects: &mut Vec<FeedEffect>) {
        if effects.iter().any(|effect| matches!(effect, FeedEffect::Disconnect(..))) {
            return;
        }
        effects.push(FeedEffect::Warn(reason.to_string()));
        effects.push(FeedEffect::Disconnect(parting, reason.to_string()));
    }

    /// The followed node is gone. One that stands by takes its place at once.
    pub(super) fn disconnected(&mut self, parting: Parting, reason: &str, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        effects.push(FeedEffect::Warn(format!("no connection: {reason}")));
        let unanswered = std::mem::take(&mut self.asked).into_values().filter_map(|(asked, _)| match asked {
            Asked::Submit(hash) => Some(hash),
            _ => None,
        });
        let held_back = std::mem::take(&mut self.held_back).into_iter().map(|submission| submission.hash);
        for hash in unanswered.chain(held_back) {
            let result = Err(format!("the connection was lost before the node answered: {reason}"));
            effects.push(FeedEffect::Reply(SubmissionReply { hash, result, open_ledger_cost: None }));
        }
        self.nodes.left(self.node, parting, now_ms);
        self.second.first_left();
        self.proofs.clear();
        self.expecting_since_ms = None;
        self.catching_up = false;
        self.phase = Phase::Down;
        if self.second.is_warm()
            && let Some(node) = self.second_node.take()
        {
            self.node = node;
            self.second.reset();
            self.phase = Phase::Connecting;
            effects.push(FeedEffect::Second(SecondEffect::Promote));
        }
    }

    /// Connects where no connection is, and the time for it has come.
    pub(super) fn connect_when_due(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        if self.world.is_gone() {
            return;
        }
        if matches!(self.phase, Phase::Down)
            && let Some(node) = self.nodes.next(Some(self.node), self.second_node, now_ms)
        {
            self.node = node;
            self.phase = Phase::Connecting;
            effects.push(FeedEffect::Connect(node));
        }
        // Not before the first one has shown what there is: a start has enough to do.
        if self.is_live()
            && self.second_node.is_none()
            && let Some(node) = self.nodes.next(None, Some(self.node), now_ms)
        {
            self.second_node = Some(node);
            effects.push(FeedEffect::Second(SecondEffect::Connect(node)));
        }
    }

    pub(super) fn on_second(
        &mut self,
        input: SecondInput<'_>,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        match input {
            SecondInput::Connected => {
                let effect = self.second.connected(now_ms);
                second(effect, effects);
            }
            SecondInput::Disconnected(parting, reason) => {
                effects.push(FeedEffect::Warn(format!("the second node is gone: {reason}")));
                if let Some(node) = self.second_node.take() {
                    self.nodes.left(node, parting, now_ms);
                }
                self.second.reset();
            }
            SecondInput::Text(text) => match self.second.heard(text, now_ms) {
                Ok((effect, finding)) => {
                    if let Some(effect) = effect {
                        second(effect, effects);
                    }
                    if let (true, Some(node)) = (self.second.is_warm(), self.second_node) {
                        self.nodes.serves(node);
                    }
                    if let Some(finding) = finding {
                        self.found(finding, effects)?;
                    }
                }
                Err(effect) => second(effect, effects),
            },
        }
        Ok(())
    }

    /// What time tells of the second connection, and of the first one beside it.
    pub(super) fn tick_second(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        if let Some(effect) = self.second.tick(now_ms) {
            second(effect, effects);
        }
        match self.second.judge(now_ms) {
            Some(finding) if self.is_following() => self.found(finding, effects),
            _ => Ok(()),
        }
    }

    /// Two nodes do not say the same.
    pub(super) fn found(&mut self, finding: Finding, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        match finding {
            Finding::Behind { ledgers } => {
                self.leave(Parting::Unfit, &format!("it is {ledgers} ledgers behind the second node"), effects);
                Ok(())
            }
            Finding::Differs { index } => Err(FeedError::Differs { index }),
        }
    }

    /// Sends a signed transaction, to every node that is followed: the same blob counts once.
    pub(super) fn submit(&mut self, submission: Submission, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        if !self.is_following() {
            let result = Err("not sent: there is no connection to a node".to_string());
            effects.push(FeedEffect::Reply(SubmissionReply { hash: submission.hash, result, open_ledger_cost: None }));
            return;
        }
        self.held_back.push_back(submission);
        self.send_held_back(now_ms, effects);
    }

    /// What the budget has room for, in the order in which it was signed.
    pub(super) fn send_held_back(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        while self.is_following() && !self.held_back.is_empty() && self.may_submit(now_ms) {
            let Some(Submission { hash, blob }) = self.held_back.pop_front() else { return };
            self.ask(Asked::Submit(hash), now_ms, effects, |id| request::submit(id, &blob, false));
            if self.second.is_warm() {
                effects.push(FeedEffect::Second(SecondEffect::Send(request::submit(SECOND_SUBMIT_ID, &blob, false))));
            }
        }
    }

    fn may_submit(&mut self, now_ms: u64) -> bool {
        !self.config.is_public || self.budget.submits(now_ms)
    }

    /// Whether a comparison with the node's picture may be asked for now, or later.
    pub(super) fn may_audit(&mut self, now_ms: u64) -> bool {
        !self.config.is_public || self.budget.has_room(PICTURE, now_ms)
    }

    /// Whether a small question that may wait for the next ledger may be asked now; then it is charged.
    pub(super) fn may_look(&mut self, now_ms: u64) -> bool {
        let may = !self.config.is_public || self.budget.has_room(REFERENCE, now_ms);
        if may {
            self.budget.asks(REFERENCE, now_ms);
        }
        may
    }

    /// Whether both sides of the book may be read now; then they are charged.
    pub(super) fn may_read_book(&mut self, now_ms: u64) -> bool {
        let may = !self.config.is_public || self.budget.has_room(2 * MEDIUM, now_ms);
        if may {
            self.charge_book(now_ms);
        }
        may
    }

    /// Both sides of the book, when they cannot wait.
    pub(super) fn charge_book(&mut self, now_ms: u64) {
        self.budget.asks(2 * MEDIUM, now_ms);
    }

    /// A fresh picture that cannot wait.
    pub(super) fn charge_picture(&mut self, now_ms: u64) {
        self.budget.asks(PICTURE, now_ms);
    }

    /// Only a node of a network closes ledgers by itself.
    pub(super) fn closes_by_itself(&self) -> bool {
        self.config.closes == Closes::Network
    }

    /// Since when the node owes a word. One that closes ledgers when it is asked to owes a live feed none before; one that
    /// stands alone owes none at all: it is asked when it is quiet, and that answer it owes.
    pub(super) fn waits_since_ms(&self) -> Option<u64> {
        match self.config.closes {
            Closes::WhenDone if self.is_live() => self.expecting_since_ms,
            Closes::Every(_) | Closes::ByOthers => None,
            Closes::WhenDone | Closes::Network => Some(self.heard_ms),
        }
    }

    /// A stand-alone node that has said nothing for half of the time that a word may take is asked how it is: without a
    /// close it says nothing by itself, and a connection that broke without a word would never be noticed.
    pub(super) fn ask_the_quiet(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let quiet = now_ms.saturating_sub(self.heard_ms) > self.config.silence_ms / 2;
        if self.stands_alone() && quiet && self.asked.is_empty() {
            self.ask(Asked::Health, now_ms, effects, request::server_info);
        }
    }
}

/// The second node's answer to a submission says nothing that the first one's does not.
const SECOND_SUBMIT_ID: u64 = (1 << 61) - 1;

fn second(effect: StandbyEffect, effects: &mut Vec<FeedEffect>) {
    effects.push(FeedEffect::Second(match effect {
        StandbyEffect::Send(text) => SecondEffect::Send(text),
        StandbyEffect::Leave(parting, reason) => SecondEffect::Disconnect(parting, reason),
    }));
}
