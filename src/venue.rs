//! Where a session trades: on the simulated ledger that the engine starts for itself, which may be the mirror of a real
//! market, or through a node of a network. Behind this the crew is the same.

use std::path::Path;

use anyhow::{Context as _, Result};
use neo_actors::feed::core::Closes;
use neo_ledger::Keypair;
use neo_ledger::client::{Endpoint, shown_url};
use neo_ledger::types::Token;
use neo_store::lock::Lock;
use neo_store::open::{Identity, Store};
use neo_store::record::Mode;
use sha2::{Digest as _, Sha256};

use crate::config::{Config, NetworkKind, Speed};
use crate::live::{self, key};
use crate::paper::{self, FollowFile};
use crate::simulator::{self, Launch, Simulator};
use crate::supervisor::policy::Outage;

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
    /// The real market's node, where that one mirrors it.
    mirrored: Option<String>,
}

/// How long a mirror that has ended may be missed: it says itself when the market was gone for `feed.outage_ms`.
const MIRROR_GONE_MS: u64 = 3_000;

/// True for a mode that trades on the ledger that the engine starts for itself.
#[must_use]
pub fn is_simulated(mode: Mode) -> bool {
    matches!(mode, Mode::Sim | Mode::Replay | Mode::Paper)
}

/// Whose records a file holds.
///
/// # Errors
/// A configuration without an account.
pub fn identity(config: &Config) -> Result<Identity> {
    let mode = config.session.mode;
    if mode == Mode::Paper {
        // The market is the real network's, the account the simulation's.
        return Ok(Identity { network: network(config), ..simulator::identity(config)? });
    }
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

/// The key that signs: the simulation's own, unless offers are real. On a real network the node and the account are looked
/// at too: what is wrong is refused before there is a record, and before anything is signed.
///
/// # Errors
/// [`key::KeyProblem`], [`Refusal`].
pub fn key(config: &Config) -> Result<Keypair> {
    if config.session.mode == Mode::Paper {
        paper::ready(config)?;
    }
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
        Mode::Sim | Mode::Replay | Mode::Paper => {
            let world = simulator::folder_of(&std::path::absolute(db).context("the path of the database")?);
            let digest = Sha256::digest(world.to_string_lossy().as_bytes());
            format!("-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
        }
        Mode::Live => String::new(),
    };
    let name = format!("neo-{network}-{account}{world}.lock");
    Ok(Lock::acquire(&std::env::temp_dir().join(name), &format!("account {account} on {network}"))?)
}

impl Venue {
    /// The configured node; the simulated ledger is started, where it does not run.
    ///
    /// # Errors
    /// A simulated ledger that does not start; a configuration without a node or a token.
    pub fn open(config: &Config, store: &Store) -> Result<Venue> {
        match config.session.mode {
            Mode::Paper => return Venue::paper(config, store),
            Mode::Sim | Mode::Replay => return Venue::simulated(config, store.path()),
            Mode::Live => {}
        }
        let closes = match (config.network.ledger_accept, config.network.kind) {
            (true, _) => Closes::Every(config.network.ledger_accept_ms),
            (false, NetworkKind::Standalone) => Closes::ByOthers,
            (false, _) => Closes::Network,
        };
        Ok(Venue {
            nodes: live::nodes(config)?,
            network_id: config.network.expected_network_id(),
            token: config.account.token().context("account.issuer is not set")?,
            closes,
            simulator: None,
            mirrored: None,
        })
    }

    /// The mirror of the real market.
    fn paper(config: &Config, store: &Store) -> Result<Venue> {
        let carried = store.last_balances()?;
        let launch = Launch {
            scenario: toml::to_string(&paper::scenario(config)?).context("the scenario")?,
            seed: config.session.seed,
            speed: config.session.speed.to_string(),
            follow: Some(FollowFile::of(config)?),
            carried,
        };
        tracing::info!("the mirror begins when both sides of the real book are known: a few ledgers");
        let simulator = Simulator::ensure(store.path(), &launch)?;
        if simulator.is_new() {
            let funds = if carried.is_some() { "what it last had in the record" } else { "the funds of [sim]" };
            tracing::info!("the mirrored world is a new one: the account has {funds}, and no offers");
        }
        Ok(Venue {
            nodes: vec![simulator.url().into()],
            network_id: config.sim.network_id,
            token: paper::token(config)?,
            closes: Closes::Network,
            simulator: Some(simulator),
            mirrored: Some(shown_url(live::url(config)?)),
        })
    }

    fn simulated(config: &Config, db: &Path) -> Result<Venue> {
        let launch = Launch {
            scenario: toml::to_string(&config.sim).context("the scenario")?,
            seed: config.session.seed,
            speed: config.session.speed.to_string(),
            follow: None,
            carried: None,
        };
        let simulator = Simulator::ensure(db, &launch)?;
        Ok(Venue {
            nodes: vec![simulator.url().into()],
            network_id: config.sim.network_id,
            token: config.account.token().unwrap_or_else(|| config.sim.token()),
            closes: if config.session.speed == Speed::Max { Closes::WhenDone } else { Closes::Network },
            simulator: Some(simulator),
            mirrored: None,
        })
    }

    /// The nodes, in order of preference.
    #[must_use]
    pub fn nodes(&self) -> &[Endpoint] {
        &self.nodes
    }

    /// True for the mirror of a market that was started for this session: it knows nothing of earlier ones.
    #[must_use]
    pub fn is_new_mirror(&self) -> bool {
        self.mirrored.is_some() && self.simulator.as_ref().is_some_and(Simulator::is_new)
    }

    /// How long the session does without a node.
    #[must_use]
    pub fn outage(&self, config: &Config) -> Outage {
        let market_ms = config.feed.outage_ms;
        match &self.mirrored {
            Some(_) => Outage::OfMirror { limit_ms: MIRROR_GONE_MS, market_ms },
            None => Outage::OfNode { limit_ms: market_ms },
        }
    }

    /// The address of the market's first node, as it may be shown.
    #[must_use]
    pub fn shown_market(&self) -> String {
        self.mirrored.clone().unwrap_or_else(|| self.shown_url())
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
