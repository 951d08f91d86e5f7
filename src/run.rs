//! `neo run`: puts one session together, from the configuration to the exit code.

mod afresh;
mod crew_config;
mod lost;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};
use crossbeam_channel::{Receiver, Sender, bounded};
use neo_actors::clock::{monotonic_us, now};
use neo_actors::status::Phase;
use neo_actors::{SharedStatus, Status, SupervisorEvent};
use neo_ledger::keys::Keypair;
use neo_sim::tape::Tape;
use neo_store::lock::Lock;
use neo_store::open::{Options, Store};
use neo_store::record::{CheckpointOwner, EndReason, EndedAtSource, Mode, NewSession, Record, SessionEnd};
use neo_store::writer::WriterFault;
use neo_store::{Halt, close_directly};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::cli::RunArgs;
use crate::config::{self, Config};
use crate::control::{ControlServer, Outcome};
use crate::dashboard::{Dashboard, Look};
use crate::exit::ExitCode;
use crate::live::Refusal;
use crate::live::world::World;
use crate::logging::{self, StderrStyle};
use crate::notify::Notify;
use crate::output::{Out, last_words};
use crate::signals;
use crate::supervisor::crew::{Crew, CrewConfig};
use crate::supervisor::dump::Bell;
use crate::supervisor::note::NoteBook;
use crate::supervisor::policy::Outage;
use crate::supervisor::stop::{Deadlines, is_done};
use crate::supervisor::{Ending, Limits, Supervisor};
use crate::unattended::space::{MinFree, refuse_low};
use crate::unattended::tally::Tally;
use crate::unattended::{self, Unattended};
use crate::venue::{self, Venue};

/// What the supervisor may have to hear before it reads.
const EVENTS: usize = 1_024;
/// A session that sees no validated ledger within this ends.
const START_DEADLINE_MS: u64 = 30_000;

/// Runs one session.
///
/// # Errors
/// What keeps a session from starting; once it has started, every end is a value.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let settings = args.settings().map_err(|error| anyhow!(error))?;
    let mut loaded = match config::load(args.config.as_deref(), &settings) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            last_words(&mistakes.to_string());
            return Ok(ExitCode::Usage);
        }
    };
    if args.fresh && !matches!(loaded.config.session.mode, Mode::Sim | Mode::Paper) {
        let text =
            "--fresh begins a new simulated world, and a real ledger goes on; for a new record give another --db";
        return Err(Refusal { exit: ExitCode::Usage, text: text.to_string() }.into());
    }
    if loaded.config.session.mode == Mode::Replay {
        let text = "a recording is replayed with `neo replay FILE`, which takes the same configuration";
        return Err(Refusal { exit: ExitCode::Usage, text: text.to_string() }.into());
    }
    end_with_the_tape(&mut loaded.config)?;
    let repair = args.repair.then_some(args.json);
    let look = if args.json { Look::Json } else { Look::Status };
    begin(&loaded.config, &Begin { fresh: args.fresh, yes: args.yes, repair, look })
}

/// How a session begins, and how it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// On a new world and a new record; the old one is set aside.
    pub fresh: bool,
    /// Without asking.
    pub yes: bool,
    /// A damaged record is mended first; told as JSON where this says so.
    pub repair: Option<bool>,
    /// What is shown.
    pub look: Look,
}

/// Runs one session by a configuration.
///
/// # Errors
/// What keeps a session from starting; once it has started, every end is a value.
pub fn begin(config: &Config, begin: &Begin) -> Result<ExitCode> {
    let db = config.session.db_path();
    // Before the log, which lies beside the record unless told otherwise.
    neo_store::refuse_share(&db)?;
    let stem = db.file_stem().map_or_else(|| "neo".into(), |stem| stem.to_string_lossy().into_owned());
    let keep = usize::try_from(config.log.keep_days)?;
    let log = logging::init(config.log.level.as_str(), &config.log_dir(), &stem, keep, StderrStyle::Human)?;
    if begin.fresh {
        afresh::begin(&db, begin.yes)?;
    }
    let ending = repair_if_asked(begin.repair, config, &db)
        .and_then(|()| Prepared::new(config, &db))
        .and_then(|prepared| prepared.trade(config, begin.look));
    drop(log);
    ending
}

fn repair_if_asked(json: Option<bool>, config: &Config, db: &Path) -> Result<()> {
    let Some(json) = json else { return Ok(()) };
    crate::recover::before_session(db, venue::identity(config)?, json, &mut Out::stdout())
}

/// Without `--for`, a session on a tape ends with the tape.
fn end_with_the_tape(config: &mut Config) -> Result<()> {
    if config.session.duration.is_none()
        && let Some(tape) = &config.sim.tape
    {
        let tape = Tape::read(tape)?;
        config.session.duration = Some(Duration::from_millis(tape.duration_ms()));
    }
    Ok(())
}

/// A session that is ready to trade.
struct Prepared {
    store: Store,
    events: (Sender<SupervisorEvent>, Receiver<SupervisorEvent>),
    venue: Venue,
    world: World,
    key: Keypair,
    metrics: Option<TcpListener>,
    // Held while the session lives: another engine on this account is refused.
    _account_lock: Lock,
}

impl Prepared {
    /// Everything that may fail before a session exists: locks, the record, the node, the key.
    fn new(config: &Config, db: &Path) -> Result<Prepared> {
        let identity = venue::identity(config)?;
        let key = venue::key(config)?;
        let events = bounded(EVENTS);
        let options = Options {
            on_fault: Some(stop_on_storage_fault(events.0.clone())),
            monotonic_us,
            commit_limit_ms: config.store.commit_limit_ms,
            checkpoints: config.store.checkpoint,
            snapshots_keep_days: config.store.snapshots_keep_days,
            ..Options::new(now)
        };
        let mut store = Store::open(db, &identity, &options, now())?;
        for recovery in store.recoveries() {
            let session = recovery.after.number;
            tracing::warn!(session, "an earlier session had no end; it was closed from its last record");
            if recovery.log_is_gone {
                let detail = recovery.after.end_detail.as_deref();
                tracing::error!(session, detail, "its -wal is gone; fills since come back from the ledger's history");
            }
        }
        // After what an earlier session left open was closed, and before a backup takes what room there is.
        refuse_low(db, MinFree { mb: config.store.min_free_mb })?;
        let metrics = unattended::listen(config)?;
        crate::backup::before_session(&mut store, &config.store)?;
        crate::thin::before_session(&mut store);
        let account_lock = venue::lock_account(db, &identity)?;
        let world = World::look(config, &store)?;
        let venue = Venue::open(config, &store)?;
        Ok(Prepared { store, events, venue, world, key, metrics, _account_lock: account_lock })
    }

    /// Begins the session, trades until something ends it, and closes it.
    fn trade(self, config: &Config, look: Look) -> Result<ExitCode> {
        let Prepared { mut store, events: (tell, hear), venue, world, key, metrics, _account_lock } = self;
        let db = store.path().to_path_buf();
        let mut crew_config = crew_config::of(config, &venue, &world, &key, &store)?;
        let mut lost = lost::records(&venue, &store)?;
        for notice in config.notices() {
            tracing::warn!("{notice}");
        }
        let outside = if config.reads_outside() {
            crate::outside::start(&config.price.outside, crew_config.outside.clone())
                .context("no thread for the outside price")?
        } else {
            None
        };
        let bell = Bell::default();
        signals::listen(&tell, &bell)?;
        let new = new_session(config)?;
        let session = store.begin_session(&new)?;
        match world.begin(&mut store, session) {
            Ok(fault) => lost.extend(fault),
            Err(error) => {
                let error = anyhow!(error);
                close_unstarted(&db, session, &error);
                venue.end();
                return Err(error);
            }
        }
        crew_config.session = session;
        crew_config.recorder = crate::record::of_session(config, &venue, key.address())?;
        let recorder = crew_config.recorder.clone();
        logging::set_session(session);
        let started_at = new.started_at;
        let outage = venue.outage(config);
        let parts = Parts { config, crew_config, key, session, started_at, db: db.clone(), look, bell, outage, lost };
        let assembled = parts.assemble(store, tell, hear, metrics);
        let (supervisor, control, mut screen, unattended) = match assembled {
            Ok(assembled) => assembled,
            Err(error) => {
                close_unstarted(&db, session, &error);
                venue.end();
                return Err(error);
            }
        };
        screen.session_started(session, &db, &venue.shown_market());
        let (ending, watchdog) = match supervisor.run(&mut screen) {
            Ok(ended) => ended,
            Err(error) => {
                let error = anyhow!(error).context("no thread for the watchdog");
                close_unstarted(&db, session, &error);
                venue.end();
                return Err(error);
            }
        };
        venue.end();
        drop(outside);
        screen.session_closed(&ending, &db, session);
        if let Some(recorder) = recorder {
            crate::record::finish_of_session(&recorder);
        }
        control.finish(outcome_of(&ending, session));
        watchdog.disarm();
        // Nothing of the record waits for it any more.
        unattended.finish();
        Ok(ending.exit)
    }
}

/// What a session that exists is put together from.
struct Parts<'a> {
    config: &'a Config,
    crew_config: CrewConfig,
    key: Keypair,
    session: i64,
    started_at: DateTime<Utc>,
    db: PathBuf,
    look: Look,
    bell: Bell,
    outage: Outage,
    lost: Vec<Record>,
}

impl Parts<'_> {
    /// The writer, the surfaces, and last the actors.
    fn assemble(
        self,
        store: Store,
        tell: Sender<SupervisorEvent>,
        hear: Receiver<SupervisorEvent>,
        metrics: Option<TcpListener>,
    ) -> Result<(Supervisor, ControlServer, Dashboard, Unattended)> {
        let Parts { config, crew_config, key, session, started_at, db, look, bell, outage, lost } = self;
        let (writer, thread) = store.start_writer(session)?;
        for record in lost {
            writer.record(record).context("what stood in a world that is gone")?;
        }
        let status: SharedStatus = Arc::new(Mutex::new(Status {
            session,
            mode: config.session.mode.to_string(),
            pid: std::process::id(),
            started_at: Some(now()),
            phase: Phase::Starting,
            ..Status::default()
        }));
        let control = start_control(&db, session, &status, &tell)?;
        let screen = Dashboard::new(Arc::clone(&status), look)?;
        let tally = Tally::default();
        let sources = unattended::Sources {
            session,
            db: db.clone(),
            status: Arc::clone(&status),
            tally: tally.clone(),
            writer: writer.clone(),
            tell: tell.clone(),
            events: hear.clone(),
            paused: crew_config.orders.paused.clone(),
            recorder: crew_config.recorder.clone(),
        };
        let unattended = Unattended::start(config, metrics, sources)?;
        let system = actix::System::new();
        let crew = Crew::start(crew_config, key, writer.clone(), Arc::clone(&status), tell);
        let supervisor = Supervisor {
            crew,
            system,
            writer,
            thread,
            events: hear,
            status,
            notes: NoteBook {
                path: db,
                session,
                started_at,
                end_reason: EndReason::Fault,
                cause: None,
                unrecorded: Vec::new(),
                faults: Vec::new(),
            },
            tally,
            limits: Limits {
                deadlines: Deadlines { whole_ms: config.stop.deadline_ms, urgent_ms: config.stop.urgent_deadline_ms },
                frozen_ms: config.supervisor.frozen_ms,
                start_ms: START_DEADLINE_MS,
                outage,
            },
            own_checkpoints: config.store.checkpoint == CheckpointOwner::Own,
            notify: Notify::from_environment(),
            bell,
        };
        Ok((supervisor, control, screen, unattended))
    }
}

/// A session that began and could not start is closed at once.
fn close_unstarted(db: &Path, session: i64, error: &anyhow::Error) {
    let end = SessionEnd {
        ended_at: now(),
        ended_at_source: EndedAtSource::Watchdog,
        ending_value_rlusd: Err("the session never started".to_string()),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: EndReason::Fault,
        end_detail: Some(serde_json::json!({ "cause": format!("{error:#}") }).to_string()),
    };
    if let Err(error) = close_directly(db, session, &end, &[]) {
        tracing::error!(%error, "the session that could not start is not closed; the next start closes it");
    }
}

/// A disk that refuses ends the session: what cannot be recorded must not be traded.
fn stop_on_storage_fault(tell: Sender<SupervisorEvent>) -> Arc<dyn Fn(WriterFault) + Send + Sync> {
    Arc::new(move |fault| match fault {
        WriterFault::Storage { error, attempts, queued } => {
            tracing::error!(error, attempts, queued, "the database refuses to be written");
            let error = Halt::Refused { error }.to_string();
            if let Err(error) = tell.try_send(SupervisorEvent::StorageRefuses { attempts, error }) {
                tracing::error!(%error, "the supervisor does not listen");
            }
        }
        WriterFault::Recovered { attempts } => tracing::warn!(attempts, "the database accepts writes again"),
        WriterFault::Refused { record, error } => tracing::error!(record, error, "the database refused a record"),
    })
}

fn new_session(config: &Config) -> Result<NewSession> {
    let text = config.to_toml().context("the configuration as text")?;
    let config_hash = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(NewSession {
        started_at: now(),
        config: text,
        config_hash,
        version: env!("CARGO_PKG_VERSION").to_string(),
        // Nothing on a real ledger depends on it.
        seed: venue::is_simulated(config.session.mode).then_some(config.session.seed),
    })
}

fn start_control(
    db: &Path,
    session: i64,
    status: &SharedStatus,
    tell: &Sender<SupervisorEvent>,
) -> Result<ControlServer> {
    let tell = tell.clone();
    let on_stop = Arc::new(move |urgent: bool| {
        // An urgent request is two requests: the second one hurries the stop sequence.
        for _ in 0..=u8::from(urgent) {
            if let Err(error) = tell.try_send(SupervisorEvent::StopRequested(EndReason::StopCommand)) {
                tracing::error!(%error, "a request to stop could not be passed on");
            }
        }
    });
    ControlServer::start(db, session, Arc::clone(status), on_stop).context("no way for `neo stop` to reach this engine")
}

fn outcome_of(ending: &Ending, session: i64) -> Outcome {
    Outcome {
        exit_code: ending.exit.code(),
        session,
        end_reason: ending.end.as_ref().map(|end| end.end_reason.to_string()),
        ended_at: ending.end.as_ref().map(|end| end.ended_at),
        ended_at_source: ending.end.as_ref().map(|end| end.ended_at_source.to_string()),
        failed_stages: ending.stages.iter().filter(|row| !is_done(row)).map(|row| row.stage.to_string()).collect(),
    }
}
