//! Which messages are well-known types, and so are no objects in JSON.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How a message looks in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An object.
    Object,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// A message that is its one field: wrappers, `Struct`, `ListValue`.
    Transparent,
    /// `google.protobuf.Value`: the member that is there, and null without one.
    Value,
}

/// The form of a message of this name with these fields, as they are written. Any file may declare messages in Google's
/// package: one that does not have the fields of the well-known type is an ordinary message.
pub(super) fn form(full_name: &str, declared: &[FieldDescriptor]) -> Form {
    let Some(name) = full_name.strip_prefix("google.protobuf.") else { return Form::Object };
    let single = |field: &FieldDescriptor, kind: Kind| {
        !field.is_list() && !field.is_map() && !field.is_required() && field.kind() == kind
    };
    match (name, declared) {
        ("Timestamp" | "Duration", [seconds, nanos]) if single(seconds, Kind::Int64) && single(nanos, Kind::Int32) => {
            if name == "Timestamp" {
                Form::Timestamp
            } else {
                Form::Duration
            }
        }
        ("Struct", [fields]) if fields.is_map() => Form::Transparent,
        ("ListValue", [values]) if values.is_list() => Form::Transparent,
        ("Value", members) if is_value(members) => Form::Value,
        (_, [value]) if wrapped(name).is_some_and(|kind| single(value, kind)) => Form::Transparent,
        _ => Form::Object,
    }
}

/// What a wrapper of this name wraps.
fn wrapped(name: &str) -> Option<Kind> {
    Some(match name {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    })
}

/// Whether these are the members of a `Value`: of one `oneof`, null the first, and of messages only those that bring an
/// object or an array of their own.
fn is_value(members: &[FieldDescriptor]) -> bool {
    let Some(null) = members.first() else { return false };
    let is_null = matches!(null.kind(), Kind::Enum(of) if of.full_name() == "google.protobuf.NullValue");
    let contains = |of: &MessageDescriptor| match (of.full_name(), of.fields().next()) {
        ("google.protobuf.Struct", Some(fields)) => of.fields().len() == 1 && fields.is_map(),
        ("google.protobuf.ListValue", Some(values)) => of.fields().len() == 1 && values.is_list(),
        _ => false,
    };
    is_null
        && members.iter().all(|member| {
            let inner = match member.kind() {
                Kind::Message(of) => contains(&of),
                _ => true,
            };
            inner && member.containing_oneof().is_some() && member.containing_oneof() == null.containing_oneof()
        })
}
