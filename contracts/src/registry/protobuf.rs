//! Protocol Buffers: `.proto` files, and messages on the wire written as JSON text. No code is generated.
//!
//! Names are as the `.proto` file has them, not in camel case: contracts speak of columns. 64-bit integers are numbers,
//! because the reader behind this keeps all their digits. For the rest it is Protobuf's JSON mapping: enums by name (by
//! number where they have none), `bytes` in base64, `NaN` and the infinities as strings, maps as objects; `Timestamp` as
//! RFC 3339 text, `Duration` as `1.5s`, wrappers and `Struct`, `Value`, `ListValue` as what they wrap; other well-known
//! types (`Any`, `FieldMask`, …) as the messages that they are. A field without presence is there with its default; one
//! with presence (`optional`, a message, a member of a `oneof`) is there where it was sent.
//!
//! `proto2` and `proto3` are read, editions are not. Extensions are skipped like unknown fields.
//!
//! The `.proto` text goes through `protox`, which bounds its own recursion; messages are read by code of our own, so that
//! a passing one costs no allocation and a hostile one no memory. Tests hold it against `prost-reflect`'s dynamic messages.

mod compile;
mod decode;
mod form;
mod varint;

use super::{ReferencedSchema, text::DecodeLimits};
use crate::document::ParseError;
use compile::Message;

/// A `.proto` file, compiled.
#[derive(Debug)]
pub struct ProtobufSchema {
    messages: Vec<Message>,
    /// By full name.
    by_name: Vec<(Box<str>, u32)>,
    /// The messages of the file itself at its top, with the messages in each.
    tree: Vec<Nested>,
    /// All messages of the file itself, sorted by full name, as Glue counts them.
    sorted: Vec<u32>,
}

/// A message of a file and those inside it, as they are written.
#[derive(Debug)]
struct Nested {
    message: u32,
    inner: Vec<Nested>,
}

/// How a record says which of a file's messages it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// As Confluent does, at the beginning of the record.
    Confluent,
    /// As Confluent does, in a Kafka header.
    ConfluentHeader(&'a [u8]),
    /// As Glue does, at the beginning of the record.
    Glue,
}

/// Working memory of the decoder, used again from record to record.
#[derive(Debug, Default)]
pub struct ProtobufScratch {
    found: Vec<decode::Found>,
}

impl ProtobufSchema {
    /// Compiles a `.proto` text and the files that it imports; Google's well-known types need not be among them.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn compile(text: &str, references: &[ReferencedSchema]) -> Result<Self, String> {
        compile::compile(text, references)
    }

    /// Writes a record as JSON text into `out`, whose contents it replaces.
    ///
    /// # Errors
    /// The bytes are no message of this file, or break a limit.
    pub fn decode(
        &self,
        record: &[u8],
        place: Place<'_>,
        limits: DecodeLimits,
        scratch: &mut ProtobufScratch,
        out: &mut Vec<u8>,
    ) -> Result<(), ParseError> {
        let (message, body) = self.message_of(record, place)?;
        decode::decode(self, message, body, limits, scratch, out)
    }

    /// Writes one message of the file, named in full, as JSON text.
    ///
    /// # Errors
    /// There is no such message, or the bytes are none, or break a limit.
    pub fn decode_message(
        &self,
        full_name: &str,
        body: &[u8],
        limits: DecodeLimits,
        scratch: &mut ProtobufScratch,
        out: &mut Vec<u8>,
    ) -> Result<(), ParseError> {
        let found = self.by_name.binary_search_by(|(name, _)| (**name).cmp(full_name));
        let message = found.ok().and_then(|place| self.by_name.get(place)).map(|(_, message)| *message);
        let message = message.ok_or_else(|| fault("there is no such message"))?;
        decode::decode(self, message, body, limits, scratch, out)
    }

    /// Which message a record is, and its body.
    fn message_of<'a>(&self, record: &'a [u8], place: Place<'_>) -> Result<(u32, &'a [u8]), ParseError> {
        match place {
            Place::Confluent => self.nested(record),
            Place::ConfluentHeader(header) => Ok((self.nested(header)?.0, record)),
            Place::Glue => {
                let (index, body) = varint::read(record).ok_or_else(|| fault("the message's index is cut off"))?;
                let message = usize::try_from(index).ok().and_then(|index| self.sorted.get(index));
                Ok((*message.ok_or_else(|| fault("the schema has no message of this index"))?, body))
            }
        }
    }

    /// Follows Confluent's indexes into the file: how many, and each the place of a message among its siblings. A lone
    /// zero stands for the first message.
    fn nested<'a>(&self, bytes: &'a [u8]) -> Result<(u32, &'a [u8]), ParseError> {
        let cut_off = || fault("the message's indexes are cut off");
        let nowhere = || fault("the schema has no message of these indexes");
        let (count, mut rest) = varint::read_zig_zag(bytes).ok_or_else(cut_off)?;
        if count == 0 {
            return Ok((self.tree.first().ok_or_else(nowhere)?.message, rest));
        }
        let (mut siblings, mut found) = (&self.tree, None);
        for _ in 0..usize::try_from(count).map_err(|_| nowhere())? {
            let (index, behind) = varint::read_zig_zag(rest).ok_or_else(cut_off)?;
            let next = usize::try_from(index).ok().and_then(|index| siblings.get(index)).ok_or_else(nowhere)?;
            (siblings, found, rest) = (&next.inner, Some(next.message), behind);
        }
        Ok((found.ok_or_else(nowhere)?, rest))
    }
}

fn fault(what: &str) -> ParseError {
    ParseError::Unparseable { message: format!("Protobuf: {what}") }
}
