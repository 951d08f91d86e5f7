//! Signals and console events become requests to stop. A handler only tells; the supervisor's thread does the work.

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use neo_actors::SupervisorEvent;
use neo_store::record::EndReason;

/// Listens from now on.
///
/// # Errors
/// When the system refuses a handler.
pub fn listen(events: &Sender<SupervisorEvent>) -> Result<()> {
    let interrupted = events.clone();
    ctrlc::set_handler(move || tell(&interrupted, EndReason::Signal)).context("no handler for Ctrl-C")?;
    listen_to_termination(events.clone())
}

fn tell(events: &Sender<SupervisorEvent>, reason: EndReason) {
    if let Err(error) = events.try_send(SupervisorEvent::StopRequested(reason)) {
        tracing::error!(%error, "a request to stop could not be passed on");
    }
}

/// SIGTERM and SIGHUP, on a thread with a runtime of its own that no actor can starve.
#[cfg(unix)]
fn listen_to_termination(events: Sender<SupervisorEvent>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
    let (mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        let terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
        (terminate, signal(SignalKind::hangup()).context("no handler for SIGHUP")?)
    };
    let listen = async move {
        loop {
            tokio::select! {
                Some(()) = terminate.recv() => tell(&events, EndReason::Signal),
                Some(()) = hangup.recv() => tell(&events, EndReason::TerminalClosed),
                else => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || runtime.block_on(listen))
        .context("no thread for signals")?;
    Ok(())
}

#[cfg(not(unix))]
fn listen_to_termination(_: Sender<SupervisorEvent>) -> Result<()> {
    Ok(())
}
