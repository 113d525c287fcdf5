//! Times of one kind, as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Times of one kind, in nanoseconds with three significant digits.
#[derive(Debug, Clone)]
pub struct Times {
    nanos: Histogram<u64>,
    total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        // From 1 ns to 10 minutes: bounds that the constructor accepts.
        let nanos = Histogram::new_with_bounds(1, 600_000_000_000, 3);
        let nanos = nanos.unwrap_or_else(|_| unreachable!("the bounds are constant and valid"));
        Self { nanos, total: Duration::ZERO }
    }
}

impl Times {
    /// Adds one.
    pub fn record(&mut self, time: Duration) {
        self.nanos.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.total += time;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// The value that this share of all times, between 0 and 1, does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.nanos.value_at_quantile(share))
    }

    /// The longest.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.nanos.max())
    }
}
