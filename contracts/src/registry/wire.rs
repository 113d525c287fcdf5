//! Wire headers: what stands before a record's body and says by which schema it was written.
//!
//! | frame | bytes |
//! |---|---|
//! | Glue | `03`, `00` plain or `05` zlib, 16 bytes of schema version id, body |
//! | Confluent v0 | `00`, id as big-endian u32, body |
//! | Confluent v1 | `01`, 16 bytes of GUID, body |
//! | Confluent in the Kafka header `__value_schema_id` | a v0 or v1 frame as the header's value, the record's value is the body |
//!
//! A Kafka header comes before whatever the value begins with. A Protobuf body begins with the place of its message in the
//! `.proto` file: with Confluent zig-zag varints (behind the id where that is in a Kafka header), with Glue one plain varint.
//!
//! JSON cannot begin with any of these bytes, so bare JSON costs the look at one byte.

use super::SchemaId;
use crate::record::GateHeaders;

/// The Kafka header that Confluent's serializers put the id of the value's schema into.
pub const VALUE_SCHEMA_ID: &str = "__value_schema_id";

const GLUE: u8 = 3;
const GLUE_PLAIN: u8 = 0;
const GLUE_ZLIB: u8 = 5;
const CONFLUENT_ID: u8 = 0;
const CONFLUENT_GUID: u8 = 1;

/// A record's value, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The schema that it was written by.
    pub id: SchemaId,
    /// What stands behind the id in the Kafka header: a Protobuf message's place. `None` where the id stood before the
    /// body; the place is then the beginning of the body.
    pub place: Option<&'a [u8]>,
    /// Whether the body is deflated, in zlib's format.
    pub deflated: bool,
    /// The record itself.
    pub body: &'a [u8],
}

/// A wire header that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The value ends within the header.
    #[error("{bytes} bytes, which is less than the {scheme} wire header that they begin with")]
    Short {
        /// Whose header.
        scheme: &'static str,
        /// How many bytes there are.
        bytes: usize,
    },
    /// A compression that Glue does not have.
    #[error("a Glue wire header with the unknown compression {0}")]
    Compression(u8),
    /// A Kafka header that holds no id.
    #[error("the header __value_schema_id holds no schema id")]
    KafkaHeader,
}

/// Finds the wire header of a record's value. `None` is a record without one.
///
/// ```
/// use faultline_contracts::{record::GateHeaders, registry::{SchemaId, wire}};
/// let framed = wire::read(&GateHeaders::default(), b"\0\0\0\0\x11{\"id\": 1}")?.unwrap();
/// assert_eq!((framed.id, framed.body), (SchemaId::Confluent(17), &b"{\"id\": 1}"[..]));
/// assert_eq!(wire::read(&GateHeaders::default(), b"{}")?, None);
/// # Ok::<(), wire::WireError>(())
/// ```
///
/// # Errors
/// It begins like one and is none.
#[inline]
pub fn read<'a>(headers: &GateHeaders<'a>, payload: &'a [u8]) -> Result<Option<Framed<'a>>, WireError> {
    match (headers.schema_id, payload.first().copied()) {
        (None, Some(GLUE | CONFLUENT_ID | CONFLUENT_GUID)) => prefixed(payload).map(Some),
        (Some(header), _) => in_header(header, payload).map(Some),
        (None, _) => Ok(None),
    }
}

fn prefixed(payload: &[u8]) -> Result<Framed<'_>, WireError> {
    if payload.first() != Some(&GLUE) {
        let short = WireError::Short { scheme: "Confluent", bytes: payload.len() };
        let (id, body) = confluent(payload).ok_or(short)?;
        return Ok(Framed { id, place: None, deflated: false, body });
    }
    let short = WireError::Short { scheme: "Glue", bytes: payload.len() };
    let (&compression, rest) = payload.get(1..).and_then(<[u8]>::split_first).ok_or(short)?;
    let (uuid, body) = rest.split_first_chunk().ok_or(short)?;
    let deflated = match compression {
        GLUE_PLAIN => false,
        GLUE_ZLIB => true,
        other => return Err(WireError::Compression(other)),
    };
    Ok(Framed { id: SchemaId::Glue(*uuid), place: None, deflated, body })
}

fn in_header<'a>(header: &'a [u8], payload: &'a [u8]) -> Result<Framed<'a>, WireError> {
    let (id, place) = confluent(header).ok_or(WireError::KafkaHeader)?;
    Ok(Framed { id, place: Some(place), deflated: false, body: payload })
}

/// Confluent's id at the beginning of some bytes, and the rest of them.
fn confluent(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (&version, rest) = bytes.split_first()?;
    match version {
        CONFLUENT_ID => {
            let (id, rest) = rest.split_first_chunk()?;
            Some((SchemaId::Confluent(u32::from_be_bytes(*id)), rest))
        }
        CONFLUENT_GUID => {
            let (guid, rest) = rest.split_first_chunk()?;
            Some((SchemaId::ConfluentGuid(*guid), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: [u8; 16] =
        [0xb7, 0xb4, 0xa7, 0xf0, 0x9c, 0x96, 0x4e, 0x4a, 0xa6, 0x87, 0xfb, 0x5d, 0xe9, 0xef, 0xc, 0x63];

    fn read(payload: &[u8]) -> Result<Option<Framed<'_>>, WireError> {
        super::read(&GateHeaders::default(), payload)
    }

    #[test]
    fn every_frame() {
        let glue = [&[3, 0][..], &UUID, b"body"].concat();
        let framed = read(&glue).unwrap().unwrap();
        assert_eq!(framed, Framed { id: SchemaId::Glue(UUID), place: None, deflated: false, body: b"body" });
        let deflated = [&[3, 5][..], &UUID, b"body"].concat();
        assert!(read(&deflated).unwrap().unwrap().deflated);
        let v0 = read(b"\0\0\0\x01\x02body").unwrap().unwrap();
        assert_eq!((v0.id, v0.body), (SchemaId::Confluent(258), &b"body"[..]));
        let v1 = [&[1][..], &UUID, b"body"].concat();
        let v1 = read(&v1).unwrap().unwrap();
        assert_eq!((v1.id, v1.body, v1.place), (SchemaId::ConfluentGuid(UUID), &b"body"[..], None));
    }

    #[test]
    fn a_kafka_header_comes_before_the_value() {
        let header = [&[1][..], &UUID, b"\x02\x02"].concat();
        let headers = GateHeaders { schema_id: Some(&header), ..GateHeaders::default() };
        let framed = super::read(&headers, b"\0\0\0\0\x07x").unwrap().unwrap();
        assert_eq!((framed.id, framed.body), (SchemaId::ConfluentGuid(UUID), &b"\0\0\0\0\x07x"[..]));
        assert_eq!(framed.place, Some(&b"\x02\x02"[..]));
        for bad in [&b""[..], b"\x01short", b"\x03", b"17"] {
            let headers = GateHeaders { schema_id: Some(bad), ..GateHeaders::default() };
            assert_eq!(super::read(&headers, b"{}"), Err(WireError::KafkaHeader));
        }
    }

    #[test]
    fn what_is_no_header() {
        for bare in [&b"{}"[..], b"[", b" 1", b"", b"\x02", b"\x04\0\0\0\0\0", b"\xff"] {
            assert_eq!(read(bare), Ok(None));
        }
        for short in [&b"\0"[..], b"\0\0\0\0", b"\x01", b"\x01\0\0\0\0\0", b"\x03", b"\x03\0", b"\x03\x05abc"] {
            assert!(matches!(read(short), Err(WireError::Short { .. })), "{short:?}");
        }
        let strange = [&[3, 7][..], &UUID].concat();
        assert_eq!(read(&strange), Err(WireError::Compression(7)));
    }

    proptest! {
        #[test]
        fn fuzz_wire_headers(
            kafka in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..24)),
            first in prop_oneof![Just(0_u8), Just(1), Just(3), any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let payload = [&[first][..], &rest].concat();
            let headers = GateHeaders { schema_id: kafka.as_deref(), ..GateHeaders::default() };
            if let Ok(Some(framed)) = super::read(&headers, &payload) {
                prop_assert!(payload.ends_with(framed.body));
                prop_assert_eq!(framed.place.is_some(), kafka.is_some());
                prop_assert_eq!(framed.id.to_string().parse::<SchemaId>(), Ok(framed.id));
            }
        }
    }
}
