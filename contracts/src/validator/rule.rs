//! The rules that contracts and schemas are reduced to before they are compiled: one tree for each gate.
//!
//! A tree says what a value must keep; paths for reason codes are built from field names while compiling
//! (`customer.address.zip`, `items[].qty`), so rules do not carry them.

use std::{collections::BTreeSet, sync::Arc};

use regex::Regex;

/// A set of JSON types. `integer` is a number without a fractional part (`5.0` is one, as in JSON Schema since draft 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonTypes(u8);

impl JsonTypes {
    /// Any type at all.
    pub const ANY: Self = Self(0b111_1111);
    /// `null`
    pub const NULL: Self = Self(1);
    /// `true`, `false`
    pub const BOOLEAN: Self = Self(1 << 1);
    /// Numbers without a fractional part.
    pub const INTEGER: Self = Self(1 << 2);
    /// Numbers, integers included.
    pub const NUMBER: Self = Self(1 << 2 | 1 << 3);
    /// Strings.
    pub const STRING: Self = Self(1 << 4);
    /// Arrays.
    pub const ARRAY: Self = Self(1 << 5);
    /// Objects.
    pub const OBJECT: Self = Self(1 << 6);

    /// Either set's types.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The types that are not in the set.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::ANY.0 & !self.0)
    }

    /// The types that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no type is in it. In a [`ValueRule`] that means any type.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Numbers with a fractional part; what [`JsonTypes::NUMBER`] has beyond [`JsonTypes::INTEGER`].
    pub(crate) const FRACTION: Self = Self(1 << 3);

    /// Whether all types of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a value must keep.
#[derive(Debug, Clone, Default)]
pub struct ValueRule {
    /// Its types; none set means any.
    pub types: JsonTypes,
    /// Checks that apply to the types they are about and pass on all others.
    pub checks: Vec<Check>,
    /// When it is an object.
    pub object: Option<ObjectRule>,
    /// When it is an array: what each item must keep.
    pub items: Option<Box<ValueRule>>,
}

/// What an object must keep.
#[derive(Debug, Clone, Default)]
pub struct ObjectRule {
    /// Its declared fields.
    pub fields: Vec<FieldRule>,
    /// Whether fields that are not declared are failures (`UNDECLARED_FIELD`).
    pub closed: bool,
}

/// What a field must keep.
#[derive(Debug, Clone)]
pub struct FieldRule {
    /// Its name.
    pub name: String,
    /// What its absence or null means.
    pub presence: Presence,
    /// What its value must keep.
    pub value: ValueRule,
}

/// What it means that a field is absent or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// May be absent. Null is a value like others (JSON Schema).
    #[default]
    Optional,
    /// May be absent or null (an ODCS property that is not required).
    OptionalOrNull,
    /// May be absent, and not null: `NULL_FIELD` (an ODCS property whose `nullValues` must be 0).
    OptionalNotNull,
    /// Must be there: `MISSING_FIELD`. Null is a value like others (JSON Schema).
    Required,
    /// Must be there and not null: `MISSING_FIELD`, `NULL_FIELD` (a required ODCS property).
    RequiredNotNull,
}

/// A number as written, so that bounds beyond 2^53 lose nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(pub String);

/// One check of a value. Each names the reason code that it gives.
#[derive(Debug, Clone)]
pub enum Check {
    /// `ENUM_VIOLATION`: equal (as JSON Schema defines it) to one of these.
    OneOf(Vec<serde_json::Value>),
    /// `ENUM_VIOLATION`: equal to none of these (ODCS `missingValues` as a predicate).
    NoneOf(Vec<serde_json::Value>),
    /// `PATTERN_MISMATCH`: the pattern is found somewhere in the string.
    Pattern(Regex),
    /// `FORMAT_MISMATCH`
    Format(Format),
    /// `LENGTH_VIOLATION`: at least so many Unicode characters.
    MinLength(u64),
    /// `LENGTH_VIOLATION`
    MaxLength(u64),
    /// `OUT_OF_RANGE`
    Minimum(Decimal),
    /// `OUT_OF_RANGE`
    Maximum(Decimal),
    /// `OUT_OF_RANGE`
    ExclusiveMinimum(Decimal),
    /// `OUT_OF_RANGE`
    ExclusiveMaximum(Decimal),
    /// `OUT_OF_RANGE`
    MultipleOf(Decimal),
    /// `OUT_OF_RANGE`: a time not before this one, both of the same [`Format`]. Passes on strings that are not of that
    /// format: a [`Check::Format`] beside it is what reports those.
    NotBefore(Format, String),
    /// `OUT_OF_RANGE`: a time not after this one.
    NotAfter(Format, String),
    /// `OUT_OF_RANGE`: a time after this one.
    After(Format, String),
    /// `OUT_OF_RANGE`: a time before this one.
    Before(Format, String),
    /// `ITEMS_VIOLATION`
    MinItems(u64),
    /// `ITEMS_VIOLATION`
    MaxItems(u64),
    /// `ITEMS_VIOLATION`: no two items equal.
    UniqueItems,
    /// `SCHEMA_VIOLATION:minProperties`
    MinProperties(u64),
    /// `SCHEMA_VIOLATION:maxProperties`
    MaxProperties(u64),
    /// Any other keyword, judged by the `jsonschema` crate on this value's subtree: `SCHEMA_VIOLATION:<keyword>:<path>`,
    /// or the code that a nested keyword has of its own. Shared, because a schema may be large.
    JsonSchema(Arc<Subschema>),
}

/// A part of a JSON Schema that is left to the `jsonschema` crate.
#[derive(Debug)]
pub struct Subschema {
    /// It, compiled without remote references and with a linear-time regex engine.
    pub validator: jsonschema::Validator,
    /// The property names that the schema declares anywhere: the only ones that paths may show.
    pub names: Arc<BTreeSet<String>>,
}

/// The form of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// RFC 3339 date-time, and ISO 8601 with an offset or a default zone as ODCS allows.
    DateTime,
    /// RFC 3339 date-time and nothing else, as JSON Schema has it.
    Rfc3339DateTime,
    /// RFC 3339 full-time and nothing else, as JSON Schema has it.
    Rfc3339Time,
    /// RFC 3339 full-date.
    Date,
    /// RFC 3339 full-time, and ISO 8601 local time as ODCS allows.
    Time,
    /// A JDK `DateTimeFormatter` pattern, as ODCS gives formats of dates, times and timestamps.
    JdkPattern(String),
    /// An e-mail address.
    Email,
    /// RFC 4122 text form.
    Uuid,
    /// RFC 3986 URI.
    Uri,
    /// RFC 1123 host name.
    Hostname,
    /// Dotted quad.
    Ipv4,
    /// RFC 4291 text form.
    Ipv6,
    /// Base64 (ODCS `byte`).
    Base64,
    /// Integer of so many bits, signed or not (ODCS `i8`…`u128`).
    Integer {
        /// 8, 16, 32, 64 or 128.
        bits: u8,
        /// Whether negative values are allowed.
        signed: bool,
    },
    /// A number that a 32-bit float can hold without overflow.
    Float32,
}

impl Format {
    /// Whether a string is of this form. False for formats of numbers, and for JDK patterns that are not supported.
    /// Compiles patterns anew: for single questions, not for records.
    #[must_use]
    pub fn admits(&self, text: &str) -> bool {
        super::format::StringFormat::new(self).is_ok_and(|format| format.admits(text))
    }

    /// Whether it can be judged: any but a [`Format::JdkPattern`] that is not supported.
    ///
    /// # Errors
    /// Says what is not supported.
    pub fn supported(&self) -> Result<(), String> {
        match self {
            Self::Integer { .. } | Self::Float32 => Ok(()),
            other => super::format::StringFormat::new(other).map(|_| ()),
        }
    }
}
