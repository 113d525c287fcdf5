//! `faultline supervise`: runs the service, and starts it again when it ends by a failure.
//!
//! Each process of a cluster has a supervisor of its own: when one process is gone, the others end by themselves, and their
//! supervisors start them again.

use std::{
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Exit, Failure};
use crate::service::stop_on_signal;

/// How often it is looked whether the process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it may take to stop when told to.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Runs `faultline run` and starts it again when it ends by a failure. Of a cluster, each process has a supervisor.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The longest pause before a start, in milliseconds. The first is short, and doubles with each start that did not
    /// last a minute.
    #[arg(long, default_value_t = 10_000)]
    longest_pause_ms: u64,
    /// The arguments of `faultline run`, after `--`.
    #[arg(last = true, required = true)]
    run: Vec<String>,
}

/// The pauses between starts.
#[derive(Debug)]
struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(100);
    /// A start that lasted so long was a good one.
    const GOOD: Duration = Duration::from_secs(60);

    fn new(longest: Duration) -> Self {
        Self { next: Self::FIRST.min(longest), longest }
    }

    /// The pause after a start that lasted so long.
    fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= Self::GOOD {
            self.next = Self::FIRST.min(self.longest);
        }
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let internal = |error: std::io::Error| Failure::new(Exit::Internal, &error);
    let program = std::env::current_exe().map_err(internal)?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    stop_on_signal(move || told.store(true, Ordering::Release)).map_err(internal)?;
    let mut pauses = Pauses::new(Duration::from_millis(args.longest_pause_ms));
    loop {
        let begin = Instant::now();
        let mut process = Command::new(&program).arg("run").args(&args.run).spawn().map_err(internal)?;
        let ended = watch(&mut process, &stop).map_err(internal)?;
        if ended.success() {
            return Ok(Exit::Fine);
        }
        if stop.load(Ordering::Acquire) {
            return Err(Failure { exit: Exit::Problems, message: format!("stopped, but with {ended}") });
        }
        // What is wrong with the configuration will be wrong the next time.
        if ended.code() == Some(Exit::Usage as i32) {
            let message = "it cannot run as it is configured, and is not started again".to_owned();
            return Err(Failure { exit: Exit::Usage, message });
        }
        let pause = pauses.after(begin.elapsed());
        tracing::error!(%ended, lasted = ?begin.elapsed(), ?pause, "ended; it is started again");
        let again = Instant::now() + pause;
        while Instant::now() < again {
            if stop.load(Ordering::Acquire) {
                return Ok(Exit::Fine);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Waits until the process has ended. It is told to stop when it is time, and killed if it does not.
fn watch(process: &mut Child, stop: &AtomicBool) -> std::io::Result<ExitStatus> {
    let mut deadline = None;
    loop {
        if let Some(ended) = process.try_wait()? {
            return Ok(ended);
        }
        if stop.load(Ordering::Acquire) {
            match deadline {
                None => {
                    deadline = Some(Instant::now() + STOP_WITHIN);
                    // A process that has ended, and was not waited for, still has its number.
                    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
                        kill_process(pid, Signal::TERM)?;
                    }
                }
                Some(deadline) if Instant::now() > deadline => process.kill()?,
                Some(_) => {}
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_starts_do_not_last() {
        let mut pauses = Pauses::new(Duration::from_millis(500));
        let short = Duration::from_secs(1);
        let millis: Vec<_> = (0..4).map(|_| pauses.after(short).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 500]);
        assert_eq!(pauses.after(Duration::from_secs(61)).as_millis(), 100, "that one was good");
        assert_eq!(pauses.after(short).as_millis(), 200);
        assert_eq!(Pauses::new(Duration::ZERO).after(short), Duration::ZERO);
    }
}
