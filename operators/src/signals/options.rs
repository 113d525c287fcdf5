//! When a breach is one, when it is over, and how often it is told.

/// When a breach is one, when it is over, and how often it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalOptions {
    /// Judged records without which a provisional window is never in breach.
    pub min_volume: u64,
    /// Judged records without which a final window says nothing. At least 1.
    pub min_volume_at_end: u64,
    /// Consecutive final windows in compliance that end a breach. At least 1.
    pub recovery_windows: u32,
    /// How long a tick is, in ms of epochs: what happens in a tick is known at its end.
    pub tick_ms: u64,
    /// The least time, in ms of epochs, between two refreshes of a breach whose numbers alone have changed.
    pub refresh_ms: u64,
    /// How long, in ms of epochs, a resolved breach is shown.
    pub breach_retention_ms: u64,
}

impl SignalOptions {
    /// How many resolved breaches of a dataset are shown at most: the latest.
    pub const RESOLVED_BREACHES: usize = 16;
    /// How many signatures of windows gone by are remembered for a dataset: the latest.
    pub const REMEMBERED_SIGNATURES: usize = 64;
}

impl Default for SignalOptions {
    fn default() -> Self {
        Self {
            min_volume: 50,
            min_volume_at_end: 1,
            recovery_windows: 2,
            tick_ms: 20,
            refresh_ms: 5_000,
            breach_retention_ms: 86_400_000,
        }
    }
}
