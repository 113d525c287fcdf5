//! From the body behind a wire header to the JSON text that gates judge.

use flate2::{Decompress, FlushDecompress, Status};

use super::{AvroSchema, ProtobufSchema, ProtobufScratch, SchemaId, protobuf::Place, text::DecodeLimits, wire::Framed};
use crate::document::ParseError;

/// How a body is written.
#[derive(Debug, Clone, Copy)]
pub enum Encoding<'a> {
    /// It is JSON text.
    Json,
    /// Avro's binary encoding.
    Avro(&'a AvroSchema),
    /// Protobuf's wire format.
    Protobuf(&'a ProtobufSchema),
}

/// Turns bodies into JSON text, one after the other, in buffers that it keeps.
#[derive(Debug)]
pub struct BodyReader {
    /// Most bytes of a body once it is inflated.
    max_bytes: usize,
    limits: DecodeLimits,
    zlib: Decompress,
    inflated: Vec<u8>,
    text: Vec<u8>,
    scratch: ProtobufScratch,
}

impl BodyReader {
    /// A reader of bodies of at most `max_bytes`, inflated, whose texts keep `limits`.
    #[must_use]
    pub fn new(max_bytes: usize, limits: DecodeLimits) -> Self {
        Self {
            max_bytes,
            limits,
            zlib: Decompress::new(true),
            inflated: Vec::new(),
            text: Vec::new(),
            scratch: ProtobufScratch::default(),
        }
    }

    /// Most bytes of JSON text that a body may become.
    pub fn set_max_text(&mut self, max_text: usize) {
        self.limits.max_text = max_text;
    }

    /// The JSON text of a record. Of a JSON body it has not been read whether it is any.
    ///
    /// # Errors
    /// It is no record of that encoding, or breaks a limit.
    pub fn json<'a>(&'a mut self, framed: &Framed<'a>, encoding: Encoding<'_>) -> Result<&'a [u8], ParseError> {
        let Self { max_bytes, limits, zlib, inflated, text, scratch } = self;
        let body = if framed.deflated {
            inflate(zlib, framed.body, *max_bytes, inflated)?;
            &inflated[..]
        } else {
            framed.body
        };
        if body.len() > *max_bytes {
            return Err(ParseError::TooLarge { bytes: body.len(), limit: *max_bytes });
        }
        match encoding {
            Encoding::Json => return Ok(body),
            // Confluent's serializer writes the schema `bytes` as they are, without their length.
            Encoding::Avro(schema) if schema.is_bytes() && !matches!(framed.id, SchemaId::Glue(_)) => {
                super::text::JsonText::new(text, *limits).bytes(body)?;
            }
            Encoding::Avro(schema) => schema.decode(body, *limits, text)?,
            Encoding::Protobuf(schema) => {
                let place = match (framed.id, framed.place) {
                    (SchemaId::Glue(_), _) => Place::Glue,
                    (_, None) => Place::Confluent,
                    (_, Some(header)) => Place::ConfluentHeader(header),
                };
                schema.decode(body, place, *limits, scratch, text)?;
            }
        }
        Ok(text)
    }
}

/// Inflates a zlib stream into `out`, at most `limit` bytes of it.
fn inflate(zlib: &mut Decompress, mut deflated: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ParseError> {
    let fault = |message: &str| ParseError::Unparseable { message: format!("zlib: {message}") };
    zlib.reset(true);
    out.clear();
    loop {
        if out.len() > limit {
            return Err(ParseError::TooLarge { bytes: out.len(), limit });
        }
        if out.len() == out.capacity() {
            // One byte beyond the limit is room to see that it is broken.
            out.reserve_exact(out.len().max(4_096).min(limit.saturating_add(1) - out.len()));
        }
        let (read, written) = (zlib.total_in(), out.len());
        let status = zlib.decompress_vec(deflated, out, FlushDecompress::None);
        let status = status.map_err(|_| fault("not a stream of it"))?;
        let read = usize::try_from(zlib.total_in() - read).unwrap_or(usize::MAX);
        deflated = deflated.get(read..).unwrap_or_default();
        match status {
            Status::StreamEnd if !deflated.is_empty() => return Err(fault("bytes follow the stream")),
            Status::StreamEnd if out.len() > limit => return Err(ParseError::TooLarge { bytes: out.len(), limit }),
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError if read == 0 && out.len() == written => {
                return Err(fault("the stream is cut off"));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { max_text: 10_000, max_depth: 16 };

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn json(reader: &mut BodyReader, body: &[u8]) -> Result<Vec<u8>, ParseError> {
        let framed = Framed { id: SchemaId::Glue([0; 16]), place: None, deflated: true, body };
        reader.json(&framed, Encoding::Json).map(<[u8]>::to_vec)
    }

    #[test]
    fn inflation_is_capped() {
        let mut reader = BodyReader::new(100_000, LIMITS);
        let bomb = deflate(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 60_000);
        let ParseError::TooLarge { bytes, limit } = json(&mut reader, &bomb).unwrap_err() else { panic!("large") };
        assert_eq!((bytes, limit), (100_001, 100_000));
        assert!(reader.inflated.capacity() <= 100_001);
        assert_eq!(json(&mut reader, &deflate(&vec![b'1'; 100_000])).unwrap().len(), 100_000);
        assert!(json(&mut reader, &deflate(&vec![b'1'; 100_001])).is_err());
    }

    #[test]
    fn streams_that_are_none() {
        let mut reader = BodyReader::new(100_000, LIMITS);
        let sound = deflate(br#"{"id": 1}"#);
        assert_eq!(json(&mut reader, &sound).unwrap(), br#"{"id": 1}"#);
        for cut in 0..sound.len() {
            assert!(json(&mut reader, &sound[..cut]).is_err(), "{cut}");
        }
        assert!(json(&mut reader, &[&sound[..], b"x"].concat()).is_err());
        assert_eq!(json(&mut reader, &sound).unwrap(), br#"{"id": 1}"#, "and it goes on");
    }

    #[test]
    fn confluent_writes_bytes_without_a_length() {
        let mut reader = BodyReader::new(100, LIMITS);
        let schema = AvroSchema::compile("\"bytes\"", &[]).unwrap();
        let framed = |id| Framed { id, place: None, deflated: false, body: b"abc" };
        assert_eq!(reader.json(&framed(SchemaId::Confluent(1)), Encoding::Avro(&schema)).unwrap(), b"\"YWJj\"");
        assert!(reader.json(&framed(SchemaId::Glue([0; 16])), Encoding::Avro(&schema)).is_err());
    }

    proptest! {
        #[test]
        fn fuzz_zlib(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in any::<proptest::sample::Index>(),
            flip in any::<u8>(),
        ) {
            let mut reader = BodyReader::new(150, LIMITS);
            let mut deflated = deflate(&bytes);
            prop_assert_eq!(json(&mut reader, &deflated).is_ok(), bytes.len() <= 150);
            let at = cut.index(deflated.len());
            deflated[at] ^= flip;
            let _ = json(&mut reader, &deflated);
            let _ = json(&mut reader, &bytes);
            prop_assert!(reader.inflated.capacity() <= 4_096);
        }
    }
}
