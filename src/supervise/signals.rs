//! Signals to the supervisor are for the engine: each is told to the supervisor's loop, which passes it on.

use anyhow::Result;
use crossbeam_channel::Sender;

/// A request to stop, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    #[cfg(unix)]
    signal: nix::sys::signal::Signal,
}

/// Signals are few and answered at once; what does not fit was sent by something gone wild.
pub const REQUESTS: usize = 64;

fn tell(requests: &Sender<Request>, request: Request) {
    if let Err(error) = requests.try_send(request) {
        tracing::error!(%error, "a request to stop could not be passed on");
    }
}

#[cfg(unix)]
mod imp {
    use anyhow::Context as _;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use tokio::signal::unix::{SignalKind, signal};

    use super::{Request, Result, Sender, tell};

    const PASSED_ON: [(Signal, SignalKind); 4] = [
        (Signal::SIGINT, SignalKind::interrupt()),
        (Signal::SIGTERM, SignalKind::terminate()),
        (Signal::SIGHUP, SignalKind::hangup()),
        (Signal::SIGQUIT, SignalKind::quit()),
    ];

    /// Listens from now on, on a thread of its own.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen(requests: &Sender<Request>) -> Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
        for (name, kind) in PASSED_ON {
            // Started with nohup: a hang-up stays ignored, by the engine too, which inherits that.
            if is_ignored(name) {
                continue;
            }
            let mut heard = {
                let _inside = runtime.enter();
                signal(kind).with_context(|| format!("no handler for {name}"))?
            };
            let requests = requests.clone();
            runtime.spawn(async move {
                while heard.recv().await.is_some() {
                    tell(&requests, Request { signal: name });
                }
            });
        }
        std::thread::Builder::new()
            .name("signals".to_string())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .context("no thread for signals")?;
        Ok(())
    }

    /// What this process ignores, as Linux tells it. Where nobody tells, nothing is taken for ignored.
    fn is_ignored(signal: Signal) -> bool {
        let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        mask & (1 << (signal as i32 - 1)) != 0
    }

    /// Sends the same signal to the engine, which must not have been waited for yet: its number is then its own.
    ///
    /// # Errors
    /// What the system said.
    pub fn pass_on(request: Request, pid: u32) -> Result<()> {
        let pid = i32::try_from(pid).context("the engine's process id")?;
        tracing::info!(signal = request.signal.as_str(), pid, "passed on to the engine");
        kill(Pid::from_raw(pid), request.signal).context("the engine could not be signalled")
    }

    /// The engine must hear each request once: from the supervisor, and not from the terminal as well.
    pub fn detach(command: &mut std::process::Command) {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
}

#[cfg(windows)]
mod imp {
    use anyhow::Context as _;
    use tokio::signal::windows;

    use super::{Request, Result, Sender, tell};

    /// Listens from now on, on a thread of its own. Handlers for close, log-off and shutdown hold this process until its
    /// main function returns.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen(requests: &Sender<Request>) -> Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
        let inside = runtime.enter();
        let (mut c, mut brk) = (windows::ctrl_c().context("Ctrl-C")?, windows::ctrl_break().context("Ctrl-Break")?);
        let mut close = windows::ctrl_close().context("no handler for the close button")?;
        let mut logoff = windows::ctrl_logoff().context("no handler for log-off")?;
        let mut shutdown = windows::ctrl_shutdown().context("no handler for shutdown")?;
        drop(inside);
        let requests = requests.clone();
        let listen = async move {
            loop {
                let heard = tokio::select! {
                    heard = c.recv() => heard,
                    heard = brk.recv() => heard,
                    heard = close.recv() => heard,
                    heard = logoff.recv() => heard,
                    heard = shutdown.recv() => heard,
                };
                if heard.is_none() {
                    return;
                }
                tell(&requests, Request {});
            }
        };
        std::thread::Builder::new()
            .name("signals".to_string())
            .spawn(move || runtime.block_on(listen))
            .context("no thread for console events")?;
        Ok(())
    }

    /// Console events reach every process of the console: the engine has heard it already.
    ///
    /// # Errors
    /// Never.
    pub fn pass_on(_: Request, pid: u32) -> Result<()> {
        tracing::info!(pid, "the engine has heard the console's request too");
        Ok(())
    }

    /// The engine stays on the console, whose events it needs.
    pub fn detach(_: &mut std::process::Command) {}
}

pub use imp::{detach, listen, pass_on};
