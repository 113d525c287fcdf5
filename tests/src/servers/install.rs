//! Installs a server once per machine, whatever number of test processes ask for it at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Result, ServerError, file};

/// Name of the file that says from what a folder was built. It comes with the rename that makes the folder
/// visible, so a folder that has it is complete.
const RECIPE: &str = "recipe";

/// How many bytes of a command's output or a server's log an error shows.
const SHOWN_BYTES: usize = 4_000;

/// Where servers are installed and where they run: `.servers` in the workspace, or `FAULTLINE_SERVERS`
/// for several checkouts that share one.
pub fn servers_dir() -> PathBuf {
    std::env::var_os("FAULTLINE_SERVERS").map_or_else(|| workspace_dir().join(".servers"), PathBuf::from)
}

/// The workspace's root.
pub fn workspace_dir() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The folder `name` under [`servers_dir`], built from `recipe`. If it is not there, or was built from another
/// recipe, `build` fills a fresh folder. Processes that ask meanwhile wait on a lock file.
pub fn installed(name: &str, recipe: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let (servers, ready) = (servers_dir(), servers_dir().join(name));
    if is_built_from(&ready, recipe) {
        return Ok(ready);
    }
    fs::create_dir_all(&servers).map_err(file("create", &servers))?;
    let lock_path = servers.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(file("create", &lock_path))?;
    lock.lock().map_err(file("lock", &lock_path))?;
    if is_built_from(&ready, recipe) {
        return Ok(ready);
    }
    let partial = servers.join(format!("{name}.partial"));
    for stale in [&partial, &ready] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(file("remove", stale))?;
        }
    }
    fs::create_dir_all(&partial).map_err(file("create", &partial))?;
    build(&partial)?;
    fs::write(partial.join(RECIPE), recipe).map_err(file("write", partial.join(RECIPE)))?;
    fs::rename(&partial, &ready).map_err(file("rename", &partial))?;
    Ok(ready)
}

fn is_built_from(dir: &Path, recipe: &str) -> bool {
    fs::read(dir.join(RECIPE)).is_ok_and(|found| found == recipe.as_bytes())
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|source| ServerError::Program {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(ServerError::Command { command: format!("{command:?}"), status: output.status, output: tail(&printed) })
}

/// The last bytes of a text, from the start of a line on.
pub fn tail(text: &[u8]) -> String {
    let from = text.len().saturating_sub(SHOWN_BYTES);
    let text = String::from_utf8_lossy(&text[from..]);
    match text.split_once('\n') {
        Some((_, whole_lines)) if from > 0 => whole_lines.to_owned(),
        _ => text.into_owned(),
    }
}
