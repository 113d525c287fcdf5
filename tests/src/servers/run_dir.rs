//! Where one server keeps its data and its log while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{Result, file};
use super::install::servers_dir;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder `.servers/run/<server>-<pid>-<n>`. It goes with the server, except when a test fails: then the log
/// stays to be read. A server that lives in a `static` is never dropped, so folders of ended processes are
/// cleared away whenever a new one is made.
#[derive(Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes a fresh folder.
    pub fn new(server: &str) -> Result<Self> {
        let run = servers_dir().join("run");
        fs::create_dir_all(&run).map_err(file("create", &run))?;
        remove_orphans(&run)?;
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = run.join(format!("{server}-{}-{n}", std::process::id()));
        fs::create_dir(&dir).map_err(file("create", &dir))?;
        Ok(Self(dir))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn remove_orphans(run: &Path) -> Result<()> {
    for entry in fs::read_dir(run).map_err(file("read", run))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.rsplit('-').nth(1).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another test process may be clearing the same folder.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
