//! Our limits, to the byte and to the level, and those of `serde_json`.

use faultline_contracts::document::{Limits, ParseError, Parser};
use serde_json::Value;

use crate::nesting::nested;

/// Deeper than this, `serde_json` reads nothing.
const THEIR_DEPTH: usize = 127;

#[test]
fn depth_is_limited_to_the_level() {
    for max_depth in [0, 1, 2, 5, 63, 64, 65, 511, 512, 513, usize::MAX] {
        let mut parser = Parser::new(Limits { max_depth, ..Limits::default() });
        let limit = max_depth.min(Limits::MOST_DEPTH);
        assert_eq!(parser.limits().max_depth, limit);
        for level in [("[", "]"), ("{\"a\":", "}"), (" [ 1 , ", " ] ")] {
            let mut parse = |depth, core| parser.parse(nested(level, depth, core).as_bytes()).map(|_| ());
            assert_eq!(parse(limit, "1"), Ok(()));
            assert!(matches!(parse(limit, "broken"), Err(ParseError::Unparseable { .. })));
            for beyond in [limit + 1, limit + 2, 2 * limit + 1, 100_000] {
                assert_eq!(parse(beyond, "1"), Err(ParseError::TooDeep { limit }), "{beyond}");
                assert_eq!(parse(beyond, "broken"), Err(ParseError::TooDeep { limit }), "what lies deeper is not read");
            }
        }
    }
}

#[test]
fn allowed_as_much_we_read_as_deep_as_serde_json() {
    let mut parser = Parser::new(Limits { max_depth: THEIR_DEPTH, ..Limits::default() });
    for depth in 0..=200 {
        let text = nested(("[", "]"), depth, "1");
        let theirs = serde_json::from_str::<Value>(&text);
        assert_eq!(theirs.is_ok(), depth <= THEIR_DEPTH);
        assert_eq!(parser.parse(text.as_bytes()).is_ok(), theirs.is_ok(), "{depth}");
    }
}

#[test]
fn size_is_limited_to_the_byte() {
    let default = Limits::default();
    for max_bytes in [2, 7, 8, 9, 1_000, default.max_bytes] {
        let mut parser = Parser::new(Limits { max_bytes, ..default });
        for bytes in max_bytes - 1..=max_bytes + 2 {
            let string = format!("\"{}\"", "a".repeat(bytes.saturating_sub(2)));
            let number = "1".repeat(bytes);
            for text in [string, number].iter().filter(|text| text.len() == bytes) {
                let too_large = ParseError::TooLarge { bytes, limit: max_bytes };
                let expected = if bytes > max_bytes { Err(too_large) } else { Ok(()) };
                assert_eq!(parser.parse(text.as_bytes()).map(|_| ()), expected);
            }
        }
    }
}
