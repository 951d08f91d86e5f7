//! One sequence: the core's state beside the recorded one, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use neo_ledger::{Address, Hash, LedgerTime, sha512_half};
use neo_sim::amendment::{Amendment, Amendments};
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::apply::{Applied, Context, Rules, apply};
use neo_sim::image;
use neo_sim::state::{Entry, Key, LSF_DISABLE_MASTER, Mark, State};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::compare::{self, Difference};
use crate::recording::{self, Change, Recorded, Step};
use crate::report::Verdict;
use crate::{fills, scope};

/// A step's transaction type, and how it fared.
pub type Judged = (String, Result<Verdict, Difference>);

/// The type under which a step counts that cannot be read.
const BAD_STEP: &str = "(step)";

/// A sequence being run.
pub struct Run {
    rules: Rules,
    /// Names of accounts by address, for the report.
    names: BTreeMap<String, String>,
    /// True for what rippled itself recorded.
    of_rippled: bool,
    metadata: bool,
    state: State,
    recorded: Recorded,
    /// Entries of the kinds that the core keeps, by their index.
    keys: BTreeMap<Hash, Key>,
    /// True after a panic of the core: its state is not to be trusted.
    pub broken: bool,
}

impl Run {
    /// A run that has not begun. What a recording does not say is off is on; rippled 2.6.1 has no vaults yet.
    pub fn new(rules: Rules, names: BTreeMap<String, String>, of_rippled: bool, metadata: bool) -> Run {
        let (state, recorded, keys) = (State::default(), Recorded::default(), BTreeMap::new());
        let mut run = Run { rules, names, of_rippled, metadata, state, recorded, keys, broken: false };
        run.rules.amendments.set(Amendment::SingleAssetVault, !of_rippled);
        run
    }

    /// Takes the next step. `None` for one that is no test: the ledger closes, or nothing was decided.
    pub fn step(&mut self, number: usize, step: &Json) -> Option<Judged> {
        self.state.commit();
        let bad = |reason: String| {
            let difference = Difference { field: "step".to_string(), expected: json!("a step"), got: json!(reason) };
            Some((BAD_STEP.to_string(), Err(difference)))
        };
        let step: Step = match Step::deserialize(step) {
            Ok(step) => step,
            Err(error) => return bad(format!("is not in the form of a step: {error}")),
        };
        if let Some(off) = &step.amendments_disabled {
            self.rules.amendments = Amendments::without(off.iter().map(String::as_str));
            let vaults = !self.of_rippled && !off.iter().any(|name| name == Amendment::SingleAssetVault.name());
            self.rules.amendments.set(Amendment::SingleAssetVault, vaults);
        }
        let decided = step.op == "submit" && step.replay && step.engine_result.is_some();
        let tx = step.transaction().filter(|_| decided);
        let in_scope = tx.is_some_and(scope::contains);
        let judged = tx.filter(|_| in_scope).map(|tx| self.attempt(number, &step, tx));
        for change in &step.state_changes {
            if let Err(reason) = self.recorded.apply(change) {
                self.state.roll_back(Mark::default());
                return bad(reason);
            }
        }
        let judged = judged.map(|applied| applied.and_then(|applied| self.compare(&step, &applied)));
        if !matches!(judged, Some(Ok(()))) {
            self.state.roll_back(Mark::default());
            if let Err(reason) = self.take_over(&step.state_changes) {
                return bad(reason);
            }
        }
        let kind = step.kind().to_string();
        match judged {
            Some(judged) => Some((kind, judged.map(|()| Verdict::Passed))),
            None if !decided => None,
            None if tx.is_none() => bad("a submit without tx_json".to_string()),
            None => Some((kind, Ok(Verdict::OutOfScope))),
        }
    }

    /// Has the core apply the transaction.
    fn attempt(&mut self, number: usize, step: &Step, tx: &Json) -> Result<Applied, Difference> {
        let expected = json!(step.engine_result);
        let hash = step.hash.unwrap_or_else(|| sha512_half(&[&number.to_be_bytes()]));
        let tx = Tx::parse(tx.clone(), hash, self.signer(step, tx)).map_err(|error| {
            let got = json!(format!("the transaction cannot be read: {error}"));
            Difference { field: "tx_json".to_string(), expected: expected.clone(), got }
        })?;
        let transaction_index = step.meta["TransactionIndex"].as_u64().and_then(|index| u32::try_from(index).ok());
        let context = Context {
            rules: &self.rules,
            ledger_index: step.ledger_index,
            parent_close_time: LedgerTime(step.parent_close_time),
            open: !step.applied,
            retry: false,
            fail_hard: false,
            transaction_index: transaction_index.unwrap_or(0),
            pool_account: step.pool_account(),
        };
        // A panic is a failure with a name, not the end of the run.
        catch_unwind(AssertUnwindSafe(|| apply(&mut self.state, &tx, &context))).map_err(|_| {
            self.broken = true;
            Difference { field: "engine_result".to_string(), expected, got: json!("the core panicked") }
        })
    }

    /// Who signed: recordings have no signatures, so it is the account's own key, or its regular key where the master
    /// key is disabled. Only the recorded result can say that it was another one.
    fn signer(&self, step: &Step, tx: &Json) -> Signer {
        let Some(account) = tx["Account"].as_str().and_then(|text| text.parse().ok()) else {
            return Signer::Simulation;
        };
        // No key hashes to this id, so it is nobody's.
        let stranger = Address([0; 20]);
        match step.engine_result.as_deref() {
            Some("tefBAD_AUTH") => Signer::Key(stranger),
            Some("tefMASTER_DISABLED") => Signer::Key(account),
            _ => {
                let root = self.state.account(account);
                let other = root.filter(|root| root.flags & LSF_DISABLE_MASTER != 0);
                let other = other.and_then(|root| root.details.as_ref()?.regular_key);
                Signer::Key(other.unwrap_or(account))
            }
        }
    }

    /// Compares what the core did with the recording.
    fn compare(&mut self, step: &Step, applied: &Applied) -> Result<(), Difference> {
        let field = |field: &str, expected: Json, got: Json| Difference { field: field.to_string(), expected, got };
        if Some(applied.result.token) != step.engine_result.as_deref() {
            return Err(field("engine_result", json!(step.engine_result), json!(applied.result.token)));
        }
        if applied.applied != step.applied {
            return Err(field("applied", json!(step.applied), json!(applied.applied)));
        }
        let none = Json::Null;
        let metadata = applied.meta.as_ref().map_or(&none, |metadata| &metadata.json);
        if let Some((name, expected, got)) = fills::difference(&step.expected.maker_fills, metadata) {
            return Err(field(&name, expected, got));
        }
        self.compare_entries(&step.state_changes)?;
        if self.metadata && applied.applied && !step.meta_trimmed {
            return compare::metadata(&step.meta, metadata).map_or(Ok(()), Err);
        }
        Ok(())
    }

    /// Compares every entry that one of both sides touched.
    fn compare_entries(&mut self, changes: &[Change]) -> Result<(), Difference> {
        let mut indexes: BTreeSet<Hash> = changes.iter().map(|change| change.index).collect();
        for key in self.state.touched(Mark::default()) {
            self.keys.insert(image::index_of(key), key);
            indexes.insert(image::index_of(key));
        }
        for index in indexes {
            let theirs = self.recorded.entry(index);
            let Some(key) = self.keys.get(&index).copied().or_else(|| image::read(theirs?, 0).ok()??.0.into()) else {
                continue;
            };
            let ours = self.state.entry(key).map(|entry| Json::Object(image::fields(key, &entry)));
            let difference = match (theirs, &ours) {
                (Some(theirs), Some(ours)) => compare::entries(theirs, ours),
                (None, None) => None,
                (theirs, ours) => Some(Difference {
                    field: String::new(),
                    expected: theirs.cloned().unwrap_or_default(),
                    got: ours.clone().unwrap_or_default(),
                }),
            };
            if let Some(difference) = difference {
                let entry = theirs.or(ours.as_ref()).unwrap_or(&Json::Null);
                let label = self.label(image::kind_of(key), index, entry);
                let field = format!("{label} {}", difference.field).trim_end().to_string();
                return Err(Difference { field, ..difference });
            }
        }
        Ok(())
    }

    /// An entry's name for the report.
    fn label(&self, kind: &str, index: Hash, entry: &Json) -> String {
        let named = |address: &Json| {
            let address = address.as_str().unwrap_or_default();
            self.names.get(address).map_or_else(|| address.to_string(), |name| format!("{address} ({name})"))
        };
        match kind {
            "AccountRoot" => format!("{kind} {}", named(&entry["Account"])),
            "Offer" => format!("{kind} {} {}", named(&entry["Account"]), entry["Sequence"]),
            "Ticket" => format!("{kind} {} {}", named(&entry["Account"]), entry["TicketSequence"]),
            "RippleState" => {
                let (low, high) = (&entry["LowLimit"], &entry["HighLimit"]);
                let currency = low["currency"].as_str().unwrap_or_default();
                format!("{kind} {currency} of {} and {}", named(&low["issuer"]), named(&high["issuer"]))
            }
            _ => format!("{kind} {index}"),
        }
    }

    /// Puts the recorded entries into the core's state.
    fn take_over(&mut self, changes: &[Change]) -> Result<(), String> {
        for index in changes.iter().map(|change| change.index) {
            let Some(json) = self.recorded.entry(index) else {
                if let Some(key) = self.keys.get(&index) {
                    self.state.put(*key, None);
                }
                continue;
            };
            if json["LedgerEntryType"] == "FeeSettings" {
                recording::set_fees(&mut self.rules, json);
            }
            let known = self.keys.get(&index).and_then(|key| self.state.entry(*key));
            let order = match known {
                Some(Entry::Offer(offer)) => offer.order,
                _ => self.state.take_order(),
            };
            if let Some((key, entry)) = image::read(json, order).map_err(|error| error.to_string())? {
                self.keys.insert(index, key);
                self.state.put(key, Some(entry));
            }
        }
        Ok(())
    }
}
