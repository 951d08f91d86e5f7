//! Where a session trades: on the simulated ledger that the engine starts for itself, or through a node of a network.
//! Behind this the crew is the same.

use std::path::Path;

use anyhow::{Context as _, Result};
use neo_actors::feed::core::Closes;
use neo_ledger::Keypair;
use neo_ledger::client::{Endpoint, shown_url};
use neo_ledger::types::Token;
use neo_store::lock::Lock;
use neo_store::open::Identity;
use neo_store::record::Mode;
use sha2::{Digest as _, Sha256};

use crate::config::{Config, NetworkKind, Speed};
use crate::exit::ExitCode;
use crate::live::{self, Refusal, key};
use crate::simulator::{self, Launch, Simulator};

/// A node, and what is traded through it.
#[derive(Debug)]
pub struct Venue {
    nodes: Vec<Endpoint>,
    /// The network that transactions are signed for.
    pub network_id: u32,
    /// The token quoted against XRP.
    pub token: Token,
    /// Who closes the node's ledgers.
    pub closes: Closes,
    /// Ended with the session, where the engine started it.
    simulator: Option<Simulator>,
}

/// True for a mode that trades on the ledger that the engine starts for itself.
#[must_use]
pub fn is_simulated(mode: Mode) -> bool {
    matches!(mode, Mode::Sim | Mode::Replay)
}

/// Refuses a mode that this version does not have.
///
/// # Errors
/// [`Refusal`] with what to run instead.
pub fn refuse_unknown(mode: Mode) -> Result<(), Refusal> {
    let text = match mode {
        Mode::Sim | Mode::Live | Mode::Replay => return Ok(()),
        Mode::Paper => {
            "mode paper is not there yet: our offers are not matched against a real market, and fills that nobody made \
             are not reported. Run --mode sim, or --mode live on testnet (config/testnet.toml)"
        }
    };
    Err(Refusal { exit: ExitCode::Usage, text: text.to_string() })
}

/// Whose records a file holds.
///
/// # Errors
/// A mode without a venue; a configuration without an account.
pub fn identity(config: &Config) -> Result<Identity> {
    let mode = config.session.mode;
    refuse_unknown(mode)?;
    if is_simulated(mode) {
        return simulator::identity(config);
    }
    let account = config.account.address.context("account.address is not set: name the account's address")?;
    Ok(Identity { mode, network: network(config), account: account.to_string() })
}

/// The network's name in a record.
fn network(config: &Config) -> String {
    let network = &config.network;
    match network.kind {
        kind @ (NetworkKind::Mainnet | NetworkKind::Testnet | NetworkKind::Devnet) => kind.as_str().to_string(),
        kind => format!("{}-{}", kind.as_str(), network.expected_network_id()),
    }
}

/// The key that signs. On a real network the node and the account are looked at too: what is wrong is refused before
/// there is a record, and before anything is signed.
///
/// # Errors
/// [`key::KeyProblem`], [`Refusal`].
pub fn key(config: &Config) -> Result<Keypair> {
    if is_simulated(config.session.mode) {
        return simulator::key();
    }
    let key = key::load(&config.account)?;
    live::ready(config, &key)?;
    Ok(key)
}

/// Another engine of this host on the same account is refused, whatever its database.
///
/// # Errors
/// When another process holds the account.
pub fn lock_account(db: &Path, identity: &Identity) -> Result<Lock> {
    let Identity { mode, network, account } = identity;
    // The simulated account is the same in every simulated world, so the world's folder is part of the name.
    let world = match mode {
        Mode::Sim | Mode::Replay => {
            let world = simulator::folder_of(&std::path::absolute(db).context("the path of the database")?);
            let digest = Sha256::digest(world.to_string_lossy().as_bytes());
            format!("-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
        }
        _ => String::new(),
    };
    let name = format!("neo-{network}-{account}{world}.lock");
    Ok(Lock::acquire(&std::env::temp_dir().join(name), &format!("account {account} on {network}"))?)
}

impl Venue {
    /// The configured node; the simulated ledger is started, where it does not run.
    ///
    /// # Errors
    /// A simulated ledger that does not start; a configuration without a node or a token.
    pub fn open(config: &Config, db: &Path) -> Result<Venue> {
        if is_simulated(config.session.mode) {
            return Venue::simulated(config, db);
        }
        let closes = match config.network.ledger_accept {
            true => Closes::Every(config.network.ledger_accept_ms),
            false => Closes::Network,
        };
        Ok(Venue {
            nodes: live::nodes(config)?,
            network_id: config.network.expected_network_id(),
            token: config.account.token().context("account.issuer is not set")?,
            closes,
            simulator: None,
        })
    }

    fn simulated(config: &Config, db: &Path) -> Result<Venue> {
        let launch = Launch {
            scenario: toml::to_string(&config.sim).context("the scenario")?,
            seed: config.session.seed,
            speed: config.session.speed.to_string(),
        };
        let simulator = Simulator::ensure(db, &launch)?;
        Ok(Venue {
            nodes: vec![simulator.url().into()],
            network_id: config.sim.network_id,
            token: config.account.token().unwrap_or_else(|| config.sim.token()),
            closes: if config.session.speed == Speed::Max { Closes::WhenDone } else { Closes::Network },
            simulator: Some(simulator),
        })
    }

    /// The nodes, in order of preference.
    #[must_use]
    pub fn nodes(&self) -> &[Endpoint] {
        &self.nodes
    }

    /// The first node's address, as it may be shown.
    #[must_use]
    pub fn shown_url(&self) -> String {
        self.nodes.first().map(|node| shown_url(&node.url)).unwrap_or_default()
    }

    /// The session is over: a ledger that the engine started is ended.
    pub fn end(&self) {
        if let Some(simulator) = &self.simulator
            && let Err(error) = simulator.end()
        {
            tracing::error!(%error, "the simulated ledger was not ended in order; it ends by itself");
        }
    }
}
