//! Equality as JSON Schema defines it: numbers by value, objects without regard to order.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3Default;

use super::{decimal::Decimal, text_key::TextKey};
use crate::document::{Array, Content, Element, Number, Object};

/// A set of values, and whether a document's value must be one of them or none.
#[derive(Debug)]
pub(super) struct Literals {
    wanted: bool,
    /// Sorted.
    strings: Vec<(TextKey, Box<str>)>,
    others: Vec<Value>,
}

impl Literals {
    pub(super) fn new(values: &[Value], wanted: bool) -> Self {
        let keyed = |text: &str| (TextKey::of(text.as_bytes()), text.into());
        let mut strings: Vec<(TextKey, Box<str>)> = values.iter().filter_map(Value::as_str).map(keyed).collect();
        strings.sort_unstable();
        let others = values.iter().filter(|value| !value.is_string()).cloned().collect();
        Self { wanted, strings, others }
    }

    pub(super) fn admit(&self, value: Element<'_>) -> bool {
        let found = match value.content() {
            Content::String(text) => self.has(text),
            _ => self.others.iter().any(|literal| equals_literal(value, literal)),
        };
        found == self.wanted
    }

    fn has(&self, text: &str) -> bool {
        let key = TextKey::of(text.as_bytes());
        let from = self.strings.partition_point(|(other, _)| *other < key);
        let same = self.strings[from..].iter().take_while(|(other, _)| *other == key);
        same.into_iter().any(|(_, literal)| key.is_exact() || **literal == *text)
    }
}

fn equals_literal(value: Element<'_>, literal: &Value) -> bool {
    match (value.content(), literal) {
        (Content::Null, Value::Null) => true,
        (Content::Bool(a), Value::Bool(b)) => a == *b,
        (Content::String(a), Value::String(b)) => a == b,
        (Content::Number(a), Value::Number(b)) => number_equals_literal(a, b),
        (Content::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(item, literal)| equals_literal(item, literal))
        }
        (Content::Object(a), Value::Object(b)) => {
            // Names that are not the literal's make the object another one, so `get` sees all that matter.
            a.iter().all(|(name, _)| b.contains_key(name))
                && b.iter().all(|(name, literal)| a.get(name).is_some_and(|value| equals_literal(value, literal)))
        }
        _ => false,
    }
}

/// Literals that are integers of 64 bits are compared exactly; all others have been rounded to floats by the reader
/// of the schema, and documents are rounded likewise.
fn number_equals_literal(number: Number<'_>, literal: &serde_json::Number) -> bool {
    if let (Some(a), Some(b)) = (number.as_i64(), literal.as_i64()) {
        return a == b;
    }
    if literal.is_f64() {
        return literal.as_f64() == Some(number.as_f64());
    }
    Decimal::parse(number.text()) == Decimal::parse(&literal.to_string())
}

fn equals(a: Element<'_>, b: Element<'_>) -> bool {
    match (a.content(), b.content()) {
        (Content::Null, Content::Null) => true,
        (Content::Bool(a), Content::Bool(b)) => a == b,
        (Content::String(a), Content::String(b)) => a == b,
        (Content::Number(a), Content::Number(b)) => Decimal::parse(a.text()) == Decimal::parse(b.text()),
        (Content::Array(a), Content::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equals(a, b))
        }
        (Content::Object(a), Content::Object(b)) => {
            let (a, b) = (members(a), members(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && equals(*a.1, *b.1))
        }
        _ => false,
    }
}

/// The members that count, by name.
fn members(object: Object<'_>) -> BTreeMap<&str, Element<'_>> {
    object.iter().collect()
}

/// Whether no two items are equal. Sorts hashes, so that long arrays cost no more than n log n.
pub(super) fn all_different(array: Array<'_>) -> bool {
    let mut hashed: Vec<(u64, Element<'_>)> = array
        .iter()
        .map(|item| {
            let mut hasher = Xxh3Default::default();
            hash(item, &mut hasher);
            (hasher.finish(), item)
        })
        .collect();
    hashed.sort_unstable_by_key(|(hash, item)| (*hash, item.index()));
    hashed
        .chunk_by(|a, b| a.0 == b.0)
        .all(|alike| alike.iter().enumerate().all(|(place, a)| alike[place + 1..].iter().all(|b| !equals(a.1, b.1))))
}

/// Values that are equal have the same hash.
fn hash(value: Element<'_>, hasher: &mut Xxh3Default) {
    match value.content() {
        Content::Null => 0_u8.hash(hasher),
        Content::Bool(value) => (1_u8, value).hash(hasher),
        Content::String(text) => (2_u8, text).hash(hasher),
        Content::Number(number) => (3_u8, Decimal::parse(number.text())).hash(hasher),
        Content::Array(array) => {
            (4_u8, array.len()).hash(hasher);
            array.iter().for_each(|item| hash(item, hasher));
        }
        Content::Object(object) => {
            5_u8.hash(hasher);
            for (name, value) in members(object) {
                name.hash(hasher);
                hash(value, hasher);
            }
        }
    }
}
