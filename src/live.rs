//! What a session on a real ledger needs before it begins: its key, a node that is fit, an account that can trade.
//!
//! [`checks`] judges and is pure; [`facts`] reads what it judges over a [`link`]; [`key`] finds the key, which [`signer`] may leave to another program. `neo run --mode
//! live` refuses on what would make trading wrong or impossible, `neo preflight` tells everything.

pub mod checks;
pub mod facts;
pub mod harden;
pub mod key;
pub mod link;
pub mod signer;
pub mod world;

use std::path::Path;
use std::time::Duration;

use neo_actors::clock::{monotonic_ms, now};
use neo_ledger::Keypair;
use neo_ledger::client::Endpoint;
use neo_ledger::tls::Tls;
use thiserror::Error;

use crate::config::Config;
use crate::exit::ExitCode;
use checks::{Verdict, Wanted};
use facts::Facts;
use link::{Link, LinkError};

/// How long a node may take to be reached before a start gives up.
const PATIENCE_MS: u64 = 10_000;
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);

/// Why no session begins. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Refusal {
    /// [`ExitCode::Usage`] where the configuration must be corrected, [`ExitCode::Fault`] where no node was reached, else
    /// [`ExitCode::Failed`].
    pub exit: ExitCode,
    /// What is wrong and what to do.
    pub text: String,
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Refusal {
        let exit = match error {
            // A node that starts with the machine comes: whoever supervises the engine tries again.
            LinkError::Ended(_) | LinkError::Silent { .. } => ExitCode::Fault,
            LinkError::Refused { .. } | LinkError::NotUnderstood { .. } => ExitCode::Failed,
        };
        Refusal { exit, text: error.to_string() }
    }
}

/// The node's address as it is connected to.
///
/// # Errors
/// A configuration without one.
pub fn url(config: &Config) -> Result<&str, Refusal> {
    config.network.url.as_deref().ok_or_else(|| Refusal {
        exit: ExitCode::Usage,
        text: "network.url is not set: name the node's WebSocket address, such as ws://127.0.0.1:6006".to_string(),
    })
}

/// The configured nodes, in order of preference.
///
/// # Errors
/// A configuration without one; certificates that cannot be read.
pub fn nodes(config: &Config) -> Result<Vec<Endpoint>, Refusal> {
    let network = &config.network;
    let tls = network.ca_file.as_deref().map(certificates).transpose()?;
    let all = std::iter::once(url(config)?).chain(network.more_urls.iter().map(String::as_str));
    Ok(all.map(|url| Endpoint { url: url.to_string(), tls: tls.clone() }).collect())
}

fn certificates(file: &Path) -> Result<Tls, Refusal> {
    let refused =
        |why: String| Refusal { exit: ExitCode::Usage, text: format!("network.ca_file = {}: {why}", file.display()) };
    let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    Tls::only(&pem).map_err(|error| refused(error.to_string()))
}

/// Opens a connection, trying for a while: a node may start at the same time as the engine.
///
/// # Errors
/// Why the last attempt failed.
pub fn connect(config: &Config) -> Result<Link, Refusal> {
    let nodes = nodes(config)?;
    let mut turns = nodes.iter().cycle();
    let until_ms = monotonic_ms().saturating_add(PATIENCE_MS);
    loop {
        let Some(node) = turns.next().cloned() else {
            return Err(LinkError::Ended("no node is configured".to_string()).into());
        };
        match Link::open(node) {
            Ok(link) => return Ok(link),
            Err(error) if monotonic_ms() >= until_ms => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the node is not there yet; trying again");
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Refuses what would make trading on the configured network wrong or impossible.
///
/// # Errors
/// The first [`Refusal`].
pub fn ready(config: &Config, key: &Keypair) -> Result<(), Refusal> {
    let mut link = connect(config)?;
    let wanted = Wanted::of(config, key.address(), Some(key.key_address()))?;
    let facts = Facts::read(&mut link, &wanted)?;
    for finding in checks::judge(&facts, &wanted, now()) {
        match finding.verdict {
            Verdict::Refuse(exit) => return Err(Refusal { exit, text: finding.text }),
            Verdict::Problem => tracing::warn!(check = finding.check, "{}", finding.text),
            Verdict::Ok => tracing::info!(check = finding.check, "{}", finding.text),
        }
    }
    Ok(())
}
