//! Patterns in the dialect of ECMA-262, run by an engine whose time is linear in the text.

use regex::{Regex, RegexBuilder};

/// The most memory that one compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A pattern.
#[derive(Debug, Clone)]
pub struct EcmaPattern {
    /// As written.
    pub source: String,
    /// Compiled; `None` when it needs what no linear engine has: look-around or back-references.
    pub regex: Option<Regex>,
}

impl EcmaPattern {
    /// Compiles a pattern. The error says what is wrong with it.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        if !jsonschema_regex::is_valid_ecma_regex(source) {
            return Err("not a regular expression of ECMA-262".to_owned());
        }
        let regex = match jsonschema_regex::to_rust_regex(source) {
            Ok(translated) => match RegexBuilder::new(&translated).size_limit(MAX_COMPILED_BYTES).build() {
                Ok(regex) => Some(regex),
                Err(regex::Error::CompiledTooBig(limit)) => {
                    return Err(format!("takes more than {limit} bytes compiled"));
                }
                Err(_) => None,
            },
            Err(()) => None,
        };
        Ok(Self { source: source.to_owned(), regex })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_ascii_and_search_is_unanchored() {
        let pattern = EcmaPattern::new(r"O-\d+").unwrap().regex.unwrap();
        assert!(pattern.is_match("xO-12y"));
        assert!(!pattern.is_match("O-\u{0663}"), "ECMA's \\d is [0-9]");
    }

    #[test]
    fn tells_wrong_from_beyond_a_linear_engine() {
        assert!(EcmaPattern::new("(a").is_err());
        assert!(EcmaPattern::new("^(?!x).*$").unwrap().regex.is_none());
        assert!(EcmaPattern::new(r"(a)\1").unwrap().regex.is_none());
        assert!(EcmaPattern::new("((a{1000}){1000}){1000}").is_err(), "a bomb");
    }
}
