//! Whether the node's ledger is the one that the record is of. A stand-alone node that was reset has the same network id, and
//! often the same account with the same money: the hash of the last recorded ledger tells it from the one before.

use anyhow::Result;
use neo_actors::clock::now;
use neo_ledger::message::NodeError;
use neo_ledger::request::{self, Index};
use neo_ledger::result::ServerInfo;
use neo_store::record::{Fault, Mode, Record, SessionNumber};
use neo_store::{LastLedger, Store, StoreError};
use serde_json::Value;

use super::Refusal;
use super::link::LinkError;
use crate::config::{Config, NetworkKind};
use crate::exit::ExitCode;

/// What the node's ledger is to the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum World {
    /// The same, or nothing says otherwise.
    Same,
    /// Another: the text says by what it is known.
    Another(String),
}

impl World {
    /// True for another ledger than the record's.
    #[must_use]
    pub fn is_another(&self) -> bool {
        matches!(self, World::Another(_))
    }

    /// Asks the node. On a stand-alone node another world is followed, as a new era of the record; a network has one ledger,
    /// and a node that shows another is a mistake.
    ///
    /// # Errors
    /// [`Refusal`] with [`ExitCode::Database`] on a network; [`LinkError`]; [`StoreError`].
    pub fn look(config: &Config, store: &Store) -> Result<World> {
        let Some(last) = store.last_ledger()?.filter(|_| config.session.mode == Mode::Live) else {
            return Ok(World::Same);
        };
        let mut link = super::connect(config)?;
        let server = link.need("server_info", request::server_info)?;
        let what = "server_info";
        let server = ServerInfo::from_value(&server)
            .map_err(|error| LinkError::NotUnderstood { what, error: error.to_string() })?;
        let newest = server.validated.map(|ledger| ledger.ledger_index);
        let shown = link.ask("ledger", |id| request::ledger(id, Index::Ledger(last.index)))?;
        let stands_alone = config.network.kind == NetworkKind::Standalone;
        let world = judge(&last, shown, newest, stands_alone)?;
        match &world {
            World::Another(what) if !stands_alone => {
                let text = format!(
                    "the node is on another chain than the record {}: {what}. A record holds one ledger: correct \
                     network.url, or name another record with --db",
                    store.path().display()
                );
                Err(Refusal { exit: ExitCode::Database, text }.into())
            }
            World::Same | World::Another(_) => Ok(world),
        }
    }

    /// Writes down that the session which has just begun is of another world than those before; the fault's row is for the
    /// writer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, store: &mut Store, session: SessionNumber) -> Result<Option<Record>, StoreError> {
        let World::Another(what) = self else { return Ok(None) };
        let forsaken = store.begin_era(session)?;
        let cause = format!(
            "the node is on another chain than the sessions before: {what}. It was reset, or it is another node; {} offers \
             and {} unsettled transactions of theirs went with the ledger before, and their fate is unknown",
            forsaken.offers, forsaken.intents
        );
        tracing::error!("{cause}");
        let action = "a new era of the record begins, with the balances of this ledger".to_string();
        Ok(Some(Record::Fault(Fault { actor: "world".into(), cause, backtrace: None, action, recorded_at: now() })))
    }
}

fn judge(
    last: &LastLedger,
    shown: Result<Value, NodeError>,
    newest: Option<u32>,
    stands_alone: bool,
) -> Result<World, LinkError> {
    let what = "ledger";
    let LastLedger { index, hash } = last;
    // The open ledger has that number, and no hash yet: the node has not come so far (rippled, `RPCLedgerHelpers.cpp`).
    let is_open = |value: &Value| value.get("validated").and_then(Value::as_bool) == Some(false);
    match shown {
        Ok(value) if !is_open(&value) => {
            let found = value.get("ledger_hash").and_then(Value::as_str);
            let found = found.ok_or(LinkError::NotUnderstood { what, error: "it has no ledger_hash".to_string() })?;
            let differs = hash.as_ref().filter(|hash| !found.eq_ignore_ascii_case(hash));
            Ok(differs.map_or(World::Same, |hash| {
                World::Another(format!("its ledger {index} is {found}, and the one that is recorded is {hash}"))
            }))
        }
        shown if shown.as_ref().map_or_else(|error| error.error == "lgrNotFound", is_open) => match newest {
            // A node of a network is late; one whose ledgers close on request does not lose any.
            Some(newest) if stands_alone && newest < *index => {
                Ok(World::Another(format!("its newest ledger is {newest}, and ledger {index} is recorded")))
            }
            // It does not keep ledgers for so long: what is missing is asked for, and said to be missing.
            _ => Ok(World::Same),
        },
        Err(error) => Err(LinkError::Refused { what, error: error.to_string() }),
        Ok(_) => Ok(World::Same),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn last(hash: Option<&str>) -> LastLedger {
        LastLedger { index: 45, hash: hash.map(ToString::to_string) }
    }

    fn not_found() -> Result<Value, NodeError> {
        let text = json!({"id": 1, "type": "response", "status": "error", "error": "lgrNotFound"}).to_string();
        match neo_ledger::message::parse(&text).unwrap() {
            neo_ledger::message::Message::Response(response) => response.result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_is_known_by_the_hash_of_the_last_recorded_ledger() {
        let shown = || Ok(json!({"ledger_hash": "AB", "ledger_index": 45}));
        for alone in [true, false] {
            assert_eq!(judge(&last(Some("AB")), shown(), Some(60), alone).unwrap(), World::Same);
            assert_eq!(judge(&last(Some("ab")), shown(), Some(60), alone).unwrap(), World::Same);
            assert!(judge(&last(Some("CD")), shown(), Some(60), alone).unwrap().is_another());
            assert_eq!(judge(&last(None), shown(), Some(60), alone).unwrap(), World::Same, "an older record");
            assert_eq!(judge(&last(Some("AB")), not_found(), Some(60), alone).unwrap(), World::Same, "pruned");
            assert!(judge(&last(Some("AB")), Ok(json!({})), Some(60), alone).is_err());
        }
        assert!(judge(&last(Some("AB")), not_found(), Some(44), true).unwrap().is_another(), "it went back");
        assert!(judge(&last(None), not_found(), Some(44), true).unwrap().is_another());
        let open = || Ok(json!({"ledger_current_index": 45, "validated": false}));
        assert!(judge(&last(Some("AB")), open(), Some(44), true).unwrap().is_another(), "that number is still open");
        assert_eq!(judge(&last(Some("AB")), open(), Some(44), false).unwrap(), World::Same, "it is late");
        assert_eq!(judge(&last(Some("AB")), not_found(), Some(44), false).unwrap(), World::Same, "it is late");
    }
}
