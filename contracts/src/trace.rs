//! W3C trace context and what spans say about services.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::UnixMillis;

/// A W3C trace id: 16 bytes, never all zero; 32 lower-case hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// The id of 16 bytes, most significant first; `None` when they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Some(u128::from_be_bytes(bytes)).filter(|&id| id != 0).map(Self)
    }

    /// The trace id in a `traceparent` header (<https://www.w3.org/TR/trace-context/#traceparent-header>).
    /// Version `ff`, upper case and all-zero ids are invalid; a later version may be longer.
    ///
    /// ```
    /// use faultline_contracts::trace::TraceId;
    /// let header = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// assert_eq!(TraceId::from_traceparent(header).unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    /// assert_eq!(TraceId::from_traceparent(b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), None);
    /// ```
    #[must_use]
    pub fn from_traceparent(header: &[u8]) -> Option<Self> {
        let version = hex(header.get(0..2)?)?;
        let shape = header.get(2) == Some(&b'-') && header.get(35) == Some(&b'-') && header.get(52) == Some(&b'-');
        let length = match version {
            0xff => return None,
            0 => header.len() == 55,
            _ => header.len() == 55 || header.get(55) == Some(&b'-'),
        };
        let parent = hex(header.get(36..52)?)?;
        hex(header.get(53..55)?)?;
        let id = hex(&header[3..35])?;
        (shape && length && parent != 0 && id != 0).then_some(Self(id))
    }

    /// The low half, which is random in trace ids: a hash that is the same on every machine.
    #[must_use]
    pub fn hash(self) -> u64 {
        self.0 as u64
    }

    /// Appends the 32 hex digits.
    pub fn write_to(self, out: &mut Vec<u8>) {
        let mut text = [0; 32];
        for (digits, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0.to_be_bytes()) {
            *digits = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        out.extend_from_slice(&text);
    }
}

/// The value of each byte as a digit; 16 where it is none.
const DIGITS: [u8; 256] = {
    let mut values = [16; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

fn hex(digits: &[u8]) -> Option<u128> {
    let (mut value, mut all) = (0_u128, 0);
    for digit in digits {
        let digit = DIGITS[usize::from(*digit)];
        all |= digit;
        value = value << 4 | u128::from(digit & 15);
    }
    (all < 16).then_some(value)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no trace id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a trace id is 32 hex digits, not all zero")]
pub struct TraceIdError;

impl FromStr for TraceId {
    type Err = TraceIdError;
    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let digits = text.to_ascii_lowercase();
        Some(digits)
            .filter(|d| d.len() == 32)
            .and_then(|d| hex(d.as_bytes()))
            .filter(|&id| id != 0)
            .map(Self)
            .ok_or(TraceIdError)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// What one service said it did in a trace: `service.name` and `service.version` of an OTLP resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceSpan {
    /// The trace.
    pub trace_id: TraceId,
    /// `service.name`, as the catalog's producer id where it is an alias of one.
    pub service: Arc<str>,
    /// `service.version`, if the resource has one.
    pub version: Option<Arc<str>>,
    /// `messaging.destination.name` of a producer span: the topic it published to.
    pub topic: Option<Arc<str>>,
    /// When the span started.
    pub at: UnixMillis,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is read is what the specification's form of it says, and nothing else is.
        #[test]
        fn fuzz_traceparent(
            header in prop_oneof![
                "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,8})?",
                "(00|01|ff)-(0{32}|[0-9a-fA-F]{32})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}",
                "[0-9a-f-]{50,60}",
            ].prop_map(String::into_bytes),
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut header = header;
            if let Some((at, byte)) = damage {
                let at = at.index(header.len());
                header[at] = byte;
            }
            if let Some(id) = TraceId::from_traceparent(&header) {
                // What later versions put behind is theirs.
                let text = std::str::from_utf8(&header[..55]).unwrap();
                let parts: Vec<&str> = text.splitn(5, '-').collect();
                prop_assert_eq!(parts[1], id.to_string());
                prop_assert!(parts[0] != "ff" && parts[2].len() == 16 && parts[3].len() == 2, "{}", text);
                prop_assert!(parts[1].bytes().any(|digit| digit != b'0'));
            }
        }
    }
}
