//! Compliance windows: what each dataset's records amount to, per tumbling window of event time.
//!
//! ```text
//!               no window          PROVISIONAL              FINAL                  retired
//! watermark ──────────────┬────────────────────────┬──────────────────────┬───────────────────▶
//!                       start                     end                end + grace
//!                                                         late records       late records
//!                                                         correct it         are counted
//! ```
//!
//! One hand-written operator, keyed by dataset, because the number of windows alive is what it may cost, and not the
//! number of records: what a worker has read in a tick arrives summed. Progress is broadcast, so that every worker
//! computes the same watermark. The operator acts at exact epochs, those with input and those at which the watermark
//! reaches a window's end, and so its output does not depend on how its frontier moves.

mod live;
mod options;

use std::{collections::BTreeMap, sync::Arc};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::{
    ids::EntityId,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowTally},
};
use serde::{Deserialize, Serialize};
use timely::{
    dataflow::{
        StreamVec,
        channels::pact::{Exchange, Pipeline},
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
            vec::Broadcast,
        },
    },
    progress::frontier::MutableAntichain,
};
use xxhash_rust::xxh3::xxh3_64;

use self::live::{LiveWindows, Step};
pub use self::options::{WindowOptions, WindowOptionsError};
use crate::{
    state::{Cutting, EVERYWHERE, Section, StateChunk, StatePorts, Stateful},
    watermark::{PartitionProgress, Watermark, WatermarkState},
};

/// What one worker has read of one dataset and window in one tick. Its tally keeps all signatures and producers apart
/// ([`WindowTally::absorb`]): which of them a window keeps must not depend on who read them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ComplianceDelta {
    /// Which window. A start inside a window stands for the window.
    pub key: WindowKey,
    /// The records.
    pub tally: WindowTally,
}

/// Records that came after their window's grace had ended, and that no window counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LateRecords {
    /// Their dataset.
    pub dataset: EntityId,
    /// How many.
    pub verdicts: Verdicts,
}

/// How many windows a worker holds: what bounds its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WindowCensus {
    /// The worker's index.
    pub worker: usize,
    /// Windows that are not retired.
    pub live: usize,
    /// Those of them that are provisional.
    pub provisional: usize,
}

/// The outputs of [`compliance_windows`].
pub struct ComplianceWindows<'s> {
    /// The windows alive: at most one version of each at any time, and at most one change of each in an epoch.
    pub windows: VecCollection<'s, u64, ComplianceWindow>,
    /// What came too late, per dataset and epoch.
    pub late: StreamVec<'s, u64, LateRecords>,
    /// The watermark, on each worker for its own use: at every epoch with progress, and when it has changed. Between two
    /// inputs, steps may be left out: the last value at or before a closed epoch is a lower bound there.
    pub watermark: StreamVec<'s, u64, UnixMillis>,
    /// What each worker holds, when it has changed.
    pub census: StreamVec<'s, u64, WindowCensus>,
}

/// The worker that a dataset's state lives on, modulo the number of workers. Stable over builds and machines, unlike the
/// standard library's hashers, because all processes of a cluster have to agree.
#[must_use]
pub fn route(dataset: &EntityId) -> u64 {
    xxh3_64(dataset.as_str().as_bytes())
}

/// Which epochs are closed: those before the input frontier, or all once the input has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Those before this one.
    Before(u64),
    /// All: nothing more will come.
    All,
}

impl Closed {
    /// What is closed on all of an operator's inputs.
    pub(crate) fn on(frontiers: &[MutableAntichain<u64>]) -> Self {
        let open = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min();
        open.map_or(Self::All, Self::Before)
    }

    /// Whether `epoch` is.
    pub(crate) fn contains(self, epoch: u64) -> bool {
        match self {
            Self::Before(open) => epoch < open,
            Self::All => true,
        }
    }
}

/// Counts records into windows, and moves windows on as the watermark passes.
///
/// Progress of an epoch counts from that epoch on, for records of the same epoch too. The source reports progress in every
/// epoch in which it sends records, and does not move epochs on past its last report before it ends. When input ends,
/// what is pending is counted, and windows stay as they are then.
pub fn compliance_windows<'s>(
    deltas: StreamVec<'s, u64, ComplianceDelta>,
    progress: StreamVec<'s, u64, PartitionProgress>,
    options: &WindowOptions,
    state: &StatePorts<'s>,
) -> ComplianceWindows<'s> {
    let scope = deltas.scope();
    let mut builder = OperatorBuilder::new("ComplianceWindows".to_owned(), scope);
    let by_dataset = Exchange::new(|delta: &ComplianceDelta| route(&delta.key.dataset));
    let mut deltas = builder.new_input(deltas, by_dataset);
    let mut progress = builder.new_input(progress.broadcast(), Pipeline);
    let mut cuts = builder.new_input(state.cuts(), Pipeline);
    let mut restored = builder.new_input(state.restored(Section::Windows), Pipeline);
    let (windows_out, windows) = builder.new_output::<Vec<_>>();
    let (late_out, late) = builder.new_output::<Vec<_>>();
    let (watermark_out, watermark) = builder.new_output::<Vec<_>>();
    let (census_out, census) = builder.new_output::<Vec<_>>();
    let (state_out, leaving) = builder.new_output::<Vec<_>>();
    let mut windows_out = OutputBuilder::from(windows_out);
    let mut late_out = OutputBuilder::from(late_out);
    let mut watermark_out = OutputBuilder::from(watermark_out);
    let mut census_out = OutputBuilder::from(census_out);
    let mut state_out = OutputBuilder::from(state_out);
    let again = scope.activator_for(builder.operator_info().address);

    let mut cutting = Cutting::default();
    let mut clerk = Clerk::new(options, scope.index());
    builder.build(move |capabilities| {
        let mut capabilities = <[Capability<u64>; 5]>::try_from(capabilities).ok();
        move |frontiers| {
            deltas.for_each(|capability, data| {
                if let Some(&epoch) = capability.least() {
                    clerk.pending.entry(epoch).or_default().deltas.append(data);
                }
            });
            progress.for_each(|capability, data| {
                if let Some(&epoch) = capability.least() {
                    clerk.pending.entry(epoch).or_default().progress.append(data);
                }
            });
            cuts.for_each(|capability, _| {
                if let Some(&epoch) = capability.least() {
                    cutting.at(epoch);
                }
            });
            restored.for_each(|capability, chunks| {
                if let Some(&epoch) = capability.least() {
                    clerk.pending.entry(epoch).or_default().restored.append(chunks);
                }
            });
            let closed = Closed::on(frontiers);
            let Some([of_windows, of_late, of_watermark, of_census, of_state]) = &mut capabilities else { return };
            let leave = cutting.leave(closed);
            clerk.close(leave.act, |epoch, actions| {
                let Actions { step, watermark, census, unreadable } = actions;
                if !step.windows.is_empty() {
                    let updates = step.windows.into_iter().map(|(window, diff)| (window, epoch, diff));
                    windows_out.activate().session(&of_windows.delayed(&epoch)).give_iterator(updates);
                }
                if !step.late.is_empty() {
                    late_out.activate().session(&of_late.delayed(&epoch)).give_iterator(step.late.into_iter());
                }
                if let Some(watermark) = watermark {
                    watermark_out.activate().session(&of_watermark.delayed(&epoch)).give(watermark);
                }
                if let Some(census) = census {
                    census_out.activate().session(&of_census.delayed(&epoch)).give(census);
                }
                if let Some(unreadable) = unreadable {
                    state_out.activate().session(&of_state.delayed(&epoch)).give(unreadable);
                }
            });
            let mut reached = closed;
            if let Some(cut) = cutting.pending().filter(|_| leave.cut) {
                let (chunk, done) = cutting.slice(Section::Windows, &clerk);
                state_out.activate().session(&of_state.delayed(&cut)).give(chunk);
                // There may be more to be cut, or more epochs closed meanwhile.
                again.activate();
                if !done {
                    return;
                }
                reached = leave.act;
            }
            match reached {
                Closed::Before(open) => {
                    for capability in [of_windows, of_late, of_watermark, of_census, of_state] {
                        capability.downgrade(&open);
                    }
                }
                Closed::All => capabilities = None,
            }
        }
    });
    state.leaves(leaving);
    ComplianceWindows { windows: windows.as_collection(), late, watermark, census }
}

/// What is sent at one epoch.
struct Actions {
    step: Step,
    watermark: Option<UnixMillis>,
    census: Option<WindowCensus>,
    unreadable: Option<StateChunk>,
}

#[derive(Default)]
struct EpochInput {
    restored: Vec<StateChunk>,
    deltas: Vec<ComplianceDelta>,
    progress: Vec<PartitionProgress>,
}

/// One worker's part of the operator: decides what happens at which epoch, and leaves sending to the operator.
struct Clerk {
    pending: BTreeMap<u64, EpochInput>,
    watermark: Watermark,
    windows: LiveWindows,
    /// The first epoch that has not been acted on.
    next: u64,
    census: WindowCensus,
    announced: Option<UnixMillis>,
}

impl Clerk {
    fn new(options: &WindowOptions, worker: usize) -> Self {
        Self {
            pending: BTreeMap::new(),
            watermark: Watermark::new(options),
            windows: LiveWindows::new(options),
            next: 0,
            census: WindowCensus { worker, ..WindowCensus::default() },
            announced: None,
        }
    }

    /// Acts at every closed epoch that has input or at which the watermark moves a window on.
    fn close(&mut self, closed: Closed, mut send: impl FnMut(u64, Actions)) {
        let last_reported = self.pending.iter().rfind(|(_, input)| !input.progress.is_empty());
        let last_reported = last_reported.map_or(0, |(&epoch, _)| epoch).max(self.watermark.last_progress());
        loop {
            let input = self.pending.first_key_value().map(|(&epoch, _)| epoch);
            let deadline = self.windows.next_deadline().and_then(|target| self.watermark.epoch_reaching(target));
            let deadline = deadline
                .map(|epoch| epoch.max(self.next))
                // Time ends with the last progress.
                .filter(|&epoch| closed != Closed::All || epoch <= last_reported);
            let Some(epoch) = [input, deadline].into_iter().flatten().min().filter(|&epoch| closed.contains(epoch))
            else {
                break;
            };
            let EpochInput { restored, deltas, progress } = self.pending.remove(&epoch).unwrap_or_default();
            let reported = !progress.is_empty() || !restored.is_empty();
            let resumes = !restored.is_empty();
            let unreadable = self.take_in(restored, epoch);
            let watermark = self.watermark.advance(epoch, progress);
            let step =
                if resumes { self.windows.resume(deltas, watermark) } else { self.windows.step(deltas, watermark) };
            self.next = epoch.saturating_add(1);
            let watermark = self.announce(watermark, reported);
            send(epoch, Actions { step, watermark, census: self.count(), unreadable });
        }
        // Between inputs the watermark may have gone on without moving any window.
        if let Closed::Before(open) = closed
            && let Some(last) = open.checked_sub(1).filter(|&last| last >= self.next)
        {
            let watermark = self.announce(self.watermark.at(last), false);
            if watermark.is_some() {
                send(last, Actions { step: Step::default(), watermark, census: None, unreadable: None });
            }
            self.next = open;
        }
    }

    fn announce(&mut self, watermark: Option<UnixMillis>, anyway: bool) -> Option<UnixMillis> {
        if watermark == self.announced && !anyway {
            return None;
        }
        self.announced = watermark;
        watermark
    }

    fn count(&mut self) -> Option<WindowCensus> {
        let (live, provisional) = self.windows.count();
        let census = WindowCensus { worker: self.census.worker, live, provisional };
        if census == self.census {
            return None;
        }
        self.census = census;
        Some(census)
    }
}

/// What of the operator is cut.
#[derive(Serialize, Deserialize)]
enum Row {
    /// How far event time has come: for every worker.
    Watermark(WatermarkState),
    /// A window that is alive.
    Window(UnixMillis, EntityId, Arc<WindowTally>),
}

impl Stateful for Clerk {
    type Row = Row;
    /// A window's start, and how many of that start are behind.
    type Cursor = (UnixMillis, usize);

    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor> {
        if after.is_none() && self.census.worker == 0 {
            // All that lies before `next` has been acted on, and that is what is cut.
            let watermark = self.watermark.state(self.next.saturating_sub(1));
            chunk.push(EVERYWHERE, &Row::Watermark(watermark));
        }
        for (place, (start, dataset, tally)) in self.windows.from(after) {
            chunk.push(route(dataset), &Row::Window(start, dataset.clone(), Arc::clone(tally)));
            if chunk.is_full() {
                return Some((start, place + 1));
            }
        }
        None
    }

    fn restore(&mut self, row: Row, epoch: u64) {
        match row {
            Row::Watermark(state) => self.watermark.restore(state, epoch),
            Row::Window(start, dataset, tally) => self.windows.restore(start, dataset, tally),
        }
    }
}
