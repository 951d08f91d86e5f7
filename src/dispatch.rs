//! From the command line to the exit code.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use neo_store::old::OldError;
use neo_store::{BackupError, LockError, StoreError};

use crate::cli::{Cli, Command, ConfigCheckArgs, ConfigCommand, DbArg, RunArgs};
use crate::exit::ExitCode;
use crate::live::{Refusal, key::KeyProblem};
use crate::output::{Out, last_words};
use crate::unattended::space::DiskLow;
use crate::{
    backfill, backtest, backup, calibrate, cancel_all, config, control, export, import, pause, preflight, record,
    recover, replay, report, run, sessions, setup, sim_ledger, supervise, thin, verify,
};

/// Reads the command line, does what it says, tells an error, and gives the exit code that says how it went. The whole
/// program: `main` and the examples that run the engine under a fault only call it.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let exit = match dispatch(cli) {
        Ok(exit) => exit,
        Err(error) => {
            last_words(&format!("error: {error:#}"));
            code_of(&error)
        }
    };
    std::process::ExitCode::from(u8::try_from(exit.code()).unwrap_or(1))
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.command.unwrap_or_else(|| Command::Run(RunArgs::default())) {
        Command::Run(args) => run::run(&args),
        Command::Sessions(args) => sessions::run(&db_of(&args.db)?, args.json, &mut Out::stdout()),
        Command::Report(args) => report::run(&db_of(&args.read.db)?, &args.session, args.read.json, &mut Out::stdout()),
        Command::Calibrate(args) => calibrate::run(&db_of(&args.read.db)?, &args, &mut Out::stdout()),
        Command::Export(args) => export::run(&db_of(&args.db)?, &args, &mut Out::stdout()),
        Command::Stop(args) => control::stop(&db_of(&args.db)?, args.urgent, args.wait, args.json, &mut Out::stdout()),
        Command::Status(args) => control::status(&db_of(&args.db)?, args.json, &mut Out::stdout()),
        Command::Pause(args) => {
            pause::pause(&db_of(&args.db)?, args.reason.as_deref(), args.wait, args.json, &mut Out::stdout())
        }
        Command::Resume(args) => pause::resume(&db_of(&args.db)?, args.json, &mut Out::stdout()),
        Command::CancelAll(args) => cancel_all::run(&args, &mut Out::stdout()),
        Command::Config(ConfigCommand::Check(args)) => config_check(&args),
        Command::Preflight(args) => preflight::run(&args, &mut Out::stdout()),
        Command::Setup(args) => setup::run(&args, &mut Out::stdout()),
        Command::Replay(args) => replay::run(&args, &mut Out::stdout()),
        Command::Backtest(args) => backtest::run(&args, &mut Out::stdout()),
        Command::Record(args) => record::run(&args, &mut Out::stdout()),
        Command::SimLedger(args) => sim_ledger::run(&args),
        Command::Backfill(args) => backfill::run(&args, &mut Out::stdout()),
        Command::Import(args) => import::run(&args.old, &db_of(&args.db)?, &mut Out::stdout()),
        Command::Supervise(args) => supervise::run(&args),
        Command::Recover(args) => recover::run(&args, &mut Out::stdout()),
        Command::Verify(args) => verify::run(&db_of(&args.db)?, args.json, &mut Out::stdout()),
        Command::Backup(args) => backup::take(&args, &mut Out::stdout()),
        Command::Restore(args) => {
            backup::restore(&db_of(&args.read.db)?, &args.backup, args.read.json, &mut Out::stdout())
        }
        Command::Thin(args) => thin::run(&args, &mut Out::stdout()),
    }
}

/// The record that a command reads: the flag's, else the configuration's.
fn db_of(arg: &DbArg) -> Result<PathBuf> {
    match &arg.db {
        Some(db) => Ok(db.clone()),
        None => Ok(config::load(None, &[])?.config.session.db_path()),
    }
}

fn config_check(args: &ConfigCheckArgs) -> Result<ExitCode> {
    let settings = crate::cli::settings_of(&args.set).map_err(|error| anyhow::anyhow!(error))?;
    let mut out = Out::stdout();
    match config::load(args.file.as_deref(), &settings) {
        Ok(loaded) if args.json => out.json_line(&loaded.to_json()?)?,
        Ok(loaded) => out.text(&loaded.render()?)?,
        Err(mistakes) if args.json => {
            out.json_line(&mistakes.to_json())?;
            return Ok(ExitCode::Usage);
        }
        Err(mistakes) => {
            Out::stderr().line(&mistakes.to_string())?;
            return Ok(ExitCode::Usage);
        }
    }
    Ok(ExitCode::Clean)
}

/// Which exit code an error stands for.
fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<config::ConfigErrors>().is_some() || error.downcast_ref::<KeyProblem>().is_some() {
        ExitCode::Usage
    } else if let Some(refusal) = error.downcast_ref::<Refusal>() {
        refusal.exit
    } else if let Some(error) = error.downcast_ref::<OldError>() {
        if error.is_usage() { ExitCode::Usage } else { ExitCode::Database }
    } else if error.downcast_ref::<StoreError>().is_some()
        || error.downcast_ref::<LockError>().is_some()
        || error.downcast_ref::<BackupError>().is_some()
        || error.downcast_ref::<DiskLow>().is_some()
    {
        ExitCode::Database
    } else {
        ExitCode::Failed
    }
}
