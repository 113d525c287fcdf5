//! A server's process. It ends with the test process, whatever ends that: `setpriv` asks the kernel to kill the
//! server when its parent dies.
//!
//! The kernel takes the *thread* that forked for the parent, and a test's thread ends with its test. So each
//! server is started by a thread of its own, which lives as long as the server is wanted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::{Result, ServerError, file};
use super::install::{run, tail};

/// How long to wait between two readiness requests.
const RETRY: Duration = Duration::from_millis(100);

/// Stops a process in the middle of whatever it does (SIGSTOP): its connections stay, and nobody answers.
///
/// # Errors
/// There is no such process.
pub fn freeze(pid: u32) -> Result<()> {
    run(Command::new("kill").args(["-STOP", &pid.to_string()]))
}

/// Lets a process go on (SIGCONT) after [`freeze`].
///
/// # Errors
/// There is no such process.
pub fn thaw(pid: u32) -> Result<()> {
    run(Command::new("kill").args(["-CONT", &pid.to_string()]))
}

/// A running server. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    log: PathBuf,
    child: Mutex<Child>,
    /// Dropped to let the parent thread end.
    wanted: Option<mpsc::Sender<()>>,
    parent: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &'static str, command: &Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log).map_err(file("open", log))?;
        let errors = output.try_clone().map_err(file("open", log))?;
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(key, value),
                None => bound.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            bound.current_dir(dir);
        }
        bound.stdin(Stdio::null()).stdout(output).stderr(errors);

        let (started, child) = mpsc::sync_channel(1);
        let (wanted, until_unwanted) = mpsc::channel::<()>();
        let parent = std::thread::Builder::new()
            .name(format!("parent of {name}"))
            .spawn(move || {
                if started.send(bound.spawn()).is_ok() {
                    // Nothing is ever sent: it returns when the sender is dropped.
                    let _ = until_unwanted.recv();
                }
            })
            .map_err(|source| ServerError::Program { program: name.to_owned(), source })?;
        let child = child
            .recv()
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|source| ServerError::Program { program: "setpriv".to_owned(), source })?;
        Ok(Self { name, log: log.to_path_buf(), child: Mutex::new(child), wanted: Some(wanted), parent: Some(parent) })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Asks `ready` again and again until it agrees; fails as soon as the process ends, and at the latest after `limit`.
    pub fn wait_until_ready(&self, limit: Duration, mut ready: impl FnMut() -> Result<(), String>) -> Result<()> {
        let begin = Instant::now();
        loop {
            let last = match ready() {
                Ok(()) => return Ok(()),
                Err(last) => last,
            };
            if let Some(status) = self.ended() {
                return Err(ServerError::Exited {
                    server: self.name,
                    status,
                    log: self.log.clone(),
                    tail: self.log_tail(),
                });
            }
            if begin.elapsed() >= limit {
                return Err(ServerError::NotReady {
                    server: self.name,
                    waited: limit,
                    last,
                    log: self.log.clone(),
                    tail: self.log_tail(),
                });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        let pid = self.pid().to_string();
        run(Command::new("kill").args(["-TERM", &pid]))?;
        self.wait_for_end(limit, "SIGTERM was sent and it goes on")
    }

    /// Waits until the process ends by itself; `otherwise` is what to say where it does not.
    pub fn wait_for_end(&self, limit: Duration, otherwise: &str) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if begin.elapsed() >= limit {
                return Err(ServerError::NotReady {
                    server: self.name,
                    waited: limit,
                    last: otherwise.to_owned(),
                    log: self.log.clone(),
                    tail: self.log_tail(),
                });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// The end of what it has printed.
    pub fn log_tail(&self) -> String {
        fs::read(&self.log).map_or_else(|unreadable| unreadable.to_string(), |text| tail(&text))
    }

    /// How it has ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only where the process has ended already.
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        self.wanted = None;
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
    }
}
