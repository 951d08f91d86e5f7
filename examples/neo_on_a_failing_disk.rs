//! The `neo` command on a disk that fails, for `tests/disk.rs`: the same program, with `neo-disk` under its record.
//!
//! `DISK_FOLDER` names the folder, `DISK_FAULT` how operations are refused (`full`, `short`, `broken`, `read-only`),
//! `DISK_KIND` which (`write`, `sync`, `any`), `DISK_AFTER` how many succeed first, and `DISK_TIMES` how many are refused
//! (without it all that come, until the process ends). Without `DISK_FOLDER` it is `neo`.

use std::path::Path;
use std::process::ExitCode;

use neo_disk::{Disk, Fault, How, Kind, Lasting};

fn main() -> ExitCode {
    // Held until the engine has ended.
    let _disk = match std::env::var("DISK_FOLDER").map(|folder| failing(Path::new(&folder))) {
        Err(_) => None,
        Ok(Ok(disk)) => Some(disk),
        Ok(Err(error)) => {
            // Nobody to tell is no reason to go on with a good disk.
            return match neo::output::Out::stderr().line(&format!("error: {error}")) {
                Ok(()) | Err(_) => ExitCode::from(2),
            };
        }
    };
    neo::dispatch::main()
}

fn failing(folder: &Path) -> Result<Disk, String> {
    let how = match variable("DISK_FAULT")?.as_str() {
        "full" => How::Full,
        "short" => How::Short,
        "broken" => How::Broken,
        "read-only" => How::ReadOnly,
        other => return Err(format!("DISK_FAULT is {other:?}; full, short, broken or read-only is wanted")),
    };
    let kinds = match variable("DISK_KIND")?.as_str() {
        "write" => vec![Kind::Write],
        "sync" => vec![Kind::Sync],
        "any" => vec![Kind::Open, Kind::Write, Kind::Sync, Kind::Truncate, Kind::Delete, Kind::Map],
        other => return Err(format!("DISK_KIND is {other:?}; write, sync or any is wanted")),
    };
    let lasting = match std::env::var("DISK_TIMES") {
        Ok(times) => Lasting::Times(number("DISK_TIMES", &times)?),
        Err(_) => Lasting::UntilRecovered,
    };
    let disk = Disk::over(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    disk.fail(Fault { kinds, after: number("DISK_AFTER", &variable("DISK_AFTER")?)?, lasting, how });
    Ok(disk)
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} is {text:?}; a number is wanted"))
}
