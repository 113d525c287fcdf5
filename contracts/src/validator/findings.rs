//! What the gates found in a record, in a buffer that is used again for the next one.

use crate::{
    evidence::{Gate, GateSet},
    reason::ReasonCode,
};

/// The reason codes of one record, by gate, and the details that codes do not carry.
///
/// Codes are kept sorted and without duplicates; of more than the limit, the first ones are kept.
#[derive(Debug, Clone)]
pub struct Findings {
    max_reasons: usize,
    codes: Vec<ReasonCode>,
    /// The gates that gave the code at the same place of `codes`.
    gates: Vec<GateSet>,
    failed: GateSet,
    truncated: bool,
    details: Vec<String>,
    /// Working memory of the validator: the codes found so far, one bit each.
    pub(super) marks: Vec<u64>,
    /// Working memory of the validator: where the declared fields of the objects being read lie.
    pub(super) places: Vec<u32>,
}

impl Default for Findings {
    fn default() -> Self {
        Self::new(Self::MAX_REASONS)
    }
}

impl Findings {
    /// Most reason codes of a record, unless told otherwise.
    pub const MAX_REASONS: usize = 64;
    /// Most details of a record, besides the one that says that reason codes were left out.
    pub const MAX_DETAILS: usize = 8;
    /// Most bytes of a detail.
    pub const MAX_DETAIL_BYTES: usize = 128;

    /// An empty buffer that keeps at most `max_reasons` codes of a record, and at least one.
    #[must_use]
    pub fn new(max_reasons: usize) -> Self {
        Self {
            max_reasons: max_reasons.max(1),
            codes: Vec::new(),
            gates: Vec::new(),
            failed: GateSet::default(),
            truncated: false,
            details: Vec::new(),
            marks: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes room for the next record.
    pub fn clear(&mut self) {
        self.codes.clear();
        self.gates.clear();
        self.details.clear();
        self.failed = GateSet::default();
        self.truncated = false;
    }

    /// Takes note that `gate` failed because of `code`.
    pub fn add(&mut self, gate: Gate, code: ReasonCode) {
        self.failed.insert(gate);
        let mut gates = GateSet::default();
        gates.insert(gate);
        self.put(gates, code);
    }

    /// Takes note that a gate could not decide because of `code`: no gate failed by it.
    pub fn add_undecided(&mut self, code: ReasonCode) {
        self.put(GateSet::default(), code);
    }

    fn put(&mut self, gates: GateSet, code: ReasonCode) {
        match self.codes.binary_search(&code) {
            Ok(place) => gates.iter().for_each(|gate| self.gates[place].insert(gate)),
            Err(place) => {
                self.codes.insert(place, code);
                self.gates.insert(place, gates);
                if self.codes.len() > self.max_reasons {
                    self.codes.pop();
                    self.gates.pop();
                    self.note_truncation();
                }
            }
        }
    }

    /// Says once, whatever other details there are, that the record has more reasons than are shown.
    fn note_truncation(&mut self) {
        if !self.truncated {
            self.truncated = true;
            self.details.push(format!("more than {} reasons, of which the first are shown", self.max_reasons));
        }
    }

    /// Takes note of what a code does not carry, cut to [`Self::MAX_DETAIL_BYTES`]. Beyond [`Self::MAX_DETAILS`],
    /// and where it is there already, it is left out.
    pub fn add_detail(&mut self, detail: &str) {
        let end = (0..=detail.len().min(Self::MAX_DETAIL_BYTES)).rev().find(|end| detail.is_char_boundary(*end));
        let cut = &detail[..end.unwrap_or(0)];
        if self.details.len() < Self::MAX_DETAILS + usize::from(self.truncated)
            && !self.details.iter().any(|other| other == cut)
        {
            self.details.push(cut.to_owned());
        }
    }

    /// Whether no gate failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// All codes, sorted and without duplicates.
    #[must_use]
    pub fn reason_codes(&self) -> &[ReasonCode] {
        &self.codes
    }

    /// The codes that `gate` gave, sorted.
    pub fn of(&self, gate: Gate) -> impl Iterator<Item = &ReasonCode> {
        self.codes.iter().zip(&self.gates).filter(move |(_, gates)| gates.contains(gate)).map(|(code, _)| code)
    }

    /// The gates that failed.
    #[must_use]
    pub fn failed_gates(&self) -> GateSet {
        self.failed
    }

    /// Whether codes were left out because there were more than the limit.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Names of undeclared fields, in the order of the document, and what callers added.
    #[must_use]
    pub fn details(&self) -> &[String] {
        &self.details
    }
}
