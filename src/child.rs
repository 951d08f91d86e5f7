//! Programs of others that the engine runs.

use std::io;
use std::process::{Child, Command};
use std::thread;

/// A Ctrl-C that is meant for the engine must not end a program that it still needs.
#[cfg(unix)]
pub fn alone(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

/// The same, and no window.
#[cfg(windows)]
pub fn alone(command: &mut Command) {
    use std::os::windows::process::CommandExt as _;
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
/// How often, and how often at most, it is looked whether the tool has done its work.
#[cfg(windows)]
const TOOL_LOOK: std::time::Duration = std::time::Duration::from_millis(10);
#[cfg(windows)]
const TOOL_LOOKS: u32 = 50;

/// Ends a program that was started with [`alone`] and never waited for, with everything that it has started itself. Its
/// end is not waited for here: a program in an uninterruptible wait of the system ends when that does.
///
/// # Errors
/// When it cannot be told to end, or nobody can be found to wait for it.
pub fn end(mut child: Child) -> io::Result<()> {
    let told = kill_group(&child).or_else(|_| child.kill());
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    told?;
    // Somebody has to wait for a child, or what is left of it stays until the engine ends.
    let waits = move || {
        if let Err(error) = child.wait() {
            tracing::warn!(%error, "a program that was ended cannot be waited for");
        }
    };
    thread::Builder::new().name("neo-child-end".to_string()).spawn(waits).map(|_| ())
}

/// The child leads a group of its own, whose number is its own as long as nobody has waited for it.
#[cfg(unix)]
fn kill_group(child: &Child) -> io::Result<()> {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    killpg(Pid::from_raw(group), Signal::SIGKILL).map_err(io::Error::from)
}

/// The system's own tool ends a program with its children; without it, or where it is late, the program alone is ended.
#[cfg(windows)]
fn kill_group(child: &Child) -> io::Result<()> {
    use std::os::windows::process::CommandExt as _;
    let mut tool = Command::new("taskkill");
    tool.args(["/T", "/F", "/PID", &child.id().to_string()]).creation_flags(CREATE_NO_WINDOW);
    tool.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut tool = tool.spawn()?;
    for _ in 0..TOOL_LOOKS {
        if let Some(ended) = tool.try_wait()? {
            return if ended.success() { Ok(()) } else { Err(io::Error::other("taskkill did not end it")) };
        }
        thread::sleep(TOOL_LOOK);
    }
    Err(io::Error::other("taskkill is late"))
}
