//! How likely a cause is: a closed formula of observed facts, in integer thousandths.
//!
//! ```text
//! score = base(basis)
//!       − distance × weight(basis)      time from the change to the first failure (60 where it is not known)
//!       − 60                            if the change seems to lie after the first failure (clock skew)
//!       − recurrence                    the signature was seen before: 50, up to 150 from a tenth of the count on
//!       − 200 × unexplained             share of the breach's failures with another signature
//!       − dissent(basis) × disagreeing  share of the sampled failing records that speak of something else
//!       − rivalry                       each rival change: 40, falling to 0 at 6 h apart; together at most 120
//!       − 250                           if another version had replaced it before the first failure
//!       − 2 × hops                      edges between an upstream dataset and this one
//!       + 8 × further layers            that name the same cause
//! held within 50 … 990
//! ```
//!
//! | basis | base | weight | dissent |
//! |---|---|---|---|
//! | the trace's span published the failing records, or is of their producer | 965 | 1/2 | 300 |
//! | any other service in the trace | 865 | 1/2 | 300 |
//! | the records carry the run's DAG run id, and the run writes the dataset or failed | 945 | 1/2 | 300 |
//! | the records carry the run's DAG run id | 885 | 1/2 | 300 |
//! | a run that writes the dataset failed | 900 | 1 | – |
//! | a run wrote the dataset last | 700 | 1 | – |
//! | deployment of an owner, or of the producer that records name | 925 | 1 | 150 |
//! | another version of contract or schema | 905 | 1 | – |
//! | an upstream dataset failed earlier | 935 | 1/4 | – |
//!
//! Distance is piecewise linear: 0 at 0, 5 at 1 min, 30 at 10 min, 110 at 1 h, 290 at 6 h, 450 at 24 h and beyond.

use faultline_contracts::explanation::Score;

/// On what ground a cause is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    TracedPublisher,
    TracedService,
    DagRunOfWriter,
    DagRun,
    FailedWriter,
    LastWriter,
    Deployment,
    CatalogChange,
    Upstream,
}

impl Basis {
    /// Base, weight of the distance in quarters, dissent.
    fn terms(self) -> (i64, i64, i64) {
        match self {
            Self::TracedPublisher => (965, 2, 300),
            Self::TracedService => (865, 2, 300),
            Self::DagRunOfWriter => (945, 2, 300),
            Self::DagRun => (885, 2, 300),
            Self::FailedWriter => (900, 4, 0),
            Self::LastWriter => (700, 4, 0),
            Self::Deployment => (925, 4, 150),
            Self::CatalogChange => (905, 4, 0),
            Self::Upstream => (935, 1, 0),
        }
    }
}

/// A share, as a number out of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub part: u64,
    pub total: u64,
}

impl Share {
    /// The share of nothing is all of it: no record disagrees.
    pub const ALL: Self = Self { part: 1, total: 1 };

    /// The complement in thousandths.
    fn missing(self) -> i64 {
        let total = u128::from(self.total.max(1));
        let part = if self.total == 0 { 1 } else { u128::from(self.part.min(self.total)) };
        ((total - part) * 1000 / total) as i64
    }
}

/// What was observed of one possible cause.
#[derive(Debug, Clone)]
pub(super) struct Grounds {
    pub basis: Basis,
    /// From the change to the first failure, in milliseconds; negative when the change is later.
    pub distance_ms: Option<i64>,
    /// Failures with the signature before the breach, out of those in it. `None` where that says nothing.
    pub recurrence: Option<Share>,
    /// The breach's failures with its signature, out of all.
    pub explained: Share,
    /// Sampled failing records that point to the cause, out of those that point to any.
    pub agreement: Share,
    /// Distances to rival changes, in milliseconds.
    pub rivals_ms: Vec<i64>,
    /// Whether a later deployment had replaced it before the first failure.
    pub superseded: bool,
    pub hops: u8,
}

impl Grounds {
    pub fn score(&self) -> Score {
        let (base, quarters, dissent) = self.basis.terms();
        let distance = match self.distance_ms {
            Some(ms) => distance_penalty(ms) * quarters / 4 + if ms < 0 { 60 } else { 0 },
            None => 60,
        };
        let recurrence = match self.recurrence {
            Some(Share { part: before @ 1.., total }) => {
                let thousandths = u128::from(before) * 1000 / u128::from(total.max(1));
                50 + thousandths.min(100) as i64
            }
            _ => 0,
        };
        let unexplained = self.explained.missing() * 200 / 1000;
        let disagreeing = self.agreement.missing() * dissent / 1000;
        let rivalry: i64 = self.rivals_ms.iter().map(|&gap| rival_penalty(gap)).sum();
        let superseded = if self.superseded { 250 } else { 0 };
        let doubts = distance + recurrence + unexplained + disagreeing + rivalry.min(120) + superseded;
        held(base - doubts - 2 * i64::from(self.hops))
    }
}

/// The score of a cause that `further` more layers name too.
pub(super) fn agreed(score: Score, further: usize) -> Score {
    held(i64::from(score.0) + 8 * further.min(9) as i64)
}

fn held(score: i64) -> Score {
    Score(score.clamp(50, 990) as u16)
}

/// The curve of the module's documentation, by (milliseconds, thousandths).
const DISTANCE: [(u64, u64); 6] =
    [(0, 0), (60_000, 5), (600_000, 30), (3_600_000, 110), (21_600_000, 290), (86_400_000, 450)];

fn distance_penalty(ms: i64) -> i64 {
    let ms = ms.unsigned_abs();
    let segment = DISTANCE.windows(2).find_map(|ends| match *ends {
        [(from, low), (to, high)] if ms < to => Some(low + (ms - from) * (high - low) / (to - from)),
        _ => None,
    });
    segment.unwrap_or(450) as i64
}

const RIVALRY_ENDS_MS: u64 = 6 * 3_600_000;

fn rival_penalty(gap_ms: i64) -> i64 {
    let left = RIVALRY_ENDS_MS.saturating_sub(gap_ms.unsigned_abs());
    (40 * left / RIVALRY_ENDS_MS) as i64
}

#[cfg(test)]
mod tests {
    use faultline_contracts::explanation::Band;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn deployment(distance_ms: i64) -> Grounds {
        Grounds {
            basis: Basis::Deployment,
            distance_ms: Some(distance_ms),
            recurrence: Some(Share { part: 0, total: 1_120 }),
            explained: Share { part: 1_120, total: 1_120 },
            agreement: Share::ALL,
            rivals_ms: vec![24 * HOUR],
            superseded: false,
            hops: 0,
        }
    }

    #[test]
    fn the_published_examples() {
        assert_eq!(deployment(16_950).score(), Score(924));
        let traced = Grounds { basis: Basis::TracedPublisher, ..deployment(16_950) };
        assert_eq!(agreed(traced.score(), 1), Score(973));
        assert_eq!(deployment(6 * HOUR).score().band(), Band::Medium);
        let old = Grounds { recurrence: Some(Share { part: 500, total: 1_120 }), ..deployment(20 * HOUR) };
        assert_eq!(old.score().band(), Band::Low);
        let upstream = Grounds { basis: Basis::Upstream, hops: 2, recurrence: None, ..deployment(6 * HOUR) };
        assert!(upstream.score() > deployment(2 * HOUR).score());
    }

    #[test]
    fn distance_never_raises_a_score_and_has_no_steps() {
        let mut last = 0;
        for second in 0..100_000 {
            let penalty = distance_penalty(second * 1_000);
            assert!((last..=last + 1).contains(&penalty), "{second} s: {last} → {penalty}");
            last = penalty;
        }
        assert_eq!(last, 450);
    }

    #[test]
    fn extremes_stay_inside_the_bounds() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let grounds = Grounds {
                recurrence: Some(Share { part: u64::MAX, total: 0 }),
                explained: Share { part: 0, total: u64::MAX },
                agreement: Share { part: u64::MAX, total: 1 },
                rivals_ms: vec![i64::MIN, 0, 0, 0, i64::MAX],
                superseded: true,
                hops: u8::MAX,
                ..deployment(ms)
            };
            assert!((50..=990).contains(&grounds.score().0));
        }
        assert_eq!(agreed(Score(989), usize::MAX), Score(990));
    }
}
