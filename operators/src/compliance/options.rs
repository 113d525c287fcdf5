//! How windows are cut and how long they are kept.

/// How windows are cut and how long they are kept. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOptions {
    /// How much event time a window holds.
    pub width_ms: u64,
    /// How far event time of a partition may go back without records coming late: the watermark's distance behind the
    /// highest event time seen.
    pub allowed_lateness_ms: u64,
    /// How long, in event time, late records correct a final window.
    pub grace_ms: u64,
    /// How long, in epochs, a partition without progress holds the watermark.
    pub idle_timeout_ms: u64,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self { width_ms: 300_000, allowed_lateness_ms: 10_000, grace_ms: 3_600_000, idle_timeout_ms: 30_000 }
    }
}

/// Window options that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowOptionsError {
    /// A span is outside what it can be.
    #[error("{name} is {given} ms: it must be from {least} to {most} ms")]
    OutOfRange {
        /// Which span.
        name: &'static str,
        /// What it is.
        given: u64,
        /// The least it can be.
        least: u64,
        /// The most it can be.
        most: u64,
    },
    /// Windows would be kept in unreasonable numbers.
    #[error("grace of {grace_ms} ms keeps more than {most} windows of {width_ms} ms of a dataset")]
    TooManyWindows {
        /// The grace.
        grace_ms: u64,
        /// The width.
        width_ms: u64,
        /// How many windows of a dataset may be kept.
        most: u64,
    },
}

impl WindowOptions {
    /// The longest of all spans: 30 days.
    pub const LONGEST_MS: u64 = 30 * 86_400_000;
    /// How many windows of a dataset grace may keep.
    pub const WINDOWS: u64 = 10_000;

    /// The options, if they make sense.
    ///
    /// # Errors
    /// A span that is too long or must not be zero, or a grace that is out of proportion to the width.
    pub fn validate(self) -> Result<Self, WindowOptionsError> {
        let Self { width_ms, allowed_lateness_ms, grace_ms, idle_timeout_ms } = self;
        let spans = [
            ("window width", width_ms, 1),
            ("allowed lateness", allowed_lateness_ms, 0),
            ("grace", grace_ms, 0),
            ("idle time-out", idle_timeout_ms, 1),
        ];
        for (name, given, least) in spans {
            if !(least..=Self::LONGEST_MS).contains(&given) {
                return Err(WindowOptionsError::OutOfRange { name, given, least, most: Self::LONGEST_MS });
            }
        }
        if grace_ms / width_ms > Self::WINDOWS {
            return Err(WindowOptionsError::TooManyWindows { grace_ms, width_ms, most: Self::WINDOWS });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_options_are_refused() {
        let options = WindowOptions::default();
        assert_eq!(options.validate(), Ok(options));
        assert_eq!(
            WindowOptions { width_ms: 0, ..options }.validate().unwrap_err().to_string(),
            "window width is 0 ms: it must be from 1 to 2592000000 ms"
        );
        assert!(WindowOptions { idle_timeout_ms: 0, ..options }.validate().is_err());
        assert!(WindowOptions { allowed_lateness_ms: u64::MAX, ..options }.validate().is_err());
        assert!(matches!(
            WindowOptions { width_ms: 10, ..options }.validate(),
            Err(WindowOptionsError::TooManyWindows { most: 10_000, .. })
        ));
    }
}
