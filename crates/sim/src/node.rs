//! The node: a world, its market, and the clients that talk to it. Pure: text in, text out, no clock and no socket.

use std::collections::BTreeMap;

use neo_ledger::{Address, Hash, LedgerTime, sha512_half};
use neo_market::{AmountError, Dec, Drops, Rounding};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::amount::{TokenValue, Value};
use crate::api::connection::Connection;
use crate::apply::meta::amount_json;
use crate::apply::tx::{ASF_DEFAULT_RIPPLE, Signer, Tx};
use crate::generator::{Draft, Generator, GeneratorState};
use crate::history::{History, Record};
use crate::ledger::{Chain, ClosedTx, Header};
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
/// What each participant starts with: enough for years of trading.
const PARTICIPANT_DROPS: i64 = 1_000_000_000_000_000;
const PARTICIPANT_RLUSD: i64 = 1_000_000_000;
/// XRP of the issuer, in drops.
const ISSUER_DROPS: i64 = 1_000_000_000;
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
    /// The port that is served, once one is.
    pub(crate) port: Option<u16>,
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
    /// [`ScenarioError`] when the scenario has mistakes, its tape cannot be read, or its accounts cannot be funded.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Node, ScenarioError> {
        let tape = check(scenario)?;
        let mut state = State::default();
        let root = AccountRoot { balance: GENESIS_DROPS, sequence: 1, ..AccountRoot::default() };
        state.put_account(Address(GENESIS_ACCOUNT), root);
        // A stand-alone rippled begins with its second ledger closed.
        let first = if scenario.market { 1 } else { 2 };
        let chain = Chain::new(scenario.rules(), state, first, LedgerTime(scenario.start_time_s));
        let mut history = History::new(scenario.history_ledgers);
        history.close(chain.header().clone(), Vec::new());
        let generator = Generator::new(scenario, tape, seed);
        let mut node = Node::assemble(scenario, seed, first, chain, history, generator);
        node.history.track(Address(GENESIS_ACCOUNT));
        if scenario.market {
            node.found_world()?;
        }
        node.chain.take_proposed();
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
            port: None,
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
        let chain = Chain::resume(scenario.rules(), saved.state, saved.header);
        let mut generator = Generator::new(scenario, tape, saved.seed);
        generator.restore(saved.generator);
        let mut history = saved.history;
        history.keep(scenario.history_ledgers);
        Ok(Node::assemble(scenario, saved.seed, saved.first_index, chain, history, generator))
    }

    /// Begins a new run on a world that was loaded: a tape is played from its first trade, and another seed than the
    /// world's draws other numbers from here on.
    pub fn begin_run(&mut self, seed: u64) {
        self.generator.begin_run(seed);
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
    }

    /// Answers a client's message. What `ledger_accept` makes go out comes before its answer.
    pub fn request(&mut self, id: ConnectionId, text: &str) -> Vec<Outgoing> {
        crate::api::handle(self, id, text)
    }

    /// Answers a JSON-RPC request, the body of a POST. What `ledger_accept` makes go out is beside it.
    pub fn post(&mut self, body: &[u8]) -> (Vec<Outgoing>, HttpReply) {
        crate::api::post(self, body)
    }

    /// Names the port that is served, for `server_info`.
    pub fn set_port(&mut self, port: u16) {
        self.port = Some(port);
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

    /// The market's participants act, the open ledger closes, and the streams go out.
    pub fn close_ledger(&mut self) -> Vec<Outgoing> {
        if self.scenario.market {
            for draft in self.generator.next_ledger() {
                self.send_draft(draft);
            }
        }
        let mut outgoing = crate::api::stream::proposed_messages(self);
        let closed = self.close();
        outgoing.extend(crate::api::stream::ledger_messages(self, &closed));
        // What waits goes into the new open ledger.
        outgoing.extend(crate::api::stream::proposed_messages(self));
        outgoing
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

    /// Digest of the whole state: accounts, lines, offers, the chain's hash and the market's place. The same seed and
    /// requests give the same digest after every ledger.
    ///
    /// # Errors
    /// [`SaveError`] when a part does not serialise.
    pub fn digest(&self) -> Result<Hash, SaveError> {
        let state = serde_json::to_vec(self.chain.validated())?;
        let generator = serde_json::to_vec(&self.generator.save())?;
        Ok(sha512_half(&[&self.chain.header().hash.0, &state, &generator]))
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

    /// Closes the open ledger without the participants.
    fn close(&mut self) -> Vec<ClosedTx> {
        let parent = self.chain.header();
        let ledgers = u64::from(parent.index.saturating_add(1).saturating_sub(self.first_index));
        let seconds = ledgers.saturating_mul(u64::from(self.scenario.close_interval_ms)) / 1000;
        let planned = self.scenario.start_time_s.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX));
        // Close times rise by at least a second, as on a real network.
        let close_time = LedgerTime(planned.max(parent.close_time.plus_s(1).0));
        let closed = self.chain.close(self.seed, close_time);
        let records = closed.iter().map(Record::of).collect();
        self.history.close(self.chain.header().clone(), records);
        closed
    }

    /// Sends what a participant decided, with the next sequence and the reference fee, unsigned.
    fn send_draft(&mut self, draft: Draft) {
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
    fn unsigned(&self, account: Address, mut fields: Map<String, Json>) -> Option<Tx> {
        let sequence = self.chain.open().account(account)?.sequence;
        fields.insert("Account".to_string(), json!(account));
        fields.insert("Fee".to_string(), json!(self.scenario.base_fee_drops.to_string()));
        fields.insert("Sequence".to_string(), json!(sequence));
        fields.insert("SigningPubKey".to_string(), json!(""));
        let json = Json::Object(fields);
        let hash = sha512_half(&[b"SIM\0", json.to_string().as_bytes()]);
        Tx::parse(json, hash, Signer::Simulation).ok()
    }

    /// Funds the issuer, the participants and the maker by transactions of the first ledgers.
    fn found_world(&mut self) -> Result<(), ScenarioError> {
        let (issuer, maker) = (self.scenario.issuer(), self.scenario.maker()?);
        let (rlusd, genesis) = (self.scenario.rlusd(), Address(GENESIS_ACCOUNT));
        self.history.track(maker);
        let participants: Vec<Address> =
            Generator::taker_accounts().into_iter().chain([Generator::maker_account()]).collect();
        let maker_drops = drops_of(self.scenario.maker_xrp)?;
        let pay = |to: Address, amount: Json| {
            object(json!({ "TransactionType": "Payment", "Destination": to, "Amount": amount }))
        };
        self.found("funding the issuer", genesis, pay(issuer, json!(ISSUER_DROPS.to_string())))?;
        for account in &participants {
            self.found("funding a participant", genesis, pay(*account, json!(PARTICIPANT_DROPS.to_string())))?;
        }
        if maker_drops > 0 {
            self.found("funding the maker", genesis, pay(maker, json!(maker_drops.to_string())))?;
        }
        self.close();
        let settings = json!({ "TransactionType": "AccountSet", "SetFlag": ASF_DEFAULT_RIPPLE });
        let mut settings = object(settings);
        if self.scenario.tick_size > 0 {
            settings.insert("TickSize".to_string(), json!(self.scenario.tick_size));
        }
        if self.scenario.transfer_rate > 0 {
            settings.insert("TransferRate".to_string(), json!(self.scenario.transfer_rate));
        }
        self.found("setting up the issuer", issuer, settings)?;
        self.close();
        let limit = amount_json(Value::Token(token_value(Dec::from_i64(10_000_000_000))?), rlusd);
        let trust = object(json!({ "TransactionType": "TrustSet", "LimitAmount": limit, "Flags": 0x0002_0000 }));
        let holders: Vec<Address> = participants.iter().copied().chain((maker_drops > 0).then_some(maker)).collect();
        for account in holders {
            self.found("setting a trust line", account, trust.clone())?;
        }
        self.close();
        let participants_value = token_value(Dec::from_i64(PARTICIPANT_RLUSD))?;
        for account in participants {
            let amount = amount_json(Value::Token(participants_value), rlusd);
            self.found("issuing to a participant", issuer, pay(account, amount))?;
        }
        let maker_value = token_value(self.scenario.maker_rlusd)?;
        if maker_drops > 0 && !maker_value.is_zero() {
            let amount = amount_json(Value::Token(maker_value), rlusd);
            self.found("issuing to the maker", issuer, pay(maker, amount))?;
        }
        self.close();
        // A market is there before anybody looks at it: the first ledger that a client sees has a price.
        for draft in self.generator.opening_quotes() {
            self.send_draft(draft);
        }
        self.close();
        Ok(())
    }

    fn found(&mut self, step: &'static str, account: Address, fields: Map<String, Json>) -> Result<(), ScenarioError> {
        let failed = |result: &str| ScenarioError::Genesis { step, result: result.to_string() };
        let tx = self.unsigned(account, fields).ok_or_else(|| failed("terNO_ACCOUNT"))?;
        let submitted = self.chain.submit(tx, false);
        if submitted.result.is_success() { Ok(()) } else { Err(failed(submitted.result.token)) }
    }
}

fn check(scenario: &Scenario) -> Result<Option<Tape>, ScenarioError> {
    let problems = scenario.problems();
    if !problems.is_empty() {
        return Err(ScenarioError::Invalid(problems));
    }
    Ok(scenario.tape.as_deref().map(Tape::read).transpose()?)
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn drops_of(xrp: Dec) -> Result<i64, ScenarioError> {
    Drops::from_xrp(xrp, Rounding::Down).map(Drops::get).map_err(amount_error)
}

fn token_value(value: Dec) -> Result<TokenValue, ScenarioError> {
    let rounded = value.round_digits(neo_market::decimal::LEDGER_DIGITS, Rounding::Down).map_err(amount_error)?;
    TokenValue::from_dec(rounded).map_err(amount_error)
}

fn amount_error(error: AmountError) -> ScenarioError {
    ScenarioError::Genesis { step: "reading an amount of the scenario", result: error.to_string() }
}
