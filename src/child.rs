//! Programs of others that the engine runs.

use std::process::Command;

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
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}
