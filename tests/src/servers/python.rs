//! Programs and libraries from PyPI, each set in a virtual environment of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::error::{Result, ServerError};
use super::install::{installed, run, tail};

/// Clients of stores that nobody here wrote, to read back what was stored: the environment `clients`.
pub const CLIENTS: &[&str] = &["boto3==1.44.8", "gremlinpython==3.7.3"];

/// A virtual environment `name` that holds these requirements (`moto[server]==5.1.0`), installed on first use. Its
/// programs are in `bin`: `bin/python`, `bin/moto_server`.
///
/// # Errors
/// `python3 -m venv` or `pip` fails.
pub fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    // A virtual environment holds its own path and cannot be moved, so it is made where it stays; the folder that is
    // made whole by a rename holds the mark alone.
    let home = super::install::servers_dir().join(format!("{name}.venv"));
    installed(name, &requirements.join("\n"), |_| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        run(Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(requirements))
    })?;
    Ok(home)
}

/// Runs a program with [`CLIENTS`] to its end; returns the JSON that it prints.
///
/// # Errors
/// They cannot be installed, or the program fails or prints something else.
pub fn ask_clients(program: &str, arguments: &[&str]) -> Result<Value> {
    let python = environment("clients", CLIENTS)?.join("bin/python");
    let output = Command::new(&python).arg("-c").arg(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|source| ServerError::Program { program: python.display().to_string(), source })?;
    let command = || format!("a Python program with arguments {arguments:?}");
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        return Err(ServerError::Command { command: command(), status: output.status, output: tail(&printed) });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| ServerError::Shared(format!("{} printed no JSON: {error}", command())))
}
