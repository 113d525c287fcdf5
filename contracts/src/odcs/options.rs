//! `logicalTypeOptions`: what a property's values must keep beyond their type.

use super::{EcmaPattern, LogicalType, VOCABULARY};
use crate::{
    diagnostic::{Findings, Position},
    validator::rule::{Decimal, Format},
    yaml::{Node, Object, Value, clip},
};

/// One option.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// What it asks.
    pub kind: ConstraintKind,
    /// Where it stands.
    pub at: Position,
}

/// What an option asks. Bounds are texts as written: numbers for numbers, times for dates, times and timestamps.
/// The boolean `exclusiveMinimum` and `exclusiveMaximum` of 3.0 have become the numeric ones of 3.1.
#[derive(Debug, Clone)]
pub enum ConstraintKind {
    /// `minLength`
    MinLength(u64),
    /// `maxLength`
    MaxLength(u64),
    /// `pattern`
    Pattern(EcmaPattern),
    /// `format`, as written.
    Format(String),
    /// `minimum`
    Minimum(String),
    /// `maximum`
    Maximum(String),
    /// `exclusiveMinimum`
    ExclusiveMinimum(String),
    /// `exclusiveMaximum`
    ExclusiveMaximum(String),
    /// `multipleOf`
    MultipleOf(Decimal),
    /// `timezone: true`: values name their zone.
    Timezone,
    /// `defaultTimezone`: the zone of values that name none.
    DefaultTimezone(String),
    /// `minItems`
    MinItems(u64),
    /// `maxItems`
    MaxItems(u64),
    /// `uniqueItems: true`
    UniqueItems,
    /// `minProperties`
    MinProperties(u64),
    /// `maxProperties`
    MaxProperties(u64),
    /// `required`: properties that must be there and not be null.
    Required(Vec<String>),
}

impl ConstraintKind {
    /// The option's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MinLength(_) => "minLength",
            Self::MaxLength(_) => "maxLength",
            Self::Pattern(_) => "pattern",
            Self::Format(_) => "format",
            Self::Minimum(_) => "minimum",
            Self::Maximum(_) => "maximum",
            Self::ExclusiveMinimum(_) => "exclusiveMinimum",
            Self::ExclusiveMaximum(_) => "exclusiveMaximum",
            Self::MultipleOf(_) => "multipleOf",
            Self::Timezone => "timezone",
            Self::DefaultTimezone(_) => "defaultTimezone",
            Self::MinItems(_) => "minItems",
            Self::MaxItems(_) => "maxItems",
            Self::UniqueItems => "uniqueItems",
            Self::MinProperties(_) => "minProperties",
            Self::MaxProperties(_) => "maxProperties",
            Self::Required(_) => "required",
        }
    }
}

const NUMBER: &[&str] = &["exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "minimum", "multipleOf"];
const DATE: &[&str] = &["exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "minimum"];
const TIME: &[&str] =
    &["defaultTimezone", "exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "minimum", "timezone"];

fn allowed(logical_type: LogicalType) -> &'static [&'static str] {
    match logical_type {
        LogicalType::String => &["format", "maxLength", "minLength", "pattern"],
        LogicalType::Integer | LogicalType::Number => NUMBER,
        LogicalType::Date => DATE,
        LogicalType::Timestamp | LogicalType::Time => TIME,
        LogicalType::Array => &["maxItems", "minItems", "uniqueItems"],
        LogicalType::Object => &["maxProperties", "minProperties", "required"],
        LogicalType::Boolean => &[],
    }
}

/// Reads the options of a property, if it has any. `epoch` says that its times are integers.
pub(super) fn read(
    property: Object<'_>,
    logical_type: Option<LogicalType>,
    epoch: bool,
    findings: &mut Findings<'_>,
) -> Vec<Constraint> {
    let what = format!("logicalTypeOptions of {}", property.what);
    let Some(options) = property.object("logicalTypeOptions", &what, findings) else { return Vec::new() };
    let Some(logical_type) = logical_type else {
        let at = property.at_key("logicalTypeOptions");
        findings
            .error("odcs-options-without-type", at, format!("{what} have no effect without a logicalType"))
            .help("add 'logicalType'");
        return Vec::new();
    };
    options.refuse_unknown(allowed(logical_type), findings);
    let mut reader = Reader { options, logical_type, epoch, constraints: Vec::new() };
    match logical_type {
        LogicalType::String => reader.string(findings),
        LogicalType::Integer | LogicalType::Number => {
            reader.bounds(findings);
            reader.multiple_of(findings);
            reader.numeric_format(findings);
        }
        LogicalType::Date | LogicalType::Timestamp | LogicalType::Time => {
            reader.temporal_format(findings);
            reader.bounds(findings);
            reader.zones(findings);
        }
        LogicalType::Array => {
            reader.count("minItems", ConstraintKind::MinItems, findings);
            reader.count("maxItems", ConstraintKind::MaxItems, findings);
            if options.bool("uniqueItems", findings) == Some(true) {
                reader.push("uniqueItems", ConstraintKind::UniqueItems);
            }
        }
        LogicalType::Object => reader.object(findings),
        LogicalType::Boolean => {}
    }
    reader.constraints
}

struct Reader<'a> {
    options: Object<'a>,
    logical_type: LogicalType,
    epoch: bool,
    constraints: Vec<Constraint>,
}

impl Reader<'_> {
    fn push(&mut self, key: &str, kind: ConstraintKind) {
        self.constraints.push(Constraint { kind, at: self.options.at_key(key) });
    }

    fn count(&mut self, key: &str, kind: fn(u64) -> ConstraintKind, findings: &mut Findings<'_>) {
        if let Some(count) = self.options.count(key, findings) {
            self.push(key, kind(count));
        }
    }

    fn string(&mut self, findings: &mut Findings<'_>) {
        self.count("minLength", ConstraintKind::MinLength, findings);
        self.count("maxLength", ConstraintKind::MaxLength, findings);
        if let Some(pattern) = read_pattern(self.options, findings) {
            self.push("pattern", ConstraintKind::Pattern(pattern));
        }
        if let Some(format) = self.options.text("format", findings) {
            self.push("format", ConstraintKind::Format(format));
        }
    }

    fn object(&mut self, findings: &mut Findings<'_>) {
        self.count("minProperties", ConstraintKind::MinProperties, findings);
        self.count("maxProperties", ConstraintKind::MaxProperties, findings);
        let names: Vec<String> = self.options.texts("required", findings).into_iter().map(|(name, _)| name).collect();
        if !names.is_empty() {
            self.push("required", ConstraintKind::Required(names));
        }
    }

    fn bounds(&mut self, findings: &mut Findings<'_>) {
        let (minimum, maximum) = (self.bound("minimum", findings), self.bound("maximum", findings));
        self.side("minimum", "exclusiveMinimum", minimum, findings);
        self.side("maximum", "exclusiveMaximum", maximum, findings);
    }

    /// One end of the range. In 3.0 the exclusive key is a boolean that speaks about the inclusive one; in 3.1 it is
    /// a bound of its own, and both may be there.
    fn side(&mut self, inclusive: &'static str, exclusive: &'static str, bound: Option<String>, f: &mut Findings<'_>) {
        type FromBound = fn(String) -> ConstraintKind;
        let (include, exclude): (FromBound, FromBound) = match inclusive {
            "minimum" => (ConstraintKind::Minimum, ConstraintKind::ExclusiveMinimum),
            _ => (ConstraintKind::Maximum, ConstraintKind::ExclusiveMaximum),
        };
        let flag = self.options.get(exclusive).map(|node| &node.value);
        match (flag, bound) {
            (Some(Value::Bool(true)), Some(bound)) => self.push(inclusive, exclude(bound)),
            (Some(Value::Bool(true)), None) if self.options.get(inclusive).is_none() => {
                let message = format!("'{exclusive}: true' has no effect without '{inclusive}'");
                f.warning("odcs-exclusive-without-bound", self.options.at_key(exclusive), message);
            }
            (Some(Value::Bool(_)), bound) => {
                if let Some(bound) = bound {
                    self.push(inclusive, include(bound));
                }
            }
            (_, bound) => {
                if let Some(bound) = bound {
                    self.push(inclusive, include(bound));
                }
                if let Some(bound) = self.bound(exclusive, f) {
                    self.push(exclusive, exclude(bound));
                }
            }
        }
    }

    /// A bound as written, if it is one for this type.
    fn bound(&self, key: &str, findings: &mut Findings<'_>) -> Option<String> {
        let node = self.options.get(key)?;
        let numeric = self.epoch || matches!(self.logical_type, LogicalType::Integer | LogicalType::Number);
        if numeric {
            return number(node, key, self.options, findings).map(|Decimal(text)| text);
        }
        let text = self.options.text(key, findings)?;
        // A bound in a format of its own can only be read by what reads the values.
        let iso = self.options.get("format").is_none();
        if iso && !self.logical_type.is_iso(&text) {
            let message = format!("'{}' is no {} in ISO 8601", clip(&text), self.logical_type.as_str());
            findings.error("odcs-bad-bound", node.at, message);
            return None;
        }
        Some(text)
    }

    fn multiple_of(&mut self, findings: &mut Findings<'_>) {
        let Some(node) = self.options.get("multipleOf") else { return };
        let Some(step) = number(node, "multipleOf", self.options, findings) else { return };
        if step.0.parse::<f64>().is_ok_and(|step| step > 0.0) {
            self.push("multipleOf", ConstraintKind::MultipleOf(step));
        } else {
            findings.error("odcs-bad-bound", node.at, "'multipleOf' must be above 0");
        }
    }

    /// Only a format that is written counts: the standard's JSON Schema names `i32` as the default, for numbers too,
    /// and nobody means it.
    fn numeric_format(&mut self, findings: &mut Findings<'_>) {
        let Some(format) = self.options.text("format", findings) else { return };
        if numeric_format(&format).is_some() || format == "f64" {
            self.push("format", ConstraintKind::Format(format));
        } else {
            let message = format!("'{}' is no format of numbers", clip(&format));
            let finding = findings.error("odcs-bad-format", self.options.at_key("format"), message);
            finding.help("i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, f32 and f64 are");
        }
    }

    fn temporal_format(&mut self, findings: &mut Findings<'_>) {
        let Some(format) = self.options.text("format", findings) else { return };
        match unknown_jdk_letter(&format) {
            None => self.push("format", ConstraintKind::Format(format)),
            Some(letter) => {
                let message = format!("'{}' is no DateTimeFormatter pattern: '{letter}'", clip(&format));
                let finding = findings.error("odcs-bad-format", self.options.at_key("format"), message);
                finding.help(
                    "without 'format', values are ISO 8601; otherwise write one such as yyyy-MM-dd'T'HH:mm:ssXXX",
                );
            }
        }
    }

    fn zones(&mut self, findings: &mut Findings<'_>) {
        if self.options.bool("timezone", findings) == Some(true) {
            self.push("timezone", ConstraintKind::Timezone);
        }
        if let Some(zone) = self.options.text("defaultTimezone", findings) {
            self.push("defaultTimezone", ConstraintKind::DefaultTimezone(zone));
        }
    }
}

/// A number as written.
fn number(node: &Node, key: &str, options: Object<'_>, findings: &mut Findings<'_>) -> Option<Decimal> {
    if let Value::Number(number) = &node.value {
        return Some(Decimal(number.text.clone()));
    }
    let message = format!("'{key}' in {} must be a number, not {}", options.what, node.kind());
    findings.error(VOCABULARY.wrong_type, node.at, message);
    None
}

/// The pattern under the key `pattern`, compiled.
pub(super) fn read_pattern(parent: Object<'_>, findings: &mut Findings<'_>) -> Option<EcmaPattern> {
    let source = parent.text("pattern", findings)?;
    let at = parent.get("pattern").map_or(parent.at, |node| node.at);
    match EcmaPattern::new(&source) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            findings.error("odcs-bad-pattern", at, format!("pattern '{}': {why}", clip(&source)));
            None
        }
    }
}

/// `i8` … `u128`, `f32` as what a value must be; `f64` asks nothing of a JSON number.
pub(super) fn numeric_format(format: &str) -> Option<Format> {
    if format == "f32" {
        return Some(Format::Float32);
    }
    let (signed, digits) =
        format.strip_prefix('i').map(|d| (true, d)).or_else(|| Some((false, format.strip_prefix('u')?)))?;
    let bits = digits.parse().ok().filter(|bits| [8, 16, 32, 64, 128].contains(bits))?;
    Some(Format::Integer { bits, signed })
}

/// The first letter outside quotes that `java.time.format.DateTimeFormatter` does not define.
fn unknown_jdk_letter(pattern: &str) -> Option<char> {
    let mut quoted = false;
    let stranger = pattern.chars().find(|&c| {
        quoted ^= c == '\'';
        !quoted && c.is_ascii_alphabetic() && !"GuyDMLdgQqYwWEecFaBhKkHmsSAnNVvzOXxZp".contains(c)
            || !quoted && matches!(c, '{' | '}' | '#')
    });
    stranger.or_else(|| quoted.then_some('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jdk_letters() {
        assert_eq!(unknown_jdk_letter("yyyy-MM-dd'T'HH:mm:ss.SSSXXX"), None);
        assert_eq!(unknown_jdk_letter("date-time"), Some('t'));
        assert_eq!(unknown_jdk_letter("yyyy'T"), Some('\''));
    }

    #[test]
    fn numeric_formats() {
        assert_eq!(numeric_format("u16"), Some(Format::Integer { bits: 16, signed: false }));
        assert_eq!(numeric_format("i128"), Some(Format::Integer { bits: 128, signed: true }));
        assert_eq!(numeric_format("f32"), Some(Format::Float32));
        for other in ["f64", "i7", "int", "", "u", "i-8", "u256"] {
            assert_eq!(numeric_format(other), None, "{other}");
        }
    }
}
