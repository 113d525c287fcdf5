//! Which rules of a contract are held against each record, and why the others are not.

use std::fmt;

use super::{Contract, SlaKind};
use crate::diagnostic::Position;

/// How far a rule can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coverage {
    /// By each record alone: gate 4 does.
    Record,
    /// Only over many records: uniqueness, counts, shares, frequency.
    Window,
    /// Not by this program.
    Unsupported,
}

/// One rule of a contract and how far it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCoverage {
    /// What it is about, as in reason codes (`items[].qty`); empty for the whole record or contract.
    pub path: String,
    /// Its name in the contract: `required`, `quality.rowCount`, `sla.latency`.
    pub rule: String,
    /// How far it is judged.
    pub coverage: Coverage,
    /// Why no further; empty for [`Coverage::Record`].
    pub reason: &'static str,
    /// Where it stands.
    pub at: Position,
}

impl fmt::Display for RuleCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.rule)?;
        if !self.path.is_empty() {
            write!(f, " of '{}'", self.path)?;
        }
        match self.coverage {
            Coverage::Record => f.write_str(" is judged for each record"),
            Coverage::Window => write!(f, " is not judged for each record: {}", self.reason),
            Coverage::Unsupported => write!(f, " is not judged: {}", self.reason),
        }
    }
}

/// How far a contract's `slaProperties` are judged.
#[must_use]
pub fn sla_coverage(contract: &Contract) -> Vec<RuleCoverage> {
    let cover = |sla: &super::SlaProperty| {
        use SlaKind as K;
        let (coverage, reason) = match sla.kind {
            K::Latency | K::Frequency | K::Throughput | K::ErrorRate | K::Availability | K::TimeOfAvailability => {
                (Coverage::Window, "it is about records over time")
            }
            K::GeneralAvailability | K::EndOfSupport | K::EndOfLife | K::Retention => {
                (Coverage::Unsupported, "it is about the calendar or the broker's settings")
            }
            K::TimeToDetect | K::TimeToNotify | K::TimeToRepair => {
                (Coverage::Unsupported, "it is about how people respond")
            }
            K::Other => (Coverage::Unsupported, "its name is not one of the standard's"),
        };
        let path = sla.element.as_deref().unwrap_or_default().to_owned();
        RuleCoverage { path, rule: format!("sla.{}", sla.name), coverage, reason, at: sla.at }
    };
    contract.sla.iter().map(cover).collect()
}
