//! JSON text in the making: what decoders write a record as.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{document::ParseError, evidence};

/// How much a decoder may write, and how deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most bytes of JSON text that a record may become.
    pub max_text: usize,
    /// Most arrays and objects inside one another.
    pub max_depth: usize,
}

/// The text of one record, in a buffer that is used again for the next.
#[derive(Debug)]
pub(super) struct JsonText<'a> {
    out: &'a mut Vec<u8>,
    limits: DecodeLimits,
}

impl<'a> JsonText<'a> {
    /// An empty text.
    pub(super) fn new(out: &'a mut Vec<u8>, limits: DecodeLimits) -> Self {
        out.clear();
        Self { out, limits }
    }

    /// Appends what is JSON already. The limit may be overstepped by one piece: each is bounded by the record's bytes or
    /// its schema.
    pub(super) fn raw(&mut self, piece: &[u8]) -> Result<(), ParseError> {
        self.out.extend_from_slice(piece);
        self.hold()
    }

    pub(super) fn string(&mut self, text: &str) -> Result<(), ParseError> {
        evidence::write_json_string(text, self.out);
        self.hold()
    }

    pub(super) fn integer(&mut self, integer: impl itoa::Integer) -> Result<(), ParseError> {
        self.raw(itoa::Buffer::new().format(integer).as_bytes())
    }

    /// Bytes, as base64.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        self.out.push(b'"');
        let start = self.out.len();
        // Four characters for each three bytes begun, so the slice always fits.
        self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(bytes, &mut self.out[start..]).unwrap_or(0);
        self.out.truncate(start + written);
        self.raw(b"\"")
    }

    /// A float. JSON has none that are no numbers: they become the strings `NaN`, `Infinity` and `-Infinity`, as in
    /// Protobuf's JSON mapping.
    pub(super) fn float(&mut self, float: impl Float) -> Result<(), ParseError> {
        match float.special() {
            Some(name) => self.raw(name.as_bytes()),
            None => {
                float.write(self.out);
                self.hold()
            }
        }
    }

    /// Whether so many containers may be inside one another.
    pub(super) fn allows(&self, depth: usize) -> Result<(), ParseError> {
        let limit = self.limits.max_depth;
        if depth > limit { Err(ParseError::TooDeep { limit }) } else { Ok(()) }
    }

    fn hold(&self) -> Result<(), ParseError> {
        let (bytes, limit) = (self.out.len(), self.limits.max_text);
        if bytes > limit { Err(ParseError::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

/// A float of either width, in the fewest digits that tell it apart from others of its width.
pub(super) trait Float: Copy {
    fn special(self) -> Option<&'static str>;
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! float {
    ($($type:ty)*) => {$(
        impl Float for $type {
            fn special(self) -> Option<&'static str> {
                match self {
                    _ if self.is_nan() => Some("\"NaN\""),
                    <$type>::INFINITY => Some("\"Infinity\""),
                    <$type>::NEG_INFINITY => Some("\"-Infinity\""),
                    _ => None,
                }
            }

            fn write(self, out: &mut Vec<u8>) {
                use std::io::Write as _;
                let short = self == 0.0 || (1e-5..1e16).contains(&self.abs());
                // Writing to memory cannot fail.
                let _ = if short { write!(out, "{self}") } else { write!(out, "{self:e}") };
            }
        }
    )*};
}

float!(f32 f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut JsonText<'_>) -> Result<(), ParseError>) -> String {
        let mut out = Vec::new();
        write(&mut JsonText::new(&mut out, DecodeLimits { max_text: 1_000, max_depth: 8 })).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_read_back_as_they_were() {
        for float in [0.0, -0.0, 1.5, 1e300, f64::MIN_POSITIVE, 5e-324, 1e15, 1e16, 123_456_789.125, f64::MAX] {
            let text = written(|out| out.float(float));
            assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), float.to_bits(), "{text}");
            assert!(text.len() < 30, "{text}");
        }
        assert_eq!(written(|out| out.float(0.1_f32)), "0.1");
        assert_eq!(written(|out| out.float(f32::NEG_INFINITY)), "\"-Infinity\"");
        assert_eq!(written(|out| out.float(f64::NAN)), "\"NaN\"");
    }

    #[test]
    fn bytes_are_base64() {
        for (bytes, text) in [(&b""[..], "\"\""), (b"\xff", "\"/w==\""), (b"abc", "\"YWJj\"")] {
            assert_eq!(written(|out| out.bytes(bytes)), text);
        }
    }

    #[test]
    fn the_limit_holds() {
        let mut out = vec![1, 2, 3];
        let mut text = JsonText::new(&mut out, DecodeLimits { max_text: 4, max_depth: 1 });
        assert!(text.raw(b"1234").is_ok());
        assert_eq!(text.raw(b"5"), Err(ParseError::TooLarge { bytes: 5, limit: 4 }));
        assert!(text.allows(1).is_ok());
        assert_eq!(text.allows(2), Err(ParseError::TooDeep { limit: 1 }));
    }
}
