//! Moments at a fixed rate. What comes late is late, whoever is to blame: times run from when something was due.

use std::time::{Duration, Instant};

/// So long before a moment sleeping ends and waiting begins, because sleepers are woken late.
const AWAKE: Duration = Duration::from_micros(200);

/// Moments at a fixed rate.
#[derive(Debug, Clone, Copy)]
pub struct Cadence {
    start: Instant,
    per_second: u64,
    number: u64,
}

impl Cadence {
    /// So many a second from now on.
    #[must_use]
    pub fn new(per_second: u64) -> Self {
        Self { start: Instant::now(), per_second: per_second.max(1), number: 0 }
    }

    /// The next moment, which may be over.
    fn next_due(&mut self) -> Instant {
        let nanos = u128::from(self.number) * 1_000_000_000 / u128::from(self.per_second);
        self.number += 1;
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Waits for the next moment, exactly, and says when that is.
    pub fn wait(&mut self) -> Instant {
        let due = self.next_due();
        std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        due
    }

    /// Waits for the next moment, as exactly as the system wakes sleepers, and says when that is.
    pub fn sleep(&mut self) -> Instant {
        let due = self.next_due();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_depend_on_when_the_last_was_waited_for() {
        let mut cadence = Cadence::new(400);
        let start = cadence.start;
        std::thread::sleep(Duration::from_millis(10));
        let due: Vec<_> = (0..3).map(|_| cadence.wait() - start).collect();
        assert_eq!(due, [0, 2_500, 5_000].map(Duration::from_micros));
        assert!(
            cadence.sleep() - start == Duration::from_micros(7_500) && start.elapsed() >= Duration::from_millis(10)
        );
    }
}
