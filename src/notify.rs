//! What systemd is told (`sd_notify(3)`): that the session quotes, that the engine lives, what it is doing, how long the
//! stop may take. Without `NOTIFY_SOCKET` nothing is told. A message never blocks, and one that is not taken stops nothing.

use std::time::Duration;

/// Without a watchdog the status is told this often, in milliseconds.
const STATUS_EVERY_MS: u64 = 10_000;
/// Until the session quotes, each message asks for so much more time to start.
const START_EXTENSION_MS: u64 = 30_000;

/// What is to be told of, as the engine's supervisor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The supervisor's loop runs and every actor answers.
    pub healthy: bool,
    /// Offers of ours rest on the ledger.
    pub quoting: bool,
    /// One line for people.
    pub status: String,
}

/// What to say and when. Pure.
#[derive(Clone, Debug, Default)]
struct Pulse {
    /// How often systemd wants to hear, halved.
    every_ms: Option<u64>,
    ready: bool,
    next_ms: u64,
}

impl Pulse {
    fn new(watchdog_ms: Option<u64>) -> Pulse {
        Pulse { every_ms: watchdog_ms.map(|ms| (ms / 2).max(1)), ..Pulse::default() }
    }

    /// The message that is due, if one is. An engine that is not healthy says nothing: its silence is the message.
    fn tick(&mut self, health: &Health, now_ms: u64) -> Option<String> {
        let becomes_ready = health.quoting && !self.ready;
        if !health.healthy || (now_ms < self.next_ms && !becomes_ready) {
            return None;
        }
        self.next_ms = now_ms.saturating_add(self.every_ms.unwrap_or(STATUS_EVERY_MS));
        self.ready |= health.quoting;
        let mut lines = Vec::new();
        if becomes_ready {
            lines.push("READY=1".to_string());
        } else if !self.ready {
            lines.push(extend(START_EXTENSION_MS));
        }
        Some(self.with_ping(lines, &health.status))
    }

    fn with_ping(&self, mut lines: Vec<String>, status: &str) -> String {
        if self.every_ms.is_some() {
            lines.push("WATCHDOG=1".to_string());
        }
        // A line break would begin another assignment.
        lines.push(format!("STATUS={}", status.replace(['\n', '\r'], " ")));
        lines.join("\n")
    }

    /// The stop begins, or goes on: it may take so much longer, without a ping meanwhile.
    fn stopping(&self, status: &str, within: Duration) -> String {
        let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let mut lines = vec!["STOPPING=1".to_string(), extend(ms)];
        if self.every_ms.is_some() {
            lines.push(format!("WATCHDOG_USEC={}", ms.saturating_mul(1_000)));
        }
        self.with_ping(lines, status)
    }
}

fn extend(ms: u64) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", ms.saturating_mul(1_000))
}

/// The way to systemd, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    pulse: Pulse,
    port: Option<port::Port>,
    /// A socket that refuses is told of once.
    refused: bool,
}

impl Notify {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and, where it is not another process's, `WATCHDOG_PID`.
    #[must_use]
    pub fn from_environment() -> Notify {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
            return Notify::default();
        };
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog_ms = number("WATCHDOG_USEC").filter(|_| ours).map(|us| us / 1_000);
        match port::Port::open(&socket) {
            Ok(port) => Notify { pulse: Pulse::new(watchdog_ms), port: Some(port), refused: false },
            Err(error) => {
                tracing::warn!(?socket, %error, "systemd cannot be told of anything");
                Notify::default()
            }
        }
    }

    /// Says what is due.
    pub fn tick(&mut self, health: &Health, now_ms: u64) {
        if self.port.is_some()
            && let Some(message) = self.pulse.tick(health, now_ms)
        {
            self.send(&message);
        }
    }

    /// Vouches for an engine that cannot speak for itself yet.
    pub fn vouch(&mut self, status: &str, now_ms: u64) {
        self.tick(&Health { healthy: true, quoting: false, status: status.to_string() }, now_ms);
    }

    /// The stop sequence begins or goes on, and may take `within` from now.
    pub fn stopping(&mut self, status: &str, within: Duration) {
        if self.port.is_some() {
            let message = self.pulse.stopping(status, within);
            self.send(&message);
        }
    }

    fn send(&mut self, message: &str) {
        let Some(port) = &self.port else { return };
        match port.send(message) {
            Ok(()) => self.refused = false,
            Err(error) if self.refused => tracing::debug!(%error, "systemd does not listen"),
            Err(error) => {
                self.refused = true;
                tracing::warn!(%error, "systemd does not listen; it is told again with the next message");
            }
        }
    }
}

#[cfg(unix)]
mod port {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// A socket that never waits, and where to send.
    #[derive(Debug)]
    pub(super) struct Port {
        socket: UnixDatagram,
        to: SocketAddr,
    }

    impl Port {
        pub(super) fn open(name: &OsStr) -> io::Result<Port> {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Port { socket, to: address(name)? })
        }

        pub(super) fn send(&self, message: &str) -> io::Result<()> {
            self.socket.send_to_addr(message.as_bytes(), &self.to).map(|_| ())
        }
    }

    /// A path, or with `@` in front a name in Linux's abstract namespace.
    fn address(name: &OsStr) -> io::Result<SocketAddr> {
        match name.as_bytes() {
            [b'@', rest @ ..] => abstract_address(rest),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET is neither a path nor an abstract name"))
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
        use std::os::linux::net::SocketAddrExt;
        SocketAddr::from_abstract_name(name)
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "abstract sockets are Linux's"))
    }
}

/// systemd is Linux's; elsewhere nobody is told.
#[cfg(not(unix))]
mod port {
    use std::ffi::OsStr;
    use std::io;

    #[derive(Debug)]
    pub(super) struct Port;

    impl Port {
        pub(super) fn open(_: &OsStr) -> io::Result<Port> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "there is no systemd on this system"))
        }

        pub(super) fn send(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(healthy: bool, quoting: bool) -> Health {
        Health { healthy, quoting, status: "S1 quotes\nMAINPID=1".into() }
    }

    #[test]
    fn ready_is_said_once_and_only_when_the_session_quotes() {
        let mut pulse = Pulse::new(Some(10_000));
        let first = pulse.tick(&health(true, false), 0).unwrap();
        assert!(first.starts_with("EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1\nSTATUS="), "{first}");
        assert_eq!(pulse.tick(&health(true, false), 100), None);
        let ready = pulse.tick(&health(true, true), 200).unwrap();
        assert_eq!(ready, "READY=1\nWATCHDOG=1\nSTATUS=S1 quotes MAINPID=1", "at once, one status line");
        let later = pulse.tick(&health(true, false), 5_200).unwrap();
        assert!(!later.contains("READY") && !later.contains("EXTEND"), "{later}");
    }

    #[test]
    fn pings_come_at_half_of_the_interval_and_only_from_a_healthy_engine() {
        let mut pulse = Pulse::new(Some(2_000));
        let pings: Vec<u64> =
            (0..50).map(|tick| tick * 100).filter(|at| pulse.tick(&health(true, true), *at).is_some()).collect();
        assert_eq!(pings, [0, 1_000, 2_000, 3_000, 4_000]);
        assert_eq!(pulse.tick(&health(false, true), 60_000), None);
        assert!(pulse.tick(&health(true, true), 60_001).unwrap().contains("WATCHDOG=1"));
    }

    #[test]
    fn without_a_watchdog_there_are_no_pings() {
        let mut pulse = Pulse::new(None);
        assert!(!pulse.tick(&health(true, true), 0).unwrap().contains("WATCHDOG"));
        assert!(!pulse.stopping("stopping", Duration::from_secs(40)).contains("WATCHDOG"));
    }

    #[test]
    fn a_stop_asks_for_the_time_that_it_may_take() {
        let message = Pulse::new(Some(2_000)).stopping("stopping: signal", Duration::from_secs(40));
        assert_eq!(
            message,
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\nWATCHDOG_USEC=40000000\nWATCHDOG=1\nSTATUS=stopping: signal"
        );
    }
}
