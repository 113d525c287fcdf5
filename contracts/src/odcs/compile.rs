//! From a schema object to the rules that a record is held to.

mod quality;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Constraint, ConstraintKind, Coverage, LogicalType, Property, RuleCoverage, SchemaObject, options, schema::join,
};
use crate::{
    diagnostic::Position,
    validator::rule::{Check, Decimal, FieldRule, Format, JsonTypes, ObjectRule, Presence, ValueRule},
};

/// Reduces a schema object to the rule of a record, and says of each of its rules how far it is judged.
#[must_use]
pub fn compile(object: &SchemaObject) -> (ValueRule, Vec<RuleCoverage>) {
    let mut compiler = Compiler { coverage: Vec::new() };
    for rule in &object.quality {
        compiler.object_quality(rule, "");
    }
    compiler.relationships("", object.relationships.iter().map(|r| r.at));
    let fields = compiler.fields(&object.properties, "", &BTreeSet::new());
    let record = ValueRule {
        types: JsonTypes::OBJECT,
        object: Some(ObjectRule { fields, closed: object.closed }),
        ..ValueRule::default()
    };
    (record, compiler.coverage)
}

struct Compiler {
    coverage: Vec<RuleCoverage>,
}

/// A property's rule before its parent decides what its absence means.
struct Compiled {
    value: ValueRule,
    not_null: bool,
}

impl Compiler {
    fn cover(&mut self, path: &str, rule: impl Into<String>, at: Position) {
        self.report(path, rule, at, Coverage::Record, "");
    }

    fn report(&mut self, path: &str, rule: impl Into<String>, at: Position, coverage: Coverage, reason: &'static str) {
        self.coverage.push(RuleCoverage { path: path.to_owned(), rule: rule.into(), coverage, reason, at });
    }

    fn relationships(&mut self, path: &str, places: impl Iterator<Item = Position>) {
        for at in places {
            self.report(path, "relationships", at, Coverage::Unsupported, "records are not joined with other data");
        }
    }

    /// The rules of an object's fields. `required` are names that the object itself asks for; one that no property
    /// declares becomes a field of any type.
    fn fields(&mut self, properties: &[Property], path: &str, required: &BTreeSet<&str>) -> Vec<FieldRule> {
        let mut fields = Vec::with_capacity(properties.len());
        for property in properties {
            let path = join(path, &property.name);
            let Compiled { value, not_null } = self.property(property, &path, false);
            let must_be_there = property.required || required.contains(&*property.logical_name);
            let presence = match (must_be_there, not_null) {
                (true, _) => Presence::RequiredNotNull,
                (false, true) => Presence::OptionalNotNull,
                (false, false) => Presence::OptionalOrNull,
            };
            fields.push(FieldRule { name: property.name.to_string(), presence, value });
        }
        for &name in required {
            if properties.iter().all(|property| &*property.logical_name != name) {
                let presence = Presence::RequiredNotNull;
                fields.push(FieldRule { name: name.to_owned(), presence, value: ValueRule::default() });
            }
        }
        fields
    }

    /// `item`: an array's item, whose null no [`Presence`] speaks about.
    fn property(&mut self, property: &Property, path: &str, item: bool) -> Compiled {
        if property.required {
            self.cover(path, "required", property.at);
        }
        for (asked, rule) in [(property.unique, "unique"), (property.primary_key, "primaryKey")] {
            if asked {
                self.report(path, rule, property.at, Coverage::Window, "it compares records with each other");
            }
        }
        self.relationships(path, property.relationships.iter().map(|r| r.at));
        let mut value = ValueRule { types: types(property), ..ValueRule::default() };
        let mut required = BTreeSet::new();
        self.constraints(property, path, &mut value.checks, &mut required);
        if property.logical_type == Some(LogicalType::Object) {
            let fields = self.fields(&property.properties, path, &required);
            let closed = property.closed && !property.properties.is_empty();
            value.object = Some(ObjectRule { fields, closed });
        }
        if let Some(items) = &property.items {
            let Compiled { value: rule, .. } = self.property(items, &format!("{path}[]"), true);
            value.items = Some(Box::new(rule));
        }
        let mut not_null = false;
        for rule in &property.quality {
            self.property_quality(rule, property, path, &mut value.checks, &mut not_null);
        }
        match (item, property.required || not_null) {
            (true, true) if value.types.is_empty() => value.types = NOT_NULL,
            (true, false) => allow_null(&mut value),
            _ => {}
        }
        Compiled { value, not_null }
    }

    fn constraints<'a>(
        &mut self,
        property: &'a Property,
        path: &str,
        checks: &mut Vec<Check>,
        required: &mut BTreeSet<&'a str>,
    ) {
        let temporal = property.logical_type.filter(|t| t.is_temporal() && !property.epoch);
        let form = temporal.map(|logical_type| temporal_format(logical_type, &property.constraints));
        if let Some(form) = &form {
            checks.push(Check::Format(form.clone()));
        }
        for Constraint { kind, at } in &property.constraints {
            let check = match kind {
                ConstraintKind::MinLength(n) => Ok(Check::MinLength(*n)),
                ConstraintKind::MaxLength(n) => Ok(Check::MaxLength(*n)),
                ConstraintKind::Pattern(pattern) => match &pattern.regex {
                    Some(regex) => Ok(Check::Pattern(regex.clone())),
                    None => Err(LINEAR),
                },
                ConstraintKind::Format(format) => match self.format(format, property, path, *at) {
                    Some(format) => Ok(Check::Format(format)),
                    None => continue,
                },
                ConstraintKind::Minimum(bound) => Ok(lower(bound, form.as_ref(), false)),
                ConstraintKind::ExclusiveMinimum(bound) => Ok(lower(bound, form.as_ref(), true)),
                ConstraintKind::Maximum(bound) => Ok(upper(bound, form.as_ref(), false)),
                ConstraintKind::ExclusiveMaximum(bound) => Ok(upper(bound, form.as_ref(), true)),
                ConstraintKind::MultipleOf(step) => Ok(Check::MultipleOf(step.clone())),
                ConstraintKind::MinItems(n) => Ok(Check::MinItems(*n)),
                ConstraintKind::MaxItems(n) => Ok(Check::MaxItems(*n)),
                ConstraintKind::UniqueItems => Ok(Check::UniqueItems),
                ConstraintKind::MinProperties(n) => Ok(Check::MinProperties(*n)),
                ConstraintKind::MaxProperties(n) => Ok(Check::MaxProperties(*n)),
                ConstraintKind::Required(names) => {
                    required.extend(names.iter().map(String::as_str));
                    self.cover(path, kind.name(), *at);
                    continue;
                }
                ConstraintKind::Timezone => Err("a time is taken with or without a zone"),
                // It names the zone that is assumed anyway.
                ConstraintKind::DefaultTimezone(zone) if is_utc(zone) => continue,
                ConstraintKind::DefaultTimezone(_) => Err("a time without a zone is taken as UTC"),
            };
            match check {
                Ok(check) => {
                    checks.push(check);
                    self.cover(path, kind.name(), *at);
                }
                Err(reason) => self.report(path, kind.name(), *at, Coverage::Unsupported, reason),
            }
        }
    }

    /// The check of a `format`, if there is one to make beyond those of the type.
    fn format(&mut self, format: &str, property: &Property, path: &str, at: Position) -> Option<Format> {
        let found = match property.logical_type {
            // A type's own form is checked already.
            Some(t) if t.is_temporal() && !property.epoch => {
                self.cover(path, "format", at);
                return None;
            }
            Some(LogicalType::Integer | LogicalType::Number) => {
                if format == "f64" {
                    self.cover(path, "format", at);
                    return None;
                }
                options::numeric_format(format)
            }
            Some(LogicalType::String) => string_format(format),
            _ => None,
        };
        if found.is_none() {
            let reason = match format {
                "binary" | "password" => "any text has this form",
                _ => "the form is not known",
            };
            self.report(path, "format", at, Coverage::Unsupported, reason);
        }
        found
    }
}

const LINEAR: &str = "its pattern needs look-around or back-references, whose time has no bound";

fn types(property: &Property) -> JsonTypes {
    match property.logical_type {
        None => JsonTypes::default(),
        Some(LogicalType::Date | LogicalType::Timestamp | LogicalType::Time) if property.epoch => JsonTypes::INTEGER,
        Some(LogicalType::String | LogicalType::Date | LogicalType::Timestamp | LogicalType::Time) => JsonTypes::STRING,
        Some(LogicalType::Number) => JsonTypes::NUMBER,
        Some(LogicalType::Integer) => JsonTypes::INTEGER,
        Some(LogicalType::Object) => JsonTypes::OBJECT,
        Some(LogicalType::Array) => JsonTypes::ARRAY,
        Some(LogicalType::Boolean) => JsonTypes::BOOLEAN,
    }
}

/// All types but null.
const NOT_NULL: JsonTypes =
    JsonTypes::BOOLEAN.or(JsonTypes::NUMBER).or(JsonTypes::STRING).or(JsonTypes::ARRAY).or(JsonTypes::OBJECT);

/// Null is never invalid for an item that is not required.
fn allow_null(value: &mut ValueRule) {
    if !value.types.is_empty() {
        value.types = value.types.or(JsonTypes::NULL);
    }
    for check in &mut value.checks {
        if let Check::OneOf(values) = check {
            values.push(Value::Null);
        }
    }
}

fn string_format(format: &str) -> Option<Format> {
    match format {
        "email" => Some(Format::Email),
        "uuid" => Some(Format::Uuid),
        "uri" => Some(Format::Uri),
        "hostname" => Some(Format::Hostname),
        "ipv4" => Some(Format::Ipv4),
        "ipv6" => Some(Format::Ipv6),
        "byte" => Some(Format::Base64),
        _ => None,
    }
}

fn temporal_format(logical_type: LogicalType, constraints: &[Constraint]) -> Format {
    let written = constraints.iter().find_map(|c| match &c.kind {
        ConstraintKind::Format(pattern) => Some(Format::JdkPattern(pattern.clone())),
        _ => None,
    });
    written.unwrap_or(match logical_type {
        LogicalType::Date => Format::Date,
        LogicalType::Time => Format::Time,
        _ => Format::DateTime,
    })
}

fn is_utc(zone: &str) -> bool {
    ["Etc/UTC", "UTC", "Z", "Etc/UCT", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(zone))
}

fn lower(bound: &str, form: Option<&Format>, exclusive: bool) -> Check {
    match (form.cloned(), exclusive) {
        (None, false) => Check::Minimum(Decimal(bound.to_owned())),
        (None, true) => Check::ExclusiveMinimum(Decimal(bound.to_owned())),
        (Some(form), false) => Check::NotBefore(form, bound.to_owned()),
        (Some(form), true) => Check::After(form, bound.to_owned()),
    }
}

fn upper(bound: &str, form: Option<&Format>, exclusive: bool) -> Check {
    match (form.cloned(), exclusive) {
        (None, false) => Check::Maximum(Decimal(bound.to_owned())),
        (None, true) => Check::ExclusiveMaximum(Decimal(bound.to_owned())),
        (Some(form), false) => Check::NotAfter(form, bound.to_owned()),
        (Some(form), true) => Check::Before(form, bound.to_owned()),
    }
}
