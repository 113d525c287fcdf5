//! Signals: the state of one aspect of a dataset's health.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{
    graph::signal_vertex,
    ids::{EntityId, EvidenceId},
    reason::Signature,
    time::UnixMillis,
    window::Verdicts,
};

/// Which aspect: the sort key of the signal store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// The share of records that keep the contract, against the dataset's SLO.
    ContractCompliance,
}

impl SignalKind {
    /// The name in stores and interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContractCompliance => "contract_compliance",
        }
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthState {
    /// The objective is kept.
    Ok,
    /// Was in breach and is recovering.
    Warning,
    /// In breach.
    Critical,
    /// No record could be judged.
    Unknown,
}

impl HealthState {
    /// The name in stores and interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The share of judged records that passed, rounded to three significant digits of the share or of its complement,
/// whichever is smaller: 127 of 1,247 is 0.102, and 99,996 of 100,000 stays 0.99996. `None` where none was judged.
///
/// ```
/// use faultline_contracts::{signal::compliance_score, window::Verdicts};
/// assert_eq!(compliance_score(Verdicts { pass: 127, fail: 1_120, warn: 3 }), Some(0.102));
/// assert_eq!(compliance_score(Verdicts { pass: 99_996, fail: 4, warn: 0 }), Some(0.99996));
/// assert_eq!(compliance_score(Verdicts::default()), None);
/// ```
#[must_use]
pub fn compliance_score(verdicts: Verdicts) -> Option<f64> {
    let judged = verdicts.judged();
    if judged == 0 {
        return None;
    }
    let share = verdicts.pass as f64 / judged as f64;
    let smaller = verdicts.pass.min(verdicts.fail) as f64 / judged as f64;
    if smaller == 0.0 {
        return Some(share);
    }
    let decimals = (2 - smaller.log10().floor() as i32).clamp(3, 15);
    let scale = 10_f64.powi(decimals);
    Some((share * scale).round() / scale)
}

/// A signal as it is now: one item of the signal store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Signal {
    /// The dataset: the store's partition key.
    pub dataset: EntityId,
    /// The aspect: the store's sort key.
    pub kind: SignalKind,
    /// The state.
    pub state: HealthState,
    /// Records of the window it was judged by.
    pub verdicts: Verdicts,
    /// Start of that window.
    pub window_start: UnixMillis,
    /// End of that window.
    pub window_end: UnixMillis,
    /// While in breach or recovering: the end of the first window in breach.
    pub breach_start: Option<UnixMillis>,
    /// While in breach or recovering: the signature with the most failures.
    pub failure_signature: Option<Signature>,
    /// While in breach or recovering: the first failure of that signature.
    pub first_failure: Option<EvidenceId>,
    /// While in breach or recovering: when the breach was beyond doubt.
    pub detected_at: Option<UnixMillis>,
}

impl Signal {
    /// The share of records that passed in the window it was judged by.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        compliance_score(self.verdicts)
    }

    /// Its vertex in the graph: `signal:<dataset>:<kind>`.
    #[must_use]
    pub fn vertex(&self) -> EntityId {
        signal_vertex(&self.dataset, self.kind)
    }
}

/// In JSON the item of the signal store, less `epoch`, which the writer adds; in binary formats the fields.
impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            dataset,
            kind,
            state,
            verdicts,
            window_start,
            window_end,
            breach_start,
            failure_signature,
            first_failure,
            detected_at,
        } = self;
        if !serializer.is_human_readable() {
            let row = (
                dataset,
                kind,
                state,
                verdicts,
                window_start,
                window_end,
                breach_start,
                failure_signature,
                first_failure,
                detected_at,
            );
            return row.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("PK", dataset)?;
        map.serialize_entry("SK", kind)?;
        map.serialize_entry("state", state)?;
        map.serialize_entry("score", &self.score())?;
        if let Some(at) = breach_start {
            map.serialize_entry("breach_start", at)?;
        }
        if let Some(signature) = failure_signature {
            map.serialize_entry("failure_signature", signature)?;
        }
        map.serialize_entry("window_start", window_start)?;
        map.serialize_entry("window_end", window_end)?;
        map.serialize_entry("pass", &verdicts.pass)?;
        map.serialize_entry("fail", &verdicts.fail)?;
        map.serialize_entry("warn", &verdicts.warn)?;
        if let Some(id) = first_failure {
            map.serialize_entry("first_failure", id)?;
        }
        if let Some(at) = detected_at {
            map.serialize_entry("detected_at", at)?;
        }
        map.end()
    }
}
