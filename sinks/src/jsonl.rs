//! JSON-lines files: one object a line, in a file that appears whole or not at all.

mod sorted;
mod writer;

pub use sorted::{SortedPart, SortedParts, merge};
pub use writer::JsonlWriter;
