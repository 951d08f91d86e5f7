//! Mode paper: what the real market is asked before a session, and what its mirror is started with.
//!
//! The mirror (`neo sim-ledger --follow`) follows the configured nodes and closes its own ledgers with theirs; the engine trades
//! on the mirror, on the account of the simulation. Nothing is signed for the real network and nothing is sent to it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use neo_ledger::result::{AccountInfo, ServerInfo};
use neo_ledger::types::{Address, Token};
use neo_ledger::{IssuerTerms, request};
use neo_sim::follow::Follow;
use neo_sim::mirror::live::Pace;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Network, Sim};
use crate::exit::ExitCode;
use crate::live::checks::{self, Verdict, Wanted};
use crate::live::link::{Link, LinkError};
use crate::live::{self, Refusal, facts};
use crate::simulator;

/// Intervals without a ledger after which the mirror closes ledgers of its own.
const DARK_INTERVALS: u64 = 3;

/// What `neo sim-ledger --follow FILE` reads, as TOML: the nodes of a real market and how long things may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowFile {
    /// The nodes' WebSocket addresses, in order of preference.
    pub urls: Vec<String>,
    /// The network's id; a node of another one is refused. 0: the main network.
    pub network_id: u32,
    /// Whose offers are left out of the mirror: one's own.
    pub account: Option<Address>,
    /// Certificates in PEM form that alone vouch for nodes behind `wss://`.
    pub ca_file: Option<PathBuf>,
    /// A connection that says nothing for so long is left.
    #[serde(default = "silence_ms")]
    pub silence_ms: u64,
    /// A market without a ledger for so long is given up.
    #[serde(default = "outage_ms")]
    pub outage_ms: u64,
    /// Milliseconds between two ledgers that a stand-alone node is asked to close; it is not asked when absent.
    pub ledger_accept_ms: Option<u64>,
}

fn silence_ms() -> u64 {
    crate::config::Feed::default().silence_ms
}

fn outage_ms() -> u64 {
    crate::config::Feed::default().outage_ms
}

impl FollowFile {
    /// What a configuration says of the market.
    ///
    /// # Errors
    /// [`Refusal`] for a configuration without a node.
    pub fn of(config: &Config) -> Result<FollowFile, Refusal> {
        let network = &config.network;
        Ok(FollowFile {
            urls: live::nodes(config)?.into_iter().map(|node| node.url).collect(),
            network_id: network.expected_network_id(),
            account: config.account.address,
            ca_file: network.ca_file.clone(),
            silence_ms: config.feed.silence_ms,
            outage_ms: config.feed.outage_ms,
            ledger_accept_ms: network.ledger_accept.then_some(network.ledger_accept_ms),
        })
    }

    /// What to follow, for the token of a scenario.
    ///
    /// # Errors
    /// [`Refusal`] for certificates that cannot be read.
    pub fn market(&self, scenario: &Sim) -> Result<Follow, Refusal> {
        let mut urls = self.urls.iter().cloned();
        let network = Network {
            url: urls.next(),
            more_urls: urls.collect(),
            ca_file: self.ca_file.clone(),
            ..Network::default()
        };
        let interval_ms = u64::from(scenario.close_interval_ms);
        let pace = Pace {
            interval_ms,
            // Early enough that what rests is withdrawn before the market is given up.
            dark_ms: interval_ms.saturating_mul(DARK_INTERVALS).min(self.outage_ms / 2),
            outage_ms: self.outage_ms,
            silence_ms: self.silence_ms,
            accept_ms: self.ledger_accept_ms,
        };
        let nodes = live::nodes(&Config { network, ..Config::default() })?;
        Ok(Follow { nodes, network_id: self.network_id, token: scenario.token(), pace })
    }
}

/// The token that is traded.
///
/// # Errors
/// A configuration without an issuer.
pub fn token(config: &Config) -> Result<Token> {
    config.account.token().context("account.issuer is not set: name the token's issuer")
}

/// Refuses a node that cannot be the market's, before there is a record.
///
/// # Errors
/// [`Refusal`].
pub fn ready(config: &Config) -> Result<(), Refusal> {
    look(config).map(|_| ())
}

/// The scenario of the mirror: the account's funds are those of `[sim]`, the token and its rules those of the real ledger.
///
/// # Errors
/// [`Refusal`]; a configuration without an issuer.
pub fn scenario(config: &Config) -> Result<Sim> {
    let terms = IssuerTerms::of(&look(config)?);
    let issuer = Some(token(config)?.issuer);
    let (tick_size, transfer_rate) = (terms.tick_size.unwrap_or(0), terms.transfer_rate.unwrap_or(0));
    Ok(Sim { issuer, tick_size, transfer_rate, ..config.sim.clone() })
}

/// Asks a node whether it is fit and of the configured network, and for the token's issuer.
fn look(config: &Config) -> Result<AccountInfo, Refusal> {
    let ours = simulator::key().map_err(|error| Refusal { exit: ExitCode::Failed, text: format!("{error:#}") })?;
    let wanted = Wanted::of(config, ours.address(), None)?;
    let mut link = live::connect(config)?;
    if wanted.ledger_accept {
        // A stand-alone node that was just started has no validated ledger until the first close.
        link.need("ledger_accept", request::ledger_accept)?;
    }
    for finding in checks::node(&server(&mut link)?, &wanted) {
        if let Verdict::Refuse(exit) = finding.verdict {
            return Err(Refusal { exit, text: finding.text });
        }
        tracing::info!(check = finding.check, "{}", finding.text);
    }
    facts::account(&mut link, wanted.token.issuer)?.ok_or_else(|| Refusal {
        exit: ExitCode::Usage,
        text: format!(
            "the issuer {} is not on this ledger: correct account.issuer or network.url",
            wanted.token.issuer
        ),
    })
}

fn server(link: &mut Link) -> Result<ServerInfo, LinkError> {
    let (what, said) = ("server_info", link.need("server_info", request::server_info)?);
    ServerInfo::from_value(&said).map_err(|error| LinkError::NotUnderstood { what, error: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_file_needs_the_nodes_and_the_network_and_the_rest_has_defaults() {
        let file: FollowFile =
            toml::from_str("urls = [\"ws://127.0.0.1:1\", \"ws://127.0.0.1:2\"]\nnetwork_id = 0\n").unwrap();
        let follow = file.market(&Sim::default()).unwrap();
        assert_eq!(follow.nodes.iter().map(|node| node.url.as_str()).collect::<Vec<_>>(), file.urls);
        let Pace { dark_ms, outage_ms, silence_ms, accept_ms, .. } = follow.pace;
        assert_eq!((dark_ms, outage_ms, silence_ms, accept_ms), (11_700, 60_000, 20_000, None));
        // What rests can be withdrawn before the market is given up.
        let short = FollowFile { outage_ms: 4_000, ..file };
        assert_eq!(short.market(&Sim::default()).unwrap().pace.dark_ms, 2_000);
        for wrong in ["urls = []\nnetwork_id = 0\nurl = \"ws://x\"\n", "urls = [\"ws://x\"]\n"] {
            assert!(toml::from_str::<FollowFile>(wrong).is_err(), "{wrong}");
        }
    }
}
