//! Avro: schemas, and records in the binary encoding written as JSON text.
//!
//! What a value becomes is what contracts for such topics speak of:
//!
//! | Avro | JSON |
//! |---|---|
//! | `record`, `map` | object |
//! | `union` | the value of its branch, without a wrapper |
//! | `int`, `long`, `float`, `double` | number; `NaN`, `Infinity`, `-Infinity` as strings |
//! | `bytes`, `fixed` | base64 (ODCS `format: byte`) |
//! | `decimal`, `big-decimal` | number, digit for digit |
//! | `date`, `time-*`, `timestamp-*`, `local-timestamp-*` | ISO 8601 text; the number where the contract's property is one (`physicalType: long`, `timestamp-millis`, …) |
//! | `uuid` | text |
//! | `duration` | ISO 8601 text, `P1M2DT0.003S` |
//!
//! Schemas are read by code of our own because registries hold what strangers put there, and a text must not be able to
//! end the process; records, because a passing one costs no allocation. Both are held against the `apache-avro` crate by
//! tests.

mod decode;
mod logical;
mod schema;
mod specialise;

use super::text::DecodeLimits;
use crate::{document::ParseError, validator::rule::ValueRule};
use schema::Node;

/// An Avro schema, compiled: the nodes of a graph, each naming others by their places.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    nodes: Vec<Node>,
    root: u32,
}

impl AvroSchema {
    /// Compiles a schema and the schemas that it refers to, in any order.
    ///
    /// # Errors
    /// Says what is wrong with it.
    ///
    /// ```
    /// use faultline_contracts::registry::{AvroSchema, DecodeLimits};
    /// let schema = AvroSchema::compile(
    ///     r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}"#,
    ///     &[],
    /// )?;
    /// let mut text = Vec::new();
    /// schema.decode(b"\x06o-1", DecodeLimits { max_text: 1_000, max_depth: 64 }, &mut text).unwrap();
    /// assert_eq!(text, br#"{"id":"o-1"}"#);
    /// # Ok::<(), String>(())
    /// ```
    pub fn compile(text: &str, references: &[&str]) -> Result<Self, String> {
        schema::compile(text, references)
    }

    /// The schema with times written as numbers where the contract wants numbers. `None` where it wants none.
    #[must_use]
    pub fn specialised(&self, contract: &ValueRule) -> Option<Self> {
        specialise::specialise(self, contract)
    }

    /// Writes a record as JSON text into `out`, whose contents it replaces.
    ///
    /// # Errors
    /// The bytes are no record of this schema, or break a limit.
    pub fn decode(&self, record: &[u8], limits: DecodeLimits, out: &mut Vec<u8>) -> Result<(), ParseError> {
        decode::decode(self, record, limits, out)
    }

    /// Whether it is `bytes` and nothing else, which Confluent's serializer writes without a length.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self.node(self.root), Node::Bytes)
    }

    fn node(&self, place: u32) -> &Node {
        // Places come from the same arena.
        self.nodes.get(place as usize).unwrap_or(&Node::Null)
    }
}
