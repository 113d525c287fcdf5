//! Quality rules: those that each record can keep or break by itself become checks, all others are reported.

use serde_json::Value;

use super::{Compiler, LINEAR, types};
use crate::{
    odcs::{Coverage, LogicalType, Metric, Property, QualityCheck, QualityRule},
    validator::rule::{Check, JsonTypes},
};

impl Compiler {
    pub(super) fn object_quality(&mut self, rule: &QualityRule, path: &str) {
        let (name, coverage, reason) = match &rule.check {
            QualityCheck::Library { metric: Metric::RowCount | Metric::DuplicateValues, .. } => {
                (None, Coverage::Window, "it is about many records")
            }
            QualityCheck::Library { metric: Metric::Other(_), .. } => {
                (None, Coverage::Unsupported, "the metric is not one of the standard's")
            }
            QualityCheck::Library { .. } => (None, Coverage::Unsupported, "the metric is one of properties"),
            other => foreign(other),
        };
        self.report(path, rule_name(&rule.check, name), rule.at, coverage, reason);
    }

    pub(super) fn property_quality(
        &mut self,
        rule: &QualityRule,
        property: &Property,
        path: &str,
        checks: &mut Vec<Check>,
        not_null: &mut bool,
    ) {
        let QualityCheck::Library { metric, thresholds, percent } = &rule.check else {
            let (name, coverage, reason) = foreign(&rule.check);
            self.report(path, rule_name(&rule.check, name), rule.at, coverage, reason);
            return;
        };
        let name = rule_name(&rule.check, None);
        let by_record = thresholds.iter().any(|threshold| threshold.allows_only_zero(*percent));
        let (coverage, reason) = match metric {
            Metric::Other(_) => (Coverage::Unsupported, "the metric is not one of the standard's"),
            Metric::RowCount | Metric::DuplicateValues => (Coverage::Window, "it is about many records"),
            _ if !by_record => (Coverage::Window, "some failures are allowed, so it is about many records"),
            Metric::NullValues => {
                *not_null = true;
                (Coverage::Record, "")
            }
            Metric::MissingValues(values) => {
                // A null among them is asked of presence: nothing else sees nulls.
                *not_null |= values.contains(&Value::Null);
                let values = coerced(values.iter().filter(|v| !v.is_null()), property);
                if !values.is_empty() {
                    checks.push(Check::NoneOf(values));
                }
                (Coverage::Record, "")
            }
            Metric::InvalidValues { valid, pattern } => {
                if let Some(valid) = valid.as_ref().filter(|valid| !valid.is_empty()) {
                    checks.push(Check::OneOf(coerced(valid.iter(), property)));
                }
                match pattern.as_ref().map(|pattern| &pattern.regex) {
                    Some(Some(regex)) => checks.push(Check::Pattern(regex.clone())),
                    Some(None) => {
                        self.report(path, format!("{name}.pattern"), rule.at, Coverage::Unsupported, LINEAR);
                        if valid.is_none() {
                            return;
                        }
                    }
                    None => {}
                }
                (Coverage::Record, "")
            }
        };
        self.report(path, name, rule.at, coverage, reason);
    }
}

fn rule_name(check: &QualityCheck, name: Option<&str>) -> String {
    match (check, name) {
        (QualityCheck::Library { metric, .. }, None) => format!("quality.{}", metric.name()),
        (_, name) => format!("quality.{}", name.unwrap_or("custom")),
    }
}

fn foreign(check: &QualityCheck) -> (Option<&'static str>, Coverage, &'static str) {
    match check {
        QualityCheck::Text => (Some("text"), Coverage::Unsupported, "it is written for people"),
        QualityCheck::Sql => (Some("sql"), Coverage::Unsupported, "a stream has no table to query"),
        QualityCheck::Custom | QualityCheck::Library { .. } => {
            (Some("custom"), Coverage::Unsupported, "it is written for another engine")
        }
    }
}

/// The values of a quality rule in the property's own type: YAML reads `validValues: [1, 2]` as numbers, and a contract
/// that calls the property a string means texts.
fn coerced<'a>(values: impl Iterator<Item = &'a Value>, property: &Property) -> Vec<Value> {
    let numeric = matches!(property.logical_type, Some(LogicalType::Integer | LogicalType::Number)) || property.epoch;
    let textual = types(property) == JsonTypes::STRING;
    let coerce = |value: &Value| match value {
        Value::Number(_) | Value::Bool(_) if textual => Value::String(value.to_string()),
        Value::String(text) if numeric => {
            serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| value.clone(), Value::Number)
        }
        _ => value.clone(),
    };
    values.map(coerce).collect()
}
