//! The node: a world, its market, and the clients that talk to it. Pure: text in, text out, no clock and no socket.

mod closing;
mod founding;

use std::collections::BTreeMap;

use neo_ledger::{Address, Hash, LedgerTime, Token, sha512_half};
use neo_market::{AmountError, Dec, Drops, Rounding};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::connection::Connection;
use crate::api::load::Load;
use crate::faults::{Cut, Faults};
use crate::generator::{Generator, GeneratorState};
use crate::history::History;
use crate::ledger::{Chain, Header};
use crate::mirror::apply::FRONT;
use crate::mirror::market::Market;
use crate::mirror::read::MirrorLedger;
use crate::mirror::source::{Opened, Origin};
use crate::mirror::{FOUNDING, Mirror};
use crate::scenario::{Scenario, ScenarioError};
use crate::state::{AccountRoot, State};
use crate::tape::Tape;

/// The account that all XRP comes from (rippled's genesis account).
const GENESIS_ACCOUNT: [u8; 20] = [
    0xB5, 0xF7, 0x62, 0x79, 0x8A, 0x53, 0xD5, 0x43, 0xA0, 0x14, 0xCA, 0xF8, 0xB2, 0x97, 0xCF, 0xF8, 0xF2, 0xF9, 0x37,
    0xE8,
];
/// All XRP there is at the beginning, in drops.
const GENESIS_DROPS: i64 = crate::amount::MAX_DROPS;
/// Version of the saved form.
const SAVE_VERSION: u32 = 1;

/// A client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A message for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Whose it is.
    pub connection: ConnectionId,
    /// JSON text.
    pub text: String,
}

/// The answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// HTTP's status.
    pub status: u16,
    /// JSON text, or words where the status is an error.
    pub body: String,
}

/// An account's funds in the last closed ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funds {
    /// All its XRP.
    pub xrp: Drops,
    /// Its RLUSD.
    pub rlusd: Dec,
    /// Entries it pays reserve for.
    pub owner_count: u32,
}

/// Why a world cannot be written down.
#[derive(Debug, Error)]
pub enum SaveError {
    /// A part does not serialise.
    #[error("the world does not serialise: {0}; report it")]
    Serialise(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    network_id: u32,
    issuer: Address,
    seed: u64,
    first_index: u32,
    header: Header,
    state: State,
    history: History,
    generator: GeneratorState,
    #[serde(default)]
    missed: u32,
}

/// A simulated node.
pub struct Node {
    pub(crate) scenario: Scenario,
    pub(crate) chain: Chain,
    pub(crate) history: History,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) stopping: bool,
    /// True when clients may close ledgers.
    pub(crate) accepts_ledgers: bool,
    /// True when the signatures of what clients submit are verified.
    pub(crate) verifies: bool,
    /// The port that is served, once one is.
    pub(crate) port: Option<u16>,
    pub(crate) faults: Faults,
    /// Ledgers that the network closed and this node has not seen yet.
    pub(crate) missed: u32,
    /// Requests refused for their load since the last ledger.
    pub(crate) refused: u32,
    /// What the stream `server` was told last.
    pub(crate) last_load: Option<Load>,
    /// The real ledgers that this one mirrors, in the place of participants.
    pub(crate) mirror: Option<Mirror>,
    cuts: Vec<(ConnectionId, Cut)>,
    randoms: u64,
    generator: Generator,
    seed: u64,
    first_index: u32,
    next_connection: u64,
}

impl Node {
    /// A new world.
    ///
    /// # Errors
    /// [`ScenarioError`] when the scenario has mistakes, its tape or its recording cannot be used, or its accounts cannot
    /// be funded.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Node, ScenarioError> {
        let tape = check(scenario)?;
        if let Some(origin) = Origin::of(scenario) {
            // Before it is read through: what is wrong with a recording of another pair is no matter.
            Mirror::refuse_other(scenario, origin.token()?)?;
            return Node::begun(scenario, seed, origin.open()?);
        }
        let mut state = State::default();
        let root = AccountRoot { balance: GENESIS_DROPS, sequence: 1, ..AccountRoot::default() };
        state.put_account(Address(GENESIS_ACCOUNT), root);
        // A stand-alone rippled begins with its second ledger closed.
        let first = if scenario.market { 1 } else { 2 };
        let chain = Chain::new(scenario.rules(), state, first, LedgerTime(scenario.start_time_s));
        let chain = chain.with_queue(scenario.queue.clone());
        let mut history = History::new(scenario.history_ledgers);
        history.close(chain.header().clone(), Vec::new());
        let generator = Generator::new(scenario, tape, seed);
        let mut node = Node::assemble(scenario, seed, first, chain, history, generator);
        node.history.track(Address(GENESIS_ACCOUNT));
        if scenario.market {
            node.found_world()?;
        }
        node.chain.take_proposed();
        node.set_conditions();
        Ok(node)
    }

    /// A world whose market is one that was read before; the scenario says the rest.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn on_market(scenario: &Scenario, seed: u64, market: &Market) -> Result<Node, ScenarioError> {
        check(scenario)?;
        Node::begun(scenario, seed, market.opened())
    }

    fn begun(scenario: &Scenario, seed: u64, opened: Opened) -> Result<Node, ScenarioError> {
        let (scenario, mirror, founding) = Mirror::begin(scenario, opened)?;
        Node::mirrored(&scenario, seed, mirror, &founding)
    }

    /// A world whose market is a real one that is followed as it goes, from the ledgers that [`follow::Market::Begin`]
    /// gave. Offers of `account`, one's own on the real ledger, are not mirrored.
    ///
    /// [`follow::Market::Begin`]: crate::follow::Market::Begin
    ///
    /// # Errors
    /// [`ScenarioError`] when the scenario has mistakes, or its accounts cannot be funded.
    pub fn following(
        scenario: &Scenario,
        seed: u64,
        token: Token,
        account: Option<Address>,
        founding: &[MirrorLedger],
    ) -> Result<Node, ScenarioError> {
        check(scenario)?;
        let (mut scenario, mirror) = Mirror::following(scenario, token, account, founding);
        // The trust line costs a fee: what the account begins with is what the scenario gives it, to the last drop.
        let fee = Drops::new(scenario.base_fee_drops).to_xrp();
        if scenario.maker_xrp.is_positive() {
            scenario.maker_xrp = fee.and_then(|fee| scenario.maker_xrp.add(fee)).unwrap_or(scenario.maker_xrp);
        }
        Node::mirrored(&scenario, seed, mirror, founding)
    }

    /// Closes a ledger behind what the followed market did.
    pub fn follow(&mut self, ledger: MirrorLedger) -> Vec<Outgoing> {
        if let Some(mirror) = &mut self.mirror {
            mirror.hand_over(ledger);
        }
        self.close_ledger()
    }

    /// A world whose market is a recording's, or a followed one. It begins with the ledger that both sides of the book are known of.
    fn mirrored(
        scenario: &Scenario,
        seed: u64,
        mirror: Mirror,
        founding: &[MirrorLedger],
    ) -> Result<Node, ScenarioError> {
        let mut state = State::default();
        let root = AccountRoot { balance: GENESIS_DROPS, sequence: 1, ..AccountRoot::default() };
        state.put_account(Address(GENESIS_ACCOUNT), root);
        let first = founding.last().map_or(1, |ledger| ledger.index.saturating_sub(FOUNDING));
        let mut chain = Chain::new(scenario.rules(), state, first, LedgerTime(scenario.start_time_s))
            .with_queue(scenario.queue.clone());
        chain.skip_orders(FRONT);
        let mut history = History::new(scenario.history_ledgers);
        history.close(chain.header().clone(), Vec::new());
        let mut node = Node::assemble(scenario, seed, first, chain, history, Generator::new(scenario, None, seed));
        node.mirror = Some(mirror);
        node.history.track(Address(GENESIS_ACCOUNT));
        node.found_world()?;
        node.close_mirrored(founding);
        node.chain.take_proposed();
        node.set_conditions();
        Ok(node)
    }

    fn assemble(
        scenario: &Scenario,
        seed: u64,
        first_index: u32,
        chain: Chain,
        history: History,
        generator: Generator,
    ) -> Node {
        Node {
            scenario: scenario.clone(),
            chain,
            history,
            connections: BTreeMap::new(),
            stopping: false,
            accepts_ledgers: true,
            verifies: true,
            port: None,
            faults: Faults::new(scenario.faults.clone(), generator.seed()),
            missed: 0,
            refused: 0,
            last_load: None,
            mirror: None,
            cuts: Vec::new(),
            randoms: 0,
            generator,
            seed,
            first_index,
            next_connection: 0,
        }
    }

    /// The world as bytes, with all that goes on from it. What waits in the open ledger is not part of it.
    ///
    /// # Errors
    /// [`SaveError`] when a part does not serialise.
    pub fn save(&self) -> Result<Vec<u8>, SaveError> {
        let saved = Saved {
            version: SAVE_VERSION,
            network_id: self.scenario.network_id,
            issuer: self.scenario.issuer(),
            seed: self.seed,
            first_index: self.first_index,
            header: self.chain.header().clone(),
            state: self.chain.validated().clone(),
            history: self.history.clone(),
            generator: self.generator.save(),
            missed: self.missed,
        };
        Ok(serde_json::to_vec(&saved)?)
    }

    /// A saved world, to go on with the scenario given. Accounts are not funded again.
    ///
    /// # Errors
    /// [`ScenarioError::Saved`] when the bytes are no world, or one of another network or issuer; else as
    /// [`Node::new`].
    pub fn load(bytes: &[u8], scenario: &Scenario) -> Result<Node, ScenarioError> {
        let tape = check(scenario)?;
        let refuse = |reason: String| ScenarioError::Saved { reason };
        if scenario.recording.is_some() {
            return Err(refuse("a recording is always replayed from its beginning".to_string()));
        }
        let saved: Saved = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if saved.version != SAVE_VERSION {
            return Err(refuse(format!("it has version {}, this program reads {SAVE_VERSION}", saved.version)));
        }
        if (saved.network_id, saved.issuer) != (scenario.network_id, scenario.issuer()) {
            return Err(refuse(format!(
                "it is of network {} and issuer {}, the scenario of {} and {}",
                saved.network_id,
                saved.issuer,
                scenario.network_id,
                scenario.issuer()
            )));
        }
        let chain = Chain::resume(scenario.rules(), saved.state, saved.header).with_queue(scenario.queue.clone());
        let mut generator = Generator::new(scenario, tape, saved.seed);
        generator.restore(saved.generator);
        let mut history = saved.history;
        history.keep(scenario.history_ledgers);
        let mut node = Node::assemble(scenario, saved.seed, saved.first_index, chain, history, generator);
        node.missed = saved.missed;
        node.set_conditions();
        Ok(node)
    }

    /// Begins a new run on a world that was loaded: a tape is played from its first trade, and another seed than the
    /// world's draws other numbers from here on.
    pub fn begin_run(&mut self, seed: u64) {
        self.generator.begin_run(seed);
        self.faults = Faults::new(self.scenario.faults.clone(), seed);
        self.set_conditions();
    }

    /// A client connects.
    pub fn connect(&mut self) -> ConnectionId {
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        self.connections.insert(id, Connection::default());
        id
    }

    /// A client is gone.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.faults.mail.forget(id);
    }

    /// Answers a client's message. What `ledger_accept` makes go out comes before its answer.
    pub fn request(&mut self, id: ConnectionId, text: &str) -> Vec<Outgoing> {
        let before = (self.chain.header().index, self.missed);
        let mut outgoing = crate::api::handle(self, id, text);
        let closed = before != (self.chain.header().index, self.missed);
        // What a ledger's close made go out has met its fate already; the answer is the last message.
        let sent = outgoing.split_off(if closed { outgoing.len().saturating_sub(1) } else { 0 });
        outgoing.extend(self.faults.mail.send(before.0, sent));
        outgoing
    }

    /// Answers a JSON-RPC request, the body of a POST. What `ledger_accept` makes go out is beside it.
    pub fn post(&mut self, body: &[u8]) -> (Vec<Outgoing>, HttpReply) {
        crate::api::post(self, body)
    }

    /// Names the port that is served, for `server_info`.
    pub fn set_port(&mut self, port: u16) {
        self.port = Some(port);
    }

    /// Takes the signatures of what is submitted as they are: for the one client in the same thread that has just verified
    /// each of its own. A signature is still demanded, and whose key made it.
    pub fn trust_signatures(&mut self) {
        self.verifies = false;
    }

    /// Whether clients may close ledgers with `ledger_accept`; at first they may.
    pub fn allow_ledger_accept(&mut self, allowed: bool) {
        self.accepts_ledgers = allowed;
    }

    /// A number for a client, from the world's seed. It takes nothing from the market's chances.
    pub(crate) fn random(&mut self) -> Hash {
        self.randoms += 1;
        sha512_half(&[b"random", &self.world().0, &self.randoms.to_be_bytes()])
    }

    /// True once a client has asked the node to stop.
    #[must_use]
    pub fn stop_requested(&self) -> bool {
        self.stopping
    }

    /// Index of the last closed ledger.
    #[must_use]
    pub fn ledger_index(&self) -> u32 {
        self.chain.header().index
    }

    /// The last closed ledger's header.
    #[must_use]
    pub fn last_ledger(&self) -> &Header {
        self.chain.header()
    }

    /// When the last ledger closed.
    #[must_use]
    pub fn close_time(&self) -> LedgerTime {
        self.chain.header().close_time
    }

    /// Number of connected clients.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.connections.len()
    }

    /// The fundamental price the participants trade around, RLUSD for one XRP, to eight places.
    ///
    /// # Errors
    /// [`AmountError`] never in practice: the price is bounded.
    pub fn fundamental_price(&self) -> Result<Dec, AmountError> {
        format!("{:.8}", self.generator.price()).parse::<Dec>()?.round_digits(16, Rounding::HalfEven)
    }

    /// Digest of the whole world: the last ledger's hash, which covers the state and all ledgers before, and the market's
    /// place. The same seed and requests give the same digest after every ledger.
    ///
    /// # Errors
    /// [`SaveError`] when a part does not serialise.
    pub fn digest(&self) -> Result<Hash, SaveError> {
        let generator = serde_json::to_vec(&self.generator.save())?;
        Ok(sha512_half(&[&self.chain.header().hash.0, &generator]))
    }

    /// An account's funds in the last closed ledger; `None` for an unknown account.
    ///
    /// # Errors
    /// [`AmountError`] never in practice: every balance is a decimal.
    pub fn balances(&self, account: Address) -> Result<Option<Funds>, AmountError> {
        let state = self.chain.validated();
        let Some(root) = state.account(account) else { return Ok(None) };
        let rlusd = state.token_balance(account, self.scenario.token()).to_dec()?;
        Ok(Some(Funds { xrp: Drops::new(root.balance), rlusd, owner_count: root.owner_count }))
    }

    /// Names this world: the same for a saved world that goes on, another one for a fresh one of another seed.
    #[must_use]
    pub fn world(&self) -> Hash {
        let scenario = &self.scenario;
        let (network, start) = (scenario.network_id.to_be_bytes(), scenario.start_time_s.to_be_bytes());
        sha512_half(&[b"world", &self.seed.to_be_bytes(), &network, &scenario.issuer().0, &start])
    }

    /// The scenario the world runs by.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The state of the last closed ledger.
    #[must_use]
    pub fn validated_state(&self) -> &State {
        self.chain.validated()
    }
}

fn check(scenario: &Scenario) -> Result<Option<Tape>, ScenarioError> {
    let problems = scenario.problems();
    if !problems.is_empty() {
        return Err(ScenarioError::Invalid(problems));
    }
    Ok(scenario.tape.as_deref().map(Tape::read).transpose()?)
}
