//! One record a line, as `kcat -C -J` prints it: what a capture of a live topic looks like, and the embedded
//! source's input.

use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A record with its place in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Where the timestamp comes from: `create` or `logappend`.
    pub tstype: String,
    /// Timestamp in milliseconds since the Unix epoch.
    pub ts: i64,
    /// Headers as key, value, key, value; a value may be null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Option<String>>,
    /// Key.
    pub key: Option<String>,
    /// Value, where it is UTF-8.
    #[serde(default)]
    pub payload: Option<String>,
    /// Value in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

/// A line that is no envelope.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct EnvelopeError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Envelope {
    /// A text of partition 0, without headers, stamped by its producer. An envelope that is to be published needs no
    /// offset of its own: the broker gives it.
    pub fn text(topic: &str, ts: i64, key: Option<String>, payload: String) -> Self {
        Self {
            topic: topic.to_owned(),
            partition: 0,
            offset: 0,
            tstype: "create".to_owned(),
            ts,
            headers: Vec::new(),
            key,
            payload: Some(payload),
            payload_base64: None,
        }
    }

    /// The headers in pairs; a key without a value at the end is left out.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.headers.chunks_exact(2).filter_map(|pair| Some((pair[0].as_deref()?, pair[1].as_deref())))
    }

    /// The value of the last header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_pairs().filter(|(key, _)| *key == name).last().and_then(|(_, value)| value)
    }

    /// The value's bytes; `None` is a tombstone.
    pub fn value(&self) -> Result<Option<Vec<u8>>, base64::DecodeError> {
        match (&self.payload, &self.payload_base64) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(encoded)) => STANDARD.decode(encoded).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Reads a capture whole. Empty lines are passed over.
pub fn read_envelopes(capture: impl BufRead) -> Result<Vec<Envelope>, EnvelopeError> {
    let mut envelopes = Vec::new();
    for (index, line) in capture.lines().enumerate() {
        let bad = |reason: String| EnvelopeError { line: index + 1, reason };
        let line = line.map_err(|e| bad(e.to_string()))?;
        if !line.trim().is_empty() {
            envelopes.push(serde_json::from_str(&line).map_err(|e| bad(e.to_string()))?);
        }
    }
    Ok(envelopes)
}

/// Appends envelopes as lines.
pub fn write_envelopes(out: &mut Vec<u8>, envelopes: &[Envelope]) -> serde_json::Result<()> {
    for envelope in envelopes {
        serde_json::to_writer(&mut *out, envelope)?;
        out.push(b'\n');
    }
    Ok(())
}
