//! The program `faultline` as users run it, built from this workspace.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::servers::error::{Result, ServerError};
use crate::servers::install::{run, workspace_dir};

/// The program: the one that `FAULTLINE_PROGRAM` names, else built, in the profile of the tests, by the first that asks in
/// a test process.
///
/// # Errors
/// It does not build.
pub fn program() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FAULTLINE_PROGRAM") {
        return Ok(given.into());
    }
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| error.to_string())).clone().map_err(ServerError::Shared)
}

fn build() -> Result<PathBuf> {
    let unknown = |source| ServerError::Program { program: "the test".to_owned(), source };
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().map_err(unknown)?;
    let dir = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from).unwrap_or_default();
    let mut cargo = Command::new(env!("CARGO"));
    // For the whole workspace and beside a test, as tests are built: features of other packages and of dependencies of
    // tests count then, and nothing has to be built a second time without them.
    cargo.args(["build", "--quiet", "--locked", "--bin", "faultline", "--test", "server_process"]);
    cargo.current_dir(workspace_dir());
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = dir.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    run(&mut cargo)?;
    Ok(dir.join("faultline"))
}

/// Runs the program to its end, with this on its standard input.
///
/// # Errors
/// It does not build or start.
pub fn faultline<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Result<Output> {
    use std::io::Write as _;
    let failed = |source| ServerError::Program { program: "faultline".to_owned(), source };
    let mut command = Command::new(program()?);
    command.args(args).current_dir(workspace_dir()).env_remove("FAULTLINE_SERVER").env_remove("FAULTLINE_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    std::thread::scope(|threads| {
        // A program that ends without reading its input is no error here.
        threads.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output().map_err(failed)
    })
}
