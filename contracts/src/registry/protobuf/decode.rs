//! From Protobuf's wire format to JSON text.
//!
//! Fields come in any order, parts of one message may come apart, and of members of a `oneof` the last one counts. So a
//! message is gone through twice: once to find where its fields lie, once to write them as they are declared. What is
//! found takes 16 bytes for each field on the wire, which has two bytes at least.

use std::ops::Range;

use super::{
    ProtobufSchema, ProtobufScratch,
    compile::{Field, Kind, Message, Shape},
    fault,
    form::Form,
    varint,
};
use crate::{
    document::ParseError,
    registry::{
        spelled::Spelled,
        text::{DecodeLimits, JsonText},
    },
};

/// Where a field of a message lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The field's place in its message.
    field: u32,
    wire: Wire,
    start: u32,
    end: u32,
}

/// Where a part of a message lies.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
}

/// How a value lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Length,
    Group,
    Fixed32,
}

pub(super) fn decode(
    schema: &ProtobufSchema,
    message: u32,
    body: &[u8],
    limits: DecodeLimits,
    scratch: &mut ProtobufScratch,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    if u32::try_from(body.len()).is_err() {
        return Err(ParseError::TooLarge { bytes: body.len(), limit: u32::MAX as usize });
    }
    let found = &mut scratch.found;
    found.clear();
    let mut decoder = Decoder { schema, body, text: JsonText::new(out, limits), found, around: 0 };
    decoder.message(message, &[Part { start: 0, end: body.len() }], 0)
}

struct Decoder<'a, 's> {
    schema: &'a ProtobufSchema,
    body: &'a [u8],
    text: JsonText<'s>,
    /// Of the message that is being written and of those around it.
    found: &'s mut Vec<Found>,
    /// How many messages are around the next one, those that are no container included.
    around: usize,
}

impl<'a> Decoder<'a, '_> {
    /// Writes the message whose parts lie at `parts`.
    fn message(&mut self, message: u32, parts: &[Part], depth: usize) -> Result<(), ParseError> {
        // Messages that are their one field make the text no deeper, but the stack. A container has two messages at
        // most: a `Value`, and the `Struct` or `ListValue` in it.
        self.text.allows(self.around / 2)?;
        let schema = self.schema;
        let message = schema.messages.get(message as usize).ok_or_else(|| fault("a message is not in its schema"))?;
        if message.form == Form::Object {
            self.text.allows(depth + 1)?;
        }
        self.around += 1;
        let base = self.found.len();
        for &Part { start, end } in parts {
            self.find(message, start..end)?;
        }
        if message.oneofs > 0 {
            self.settle_oneofs(message, base);
        }
        // Places in the body grow with each part, so that the order on the wire stays within a field.
        self.found[base..].sort_unstable_by_key(|found| (found.field, found.start));
        let written = self.fields(message, base, depth);
        self.found.truncate(base);
        self.around -= 1;
        written
    }

    /// Finds the fields of one part of a message.
    fn find(&mut self, message: &Message, part: Range<usize>) -> Result<(), ParseError> {
        let mut at = part.start;
        while at < part.end {
            let (number, wire, value) = self.step(&mut at, part.end, 0)?;
            if let Some(field) = message.field(number) {
                self.found.push(Found { field, wire, start: value.start as u32, end: value.end as u32 });
            }
        }
        Ok(())
    }

    /// Reads a tag and steps over its value: the field's number, and where the value lies.
    fn step(&self, at: &mut usize, end: usize, depth: usize) -> Result<(u32, Wire, Range<usize>), ParseError> {
        let tag = self.varint(at, end)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| self.fault(*at, "a field has a number that none can have"))?;
        let start = *at;
        let (wire, length) = match tag & 7 {
            0 => {
                self.varint(at, end)?;
                return Ok((number, Wire::Varint, start..*at));
            }
            1 => (Wire::Fixed64, 8),
            2 => {
                let length = self.varint(at, end)?;
                (Wire::Length, usize::try_from(length).unwrap_or(usize::MAX))
            }
            3 => {
                let inner = self.group(number, at, end, depth + 1)?;
                return Ok((number, Wire::Group, inner));
            }
            5 => (Wire::Fixed32, 4),
            _ => return Err(self.fault(start, "a field has a wire type that there is not")),
        };
        let start = *at;
        let behind = start.checked_add(length).filter(|behind| *behind <= end);
        *at = behind.ok_or_else(|| self.fault(start, "the record ends within a field"))?;
        Ok((number, wire, start..*at))
    }

    /// Steps over a group up to its end: what lies between.
    fn group(&self, number: u32, at: &mut usize, end: usize, depth: usize) -> Result<Range<usize>, ParseError> {
        self.text.allows(depth)?;
        let start = *at;
        loop {
            let before = *at;
            let tag = self.varint(at, end)?;
            if tag & 7 == 4 {
                if tag >> 3 != u64::from(number) {
                    return Err(self.fault(before, "a group ends that has not begun"));
                }
                return Ok(start..before);
            }
            *at = before;
            self.step(at, end, depth)?;
        }
    }

    /// Drops what members of a `oneof` said before another of its members spoke.
    fn settle_oneofs(&mut self, message: &Message, base: usize) {
        // From the end: the member that is met first is the one that holds, up to another of the same `oneof`.
        const NOBODY: u32 = u32::MAX;
        const CLOSED: u32 = u32::MAX - 1;
        let mut holders = [NOBODY; 16];
        let mut many = Vec::new();
        let holders = if message.oneofs <= holders.len() {
            &mut holders[..]
        } else {
            many.resize(message.oneofs, NOBODY);
            &mut many[..]
        };
        let mut holders_of = |found: &Found| {
            let Some(oneof) = message.fields.get(found.field as usize).and_then(|field| field.oneof) else {
                return true;
            };
            let Some(holder) = holders.get_mut(oneof as usize) else { return true };
            match *holder {
                NOBODY => *holder = found.field,
                same if same == found.field => {}
                _ => *holder = CLOSED,
            }
            *holder == found.field
        };
        let mut kept = self.found.len();
        for place in (base..self.found.len()).rev() {
            let found = self.found[place];
            if holders_of(&found) {
                kept -= 1;
                self.found[kept] = found;
            }
        }
        self.found.drain(base..kept);
    }

    /// Writes a message whose fields have been found from `base` on.
    fn fields(&mut self, message: &'a Message, base: usize, depth: usize) -> Result<(), ParseError> {
        match message.form {
            Form::Object => {}
            Form::Timestamp | Form::Duration => return self.time(message, base),
            Form::Transparent => return self.wrapped(message, 0, base, depth),
            Form::Value => {
                return match self.found.get(base).map(|found| found.field) {
                    // `null_value`, whatever number it has.
                    Some(0) => self.text.raw(b"null"),
                    Some(field) => self.wrapped(message, field, base, depth),
                    None => self.text.raw(b"null"),
                };
            }
        }
        for required in &message.required {
            if self.found[base..].binary_search_by_key(required, |found| found.field).is_err() {
                return Err(fault("a required field is missing"));
            }
        }
        let mut open: &[u8] = b"{";
        let end = self.found.len();
        let (mut next, mut always) = (base, message.always.iter().copied().peekable());
        loop {
            let here = self.found.get(next).filter(|_| next < end).map(|found| found.field);
            let Some(place) = here.into_iter().chain(always.peek().copied()).min() else { break };
            always.next_if_eq(&place);
            let first = next;
            while next < end && self.found[next].field == place {
                next += 1;
            }
            let Some(field) = message.fields.get(place as usize) else { break };
            self.text.raw(open)?;
            self.text.raw(&field.label)?;
            self.field(field, first..next, depth + 1)?;
            open = b",";
        }
        self.text.raw(if open == b"{" { b"{}" } else { b"}" })
    }

    /// Writes a message that is its one field.
    fn wrapped(&mut self, message: &'a Message, place: u32, base: usize, depth: usize) -> Result<(), ParseError> {
        let field = message.fields.get(place as usize).ok_or_else(|| fault("a well-known type has no field"))?;
        let end = self.found.len();
        let last = self.found[base..].partition_point(|found| found.field <= place) + base;
        self.field(field, base..last.min(end), depth)
    }

    /// Writes a field of which these were found, all of them values of it, in their order.
    fn field(&mut self, field: &'a Field, found: Range<usize>, depth: usize) -> Result<(), ParseError> {
        match field.shape {
            Shape::Single => self.single(&field.kind, found, depth),
            Shape::List => self.list(&field.kind, found, depth),
            Shape::Map => {
                self.text.allows(depth + 1)?;
                let Kind::Message(entry) = field.kind else { return Err(fault("a map has no entries")) };
                let mut open: &[u8] = b"{";
                for place in found {
                    let Found { wire, start, end, .. } = self.found[place];
                    self.expect(wire == Wire::Length, start)?;
                    self.text.raw(open)?;
                    self.entry(entry, start as usize..end as usize, depth + 1)?;
                    open = b",";
                }
                self.text.raw(if open == b"{" { b"{}" } else { b"}" })
            }
        }
    }

    /// Writes `key: value` of a map's entry.
    fn entry(&mut self, entry: u32, part: Range<usize>, depth: usize) -> Result<(), ParseError> {
        let schema = self.schema;
        let entry = schema.messages.get(entry as usize).ok_or_else(|| fault("a map's entry is not in its schema"))?;
        let (Some(key), Some(value)) = (entry.fields.first(), entry.fields.get(1)) else {
            return Err(fault("a map's entry has no key and value"));
        };
        let base = self.found.len();
        self.find(entry, part)?;
        self.found[base..].sort_unstable_by_key(|found| (found.field, found.start));
        let middle = self.found[base..].partition_point(|found| found.field == 0) + base;
        let end = self.found.len();
        let quoted = !matches!(key.kind, Kind::String);
        if quoted {
            self.text.raw(b"\"")?;
        }
        self.single(&key.kind, base..middle, depth)?;
        self.text.raw(if quoted { b"\":" } else { b":" })?;
        let written = self.single(&value.kind, middle..end, depth);
        self.found.truncate(base);
        written
    }

    /// Writes a field that is there once at most: the last value, or of a message the sum of its parts.
    fn single(&mut self, kind: &'a Kind, found: Range<usize>, depth: usize) -> Result<(), ParseError> {
        let (Kind::Message(of) | Kind::Group(of)) = kind else {
            let last = found.last().map(|place| self.found[place]);
            return match last {
                Some(last) => self.scalar_found(kind, last),
                None => self.scalar(kind, None),
            };
        };
        let wire = if matches!(kind, Kind::Group(_)) { Wire::Group } else { Wire::Length };
        for place in found.clone() {
            let Found { wire: sent, start, .. } = self.found[place];
            self.expect(sent == wire, start)?;
        }
        if let [only] = self.found[found.clone()] {
            return self.message(*of, &[Part { start: only.start as usize, end: only.end as usize }], depth);
        }
        let parts: Vec<_> =
            self.found[found].iter().map(|part| Part { start: part.start as usize, end: part.end as usize }).collect();
        self.message(*of, &parts, depth)
    }

    fn list(&mut self, kind: &'a Kind, found: Range<usize>, depth: usize) -> Result<(), ParseError> {
        self.text.allows(depth + 1)?;
        let mut open: &[u8] = b"[";
        for place in found {
            let one = self.found[place];
            let packed = one.wire == Wire::Length
                && !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_));
            if !packed {
                self.text.raw(open)?;
                self.single(kind, place..place + 1, depth + 1)?;
                open = b",";
                continue;
            }
            let (mut at, end) = (one.start as usize, one.end as usize);
            let wire = wire_of(kind);
            while at < end {
                let start = at;
                match wire {
                    Wire::Fixed32 => at += 4,
                    Wire::Fixed64 => at += 8,
                    _ => _ = self.varint(&mut at, end)?,
                }
                if at > end {
                    return Err(self.fault(start, "the record ends within a field"));
                }
                self.text.raw(open)?;
                self.scalar(kind, Some(start..at))?;
                open = b",";
            }
        }
        self.text.raw(if open == b"[" { b"[]" } else { b"]" })
    }

    fn scalar_found(&mut self, kind: &Kind, found: Found) -> Result<(), ParseError> {
        self.expect(found.wire == wire_of(kind), found.start)?;
        self.scalar(kind, Some(found.start as usize..found.end as usize))
    }

    /// Writes a value that is no message, or the default of its kind.
    fn scalar(&mut self, kind: &Kind, value: Option<Range<usize>>) -> Result<(), ParseError> {
        let start = value.as_ref().map_or(0, |value| value.start);
        let bytes = value.clone().map_or(&[][..], |value| &self.body[value]);
        let varint = || varint::read(bytes).map_or(0, |(value, _)| value);
        // Fewer bytes are there only where nothing is.
        let fixed32 = || bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let fixed64 = || bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let text = &mut self.text;
        match kind {
            Kind::Double => text.float(f64::from_bits(fixed64())),
            Kind::Float => text.float(f32::from_bits(fixed32())),
            // Negative ones have all 64 bits on the wire; longer ones are cut, as Protobuf's readers do.
            Kind::Int32 => text.integer(varint() as i32),
            Kind::Int64 => text.integer(varint() as i64),
            Kind::Uint32 => text.integer(varint() as u32),
            Kind::Uint64 => text.integer(varint()),
            Kind::Sint32 => text.integer(varint::zig_zag(u64::from(varint() as u32)) as i32),
            Kind::Sint64 => text.integer(varint::zig_zag(varint())),
            Kind::Fixed32 => text.integer(fixed32()),
            Kind::Fixed64 => text.integer(fixed64()),
            Kind::Sfixed32 => text.integer(fixed32() as i32),
            Kind::Sfixed64 => text.integer(fixed64() as i64),
            Kind::Bool => text.raw(if varint() != 0 { b"true" } else { b"false" }),
            Kind::String => match std::str::from_utf8(bytes) {
                Ok(string) => text.string(string),
                Err(_) => Err(self.fault(start, "a string is not UTF-8")),
            },
            Kind::Bytes => text.bytes(bytes),
            Kind::Enum { names, default } => {
                let number = if value.is_some() { varint() as i32 } else { *default };
                match names.get(&number) {
                    Some(name) => text.raw(name),
                    None => text.integer(number),
                }
            }
            Kind::Message(_) | Kind::Group(_) => Err(fault("a message is no scalar")),
        }
    }

    /// Writes a `Timestamp` or a `Duration`: seconds and nanoseconds.
    fn time(&mut self, message: &Message, base: usize) -> Result<(), ParseError> {
        let (mut seconds, mut nanos) = (0, 0);
        for place in base..self.found.len() {
            let Found { field, wire, start, end } = self.found[place];
            self.expect(wire == Wire::Varint, start)?;
            let value = varint::read(&self.body[start as usize..end as usize]).map_or(0, |(value, _)| value);
            if field == 0 { seconds = value as i64 } else { nanos = value as i32 }
        }
        let mut spelled = Spelled::default();
        match message.form {
            Form::Timestamp => {
                // The years 1 to 9999, as the type's definition has it.
                let sound =
                    (-62_135_596_800..253_402_300_800).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
                if !sound {
                    return Err(fault("a Timestamp is beyond the years 1 to 9999"));
                }
                let (fraction, digits) = fraction(nanos.unsigned_abs());
                spelled.timestamp(seconds, i64::from(fraction), digits);
                spelled.put(b'Z');
            }
            _ => {
                let one_sign = (seconds <= 0 && nanos <= 0) || (seconds >= 0 && nanos >= 0);
                if !one_sign || seconds.unsigned_abs() > 315_576_000_000 || nanos.unsigned_abs() >= 1_000_000_000 {
                    return Err(fault("a Duration is beyond ten thousand years"));
                }
                let (fraction, digits) = fraction(nanos.unsigned_abs());
                spelled.seconds(seconds < 0 || nanos < 0, seconds.unsigned_abs(), u64::from(fraction), digits);
            }
        }
        self.text.raw(b"\"")?;
        self.text.raw(spelled.as_bytes())?;
        self.text.raw(b"\"")
    }

    fn varint(&self, at: &mut usize, end: usize) -> Result<u64, ParseError> {
        let bytes = self.body.get(*at..end).unwrap_or_default();
        let (value, rest) = varint::read(bytes).ok_or_else(|| self.fault(*at, "a varint does not end"))?;
        *at = end - rest.len();
        Ok(value)
    }

    fn expect(&self, holds: bool, at: u32) -> Result<(), ParseError> {
        if holds { Ok(()) } else { Err(self.fault(at as usize, "a field has another wire type than its schema")) }
    }

    fn fault(&self, at: usize, what: &str) -> ParseError {
        ParseError::Unparseable { message: format!("Protobuf, byte {at}: {what}") }
    }
}

/// A fraction of a second in none, three, six or nine digits, whichever is enough.
fn fraction(nanos: u32) -> (u32, u32) {
    match nanos {
        0 => (0, 0),
        nanos if nanos.is_multiple_of(1_000_000) => (nanos / 1_000_000, 3),
        nanos if nanos.is_multiple_of(1_000) => (nanos / 1_000, 6),
        nanos => (nanos, 9),
    }
}

/// How a value of this kind lies on the wire where it is not packed.
fn wire_of(kind: &Kind) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Length,
        Kind::Group(_) => Wire::Group,
        _ => Wire::Varint,
    }
}
