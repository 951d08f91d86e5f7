//! The outside price: a thread that reads a file, asks a local server or listens to one, and leaves the newest price where
//! the feed takes it. What was read is judged in [`reading`]; what may be quoted with it, in `neo_market::reference`.
//!
//! Nobody waits for this thread: a source that hangs is a price that grows old.

mod http;
pub mod reading;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use neo_actors::clock::{monotonic_ms, now};
use neo_actors::outside::{OutsideNews, OutsideSlot};
use neo_ledger::client::{self, ClientEvent};
use neo_market::OutsideReading;
use neo_market::reference::OutsideConfig;
use tokio::sync::{mpsc, watch};

/// A source that says more is no price.
const BYTES_MAX: u64 = 65_536;
/// A server must have answered within this.
const HTTP_LIMIT: Duration = Duration::from_secs(2);

/// The running thread. Dropping it tells the thread to end.
pub struct OutsideSource {
    _stop: watch::Sender<()>,
}

/// Starts reading, where a source is configured.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(config: &OutsideConfig, slot: OutsideSlot) -> io::Result<Option<OutsideSource>> {
    if !config.is_set() {
        return Ok(None);
    }
    let (stop, stopped) = watch::channel(());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watcher = Watcher::new(config.clone(), slot);
    std::thread::Builder::new()
        .name("neo-outside".to_string())
        .spawn(move || runtime.block_on(watcher.run(stopped)))?;
    Ok(Some(OutsideSource { _stop: stop }))
}

/// What a source has said so far.
struct Watcher {
    config: OutsideConfig,
    slot: OutsideSlot,
    newest: OutsideNews,
}

impl Watcher {
    fn new(config: OutsideConfig, slot: OutsideSlot) -> Watcher {
        Watcher { config, slot, newest: OutsideNews::default() }
    }

    /// Until the sender of `stopped` is dropped.
    async fn run(mut self, mut stopped: watch::Receiver<()>) {
        let pause = Duration::from_millis(self.config.poll_ms);
        let listens = self.config.address().is_some_and(|address| address.websocket);
        while stopped.has_changed().is_ok() {
            if listens {
                self.listen(&mut stopped).await;
            } else {
                let read = self.read();
                self.heard(read, monotonic_ms());
            }
            if tokio::time::timeout(pause, stopped.changed()).await.is_ok_and(|changed| changed.is_err()) {
                return;
            }
        }
    }

    /// Follows a WebSocket until it ends: each message is a reading.
    async fn listen(&mut self, stopped: &mut watch::Receiver<()>) {
        let Some(url) = self.config.url.clone() else { return };
        // Nothing is ever sent; dropping the sender is the goodbye.
        let (goodbye, outgoing) = mpsc::unbounded_channel();
        let talk = client::run(url, outgoing, |event| match event {
            ClientEvent::Connected => {}
            ClientEvent::Text(text) => {
                let read = reading::parse(&text, &self.config, None, now().timestamp());
                self.heard(read, monotonic_ms());
            }
            ClientEvent::Closed { reason, .. } => {
                self.heard(Err(format!("the source closed the connection {reason}")), monotonic_ms());
            }
            ClientEvent::Busy { error } | ClientEvent::Failed { error } => {
                self.heard(Err(error), monotonic_ms());
            }
        });
        tokio::select! {
            () = talk => {}
            _ = stopped.changed() => drop(goodbye),
        }
    }

    /// Reads the file or asks the server, once.
    fn read(&self) -> Result<OutsideReading, String> {
        let now_s = now().timestamp();
        if let Some(file) = &self.config.file {
            let (text, modified_s) = read_file(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
            return reading::parse(&text, &self.config, Some(modified_s), now_s);
        }
        let Some(address) = self.config.address() else { return Err("there is no source".to_string()) };
        let text =
            http::get(&address, HTTP_LIMIT).map_err(|error| format!("{}:{}: {error}", address.host, address.port))?;
        reading::parse(&text, &self.config, None, now_s)
    }

    /// Leaves what was read for the feed. What could not be read leaves the price before, which grows old.
    fn heard(&mut self, read: Result<OutsideReading, String>, heard_ms: u64) {
        let before = self.newest.problem.take();
        match read {
            Ok(reading) => {
                if let Some(problem) = before {
                    tracing::info!(problem, price = %reading.price, "the outside price is read again");
                }
                self.newest = OutsideNews { reading: Some(reading), heard_ms, problem: None };
            }
            Err(problem) => {
                if before.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "no outside price was read; mend the source of [price.outside]");
                }
                self.newest.problem = Some(problem);
            }
        }
        self.slot.put(self.newest.clone());
    }
}

/// A file's text, and when it was written, in Unix seconds.
fn read_file(path: &Path) -> io::Result<(String, i64)> {
    let file = File::open(path)?;
    let modified: chrono::DateTime<chrono::Utc> = file.metadata()?.modified()?.into();
    let mut text = String::new();
    file.take(BYTES_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is over {BYTES_MAX} bytes long")));
    }
    Ok((text, modified.timestamp()))
}

#[cfg(test)]
mod tests;
