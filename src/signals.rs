//! Signals and console events become requests to stop. A handler only tells; the supervisor's thread does the work.
//!
//! On Windows the order matters: handlers run last-registered first, and the system ends the process when the handler of
//! a closed console returns. So ctrlc, whose handler returns at once, is registered first and serves Ctrl-C and
//! Ctrl-Break; tokio's, which holds the process until `main` returns, is registered after it and takes the rest.

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use neo_actors::SupervisorEvent;
use neo_store::record::EndReason;

use crate::supervisor::dump::Bell;

/// Listens from now on.
///
/// # Errors
/// When the system refuses a handler.
pub fn listen(events: &Sender<SupervisorEvent>, bell: &Bell) -> Result<()> {
    let interrupted = events.clone();
    ctrlc::set_handler(move || ask(&interrupted, EndReason::Signal)).context("no handler for Ctrl-C")?;
    platform::listen(events.clone(), bell.clone())
}

fn ask(events: &Sender<SupervisorEvent>, reason: EndReason) {
    tell(events, SupervisorEvent::StopRequested(reason));
}

/// Waits for a place: a request to stop is never dropped, and the threads that tell have nothing else to do.
fn tell(events: &Sender<SupervisorEvent>, event: SupervisorEvent) {
    if let Err(error) = events.send(event) {
        tracing::info!(%error, "a signal came when the stop was over");
    }
}

/// Serves signals on a thread with a runtime of its own that no actor can starve.
fn serve(runtime: tokio::runtime::Runtime, listener: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || runtime.block_on(listener))
        .context("no thread for signals")?;
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")
}

/// SIGTERM, SIGHUP and SIGQUIT.
#[cfg(unix)]
mod platform {
    use std::future::pending;

    use anyhow::{Context as _, Result};
    use crossbeam_channel::Sender;
    use neo_actors::SupervisorEvent;
    use neo_store::record::EndReason;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Bell, ask, runtime, serve};

    pub(super) fn listen(events: Sender<SupervisorEvent>, bell: Bell) -> Result<()> {
        let runtime = runtime()?;
        let (mut terminate, mut quit, mut hangup) = {
            let _inside = runtime.enter();
            let terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
            let quit = signal(SignalKind::quit()).context("no handler for SIGQUIT")?;
            (terminate, quit, listen_to_hangup()?)
        };
        serve(runtime, async move {
            loop {
                tokio::select! {
                    Some(()) = terminate.recv() => ask(&events, EndReason::Signal),
                    Some(()) = next(&mut hangup) => ask(&events, EndReason::TerminalClosed),
                    Some(()) = quit.recv() => {
                        bell.ring();
                        ask(&events, EndReason::Signal);
                    }
                    else => return,
                }
            }
        })
    }

    /// `nohup` starts a program with SIGHUP ignored, and so it must stay.
    fn listen_to_hangup() -> Result<Option<Signal>> {
        if super::hangup_is_ignored() {
            tracing::info!("SIGHUP is ignored (nohup): the session goes on when the terminal is closed");
            return Ok(None);
        }
        signal(SignalKind::hangup()).map(Some).context("no handler for SIGHUP")
    }

    async fn next(signal: &mut Option<Signal>) -> Option<()> {
        match signal {
            Some(signal) => signal.recv().await,
            None => pending().await,
        }
    }
}

/// The close button, log-off and shutdown: about five seconds are left, so the stop is urgent from its first moment.
#[cfg(windows)]
mod platform {
    use anyhow::{Context as _, Result};
    use crossbeam_channel::Sender;
    use neo_actors::SupervisorEvent;
    use neo_store::record::EndReason;
    use tokio::signal::windows::{ctrl_close, ctrl_logoff, ctrl_shutdown};

    use super::{Bell, ask, runtime, serve};

    /// No event of a console asks for a dump.
    pub(super) fn listen(events: Sender<SupervisorEvent>, _: Bell) -> Result<()> {
        if without_a_holding_handler() {
            tracing::error!("the handler that holds a closed console is left out, as the test asks");
            return Ok(());
        }
        let runtime = runtime()?;
        let (mut close, mut logoff, mut shutdown) = {
            let _inside = runtime.enter();
            let close = ctrl_close().context("no handler for the close button")?;
            let logoff = ctrl_logoff().context("no handler for log-off")?;
            (close, logoff, ctrl_shutdown().context("no handler for shutdown")?)
        };
        // The listeners live as long as the process: with none left tokio's handler would return.
        serve(runtime, async move {
            loop {
                tokio::select! {
                    Some(()) = close.recv() => ask(&events, EndReason::ConsoleClosed),
                    Some(()) = logoff.recv() => ask(&events, EndReason::ConsoleClosed),
                    Some(()) = shutdown.recv() => ask(&events, EndReason::ConsoleClosed),
                    else => return,
                }
            }
        })
    }

    /// The tests' negative control: with ctrlc alone a closed console loses the end of the session.
    #[cfg(debug_assertions)]
    fn without_a_holding_handler() -> bool {
        std::env::var_os("FAIL_CONSOLE_HANDLER").is_some()
    }

    /// Release builds have no such switch.
    #[cfg(not(debug_assertions))]
    fn without_a_holding_handler() -> bool {
        false
    }
}

/// Whether SIGHUP was ignored when this program was started. The kernel tells in a file; asking by `sigaction` needs
/// unsafe code, which this workspace does without.
#[cfg(target_os = "linux")]
fn hangup_is_ignored() -> bool {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => ignores(&status, SIGHUP).unwrap_or_else(|| {
            tracing::warn!("/proc/self/status does not tell whether SIGHUP is ignored; it ends the session");
            false
        }),
        Err(error) => {
            tracing::warn!(%error, "whether SIGHUP is ignored is not known; it ends the session");
            false
        }
    }
}

/// Other systems do not tell without unsafe code.
#[cfg(all(unix, not(target_os = "linux")))]
fn hangup_is_ignored() -> bool {
    false
}

/// The same number on every Linux.
#[cfg(target_os = "linux")]
const SIGHUP: u32 = 1;

/// Whether the process ignores a signal, as `/proc/PID/status` has it: a mask in hex, bit 0 for signal 1.
#[cfg(target_os = "linux")]
fn ignores(status: &str, signal: u32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u128::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask.checked_shr(signal.checked_sub(1)?)? & 1 == 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_the_kernels_mask() {
        let status = |mask: &str| format!("Name:\tneo\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        assert_eq!(ignores(&status("0000000000000001"), SIGHUP), Some(true));
        assert_eq!(ignores(&status("0000000000001000"), SIGHUP), Some(false));
        assert_eq!(ignores(&status("0000000000001000"), 13), Some(true));
        // Some machines have 128 signals.
        assert_eq!(ignores(&status("80000000000000000000000000000001"), 128), Some(true));
        for unreadable in [status("xyz"), status(""), "Name:\tneo\n".to_string()] {
            assert_eq!(ignores(&unreadable, SIGHUP), None, "{unreadable}");
        }
        assert_eq!(ignores(&status("1"), 0), None);
    }
}
