//! The simulated ledger as a process of its own: found if it still runs, started if not, ended by the clean stop.
//!
//! The world outlives the engine. Beside the database `NAME.db` lies the folder `NAME.ledger` with the world's state, the
//! address of the running ledger, and what it was started with. A ledger left by an engine that died goes on for a while
//! with our offers in it, and the next engine finds it here.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_actors::clock::monotonic_ms;
use neo_ledger::client::{self, ClientEvent};
use neo_ledger::request;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How long a new ledger may take until it answers.
const START_MS: u64 = 20_000;
/// How long a ledger may take to save its state and end.
const END_MS: u64 = 10_000;
const LOOK: Duration = Duration::from_millis(20);

/// What a simulated ledger is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The scenario as TOML.
    pub scenario: String,
    /// The seed of everything random in it.
    pub seed: u64,
    /// `max`, or how many times faster than real time.
    pub speed: String,
}

/// What a running ledger says of itself.
#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    url: String,
    pid: u32,
}

/// A simulated ledger that runs.
#[derive(Debug)]
pub struct Simulator {
    url: String,
    folder: PathBuf,
}

/// The folder of the world that belongs to a database.
#[must_use]
pub fn folder_of(db: &Path) -> PathBuf {
    db.with_extension("ledger")
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
            if read_json::<Launch>(&launch_file)?.as_ref() == Some(launch) {
                tracing::info!(url = running.url, "the simulated ledger still runs");
                return Ok(running);
            }
            tracing::info!(url = running.url, "the simulated ledger runs with other settings; starting it again");
            running.end()?;
        }
        fs::write(folder.join("scenario.toml"), &launch.scenario).context("writing the scenario")?;
        fs::write(&launch_file, serde_json::to_vec_pretty(launch)?).context("writing the launch file")?;
        start(&folder, launch)?;
        let deadline_ms = monotonic_ms() + START_MS;
        while monotonic_ms() < deadline_ms {
            if let Some(running) = running(&folder)? {
                return Ok(running);
            }
            std::thread::sleep(LOOK);
        }
        bail!("the simulated ledger did not start within {START_MS} ms; see {}", folder.join("ledger.log").display())
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

/// The ledger that the endpoint file names, if it answers.
fn running(folder: &Path) -> Result<Option<Simulator>> {
    let Some(endpoint) = read_json::<Endpoint>(&endpoint_file(folder))? else { return Ok(None) };
    let address = endpoint.url.trim_start_matches("ws://").trim_end_matches('/');
    let address: SocketAddr =
        address.parse().with_context(|| format!("the address {address:?} in the endpoint file"))?;
    match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        Ok(_) => Ok(Some(Simulator { url: endpoint.url, folder: folder.to_path_buf() })),
        Err(error) => {
            tracing::info!(pid = endpoint.pid, %error, "the simulated ledger that was here has died; its saved state goes on");
            fs::remove_file(endpoint_file(folder)).context("removing a dead ledger's endpoint file")?;
            Ok(None)
        }
    }
}

fn start(folder: &Path, launch: &Launch) -> Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let log =
        fs::OpenOptions::new().create(true).append(true).open(folder.join("ledger.log")).context("the ledger's log")?;
    let mut command = Command::new(program);
    command
        .arg("sim-ledger")
        .args(["--listen", "127.0.0.1:0", "--speed", &launch.speed, "--seed", &launch.seed.to_string()])
        .arg("--scenario")
        .arg(folder.join("scenario.toml"))
        .arg("--state")
        .arg(folder.join("state.json"))
        .arg("--endpoint")
        .arg(endpoint_file(folder))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    detach(&mut command);
    command.spawn().context("starting the simulated ledger")?;
    Ok(())
}

/// The ledger must not hear the terminal's Ctrl-C: it ends when the engine says so.
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let mut ended = "it keeps the connection open".to_string();
    let talk = client::run(url.to_string(), to_send, |event| match event {
        ClientEvent::Failed { error } => ended = error,
        ClientEvent::Closed { reason, .. } => ended = reason,
        ClientEvent::Connected | ClientEvent::Text(_) => {}
    });
    let in_time = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(END_MS), talk).await });
    drop(outgoing);
    if in_time.is_err() {
        tracing::warn!(url, "the simulated ledger keeps the connection open after the stop request");
    }
    Ok(ended)
}
