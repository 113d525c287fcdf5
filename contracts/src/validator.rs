//! Contract and schema, compiled into one program that reads a parsed record once.
//!
//! Both are reduced to a [`rule::ValueRule`] before. The compiler lays the two trees over one another, so that each
//! value of a record is visited once for both gates, and builds all reason codes then: judging a record that passes
//! allocates and formats nothing, and one that fails clones codes. Exceptions are checks that have to see a whole
//! container (`uniqueItems`, `minProperties`, `maxProperties` on suspicion) and the parts of a schema that are left to
//! the `jsonschema` crate, for which the value is copied.

mod compile;
mod decimal;
mod equal;
mod findings;
mod foreign;
mod format;
mod program;
pub mod rule;
mod text_key;
mod walk;

pub use findings::Findings;

use crate::document::Document;
use program::Program;
use rule::ValueRule;

/// A part of a contract or schema that cannot be judged, and is reported where it is compiled: nothing is skipped in
/// silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The place in the record, as in reason codes.
    pub path: String,
    /// The keyword or check.
    pub keyword: String,
    /// Why it cannot be judged.
    pub reason: String,
}

/// What a dataset's records must keep: gates 3 and 4.
///
/// ```
/// use faultline_contracts::{
///     document::{Limits, Parser},
///     validator::{
///         Findings, Validator,
///         rule::{FieldRule, JsonTypes, ObjectRule, Presence, ValueRule},
///     },
/// };
/// let id = FieldRule {
///     name: "order_id".into(),
///     presence: Presence::RequiredNotNull,
///     value: ValueRule { types: JsonTypes::STRING, ..ValueRule::default() },
/// };
/// let contract = ValueRule {
///     types: JsonTypes::OBJECT,
///     object: Some(ObjectRule { fields: vec![id], closed: false }),
///     ..ValueRule::default()
/// };
/// let validator = Validator::compile(None, Some(&contract));
/// let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::default());
/// validator.check(&parser.parse(br#"{"order_id": null}"#)?, &mut findings);
/// assert_eq!(findings.reason_codes()[0].as_str(), "NULL_FIELD:order_id");
/// # Ok::<(), faultline_contracts::document::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Validator {
    program: Program,
    unsupported: Vec<Unsupported>,
}

impl Validator {
    /// Compiles a schema's rules, a contract's, or both.
    #[must_use]
    pub fn compile(schema: Option<&ValueRule>, contract: Option<&ValueRule>) -> Self {
        let (program, unsupported) = compile::compile([schema, contract]);
        Self { program, unsupported }
    }

    /// Adds to `findings` what `document` breaks. Does not clear it, so that what earlier gates found stays.
    pub fn check(&self, document: &Document<'_>, findings: &mut Findings) {
        self.program.run(document, findings);
    }

    /// The rules that this validator cannot judge, to be shown to whoever wrote them.
    #[must_use]
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.unsupported
    }
}
