//! What a run is given, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    incident::Breach,
    lineage::{ColumnLineage, FlowEdge, Run},
    policy::DatasetPolicy,
    signal::Signal,
    time::UnixMillis,
    trace::ServiceSpan,
    window::ComplianceWindow,
};
use faultline_operators::{
    compliance::{LateRecords, WindowOptions},
    deployments::DeploymentInForce,
    signals::SignalOptions,
    state::{Section, StateChunk},
};

use crate::source::Sent;

pub fn window_options() -> WindowOptions {
    WindowOptions { width_ms: 100, allowed_lateness_ms: 20, grace_ms: 300, idle_timeout_ms: 50 }
}

/// What some tests need otherwise than others.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub signals: SignalOptions,
    pub max_jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        let often = SignalOptions { tick_ms: 10, refresh_ms: 40, breach_retention_ms: 250, ..SignalOptions::default() };
        Self { signals: SignalOptions { min_volume: 6, recovery_windows: 2, ..often }, max_jobs: 64 }
    }
}

/// Anything that is put out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    Window(ComplianceWindow),
    Signal(Signal),
    Breach(Breach),
    Deployment(DeploymentInForce),
    Span(ServiceSpan),
    Run(Run),
    Edge(FlowEdge),
    Column(ColumnLineage),
    Late(LateRecords),
    /// The sum over all workers is what counts.
    Dropped(String),
}

impl Output {
    /// Whether it happens at its epoch, and nothing is held.
    pub fn happens(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Dropped(_))
    }
}

pub type Changes = BTreeMap<Output, isize>;

/// State as it was cut, and the epoch at which it comes back.
#[derive(Debug, Clone)]
pub struct Restored {
    pub epoch: u64,
    pub chunks: Vec<StateChunk>,
    pub policies: Vec<DatasetPolicy>,
}

/// One run: what it begins with, what it gets, and where it is cut.
#[derive(Debug, Clone, Default)]
pub struct Leg {
    pub workers: usize,
    pub restored: Option<Restored>,
    pub sent: BTreeMap<u64, Sent>,
    pub cuts: BTreeSet<u64>,
    pub options: Options,
}

impl Leg {
    /// The same, beginning with this state.
    pub fn with(self, restored: Restored) -> Self {
        Self { restored: Some(restored), ..self }
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Ran {
    pub workers: usize,
    pub changes: BTreeMap<u64, Changes>,
    /// By worker: what each was told last at an epoch.
    pub watermarks: BTreeMap<(usize, u64), UnixMillis>,
    pub cuts: BTreeMap<u64, Vec<StateChunk>>,
    pub unreadable: BTreeMap<Section, u64>,
}

impl Ran {
    /// What is held after an epoch.
    pub fn held(&self, epoch: u64) -> Changes {
        let mut held = Changes::new();
        for (output, diff) in self.changes.range(..=epoch).flat_map(|(_, changes)| changes) {
            if !output.happens() {
                *held.entry(output.clone()).or_default() += diff;
            }
        }
        held.retain(|_, count| *count != 0);
        assert!(held.values().all(|&count| count == 1), "each once: {held:#?}");
        held
    }

    pub fn at(&self, epoch: u64) -> Changes {
        self.changes.get(&epoch).cloned().unwrap_or_default()
    }
}
