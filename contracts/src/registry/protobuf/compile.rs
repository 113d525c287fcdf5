//! From `.proto` text to what the decoder follows.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};
use protox::{
    Compiler,
    file::{File, FileResolver, GoogleFileResolver},
};

use super::{
    Nested, ProtobufSchema,
    form::{Form, form},
};
use crate::{evidence::write_json_string, registry::ReferencedSchema};

/// The name of the file itself: no import can name it, which is what a registry's texts do not have either.
const ROOT: &str = "faultline/registered.proto";

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// As declared.
    pub(super) fields: Vec<Field>,
    /// The places of the fields, by number.
    by_number: Vec<(u32, u32)>,
    /// The places of those that are written even when they are absent.
    pub(super) always: Vec<u32>,
    /// The places of those that must be there.
    pub(super) required: Vec<u32>,
    /// How many `oneof`s it has.
    pub(super) oneofs: usize,
    /// What it is, where that is no ordinary message.
    pub(super) form: Form,
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    /// `"name":`
    pub(super) label: Box<[u8]>,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// The place of its `oneof`.
    pub(super) oneof: Option<u32>,
}

/// How often a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    List,
    /// Its message is an entry with a key and a value.
    Map,
}

/// What a field's value is.
#[derive(Debug)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// Each name as a JSON string, by number.
    Enum {
        names: BTreeMap<i32, Box<[u8]>>,
        default: i32,
    },
    Message(u32),
    Group(u32),
}

impl Message {
    /// The place of the field of this number.
    pub(super) fn field(&self, number: u32) -> Option<u32> {
        let place = self.by_number.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.by_number.get(place).map(|(_, field)| *field)
    }
}

pub(super) fn compile(text: &str, references: &[ReferencedSchema]) -> Result<ProtobufSchema, String> {
    let mut texts: BTreeMap<String, String> =
        references.iter().map(|reference| (reference.name.clone(), reference.text.clone())).collect();
    texts.insert(ROOT.to_owned(), text.to_owned());
    let mut compiler = Compiler::with_file_resolver(Texts { texts, google: GoogleFileResolver::new() });
    compiler.open_file(ROOT).map_err(|error| told(&error))?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name(ROOT).ok_or("it is not among the files that were compiled")?;
    if file.messages().len() == 0 {
        return Err("it has no message".to_owned());
    }
    Ok(schema(&pool, file.messages()))
}

/// The error and what led to it, in one line.
fn told(error: &protox::Error) -> String {
    // `Debug` of these errors is what has the place in the text; `Display` names file and reason.
    error.to_string().replace(ROOT, "the schema")
}

/// Files in memory, and Google's.
struct Texts {
    texts: BTreeMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.texts.get(name) {
            Some(text) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

fn schema(pool: &DescriptorPool, roots: impl Iterator<Item = MessageDescriptor>) -> ProtobufSchema {
    let descriptors: Vec<MessageDescriptor> = pool.all_messages().collect();
    let mut by_name: Vec<(Box<str>, u32)> =
        descriptors.iter().enumerate().map(|(place, one)| (one.full_name().into(), place as u32)).collect();
    by_name.sort();
    let place = |descriptor: &MessageDescriptor| {
        let found = by_name.binary_search_by(|(name, _)| (**name).cmp(descriptor.full_name()));
        found.map_or(0, |found| by_name[found].1)
    };
    let messages = descriptors.iter().map(|descriptor| message(descriptor, &place)).collect();
    let mut sorted = Vec::new();
    let tree = roots.map(|root| nested(&root, &place, &mut sorted)).collect();
    sorted.sort_by(|(a, _): &(String, u32), (b, _)| a.cmp(b));
    let sorted = sorted.into_iter().map(|(_, message)| message).collect();
    ProtobufSchema { messages, by_name, tree, sorted }
}

fn nested(
    descriptor: &MessageDescriptor,
    place: &impl Fn(&MessageDescriptor) -> u32,
    all: &mut Vec<(String, u32)>,
) -> Nested {
    let message = place(descriptor);
    all.push((descriptor.full_name().to_owned(), message));
    Nested { message, inner: descriptor.child_messages().map(|child| nested(&child, place, all)).collect() }
}

fn message(descriptor: &MessageDescriptor, place: &impl Fn(&MessageDescriptor) -> u32) -> Message {
    let mut declared: Vec<FieldDescriptor> = descriptor.fields().collect();
    // As they are written; a map of numbers gives them by number.
    declared.sort_by_key(|field| field.path().last().copied());
    let oneofs: Vec<_> = descriptor.oneofs().map(|oneof| oneof.full_name().to_owned()).collect();
    let mut message = Message {
        fields: Vec::with_capacity(declared.len()),
        by_number: Vec::with_capacity(declared.len()),
        always: Vec::new(),
        required: Vec::new(),
        oneofs: oneofs.len(),
        form: form(descriptor.full_name(), &declared),
    };
    for field in &declared {
        let at = message.fields.len() as u32;
        message.by_number.push((field.number(), at));
        let shape = match (field.is_map(), field.is_list()) {
            (true, _) => Shape::Map,
            (false, true) => Shape::List,
            (false, false) => Shape::Single,
        };
        if shape != Shape::Single || !field.supports_presence() {
            message.always.push(at);
        }
        if field.is_required() {
            message.required.push(at);
        }
        let mut label = json(field.name());
        label.push(b':');
        let oneof = field.containing_oneof().and_then(|oneof| oneofs.iter().position(|name| name == oneof.full_name()));
        message.fields.push(Field {
            label: label.into(),
            shape,
            kind: kind(field, place),
            oneof: oneof.map(|oneof| oneof as u32),
        });
    }
    message.by_number.sort_unstable();
    message
}

fn kind(field: &FieldDescriptor, place: &impl Fn(&MessageDescriptor) -> u32) -> Kind {
    use prost_reflect::Kind as Declared;
    match field.kind() {
        Declared::Double => Kind::Double,
        Declared::Float => Kind::Float,
        Declared::Int32 => Kind::Int32,
        Declared::Int64 => Kind::Int64,
        Declared::Uint32 => Kind::Uint32,
        Declared::Uint64 => Kind::Uint64,
        Declared::Sint32 => Kind::Sint32,
        Declared::Sint64 => Kind::Sint64,
        Declared::Fixed32 => Kind::Fixed32,
        Declared::Fixed64 => Kind::Fixed64,
        Declared::Sfixed32 => Kind::Sfixed32,
        Declared::Sfixed64 => Kind::Sfixed64,
        Declared::Bool => Kind::Bool,
        Declared::String => Kind::String,
        Declared::Bytes => Kind::Bytes,
        Declared::Enum(of) => Kind::Enum { names: names(&of), default: of.default_value().number() },
        Declared::Message(of) if field.is_group() => Kind::Group(place(&of)),
        Declared::Message(of) => Kind::Message(place(&of)),
    }
}

/// The names of an enum by number; of several for one number, the first.
fn names(of: &EnumDescriptor) -> BTreeMap<i32, Box<[u8]>> {
    if of.full_name() == "google.protobuf.NullValue" {
        return BTreeMap::from([(0, b"null".as_slice().into())]);
    }
    let mut names = BTreeMap::new();
    for value in of.values() {
        names.entry(value.number()).or_insert_with(|| json(value.name()).into());
    }
    names
}

fn json(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut out);
    out
}
