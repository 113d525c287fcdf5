//! What the engine holds depends on the windows that are alive, not on history.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::fs;
use std::sync::{Arc, Mutex};

use faultline::catalog::CatalogInForce;
use faultline::config::Config;
use faultline::engine::{Engine, EngineParts, Feed};
use faultline::metrics::Metrics;
use faultline::outputs::evidence::NoEvidence;
use faultline::sources::replay::{Capture, ReplayIndex, ReplayOptions};
use faultline::topology::{CatalogRows, Publish};
use faultline::view::{EpochChanges, View};
use faultline_contracts::catalog::Catalog;
use faultline_tests::envelope::write_envelopes;
use faultline_tests::scenario::disorder::{self, Disorder};
use faultline_tests::scenario::load::Load;
use faultline_tests::scenario::orders;

/// The most that was ever held at once.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    /// Windows, as the workers count them.
    live: usize,
    /// Windows in the view.
    shown: usize,
    /// Windows that came, over all time.
    seen: usize,
    /// Explanations, breaches and incidents in the view.
    told: usize,
}

/// Keeps a view as a service does, and looks at it after each epoch.
struct Watching {
    view: View,
    peak: Arc<Mutex<Peak>>,
    seen: std::collections::BTreeSet<faultline_contracts::window::WindowKey>,
}

impl Publish for Watching {
    fn publish(&mut self, changes: EpochChanges) {
        self.view.apply(&changes);
        self.seen.extend(self.view.windows.keys().cloned());
        let mut peak = self.peak.lock().unwrap();
        peak.live = peak.live.max(self.view.live_windows.values().sum());
        peak.shown = peak.shown.max(self.view.windows.len());
        peak.seen = self.seen.len();
        peak.told = peak.told.max(self.view.explanations.len() + self.view.breaches.len() + self.view.incidents.len());
    }

    fn close(&mut self, _epoch: u64) {}
}

fn peak_of(config: Config, catalog: Catalog, capture: &std::path::Path) -> Peak {
    let options = ReplayOptions { tick_ms: config.tick_ms, future_ms: config.windows.future_ms as i64 };
    let captures = vec![Capture::open(capture).unwrap()];
    let index = ReplayIndex::build(captures, &config.topics, options, |_| {}).unwrap();
    let peak = Arc::<Mutex<Peak>>::default();
    let watching = Watching { view: View::default(), peak: Arc::clone(&peak), seen: std::collections::BTreeSet::new() };
    let engine = Engine::start(EngineParts {
        snapshots: None,
        cluster: None,
        rows: CatalogRows::of(&catalog),
        config: Arc::new(config),
        catalog: CatalogInForce::fixed(Arc::new(catalog)),
        feed: Feed::Replay { index: Arc::new(index), batch: 4_096, hold: false },
        schemas: None,
        metrics: Metrics::new(),
        publish: watching,
        evidence: |_| Ok(NoEvidence),
    })
    .unwrap();
    engine.join().unwrap();
    *peak.lock().unwrap()
}

/// Three hours of one dataset: 36 windows, of which at most those within lateness and grace are held.
#[test]
fn three_hours_of_records_hold_the_windows_of_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let load = Load { records: 3_000, rate: 2, failing_per_mille: 300, ..Load::default() };
    let (mut envelopes, _) = load.generate().unwrap();
    let start = load.start.0;
    // Spread over three hours in steps of eight seconds.
    envelopes.iter_mut().for_each(|envelope| envelope.ts = start + (envelope.ts - start) * 7 / 8_000 * 8_000);
    let capture = dir.path().join("capture.jsonl");
    let mut lines = Vec::new();
    write_envelopes(&mut lines, &envelopes).unwrap();
    fs::write(&capture, lines).unwrap();

    let mut config = Config { workers: 2, ..Config::default() };
    config.windows.grace_ms = 60_000;
    let peak = peak_of(config, Catalog::load(&orders::folder()).catalog, &capture);
    assert!(peak.seen >= 34, "{peak:?}");
    assert!(peak.live <= 3, "{peak:?}");
    assert!(peak.shown <= 3, "{peak:?}");
    assert!(peak.told <= 3, "{peak:?}");
}

/// Records without order, far too late and from the future make no window stay. Those that are held back to what may be
/// ahead of time open at most one window more of each dataset.
#[test]
fn disorder_holds_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("capture.jsonl");
    let disorder = Disorder { clusters: 300, records: 8, ..Disorder::default() };
    fs::write(&capture, disorder.lines().unwrap().join("\n")).unwrap();
    let catalog = dir.path().join("catalog");
    disorder::write_catalog(&catalog).unwrap();

    let mut config = Config { workers: 2, ..Config::default() };
    config.windows.grace_ms = 60_000;
    let peak = peak_of(config, Catalog::load(&catalog).catalog, &capture);
    assert!(peak.seen >= 3 * 12, "{peak:?}");
    assert!(peak.live <= 3 * 4, "{peak:?}");
    assert!(peak.shown <= 3 * 4, "{peak:?}");
}
