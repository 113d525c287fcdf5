//! Records behind registered schemas: their decoders held against other implementations, against examples of the formats'
//! specifications, and against bytes that are made to hurt.
#![allow(clippy::unwrap_used)]

mod avro;
mod avro_oracle;
mod protobuf;
mod protobuf_oracle;
mod schemas;

use faultline_contracts::{document::ParseError, registry::DecodeLimits};

/// Limits that no sound record of these tests comes near.
const LIMITS: DecodeLimits = DecodeLimits { max_text: 1 << 20, max_depth: 64 };

/// Decoded text as text.
fn text(decode: impl FnOnce(&mut Vec<u8>) -> Result<(), ParseError>) -> Result<String, ParseError> {
    let mut out = b"of the record before".to_vec();
    decode(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// What is said of bytes that are no record.
fn message(error: ParseError) -> String {
    match error {
        ParseError::Unparseable { message } => message,
        other => panic!("{other}"),
    }
}
