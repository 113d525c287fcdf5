//! One dataset's windows, policy and signal, and when a change of them is told.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    incident::Breach,
    policy::{DatasetPolicy, Rollout},
    signal::{HealthState, Signal},
    time::UnixMillis,
    window::{ComplianceWindow, WindowStatus},
};

use serde::{Deserialize, Serialize};

use super::{
    SignalOptions,
    fold::{Frozen, JudgedWindow, Outcome, fold_until},
    verdict::{Verdict, judge},
};

/// What changed for a dataset in one epoch.
#[derive(Debug, Default)]
pub(super) struct EpochChanges {
    pub(super) windows: Vec<(ComplianceWindow, isize)>,
    pub(super) policies: Vec<(DatasetPolicy, isize)>,
}

/// How soon a change is to be told. In order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Nothing that shows has changed.
    Nothing,
    /// Numbers of a provisional window have, and no verdict.
    Numbers,
    /// A verdict has: told if it makes a difference to the state.
    Verdict,
    /// Told whatever it is: a final window or the policy has changed.
    Told,
}

/// Changes of the outputs.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) signals: Vec<(Signal, isize)>,
    pub(super) breaches: Vec<(Breach, isize)>,
}

/// A dataset's state as it is cut: all but the tallies of its windows, which are in theirs.
#[derive(Serialize, Deserialize)]
pub(super) struct DatasetRow {
    policy: Option<Arc<DatasetPolicy>>,
    frozen: Frozen,
    live: Vec<LiveRow>,
    shown: Outcome,
    shown_at: u64,
    refresh_at: Option<u64>,
    expiry: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct LiveRow {
    start: UnixMillis,
    end: UnixMillis,
    status: WindowStatus,
    verdict: Verdict,
    since: u64,
}

/// That a state was restored, and the policy that held when it was cut.
struct Resumed {
    policy: Option<Arc<DatasetPolicy>>,
}

impl From<DatasetRow> for DatasetState {
    fn from(row: DatasetRow) -> Self {
        let DatasetRow { policy, frozen, live, shown, shown_at, refresh_at, expiry } = row;
        let live = live.into_iter().map(|LiveRow { start, end, status, verdict, since }| {
            (start, JudgedWindow { end, status, tally: Arc::default(), verdict, since })
        });
        let (live, resumed) = (live.collect(), Some(Resumed { policy }));
        Self { policies: BTreeMap::new(), frozen, live, shown, shown_at, refresh_at, expiry, resumed }
    }
}

#[derive(Default)]
pub(super) struct DatasetState {
    policies: BTreeMap<Arc<DatasetPolicy>, isize>,
    frozen: Frozen,
    live: BTreeMap<UnixMillis, JudgedWindow>,
    shown: Outcome,
    shown_at: u64,
    refresh_at: Option<u64>,
    expiry: Option<u64>,
    resumed: Option<Resumed>,
}

impl DatasetState {
    /// The state as it is cut.
    pub(super) fn row(&self) -> DatasetRow {
        let live = self.live.iter().map(|(&start, window)| {
            let &JudgedWindow { end, status, tally: _, verdict, since } = window;
            LiveRow { start, end, status, verdict, since }
        });
        DatasetRow {
            policy: self.policy(),
            frozen: self.frozen.clone(),
            live: live.collect(),
            shown: self.shown.clone(),
            shown_at: self.shown_at,
            refresh_at: self.refresh_at,
            expiry: self.expiry,
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.live.is_empty() && self.shown == Outcome::default()
    }

    /// How many windows are alive.
    pub(super) fn live_windows(&self) -> usize {
        self.live.len()
    }

    /// The next epoch at which something is to be told even if nothing changes.
    pub(super) fn wake_at(&self) -> Option<u64> {
        [self.refresh_at, self.expiry].into_iter().flatten().min()
    }

    /// When numbers that have changed are to be told.
    pub(super) fn refresh_at(&self) -> Option<u64> {
        self.refresh_at
    }

    /// The policy that holds: the greatest, should there be several.
    fn policy(&self) -> Option<Arc<DatasetPolicy>> {
        let (policy, _) = self.policies.iter().rfind(|(_, count)| **count > 0)?;
        (policy.rollout != Rollout::Off).then(|| Arc::clone(policy))
    }

    /// Takes in an epoch's changes, and says what is to be told at that epoch.
    pub(super) fn update(&mut self, epoch: u64, changes: EpochChanges, options: &SignalOptions) -> Told {
        if let Some(resumed) = self.resumed.take() {
            return self.resume(&resumed, epoch, changes, options);
        }
        let mut urgency = Urgency::Nothing;
        if !changes.policies.is_empty() {
            let before = self.policy();
            urgency = self.change_policy(before.as_deref(), changes.policies, epoch, options);
        }
        let policy = self.policy();
        for (start, version) in versions(changes.windows) {
            urgency = urgency.max(self.replace(start, version, epoch, policy.as_deref(), options));
        }
        if urgency == Urgency::Numbers {
            self.refresh_later(options);
        }
        self.tell(epoch, urgency.max(self.due(epoch)), policy.as_deref(), options)
    }

    /// How soon something is to be told even if nothing changes.
    fn due(&self, epoch: u64) -> Urgency {
        if self.wake_at().is_some_and(|wake| wake <= epoch) { Urgency::Told } else { Urgency::Nothing }
    }

    /// Goes on where the state was cut: what had been told is told again, and live windows have their tallies back. By
    /// another policy they are judged anew, and what fell due between the cut and this epoch is told now.
    fn resume(&mut self, resumed: &Resumed, epoch: u64, changes: EpochChanges, options: &SignalOptions) -> Told {
        for (start, version) in versions(changes.windows) {
            if let (Some(version), Some(window)) = (version, self.live.get_mut(&start)) {
                window.tally = version.tally;
            }
        }
        let mut told = difference(Outcome::default(), &self.shown);
        let urgency = self.change_policy(resumed.policy.as_deref(), changes.policies, epoch, options);
        let urgency = urgency.max(self.due(epoch));
        let Told { signals, breaches } = self.tell(epoch, urgency, self.policy().as_deref(), options);
        told.signals.extend(signals);
        told.breaches.extend(breaches);
        told
    }

    /// Takes in what has changed of the policy, which was this one `before`.
    fn change_policy(
        &mut self,
        before: Option<&DatasetPolicy>,
        changes: Vec<(DatasetPolicy, isize)>,
        epoch: u64,
        options: &SignalOptions,
    ) -> Urgency {
        for (policy, diff) in changes {
            *self.policies.entry(Arc::new(policy)).or_default() += diff;
        }
        self.policies.retain(|_, count| *count != 0);
        let after = self.policy();
        if before.map(|policy| policy.slo_millionths) == after.as_ref().map(|policy| policy.slo_millionths) {
            return Urgency::Nothing;
        }
        self.judge_anew(epoch, after.as_deref(), options);
        Urgency::Told
    }

    /// Judges live windows by another policy. Without one, all that retired windows have left is forgotten.
    fn judge_anew(&mut self, epoch: u64, policy: Option<&DatasetPolicy>, options: &SignalOptions) {
        if policy.is_none() {
            self.frozen = Frozen::default();
        }
        for window in self.live.values_mut() {
            let verdict = policy.map_or(Verdict::Unjudged, |policy| {
                judge(window.status, window.tally.verdicts, policy.slo_millionths, None, options)
            });
            if window.verdict != verdict {
                (window.verdict, window.since) = (verdict, epoch);
            }
        }
    }

    /// Puts a window's new version in its place, or freezes it where it has none.
    fn replace(
        &mut self,
        start: UnixMillis,
        version: Option<ComplianceWindow>,
        epoch: u64,
        policy: Option<&DatasetPolicy>,
        options: &SignalOptions,
    ) -> Urgency {
        let Some(version) = version else {
            if let (Some(window), Some(policy)) = (self.live.remove(&start), policy) {
                self.frozen.step(start, &window, &policy.dataset, options);
                self.frozen.expire(epoch, options);
            }
            return Urgency::Nothing;
        };
        let ComplianceWindow { key: _, end, status, tally } = version;
        let old = self.live.get(&start);
        let provisionally = old.filter(|old| old.status == WindowStatus::Provisional).map(|old| old.verdict);
        let verdict = policy.map_or(Verdict::Unjudged, |policy| {
            judge(status, tally.verdicts, policy.slo_millionths, provisionally, options)
        });
        let unchanged = old.filter(|old| old.verdict == verdict);
        let since = unchanged.map_or(epoch, |old| old.since);
        let urgency = match status {
            WindowStatus::Final => Urgency::Told,
            WindowStatus::Provisional if unchanged.is_none() => Urgency::Verdict,
            WindowStatus::Provisional => Urgency::Numbers,
        };
        self.live.insert(start, JudgedWindow { end, status, tally, verdict, since });
        urgency
    }

    /// Has the numbers of a breach told when the last telling is long enough ago.
    fn refresh_later(&mut self, options: &SignalOptions) {
        let state = self.shown.signal.as_ref().map(|signal| signal.state);
        if matches!(state, Some(HealthState::Critical | HealthState::Warning)) {
            self.refresh_at.get_or_insert(self.shown_at.saturating_add(options.refresh_ms));
        }
    }

    fn tell(&mut self, epoch: u64, urgency: Urgency, policy: Option<&DatasetPolicy>, options: &SignalOptions) -> Told {
        if urgency < Urgency::Verdict {
            return Told::default();
        }
        let (outcome, expiry) = match policy {
            Some(policy) => fold_until(&self.frozen, &self.live, policy, options, epoch),
            None => (Outcome::default(), None),
        };
        self.expiry = expiry;
        if urgency < Urgency::Told && shape(&outcome) == shape(&self.shown) {
            if outcome != self.shown {
                self.refresh_later(options);
            }
            if self.refresh_at.is_none_or(|refresh| refresh > epoch) {
                return Told::default();
            }
        }
        self.refresh_at = None;
        if outcome == self.shown {
            return Told::default();
        }
        self.shown_at = epoch;
        let shown = std::mem::replace(&mut self.shown, outcome);
        difference(shown, &self.shown)
    }
}

/// The version of each window after an epoch's changes: `None` where it is retired.
fn versions(mut changes: Vec<(ComplianceWindow, isize)>) -> BTreeMap<UnixMillis, Option<ComplianceWindow>> {
    let mut versions = BTreeMap::new();
    differential_dataflow::consolidation::consolidate(&mut changes);
    for (window, diff) in changes {
        let version: &mut Option<ComplianceWindow> = versions.entry(window.key.start).or_default();
        if diff > 0 {
            *version = Some(window);
        }
    }
    versions
}

/// What of an outcome is told at once: all but numbers.
fn shape(outcome: &Outcome) -> impl PartialEq + '_ {
    let state = outcome.signal.as_ref().map(|signal| (signal.state, signal.breach_start, signal.detected_at));
    let breaches: Vec<_> = outcome
        .breaches
        .iter()
        .map(|breach| (breach.id, breach.detected_at, breach.recovering_since, breach.resolved_at))
        .collect();
    (state, breaches)
}

fn difference(old: Outcome, new: &Outcome) -> Told {
    let mut told = Told::default();
    if old.signal != new.signal {
        told.signals.extend(old.signal.map(|signal| (signal, -1)));
        told.signals.extend(new.signal.clone().map(|signal| (signal, 1)));
    }
    let added = new.breaches.iter().filter(|breach| !old.breaches.contains(breach)).map(|breach| (breach.clone(), 1));
    told.breaches.extend(added);
    told.breaches
        .extend(old.breaches.into_iter().filter(|breach| !new.breaches.contains(breach)).map(|breach| (breach, -1)));
    told
}
