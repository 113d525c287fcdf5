//! Writing records as envelopes, for tools and tests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faultline_contracts::time::UnixMillis;

use super::{KcatRecord, RecordHead};

impl KcatRecord<'_> {
    /// The record as a line, without the line feed at its end. A payload that is not UTF-8 is written as
    /// `payload_base64`; keys and headers that are not are written as kcat writes them, byte by byte. Headers that were
    /// omitted stay so.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let RecordHead { topic, partition, offset, ts } = &self.head;
        let (tstype, ts) = ts.map_or(("unknown", -1), |UnixMillis(ms)| ("create", ms));
        let mut line = b"{\"topic\":".to_vec();
        string(&mut line, topic.as_bytes());
        number(&mut line, "partition", i64::from(*partition));
        number(&mut line, "offset", *offset);
        line.extend_from_slice(b",\"tstype\":");
        string(&mut line, tstype.as_bytes());
        number(&mut line, "ts", ts);
        line.extend_from_slice(b",\"headers\":[");
        for (n, (key, value)) in self.headers.iter().enumerate() {
            if n > 0 {
                line.push(b',');
            }
            string(&mut line, key.as_bytes());
            line.push(b',');
            nullable(&mut line, value.as_deref());
        }
        line.extend_from_slice(b"],\"key\":");
        nullable(&mut line, self.key.as_deref());
        match self.payload.as_deref() {
            Some(bytes) if std::str::from_utf8(bytes).is_err() => {
                line.extend_from_slice(b",\"payload_base64\":");
                string(&mut line, STANDARD.encode(bytes).as_bytes());
            }
            payload => {
                line.extend_from_slice(b",\"payload\":");
                nullable(&mut line, payload);
            }
        }
        line.push(b'}');
        line
    }
}

fn number(line: &mut Vec<u8>, member: &str, value: i64) {
    line.extend_from_slice(format!(",\"{member}\":{value}").as_bytes());
}

fn nullable(line: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => string(line, bytes),
        None => line.extend_from_slice(b"null"),
    }
}

/// A JSON string of these bytes: quotes, backslashes and control characters are escaped (RFC 8259 §7).
fn string(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            0..0x20 => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(byte),
        }
    }
    line.push(b'"');
}
