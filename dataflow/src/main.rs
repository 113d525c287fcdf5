//! The program `faultline`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    faultline::cli::main(faultline::cli::Cli::parse())
}
