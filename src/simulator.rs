//! The simulated ledger as a process of its own: found if it still runs, started if not, ended by the clean stop.
//!
//! The world outlives the engine. Beside the database `NAME.db` lies the folder `NAME.ledger` with the world's state, the
//! address of the running ledger, and what it was started with. A ledger left by an engine that died goes on for a while
//! with our offers in it, and the next engine finds it here.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_actors::clock::monotonic_ms;
use neo_ledger::client::{self, ClientEvent};
use neo_ledger::keys::Keypair;
use neo_ledger::message::{self, Message};
use neo_ledger::request;
use neo_ledger::result::ServerInfo;
use neo_market::{Dec, Drops};
use neo_sim::server::visiting_path;
use neo_store::open::Identity;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::config::{Config, Sim};
use crate::exit::ExitCode;
use crate::live::key::SEED_VARIABLE;
use crate::output::printable;
use crate::paper::FollowFile;

/// How long a new ledger may take until it answers.
const START_MS: u64 = 20_000;
/// The same for one that must see a few ledgers of a real market first.
const FOLLOW_MS: u64 = 90_000;
/// How long a ledger may take to save its state and end.
const END_MS: u64 = 10_000;
/// How long a ledger that runs may take to say who it is.
const ASK: Duration = Duration::from_secs(2);
/// The end of a dead ledger's log that an error quotes: so many lines, from so many bytes at most.
const QUOTED_LINES: usize = 10;
const QUOTED_BYTES: u64 = 4_096;
const LOOK: Duration = Duration::from_millis(20);

/// The key of the account that the engine trades with on the simulated ledger.
///
/// # Errors
/// A seed that gives no key.
pub fn key() -> Result<Keypair> {
    Keypair::from_seed(&neo_sim::maker_seed()).context("the key of the simulated account")
}

/// Whose records a file holds that is made for the simulated ledger.
///
/// # Errors
/// A seed that gives no key.
pub fn identity(config: &Config) -> Result<Identity> {
    let mode = config.session.mode;
    let network = format!("{mode}-{}", config.sim.network_id);
    Ok(Identity { mode, network, account: key()?.address().to_string() })
}

/// What a simulated ledger is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The scenario as TOML.
    pub scenario: String,
    /// The seed of everything random in it.
    pub seed: u64,
    /// `max`, or how many times faster than real time.
    pub speed: String,
    /// The real market that it mirrors, in mode paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<FollowFile>,
    /// XRP and RLUSD that the account begins with in a new world, in the place of the scenario's.
    #[serde(skip)]
    pub carried: Option<(Drops, Dec)>,
}

impl Launch {
    /// The scenario as a new world begins with it.
    fn beginning(&self) -> Result<String> {
        let Some((xrp, rlusd)) = self.carried else { return Ok(self.scenario.clone()) };
        let scenario: Sim = toml::from_str(&self.scenario).context("the scenario")?;
        let scenario = Sim { maker_xrp: xrp.to_xrp()?, maker_rlusd: rlusd, ..scenario };
        toml::to_string(&scenario).context("the scenario")
    }

    /// Whether a ledger that was started with this can be what is wanted: with what a world begins is past then.
    fn is_same(&self, other: &Launch) -> bool {
        (&self.scenario, self.seed, &self.speed, &self.follow)
            == (&other.scenario, other.seed, &other.speed, &other.follow)
    }
}

/// What a running ledger says of itself.
#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    url: String,
    pid: u32,
    world: String,
    network_id: u32,
}

/// What the endpoint file leads to.
#[derive(Debug)]
enum Found {
    /// There is no such file.
    Nothing,
    /// The ledger that wrote it.
    Ours(Simulator),
    /// Something else, or nothing that answers.
    NotOurs { endpoint: Endpoint, why: String },
}

/// A ledger that was started and has not been heard of yet.
#[derive(Debug)]
struct Started {
    child: Child,
    log: PathBuf,
    /// Where in the log its own lines begin.
    log_from: u64,
}

/// A simulated ledger that runs.
#[derive(Debug)]
pub struct Simulator {
    url: String,
    folder: PathBuf,
    /// It was started just now, and not found.
    is_new: bool,
}

/// The folder of the world that belongs to a database.
#[must_use]
pub fn folder_of(db: &Path) -> PathBuf {
    db.with_extension("ledger")
}

/// The address of the ledger that runs for a database; `None` when none does. Nothing is changed.
///
/// # Errors
/// An endpoint file that is none.
pub fn url_of_running(db: &Path) -> Result<Option<String>> {
    match find(&folder_of(db))? {
        Found::Ours(simulator) => Ok(Some(simulator.url)),
        Found::Nothing | Found::NotOurs { .. } => Ok(None),
    }
}

/// Forgets the world: the next session begins on a new ledger. A running one is ended first.
///
/// # Errors
/// When the folder cannot be removed.
pub fn forget_world(db: &Path) -> Result<()> {
    let folder = folder_of(db);
    if let Some(running) = running(&folder)? {
        running.end()?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing the old world {}", folder.display()))?;
    }
    Ok(())
}

impl Simulator {
    /// Finds the ledger that runs for this database, or starts one.
    ///
    /// # Errors
    /// When it does not start; the text names its log.
    pub fn ensure(db: &Path, launch: &Launch) -> Result<Simulator> {
        let folder = folder_of(db);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let launch_file = folder.join("launch.json");
        if let Some(running) = running(&folder)? {
            if read_json::<Launch>(&launch_file)?.is_some_and(|started| started.is_same(launch)) {
                tracing::info!(url = running.url, "the simulated ledger still runs");
                return Ok(running);
            }
            tracing::info!(url = running.url, "the simulated ledger runs with other settings; starting it again");
            running.end()?;
        }
        keep_to_the_owner(&folder)?;
        fs::write(folder.join("scenario.toml"), launch.beginning()?).context("writing the scenario")?;
        fs::write(&launch_file, serde_json::to_vec_pretty(launch)?).context("writing the launch file")?;
        if let Some(follow) = &launch.follow {
            let text = toml::to_string(follow).context("the market to follow")?;
            fs::write(follow_file(&folder), text).context("writing the market to follow")?;
        }
        start(&folder, launch)?.until_it_answers(&folder, launch)
    }

    /// The ledger that runs for this database; `None` where none does. Nothing is started, ended or removed.
    ///
    /// # Errors
    /// An endpoint file that cannot be read.
    pub fn look(db: &Path) -> Result<Option<Simulator>> {
        Ok(match find(&folder_of(db))? {
            Found::Ours(simulator) => Some(simulator),
            Found::Nothing | Found::NotOurs { .. } => None,
        })
    }

    /// True where it was started for whoever asked for it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_in(&self.folder)
    }

    /// Its WebSocket address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to stop, and waits until its state is saved: then it removes its endpoint file.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn end(&self) -> Result<()> {
        // How the connection ends says little: a ledger that is ending may drop it. The endpoint file tells.
        let said = send_stop(&self.url)?;
        let deadline_ms = monotonic_ms() + END_MS;
        while endpoint_file(&self.folder).exists() {
            if monotonic_ms() > deadline_ms {
                bail!("the simulated ledger at {} was asked to stop and has not ended ({said})", self.url);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn follow_file(folder: &Path) -> PathBuf {
    folder.join("follow.toml")
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("ledger.log")
}

fn endpoint_file(folder: &Path) -> PathBuf {
    folder.join("endpoint.json")
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map(Some).with_context(|| {
            format!("{} is not what the ledger wrote; remove it if no simulated ledger runs", path.display())
        })?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The ledger that the endpoint file names, if it is the one that answers there. A file that leads elsewhere is
/// removed.
fn running(folder: &Path) -> Result<Option<Simulator>> {
    match find(folder)? {
        Found::Nothing => Ok(None),
        Found::Ours(simulator) => Ok(Some(simulator)),
        Found::NotOurs { endpoint: Endpoint { url, pid, .. }, why } => {
            tracing::warn!(url, pid, why, "the simulated ledger that was here is gone; its saved state goes on");
            fs::remove_file(endpoint_file(folder)).context("removing a dead ledger's endpoint file")?;
            Ok(None)
        }
    }
}

fn find(folder: &Path) -> Result<Found> {
    let Some(endpoint) = read_json::<Endpoint>(&endpoint_file(folder))? else { return Ok(Found::Nothing) };
    Ok(match not_ours(&endpoint)? {
        None => Found::Ours(Simulator { url: endpoint.url, folder: folder.to_path_buf(), is_new: false }),
        Some(why) => Found::NotOurs { endpoint, why },
    })
}

/// Asks who answers at the endpoint. After a ledger has died, its port may be anyone's, another engine's ledger too:
/// that one refuses the path. Gives why it is not the ledger that wrote the file; `None` when it is.
fn not_ours(endpoint: &Endpoint) -> Result<Option<String>> {
    let url = format!("{}{}", endpoint.url.trim_end_matches('/'), visiting_path(&endpoint.world, endpoint.pid));
    let (outgoing, to_send) = mpsc::unbounded_channel();
    outgoing.send(request::server_info(1)).context("the request for server_info")?;
    let mut outgoing = Some(outgoing);
    let (mut answer, mut ended) = (None, None);
    let talk = client::run(url, to_send, |event| match event {
        ClientEvent::Connected => {}
        ClientEvent::Text(text) => {
            answer.get_or_insert(text);
            // Without a sender the connection closes.
            outgoing = None;
        }
        ClientEvent::Busy { error } | ClientEvent::Failed { error } => ended = Some(error),
        ClientEvent::Closed { reason, .. } => ended = Some(reason),
    });
    let in_time = runtime()?.block_on(async { tokio::time::timeout(ASK, talk).await });
    Ok(match (answer, ended, in_time) {
        (Some(answer), ..) => check(&answer, endpoint.network_id).err(),
        (None, Some(ended), _) => Some(ended),
        (None, None, Ok(())) => Some("it ended the connection".to_string()),
        (None, None, Err(_)) => Some(format!("no answer within {} s", ASK.as_secs())),
    })
}

/// Whether the answer is `server_info` of a node of this network.
fn check(answer: &str, network_id: u32) -> Result<(), String> {
    let Message::Response(response) = message::parse(answer).map_err(|error| error.to_string())? else {
        return Err("it answers server_info with something else".to_string());
    };
    let value = response.result.map_err(|error| error.to_string())?;
    let info = ServerInfo::from_value(&value).map_err(|error| error.to_string())?;
    if info.network_id == Some(network_id) {
        return Ok(());
    }
    Err(format!("it is a node of network {:?}, not {network_id}", info.network_id))
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")
}

impl Started {
    /// Waits until it answers, it dies, or the time is over.
    fn until_it_answers(mut self, folder: &Path, launch: &Launch) -> Result<Simulator> {
        let limit_ms = if launch.follow.is_some() { FOLLOW_MS } else { START_MS };
        let deadline_ms = monotonic_ms() + limit_ms;
        let mut last = "it has not told its address".to_string();
        while monotonic_ms() < deadline_ms {
            // Before the look at the endpoint: a ledger that wrote its address and died must not be taken for one.
            let ended = self.child.try_wait().context("looking after the simulated ledger")?;
            if let Some(status) = ended.filter(|status| status.code() != Some(ExitCode::Database.code())) {
                bail!("the simulated ledger did not start ({status}). {}", self.quoted_log());
            }
            match find(folder)? {
                Found::Nothing => {}
                Found::Ours(simulator) => return Ok(Simulator { is_new: true, ..simulator }),
                Found::NotOurs { why, .. } => last = why,
            }
            std::thread::sleep(LOOK);
            // Another ledger has this world: one that a killed engine was starting, or one that is ending.
            if ended.is_some() {
                self = start(folder, launch)?;
            }
        }
        bail!("the simulated ledger did not start within {limit_ms} ms: {last}. {}", self.quoted_log())
    }

    fn quoted_log(&self) -> String {
        let log = self.log.display();
        match last_lines(&self.log, self.log_from) {
            Ok(lines) if lines.is_empty() => format!("It wrote nothing to its log {log}"),
            Ok(lines) => format!("Its log {log} ends with:\n{}", lines.join("\n")),
            Err(error) => format!("Its log {log} cannot be read: {error}"),
        }
    }
}

/// The last lines of a file, not from before `from`.
fn last_lines(path: &Path, from: u64) -> std::io::Result<Vec<String>> {
    let mut file = fs::File::open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(QUOTED_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(printable).collect();
    Ok(lines.into_iter().rev().take(QUOTED_LINES).rev().collect())
}

fn start(folder: &Path, launch: &Launch) -> Result<Started> {
    let program = std::env::current_exe().context("finding this program")?;
    let log_path = log_in(folder);
    let log = fs::OpenOptions::new().create(true).append(true).open(&log_path).context("the ledger's log")?;
    let log_from = log.metadata().context("the ledger's log")?.len();
    let mut command = Command::new(program);
    command
        .arg("sim-ledger")
        .args(["--listen", "127.0.0.1:0", "--seed", &launch.seed.to_string()])
        .arg("--scenario")
        .arg(folder.join("scenario.toml"))
        .arg("--endpoint")
        .arg(endpoint_file(folder))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // It has no use for a wallet's seed.
        .env_remove(SEED_VARIABLE);
    match launch.follow {
        Some(_) => command.arg("--follow").arg(follow_file(folder)),
        None => command.args(["--speed", &launch.speed]).arg("--state").arg(folder.join("state.json")),
    };
    detach(&mut command);
    let child = command.spawn().context("starting the simulated ledger")?;
    Ok(Started { child, log: log_path, log_from })
}

/// The ledger must not hear the terminal's Ctrl-C: it ends when the engine says so.
/// The market's address may carry the key of a paid node.
fn keep_to_the_owner(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("keeping {} to its owner", folder.display()))?;
    }
    #[cfg(not(unix))]
    let _: &Path = folder;
    Ok(())
}

#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(windows)]
fn detach(command: &mut Command) {
    use std::os::windows::process::CommandExt;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    const DETACHED_PROCESS: u32 = 0x8;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP | DETACHED_PROCESS);
}

/// Sends the stop request and returns how the connection ended.
fn send_stop(url: &str) -> Result<String> {
    let (outgoing, to_send) = mpsc::unbounded_channel();
    outgoing.send(request::stop(1)).context("the stop request")?;
    let mut ended = "it keeps the connection open".to_string();
    let talk = client::run(url.to_string(), to_send, |event| match event {
        ClientEvent::Busy { error } | ClientEvent::Failed { error } => ended = error,
        ClientEvent::Closed { reason, .. } => ended = reason,
        ClientEvent::Connected | ClientEvent::Text(_) => {}
    });
    let in_time = runtime()?.block_on(async { tokio::time::timeout(Duration::from_millis(END_MS), talk).await });
    drop(outgoing);
    if in_time.is_err() {
        tracing::warn!(url, "the simulated ledger keeps the connection open after the stop request");
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use neo_sim::{Node, Scenario, ServeOptions, Speed};

    use super::*;

    /// A database's name whose world's folder exists, and that folder.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let db = place.path().join("test.db");
        let folder = folder_of(&db);
        fs::create_dir_all(&folder).unwrap();
        (place, db, folder)
    }

    /// A ledger that runs in this process until it is stopped.
    fn serve(folder: &Path) -> JoinHandle<()> {
        let node = Node::new(&Scenario::default(), 3).unwrap();
        let endpoint = endpoint_file(folder);
        let options = ServeOptions {
            speed: Speed::Manual,
            linger: None,
            state_file: None,
            endpoint_file: Some(endpoint.clone()),
        };
        let serving = neo_sim::serve("127.0.0.1:0".parse().unwrap(), node, options);
        let thread = std::thread::spawn(move || runtime().unwrap().block_on(serving).unwrap());
        while !endpoint.exists() {
            std::thread::yield_now();
        }
        thread
    }

    fn write_endpoint(folder: &Path, endpoint: &serde_json::Value) {
        fs::write(endpoint_file(folder), endpoint.to_string()).unwrap();
    }

    fn launch() -> Launch {
        Launch { scenario: String::new(), seed: 3, speed: "max".to_string(), follow: None, carried: None }
    }

    #[test]
    fn the_ledger_that_wrote_the_endpoint_is_found_and_ended() {
        let (_place, db, folder) = place();
        fs::write(folder.join("launch.json"), serde_json::to_vec(&launch()).unwrap()).unwrap();
        let thread = serve(&folder);
        let found = Simulator::ensure(&db, &launch()).unwrap();
        found.end().unwrap();
        thread.join().unwrap();
        assert!(!endpoint_file(&folder).exists());
    }

    #[test]
    fn an_open_port_that_says_nothing_is_not_our_ledger() {
        let (_place, _, folder) = place();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", port.local_addr().unwrap());
        write_endpoint(&folder, &serde_json::json!({ "url": url, "pid": 1, "world": "00", "network_id": 65_001 }));
        assert!(running(&folder).unwrap().is_none());
        assert!(!endpoint_file(&folder).exists());
    }

    #[test]
    fn another_ledger_on_the_port_is_not_ours_and_is_left_alone() {
        let (_place, _, folder) = place();
        let (_elsewhere, _, other_folder) = place();
        let thread = serve(&other_folder);
        let other: serde_json::Value = read_json(&endpoint_file(&other_folder)).unwrap().unwrap();
        for (field, value) in [("pid", serde_json::json!(1)), ("world", "00".into()), ("network_id", 0.into())] {
            let mut endpoint = other.clone();
            endpoint[field] = value;
            write_endpoint(&folder, &endpoint);
            assert!(running(&folder).unwrap().is_none(), "{field}");
            assert!(!endpoint_file(&folder).exists(), "{field}");
        }
        running(&other_folder).unwrap().unwrap().end().unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_ledger_that_dies_at_once_is_an_error_that_quotes_its_log() {
        let (_place, db, folder) = place();
        fs::write(folder.join("ledger.log"), "a line of an earlier ledger\n").unwrap();
        // This program is the test's own, which knows no such options: it ends at once and says so.
        let error = Simulator::ensure(&db, &launch()).unwrap_err().to_string();
        assert!(error.contains("did not start") && error.contains("Unrecognized option"), "{error}");
        assert!(!error.contains("earlier"), "{error}");
        assert!(!error.contains("within"), "{error}");
    }

    #[test]
    fn only_the_last_lines_of_a_log_are_quoted() {
        let (_place, _, folder) = place();
        let log = folder.join("ledger.log");
        let lines: Vec<String> = (0..2_000).map(|number| format!("line {number}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(last_lines(&log, 0).unwrap(), lines[1_990..]);
        assert!(last_lines(&log, fs::metadata(&log).unwrap().len()).unwrap().is_empty());
    }

    #[test]
    fn only_server_info_of_the_network_is_taken() {
        let info = r#"{"build_version":"2.6.1","complete_ledgers":"2-3","network_id":7}"#;
        let response =
            |info: &str| format!(r#"{{"id":1,"type":"response","status":"success","result":{{"info":{info}}}}}"#);
        assert_eq!(check(&response(info), 7), Ok(()));
        assert!(check(&response(info), 8).unwrap_err().contains("network"));
        for wrong in ["", "hello", "{}", r#"{"type":"ledgerClosed"}"#, &response("{}"), &response("5")] {
            assert!(check(wrong, 7).is_err(), "{wrong}");
        }
        let refused = r#"{"id":1,"type":"response","status":"error","error":"unknownCmd","error_code":32}"#;
        assert!(check(refused, 7).unwrap_err().contains("unknownCmd"));
    }
}
