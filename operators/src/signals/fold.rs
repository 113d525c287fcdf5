//! From windows to a dataset's signal and breaches: a state machine over windows in their order.
//!
//! ```text
//!                     breached                    kept                     kept, for the n-th time
//!  OK ─────────────────────────▶ CRITICAL ───────────────────▶ WARNING ────────────────────────────▶ OK
//!                                   ▲                             │                             (resolved)
//!                                   └──────── breached ───────────┘
//! ```
//!
//! Windows that say nothing (no judged records) or nothing yet (provisional, not beyond doubt) move nothing.
//!
//! The machine is run over the live windows each time, from the state that retired windows have left ([`Frozen`]). So a
//! correction of a live window corrects all that followed from it, and retiring a window changes nothing: it takes the
//! same step, once and for all.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    ids::{EntityId, IncidentId},
    incident::Breach,
    policy::DatasetPolicy,
    reason::Signature,
    signal::{HealthState, Signal, SignalKind},
    time::UnixMillis,
    window::{Verdicts, WindowStatus, WindowTally},
};

use serde::{Deserialize, Serialize};

use super::{SignalOptions, verdict::Verdict};

/// The aspect that this module judges.
const KIND: SignalKind = SignalKind::ContractCompliance;

/// A window with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedWindow {
    /// The first millisecond after it.
    pub end: UnixMillis,
    /// Provisional or final.
    pub status: WindowStatus,
    /// Its records.
    pub tally: Arc<WindowTally>,
    /// What it says.
    pub verdict: Verdict,
    /// The epoch since which it says so.
    pub since: u64,
}

/// What a dataset's windows amount to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The signal, where there is a window to judge by.
    pub signal: Option<Signal>,
    /// Breaches: those resolved, oldest first, and the ongoing one.
    pub breaches: Vec<Breach>,
}

/// A breach while windows still decide on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ongoing {
    first_window: UnixMillis,
    breach_start: UnixMillis,
    detected_at: UnixMillis,
    /// The records of its windows in breach.
    tally: WindowTally,
    /// Failures before it.
    before: Arc<BTreeMap<Signature, Past>>,
    recovering_since: Option<UnixMillis>,
    /// Windows in compliance since the last one in breach.
    kept: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Resolved {
    breach: Arc<Breach>,
    /// The epoch at which it was known to be over.
    since: u64,
}

/// Failures with one signature in windows gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    failures: u64,
    last_window: UnixMillis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LatestWindow {
    start: UnixMillis,
    end: UnixMillis,
    verdicts: Verdicts,
}

/// What windows have left behind: the state of the machine. Of bounded size, and cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frozen {
    ongoing: Option<Arc<Ongoing>>,
    resolved: Vec<Resolved>,
    history: Arc<BTreeMap<Signature, Past>>,
    latest: Option<LatestWindow>,
}

impl Frozen {
    /// Takes the step of one window. Windows come in their order.
    pub fn step(&mut self, start: UnixMillis, window: &JudgedWindow, dataset: &EntityId, options: &SignalOptions) {
        match window.verdict {
            Verdict::Unjudged | Verdict::Open => {}
            Verdict::Breached => self.breached(start, window, options),
            Verdict::Kept => self.kept(window, dataset, options),
        }
        if window.status == WindowStatus::Final || window.verdict == Verdict::Breached {
            self.latest = Some(LatestWindow { start, end: window.end, verdicts: window.tally.verdicts });
        }
        self.remember(start, &window.tally);
    }

    fn breached(&mut self, start: UnixMillis, window: &JudgedWindow, options: &SignalOptions) {
        let known_at = window.since.saturating_add(options.tick_ms);
        let known_at = UnixMillis(i64::try_from(known_at).unwrap_or(i64::MAX));
        let before = &self.history;
        let ongoing = self.ongoing.get_or_insert_with(|| {
            Arc::new(Ongoing {
                first_window: start,
                breach_start: window.end,
                detected_at: known_at,
                tally: WindowTally::default(),
                before: Arc::clone(before),
                recovering_since: None,
                kept: 0,
            })
        });
        let ongoing = Arc::make_mut(ongoing);
        ongoing.detected_at = ongoing.detected_at.min(known_at);
        ongoing.tally.merge(&window.tally);
        ongoing.recovering_since = None;
        ongoing.kept = 0;
    }

    fn kept(&mut self, window: &JudgedWindow, dataset: &EntityId, options: &SignalOptions) {
        let Some(mut shared) = self.ongoing.take() else { return };
        let ongoing = Arc::make_mut(&mut shared);
        ongoing.kept += 1;
        ongoing.recovering_since.get_or_insert(window.end);
        if ongoing.kept < options.recovery_windows.max(1) {
            self.ongoing = Some(shared);
            return;
        }
        if let Some(breach) = ongoing.breach(dataset, Some(window.end)) {
            self.resolved.push(Resolved { breach: Arc::new(breach), since: window.since });
            if self.resolved.len() > SignalOptions::RESOLVED_BREACHES {
                self.resolved.remove(0);
            }
        }
    }

    /// Adds a window's failures to the history, and forgets the signatures that have not been seen for longest.
    fn remember(&mut self, start: UnixMillis, tally: &WindowTally) {
        if tally.by_signature.is_empty() {
            return;
        }
        let history = Arc::make_mut(&mut self.history);
        for (signature, digest) in tally.by_signature.iter() {
            let past = history.entry(signature.clone()).or_insert(Past { failures: 0, last_window: start });
            past.failures += digest.count;
            past.last_window = past.last_window.max(start);
        }
        while history.len() > SignalOptions::REMEMBERED_SIGNATURES {
            let oldest = history.iter().min_by_key(|(signature, past)| (past.last_window, *signature));
            let Some(oldest) = oldest.map(|(signature, _)| signature.clone()) else { break };
            history.remove(&oldest);
        }
    }

    /// Forgets resolved breaches that are no longer shown at `epoch`.
    pub(super) fn expire(&mut self, epoch: u64, options: &SignalOptions) {
        self.resolved.retain(|resolved| resolved.shown_until(options) > epoch);
    }

    /// The first epoch after `epoch` at which a resolved breach is no longer shown.
    fn next_expiry(&self, epoch: u64, options: &SignalOptions) -> Option<u64> {
        self.resolved.iter().map(|resolved| resolved.shown_until(options)).filter(|&until| until > epoch).min()
    }
}

impl Resolved {
    fn shown_until(&self, options: &SignalOptions) -> u64 {
        self.since.saturating_add(options.breach_retention_ms)
    }
}

impl Ongoing {
    /// The breach as it is now. A breach cites evidence: one without a single failure on record is not told.
    fn breach(&self, dataset: &EntityId, resolved_at: Option<UnixMillis>) -> Option<Breach> {
        let (signature, digest) = self.tally.dominant_signature()?;
        Some(Breach {
            id: IncidentId::of(dataset, KIND.as_str(), self.first_window),
            dataset: dataset.clone(),
            kind: KIND,
            first_window: self.first_window,
            detected_at: self.detected_at,
            recovering_since: self.recovering_since,
            resolved_at,
            verdicts: self.tally.verdicts,
            signature: signature.clone(),
            signature_count: digest.count,
            signature_count_before: self.before.get(signature).map_or(0, |past| past.failures),
            earliest: Arc::clone(&digest.earliest),
            last_failure: digest.last?,
        })
    }
}

/// What live windows amount to at `epoch`, after those that have left `frozen`.
#[must_use]
pub fn fold(
    frozen: &Frozen,
    live: &BTreeMap<UnixMillis, JudgedWindow>,
    policy: &DatasetPolicy,
    options: &SignalOptions,
    epoch: u64,
) -> Outcome {
    fold_until(frozen, live, policy, options, epoch).0
}

/// [`fold`], and the next epoch at which its outcome is another without any change of windows.
pub(super) fn fold_until(
    frozen: &Frozen,
    live: &BTreeMap<UnixMillis, JudgedWindow>,
    policy: &DatasetPolicy,
    options: &SignalOptions,
    epoch: u64,
) -> (Outcome, Option<u64>) {
    let mut machine = frozen.clone();
    for (&start, window) in live {
        machine.step(start, window, &policy.dataset, options);
    }
    machine.expire(epoch, options);
    let expiry = machine.next_expiry(epoch, options);

    let provisional = live.last_key_value().map(|(&start, window)| LatestWindow {
        start,
        end: window.end,
        verdicts: window.tally.verdicts,
    });
    let signal = machine.latest.or(provisional).map(|judged| {
        let ongoing = machine.ongoing.as_deref();
        let dominant = ongoing.and_then(|ongoing| ongoing.tally.dominant_signature());
        Signal {
            dataset: policy.dataset.clone(),
            kind: KIND,
            state: match ongoing {
                Some(ongoing) if ongoing.recovering_since.is_some() => HealthState::Warning,
                Some(_) => HealthState::Critical,
                None if judged.verdicts.judged() == 0 => HealthState::Unknown,
                None => HealthState::Ok,
            },
            verdicts: judged.verdicts,
            window_start: judged.start,
            window_end: judged.end,
            breach_start: ongoing.map(|ongoing| ongoing.breach_start),
            failure_signature: dominant.map(|(signature, _)| signature.clone()),
            first_failure: dominant.and_then(|(_, digest)| digest.first()),
            detected_at: ongoing.map(|ongoing| ongoing.detected_at),
        }
    });
    let resolved = machine.resolved.iter().map(|resolved| Breach::clone(&resolved.breach));
    let ongoing = machine.ongoing.as_deref().and_then(|ongoing| ongoing.breach(&policy.dataset, None));
    (Outcome { signal, breaches: resolved.chain(ongoing).collect() }, expiry)
}
