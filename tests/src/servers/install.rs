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

/// Where servers are installed and where they run: `.servers` in the workspace, or the absolute path in
/// `FAULTLINE_SERVERS`, for several checkouts that share one.
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
    installed_in(&servers_dir(), name, recipe, build)
}

fn installed_in(servers: &Path, name: &str, recipe: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let ready = servers.join(name);
    if is_built_from(&ready, recipe) {
        return Ok(ready);
    }
    fs::create_dir_all(servers).map_err(file("create", servers))?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn is_built_once_however_many_ask() {
        let servers = tempfile::tempdir().unwrap();
        let built = AtomicU32::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let dir = installed_in(servers.path(), "server", "v1", |dir| {
                        built.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(50));
                        fs::write(dir.join("jar"), "v1").map_err(file("write", dir))
                    });
                    assert_eq!(fs::read_to_string(dir.unwrap().join("jar")).unwrap(), "v1");
                });
            }
        });
        assert_eq!(built.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn another_recipe_builds_anew_and_a_failed_build_is_not_taken_for_done() {
        let servers = tempfile::tempdir().unwrap();
        let write = |text: &'static str| move |dir: &Path| fs::write(dir.join("jar"), text).map_err(file("write", dir));
        let first = installed_in(servers.path(), "server", "v1", write("v1")).unwrap();
        let fails = |_: &Path| run(Command::new("sh").args(["-c", "echo no such version; exit 3"]));
        let error = installed_in(servers.path(), "server", "v2", fails).unwrap_err().to_string();
        assert!(error.contains("no such version"), "{error}");
        let second = installed_in(servers.path(), "server", "v2", write("v2")).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(second.join("jar")).unwrap(), "v2");
    }

    #[test]
    fn a_tail_starts_with_a_whole_line() {
        assert_eq!(tail(b"short"), "short");
        let long: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
        let tail = tail(long.as_bytes());
        assert!(tail.len() <= SHOWN_BYTES && tail.starts_with("line ") && tail.ends_with("line 1999\n"), "{tail}");
    }
}
