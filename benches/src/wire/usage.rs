//! What a process and the broker beside it use, sampled from `/proc`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    error::{Result, io},
    marks::now_us,
};
use crate::machine::kibibytes;

/// How often it is looked at.
pub const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_us: i64,
    process: f64,
    broker: f64,
}

/// What was used while it was watched.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    samples: Vec<Sample>,
    /// The most memory that the process has had resident, in bytes.
    pub peak_resident: u64,
}

impl Usage {
    /// Processor seconds of the process between two times (microseconds since the Unix epoch).
    #[must_use]
    pub fn process_seconds(&self, from_us: i64, to_us: i64) -> f64 {
        self.between(from_us, to_us, |sample| sample.process)
    }

    /// The same of the broker.
    #[must_use]
    pub fn broker_seconds(&self, from_us: i64, to_us: i64) -> f64 {
        self.between(from_us, to_us, |sample| sample.broker)
    }

    fn between(&self, from_us: i64, to_us: i64, of: impl Fn(&Sample) -> f64) -> f64 {
        let at = |time: i64| {
            let after = self.samples.partition_point(|sample| sample.at_us < time);
            match (after.checked_sub(1).and_then(|before| self.samples.get(before)), self.samples.get(after)) {
                (Some(before), Some(after)) => {
                    let share = (time - before.at_us) as f64 / (after.at_us - before.at_us).max(1) as f64;
                    of(before) + share * (of(after) - of(before))
                }
                (Some(only), None) | (None, Some(only)) => of(only),
                (None, None) => 0.0,
            }
        };
        at(to_us) - at(from_us)
    }
}

/// Samples until it is stopped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Usage>,
}

impl Watch {
    /// Watches a process and the broker.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(process: u32, broker: u32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("usage".to_owned()).spawn(move || {
            let mut usage = Usage::default();
            while !stopped.load(Relaxed) {
                // A process that has ended says nothing more, and what it said last stands.
                if let (Some(process_seconds), Some(broker)) = (processor_seconds(process), processor_seconds(broker)) {
                    usage.samples.push(Sample { at_us: now_us(), process: process_seconds, broker });
                    usage.peak_resident = usage.peak_resident.max(peak_resident(process).unwrap_or_default());
                }
                std::thread::sleep(INTERVAL);
            }
            usage
        });
        Ok(Self { stop, thread: thread.map_err(io("start a thread"))? })
    }

    /// Stops, and says what was used.
    #[must_use]
    pub fn stop(self) -> Usage {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Processor time that a process has used so far, in seconds; `None` where it is gone.
#[must_use]
pub fn processor_seconds(process: u32) -> Option<f64> {
    faultline_tests::service::processor_seconds(process).ok()
}

/// Processor time that processes use while something is done, in seconds, and what came of it.
///
/// # Errors
/// It fails.
pub fn processor_seconds_during<const N: usize, T, E>(
    processes: [u32; N],
    done: impl FnOnce() -> Result<T, E>,
) -> Result<([f64; N], T), E> {
    let used = || processes.map(|process| processor_seconds(process).unwrap_or_default());
    let (before, outcome) = (used(), done()?);
    let after = used();
    Ok((std::array::from_fn(|process| after[process] - before[process]), outcome))
}

/// The most memory that a process has had resident, in bytes.
#[must_use]
pub fn peak_resident(process: u32) -> Option<u64> {
    Some(kibibytes(&format!("/proc/{process}/status"), "VmHWM")? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_between_two_times_is_interpolated() {
        let sample = |at_us, process| Sample { at_us, process, broker: 2.0 * process };
        let usage = Usage { samples: vec![sample(0, 1.0), sample(100, 2.0), sample(200, 4.0)], peak_resident: 0 };
        assert_eq!(usage.process_seconds(50, 150), 1.5);
        assert_eq!(usage.broker_seconds(100, 1_000), 4.0);
        assert_eq!(Usage::default().process_seconds(0, 1), 0.0);
    }

    #[test]
    fn this_process_uses_something() {
        let own = std::process::id();
        assert!(processor_seconds(own).is_some() && peak_resident(own).unwrap() > 1 << 20);
        assert_eq!(processor_seconds(0), None);
    }
}
