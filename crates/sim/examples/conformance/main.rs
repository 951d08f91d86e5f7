//! Runs recorded transaction sequences against the transaction engine and compares every step.
#![allow(missing_docs, reason = "a program, not a library")]

mod check;
mod compare;
mod exact;
mod fills;
mod input;
mod recording;
mod report;
mod run;
mod scope;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;

const HELP: &str = "\
Runs recorded transaction sequences against the simulated ledger and compares every step.

Usage: conformance DIR [--json] [--metadata] [--only TEXT]
       cargo run --release -p neo-sim --example conformance -- ../shared/fixtures/dex_sequences

Reads every *.json and *.json.gz of DIR (not of folders within it). A file whose JSON has `files` and no `steps` is an
index and is passed over. The recorded transactions carry no signatures and are applied to the core without them.

At every step: the result, the fills of makers (from our metadata), and each field of every account, trust line,
offer, ticket and AMM that the transaction or the recording touched. A step that fails is counted once; the recorded
state takes its place, so that the steps after it are judged on their own. A step that is out of scope (its type is
not modelled, or a payment needs more than one book) is applied from its recorded changes and the file goes on.

  --json       one object: {passed, failed, out_of_scope, by_suite, by_type, failures: [{file, step, field, expected,
               got}]}; `step` is null where the file itself cannot be read
  --metadata   compare the metadata's nodes as well (DirectoryNode, which is not modelled, left out)
  --only TEXT  only files whose name contains TEXT

Exit code: 0 all passed, 1 something failed, 2 DIR cannot be read or has no recorded sequence, or bad arguments.
";

/// What the command line asks for.
struct Options {
    dir: PathBuf,
    json: bool,
    metadata: bool,
    only: String,
}

enum Asked {
    Help,
    Run(Options),
}

fn main() -> ExitCode {
    let (text, errors, code) = match ask(std::env::args().skip(1)) {
        Ok(Asked::Help) => (HELP.to_string(), String::new(), 0),
        Ok(Asked::Run(options)) => match run(&options) {
            Ok(report) => {
                let text = if options.json { report.json() } else { report.text() };
                (text, String::new(), u8::from(report.total.failed > 0))
            }
            Err(error) => (String::new(), format!("error: {error}\n"), 2),
        },
        Err(error) => (String::new(), format!("error: {error}\n\n{HELP}"), 2),
    };
    let written = std::io::stdout().write_all(text.as_bytes()).and(std::io::stderr().write_all(errors.as_bytes()));
    // A reader that went away has what it wanted; the exit code still says how the run ended.
    match written {
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

fn ask(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options { dir: PathBuf::new(), json: false, metadata: false, only: String::new() };
    let mut dir = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-h" | "--help" => return Ok(Asked::Help),
            "--json" => options.json = true,
            "--metadata" => options.metadata = true,
            "--only" => options.only = args.next().ok_or("--only needs a text that file names contain")?,
            flag if flag.starts_with('-') => return Err(format!("{flag} is no option")),
            _ if dir.is_some() => return Err(format!("{arg}: one directory at a time")),
            _ => dir = Some(PathBuf::from(arg)),
        }
    }
    options.dir = dir.ok_or("the directory of the recorded sequences is missing")?;
    Ok(Asked::Run(options))
}

/// Runs all files, on as many threads as the machine has; the order of the report is that of their names.
fn run(options: &Options) -> Result<Report, String> {
    let files = input::files(&options.dir, &options.only)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).max(1);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            done.push((path, check::file(path, options.metadata)));
        }
        done
    };
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            // A panic of the core is caught where it happens; one here is a mistake of this program and ends it.
            outcomes.extend(worker.join().map_err(|_| "a worker of the runner itself ended by a panic; report it")?);
        }
        Ok::<(), String>(())
    })?;
    outcomes.sort_by_key(|(path, _)| *path);
    let mut report = Report::default();
    for (_, outcome) in outcomes {
        report.add(outcome);
    }
    if report.files == 0 {
        return Err(format!(
            "{} has no recorded sequence (*.json or *.json.gz with `steps`); name the directory that holds them",
            options.dir.display()
        ));
    }
    Ok(report)
}
