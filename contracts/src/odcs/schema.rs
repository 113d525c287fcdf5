//! `schema`: objects and their properties.

use std::{collections::BTreeSet, sync::Arc};

use super::{Constraint, QualityRule, VOCABULARY, options, quality, read::CustomProperties};
use crate::{
    diagnostic::{Findings, Position},
    yaml::{Node, Object, clip},
};

/// The deepest nesting of properties that is read.
const MAX_DEPTH: usize = 24;

/// What one topic (or table) holds.
#[derive(Debug, Clone)]
pub struct SchemaObject {
    /// `name`
    pub name: Arc<str>,
    /// `physicalName`: the topic.
    pub physical_name: Option<Arc<str>>,
    /// `physicalType`: `topic`, `table`, …
    pub physical_type: Option<Arc<str>>,
    /// Its properties.
    pub properties: Vec<Property>,
    /// Rules about the object as a whole.
    pub quality: Vec<QualityRule>,
    /// References to other objects.
    pub relationships: Vec<Relationship>,
    /// Whether fields that no property declares are failures.
    pub closed: bool,
    /// Where it stands.
    pub at: Position,
}

impl SchemaObject {
    /// The topic: `physicalName`, else `name`.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.physical_name.as_deref().unwrap_or(&self.name)
    }
}

/// A field, or what the items of an array are.
#[derive(Debug, Clone)]
pub struct Property {
    /// The field in a record: `physicalName`, else `name`; empty for items.
    pub name: Arc<str>,
    /// `name`: what the rest of the contract calls it.
    pub logical_name: Arc<str>,
    /// `logicalType`
    pub logical_type: Option<LogicalType>,
    /// Whether `physicalType` says that a date, time or timestamp is an integer since the epoch.
    pub epoch: bool,
    /// `required`
    pub required: bool,
    /// `unique`
    pub unique: bool,
    /// `primaryKey`
    pub primary_key: bool,
    /// `logicalTypeOptions`
    pub constraints: Vec<Constraint>,
    /// `quality`
    pub quality: Vec<QualityRule>,
    /// References to other objects.
    pub relationships: Vec<Relationship>,
    /// Nested properties of an object.
    pub properties: Vec<Property>,
    /// What the items of an array are.
    pub items: Option<Box<Property>>,
    /// Whether nested fields that no property declares are failures.
    pub closed: bool,
    /// Where it stands.
    pub at: Position,
}

/// A reference to other data. Records are not joined with other topics, so it is only reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relationship {
    /// Where it stands.
    pub at: Position,
}

/// The standard's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogicalType {
    /// `string`
    String,
    /// `date`
    Date,
    /// `timestamp`
    Timestamp,
    /// `time`
    Time,
    /// `number`
    Number,
    /// `integer`
    Integer,
    /// `object`
    Object,
    /// `array`
    Array,
    /// `boolean`
    Boolean,
}

impl LogicalType {
    const ALL: [Self; 9] = [
        Self::String,
        Self::Date,
        Self::Timestamp,
        Self::Time,
        Self::Number,
        Self::Integer,
        Self::Object,
        Self::Array,
        Self::Boolean,
    ];

    /// The name in a contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Time => "time",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Object => "object",
            Self::Array => "array",
            Self::Boolean => "boolean",
        }
    }

    /// A date, time or timestamp.
    pub(super) fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::Time)
    }

    /// Whether a text is one of these in ISO 8601.
    pub(super) fn is_iso(self, text: &str) -> bool {
        match self {
            Self::Date => text.parse::<jiff::civil::Date>().is_ok(),
            Self::Timestamp => text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok(),
            // jiff reads civil times only; an offset may follow.
            Self::Time => {
                let civil = text.find(['Z', 'z', '+', '-']).map_or(text, |at| &text[..at]);
                civil.parse::<jiff::civil::Time>().is_ok()
            }
            _ => false,
        }
    }
}

const OBJECT_KEYS: [&str; 15] = [
    "authoritativeDefinitions",
    "businessName",
    "customProperties",
    "dataGranularityDescription",
    "description",
    "id",
    "logicalType",
    "logicalTypeOptions",
    "name",
    "physicalName",
    "physicalType",
    "properties",
    "quality",
    "relationships",
    "tags",
];

const PROPERTY_KEYS: [&str; 28] = [
    "authoritativeDefinitions",
    "businessName",
    "classification",
    "criticalDataElement",
    "customProperties",
    "description",
    "encryptedName",
    "examples",
    "id",
    "items",
    "logicalType",
    "logicalTypeOptions",
    "name",
    "partitionKeyPosition",
    "partitioned",
    "physicalName",
    "physicalType",
    "primaryKey",
    "primaryKeyPosition",
    "properties",
    "quality",
    "relationships",
    "required",
    "tags",
    "transformDescription",
    "transformLogic",
    "transformSourceObjects",
    "unique",
];

pub(super) fn read_object(node: &Node, closed: bool, findings: &mut Findings<'_>) -> Option<SchemaObject> {
    let object = Object::of(node, "a schema object", &VOCABULARY, findings)?;
    let name = object.required_text("name", findings)?;
    let what = format!("schema object '{}'", clip(&name));
    let object = object.named(&what);
    object.warn_unknown(&OBJECT_KEYS, findings);
    let physical_name = object.text("physicalName", findings).map(Into::into);
    let closed = CustomProperties::of(object, findings).closed.unwrap_or(closed);
    if let Some(logical_type) = object.text("logicalType", findings)
        && logical_type != "object"
    {
        let message = format!("'logicalType' of {what} must be object, not '{}'", clip(&logical_type));
        findings.error("odcs-unknown-type", object.at_key("logicalType"), message);
    }
    Some(SchemaObject {
        physical_name,
        physical_type: object.text("physicalType", findings).map(Into::into),
        properties: read_properties(object, "", closed, 1, findings),
        quality: quality::read_all(object, findings),
        relationships: read_relationships(object, findings),
        closed,
        at: object.at,
        name: name.into(),
    })
}

fn read_relationships(parent: Object<'_>, findings: &mut Findings<'_>) -> Vec<Relationship> {
    parent.list("relationships", findings).iter().map(|node| Relationship { at: node.at }).collect()
}

fn read_properties(
    parent: Object<'_>,
    path: &str,
    closed: bool,
    depth: usize,
    findings: &mut Findings<'_>,
) -> Vec<Property> {
    let mut names = BTreeSet::new();
    let mut properties = Vec::new();
    for node in parent.list("properties", findings) {
        let Some(object) = Object::of(node, "a property", &VOCABULARY, findings) else { continue };
        let Some(name) = object.required_text("name", findings) else { continue };
        let field = object.text("physicalName", findings).unwrap_or_else(|| name.clone());
        let Some(mut property) = read_property(object, &field, &join(path, &field), closed, depth, findings) else {
            continue;
        };
        property.logical_name = name.into();
        if names.insert(property.name.clone()) {
            properties.push(property);
        } else {
            let message = format!("property '{}' is declared twice in {}", clip(&field), parent.what);
            findings.error("odcs-duplicate-property", object.at_key("name"), message);
        }
    }
    properties
}

/// The path of a field inside another: `customer.address`.
pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn read_property(
    object: Object<'_>,
    name: &str,
    path: &str,
    closed: bool,
    depth: usize,
    findings: &mut Findings<'_>,
) -> Option<Property> {
    let what = format!("property '{}'", clip(path));
    let object = object.named(&what);
    if depth > MAX_DEPTH {
        findings.error("odcs-too-deep", object.at, format!("{what} is nested more than {MAX_DEPTH} deep"));
        return None;
    }
    object.warn_unknown(&PROPERTY_KEYS, findings);
    let logical_type = read_type(object, findings);
    let epoch = logical_type.is_some_and(LogicalType::is_temporal)
        && object.text("physicalType", findings).is_some_and(|t| is_epoch(&t));
    let closed = CustomProperties::of(object, findings).closed.unwrap_or(closed);
    let constraints = options::read(object, logical_type, epoch, findings);
    let properties = read_properties(object, path, closed, depth + 1, findings);
    let items = object.object("items", &what, findings).and_then(|items| {
        let path = format!("{path}[]");
        read_property(items, "", &path, closed, depth + 1, findings)
    });
    for (key, present, fits) in
        [("properties", !properties.is_empty(), LogicalType::Object), ("items", items.is_some(), LogicalType::Array)]
    {
        if let Some(logical_type) = logical_type.filter(|t| present && *t != fits) {
            let message = format!("{what} is of type {} and cannot have '{key}'", logical_type.as_str());
            findings.error("odcs-misplaced-key", object.at_key(key), message);
        }
    }
    Some(Property {
        name: name.into(),
        logical_name: name.into(),
        logical_type: logical_type
            .or_else(|| (!properties.is_empty()).then_some(LogicalType::Object))
            .or_else(|| items.is_some().then_some(LogicalType::Array)),
        epoch,
        required: object.bool("required", findings).unwrap_or(false),
        unique: object.bool("unique", findings).unwrap_or(false),
        primary_key: object.bool("primaryKey", findings).unwrap_or(false),
        constraints,
        quality: quality::read_all(object, findings),
        relationships: read_relationships(object, findings),
        properties,
        items: items.map(Box::new),
        closed,
        at: object.at,
    })
}

fn read_type(object: Object<'_>, findings: &mut Findings<'_>) -> Option<LogicalType> {
    let text = object.text("logicalType", findings)?;
    let found = LogicalType::ALL.into_iter().find(|t| t.as_str() == text);
    if found.is_none() {
        let message = format!("'{}' is no logical type", clip(&text));
        let finding = findings.error("odcs-unknown-type", object.at_key("logicalType"), message);
        finding.help("string, date, timestamp, time, number, integer, object, array and boolean are");
    }
    found
}

/// Whether a physical type is a count since the epoch: `long`, `bigint`, `int64`, `epoch_millis`, Avro's
/// `timestamp-millis`. Words are compared whole, because MySQL's `LONGTEXT` is a text.
fn is_epoch(physical_type: &str) -> bool {
    let lower = physical_type.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word.starts_with("epoch") || ["long", "bigint", "int64", "millis", "micros"].contains(&word))
}
