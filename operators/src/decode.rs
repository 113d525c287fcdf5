//! From the bytes of the control topics to facts of the domain.
//!
//! A decoder is a pure function of a record's headers and payload and of what the catalog calls things. It accepts
//! what the producers of these formats are known to send, old forms included, and refuses the rest with a
//! [`DecodeError`]. It never panics, and what it leaves out because of a limit it counts in its result.

use std::fmt::Display;

use faultline_contracts::time::UnixMillis;
use serde_json::Value;

pub mod cdevents;
#[cfg(test)]
mod fixtures;
pub mod kcat;
pub mod openlineage;
pub mod otlp;
#[cfg(test)]
mod robustness;

/// The longest name, id or version that is taken from an event, in bytes. S3 keys end at 1,024.
pub const MAX_NAME_BYTES: usize = 4_096;

/// The longest reason that a [`DecodeError`] carries, in bytes.
pub const MAX_REASON_BYTES: usize = 200;

/// Why a payload tells nothing. Small enough to be kept and shown, however large or strange the payload was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The payload is not in the format that the topic carries.
    #[error("not {format}: {reason}")]
    Syntax {
        /// The format, with its article: `a JSON document`.
        format: &'static str,
        /// What the parser said, at most [`MAX_REASON_BYTES`] of it.
        reason: String,
    },
    /// A field without which the event means nothing is absent, or null.
    #[error("{field} is missing")]
    Missing {
        /// The field's path: `context.timestamp`.
        field: &'static str,
    },
    /// A field is there and has a value that cannot be meant.
    #[error("{field} cannot be used: {reason}")]
    Invalid {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it, at most [`MAX_REASON_BYTES`].
        reason: String,
    },
}

impl DecodeError {
    fn syntax(format: &'static str, reason: impl Display) -> Self {
        Self::Syntax { format, reason: bounded(&reason.to_string(), MAX_REASON_BYTES).to_owned() }
    }

    fn invalid(field: &'static str, reason: impl Display) -> Self {
        Self::Invalid { field, reason: bounded(&reason.to_string(), MAX_REASON_BYTES).to_owned() }
    }
}

/// The headers of a record, in the order in which they were written. Keys are case-sensitive, as Kafka's are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a>(pub &'a [(&'a str, Option<&'a [u8]>)]);

impl<'a> Headers<'a> {
    /// The value of the last header of this key; `None` where there is no such header, or its value is null.
    #[must_use]
    pub fn last(self, key: &str) -> Option<&'a [u8]> {
        self.0.iter().rev().find(|(name, _)| *name == key).and_then(|&(_, value)| value)
    }

    /// Whether the record declares a content type that starts with `prefix`. Media types ignore case (RFC 9110 §8.3.1).
    fn content_type_starts_with(self, prefix: &str) -> bool {
        self.last("content-type")
            .and_then(|value| value.trim_ascii_start().get(..prefix.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    }
}

/// The longest prefix of whole characters within `max` bytes.
fn bounded(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

fn json(payload: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(payload).map_err(|error| DecodeError::syntax("a JSON document", error))
}

/// The text at `pointer` (RFC 6901), which must be there and be a usable name.
fn text<'v>(event: &'v Value, pointer: &str, field: &'static str) -> Result<&'v str, DecodeError> {
    optional_text(event, pointer, field)?.ok_or(DecodeError::Missing { field })
}

/// The text at `pointer`, which may be absent or null.
fn optional_text<'v>(event: &'v Value, pointer: &str, field: &'static str) -> Result<Option<&'v str>, DecodeError> {
    match event.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Err(DecodeError::invalid(field, "it is empty")),
        Some(Value::String(text)) if text.len() > MAX_NAME_BYTES => {
            Err(DecodeError::invalid(field, format_args!("it is longer than {MAX_NAME_BYTES} bytes")))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(DecodeError::invalid(field, "it is not a string")),
    }
}

fn time(event: &Value, pointer: &str, field: &'static str) -> Result<UnixMillis, DecodeError> {
    text(event, pointer, field)?.parse().map_err(|error| DecodeError::invalid(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_header_of_a_key_counts() {
        let pairs = [("a", Some(&b"1"[..])), ("b", None), ("a", Some(b"2")), ("A", Some(b"3")), ("b", None)];
        assert_eq!(Headers(&pairs).last("a"), Some(&b"2"[..]));
        assert_eq!(Headers(&pairs).last("b"), None);
        assert_eq!(Headers(&pairs).last("c"), None);
    }

    #[test]
    fn reasons_are_bounded_and_end_at_a_character() {
        let error = DecodeError::invalid("field", "é".repeat(500));
        let DecodeError::Invalid { reason, .. } = error else { panic!("{error}") };
        assert_eq!(reason, "é".repeat(MAX_REASON_BYTES / 2));
        assert_eq!(bounded("aé", 2), "a");
    }

    #[test]
    fn names_are_bounded() {
        let event =
            serde_json::json!({"long": "x".repeat(MAX_NAME_BYTES + 1), "blank": " ", "number": 1, "null": null});
        for (pointer, reason) in [("/long", "longer"), ("/blank", "empty"), ("/number", "not a string")] {
            let error = text(&event, pointer, "f").unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(text(&event, "/null", "f"), Err(DecodeError::Missing { field: "f" }));
    }
}
