//! A process that holds a key leaves no core dump behind.

/// Forbids core dumps of this process. On Linux it also closes its memory to other processes of the same user.
///
/// # Errors
/// What the system refused, for the log; a service manager's filter may forbid the one and allow the other.
#[cfg(unix)]
pub fn no_core_dumps() -> Result<(), String> {
    use nix::sys::resource::{Resource, setrlimit};
    let limit = setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| format!("setrlimit(RLIMIT_CORE): {error}"));
    match (limit, undumpable()) {
        (Ok(()), Ok(())) => Ok(()),
        (limit, undumpable) => {
            Err([limit.err(), undumpable.err()].into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
    }
}

/// A limit alone does not stop a system that pipes dumps into a program.
#[cfg(target_os = "linux")]
fn undumpable() -> Result<(), String> {
    nix::sys::prctl::set_dumpable(false).map_err(|error| format!("prctl(PR_SET_DUMPABLE): {error}"))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn undumpable() -> Result<(), String> {
    Ok(())
}

/// Windows writes no dump of a program unless an administrator has set it up (Windows Error Reporting, `LocalDumps`).
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn no_core_dumps() -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn afterwards_no_core_dump_can_be_written() {
        no_core_dumps().unwrap();
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).unwrap();
        assert_eq!(limit, (0, 0));
    }
}
