//! A YAML document as a tree that knows where everything stands, so that a reader can go on after a mistake and
//! name the line of each one.
//!
//! YAML 1.2 rules: `NO` and `on` are strings. Numbers keep their text, because `1.10` is a version as often as a number.

mod object;

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::Position;

pub(crate) use self::object::{Object, Vocabulary, clip};

/// The largest document that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A number: its value for JSON and its text as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) json: serde_json::Number,
    pub(crate) text: String,
}

/// An entry of a map, in the order of the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

/// Why a text is no YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct YamlError {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// Reads one YAML document. An empty one is null.
pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
    if text.len() > MAX_BYTES {
        let message = format!("{} bytes, more than the limit of {MAX_BYTES}", text.len());
        return Err(YamlError { at: Position::default(), message });
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or_else(Position::default, position);
        // The place is ours to print, a message is one line, and advice to Rust programs helps no author of YAML.
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default();
        let end = [" at line ", "; use ", ", set "].iter().filter_map(|tail| message.find(tail)).min();
        let message = message.get(..end.unwrap_or(message.len())).unwrap_or(message);
        YamlError { at, message: message.trim_end_matches([',', ':', ' ']).to_owned() }
    })?;
    Ok(node(raw, text))
}

/// The tree as serde builds it, before numbers get their text back.
enum Raw {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn position(location: Location) -> Position {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: narrow(location.line()), column: narrow(location.column()) }
}

/// Depth is bounded by the parser's budget (64), so recursion is safe.
fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let at = position(raw.referenced);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Number(json) => Value::Number(Number { text: number_text(&json, raw.defined, source), json }),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry { at: position(key.referenced), key: key.value, node: node(value, source) })
                .collect(),
        ),
    };
    Node { at, value }
}

/// The digits as written, where they are a decimal that the rest of the program reads the same way; `0x1F`, `1_000`,
/// `.5` and their like become plain decimals.
fn number_text(json: &serde_json::Number, at: Location, source: &str) -> String {
    let span = at.span();
    let written = span.byte_offset().zip(span.byte_len()).and_then(|(offset, len)| {
        let start = usize::try_from(offset).ok()?;
        source.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    });
    match written.map(str::trim) {
        Some(text) if serde_json::from_str::<serde_json::Number>(text).is_ok() => text.to_owned(),
        _ => json.to_string(),
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Raw, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Raw::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

impl Node {
    /// `a list`, `text`, … for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// A scalar as text; numbers as written.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(number) => Some(number.text.clone()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => serde_json::Value::Number(number.json.clone()),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|e| (e.key.clone(), e.node.json())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_lines_and_keeps_the_text_of_numbers() {
        let tree =
            parse("version: 1.10\nlist:\n  - NO\n  - 18446744073709551615\n  - &x 0.1\n  - *x\n  - 0x1F\n").unwrap();
        let Value::Map(entries) = &tree.value else { panic!() };
        assert_eq!((entries[0].at.line, entries[0].node.scalar_text().as_deref()), (1, Some("1.10")));
        assert_eq!(entries[0].node.at, Position { line: 1, column: 10 });
        let Value::List(items) = &entries[1].node.value else { panic!() };
        let texts: Vec<_> = items.iter().filter_map(Node::scalar_text).collect();
        assert_eq!(texts, ["NO", "18446744073709551615", "0.1", "0.1", "31"]);
        assert_eq!(items.iter().map(|i| i.at.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert_eq!(items[0].value, Value::Text("NO".into()));
    }

    #[test]
    fn mistakes_have_a_place() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.at.line >= 2, "{error:?}");
        assert!(!error.message.contains('\n') && !error.message.contains("line"), "{error:?}");
        let error = parse("a: 1\na: 2\n").unwrap_err();
        assert_eq!((error.at.line, error.message.as_str()), (2, "duplicate mapping key: a"));
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "[".repeat(10_000);
        assert!(parse(&deep).is_err());
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for n in 1..40 {
            bomb += &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1);
        }
        assert!(parse(&bomb).is_err(), "2^40 aliases");
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).is_err());
        assert_eq!(parse("").map(|n| n.value), Ok(Value::Null));
    }
}
