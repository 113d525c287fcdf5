//! The command line: one binary, one subcommand for each thing that people do.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{causes::WithCauses, client};

mod catalog;
mod check;
mod configuration;
mod demo;
mod replay;
mod run;
mod snapshot;
mod supervise;
mod validate;

/// Says which data breaks its contract, why, and what it reaches.
#[derive(Debug, Parser)]
#[command(name = "faultline", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log: error, warn, info, debug, or a filter such as `faultline=debug`.
    #[arg(long, global = true, env = "FAULTLINE_LOG", default_value = "warn")]
    log: String,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 found problems, 2 usage or configuration, 3 a dependency is unreachable, 70 internal, \
     75 another process of the cluster is gone.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay the bundled orders incident through the whole engine and tell what it found.
    Demo(demo::Args),
    /// Run the service: follow Kafka topics or files, and serve answers.
    Run(run::Args),
    /// Run captured files through the engine, by event time, to their end.
    Replay(replay::Args),
    /// Check a directory of contracts, schemas and catalog.
    Check(check::Args),
    /// Print every setting of the configuration with its default.
    Configuration(configuration::Args),
    /// Run the service, and start it again when it ends by a failure.
    Supervise(supervise::Args),
    /// Look at snapshots: what a restart would resume from.
    Snapshot(snapshot::Args),
    /// Judge records one by one: evidence on stdout.
    Validate(validate::Args),
    #[command(flatten)]
    Client(client::Command),
}

/// How a command ended; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Fine = 0,
    /// The command worked, and found problems.
    Problems = 1,
    /// It was asked for something that cannot be.
    Usage = 2,
    /// Something it needs is not there.
    Unreachable = 3,
    /// A defect.
    Internal = 70,
    /// Another process of the cluster is gone: all are to be started again.
    PeerLost = 75,
}

/// Why a command failed: what to tell, and how to end.
#[derive(Debug)]
pub struct Failure {
    /// How to end.
    pub exit: Exit,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure that an error explains, with its causes.
    pub fn new(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, message: WithCauses(error).to_string() }
    }

    /// A mistake of the caller's.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }
}

/// Runs the program.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let filter = match tracing_subscriber::EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("error: --log {}: {error}", cli.log);
            return ExitCode::from(Exit::Usage as u8);
        }
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let ended = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Client(command) => ask(command),
        Command::Replay(args) => replay::run(args),
        Command::Check(args) => check::run(&args),
        Command::Configuration(args) => Ok(configuration::run(&args)),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Supervise(args) => supervise::run(&args),
        Command::Validate(args) => validate::run(&args),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(Failure { exit, message }) => {
            eprintln!("error: {message}");
            ExitCode::from(exit as u8)
        }
    }
}

fn ask(command: client::Command) -> Result<Exit, Failure> {
    client::run(command, &mut std::io::stdout().lock()).map(|()| Exit::Fine).map_err(|error| {
        let exit = match error.exit_code() {
            1 => Exit::Problems,
            2 => Exit::Usage,
            3 => Exit::Unreachable,
            _ => Exit::Internal,
        };
        Failure::new(exit, &error)
    })
}
