//! What the stages ask of the orders, and what is heard while they wait for them.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use neo_actors::SupervisorEvent;
use neo_actors::clock::monotonic_ms;
use neo_actors::messages::OrdersCommand;
use neo_actors::orders::core::OrdersCore;
use neo_store::record::EndReason;

use super::{EngineStages, LOOK, URGENT_SEND};
use crate::supervisor::policy::{self, Decision, Lost};
use crate::supervisor::stand_in::StandIn;
use crate::supervisor::stop::StageError;

/// A stop waits no longer than this for a node that is gone: without one nothing can be proven.
const NODE_PATIENCE_MS: u64 = 5_000;

impl EngineStages<'_> {
    pub(super) fn command(&mut self, command: OrdersCommand) -> Result<(), StageError> {
        // What happened since the last wait, the orders' end for one, is heard before anything is asked of them.
        while let Ok(event) = self.events.try_recv() {
            self.heard(&event);
        }
        if self.stand_in.is_none()
            && self.undriven.is_none()
            && let Err(error) = self.keeper.crew.orders().try_send(command.clone())
        {
            self.lost(Lost::Orders, format!("the orders take nothing: {error}"));
        }
        if let Some(why) = &self.undriven {
            return Err(StageError::Failed(why.clone()));
        }
        let Some(stand_in) = &mut self.stand_in else { return Ok(()) };
        let done = stand_in.command(command.clone(), &mut self.notes.lock());
        done.map_err(|error| StageError::Failed(format!("the orders do not take {command:?}: {error}")))
    }

    /// The orders' actor or the record is lost: from here on the supervisor drives the orders' state itself.
    pub(super) fn take_over(&mut self) {
        let record_lost = self.keeper.record_lost();
        let done = match &mut self.stand_in {
            Some(stand_in) if record_lost => stand_in.lose_the_record(&mut self.notes.lock()),
            Some(_) => Ok(()),
            None => {
                let patience = self.patience();
                let crew = &mut self.keeper.crew;
                let core = crew.orders_core().clone();
                let mut stand_in = StandIn::new(core, self.writer.clone(), crew.feed_link(), patience);
                let begun = crew
                    .take_orders_over(stand_in.link(), patience)
                    .and_then(|()| stand_in.begin(record_lost, &mut self.notes.lock()))
                    .and_then(|()| stand_in.command(OrdersCommand::Withdraw, &mut self.notes.lock()));
                self.stand_in = begun.is_ok().then_some(stand_in);
                begun
            }
        };
        match done {
            Ok(()) => tracing::warn!(record_lost, "the supervisor drives the orders itself"),
            Err(error) => {
                let why = format!("{error}; the offers are left to their Expiration");
                tracing::error!("{why}");
                self.undriven = Some(why);
            }
        }
    }

    /// How long the orders' state is waited for: as long as they may sign, and in a hurry no longer than for their cancels.
    fn patience(&self) -> Duration {
        let whole = self.keeper.crew.orders_patience();
        if self.urgent { whole.min(URGENT_SEND) } else { whole }
    }

    /// Looks into the orders' core, which a frozen actor may hold for ever.
    pub(super) fn orders<T>(&self, look: impl FnOnce(&mut OrdersCore) -> T) -> Result<T, StageError> {
        match self.keeper.crew.orders_core().try_lock_for(self.patience()) {
            Some(mut core) => Ok(look(&mut core)),
            None => Err(StageError::Failed(
                "the orders are frozen and hold their state; the offers are left to their Expiration".to_string(),
            )),
        }
    }

    /// Asks for the withdrawal; again does no harm. Before the first ledger there is nothing to withdraw and nothing
    /// to wait for.
    pub(super) fn withdraw(&mut self) -> Result<(), StageError> {
        self.keeper.crew.close_soon();
        self.command(OrdersCommand::Withdraw)?;
        if self.orders(|core| core.has_seen_a_ledger())? {
            return Ok(());
        }
        let text = "no validated ledger was seen; offers of an earlier session stay until their Expiration";
        Err(StageError::Skipped(text.to_string()))
    }

    /// Where the session's ledger is gone, nothing of the session is to be waited for: it went with it.
    pub(super) fn on_a_ledger(&self) -> Result<(), StageError> {
        match self.keeper.world_gone() {
            false => Ok(()),
            true => Err(StageError::Skipped(
                "the ledger that the session traded on is gone, and its offers with it".to_string(),
            )),
        }
    }

    /// Listens until `Flat`, a hurry, the loss of the orders' state, or `enough`.
    pub(super) fn wait_flat(&mut self, patience: Duration, enough: impl Fn(&Self) -> bool) {
        let until_ms = monotonic_ms().saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let was_urgent = self.urgent;
        let no_node = |since_ms: u64| monotonic_ms().saturating_sub(since_ms) > NODE_PATIENCE_MS;
        let lost = |stages: &Self| stages.undriven.is_some() || stages.keeper.node_lost_ms().is_some_and(no_node);
        while !self.flat && self.urgent == was_urgent && monotonic_ms() < until_ms && !enough(self) && !lost(self) {
            match self.events.recv_timeout(LOOK) {
                Ok(event) => self.heard(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.attend();
        }
    }

    /// What has to go on in every wait: restarts, signs of life, and the orders where the supervisor drives them.
    pub(super) fn attend(&mut self) {
        if self.sealing {
            return;
        }
        for event in self.keeper.look() {
            self.heard(&event);
        }
        let Some(stand_in) = &mut self.stand_in else { return };
        stand_in.link_feed(self.keeper.crew.feed_link());
        if let Err(error) = stand_in.pump(&mut self.notes.lock()) {
            let why = format!("the orders cannot be driven: {error}; the offers are left to their Expiration");
            tracing::error!("{why}");
            self.undriven = Some(why);
        }
        self.flat |= self.stand_in.as_ref().is_some_and(StandIn::is_flat);
    }

    pub(super) fn heard(&mut self, event: &SupervisorEvent) {
        self.flat |= *event == SupervisorEvent::Flat;
        if self.bell.answer(0) {
            self.keeper.dump_sources().log();
        }
        if let SupervisorEvent::StopRequested(reason) = event {
            self.asked_again(*reason);
        }
        match self.keeper.hear(event) {
            Decision::Lost { lost, cause } => self.lost(lost, cause),
            Decision::GoOn | Decision::Hurry | Decision::Without | Decision::Restart { .. } | Decision::Stop { .. } => {
            }
        }
    }

    /// The session ends with a fault now, whatever it was to end with; unless that is written already.
    fn lost(&mut self, lost: Lost, cause: String) {
        if !self.closed {
            if self.reason != EndReason::Disk {
                self.reason = EndReason::Fault;
            }
            self.cause.get_or_insert(cause);
            let mut notes = self.notes.lock();
            (notes.end_reason, notes.cause) = (self.reason, self.cause.clone());
        }
        // Once the actors have ended nothing can be sent any more.
        if lost != Lost::Nothing && !self.keeper.is_retired() {
            self.take_over();
        }
    }

    /// The second request is a hurry, and a closed console is one however often was asked before; any other changes
    /// nothing.
    fn asked_again(&mut self, reason: EndReason) {
        if policy::is_urgent(reason) {
            self.watchdog.console_closed();
        } else if !self.urgent {
            self.watchdog.hurry();
        }
        if !self.urgent {
            tracing::warn!(reason = reason.as_str(), "asked again: the stop is urgent from here on");
            self.urgent = true;
        }
    }
}
