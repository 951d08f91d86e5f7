//! One holder, seen from another process. Alone in its binary: a process that is being started holds copies of all our
//! handles, and with them our locks, until it has become the other program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::fs;

use neo_store::{Lock, LockError, lock_path};

#[test]
fn the_lock_is_seen_by_another_process_and_dies_with_its_holder() {
    // The test binary starts itself as the holder.
    const HOLD: &str = "NEO_STORE_TEST_HOLD";
    if let Some(path) = std::env::var_os(HOLD) {
        let _lock = Lock::acquire(path.as_ref(), "the first\nengine").unwrap();
        println!("held");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        std::process::abort();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = lock_path(&folder.path().join("neo.db"));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_lock_is_seen_by_another_process_and_dies_with_its_holder", "--nocapture"])
        .env(HOLD, &path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(std::io::BufRead::lines(out).map_while(Result::ok).any(|line| line.contains("held")));

    match Lock::acquire(&path, "the second").unwrap_err() {
        LockError::Held { pid, holder, .. } => {
            assert_eq!(pid, Some(child.id()));
            assert_eq!(holder, "the first engine");
        }
        error @ LockError::Io { .. } => panic!("{error}"),
    }
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success());
    let lock = Lock::acquire(&path, "the second").unwrap();
    // A locked file cannot be read on Windows; there the holder's name lies beside it.
    let name = if cfg!(windows) { path.with_extension("lock.pid") } else { lock.path().to_path_buf() };
    assert!(fs::read_to_string(name).unwrap().starts_with(&std::process::id().to_string()));
}
