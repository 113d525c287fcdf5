//! From Avro's binary encoding to JSON text.

use super::{
    AvroSchema, logical,
    schema::{Node, TimeKind},
};
use crate::{
    document::ParseError,
    registry::text::{DecodeLimits, JsonText},
};

/// Most items of a record that take no bytes: nothing else bounds how many there are.
const MAX_EMPTY_ITEMS: u64 = 65_536;

pub(super) fn decode(
    schema: &AvroSchema,
    record: &[u8],
    limits: DecodeLimits,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let mut decoder =
        Decoder { schema, input: Input { bytes: record, at: 0 }, text: JsonText::new(out, limits), empty_items: 0 };
    decoder.value(schema.root, 0)?;
    match record.len() - decoder.input.at {
        0 => Ok(()),
        rest => Err(decoder.input.fault(&format!("the record ends here, and {rest} bytes follow"))),
    }
}

struct Decoder<'a> {
    schema: &'a AvroSchema,
    input: Input<'a>,
    text: JsonText<'a>,
    empty_items: u64,
}

impl Decoder<'_> {
    fn value(&mut self, place: u32, depth: usize) -> Result<(), ParseError> {
        let schema = self.schema;
        let Self { input, text, .. } = self;
        match schema.node(place) {
            Node::Null => text.raw(b"null"),
            Node::Boolean => match input.take(1)? {
                [0] => text.raw(b"false"),
                [1] => text.raw(b"true"),
                _ => Err(input.fault("a boolean is 0 or 1")),
            },
            Node::Int => text.integer(input.int()?),
            Node::Long => text.integer(input.long()?),
            Node::Float => text.float(f32::from_le_bytes(input.array()?)),
            Node::Double => text.float(f64::from_le_bytes(input.array()?)),
            Node::Bytes => text.bytes(input.prefixed()?),
            Node::String => text.string(input.string()?),
            Node::Fixed(size) => text.bytes(input.take(*size)?),
            Node::Enum(symbols) => {
                let symbol = usize::try_from(input.int()?).ok().and_then(|index| symbols.get(index));
                text.raw(symbol.ok_or_else(|| input.fault("an enum has no symbol of this index"))?)
            }
            Node::Decimal { scale, size } => {
                let bytes = match size {
                    Some(size) => input.take(*size)?,
                    None => input.prefixed()?,
                };
                logical::decimal(bytes, *scale, text)
            }
            Node::BigDecimal => {
                let mut inner = Input { bytes: input.prefixed()?, at: 0 };
                let number = inner.prefixed().and_then(|bytes| Ok((bytes, inner.long()?)));
                let number = number.ok().filter(|_| inner.at == inner.bytes.len());
                let (unscaled, scale) = number.ok_or_else(|| input.fault("a big-decimal is not one"))?;
                logical::decimal(unscaled, 0, text)?;
                if scale == 0 {
                    return Ok(());
                }
                text.raw(b"e")?;
                text.integer(-i128::from(scale))
            }
            Node::UuidBytes => {
                text.raw(b"\"")?;
                text.raw(&logical::uuid(input.array()?))?;
                text.raw(b"\"")
            }
            Node::Duration => {
                text.raw(b"\"")?;
                text.raw(logical::duration(input.array()?).as_bytes())?;
                text.raw(b"\"")
            }
            Node::Time { kind, number } => {
                let count = match kind {
                    TimeKind::Date | TimeKind::TimeMillis => i64::from(input.int()?),
                    TimeKind::TimeMicros | TimeKind::Timestamp { .. } => input.long()?,
                };
                if *number || !logical::is_time(*kind, count) {
                    return text.integer(count);
                }
                text.raw(b"\"")?;
                text.raw(logical::time(*kind, count).as_bytes())?;
                text.raw(b"\"")
            }
            Node::Union(branches) => {
                let branch = usize::try_from(input.long()?).ok().and_then(|index| branches.get(index).copied());
                let branch = branch.ok_or_else(|| input.fault("a union has no branch of this index"))?;
                self.value(branch, depth)
            }
            Node::Record(fields) => {
                text.allows(depth + 1)?;
                let mut open: &[u8] = b"{";
                for field in fields {
                    self.text.raw(open)?;
                    self.text.raw(&field.label)?;
                    self.value(field.node, depth + 1)?;
                    open = b",";
                }
                self.text.raw(if fields.is_empty() { b"{}" } else { b"}" })
            }
            Node::Array(items) => {
                let items = *items;
                self.blocks(b"[", b"]", depth + 1, |decoder| decoder.value(items, depth + 1))
            }
            Node::Map(values) => {
                let values = *values;
                self.blocks(b"{", b"}", depth + 1, |decoder| {
                    let name = decoder.input.string()?;
                    decoder.text.string(name)?;
                    decoder.text.raw(b":")?;
                    decoder.value(values, depth + 1)
                })
            }
        }
    }

    /// Reads the blocks of an array or a map, each its count of items and they, up to one of none.
    fn blocks(
        &mut self,
        open: &[u8],
        close: &[u8],
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        self.text.allows(depth)?;
        self.text.raw(open)?;
        let mut first = true;
        loop {
            let count = self.input.long()?;
            if count < 0 {
                // Its size in bytes, for readers that skip it.
                self.input.long()?;
            }
            if count == 0 {
                return self.text.raw(close);
            }
            for _ in 0..count.unsigned_abs() {
                if !std::mem::take(&mut first) {
                    self.text.raw(b",")?;
                }
                let before = self.input.at;
                item(self)?;
                if self.input.at == before {
                    self.empty_items += 1;
                    if self.empty_items > MAX_EMPTY_ITEMS {
                        return Err(self.input.fault("too many items that take no bytes"));
                    }
                }
            }
        }
    }
}

/// The bytes of a record, and how far they are read.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn fault(&self, what: &str) -> ParseError {
        ParseError::Unparseable { message: format!("Avro, byte {}: {what}", self.at) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ParseError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.fault("the record ends within a value"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A zig-zag varint of 64 bits.
    fn long(&mut self) -> Result<i64, ParseError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(self.fault("an integer has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.fault("an integer has more than 64 bits"))
    }

    fn int(&mut self) -> Result<i32, ParseError> {
        i32::try_from(self.long()?).map_err(|_| self.fault("an int has more than 32 bits"))
    }

    fn prefixed(&mut self) -> Result<&'a [u8], ParseError> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| self.fault("a length is negative"))?;
        self.take(length)
    }

    fn string(&mut self) -> Result<&'a str, ParseError> {
        let bytes = self.prefixed()?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("a string is not UTF-8"))
    }
}
