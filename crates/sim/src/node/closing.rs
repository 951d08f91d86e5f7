//! How a ledger closes: what the participants and the issuer send, what goes out, and what goes wrong with it.

use neo_ledger::{Address, LedgerTime, sha512_half};
use neo_market::Dec;
use serde_json::{Map, Value as Json, json};

use super::founding::object;
use super::{ConnectionId, Node, Outgoing};
use crate::api::{load, stream};
use crate::apply::account::ASF_GLOBAL_FREEZE;
use crate::apply::trust::{TF_CLEAR_DEEP_FREEZE, TF_CLEAR_FREEZE, TF_SET_DEEP_FREEZE, TF_SET_FREEZE};
use crate::apply::tx::{Signer, Tx};
use crate::faults::{Cut, Health, IssuerAct, chance};
use crate::generator::{Draft, Generator};
use crate::history::Record;
use crate::ledger::ClosedTx;
use crate::mirror::Mirror;
use crate::mirror::apply::Applier;
use crate::mirror::frame::Frame;
use crate::mirror::read::MirrorLedger;

/// How long a ledger stays open at least (rippled, `ConsensusParms`, `ledgerMIN_CLOSE`).
const OPEN_MS: u32 = 2_000;
/// How long the nodes usually take to agree.
const USUAL_ROUND_MS: u32 = 2_000;
/// When they took too long.
const SLOW_ROUND_MS: u32 = 5_000;

impl Node {
    /// The market's participants act, the open ledger closes, and the streams go out. While the node is behind nothing
    /// does; what it missed comes with the first ledger after that.
    pub fn close_ledger(&mut self) -> Vec<Outgoing> {
        self.refused = 0;
        if self.mirror_ended().is_some() {
            return Vec::new();
        }
        if self.faults.health(self.network_index()) != Health::Full {
            self.missed = self.missed.saturating_add(1);
            return Vec::new();
        }
        let ledgers = std::mem::take(&mut self.missed).saturating_add(1);
        (0..ledgers).flat_map(|_| self.close_one()).collect()
    }

    /// Index of the ledger that the network closes next.
    fn network_index(&self) -> u32 {
        self.chain.open_index().saturating_add(self.missed)
    }

    /// How the node looks to its clients.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.missed {
            0 => Health::Full,
            _ => self.faults.health(self.network_index().saturating_sub(1)),
        }
    }

    /// Age of the last validated ledger, in seconds: 0 but while the node is behind.
    #[must_use]
    pub fn validated_age_s(&self) -> u64 {
        u64::from(self.missed) * u64::from(self.scenario.close_interval_ms) / 1_000
    }

    /// Connections that a fault has ended since this was last asked. The node has forgotten them already.
    pub fn take_cuts(&mut self) -> Vec<(ConnectionId, Cut)> {
        std::mem::take(&mut self.cuts)
    }

    /// Time from the last ledger's close to the next one's, in milliseconds.
    #[must_use]
    pub fn next_interval_ms(&self) -> u32 {
        let last = self.chain.header().index;
        if let Some(next) = self.mirror.as_ref().and_then(Mirror::next_close) {
            return next.0.saturating_sub(self.close_time().0).clamp(1, 600).saturating_mul(1_000);
        }
        let due = self.scenario.close_interval_ms.saturating_add(self.lateness_ms(last.saturating_add(1)));
        due.saturating_sub(self.lateness_ms(last))
    }

    /// How much later than planned a ledger closes.
    fn lateness_ms(&self, index: u32) -> u32 {
        let jitter = self.scenario.close_jitter_ms;
        if jitter == 0 {
            return 0;
        }
        (chance(self.seed, "close", &index.to_be_bytes()) * (f64::from(jitter) + 1.0)) as u32
    }

    fn close_one(&mut self) -> Vec<Outgoing> {
        let index = self.chain.open_index();
        let mut outgoing = self.faults.mail.due(index);
        for act in self.faults.issuer_acts(index) {
            self.issuer_does(act);
        }
        let mirrored = self.mirror.as_mut().and_then(Mirror::take);
        if self.scenario.market && self.mirror.is_none() {
            for draft in self.generator.next_ledger() {
                self.send_draft(draft);
            }
        }
        let mut sent = stream::proposed_messages(self);
        // What waits for a cheaper ledger gets into the one that opens now.
        self.chain.set_load_factor(self.faults.load_factor(index.saturating_add(1)));
        let closed = match &mirrored {
            Some(ledger) => self.close_mirrored(std::slice::from_ref(ledger)),
            None => self.close(),
        };
        if let Some(keep) = self.faults.forgets(index) {
            self.history.forget_all_but(keep);
        }
        sent.extend(stream::ledger_messages(self, &closed));
        self.set_conditions();
        self.crowd_comes();
        // What waited goes into the new open ledger.
        sent.extend(stream::proposed_messages(self));
        sent.extend(load::server_status(self));
        if !self.faults.is_gap(index) {
            outgoing.extend(self.faults.mail.send(index, sent));
        }
        if let Some(cut) = self.faults.cut(index) {
            self.cut_all(cut);
            outgoing.clear();
        }
        outgoing
    }

    fn cut_all(&mut self, cut: Cut) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            self.disconnect(connection);
            self.cuts.push((connection, cut));
        }
    }

    /// Other accounts fill the ledger that has just opened.
    fn crowd_comes(&mut self) {
        let count = self.faults.crowd(self.chain.open_index());
        let accounts = Generator::taker_accounts();
        for account in accounts.iter().cycle().take(count as usize) {
            let fields = object(json!({ "TransactionType": "AccountSet" }));
            self.send_draft(Draft { account: *account, fields, slot: None });
        }
    }

    /// The reserves and the cost of the open ledger.
    pub(super) fn set_conditions(&mut self) {
        let open = self.chain.open_index();
        let usual = match &self.mirror {
            // Those of the last mirrored ledger.
            Some(_) => (self.chain.rules().reserve_base_drops, self.chain.rules().reserve_inc_drops),
            None => (self.scenario.reserve_base_drops, self.scenario.reserve_inc_drops),
        };
        let (base, inc) = self.faults.reserves(open).unwrap_or(usual);
        self.chain.set_reserves(base, inc);
        self.chain.set_load_factor(self.faults.load_factor(open));
    }

    fn issuer_does(&mut self, act: IssuerAct) {
        let Ok(maker) = self.scenario.maker() else { return };
        let (token, plan) = (self.scenario.token(), self.faults.plan());
        let of_maker = |value: Dec| json!({ "currency": token.currency, "issuer": maker, "value": value.to_string() });
        let fields = match act {
            IssuerAct::Clawback => json!({ "TransactionType": "Clawback", "Amount": of_maker(plan.clawback_rlusd) }),
            IssuerAct::FreezeLine(on) => json!({
                "TransactionType": "TrustSet", "LimitAmount": of_maker(Dec::default()),
                "Flags": if on { TF_SET_FREEZE } else { TF_CLEAR_FREEZE },
            }),
            IssuerAct::FreezeDeep(on) => json!({
                "TransactionType": "TrustSet", "LimitAmount": of_maker(Dec::default()),
                "Flags": if on { TF_SET_FREEZE | TF_SET_DEEP_FREEZE } else { TF_CLEAR_FREEZE | TF_CLEAR_DEEP_FREEZE },
            }),
            IssuerAct::FreezeAll(on) => {
                json!({ "TransactionType": "AccountSet", if on { "SetFlag" } else { "ClearFlag" }: ASF_GLOBAL_FREEZE })
            }
            IssuerAct::TickSize(on) => {
                let size = if on { plan.tick_size_to } else { self.scenario.tick_size };
                json!({ "TransactionType": "AccountSet", "TickSize": size })
            }
        };
        self.send_draft(Draft { account: token.issuer, fields: object(fields), slot: None });
    }

    /// Why no ledger closes any more: the recording that this one mirrors has ended.
    #[must_use]
    pub fn mirror_ended(&self) -> Option<&str> {
        self.mirror.as_ref().and_then(Mirror::ended)
    }

    /// Closes the open ledger behind what the real ledgers did; the last of them is the one that closes.
    pub(super) fn close_mirrored(&mut self, ledgers: &[MirrorLedger]) -> Vec<ClosedTx> {
        let (Some(mirror), Some(last)) = (&mut self.mirror, ledgers.last()) else { return Vec::new() };
        let close_time = LedgerTime(last.close_time.0.max(self.chain.header().close_time.plus_s(1).0));
        self.chain.set_reserves(last.reserve_base_drops, last.reserve_inc_drops);
        self.chain.set_base_fee(last.base_fee_drops);
        let held = mirror.held_back(self.chain.open_txs(), self.chain.open_index());
        let applier = &mut mirror.applier;
        let closed = self.chain.close_behind(self.seed, close_time, &held, |state, context| {
            let mut frame = Frame::new(state, context, Applier::keeper());
            for ledger in ledgers {
                applier.ledger(&mut frame, ledger);
            }
            frame.finish()
        });
        let records = closed.iter().map(Record::of).collect();
        self.history.close(self.chain.header().clone(), records);
        closed
    }

    /// Closes the open ledger without the participants.
    pub(super) fn close(&mut self) -> Vec<ClosedTx> {
        let parent = self.chain.header();
        let ledgers = u64::from(parent.index.saturating_add(1).saturating_sub(self.first_index));
        let planned_ms = ledgers.saturating_mul(u64::from(self.scenario.close_interval_ms));
        let late_ms = self.lateness_ms(parent.index.saturating_add(1));
        let seconds = planned_ms.saturating_add(u64::from(late_ms)) / 1000;
        let planned = self.scenario.start_time_s.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX));
        // Close times rise by at least a second, as on a real network.
        let close_time = LedgerTime(planned.max(parent.close_time.plus_s(1).0));
        self.chain.set_slow(self.took_too_long(late_ms));
        let closed = self.chain.close(self.seed, close_time);
        let records = closed.iter().map(Record::of).collect();
        self.history.close(self.chain.header().clone(), records);
        closed
    }

    /// True when the nodes took more than five seconds to agree (rippled, `RCLConsensus::buildLCL`, `timeLeap`). A
    /// ledger on time takes what is over of its interval, at most two seconds of it; one that is late takes longer.
    fn took_too_long(&self, late_ms: u32) -> bool {
        let on_time = self.scenario.close_interval_ms.saturating_sub(OPEN_MS).min(USUAL_ROUND_MS);
        on_time.saturating_add(late_ms) > SLOW_ROUND_MS
    }

    /// Sends what a participant decided, with the next sequence and the reference fee, unsigned.
    pub(super) fn send_draft(&mut self, draft: Draft) {
        let Some(tx) = self.unsigned(draft.account, draft.fields) else { return };
        let sequence = tx.sequence;
        let result = self.chain.submit(tx, false);
        match draft.slot {
            Some(slot) if result.applied => self.generator.quoted(slot, sequence),
            _ => {}
        }
    }

    /// A transaction of the simulation's own accounts. Its hash is a digest of its text: it has no blob and no
    /// signature.
    pub(super) fn unsigned(&self, account: Address, mut fields: Map<String, Json>) -> Option<Tx> {
        let sequence = self.chain.open().account(account)?.sequence;
        fields.insert("Account".to_string(), json!(account));
        // What costs more than the reference fee says so itself.
        fields.entry("Fee").or_insert_with(|| json!(self.scenario.base_fee_drops.to_string()));
        fields.insert("Sequence".to_string(), json!(sequence));
        fields.insert("SigningPubKey".to_string(), json!(""));
        let json = Json::Object(fields);
        let hash = sha512_half(&[b"SIM\0", json.to_string().as_bytes()]);
        match Tx::parse(json, hash, Signer::Simulation) {
            Ok(tx) => Some(tx),
            Err(error) => {
                tracing::error!(%account, %error, "a transaction of the scenario cannot be read and is left out");
                None
            }
        }
    }
}
