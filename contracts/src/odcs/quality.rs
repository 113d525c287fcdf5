//! `quality`: rules about values beyond their types.

use super::{EcmaPattern, VOCABULARY, options};
use crate::{
    diagnostic::{Findings, Position},
    yaml::{Node, Object, Value, clip},
};

/// One rule.
#[derive(Debug, Clone)]
pub struct QualityRule {
    /// What it asks.
    pub check: QualityCheck,
    /// Where it stands.
    pub at: Position,
}

/// What a rule asks.
#[derive(Debug, Clone)]
pub enum QualityCheck {
    /// `type: library`
    Library {
        /// What is counted.
        metric: Metric,
        /// What the count must be; all must hold.
        thresholds: Vec<Threshold>,
        /// Whether the count is a share in percent.
        percent: bool,
    },
    /// `type: text`: for people.
    Text,
    /// `type: sql`: a query, which a stream has no table for.
    Sql,
    /// `type: custom`: a rule for another engine.
    Custom,
}

/// What a library rule counts.
#[derive(Debug, Clone)]
pub enum Metric {
    /// `nullValues`
    NullValues,
    /// `missingValues`: values that stand for none, such as an empty text.
    MissingValues(Vec<serde_json::Value>),
    /// `invalidValues`: values that are not among these, or do not match.
    InvalidValues {
        /// `validValues`
        valid: Option<Vec<serde_json::Value>>,
        /// `pattern`
        pattern: Option<EcmaPattern>,
    },
    /// `duplicateValues`
    DuplicateValues,
    /// `rowCount`
    RowCount,
    /// Any other.
    Other(String),
}

impl Metric {
    /// The name in a contract.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::NullValues => "nullValues",
            Self::MissingValues(_) => "missingValues",
            Self::InvalidValues { .. } => "invalidValues",
            Self::DuplicateValues => "duplicateValues",
            Self::RowCount => "rowCount",
            Self::Other(name) => name,
        }
    }
}

/// What a count must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// `mustBe`
    Equal(f64),
    /// `mustNotBe`
    NotEqual(f64),
    /// `mustBeGreaterThan`
    Greater(f64),
    /// `mustBeGreaterOrEqualTo`
    GreaterOrEqual(f64),
    /// `mustBeLessThan`
    Less(f64),
    /// `mustBeLessOrEqualTo`
    LessOrEqual(f64),
    /// `mustBeBetween`, ends included.
    Between(f64, f64),
    /// `mustNotBeBetween`, ends included.
    NotBetween(f64, f64),
}

impl Threshold {
    /// Whether only a count of zero keeps it, so that a single record can break it by itself.
    #[must_use]
    pub fn allows_only_zero(self, percent: bool) -> bool {
        // Rows are counted in whole numbers.
        let below_one = |n: f64| n == 0.0 || !percent && n > 0.0 && n < 1.0;
        match self {
            Self::Equal(n) => n == 0.0,
            Self::LessOrEqual(n) | Self::Between(_, n) => below_one(n),
            Self::Less(n) => !percent && n > 0.0 && n <= 1.0,
            Self::NotEqual(_) | Self::Greater(_) | Self::GreaterOrEqual(_) | Self::NotBetween(..) => false,
        }
    }
}

type ReadThreshold = fn(f64) -> Threshold;
const OPERATORS: [(&str, ReadThreshold); 6] = [
    ("mustBe", Threshold::Equal),
    ("mustNotBe", Threshold::NotEqual),
    ("mustBeGreaterThan", Threshold::Greater),
    ("mustBeGreaterOrEqualTo", Threshold::GreaterOrEqual),
    ("mustBeLessThan", Threshold::Less),
    ("mustBeLessOrEqualTo", Threshold::LessOrEqual),
];

type ReadRange = fn(f64, f64) -> Threshold;
const RANGES: [(&str, ReadRange); 2] =
    [("mustBeBetween", Threshold::Between), ("mustNotBeBetween", Threshold::NotBetween)];

const KEYS: [&str; 29] = [
    "arguments",
    "authoritativeDefinitions",
    "businessImpact",
    "customProperties",
    "description",
    "dimension",
    "engine",
    "id",
    "implementation",
    "method",
    "metric",
    "mustBe",
    "mustBeBetween",
    "mustBeGreaterOrEqualTo",
    "mustBeGreaterThan",
    "mustBeLessOrEqualTo",
    "mustBeLessThan",
    "mustNotBe",
    "mustNotBeBetween",
    "name",
    "query",
    "rule",
    "schedule",
    "scheduler",
    "severity",
    "tags",
    "type",
    "unit",
    // 3.0 has it beside `rule`.
    "validValues",
];

/// The rules of a schema object or property.
pub(super) fn read_all(parent: Object<'_>, findings: &mut Findings<'_>) -> Vec<QualityRule> {
    parent.list("quality", findings).iter().filter_map(|node| read(node, findings)).collect()
}

fn read(node: &Node, findings: &mut Findings<'_>) -> Option<QualityRule> {
    let rule = Object::of(node, "a quality rule", &VOCABULARY, findings)?;
    rule.warn_unknown(&KEYS, findings);
    let check = match rule.text("type", findings).as_deref() {
        None | Some("library") => read_library(rule, findings)?,
        Some("text") => QualityCheck::Text,
        Some("sql") => QualityCheck::Sql,
        Some("custom") => QualityCheck::Custom,
        Some(other) => {
            let message = format!("'{}' is no type of quality rule", clip(other));
            let finding = findings.error("odcs-unknown-quality-type", rule.at_key("type"), message);
            finding.help("library, text, sql and custom are");
            return None;
        }
    };
    Some(QualityRule { check, at: rule.at })
}

fn read_library(rule: Object<'_>, findings: &mut Findings<'_>) -> Option<QualityCheck> {
    // 3.0 calls the metric `rule`, with names of its own.
    let legacy = rule.get("metric").is_none() && rule.get("rule").is_some();
    let name = rule.required_text(if legacy { "rule" } else { "metric" }, findings)?;
    let arguments = rule.object("arguments", "the arguments of a quality rule", findings);
    let percent = match rule.text("unit", findings).as_deref() {
        None | Some("rows") => false,
        Some("percent") => true,
        Some(other) => {
            let message = format!("'{}' is no unit of a quality rule", clip(other));
            findings.error("odcs-bad-unit", rule.at_key("unit"), message).help("rows and percent are");
            return None;
        }
    };
    let mut thresholds = read_thresholds(rule, findings);
    let metric = match name.as_str() {
        "nullValues" | "nullCount" | "nullCheck" => Metric::NullValues,
        "missingValues" => Metric::MissingValues(values(arguments, "missingValues", findings).unwrap_or_default()),
        "invalidValues" => Metric::InvalidValues {
            valid: values(arguments, "validValues", findings),
            pattern: arguments.and_then(|arguments| options::read_pattern(arguments, findings)),
        },
        "validValues" if legacy => {
            if thresholds.is_empty() {
                thresholds.push(Threshold::Equal(0.0));
            }
            let valid = values(Some(rule), "validValues", findings);
            Metric::InvalidValues { valid: valid.or_else(|| values(arguments, "validValues", findings)), pattern: None }
        }
        "duplicateValues" | "duplicateCount" => Metric::DuplicateValues,
        "rowCount" => Metric::RowCount,
        _ => Metric::Other(clip(&name)),
    };
    let empty = match &metric {
        Metric::MissingValues(values) => values.is_empty(),
        // A pattern that is there and wrong has been reported.
        Metric::InvalidValues { valid, .. } => {
            valid.as_ref().is_none_or(Vec::is_empty) && arguments.is_none_or(|a| a.get("pattern").is_none())
        }
        _ => false,
    };
    if empty {
        let message = format!("{} has no arguments, so it asks nothing", metric.name());
        let finding = findings.error("odcs-quality-arguments", rule.at, message);
        finding.help(
            "missingValues needs arguments.missingValues; invalidValues arguments.validValues or arguments.pattern",
        );
    }
    if thresholds.is_empty() && !matches!(metric, Metric::Other(_)) {
        let message = format!("{} has no operator, so it asks nothing", metric.name());
        findings.error("odcs-quality-operator", rule.at, message).help("add one, such as 'mustBe: 0'");
    }
    Some(QualityCheck::Library { metric, thresholds, percent })
}

fn read_thresholds(rule: Object<'_>, findings: &mut Findings<'_>) -> Vec<Threshold> {
    let mut thresholds = Vec::new();
    for (key, threshold) in OPERATORS {
        if let Some(node) = rule.get(key) {
            match number(node) {
                Some(n) => thresholds.push(threshold(n)),
                None => not_numbers(key, "a number", node, findings),
            }
        }
    }
    for (key, threshold) in RANGES {
        if let Some(node) = rule.get(key) {
            match &node.value {
                Value::List(ends) if ends.len() == 2 => match (number(&ends[0]), number(&ends[1])) {
                    (Some(low), Some(high)) if low <= high => thresholds.push(threshold(low, high)),
                    _ => not_numbers(key, "two numbers, the lower first", node, findings),
                },
                _ => not_numbers(key, "two numbers, the lower first", node, findings),
            }
        }
    }
    thresholds
}

fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Number(number) => number.json.as_f64(),
        _ => None,
    }
}

fn not_numbers(key: &str, expected: &str, node: &Node, findings: &mut Findings<'_>) {
    findings.error(VOCABULARY.wrong_type, node.at, format!("'{key}' must be {expected}"));
}

fn values(parent: Option<Object<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Vec<serde_json::Value>> {
    let parent = parent?;
    parent.get(key)?;
    Some(parent.list(key, findings).iter().map(Node::json).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_single_record_can_break() {
        for zero in [Threshold::Equal(0.0), Threshold::LessOrEqual(0.0), Threshold::Between(0.0, 0.0)] {
            assert!(zero.allows_only_zero(false) && zero.allows_only_zero(true), "{zero:?}");
        }
        for zero in [Threshold::Less(1.0), Threshold::LessOrEqual(0.5), Threshold::Between(0.0, 0.9)] {
            assert!(
                zero.allows_only_zero(false) && !zero.allows_only_zero(true),
                "half a percent is below one: {zero:?}"
            );
        }
        let some = [Threshold::Equal(3.0), Threshold::Between(0.0, 5.0), Threshold::GreaterOrEqual(0.0)];
        assert!(some.iter().all(|t| !t.allows_only_zero(false)));
    }
}
