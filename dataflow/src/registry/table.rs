//! What is known of schema ids just now, and which are to be looked up: pure, but for the time that callers bring.
//!
//! ```text
//!            ┌────────────── look-up ──────────────┐
//! nothing ───┤                                     ├──► known, broken        for good, until others are used more
//!            └─ no registry, circuit open, too many│──► unknown, unavailable for a while
//!                     └► unavailable, not remembered
//! ```

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use faultline_contracts::registry::{RegisteredSchema, RegisteredSchemaError, SchemaId};
use rustc_hash::FxHashMap;

use super::Lookup;

/// Which registry an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Glue,
    Confluent,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Glue, Self::Confluent];

    pub(super) fn of(id: SchemaId) -> Self {
        match id {
            SchemaId::Glue(_) => Self::Glue,
            SchemaId::Confluent(_) | SchemaId::ConfluentGuid(_) => Self::Confluent,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Glue => "glue",
            Self::Confluent => "confluent",
        }
    }
}

/// Bounds of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableLimits {
    /// The most schemas.
    pub(super) known: usize,
    /// The most ids that are unknown or unavailable.
    pub(super) negative: usize,
    /// The most look-ups under way.
    pub(super) pending: usize,
    /// How long an unknown id is remembered as such.
    pub(super) unknown_ttl: Duration,
    /// How long a failed look-up is not repeated.
    pub(super) outage_ttl: Duration,
    /// Look-ups a second.
    pub(super) rate: u32,
    /// Look-ups at once.
    pub(super) burst: u32,
}

/// What a look-up brought.
#[derive(Debug)]
pub(super) enum Settled {
    /// A schema.
    Known(Arc<RegisteredSchema>),
    /// A schema by which nothing can be judged.
    Broken(Arc<RegisteredSchemaError>),
    /// There is none.
    Unknown,
    /// No answer.
    Unavailable,
}

/// Why a look-up was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declined {
    /// There is no registry of the kind.
    NotConfigured,
    /// It does not answer just now.
    Down,
    /// Too many are under way, or were begun of late.
    Limited,
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Ask {
    /// It is answered.
    Answer(Lookup),
    /// It is to be looked up; until that has settled the answer is [`Lookup::Pending`].
    Start,
    /// It is not looked up: [`Lookup::Unavailable`], for now.
    Decline(Declined),
}

#[derive(Debug)]
enum Entry {
    Known { schema: Arc<RegisteredSchema>, used: AtomicU64 },
    Broken { error: Arc<RegisteredSchemaError>, used: AtomicU64 },
    Pending,
    Unknown { until: Instant },
    Unavailable { until: Instant },
}

impl Entry {
    /// When a schema was last of use; `None` of what is no schema.
    fn used(&self) -> Option<u64> {
        match self {
            Self::Known { used, .. } | Self::Broken { used, .. } => Some(used.load(Ordering::Relaxed)),
            Self::Pending | Self::Unknown { .. } | Self::Unavailable { .. } => None,
        }
    }

    fn until(&self) -> Option<Instant> {
        match self {
            Self::Unknown { until } | Self::Unavailable { until } => Some(*until),
            Self::Known { .. } | Self::Broken { .. } | Self::Pending => None,
        }
    }
}

/// One registry.
#[derive(Debug)]
struct Line {
    /// Whether it answers, as far as is known.
    up: bool,
    budget: Budget,
}

/// All ids.
#[derive(Debug)]
pub(super) struct Table {
    limits: TableLimits,
    start: Instant,
    entries: FxHashMap<SchemaId, Entry>,
    schemas: usize,
    pending: usize,
    /// What need not be asked for, because it lies on the disk.
    stored: BTreeSet<SchemaId>,
    lines: [Option<Line>; 2],
}

impl Table {
    /// A table that knows nothing but what lies on the disk.
    pub(super) fn new(limits: TableLimits, configured: &[Kind], stored: BTreeSet<SchemaId>, now: Instant) -> Self {
        let line = |kind| {
            let budget = Budget::new(limits.rate, limits.burst, now);
            configured.contains(&kind).then_some(Line { up: true, budget })
        };
        let lines = Kind::ALL.map(line);
        Self { limits, start: now, entries: FxHashMap::default(), schemas: 0, pending: 0, stored, lines }
    }

    /// What is known of an id; `None` where it is to be [asked](Self::ask) for.
    pub(super) fn find(&self, id: SchemaId, now: Instant) -> Option<Lookup> {
        let note = |used: &AtomicU64| used.store(self.since_start(now), Ordering::Relaxed);
        match self.entries.get(&id)? {
            Entry::Known { schema, used } => {
                note(used);
                Some(Lookup::Known(Arc::clone(schema)))
            }
            Entry::Broken { error, used } => {
                note(used);
                Some(Lookup::Broken(Arc::clone(error)))
            }
            Entry::Pending => Some(Lookup::Pending),
            Entry::Unknown { until } => (now < *until).then_some(Lookup::Unknown),
            Entry::Unavailable { until } => (now < *until).then_some(Lookup::Unavailable),
        }
    }

    /// Asks for an id.
    pub(super) fn ask(&mut self, id: SchemaId, now: Instant) -> Ask {
        if let Some(known) = self.find(id, now) {
            return Ask::Answer(known);
        }
        let stored = self.stored.contains(&id);
        let Some(line) = self.lines[Kind::of(id) as usize].as_mut() else {
            return Ask::Decline(Declined::NotConfigured);
        };
        if self.pending >= self.limits.pending {
            return Ask::Decline(Declined::Limited);
        }
        if !stored && !line.up {
            return Ask::Decline(Declined::Down);
        }
        if !stored && !line.budget.take(now) {
            return Ask::Decline(Declined::Limited);
        }
        self.pending += 1;
        self.entries.insert(id, Entry::Pending);
        Ask::Start
    }

    /// Notes what a look-up brought.
    pub(super) fn settle(&mut self, id: SchemaId, settled: Settled, now: Instant) {
        match self.entries.remove(&id) {
            Some(Entry::Pending) => self.pending -= 1,
            Some(Entry::Known { .. } | Entry::Broken { .. }) => self.schemas -= 1,
            Some(Entry::Unknown { .. } | Entry::Unavailable { .. }) | None => {}
        }
        let used = AtomicU64::new(self.since_start(now));
        let entry = match settled {
            Settled::Known(schema) => Entry::Known { schema, used },
            Settled::Broken(error) => Entry::Broken { error, used },
            Settled::Unknown => Entry::Unknown { until: now + self.limits.unknown_ttl },
            Settled::Unavailable => Entry::Unavailable { until: now + self.limits.outage_ttl },
        };
        if entry.used().is_some() {
            if self.schemas >= self.limits.known {
                self.forget_least_used();
            }
            self.schemas += 1;
        } else if self.entries.len() - self.schemas - self.pending >= self.limits.negative {
            self.forget_negatives(now);
        }
        self.entries.insert(id, entry);
    }

    /// Notes what came onto the disk, and went from it.
    pub(super) fn stored(&mut self, came: Option<SchemaId>, gone: &[SchemaId]) {
        self.stored.extend(came);
        for id in gone {
            self.stored.remove(id);
        }
    }

    /// Notes that what was thought to lie on the disk does not.
    pub(super) fn not_stored(&mut self, id: SchemaId) {
        self.stored.remove(&id);
    }

    /// Notes whether a registry answers.
    pub(super) fn set_up(&mut self, kind: Kind, up: bool) {
        let Some(line) = self.lines[kind as usize].as_mut() else { return };
        if up && !line.up {
            // What could not be had while it was away can be had now.
            self.entries.retain(|id, entry| Kind::of(*id) != kind || !matches!(entry, Entry::Unavailable { .. }));
        }
        line.up = up;
    }

    /// Whether a registry answers, as far as is known; not where there is none.
    pub(super) fn is_up(&self, kind: Kind) -> bool {
        self.lines[kind as usize].as_ref().is_some_and(|line| line.up)
    }

    /// How many schemas are in memory.
    pub(super) fn schemas(&self) -> usize {
        self.schemas
    }

    fn since_start(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }

    fn forget_least_used(&mut self) {
        let oldest = self.entries.iter().filter_map(|(id, entry)| Some((entry.used()?, *id))).min();
        if let Some((_, id)) = oldest {
            self.entries.remove(&id);
            self.schemas -= 1;
        }
    }

    /// Forgets those whose time is over; where that is none, the one whose time is over first.
    fn forget_negatives(&mut self, now: Instant) {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.until().is_none_or(|until| now < until));
        if self.entries.len() == before {
            let first = self.entries.iter().filter_map(|(id, entry)| Some((entry.until()?, *id))).min();
            if let Some((_, id)) = first {
                self.entries.remove(&id);
            }
        }
    }
}

/// A rate, with a burst that it may be ahead of.
#[derive(Debug)]
struct Budget {
    rate: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { rate: rate.into(), burst: burst.into(), left: burst.into(), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.left = (self.left + since.as_secs_f64() * self.rate).min(self.burst);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests;
