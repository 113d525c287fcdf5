//! A run that is cut, again and again, and goes on with another number of workers each time.

use crate::{
    dataflow::run,
    leg::Restored,
    undisturbed::{Rows, Undisturbed, rows_of},
};

/// Where a run is cut, and who goes on from there.
#[derive(Debug, Clone)]
pub struct Stop {
    pub epoch: u64,
    /// How many workers go on.
    pub workers: usize,
    /// Whether the run that is cut goes on for a while, in vain: it breaks down later.
    pub overrun: bool,
}

/// Goes from stop to stop, and holds every run against the undisturbed one; returns the state at each stop.
pub fn travel(undisturbed: &Undisturbed<'_>, workers: usize, stops: &[Stop]) -> Vec<Rows> {
    let (mut workers, mut restored, mut states) = (workers, None, Vec::new());
    for stop in stops {
        let from = restored.as_ref().map(|from: &Restored| from.epoch);
        let lasts = if stop.overrun { stop.epoch + 300 } else { stop.epoch };
        let ran = run(&undisturbed.leg(workers, restored, lasts, [stop.epoch]));
        undisturbed.agrees(&ran, from, stop.epoch);
        let state = &ran.cuts[&stop.epoch];
        undisturbed.positions_agree(stop.epoch, state);
        states.push(rows_of(state));
        restored = Some(undisturbed.restored(stop.epoch, state));
        workers = stop.workers;
    }
    let from = restored.as_ref().map(|from| from.epoch);
    undisturbed.agrees(&run(&undisturbed.leg(workers, restored, u64::MAX, [])), from, u64::MAX);
    states
}
