//! JSON Schemas, reduced to rules.
//!
//! Keywords that say what one place of a document must be (`type`, `properties`, `required`, `enum`, bounds, …) become
//! rules that the compiled [validator](crate::validator) checks itself, `allOf` and `$ref` included where rules
//! can be laid over one another. All others (`anyOf`, `if`, `patternProperties`, `unevaluated*`, recursive `$ref`, …)
//! are left, each at its place, to the `jsonschema` crate. A schema whose references depend on where they stand
//! (`$id` below the root, anchors, dynamic references, references other than into `$defs` or `definitions`) is
//! left to it as a whole, and so is draft 4, whose integers are others.
//!
//! Decisions where the standard leaves a choice:
//! - `format` is asserted in all drafts, for every format that is known: a declared format that nobody checks is a
//!   contract that nobody keeps. `date-time`, `date`, `time`, `email`, `uuid`, `uri`, `hostname`, `ipv4` and `ipv6` are
//!   checked here, in all drafts; the others as the `jsonschema` crate knows them for the draft. Unknown ones are
//!   annotations.
//! - `pattern` follows ECMA-262 as far as a regex engine with linear time can. A pattern beyond that (look-around,
//!   back-references) is reported in [`CompiledSchema::unsupported`] and not judged.
//! - Numbers are compared as decimals, without loss, in documents and bounds. Bounds and constants in the schema
//!   itself are kept exactly up to 64-bit integers, and as 64-bit floats beyond.
//! - References are never fetched.

mod circle;
mod fallback;
mod keywords;
mod overlay;

use jsonschema::Draft;
use serde_json::Value;

use crate::validator::{Unsupported, rule::ValueRule};

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// `$schema` names a dialect that is not known.
    #[error("unknown dialect '{0}'")]
    Dialect(String),
    /// Breaks the rules of its dialect.
    #[error("at '{path}': {message}")]
    Invalid {
        /// JSON Pointer of the place.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A reference that leads nowhere, or out of the schema.
    #[error("unresolved reference: {0}")]
    Reference(String),
    /// A reference that leads back to itself for the same value.
    #[error("circular reference '{0}'")]
    Circular(String),
}

/// A schema as rules.
#[derive(Debug, Clone)]
pub struct CompiledSchema {
    /// What documents must keep.
    pub rule: ValueRule,
    /// Parts that cannot be judged.
    pub unsupported: Vec<Unsupported>,
}

/// The compiler of JSON Schemas.
#[derive(Debug)]
pub struct JsonSchema;

impl JsonSchema {
    /// Compiles a schema: draft 2020-12, or what its `$schema` names of drafts 4, 6, 7 and 2019-09.
    ///
    /// # Errors
    /// Says why it is none.
    ///
    /// ```
    /// use faultline_contracts::schema::{JsonSchema, SchemaError};
    /// let schema = JsonSchema::compile(r#"{"type": "object", "required": ["id"]}"#)?;
    /// assert!(schema.unsupported.is_empty());
    /// assert!(matches!(JsonSchema::compile(r#"{"type": "text"}"#), Err(SchemaError::Invalid { .. })));
    /// # Ok::<(), SchemaError>(())
    /// ```
    pub fn compile(text: &str) -> Result<CompiledSchema, SchemaError> {
        let value: Value = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        Self::compile_value(&value)
    }

    /// Compiles a schema that has been parsed already.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn compile_value(schema: &Value) -> Result<CompiledSchema, SchemaError> {
        let draft = match schema.get("$schema") {
            None => Draft::Draft202012,
            Some(uri) => {
                let uri = uri.as_str().unwrap_or_default();
                match Draft::from_schema_uri(uri) {
                    Draft::Unknown => return Err(SchemaError::Dialect(uri.to_owned())),
                    draft => draft,
                }
            }
        };
        jsonschema::meta::validate(schema).map_err(|error| SchemaError::Invalid {
            path: error.instance_path().as_str().to_owned(),
            message: error.to_string(),
        })?;
        fallback::check_references(schema, draft)?;
        if let Some(reference) = circle::find(schema, draft) {
            return Err(SchemaError::Circular(reference));
        }
        Ok(keywords::translate(schema, draft))
    }
}
