//! `neo record`, and the recording of a session: the node's messages as files that can be read again.
//!
//! One node is recorded at a time; one that is lost is left for the next, by the engine's own rule ([`turn`]).

mod turn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use crossbeam_channel::{Receiver, bounded};
use neo_actors::SupervisorEvent;
use neo_actors::clock::{monotonic_ms, now};
use neo_actors::recording::{Progress, Recorder};
use neo_ledger::Address;
use neo_ledger::client::{self, ClientEvent, Endpoint};
use neo_ledger::recording::{Direction, Header, Rotation, Series, Source};
use neo_ledger::types::Token;
use neo_ledger::watch::{Effect, Input, Seen, Watch, how_it_ended};
use neo_store::record::Mode;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::cli::{RecordArgs, settings_of};
use crate::config::{self, Config, Feed};
use crate::exit::ExitCode;
use crate::live::{self, Refusal};
use crate::output::{Out, printable};
use crate::progress::Bar;
use crate::signals;
use crate::simulator::Simulator;
use crate::supervisor::dump::Bell;
use crate::venue::Venue;
use turn::Turn;

/// How often the time and a request to stop are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often the progress is shown.
const SHOW_MS: u64 = 250;
/// How long the disk may take for what is left at the end.
const LAST: Duration = Duration::from_secs(10);
/// The same at the end of a session, which waits for nothing.
const LAST_OF_SESSION: Duration = Duration::from_millis(500);
const MB: u64 = 1 << 20;

/// Records until the time is over or somebody asks it to stop.
///
/// # Errors
/// Mistakes in the configuration; a file that cannot be made; [`Refusal`] for a node of another network.
pub fn run(args: &RecordArgs, out: &mut Out) -> Result<ExitCode> {
    let settings = settings_of(&args.set).map_err(|error| anyhow!(error))?;
    let config = config::load(args.config.as_deref(), &settings)?.config;
    let target = Target::of(&config)?;
    let mut series = series(&args.file, &config.feed, target.header());
    // Here a disk that refuses is an answer; later it is a gap.
    series.begin().with_context(|| format!("{} cannot be written", args.file.display()))?;
    let recorder = Recorder::start(series).context("no thread for the recording")?;
    let (tell, hear) = bounded(16);
    signals::listen(&tell, &Bell::default())?;
    let watch = Watch::new(target.network_id, target.token, target.account, config.feed.silence_ms);
    let turn = Turn::new(target.nodes.len(), u64::from(std::process::id()));
    let line = Line { target: &target, recorder: &recorder, connections: 0, sources: Vec::new(), open: None };
    let (bar, trouble, shown_ms, wants_node) = (Bar::stderr(), None, 0, false);
    let recording = Recording { watch, line, turn, wants_node, stop: hear, bar, trouble, shown_ms };
    let ended = recording.follow(args.duration)?;
    let written = recorder.finish(LAST);
    let progress = recorder.progress();
    if let Ended::Refused(text) = &ended.how {
        return Err(Refusal { exit: ExitCode::Usage, text: text.clone() }.into());
    }
    tell_the_end(args, &target, &ended, &progress, out)?;
    let whole = written && progress.dropped == 0 && progress.trouble.is_none();
    Ok(if whole { ExitCode::Clean } else { ExitCode::Failed })
}

/// The recorder of a session, where one is configured. It never keeps a session from starting.
///
/// # Errors
/// When the system has no thread.
pub fn of_session(config: &Config, venue: &Venue, account: Address) -> Result<Option<Recorder>> {
    let Some(file) = &config.feed.record else { return Ok(None) };
    let header = Header::new(venue.network_id, &venue.shown_url(), Some(account), venue.token, now().to_rfc3339());
    let recorder = Recorder::start(series(file, &config.feed, header)).context("no thread for the recording")?;
    tracing::info!(file = %file.display(), "the node's messages are recorded");
    Ok(Some(recorder))
}

/// Has what is left written, at the end of a session.
pub fn finish_of_session(recorder: &Recorder) {
    let in_time = recorder.finish(LAST_OF_SESSION);
    let Progress { messages, dropped, bytes, trouble, .. } = recorder.progress();
    if in_time && dropped == 0 && trouble.is_none() {
        tracing::info!(messages, bytes, "the recording is written");
    } else {
        tracing::error!(messages, dropped, bytes, in_time, trouble, "the recording is not whole");
    }
}

fn series(file: &Path, feed: &Feed, header: Header) -> Series {
    let rotation = Rotation { part_bytes: feed.record_rotate_mb.saturating_mul(MB), keep: feed.record_keep };
    Series::new(file, header, rotation)
}

/// Which nodes, and what of them.
struct Target {
    /// The record whose simulated ledger it is; `None` for nodes of a network.
    world_of: Option<PathBuf>,
    /// In order of preference; one at least.
    nodes: Vec<Endpoint>,
    network_id: u32,
    token: Token,
    account: Option<Address>,
}

impl Target {
    fn of(config: &Config) -> Result<Target> {
        let account = config.account.address;
        if config.session.mode == Mode::Sim {
            let db = config.session.db_path();
            let running = Simulator::look(&db)?.with_context(|| {
                format!(
                    "no simulated ledger runs for {}; start `neo run` first, or name a node's configuration",
                    db.display()
                )
            })?;
            let token = config.account.token().unwrap_or_else(|| config.sim.token());
            let (url, network_id) = (running.url().to_string(), config.sim.network_id);
            let account = Some(crate::simulator::key()?.address());
            let nodes = vec![url.into()];
            return Ok(Target { world_of: Some(db), nodes, network_id, token, account });
        }
        let token = config.account.token().context("account.issuer is not set: name the token's issuer")?;
        let network_id = config.network.expected_network_id();
        let nodes = live::nodes(config)?;
        Ok(Target { world_of: None, nodes, network_id, token, account })
    }

    /// Of the first node.
    fn url(&self) -> &str {
        self.nodes.first().map_or("", |node| &node.url)
    }

    fn header(&self) -> Header {
        Header::new(self.network_id, self.url(), self.account, self.token, now().to_rfc3339())
    }

    /// Whether there is anything to connect to again.
    fn is_there(&self) -> Result<bool> {
        match &self.world_of {
            Some(db) => Ok(Simulator::look(db)?.is_some_and(|running| running.url() == self.url())),
            None => Ok(true),
        }
    }
}

/// The connection.
struct Line<'a> {
    target: &'a Target,
    recorder: &'a Recorder,
    connections: u64,
    /// The nodes that said something, as they may be shown.
    sources: Vec<Arc<str>>,
    open: Option<Open>,
}

struct Open {
    node: Arc<str>,
    outgoing: UnboundedSender<String>,
    // Nothing waits in it: the disk has a queue of its own, which is bounded.
    events: UnboundedReceiver<ClientEvent>,
}

impl Line<'_> {
    fn connect(&mut self, runtime: &Runtime, node: usize) {
        let Some(endpoint) = self.target.nodes.get(node).cloned() else { return };
        let node: Arc<str> = client::shown_url(&endpoint.url).into();
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::unbounded_channel();
        runtime.spawn(client::run(endpoint, to_send, move |event| {
            if heard.send(event).is_err() {
                tracing::trace!("the connection was left");
            }
        }));
        self.connections += 1;
        self.open = Some(Open { node, outgoing, events });
    }

    fn source(&self) -> Source {
        Source { conn: self.connections, node: self.open.as_ref().map(|open| Arc::clone(&open.node)) }
    }

    fn heard(&mut self, text: &str) {
        let source = self.source();
        if let Some(node) = source.node.as_ref().filter(|node| !self.sources.contains(node)) {
            self.sources.push(Arc::clone(node));
        }
        self.recorder.message(source, Direction::Recv, text);
    }

    /// What is told of the node, with its name where there are several.
    fn named(&self, text: &str) -> String {
        match &self.open {
            Some(open) if self.target.nodes.len() > 1 => format!("{}: {text}", open.node),
            _ => text.to_string(),
        }
    }

    fn send(&self, text: String) {
        self.recorder.message(self.source(), Direction::Sent, &text);
        if self.open.as_ref().is_some_and(|open| open.outgoing.send(text).is_err()) {
            tracing::debug!("the connection is over; its end is told by itself");
        }
    }
}

/// How a recording ended.
enum Ended {
    Elapsed,
    Asked,
    WorldGone,
    Refused(String),
}

struct End {
    how: Ended,
    seen: Seen,
    connections: u64,
    sources: Vec<Arc<str>>,
    seconds: u64,
}

/// One run of the recorder.
struct Recording<'a> {
    watch: Watch,
    line: Line<'a>,
    turn: Turn,
    /// It is time for a connection, and every node is to be left alone yet.
    wants_node: bool,
    stop: Receiver<SupervisorEvent>,
    bar: Bar,
    /// The trouble with the disk that was told last.
    trouble: Option<String>,
    shown_ms: u64,
}

impl Recording<'_> {
    fn follow(mut self, duration: Option<Duration>) -> Result<End> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
        let start_ms = monotonic_ms();
        let duration_ms = duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let how = loop {
            if self.stop.try_recv().is_ok() {
                break Ended::Asked;
            }
            if duration_ms.is_some_and(|length_ms| monotonic_ms().saturating_sub(start_ms) >= length_ms) {
                break Ended::Elapsed;
            }
            if let Some(how) = self.step(&runtime)? {
                break how;
            }
            self.show()?;
        };
        self.bar.clear()?;
        let seconds = monotonic_ms().saturating_sub(start_ms) / 1_000;
        let Line { connections, sources, .. } = self.line;
        Ok(End { how, seen: self.watch.seen(), connections, sources, seconds })
    }

    /// What comes next, or a while without anything.
    fn step(&mut self, runtime: &Runtime) -> Result<Option<Ended>> {
        let event = runtime.block_on(async {
            // The timer is made inside the runtime, or there is none.
            match &mut self.line.open {
                Some(open) => tokio::time::timeout(LOOK, open.events.recv()).await.ok(),
                None => {
                    tokio::time::sleep(LOOK).await;
                    None
                }
            }
        });
        let now_ms = monotonic_ms();
        let mut effects = match event {
            None => Vec::new(),
            Some(Some(ClientEvent::Connected)) => self.watch.on(Input::Connected, now_ms),
            Some(Some(ClientEvent::Text(text))) => {
                self.line.heard(&text);
                let before = self.watch.seen().ledgers;
                let effects = self.watch.on(Input::Text(&text), now_ms);
                if self.watch.seen().ledgers > before {
                    self.turn.serves();
                }
                effects
            }
            Some(ended) => {
                let (busy, reason) = how_it_ended(ended);
                self.turn.left(busy, now_ms);
                let reason = self.line.named(&reason);
                self.watch.on(Input::Ended { busy, reason: &reason }, now_ms)
            }
        };
        effects.extend(self.watch.on(Input::Tick, now_ms));
        if self.wants_node {
            self.connect(runtime, now_ms)?;
        }
        for effect in effects {
            if let Some(ended) = self.carry_out(effect, runtime)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    fn carry_out(&mut self, effect: Effect, runtime: &Runtime) -> Result<Option<Ended>> {
        match effect {
            Effect::Connect if !self.line.target.is_there()? => return Ok(Some(Ended::WorldGone)),
            Effect::Connect => self.connect(runtime, monotonic_ms())?,
            Effect::Send(text) => self.line.send(text),
            // Dropping it closes the connection.
            Effect::Leave => {
                self.turn.left(false, monotonic_ms());
                self.line.open = None;
            }
            Effect::Gap(reason) => self.line.recorder.gap(&reason),
            Effect::Tell(text) => self.tell(&text)?,
            Effect::Refuse(text) => return self.refused(text, runtime),
        }
        Ok(None)
    }

    /// To the node whose turn it is, as soon as there is one.
    fn connect(&mut self, runtime: &Runtime, now_ms: u64) -> Result<()> {
        let node = self.turn.next(now_ms);
        self.wants_node = node.is_none();
        let Some(node) = node else { return Ok(()) };
        self.line.connect(runtime, node);
        if self.line.connections > 1 && self.line.target.nodes.len() > 1 {
            let text = self.line.named("recording this node now");
            self.tell(&text)?;
        }
        Ok(())
    }

    /// The node is of another network. Where there are others it is left, as the engine does.
    fn refused(&mut self, text: String, runtime: &Runtime) -> Result<Option<Ended>> {
        let now_ms = monotonic_ms();
        if self.turn.refuse(now_ms) {
            return Ok(Some(Ended::Refused(text)));
        }
        for effect in self.watch.on(Input::Ended { busy: false, reason: &text }, now_ms) {
            if let Some(ended) = self.carry_out(effect, runtime)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    fn tell(&mut self, text: &str) -> Result<()> {
        self.bar.clear()?;
        Ok(Out::stderr().line(&printable(text))?)
    }

    fn show(&mut self) -> Result<()> {
        // Not with each message: a terminal is slower than a node.
        if monotonic_ms().saturating_sub(self.shown_ms) < SHOW_MS {
            return Ok(());
        }
        self.shown_ms = monotonic_ms();
        let progress = self.line.recorder.progress();
        if progress.trouble != self.trouble {
            self.trouble.clone_from(&progress.trouble);
            let text = match &progress.trouble {
                Some(error) => format!("the recording cannot be written: {error}; it is tried again every ten seconds"),
                None => "the recording goes on".to_string(),
            };
            self.tell(&text)?;
        }
        let Progress { messages, bytes, parts, .. } = progress;
        let file = parts.last().map(|file| file.display().to_string()).unwrap_or_default();
        let seen = self.watch.seen();
        let line = format!("{messages} messages, {} ledgers, {} kB in {file}", seen.ledgers, bytes / 1_024);
        self.bar.draw(&line, 0, None);
        Ok(())
    }
}

/// What `neo record --json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    /// Why it ended: `elapsed`, `asked` or `world_ended`.
    ended: &'a str,
    /// The parts of this run, in order.
    parts: &'a [PathBuf],
    /// The first node's address.
    url: String,
    /// The nodes that said something, in the order in which they did.
    sources: Vec<&'a str>,
    network_id: u32,
    seconds: u64,
    /// Received and sent.
    messages: u64,
    ledgers: u64,
    first_ledger: Option<u32>,
    last_ledger: Option<u32>,
    connections: u64,
    gaps: u64,
    /// Messages that are not in it.
    dropped: u64,
    not_understood: u64,
    /// Compressed.
    bytes: u64,
}

fn tell_the_end(args: &RecordArgs, target: &Target, end: &End, progress: &Progress, out: &mut Out) -> Result<()> {
    let ended = match end.how {
        Ended::Elapsed => "elapsed",
        Ended::Asked => "asked",
        Ended::WorldGone => "world_ended",
        Ended::Refused(_) => "refused",
    };
    let Seen { ledgers, first_ledger, last_ledger, gaps, not_understood } = end.seen;
    let Progress { messages, dropped, bytes, parts, trouble, .. } = progress;
    if args.json {
        let url = client::shown_url(target.url());
        let (network_id, seconds, connections) = (target.network_id, end.seconds, end.connections);
        return Ok(out.json_line(&Summary {
            ended,
            parts,
            url,
            sources: end.sources.iter().map(AsRef::as_ref).collect(),
            network_id,
            seconds,
            messages: *messages,
            ledgers,
            first_ledger,
            last_ledger,
            connections,
            gaps,
            dropped: *dropped,
            not_understood,
            bytes: *bytes,
        })?);
    }
    let range = match (first_ledger, last_ledger) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    out.line(&format!(
        "{messages} messages of {ledgers} ledgers{range} in {} s: {} kB, {} part(s), {gaps} gap(s)",
        end.seconds,
        bytes / 1_024,
        parts.len()
    ))?;
    for part in parts {
        out.line(&format!("  {}", part.display()))?;
    }
    if end.sources.len() > 1 {
        out.line(&format!(
            "from {}: each message of another node than the first names it",
            end.sources.join(", then ")
        ))?;
    }
    if *dropped > 0 {
        out.line(&format!("{dropped} messages are missing: the disk refused or did not keep up"))?;
    }
    if let Some(error) = trouble {
        out.line(&format!("the end is not written: {error}"))?;
    }
    Ok(())
}
