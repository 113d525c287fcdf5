//! The envelope of `kcat -C -J`, one JSON object a line, in which captured records are kept and replayed
//! (<https://github.com/edenhill/kcat>):
//!
//! ```json
//! {"topic":"raw.orders.events","partition":4,"offset":17,"tstype":"create","ts":1698400681950,"broker":1,
//!  "headers":["x-obs-producer-service","orders-svc"],"key":"o-1","payload":"{\"order_id\":1}"}
//! ```
//!
//! kcat writes the bytes of keys, headers and payloads as they are and escapes only what JSON must have escaped, so the
//! lines of a binary topic are not UTF-8; they are read all the same. Besides, a key or payload may be any other JSON
//! value (`kcat -s value=avro`, and files written by hand), which then stands for its own text, and `payload_base64`
//! holds bytes in a line that has to be UTF-8.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use faultline_contracts::{
    record::{GateHeaders, RawRecord, RecordCoordinates},
    time::UnixMillis,
};
use serde::de::IgnoredAny;

use super::DecodeError;
use envelope::{Bytes, Envelope, Head};

mod encode;
mod envelope;
#[cfg(test)]
mod tests;

/// How many headers of a record are kept, from the first on.
pub const MAX_HEADERS: usize = 256;

const FORMAT: &str = "a kcat envelope";

/// Base64 with or without padding: both are in use.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A header: its key, and its value unless that is null.
pub type Header<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

/// Where and when a line's record was: enough to index a file by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead<'a> {
    /// The topic's name.
    pub topic: Cow<'a, str>,
    /// The partition's number, from 0.
    pub partition: i32,
    /// The offset in the partition, from 0.
    pub offset: i64,
    /// The record's timestamp, if it has one.
    pub ts: Option<UnixMillis>,
}

/// A record, borrowed from its line as far as nothing in it is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KcatRecord<'a> {
    /// Where and when it was.
    pub head: RecordHead<'a>,
    /// Its headers, at most [`MAX_HEADERS`]. Bytes of a key that are not UTF-8 are replaced by U+FFFD.
    pub headers: Vec<Header<'a>>,
    /// How many headers more there were.
    pub headers_omitted: usize,
    /// Its key.
    pub key: Option<Cow<'a, [u8]>>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<Cow<'a, [u8]>>,
}

impl KcatRecord<'_> {
    /// The headers as decoders of control topics take them, see [`super::Headers`].
    #[must_use]
    pub fn header_slices(&self) -> Vec<(&str, Option<&[u8]>)> {
        self.headers.iter().map(|(key, value)| (key.as_ref(), value.as_deref())).collect()
    }

    /// The headers that the gates read.
    #[must_use]
    pub fn gate_headers(&self) -> GateHeaders<'_> {
        let mut headers = GateHeaders::default();
        for (key, value) in &self.headers {
            headers.observe(key, value.as_deref());
        }
        headers
    }

    /// The record as the gates take it.
    #[must_use]
    pub fn as_raw(&self) -> RawRecord<'_> {
        let RecordHead { topic, partition, offset, ts } = &self.head;
        RawRecord {
            at: RecordCoordinates { topic, partition: *partition, offset: *offset },
            timestamp: *ts,
            headers: self.gate_headers(),
            has_key: self.key.is_some(),
            payload: self.payload.as_deref(),
        }
    }
}

/// Where and when a line's record was. Reads over the rest of the line and keeps nothing of it.
///
/// # Errors
/// The line is not one JSON object, or its topic, partition or offset is not there or cannot be meant.
pub fn locate(line: &[u8]) -> Result<RecordHead<'_>, DecodeError> {
    serde_json::from_slice::<Head<'_>>(line).map_err(|error| DecodeError::syntax(FORMAT, error))?.check()
}

/// A line's record.
///
/// # Errors
/// As for [`locate`]; besides, headers are not a list of keys and values, `payload_base64` is no base64, or there are
/// both it and a payload.
pub fn decode(line: &[u8]) -> Result<KcatRecord<'_>, DecodeError> {
    if line.iter().any(|&byte| byte < b' ') {
        // Between tokens they are white space. Inside of strings JSON forbids them, and reading bytes does not look.
        serde_json::from_slice::<IgnoredAny>(line).map_err(|error| DecodeError::syntax(FORMAT, error))?;
    }
    match serde_json::from_slice::<Envelope<'_, Option<Bytes<'_>>>>(line) {
        Ok(mut envelope) => {
            let key = envelope.key.take().map(|Bytes(bytes)| bytes);
            let payload = envelope.payload.take().map(|Bytes(bytes)| bytes);
            assemble(envelope, key, payload)
        }
        // It is JSON, but not as kcat writes it by itself: the key or the payload may be a value that is no string.
        Err(error) if error.is_data() => {
            let line = std::str::from_utf8(line).map_err(|_| DecodeError::syntax(FORMAT, error))?;
            let envelope = serde_json::from_str::<Envelope<'_, IgnoredAny>>(line)
                .map_err(|error| DecodeError::syntax(FORMAT, error))?;
            assemble(envelope, any_value(line, "key")?, any_value(line, "payload")?)
        }
        Err(error) => Err(DecodeError::syntax(FORMAT, error)),
    }
}

fn assemble<'a, V>(
    envelope: Envelope<'a, V>,
    key: Option<Cow<'a, [u8]>>,
    payload: Option<Cow<'a, [u8]>>,
) -> Result<KcatRecord<'a>, DecodeError> {
    let Envelope { topic, partition, offset, tstype, ts, headers, payload_base64, key: _, payload: _ } = envelope;
    let payload = match (payload, payload_base64) {
        (payload, None) => payload,
        (None, Some(Bytes(text))) => {
            Some(BASE64.decode(text).map_err(|error| DecodeError::invalid("payload_base64", error))?.into())
        }
        (Some(_), Some(_)) => return Err(DecodeError::invalid("payload_base64", "there is a payload besides")),
    };
    let head = Head { topic, partition, offset, tstype, ts }.check()?;
    let headers = headers.unwrap_or_default();
    Ok(KcatRecord { head, headers: headers.kept, headers_omitted: headers.omitted, key, payload })
}

/// A member of the envelope, which is known to be one JSON object: the bytes of a string, or the text of any other value.
fn any_value<'a>(line: &'a str, member: &'static str) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
    let text = match sonic_rs::get(line, [member]) {
        Ok(value) => value.as_raw_cow(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(DecodeError::syntax(FORMAT, error)),
    };
    if text == "null" {
        return Ok(None);
    }
    if text.starts_with('"') {
        let text: String = serde_json::from_str(&text).map_err(|error| DecodeError::syntax(FORMAT, error))?;
        return Ok(Some(text.into_bytes().into()));
    }
    Ok(Some(match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }))
}
