//! Why a record failed, in codes that are bounded in number because they come from contracts, not from records.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// One reason, such as `MISSING_FIELD:customer_id`. Cheap to clone.
///
/// ```
/// use faultline_contracts::reason::{ReasonCode, Signature};
/// let codes = [ReasonCode::missing_field("customer_id"), ReasonCode::type_mismatch("items[].qty")];
/// assert_eq!(Signature::of(&codes).as_str(), "MISSING_FIELD:customer_id+TYPE_MISMATCH:items[].qty");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReasonCode(Arc<str>);

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])* #[must_use] pub fn $name() -> Self { Self($text.into()) }
    )*};
}
macro_rules! about {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])* #[must_use] pub fn $name(subject: &str) -> Self { Self(format!(concat!($text, ":{}"), subject).into()) }
    )*};
}

impl ReasonCode {
    fixed! {
        /// Gate 1: no dataset has this topic.
        unresolved_topic = "UNRESOLVED_TOPIC";
        /// Gate 2: neither header nor catalog names a producer.
        unknown_producer = "UNKNOWN_PRODUCER";
        /// Gate 3: not a document of the dataset's format.
        unparseable = "UNPARSEABLE";
        /// Gate 3: more bytes than the configured limit.
        too_large = "TOO_LARGE";
        /// Gate 3: nested deeper than the configured limit.
        too_deep = "TOO_DEEP";
        /// Gate 3 could not decide: the registry did not answer.
        registry_unavailable = "REGISTRY_UNAVAILABLE";
        /// A field that a closed contract or schema does not declare; its name goes to `details`.
        undeclared_field = "UNDECLARED_FIELD";
    }
    about! {
        /// Gate 3: the schema id is not in the registry. WARN where it is the catalog that names it, not the record.
        unknown_schema = "UNKNOWN_SCHEMA";
        /// Gate 4 could not decide: the contract that the catalog names is not there or is broken.
        unknown_contract = "UNKNOWN_CONTRACT";
        /// A required field is absent.
        missing_field = "MISSING_FIELD";
        /// A required field is there and null.
        null_field = "NULL_FIELD";
        /// Another type than declared.
        type_mismatch = "TYPE_MISMATCH";
        /// Not one of the allowed values.
        enum_violation = "ENUM_VIOLATION";
        /// Does not match the declared pattern.
        pattern_mismatch = "PATTERN_MISMATCH";
        /// Not of the declared format (email, uuid, date-time, …).
        format_mismatch = "FORMAT_MISMATCH";
        /// A string shorter or longer than declared.
        length_violation = "LENGTH_VIOLATION";
        /// A number or time outside the declared bounds, or not a declared multiple.
        out_of_range = "OUT_OF_RANGE";
        /// An array with too few, too many or repeated items.
        items_violation = "ITEMS_VIOLATION";
    }

    /// A JSON Schema keyword without a code of its own: `SCHEMA_VIOLATION:<keyword>:<path>`.
    #[must_use]
    pub fn schema_violation(keyword: &str, path: &str) -> Self {
        Self(format!("SCHEMA_VIOLATION:{keyword}:{path}").into())
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon: `MISSING_FIELD`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(kind, _)| kind)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What tells failures apart: a record's sorted reason codes joined with `+`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(Arc<str>);

impl Signature {
    /// The signature that stands for all beyond the most that a window tells apart.
    #[must_use]
    pub fn other() -> Self {
        Self("OTHER".into())
    }

    /// The signature of a record's reason codes, which must be sorted and without duplicates.
    #[must_use]
    pub fn of(sorted: &[ReasonCode]) -> Self {
        let texts: Vec<&str> = sorted.iter().map(ReasonCode::as_str).collect();
        Self(texts.join("+").into())
    }

    /// The signature as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reason codes that it joins.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.0.split('+')
    }
}

impl Borrow<str> for Signature {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Signature {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
