//! Contract and schema, compiled into one program that reads a parsed record once.

pub mod rule;
